"""The demo's story: three members and a stranger book, Tollgate decides. Started by scripts/demo."""

import datetime
import os
import signal
import statistics
import sys
import time
from typing import Iterator

from bookings import CREDIT, Outcome, book, email, keep_going, open_accounts, outcome, slots
from paper import Paper
from town import CONSOLE_TOKEN, Town
from waiting import Stopped, Trouble, note_signals

STORY = [("Alice", "accepted"), ("Bob", "accepted"), ("Bob", "rejected"), ("Carol", "accepted"),
         ("Mallory", "rejected")]
WORKERS = 2

LOOK = """\
redis-cli -p {port} LRANGE '{{tollgate}}:queue' 0 -1 # who waits (mostly nobody)
redis-cli -p {port} HGETALL '{{tollgate}}:booking:{booking}' # all about one booking
redis-cli -p {port} HGETALL '{{tollgate}}:credit:alice@example.com' # Alice's credit
redis-cli -p {port} XRANGE '{{tollgate}}:ledger:alice@example.com' - + # its every movement
redis-cli -p {port} XREVRANGE '{{tollgate}}:decisions' + - COUNT 3 # the newest decisions"""

# Only while the demo stays up.
DO = """
redis-cli -p {port} HINCRBY '{{tollgate}}:credit:bob@example.com' balance 5 # give Bob 5 credits
curl -d '{{"email": "bob@example.com"}}' {calcom}/control/book # book as Bob
scripts/install-deps operate # what the next lines need
export REDIS_URL=redis://127.0.0.1:{port} # and where they look
scripts/tollgate decisions --outcome reject # who was refused, and why
scripts/tollgate watch # how everything stands, live"""

NEXT = """\
1  In Cal.com, let the event type require confirmation. Under Settings, Developer, Webhooks add
   https://your.host/webhook with a secret of your own, and the events Booking requested, created,
   rejected, cancelled, rescheduled and payment initiated.
2  Start the two programs, both with REDIS_URL, and
     tollgate-ingest  with  WEBHOOK_SECRET=…  (the same secret)
     tollgate-worker  with  CALCOM_API_URL=https://api.cal.com/v2  CALCOM_API_KEY=cal_…
3  Give each member credit:  redis-cli HSET '{tollgate}:credit:alice@example.com' balance 5
README.md says more; --help of both programs lists all settings."""


def prepare(paper: Paper, town: Town) -> None:
    paper.title("Tollgate, the demo")
    began = time.monotonic()
    paper.say("Building (the first time takes a moment) …")
    town.build()
    paper.say(f"Built in {time.monotonic() - began:.0f} s. Starting …")
    town.start(WORKERS)
    open_accounts(town)

    paper.say()
    paper.say(f"  Redis         127.0.0.1:{town.redis_port} (private, in memory only)")
    paper.say(f"  fake Cal.com  {town.calcom_url}")
    paper.say(f"  ingest        {town.webhook_url}")
    paper.say(f"  console       {town.admin['ingest']}/ (sign in with any name and the token {CONSOLE_TOKEN})")
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


def show_logs(town: Town) -> None:
    for program in town.programs:
        status = "" if program.is_running() else f" (exit status {program.process.returncode})"
        print(f"---- the log of {program.name}{status} ends with", file=sys.stderr)
        print("\n".join(program.tail(60 if program.name == "make" else 15)), file=sys.stderr)


def stay(paper: Paper, town: Town, free: Iterator[datetime.datetime]) -> None:
    """Goes on while somebody looks around, and pauses the queue or has Cal.com fail. A program that ended is trouble."""
    while True:
        try:
            keep_going(paper, town, free)
        except Trouble as trouble:
            if not all(program.is_running() for program in town.programs):
                raise
            paper.say(f"the demo goes on: {trouble}")


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
                stay(paper, town, free)
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
