"""Reads the histories of a run and says what must not have happened. Knows no program and no clock.

    checker.py FOLDER       checks a run once more
    checker.py FOLDER ID    tells one booking's story
"""

import collections
import sys
from pathlib import Path
from typing import Any, Callable, Dict, Iterator, List, NamedTuple, Optional

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "scripts" / "lib"))

from history import History, Row
from tollgate.verify import Replay

FINAL = {"accepted", "rejected", "cancelled", "failed", "observed"}

# The field of the record that a webhook leaves.
FACT = {"BOOKING_REQUESTED": "requested_ms", "BOOKING_CREATED": "created_ms", "BOOKING_REJECTED": "rejected_ms",
        "BOOKING_CANCELLED": "cancelled_ms", "BOOKING_RESCHEDULED": "rescheduled_ms",
        "BOOKING_PAYMENT_INITIATED": "payment_ms"}
MAKING = {"BOOKING_REQUESTED", "BOOKING_CREATED", "BOOKING_RESCHEDULED"}

# What an act makes of a booking at Cal.com. PATCH is v1's confirm.
RESULT = {"confirm": "ACCEPTED", "patch": "ACCEPTED", "decline": "REJECTED", "cancel": "CANCELLED"}
OVER = {"CANCELLED", "REJECTED"}

# A taker-over repeats an act 30 s after it began: whatever has not ended by then is not waited for. An act
# begins in Redis a little before it arrives.
OUTLIVED_MS = 28000

# How long a confirm may be on its way from the last look at the clock to Cal.com ("and the call itself").
ON_THE_WAY_MS = 500


# The library's counters that belong into the counts.
STATS = {"reaped_workers": "workers found dead", "taken_back": "bookings taken over", "stale_steps": "late steps",
         "found": "found by the sweep", "mended:cancelled": "mended by the sweep"}

# A story tells the faults so near to something that happened to the booking.
NEAR_MS = 1000


class Violation(NamedTuple):
    rule: str
    booking: str  # "" when it is about none
    text: str


class Books:
    """The histories, by booking."""

    def __init__(self, history: History) -> None:
        self.history = history
        self.webhooks = self._by_booking(history.webhooks, "booking")
        self.calls = self._by_booking(sorted(history.calls, key=lambda call: call["t_ms"]), "booking")
        self.orders = self._by_booking(history.orders, "id")
        self.by_uid = {at_calcom.get("uid"): booking for booking, at_calcom in history.calcom.items()}
        self.replays: Dict[str, Replay] = {}
        self.entries: Dict[str, List[Any]] = collections.defaultdict(list)
        for account, ledger in history.ledgers.items():
            replay = self.replays[account] = Replay(account)
            for entry_id, entry in ledger:
                replay.add(entry_id, entry)
                for booking in {entry.get("booking", ""), entry.get("from", "")} - {""}:
                    self.entries[booking].append((account, entry_id, entry))
            replay.compare_hash(history.accounts.get(account, {}))

    @staticmethod
    def _by_booking(rows: List[Row], field: str) -> Dict[str, List[Row]]:
        found: Dict[str, List[Row]] = collections.defaultdict(list)
        for row in rows:
            if row.get(field) is not None:
                found[str(row[field])].append(row)
        return found

    def acts(self, booking: str) -> List[Row]:
        return [call for call in self.calls[booking] if call["action"] in RESULT]

    def unheard_ms(self, booking: str) -> Optional[int]:
        """When the newest webhook about it was sent that nobody acknowledged, nor its copy; None: all were heard."""
        webhooks = self.webhooks[booking]
        heard = [sent for sent in webhooks if is_acknowledged(sent)]
        missed = [sent["sent_ms"] for sent in webhooks if not any(_is_copy(sent, other) for other in heard)]
        return max(missed, default=None if heard else 0)

    def is_excused(self, booking: str) -> bool:
        """Whether nobody could know that Cal.com has it otherwise. A sweep looks at accepted bookings in turn; one
        that was rescheduled to a booking that nobody knows is listed for a person."""
        moved_to = self.by_uid.get(self.history.calcom.get(booking, {}).get("rescheduledTo"))
        if moved_to is not None and (moved_to not in self.history.bookings or self.is_excused(moved_to)):
            return True
        unheard_ms = self.unheard_ms(booking)
        looked_ms = self.history.known.get(booking, 0) if self.history.settings.get("sweep") else 0
        return unheard_ms is not None and looked_ms <= unheard_ms


