"""Books for ever at a gate that runs already, and tells what becomes of each booking: the service `demo` of
docker-compose.yml. Usage: visit.py REDIS_HOST REDIS_PORT CALCOM_URL API_KEY"""

import itertools
import sys

from asking import Asking
from bookings import CREDIT, KEEP_SECONDS, keep_going, open_accounts, slots
from paper import Paper
from waiting import Stopped, Trouble, note_signals, pause, wait_for

START_SECONDS = 60


def is_open(town: Asking) -> bool:
    """The services start in no order: everybody is there when a webhook is answered and a worker works."""
    try:
        ping = town.calcom("POST", "/control/ping", {})
        return ping["webhooks"][0]["status"] == 200 and town.redis("ZCARD", "{tollgate}:workers") != ["0"]
    except Trouble:
        return False


def visit(paper: Paper, town: Asking) -> None:
    paper.title("Tollgate, the demo: a Redis, an ingest and a worker, with a fake Cal.com")
    wait_for(lambda: is_open(town), START_SECONDS, "ingest, worker and the fake Cal.com to be ready")
    open_accounts(town)
    paper.say("members: " + ", ".join(f"{member} has {credits}" for member, credits in CREDIT.items())
              + "; a booking costs 1 credit")
    # Started again it does not ask for the slots that it has: those would be duplicates.
    free = itertools.islice(slots(), int(town.redis("XLEN", "{tollgate}:decisions")[0]), None)
    while True:
        try:
            keep_going(paper, town, free)
        except Trouble as trouble:  # somebody plays with the services, which the demo is for
            paper.say(f"the demo goes on: {trouble}")
            pause(KEEP_SECONDS)


def main() -> int:
    note_signals()
    host, port, calcom_url, api_key = sys.argv[1:]
    try:
        visit(Paper(), Asking(host, int(port), calcom_url, api_key))
    except Stopped:
        return 0
    except Trouble as trouble:
        print(f"demo: {trouble}", file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main())
