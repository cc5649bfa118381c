"""Bookings of the demo: who has credit, how one is made, and what became of it."""

import datetime
import itertools
import random
from typing import Iterator, NamedTuple

from asking import Asking
from paper import Paper
from waiting import Trouble, pause, wait_for

CREDIT = {"Alice": 2, "Bob": 1, "Carol": 1}
FINAL = {"accepted", "rejected", "cancelled", "failed", "observed"}
KEEP_SECONDS = 3  # between two bookings of keep_going


class Outcome(NamedTuple):
    """What became of a booking."""

    booking: int
    member: str
    state: str
    decision: str
    reason: str
    calcom: str  # its status there
    before: str  # credit when it was decided; empty: no such account
    after: str
    took_ms: int  # from the webhook's createdAt to the end of Cal.com's answer to our call

    @property
    def credit(self) -> str:
        return f"{self.before} → {self.after}" if self.before else "–"


def email(member: str) -> str:
    return f"{member.lower()}@example.com"


def slots() -> Iterator[datetime.datetime]:
    """Full hours from 9 to 16 o'clock, from tomorrow on: no two bookings want the same."""
    today = datetime.datetime.now(datetime.timezone.utc).replace(hour=0, minute=0, second=0, microsecond=0)
    for day in itertools.count(1):
        for hour in range(9, 17):
            yield today + datetime.timedelta(days=day, hours=hour)


def book(town: Asking, member: str, slot: datetime.datetime) -> tuple[int, str]:
    """A person books on Cal.com's page. Answers the booking's ID and uid."""
    booked = town.calcom("POST", "/control/book", {
        "email": email(member), "name": member, "start": slot.strftime("%Y-%m-%dT%H:%M:%SZ")})
    for webhook in booked["webhooks"]:
        if not 200 <= webhook["status"] < 300:
            raise Trouble(f"ingest answered the webhook of booking {booked['id']} with {webhook['status']}")
    return booked["id"], booked["uid"]


def outcome(town: Asking, member: str, booking: int, uid: str) -> Outcome:
    """Waits until Tollgate is done with the booking, then asks Cal.com how it stands there."""
    def look() -> dict[str, str] | None:
        known = town.redis_hash(f"{{tollgate}}:booking:{booking}")
        return known if known.get("state") in FINAL else None
    known = wait_for(look, 20, f"booking {booking} of {member} to be settled")
    calls = town.calcom("GET", f"/control/calls?booking={booking}")
    before = known.get("balance_before", "")
    return Outcome(
        booking, member, known["state"], known.get("decision", ""), known.get("reason", ""),
        calcom=town.calcom("GET", f"/v2/bookings/{uid}")["data"]["status"], before=before,
        after=str(int(before) - int(known.get("charged", 0))) if before else "",
        took_ms=max((call["end_ms"] for call in calls if call["action"] != "get"), default=0)
        - int(known["requested_ms"]))


def open_accounts(town: Asking) -> None:
    """Gives each member the first credit, once."""
    for member, credits in CREDIT.items():
        town.redis("HSETNX", f"{{tollgate}}:credit:{email(member)}", "balance", str(credits))


def grant(paper: Paper, town: Asking) -> None:
    member = random.choice(list(CREDIT))
    balance = town.redis("HINCRBY", f"{{tollgate}}:credit:{email(member)}", "balance", "1")[0]
    paper.say(f"       {member:<7}  is given 1 credit and has {balance}")


def keep_going(paper: Paper, town: Asking, free: Iterator[datetime.datetime]) -> None:
    """Until somebody stops it."""
    paper.title(f"A booking every {KEEP_SECONDS} s, until Ctrl-C")
    for number in itertools.count(1):
        pause(KEEP_SECONDS)
        if number % 3 == 0:
            grant(paper, town)
        member = random.choices([*CREDIT, "Mallory"], [3, 3, 3, 1])[0]
        o = outcome(town, member, *book(town, member, next(free)))
        paper.say(f"{o.booking:<5}  {member:<7}  {paper.verdict(o.state.ljust(8))}  {o.reason}")