def _is_copy(one: Row, other: Row) -> bool:
    return one["trigger"] == other["trigger"] and abs(one["sent_ms"] - other["sent_ms"]) < 100


def is_acknowledged(webhook: Row) -> bool:
    return 200 <= webhook["status"] < 300


def is_done(call: Row) -> bool:
    """Whether Cal.com carried it out, as far as can be told from outside."""
    return call["status"] == 200 or bool(call.get("after"))


def number(record: Dict[str, str], field: str) -> int:
    return int(record.get(field) or 0)


# ---- Nothing acknowledged is lost ----

def check_recorded(books: Books) -> Iterator[Violation]:
    """What was acknowledged is on record."""
    for sent in books.history.webhooks:
        fact = FACT.get(sent["trigger"])
        if fact is None or sent["booking"] is None or not is_acknowledged(sent):
            continue
        record = books.history.bookings.get(str(sent["booking"]))
        if record is None or fact not in record:
            what = "the booking is unknown" if record is None else f"its record has no {fact}"
            yield Violation("lost", str(sent["booking"]), f"{sent['trigger']} was acknowledged with {sent['status']}, "
                            f"and {what}")


def check_final(books: Books) -> Iterator[Violation]:
    for booking, record in books.history.bookings.items():
        if record.get("place") == "dead":
            continue
        if record.get("state") not in FINAL or record.get("place") != "none":
            yield Violation("open", booking, f"it is {record.get('state')}, its place is {record.get('place')}")
    for place, names in books.history.places.items():
        if place == "dead":
            continue
        for name in names:
            yield Violation("open", name, f"its name still stands in {place}")


def check_dead(books: Books) -> Iterator[Violation]:
    """What was given up must have a reason that the faults explain."""
    explained = books.history.settings.get("explained_dead", [])
    for name in books.history.places.get("dead", []):
        why = books.history.bookings.get(name, {}).get("last_error", "")
        if not any(text in why for text in explained):
            yield Violation("dead", name, f"it was given up: {why or 'for no reason'}")


def check_agrees(books: Books) -> Iterator[Violation]:
    """Our record and Cal.com say the same, but for what no webhook told and no sweep has seen yet."""
    sweep = books.history.settings.get("sweep", False)
    for booking, at_calcom in books.history.calcom.items():
        record = books.history.bookings.get(booking)
        status = at_calcom["status"]
        if record is None:
            if status == "PENDING" and sweep:
                yield Violation("unfound", booking, "it waits at Cal.com, and the sweep did not find it")
            continue
        if record.get("state") not in FINAL or books.is_excused(booking):
            continue
        if status == "PENDING" or (status == "ACCEPTED") != (record["state"] == "accepted"):
            yield Violation("disagrees", booking, f"Cal.com says {status}, we say {record['state']}")
    for booking in books.history.bookings.keys() - books.history.calcom.keys():
        yield Violation("disagrees", booking, "Cal.com has no such booking")


# ---- Nothing is charged twice ----

def check_books(books: Books) -> Iterator[Violation]:
    history = books.history
    for account, replay in books.replays.items():
        for found in replay.found:
            yield Violation("book", found.booking, f"{account}: {found.text}")
        if replay.granted != history.granted.get(account, 0):
            yield Violation("book", "", f"{account}: its ledger says that {replay.granted} were granted, it was given "
                            f"{history.granted.get(account, 0)}")
        balance, held, _ = replay.purses
        if balance < 0:
            yield Violation("book", "", f"{account}: its balance is {balance}")
        dead = sum(number(history.bookings.get(name, {}), "held") for name in history.places.get("dead", [])
                   if history.bookings.get(name, {}).get("account") == account)
        if held != dead:
            yield Violation("held", "", f"{account}: {held} are held at the end, {dead} by what is under dead")
    for account in history.granted.keys() - books.replays.keys():
        yield Violation("book", "", f"{account}: its ledger is gone")
    if history.verify.get("status", 0) != 0:
        yield Violation("book", "", f"scripts/credit verify: {history.verify.get('output')}")


