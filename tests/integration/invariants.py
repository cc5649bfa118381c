"""What must hold in a namespace at any time, told of a view of all of it that one call reads."""

from typing import Any, Counter, Dict, List, NamedTuple, Optional, Tuple

import redis

# Reads every key of the kinds that matter here, as {name, value, …}.
READ_ALL = """
local commands = {hash = {'HGETALL', 0}, list = {'LRANGE', 0, 0, -1}, zset = {'ZRANGE', 0, 0, -1},
  stream = {'XRANGE', 0, '-', '+'}}
local wanted = {booking = 'hash', credit = 'hash', ledger = 'stream', active = 'list', queue = 'list', retry = 'zset',
  dead = 'zset', done = 'hash', decisions = 'stream', open = 'zset'}
local view = {}
for _, key in ipairs(redis.call('KEYS', ARGV[1] .. '*')) do
  local name = key:sub(#ARGV[1] + 1)
  local kind = wanted[name:match('^%a+')]
  if kind and redis.call('TYPE', key).ok == kind then
    local command = commands[kind]
    command[2] = key
    view[#view + 1] = name
    view[#view + 1] = redis.call(unpack(command))
  end
end
return view
"""

Fields = Dict[str, str]

OPEN = ("waiting", "accepting", "rejecting")

# What a movement does to its booking's held and charged; a `move` does it to another one's as well.
MOVED = {"hold": (1, 0), "capture": (-1, 1), "release": (-1, 0), "refund": (0, -1), "move": (1, 0)}


def _pairs(flat: List[Any]) -> Dict[str, Any]:
    parts = iter(flat)
    return dict(zip(parts, parts))


class View(NamedTuple):
    bookings: Dict[str, Fields]
    accounts: Dict[str, Fields]
    ledgers: Dict[str, List[Tuple[str, Fields]]]  # account -> its entries and their IDs, the oldest first
    places: Dict[str, List[str]]  # queue, retry, dead, active:<worker> -> the names there
    done: Fields
    decisions: List[Fields]
    open: Dict[str, List[str]]  # account -> what it holds or has

    def found(self) -> Dict[str, List[str]]:
        """Where each name is."""
        found: Dict[str, List[str]] = {}
        for place, names in self.places.items():
            for name in names:
                found.setdefault(name, []).append(place)
        return found


def read_view(client: redis.Redis, prefix: str) -> View:
    view = View({}, {}, {}, {}, {}, [], {})
    tables = {"booking": view.bookings, "credit": view.accounts}
    for name, value in _pairs(client.eval(READ_ALL, 0, prefix)).items():
        kind, _, of = name.partition(":")
        if kind in tables:
            tables[kind][of] = _pairs(value)
        elif kind == "ledger":
            view.ledgers[of] = [(entry, _pairs(fields)) for entry, fields in value]
        elif kind == "open":
            view.open[of] = value
        elif kind == "done":
            view.done.update(_pairs(value))
        elif kind == "decisions":
            view.decisions.extend(_pairs(fields) for _, fields in value)
        else:
            view.places[name] = value
    return view


def amount(fields: Fields, name: str) -> int:
    return int(fields.get(name, 0))


def purses(fields: Fields) -> Tuple[int, ...]:
    return tuple(amount(fields, purse) for purse in ("balance", "held", "spent"))


# ---- What must hold in any namespace, whatever was done to it ----

def check_books(view: View, by_hand: Dict[str, Optional[str]]) -> None:
    """granted = balance + held + spent, after every entry of a ledger and in the account. by_hand: account ->
    the newest entry when it was set by hand, which only its next movement books."""
    for account, entries in view.ledgers.items():
        granted = 0
        for entry_id, entry in entries:
            granted += int(entry["amount"]) if entry["kind"] in ("adjust", "grant") else 0
            assert sum(purses(entry)) == granted, f"{account}: the book is off at {entry_id} {entry}"
        newest_id, newest = entries[-1]
        if by_hand.get(account) != newest_id and account in view.accounts:
            assert purses(view.accounts[account]) == purses(newest), f"{account}: the ledger does not explain it"


