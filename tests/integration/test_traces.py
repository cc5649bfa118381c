"""The trace that a webhook comes in by (W3C Trace Context) goes on: into the booking's record, and out with the calls to
Cal.com."""

import socket

import pytest

from harness import now_iso, sample, sign, wait_for

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
PARENT = f"00-{TRACE}-00f067aa0ba902b7-01"


def requested(id_, **fields):
    return sample("BOOKING_REQUESTED", createdAt=now_iso(), **{"payload.bookingId": id_, "payload.uid": f"uid-{id_}", **fields})


def test_a_webhooks_trace_is_kept_with_the_booking(make_gate):
    gate = make_gate(workers=0)
    assert gate.post(requested(1), headers={"traceparent": PARENT}).status_code == 202
    assert gate.post(requested(2), headers={"TraceParent": PARENT[:-1] + "0"}).status_code == 202
    assert gate.post(requested(3)).status_code == 202
    assert [gate.booking(id_).get("traceparent") for id_ in (1, 2, 3)] == [PARENT, PARENT[:-1] + "0", None]


@pytest.mark.parametrize("bad", ["", "no", PARENT.upper(), "01" + PARENT[2:], PARENT + "-x", PARENT.replace(TRACE, "0" * 32)])
def test_what_is_none_is_left_out(make_gate, bad):
    gate = make_gate(workers=0)
    assert gate.post(requested(1), headers={"traceparent": bad}).status_code == 202
    assert "traceparent" not in gate.booking(1)


def test_two_of_them_are_none(make_gate):
    gate = make_gate(workers=0)
    body = requested(1)
    host, port = gate.ingest.address("listening").rsplit(":", 1)
    head = (f"POST /webhook HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\nX-Cal-Signature-256: {sign(body)}\r\n"
            f"traceparent: {PARENT}\r\ntraceparent: {PARENT}\r\n\r\n").encode()
    with socket.create_connection((host, int(port)), timeout=10) as connection:
        connection.sendall(head + body)
        assert b" 202 " in connection.recv(4096)
    assert "traceparent" not in gate.booking(1)


def test_it_goes_through_the_spool(make_gate):
    gate = make_gate(workers=0, appendonly=True)
    gate.redis.kill9()
    assert gate.post(requested(1), headers={"traceparent": PARENT}).status_code == 202
    gate.redis.restart()
    gate.client = gate.redis.client()
    wait_for(lambda: gate.booking(1).get("traceparent") == PARENT, what="the booking")
