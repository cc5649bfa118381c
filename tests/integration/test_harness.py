"""The harness itself: a check that cannot fail is worth nothing."""

import sys

import pytest

import harness
from logfmt import parse_logfmt


def test_samples_have_the_signatures_that_are_written_beside_them():
    lines = (harness.SAMPLES / "SIGNATURES.txt").read_text().splitlines()
    vectors = [line.split() for line in lines if not line.startswith("#")]
    assert {name for name, _, _ in vectors} == {path.name for path in harness.SAMPLES.glob("*.json")}
    for name, size, signature in vectors:
        body = (harness.SAMPLES / name).read_bytes()
        assert (len(body), harness.sign(body)) == (int(size), signature), name


def test_a_sample_with_fields_replaced():
    assert harness.sample("BROKEN_TEMPLATE") == b"false"
    body = harness.sample("BOOKING_REQUESTED", createdAt="now", **{"payload.bookingId": 5})
    raw = harness.sample("BOOKING_REQUESTED")
    back = body.replace(b'"now"', b'"2026-03-09T08:15:30.412Z"').replace(b'"bookingId":5,', b'"bookingId":48213,')
    assert back == raw


def test_logfmt_is_read_back():
    line = r'time=1 level=info msg="a \"b\" = \\ c" empty="" n=5 path=/x?y code="\u000a"'
    assert parse_logfmt(line) == {"time": "1", "level": "info", "msg": 'a "b" = \\ c', "empty": "", "n": "5",
                                          "path": "/x?y", "code": "\n"}


def test_wait_for_says_what_it_waited_for():
    with pytest.raises(AssertionError, match="in vain for the moon"):
        harness.wait_for(lambda: False, timeout=0.02, what="the moon")


def script(house, text):
    """A program that is a few lines of Python."""
    return house.add(harness.Program(house.room("script"), [sys.executable, "-c", text], {}))


@pytest.mark.parametrize("text, complaint", [
    ("import sys; print('level=error msg=\"it broke\"', file=sys.stderr)", "it broke"),
    ("import sys; print('==7==ERROR: AddressSanitizer: heap-use-after-free', file=sys.stderr)", "AddressSanitizer"),
    ("import sys; print('x.c:5:3: runtime error: signed integer overflow', file=sys.stderr)", "integer overflow"),
    ("import os; os.abort()", "died of signal 6"),
])
def test_what_a_program_leaves_behind_is_read(tmp_path, text, complaint):
    house = harness.House(tmp_path)
    script(house, text).process.wait()
    assert complaint in "\n".join(house.close())


def test_an_error_that_was_announced_is_no_complaint(tmp_path):
    house = harness.House(tmp_path)
    script(house, "import sys; print('level=error msg=\"it broke\"', file=sys.stderr)").process.wait()
    house.allow_errors.append("it broke")
    assert house.close() == []


def test_what_a_test_killed_is_no_crash(tmp_path):
    house = harness.House(tmp_path)
    script(house, "import time; time.sleep(60)").kill9()
    assert house.close() == []


def test_a_redis_that_was_killed_comes_back_on_its_port(house):
    server = house.redis(appendonly=True)
    client = server.client()
    client.set("kept", "yes")
    server.kill9()
    server.restart()
    assert client.get("kept") == "yes"


def test_a_gate_is_wired_together(gate):
    """Redis, ingest, a worker and the fake Cal.com: one booking goes all the way round."""
    gate.credit("ann@example.com", balance=5)
    booked = gate.fake.book("ann@example.com")
    assert [delivery["status"] for delivery in booked["webhooks"]] == [202]
    assert gate.wait_settled(booked["id"])["state"] == "accepted"
    assert gate.fake.booking(booked["id"])["status"] == "ACCEPTED"
    assert gate.account("ann@example.com")["balance"] == 4
    assert gate.post(gate.sample("PING")).status_code == 200
    gate.wait_idle()


@pytest.mark.parametrize("dialect", ["v1", "v2"])
def test_programs_come_back_after_a_kill(make_gate, dialect):
    """Ingest on the port that Cal.com was told."""
    gate = make_gate(workers=2, dialect=dialect)
    url = gate.ingest.url
    for daemon in [gate.ingest, *gate.workers]:
        daemon.kill9()
        daemon.restart()
    assert gate.ingest.url == url
    gate.credit("ann@example.com", balance=5)
    assert gate.wait_settled(gate.fake.book("ann@example.com")["id"])["state"] == "accepted"