def check_holds(view: View) -> None:
    """What bookings hold and have been charged is what the ledgers say they do and have."""
    moved: Dict[str, List[int]] = {}
    for entries in view.ledgers.values():
        spent = 0
        for _, entry in entries:
            if entry["kind"] == "move":  # out of what the old booking held, or had been charged
                was_charged = int(entry["spent"]) < spent
                moved[entry["from"]][1 if was_charged else 0] -= int(entry["amount"])
            spent = int(entry["spent"])
            held, charged = MOVED.get(entry["kind"], (0, 0))
            sums = moved.setdefault(entry["booking"], [0, 0])
            sums[0] += held * int(entry["amount"])
            sums[1] += charged * int(entry["amount"])
    for id_, b in view.bookings.items():
        told = [amount(b, "held"), amount(b, "charged")]
        assert told == moved.get(id_, [0, 0]), f"booking {id_} and the ledger disagree: {b}"


def check_places(view: View, pushed: Any = ()) -> None:
    """Each name is in one place at most, and its record says which. `pushed`: names that somebody pushed by
    hand, which are in one place more until they are taken."""
    found = view.found()
    for id_, b in view.bookings.items():
        place = b["place"]
        if place == "active":
            place = "active:" + b["token"].rsplit("/", 1)[0]
        where = found.get(id_, [])
        # Out of the queue a blocking pop lays a name into a worker's list, and tells nobody.
        laid_down = place == "queue" and len(where) == 1 and where[0].startswith("active:")
        told = [] if place == "none" else [place]
        assert where == told or laid_down or id_ in pushed, f"booking {id_}: {b} {where}"


# ---- What must hold where nobody has written into a booking ----

def check_account_sums(view: View) -> None:
    """An account holds and has spent what its bookings hold and were charged; nobody else's do."""
    sums: Dict[str, List[int]] = {account: [0, 0] for account in view.accounts}
    for id_, b in view.bookings.items():
        held, charged = amount(b, "held"), amount(b, "charged")
        assert held >= 0 and charged >= 0, f"booking {id_}: {b}"
        if held or charged:
            account = sums[b["account"]]
            account[0] += held
            account[1] += charged
    for account, told in sums.items():
        assert told == [amount(view.accounts[account], purse) for purse in ("held", "spent")], f"{account}: {told}"


def _has_heir(view: View, b: Fields) -> bool:
    """It was rescheduled, and what replaces it is not decided yet: that takes over what this one has."""
    heir = view.bookings.get(b.get("successor", ""))
    return heir is not None and heir["state"] == "waiting"


def check_bookings(view: View, reopened: Counter[str]) -> None:
    """A booking is charged once, at most what it costs, and not for anything but a yes. reopened: how often a person
    wanted it decided anew, after Cal.com had refused it."""
    times: Dict[Tuple[str, str], int] = {}
    for entries in view.ledgers.values():
        for _, entry in entries:
            what = entry["kind"], entry["booking"]
            times[what] = times.get(what, 0) + 1
    for (kind, id_), count in times.items():
        most = 1 + (reopened[id_] if kind == "hold" else 0)
        assert kind not in ("hold", "capture") or count <= most, f"booking {id_}: {count} × {kind}"
    for id_, b in view.bookings.items():
        held, charged = amount(b, "held"), amount(b, "charged")
        assert held + charged <= amount(b, "cost"), f"booking {id_} has more than it costs: {b}"
        assert not held or b["state"] == "accepting" or _has_heir(view, b), f"booking {id_} is over and holds: {b}"
        assert not charged or b["state"] in ("accepted", "cancelled"), f"booking {id_} was charged: {b}"
        assert b["state"] in OPEN or view.done.get(id_) == b["state"], f"booking {id_} is not noted as done: {b}"
        assert not (held or charged) or "slot_of" not in b, f"booking {id_} is a twin and has credit: {b}"


