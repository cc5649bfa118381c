"""Replays ledgers against the accounts' hashes and against the bookings' records.

It can read while bookings are being decided and settled. Every function of the library that changes what a
record holds writes the ledger's entry in the same step. So of each account the ledger's new entries, the hash
and some records are read together, in one transaction: the replay is then as new as they are, and what differs
differs for good.
"""

from itertools import islice
from typing import Any, Dict, Iterator, List, NamedTuple, Optional, Sequence, Tuple

from tollgate import terminal
from tollgate.link import Link, explain

PURSES = ("balance", "held", "spent")

# Entries, and records, that one transaction reads: Redis answers nobody else meanwhile.
SHARE = 10000
ACCOUNTS = 200

# What a movement does to balance, held and spent, per credit. A `move` is told by its purses.
EFFECTS = {"grant": (1, 0, 0), "adjust": (1, 0, 0), "hold": (-1, 1, 0), "capture": (0, -1, 1), "release": (1, -1, 0),
           "refund": (1, 0, -1), "waive": (0, 0, 0)}

# What it does to what its booking holds and was charged.
OF_BOOKING = {"hold": (1, 0), "capture": (-1, 1), "release": (-1, 0), "refund": (0, -1), "move": (1, 0)}


class Found(NamedTuple):
    account: str
    booking: str  # "" when it is about the account itself
    text: str
    by_hand: bool = False  # the hash differs from the ledger, which can be booked


class Replay:
    """One account's ledger, entry by entry."""

    def __init__(self, account: str) -> None:
        self.account = account
        self.newest = "-"  # ID of the newest entry that was added
        self.purses = (0, 0, 0)
        self.granted = 0
        self.bookings: Dict[str, List[int]] = {}  # id -> [held, charged]
        self.found: List[Found] = []

    def complain(self, text: str, booking: str = "", by_hand: bool = False) -> None:
        self.found.append(Found(self.account, booking, text, by_hand))

    def add(self, entry_id: str, entry: Dict[str, str]) -> None:
        self.newest = entry_id
        try:
            kind, amount = entry["kind"], int(entry["amount"])
            told = (int(entry["balance"]), int(entry["held"]), int(entry["spent"]))
        except (KeyError, ValueError):
            self.complain(f"ledger entry {entry_id} cannot be read: {entry}")
            return
        before = self.purses
        change = (told[0] - before[0], told[1] - before[1], told[2] - before[2])
        if kind not in EFFECTS and kind != "move":
            self.complain(f"ledger entry {entry_id} is of an unknown kind: {kind}")
        elif not _follows(kind, amount, change, entry):
            self.complain(f"ledger entry {entry_id} ({kind} {amount}) does not follow from the one before: "
                          f"{before} became {told}")
        if kind in ("grant", "adjust"):
            self.granted += amount
        elif kind in OF_BOOKING:
            self._count_booking(kind, amount, entry, change)
        if sum(told) != self.granted:
            self.complain(f"after ledger entry {entry_id} balance + held + spent is {sum(told)}, "
                          f"but {self.granted} were granted")
        self.purses = told

    def _count_booking(self, kind: str, amount: int, entry: Dict[str, str], change: Sequence[int]) -> None:
        of = self.bookings.setdefault(entry.get("booking", ""), [0, 0])
        of[0] += OF_BOOKING[kind][0] * amount
        of[1] += OF_BOOKING[kind][1] * amount
        if kind == "move":
            source = self.bookings.setdefault(entry.get("from", ""), [0, 0])
            source[1 if change[2] < 0 else 0] -= amount

    def compare_hash(self, fields: Dict[str, str]) -> None:
        try:
            has = tuple(int(fields.get(purse) or 0) for purse in PURSES)
        except ValueError:
            self.complain(f"a purse is no whole number: {({p: fields.get(p) for p in PURSES})}")
            return
        if has != self.purses:
            differs = ", ".join(f"{purse} is {now}, the ledger says {then}"
                                for purse, now, then in zip(PURSES, has, self.purses) if now != then)
            self.complain(f"{differs}; somebody set it by hand: the next movement, or verify --book, books "
                          f"{terminal.signed(sum(has) - sum(self.purses))}", by_hand=True)
        # What nobody holds is never captured or released.
        holding = sum(held for held, _ in self.bookings.values())
        if has[1] != holding:
            self.complain(f"held is {has[1]}, but its bookings hold {holding}; set held to {holding} with redis-cli, and "
                          "balance to what the member is to have")

    def compare_booking(self, booking: str, record: List[Any]) -> None:
        """record: held, charged and state, as they are in Redis; all None when it has expired."""
        held, charged = self.bookings.get(booking, (0, 0))
        if record == [None, None, None]:
            if held:
                self.complain(f"the ledger holds {held} for it, but there is no such booking", booking)
        elif (record[0] or "0", record[1] or "0") != (str(held), str(charged)):
            self.complain(f"its record holds {record[0] or 0} and was charged {record[1] or 0}, "
                          f"the ledger says {held} and {charged}", booking)