def check_movements(books: Books) -> Iterator[Violation]:
    """Each booking's movements, one after the other: nothing is held or captured twice."""
    for booking, entries in books.entries.items():
        held = charged = 0
        has_hold = False  # of its own, beside what a reschedule took along
        for _, entry_id, entry in sorted(entries, key=lambda row: [int(part) for part in row[1].split("-")]):
            kind, amount = entry["kind"], int(entry["amount"])
            if entry.get("from") == booking:  # a reschedule takes along what this one had
                held, charged = (held - amount, charged) if held else (held, charged - amount)
                continue
            if kind in ("hold", "capture") and charged or kind == "hold" and has_hold:
                yield Violation("doubled", booking, f"{kind} {amount} ({entry_id}) while {held} were held and "
                                f"{charged} charged")
            has_hold = kind == "hold" or has_hold and kind not in ("capture", "release")
            held += {"hold": amount, "move": amount, "capture": -amount, "release": -amount}.get(kind, 0)
            charged += {"capture": amount, "refund": -amount}.get(kind, 0)
            if held < 0 or charged < 0:
                yield Violation("doubled", booking, f"{kind} {amount} ({entry_id}) gives back what it did not have")
        record = books.history.bookings.get(booking, {})
        if (held, charged) != (number(record, "held"), number(record, "charged")):
            yield Violation("book", booking, f"its ledger says {held} held and {charged} charged, its record "
                            f"{number(record, 'held')} and {number(record, 'charged')}")


def check_charges(books: Books) -> Iterator[Violation]:
    """What a booking costs in the end follows from how it ended."""
    for booking, record in books.history.bookings.items():
        state, charged, cost = record.get("state"), number(record, "charged"), number(record, "cost")
        waived = sum(int(entry["amount"]) for _, _, entry in books.entries[booking] if entry["kind"] == "waive")
        if state == "accepted" and record.get("decision") == "accept" and charged + waived != cost:
            yield Violation("charge", booking, f"accepted at {cost}, charged {charged}, waived {waived}")
        elif state == "accepted" and record.get("decision") == "reject" and (charged or waived != cost):
            yield Violation("charge", booking, f"rejected and accepted by hand at {cost}: charged {charged}, "
                            f"waived {waived}")
        elif state in ("rejected", "failed") and charged:
            yield Violation("charge", booking, f"{state}, and charged {charged}")
        elif state == "cancelled" and charged and not _may_be_kept(books, booking):
            yield Violation("charge", booking, f"cancelled in time, and {charged} kept")


def _may_be_kept(books: Books, booking: str) -> bool:
    """A member who cancels late is charged."""
    return any(order["what"] == "cancel" and order.get("by") == "member" and order.get("late")
               for order in books.orders[booking])


# ---- Cal.com is asked once, and for what is still wanted ----

def check_overlaps(books: Books) -> Iterator[Violation]:
    for booking in books.calls:
        before: Optional[Row] = None
        for act in books.acts(booking):
            if before and (act["t_ms"] < (before["end_ms"] or float("inf"))
                           and act["t_ms"] - before["t_ms"] < OUTLIVED_MS):
                yield Violation("overlap", booking, f"{act['action']} {act['n']} came while {before['action']} "
                                f"{before['n']} was under way")
            if before is None or (before["end_ms"] and (act["end_ms"] or float("inf")) >= before["end_ms"]):
                before = act


def check_repeats(books: Books) -> Iterator[Violation]:
    """No act comes again after it was done, unless the booking changed meanwhile."""
    for booking in books.calls:
        done: Dict[str, Row] = {}
        for act in books.acts(booking):
            result = RESULT[act["action"]]
            before = done.get(result)
            if before and not _has_changed(books, booking, before, act, result):
                yield Violation("repeat", booking, f"{act['action']} {act['n']} came after {before['action']} "
                                f"{before['n']} was done")
            if is_done(act):
                done[result] = act