def check_decisions(view: View, decided: Dict[str, Fields], reopened: Counter[str]) -> None:
    """No booking is decided twice. `decided` remembers how each was decided first."""
    names = Counter(entry["booking"] for entry in view.decisions)
    assert all(count <= 1 + reopened[id_] for id_, count in names.items()), f"decided twice: {names}"
    for id_, b in view.bookings.items():
        now = {name: b[name] for name in ("decision", "decided_ms", "cost", "policy") if name in b}
        assert ("decision" in b) == (id_ in names), f"booking {id_} is decided and is not: {b}"
        if "decision" in b and not (reopened[id_] and b["state"] == "waiting"):
            assert decided.setdefault(id_, now) == now, f"booking {id_} was decided otherwise: {decided[id_]} {b}"


def check_links(view: View) -> None:
    """A booking and the one that replaces it do not both have the member's credit, once that one is decided, or
    somebody will look at the old one."""
    by_uid = {b["uid"]: id_ for id_, b in view.bookings.items() if "uid" in b and "seat" not in b}
    for id_, b in view.bookings.items():
        old = view.bookings.get(by_uid.get(b.get("reschedule_uid", ""), ""))
        linked = old and old is not b and old.get("account") == b.get("account") and old["place"] == "none"
        if linked and b["state"] not in ("waiting", "observed"):
            both = [amount(one, "held") + amount(one, "charged") for one in (old, b)]
            assert 0 in both, f"booking {id_} and the one it replaces are both paid for: {b} {old}"


def _is_by_hand(b: Fields) -> bool:
    """As booking.is_accepted_by_hand."""
    guide = b.get("first_seen") == "created" and ("seat" in b or b.get("requires_confirmation") != "yes")
    return "rescheduled_ms" in b or ("created_ms" in b and not guide)


def check_successors(view: View) -> None:
    """What was rescheduled is over once the booking that replaces it is decided or withdrawn, or somebody will
    look at it."""
    for id_, b in view.bookings.items():
        heir = view.bookings.get(b.get("successor", ""))
        if heir and heir["state"] not in ("waiting", "observed") and b["place"] == "none":
            goes_on = b["state"] == "accepted" and b.get("decision") == "accept" and not _is_by_hand(b)
            assert not goes_on, f"booking {id_} goes on, and was rescheduled: {b} {heir}"


def check_twins(view: View) -> None:
    """One click pays once, where all that happens takes no longer than a click."""
    paid: Dict[Tuple[str, ...], str] = {}
    for id_, b in view.bookings.items():
        alone = {"seat", "reschedule_uid", "cancelled_ms", "rejected_ms", "successor"} & b.keys() or _is_by_hand(b)
        if not alone and amount(b, "held") + amount(b, "charged") > 0:
            other = paid.setdefault((b["account"], b["event_type"], b["start"]), id_)
            assert other == id_, f"bookings {other} and {id_} are of one click, and both are paid for"


def check_nobody_is_stuck(view: View) -> None:
    """What is open is in some place, or is led by one that is."""
    for id_, b in view.bookings.items():
        if b["state"] in OPEN and "first_seen" in b and b["place"] == "none":
            lead = view.bookings.get(b.get("lead", ""))
            assert lead and lead["state"] in OPEN and lead["place"] != "none", f"nobody has booking {id_}: {b} {lead}"


def check_open(view: View) -> None:
    """The list of what an account holds or has, of bookings that are not over yet."""
    for account in {b["account"] for b in view.bookings.values() if "account" in b}:
        has = {id_ for id_, b in view.bookings.items()
               if b.get("account") == account and b["state"] in ("accepting", "accepted")}
        assert set(view.open.get(account, ())) == has, f"{account} has {has}"


def check_all(view: View, by_hand: Dict[str, Optional[str]], pushed: Any, decided: Dict[str, Fields],
              reopened: Counter[str]) -> None:
    check_books(view, by_hand)
    check_holds(view)
    check_places(view, pushed)
    check_account_sums(view)
    check_bookings(view, reopened)
    check_decisions(view, decided, reopened)
    check_links(view)
    check_successors(view)
    check_twins(view)
    check_nobody_is_stuck(view)
    check_open(view)