def _follows(kind: str, amount: int, change: Tuple[int, int, int], entry: Dict[str, str]) -> bool:
    """Whether this movement can have changed the purses so."""
    if kind == "move":
        return change in ((0, 0, 0), (0, amount, -amount))
    if kind == "adjust" and entry.get("by") == "redis-cli":  # each purse may have been set
        return sum(change) == amount
    effect = EFFECTS[kind]
    return change == (effect[0] * amount, effect[1] * amount, effect[2] * amount)


class Reading:
    """What is still to be read of one account."""

    def __init__(self, account: str, bookings: Sequence[str]) -> None:
        self.replay = Replay(account)
        self.unread = dict.fromkeys(bookings)  # records that were not compared yet
        self.asked: List[str] = []
        self.done = False

    def commands(self, link: Link, share: int) -> List[Sequence[Any]]:
        account, newest = self.replay.account, self.replay.newest
        self.asked = list(islice(self.unread, share))
        return [("XRANGE", link.key("ledger:" + account), newest if newest == "-" else "(" + newest, "+", "COUNT", share),
                ("HGETALL", link.key("credit:" + account)),
                *(("HMGET", link.key("booking:" + booking), "held", "charged", "state") for booking in self.asked)]

    def take(self, entries: Any, fields: Any, *records: Any, share: int) -> None:
        """The answers to the commands."""
        replay = self.replay
        errors = [answer for answer in (entries, fields) if isinstance(answer, Exception)]
        if errors:
            replay.found = []
            for error in errors:
                replay.complain(f"cannot be read: {error}")
            self.done = True
            return
        known = len(replay.bookings)
        for entry_id, entry in entries:
            replay.add(entry_id, entry)
        self.unread.update(dict.fromkeys(islice(replay.bookings, known, None)))
        if len(entries) == share:  # there may be more: the records are newer than the replay
            return
        for booking, record in zip(self.asked, records):
            del self.unread[booking]
            if isinstance(record, Exception):
                replay.complain(f"the record cannot be read: {record}", booking)
            else:
                replay.compare_booking(booking, record)
        if not self.unread:
            replay.compare_hash(fields)
            self.done = True


def bookings_with_credit(link: Link) -> Dict[str, List[str]]:
    """By account the bookings whose records hold credit or were charged; "" for those without an account."""
    found: Dict[str, List[str]] = {}
    with terminal.progress("bookings") as progress:
        for page in link.names("booking:"):
            answers = link.bulk([("HMGET", link.key("booking:" + id_), "account", "held", "charged") for id_ in page])
            for id_, answer in zip(page, answers):
                if not isinstance(answer, Exception) and (answer[1] or "0", answer[2] or "0") != ("0", "0"):
                    found.setdefault(answer[0] or "", []).append(id_)
            progress(len(page))
    return found


def _accounts(link: Link, bookings: Dict[str, List[str]]) -> Iterator[List[str]]:
    """Pages of all that have a hash, a ledger or a booking, each once."""
    seen = {""}
    for prefix in ("credit:", "ledger:"):
        for page in link.names(prefix):
            page = [account for account in dict.fromkeys(page) if account not in seen]
            seen.update(page)
            yield page
    yield [account for account in bookings if account not in seen]


def _verify_some(link: Link, names: Sequence[str], bookings: Dict[str, List[str]]) -> List[Found]:
    readings = [Reading(account, bookings.get(account, ())) for account in names]
    unfinished = readings
    while unfinished:
        share = max(1, SHARE // len(unfinished))
        commands = [reading.commands(link, share) for reading in unfinished]
        answers = iter(link.bulk([command for some in commands for command in some], atomic=True))
        for reading, some in zip(unfinished, commands):
            reading.take(*(next(answers) for _ in some), share=share)
        unfinished = [reading for reading in unfinished if not reading.done]
    return [one for reading in readings for one in reading.replay.found]


def verify(link: Link, only: Optional[Sequence[str]] = None) -> Tuple[int, List[Found]]:
    """How many accounts there are (or `only` these), and what is wrong with them."""
    bookings = bookings_with_credit(link)
    count, found = 0, []
    if only is None:
        found += [Found("", booking, "its record holds credit or was charged, but names no account")
                  for booking in bookings.get("", ())]
    with terminal.progress("accounts") as progress:
        for page in _accounts(link, bookings) if only is None else [only]:
            for start in range(0, len(page), ACCOUNTS):
                found += _verify_some(link, page[start:start + ACCOUNTS], bookings)
            count += len(page)
            progress(len(page))
    return count, found


def book(link: Link, found: List[Found], by: str) -> List[Found]:
    """Books what was set by hand. Answers what is wrong then."""
    names = sorted({one.account for one in found if one.by_hand})
    answers = link.bulk([link.command("member", account, 0, "", by, "") for account in names])
    refused = [Found(account, "", f"cannot be booked: {explain(answer)}")
               for account, answer in zip(names, answers) if isinstance(answer, Exception)]
    left = [one for one in found if one.account not in names]
    return left + (verify(link, names)[1] if names else []) + refused