def _has_changed(books: Books, booking: str, before: Row, act: Row, result: str) -> bool:
    changes = books.history.calcom.get(booking, {}).get("history", [])
    return any(before["t_ms"] <= change["ms"] <= act["t_ms"] and change["status"] != result for change in changes)


def check_withdrawn(books: Books) -> Iterator[Violation]:
    """No confirm for what was over before the last moment at which we could have known."""
    grace_ms = books.history.settings.get("fresh_ms", 1000) + ON_THE_WAY_MS
    for booking in books.calls:
        changes = books.history.calcom.get(booking, {}).get("history", [])
        for act in books.acts(booking):
            earlier = [change for change in changes if change["ms"] < act["t_ms"]]
            if RESULT[act["action"]] != "ACCEPTED" or not earlier or earlier[-1]["status"] not in OVER:
                continue
            since_ms = _sent_ms(books, act) - earlier[-1]["ms"]
            if since_ms > grace_ms:
                yield Violation("withdrawn", booking, f"{act['action']} {act['n']} came {since_ms} ms after it was "
                                f"{earlier[-1]['status']}")


def _sent_ms(books: Books, act: Row) -> int:
    """When the call may have left the worker: it waits where a link to Cal.com is cut."""
    cuts = [fault["begin_ms"] for fault in books.history.faults if fault["kind"] == "cut-calcom"
            and fault["begin_ms"] <= act["t_ms"] <= fault["end_ms"] + ON_THE_WAY_MS]
    return min(cuts, default=act["t_ms"])


def check_limit(books: Books) -> Iterator[Violation]:
    """Never more calls than the limit in any minute."""
    limit = books.history.settings.get("rate_limit", 0)
    times = sorted(call["t_ms"] for call in books.history.calls)
    for i in range(limit, len(times) if limit else 0):
        if times[i] - times[i - limit] < 60000:
            yield Violation("flooded", "", f"more than {limit} calls in the minute from {times[i - limit]}")
            return


# ---- Order ----

class Pair(NamedTuple):
    """Two bookings of a member with credit for one, booked one after the other by way of one ingest."""

    first: str
    second: str
    verdict: str  # kept, broken; unclear: nothing is promised


def pairs(books: Books) -> List[Pair]:
    members: Dict[Any, Dict[str, str]] = collections.defaultdict(dict)
    for order in books.history.orders:
        if order.get("pair") is not None and order.get("id") is not None:
            members[order["pair"]][order["role"]] = str(order["id"])
    return [Pair(two["first"], two["second"], _judge_pair(books, two["first"], two["second"]))
            for two in members.values() if len(two) == 2]


def _judge_pair(books: Books, first: str, second: str) -> str:
    told = [next((sent for sent in books.webhooks[booking] if sent["trigger"] == "BOOKING_REQUESTED"), None)
            for booking in (first, second)]
    if not all(sent and is_acknowledged(sent) for sent in told) or told[0]["url"] != told[1]["url"]:
        return "unclear"
    answered_ms = told[0]["sent_ms"] + told[0]["ms"]
    records = [books.history.bookings.get(booking, {}) for booking in (first, second)]
    if answered_ms > told[1]["sent_ms"] or any("decision" not in record for record in records):
        return "unclear"
    if records[0]["decision"] == "accept":
        return "kept"
    # A worker that has a name in hand and dies, or stands still, is overtaken by the others.
    decided_ms = number(records[0], "decided_ms")
    upset = any(fault["who"].startswith("worker") and fault["begin_ms"] <= decided_ms
                and fault["end_ms"] >= told[0]["sent_ms"] for fault in books.history.faults)
    return "unclear" if upset else "broken"


def check_order(books: Books) -> Iterator[Violation]:
    for pair in pairs(books):
        if pair.verdict == "broken":
            yield Violation("order", pair.first, f"the last credit went to {pair.second}, which came later")


# ---- The programs themselves ----

def check_programs(books: Books) -> Iterator[Violation]:
    for complaint in books.history.complaints:
        yield Violation("program", "", complaint)


