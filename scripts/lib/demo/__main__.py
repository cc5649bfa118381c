"""The demo's story: three members and a stranger book, Tollgate decides. Started by scripts/demo."""

import datetime
import itertools
import os
import random
import signal
import statistics
import sys
import time
from typing import Iterator, NamedTuple

from paper import Paper
from town import Stopped, Town, Trouble, note_signals, pause, wait_for

CREDIT = {"Alice": 2, "Bob": 1, "Carol": 1}
STORY = [("Alice", "accepted"), ("Bob", "accepted"), ("Bob", "rejected"), ("Carol", "accepted"),
         ("Mallory", "rejected")]
FINAL = {"accepted", "rejected", "cancelled", "failed", "observed"}
WORKERS = 2
KEEP_SECONDS = 3  # between two bookings of --keep

LOOK = """\
redis-cli -p {port} LRANGE '{{tollgate}}:queue' 0 -1 # who waits (mostly nobody)
redis-cli -p {port} HGETALL '{{tollgate}}:booking:{booking}' # all about one booking
redis-cli -p {port} HGETALL '{{tollgate}}:credit:alice@example.com' # Alice's credit
redis-cli -p {port} XRANGE '{{tollgate}}:ledger:alice@example.com' - + # its every movement
redis-cli -p {port} XREVRANGE '{{tollgate}}:decisions' + - COUNT 3 # the newest decisions"""

# Only while the demo stays up.
DO = """
redis-cli -p {port} HINCRBY '{{tollgate}}:credit:bob@example.com' balance 5 # give Bob 5 credits
curl -d '{{"email": "bob@example.com"}}' {calcom}/control/book # book as Bob"""

NEXT = """\
1  In Cal.com, let the event type require confirmation. Under Settings, Developer, Webhooks add
   https://your.host/webhook with a secret of your own, and the events Booking requested, created,
   rejected, cancelled, rescheduled and payment initiated.
2  Start the two programs, both with REDIS_URL, and
     tollgate-ingest  with  WEBHOOK_SECRET=…  (the same secret)
     tollgate-worker  with  CALCOM_API_URL=https://api.cal.com/v2  CALCOM_API_KEY=cal_…
3  Give each member credit:  redis-cli HSET '{tollgate}:credit:alice@example.com' balance 5
README.md says more; --help of both programs lists all settings."""


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


def book(town: Town, member: str, slot: datetime.datetime) -> tuple[int, str]:
    """A person books on Cal.com's page. Answers the booking's ID and uid."""
    booked = town.calcom("POST", "/control/book", {
        "email": email(member), "name": member, "start": slot.strftime("%Y-%m-%dT%H:%M:%SZ")})
    for webhook in booked["webhooks"]:
        if not 200 <= webhook["status"] < 300:
            raise Trouble(f"ingest answered the webhook of booking {booked['id']} with {webhook['status']}")
    return booked["id"], booked["uid"]


def outcome(town: Town, member: str, booking: int, uid: str) -> Outcome:
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


def prepare(paper: Paper, town: Town) -> None:
    paper.title("Tollgate, the demo")
    began = time.monotonic()
    paper.say("Building (the first time takes a moment) …")
    town.build()
    paper.say(f"Built in {time.monotonic() - began:.0f} s. Starting …")
    town.start(WORKERS)
    for member, credits in CREDIT.items():
        town.redis("HSET", f"{{tollgate}}:credit:{email(member)}", "balance", str(credits))

    paper.say()
    paper.say(f"  Redis         127.0.0.1:{town.redis_port} (private, in memory only)")
    paper.say(f"  fake Cal.com  {town.calcom_url}")
    paper.say(f"  ingest        {town.webhook_url}")
    for name, url in town.admin.items():
        paper.say(f"  {name:<12}  {url}/metrics")
    paper.say("  members       " + ", ".join(f"{member} has {credits}" for member, credits in CREDIT.items())
              + "; a booking costs 1 credit")


def tell_story(paper: Paper, town: Town, free: Iterator[datetime.datetime]) -> list[Outcome]:
    paper.title("People book on Cal.com, which sends its signed webhooks")
    bookings = []
    for member, _ in STORY:
        slot = next(free)
        bookings.append((member, *book(town, member, slot)))
        paper.say(f"  {member:<7} asks for {slot:%a %d %b, %H:%M} UTC")
    outcomes = [outcome(town, *booking) for booking in bookings]

    paper.title("Tollgate has decided")
    paper.table(["Booking", "Member", "Decision", "Because", "Cal.com says", "Credit"],
                [[str(o.booking), o.member, o.decision, o.reason, o.calcom, o.credit] for o in outcomes], wide=3)
    paper.say(f"From webhook to Cal.com's answer: {', '.join(str(o.took_ms) for o in outcomes)} ms; "
              f"median {statistics.median(o.took_ms for o in outcomes):g} ms.")
    return outcomes


