"""Replays ledgers against the accounts' hashes and against the bookings."""

from typing import Any, Dict, Iterator, List, NamedTuple, Optional, Tuple

from tollgate.link import Link

PURSES = ("balance", "held", "spent")

# What a movement does to balance, held and spent, per credit. A `move` is told by its purses.
EFFECTS = {"grant": (1, 0, 0), "adjust": (1, 0, 0), "hold": (-1, 1, 0), "capture": (0, -1, 1), "release": (1, -1, 0),
           "refund": (1, 0, -1), "waive": (0, 0, 0)}

# What it does to what its booking holds and was charged.
OF_BOOKING = {"hold": (1, 0), "capture": (-1, 1), "release": (-1, 0), "refund": (0, -1), "move": (1, 0)}


class Found(NamedTuple):
    account: str
    booking: str  # "" when it is about the account itself
    text: str


class Replay:
    """One account's ledger, entry by entry."""

    def __init__(self, account: str) -> None:
        self.account = account
        self.purses = (0, 0, 0)
        self.granted = 0
        self.bookings: Dict[str, List[int]] = {}  # id -> [held, charged]
        self.found: List[Found] = []

    def complain(self, text: str) -> None:
        self.found.append(Found(self.account, "", text))

    def add(self, entry_id: str, entry: Dict[str, str]) -> None:
        try:
            kind, amount = entry["kind"], int(entry["amount"])
            told = tuple(int(entry[purse]) for purse in PURSES)
        except (KeyError, ValueError):
            self.complain(f"ledger entry {entry_id} cannot be read: {entry}")
            return
        change = tuple(now - before for now, before in zip(told, self.purses))
        by_hand = kind == "adjust" and entry.get("by") == "redis-cli"
        if kind == "move":
            allowed = [(0, 0, 0), (0, amount, -amount)]
        elif by_hand:  # each purse may have been set
            allowed = [change] if sum(change) == amount else []
        else:
            allowed = [tuple(sign * amount for sign in EFFECTS.get(kind, (0, 0, 0)))]
        if kind not in EFFECTS and kind != "move":
            self.complain(f"ledger entry {entry_id} is of an unknown kind: {kind}")
        elif change not in allowed:
            self.complain(f"ledger entry {entry_id} ({kind} {amount}) does not follow from the one before: "
                          f"{self.purses} became {told}")
        if kind in ("grant", "adjust"):
            self.granted += amount
        if sum(told) != self.granted:
            self.complain(f"after ledger entry {entry_id} balance + held + spent is {sum(told)}, "
                          f"but {self.granted} were granted")
        self._count_booking(kind, amount, entry, change)
        self.purses = told

    def _count_booking(self, kind: str, amount: int, entry: Dict[str, str], change: Tuple[int, ...]) -> None:
        if kind not in OF_BOOKING:
            return
        of = self.bookings.setdefault(entry.get("booking", ""), [0, 0])
        of[0] += OF_BOOKING[kind][0] * amount
        of[1] += OF_BOOKING[kind][1] * amount
        if kind == "move":
            source = self.bookings.setdefault(entry.get("from", ""), [0, 0])
            source[1 if change[2] < 0 else 0] -= amount

    def end(self, fields: Dict[str, str]) -> None:
        """Compares with the account's hash."""
        try:
            has = tuple(int(fields.get(purse) or 0) for purse in PURSES)
        except ValueError:
            self.complain(f"a purse is no whole number: {({p: fields.get(p) for p in PURSES})}")
            return
        if has == self.purses:
            return
        difference = sum(has) - sum(self.purses)
        differs = ", ".join(f"{purse} is {now}, the ledger says {then}"
                            for purse, now, then in zip(PURSES, has, self.purses) if now != then)
        self.complain(f"{differs}; somebody set it by hand: the next movement, or verify --book, books "
                      f"{difference:+d}")


def _read(link: Link, accounts: List[str]) -> Iterator[Tuple[str, Dict[str, str], List[Any]]]:
    """Hash and ledger of each, as they were at one moment."""
    with link.client.pipeline(transaction=True) as pipe:
        for account in accounts:
            pipe.hgetall(link.key("credit:" + account))
            pipe.xrange(link.key("ledger:" + account))
        answers = pipe.execute(raise_on_error=False)
    for i, account in enumerate(accounts):
        yield account, answers[2 * i], answers[2 * i + 1]


def _replay(link: Link, accounts: List[str]) -> List[Replay]:
    replays = []
    for account, fields, entries in _read(link, accounts):
        replay = Replay(account)
        for what in (fields, entries):
            if isinstance(what, Exception):
                replay.complain(f"cannot be read: {what}")
        if not replay.found:
            for entry_id, entry in entries:
                replay.add(entry_id, entry)
            replay.end(fields)
        replays.append(replay)
    return replays


def _compare_bookings(link: Link, replays: List[Replay]) -> None:
    wanted = [(replay, booking) for replay in replays for booking in replay.bookings]
    with link.client.pipeline(transaction=False) as pipe:
        for _, booking in wanted:
            pipe.hmget(link.key("booking:" + booking), "held", "charged", "state")
        answers = pipe.execute(raise_on_error=False) if wanted else []
    for (replay, booking), answer in zip(wanted, answers):
        held, charged = replay.bookings[booking]
        if isinstance(answer, Exception):
            text = f"the record cannot be read: {answer}"
        elif answer[2] is None:  # long over, and its record has expired
            text = f"the ledger holds {held} for it, but there is no such booking" if held else None
        elif (int(answer[0] or 0), int(answer[1] or 0)) != (held, charged):
            text = (f"its record holds {answer[0] or 0} and was charged {answer[1] or 0}, "
                    f"the ledger says {held} and {charged}")
        else:
            text = None
        if text:
            replay.found.append(Found(replay.account, booking, text))


def verify_page(link: Link, accounts: List[str]) -> List[Found]:
    """What is wrong with these accounts. What differs is read once more: something may have moved between
    two reads of a live system."""
    suspects: Optional[List[str]] = None
    found: List[Found] = []
    for _ in range(3):
        replays = _replay(link, accounts if suspects is None else suspects)
        _compare_bookings(link, replays)
        found = [one for replay in replays for one in replay.found]
        suspects = sorted({one.account for one in found})
        if not suspects:
            break
    return found