RULES: List[Callable[[Books], Iterator[Violation]]] = [
    check_recorded, check_final, check_dead, check_agrees, check_books, check_movements, check_charges,
    check_overlaps, check_repeats, check_withdrawn, check_limit, check_order, check_programs]


def check(history: History) -> List[Violation]:
    books = Books(history)
    return [violation for rule in RULES for violation in rule(books)]


# ---- For people ----

def count(history: History, violations: List[Violation]) -> Dict[str, Any]:
    """The counts that a run prints."""
    by_rule = collections.Counter(violation.rule for violation in violations)
    faults = collections.Counter(f"{fault['kind']} {fault['who'].rstrip('0123456789')}" for fault in history.faults)
    books = Books(history)
    making = {str(sent["booking"]): is_acknowledged(sent) or None for sent in history.webhooks
              if sent["trigger"] in MAKING and is_acknowledged(sent)}
    verdicts = collections.Counter(pair.verdict for pair in pairs(books))
    states = collections.Counter(record.get("state") for record in history.bookings.values())
    return {
        "bookings": len(history.calcom), "acknowledged": len(making), "known": len(history.bookings),
        **{state: states[state] for state in sorted(FINAL) if states[state]},
        "webhooks": len(history.webhooks),
        "webhooks acknowledged": sum(map(is_acknowledged, history.webhooks)),
        "webhooks refused": sum(sent["status"] >= 300 for sent in history.webhooks),
        "webhooks not answered": sum(sent["status"] == 0 for sent in history.webhooks),
        "API calls": len(history.calls), "API faults": sum(bool(call["fault"]) for call in history.calls),
        **dict(sorted(faults.items())),
        **{name: int(value) for name, value in sorted(history.metrics.items()) if value},
        **{text: int(history.stats[name]) for name, text in STATS.items() if name in history.stats},
        "last credits in order": verdicts["kept"], "not judged": verdicts["unclear"],
        "dead": len(history.places.get("dead", [])),
        "lost": by_rule["lost"] + by_rule["open"] + by_rule["unfound"],
        "doubled": by_rule["doubled"] + by_rule["repeat"], "overlaps": by_rule["overlap"],
        "violations": len(violations),
    }


def story(history: History, booking: str) -> str:
    """Everything that is known of one booking, in the order in which it happened."""
    books = Books(history)
    lines = [(order["begin_ms"], f"{order['what']} by {order.get('by', 'member')} (until {order['end_ms']}): "
              f"{order.get('error') or 'done'}") for order in books.orders[booking]]
    lines += [(sent["sent_ms"], f"webhook {sent['trigger']} to {sent['url']}: {sent['status']} after {sent['ms']} ms")
              for sent in books.webhooks[booking]]
    lines += [(call["t_ms"], f"call {call['n']} {call['action']}: {call['status']} at {call['end_ms']}"
               f"{' fault ' + call['fault'] if call['fault'] else ''}{' (carried out)' if call.get('after') else ''}")
              for call in books.calls[booking]]
    lines += [(change["ms"], f"Cal.com has it as {change['status']}")
              for change in history.calcom.get(booking, {}).get("history", [])]
    lines += [(int(entry_id.split("-")[0]), f"ledger of {account}: {entry['kind']} {entry['amount']} "
               f"-> {entry['balance']}/{entry['held']}/{entry['spent']}")
              for account, entry_id, entry in books.entries[booking]]
    lines += [(fault["begin_ms"], f"  ({fault['kind']} {fault['who']} until {fault['end_ms']} {fault.get('what', '')})")
              for fault in history.faults
              if any(fault["begin_ms"] - NEAR_MS <= line[0] <= fault["end_ms"] + NEAR_MS for line in lines)]
    told = "\n".join(f"  {ms} {text}" for ms, text in sorted(lines))
    return f"booking {booking}\n{told}\n  record {history.bookings.get(booking)}"


def main() -> int:
    history = History.load(Path(sys.argv[1]) / "history")
    if len(sys.argv) > 2:
        print(story(history, sys.argv[2]))
        return 0
    violations = check(history)
    for violation in violations:
        print(f"{violation.rule}: {violation.booking}: {violation.text}")
    return 1 if violations else 0


if __name__ == "__main__":
    sys.exit(main())