def check(paper: Paper, town: Town, outcomes: list[Outcome]) -> None:
    """The story must have ended as it should, at Cal.com and in the books."""
    wrong = []
    for (member, expected), o in zip(STORY, outcomes):
        if (o.state, o.calcom) != (expected, expected) or not o.reason:
            wrong.append(f"booking {o.booking} of {member} should be {expected} with a reason: Tollgate has it "
                         f"as {o.state} (\"{o.reason}\"), Cal.com as {o.calcom}")
    for member, granted in CREDIT.items():
        spent = STORY.count((member, "accepted"))
        expected = {"balance": str(granted - spent), "held": "0", "spent": str(spent)}
        account = town.redis_hash(f"{{tollgate}}:credit:{email(member)}")
        if not expected.items() <= account.items():
            wrong.append(f"{member}'s account should be {expected}, it is {account}")
    if town.redis("EXISTS", f"{{tollgate}}:credit:{email('Mallory')}") != ["0"]:
        wrong.append("there should be no account for Mallory")
    if wrong:
        raise Trouble("; ".join(wrong))
    verdicts = [verdict for _, verdict in STORY]
    paper.say(f"{verdicts.count('accepted')} accepted, {verdicts.count('rejected')} rejected: as it should be, "
              "at Cal.com and in the books.")


def advise(paper: Paper, town: Town, keep: bool, booking: int) -> None:
    paper.title("Look for yourself, in another terminal" if keep else
                "Look for yourself: scripts/demo --keep stays up and prints these lines with its port")
    text = (LOOK + DO if keep else LOOK).format(
        port=town.redis_port if keep else "PORT", calcom=town.calcom_url, booking=booking)
    lines = [line.split(" # ") for line in text.splitlines()]
    width = max(len(command) for command, _ in lines)
    for command, meaning in lines:
        paper.say(f"  {command:<{width}}  {paper.paint(meaning, 'dim')}")
    paper.title("With a real Cal.com")
    for line in NEXT.splitlines():
        paper.say(f"  {line}")


def grant(paper: Paper, town: Town) -> None:
    member = random.choice(list(CREDIT))
    balance = town.redis("HINCRBY", f"{{tollgate}}:credit:{email(member)}", "balance", "1")[0]
    paper.say(f"       {member:<7}  is given 1 credit and has {balance}")


def keep_going(paper: Paper, town: Town, free: Iterator[datetime.datetime]) -> None:
    """Until somebody stops it."""
    paper.title(f"A booking every {KEEP_SECONDS} s, until Ctrl-C")
    for number in itertools.count(1):
        pause(KEEP_SECONDS)
        if number % 3 == 0:
            grant(paper, town)
        member = random.choices([*CREDIT, "Mallory"], [3, 3, 3, 1])[0]
        o = outcome(town, member, *book(town, member, next(free)))
        paper.say(f"{o.booking:<5}  {member:<7}  {paper.verdict(o.state.ljust(8))}  {o.reason}")


def show_logs(town: Town) -> None:
    for program in town.programs:
        status = "" if program.is_running() else f" (exit status {program.process.returncode})"
        print(f"---- the log of {program.name}{status} ends with", file=sys.stderr)
        print("\n".join(program.tail(60 if program.name == "make" else 15)), file=sys.stderr)


def play(paper: Paper, keep: bool) -> int:
    """Answers the exit status."""
    with Town() as town:
        staying = False
        try:
            prepare(paper, town)
            free = slots()
            outcomes = tell_story(paper, town, free)
            check(paper, town, outcomes)
            advise(paper, town, keep, outcomes[0].booking)
            staying = keep
            if keep:
                keep_going(paper, town, free)
        except Stopped as stop:
            paper.say("\nStopping …")
            return 0 if staying and stop.number == signal.SIGINT else 128 + stop.number
        except Trouble as trouble:
            show_logs(town)
            print(f"scripts/demo: {trouble}", file=sys.stderr)
            return 1
    return 0


def main() -> int:
    note_signals()
    try:
        return play(Paper(), "--keep" in sys.argv[1:])
    except BrokenPipeError:  # nobody reads on; the programs have ended
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1


if __name__ == "__main__":
    sys.exit(main())
