"""The service `demo` of docker-compose.yml, as a process at a gate of the tests."""

import os
import re
import signal
import subprocess
import sys

import pytest

import harness

sys.path.insert(0, str(harness.ROOT / "scripts" / "lib" / "demo"))
import asking  # noqa: E402

VISIT = harness.ROOT / "scripts/lib/demo/visit.py"


@pytest.fixture
def visit(gate, tmp_path):
    """visit() → the process; its words are in visit.log, one after the other."""
    started = []

    def start():
        with open(tmp_path / "visit.log", "ab") as log:
            started.append(subprocess.Popen(
                ["/usr/bin/python3", VISIT, "127.0.0.1", str(gate.redis.port), gate.fake.url, harness.API_KEY],
                env={"PATH": os.environ["PATH"], "LANG": "C.UTF-8"}, stdout=log, stderr=log))
        return started[-1]

    yield start
    for process in started:
        process.kill()
        process.wait()


def test_bookings_come_by_themselves_and_go_on_after_a_restart(gate, visit, tmp_path):
    def told():
        return re.findall(r"^(\d+) +(\w+) +(accepted|rejected) ", (tmp_path / "visit.log").read_text(), re.M)

    first = visit()
    harness.wait_for(lambda: len(told()) >= 1, 30, "a booking to be told")
    first.send_signal(signal.SIGTERM)
    assert first.wait(10) == 0
    before = len(told())

    visit()
    harness.wait_for(lambda: len(told()) > before, 30, "another one")
    for booking, _, state in told():
        assert gate.booking(booking)["state"] == state
    # Nobody asks for a slot that is taken: it would be declined as a duplicate.
    starts = [gate.booking(booking)["start"] for booking, _, _ in told()]
    assert len(set(starts)) == len(starts)
    # The second start gave nobody the first credit again.
    granted = {"alice": 2, "bob": 1, "carol": 1}
    for member, credits in granted.items():
        account = gate.account(f"{member}@example.com")
        assert sum(account[purse] for purse in ("balance", "held", "spent")) == credits


def test_a_booking_that_was_called_for_twice_is_read_right(library, shared_redis):
    """Its calls are lines: one that was looked at first, while the queue was paused say, has two."""
    library.client.hset(library.key("booking:1"), mapping={"calls": "1 2 get 200 done\n3 4 confirm 200 done", "requested_ms": "5"})
    town = asking.Asking("127.0.0.1", shared_redis.port, "", "")
    key = library.key("booking:1")
    assert town.redis_hash(key) == {"calls": "1 2 get 200 done\n3 4 confirm 200 done", "requested_ms": "5"}
    assert town.redis_hash(library.key("booking:2")) == {}
    library.client.delete(key)
