"""The trace that a webhook comes in by (W3C Trace Context) goes on: into the booking's record, out with the calls to
Cal.com, and with the booking's own spans to a collector."""

import os
import signal
import socket
import subprocess
import time

import pytest

from collector import Collector
from harness import BUILD, now_iso, sample, sign, wait_for

ANN = "ann@example.com"

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
PARENT = f"00-{TRACE}-00f067aa0ba902b7-01"


@pytest.fixture
def collector():
    """After the programs: they end first."""
    one = Collector()
    yield one
    one.close()


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


# ---- On to Cal.com ----

def sent(gate, id_):
    """(action, traceparent) of each call about a booking."""
    return [(call["action"], call["traceparent"]) for call in gate.fake.calls(id_)]


def book(gate, traceparent=None, **fields):
    """A booking that no webhook told of by itself; its ID."""
    made = gate.fake.book(ANN, webhook=False)
    headers = {"traceparent": traceparent} if traceparent else {}
    body = requested(made["id"], **{"payload.uid": made["uid"], "payload.responses.email.value": ANN, **fields})
    assert gate.post(body, headers=headers).status_code == 202
    return made["id"]


@pytest.mark.parametrize("dialect", ["v1", "v2"])
@pytest.mark.parametrize("flags", ["01", "00"])
def test_each_call_carries_the_trace_and_a_span_of_its_own(make_gate, dialect, flags):
    gate = make_gate(dialect=dialect, worker_env={"TOLLGATE_FRESH_MS": "0"})
    gate.credit(ANN, balance=5)
    id_ = book(gate, PARENT[:-2] + flags)
    gate.wait_settled(id_)
    calls = [header for _, header in sent(gate, id_)]
    assert len(calls) == 2 and len(set(calls)) == 2
    for header in calls:
        assert header.startswith(f"00-{TRACE}-") and header.endswith("-" + flags) and PARENT[36:52] not in header


def test_without_a_trace_none_is_begun(make_gate):
    gate = make_gate()
    gate.credit(ANN, balance=5)
    id_ = book(gate)
    gate.wait_settled(id_)
    assert sent(gate, id_) == [("confirm", None)]


# ---- To a collector ----

def traced(make_gate, collector, **options):
    env = {"OTEL_EXPORTER_OTLP_ENDPOINT": collector.url + "/", **options.pop("worker_env", {})}
    gate = make_gate(worker_env=env, **options)
    gate.credit(ANN, balance=50)
    return gate


def count(gate, result):
    return sum(worker.metrics()[f'tollgate_worker_traces_total{{result="{result}"}}'] for worker in gate.workers)


def wait_traces(collector, *ids):
    return wait_for(lambda: set(map(str, ids)) <= set(collector.traces()) and collector.traces(), what=f"traces of {ids}")


def test_one_trace_of_a_booking(make_gate, collector):
    gate = traced(make_gate, collector)
    id_ = book(gate, PARENT)
    gate.wait_settled(id_)
    root, *children = wait_traces(collector, id_)[str(id_)]
    assert (root.trace, root.parent, root.kind) == (TRACE, PARENT[36:52], "internal")
    told = {name[len("tollgate."):]: value for name, value in root.told.items()}
    assert told == {"booking": str(id_), "state": "accepted", "decision": "accept", "cost": 1, "takes": 1, "attempts": 0}
    assert sorted(span.name for span in children) == ["confirm", "decided", "queued", "received", "settled"]
    by_name = {span.name: span for span in children}
    call = by_name["confirm"]
    assert (call.kind, call.error, call.told) == ("client", None, {"tollgate.class": "done", "http.response.status_code": 200})
    assert sent(gate, id_) == [("confirm", f"00-{TRACE}-{call.id}-01")], "the span that Cal.com was told of"
    b = gate.booking(id_)
    for name, field, edge in (("received", "received_ms", "from_ns"), ("queued", "queued_ms", "from_ns"),
                              ("decided", "decided_ms", "from_ns"), ("settled", "settled_ms", "to_ns")):
        assert getattr(by_name[name], edge) == int(b[field]) * 10 ** 6, name
    assert root.from_ns == by_name["received"].from_ns and root.to_ns == by_name["settled"].to_ns
    assert {name: value for name, value in root.resource.items() if name != "service.instance.id"} == {
        "service.name": "tollgate-worker", "service.version": root.resource["service.version"], "service.namespace": "tollgate"}
    wait_for(lambda: count(gate, "exported") == 1, what="it to be counted")
    assert gate.worker.metrics()["tollgate_worker_traces_waiting"] == 0


def test_a_trace_of_our_own_is_the_same_in_all_hands(make_gate, collector):
    """Two workers, a call that fails, and one that nobody hears the answer of."""
    gate = traced(make_gate, collector, workers=2, worker_env={"CALCOM_TIMEOUT_MS": "500"})
    gate.fake.fault("status", "confirm", status=502)
    gate.fake.fault("reset_after", "confirm")
    id_ = book(gate)
    gate.wait_settled(id_)
    root, *children = wait_traces(collector, id_)[str(id_)]
    calls = [span for span in children if span.kind == "client"]
    told = sent(gate, id_)
    assert len(calls) == len(told) > 2 and [span.name for span in calls] == [
        "look" if action == "get" else action for action, _ in told]
    assert [f"00-{root.trace}-{span.id}-01" for span in calls] == [header for _, header in told]
    assert [span.error for span in calls if span.error] == ["transient", "unknown"]
    assert root.parent is None and root.told["tollgate.attempts"] >= 1


def test_what_its_beginner_does_not_record_is_not_exported(make_gate, collector):
    gate = traced(make_gate, collector)
    quiet, loud = book(gate, PARENT[:-2] + "00"), book(gate, **{"payload.startTime": "2031-01-01T10:00:00Z"})
    for id_ in (quiet, loud):
        gate.wait_settled(id_)
    assert set(wait_traces(collector, loud)) == {str(loud)}


def test_many_bookings_go_together(make_gate, collector):
    gate = traced(make_gate, collector)
    ids = [made["id"] for made in gate.fake.book("member{n}@example.com", count=150)["bookings"]]
    wait_traces(collector, *ids)
    assert len(collector.requests) < 30 and sum(spans for _, _, spans in collector.requests) == len(collector.spans)
    assert len({span.id for span in collector.spans}) == len(collector.spans)


def test_the_headers_are_sent_and_shown_nowhere(make_gate, collector, tmp_path):
    path = tmp_path / "headers"
    path.write_text("api-key=s3cret%2Cvalue,X-Scope=club\n")
    gate = traced(make_gate, collector, worker_env={"OTEL_EXPORTER_OTLP_HEADERS_FILE": str(path)})
    id_ = book(gate)
    wait_traces(collector, id_)
    headers = collector.requests[0][1]
    assert headers["api-key"] == "s3cret,value" and headers["X-Scope"] == "club"
    assert "s3cret" not in gate.worker.log_text()
    path.write_text("api-key=another\n")
    gate.worker.send_signal(signal.SIGHUP)
    wait_for(lambda: gate.worker.log_lines("SIGHUP: log reopened, reloading"), what="the reload")
    wait_traces(collector, book(gate, **{"payload.startTime": "2031-01-01T10:00:00Z"}))
    assert collector.requests[-1][1]["api-key"] == "another"


@pytest.mark.parametrize("setting, value", [
    ("OTEL_EXPORTER_OTLP_ENDPOINT", "collector:4318"), ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://user:word@collector"),
    ("OTEL_EXPORTER_OTLP_HEADERS", "api-key"), ("OTEL_EXPORTER_OTLP_HEADERS", "a=%0d%0aHost: x")])
def test_what_cannot_be_used_stops_the_start(setting, value):
    env = {"CALCOM_API_URL": "http://127.0.0.1:9/v2", "CALCOM_API_KEY": "k", "OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:9",
           **{name: os.environ[name] for name in ("PATH", "ASAN_OPTIONS", "UBSAN_OPTIONS") if name in os.environ}, setting: value}
    done = subprocess.run([BUILD / "tollgate-worker", "--check"], env=env, text=True, capture_output=True, timeout=30)
    assert done.returncode == 2 and setting in done.stderr and "word" not in done.stderr.replace("password", "")


# ---- A collector that does not take them ----

def test_a_collector_that_comes_back_has_them_all(make_gate, collector):
    gate = traced(make_gate, collector)
    collector.status = 503
    first = book(gate)
    gate.wait_settled(first)
    wait_for(lambda: collector.requests, what="a first try")
    collector.status = 200
    second = book(gate, **{"payload.startTime": "2031-01-01T10:00:00Z"})
    wait_traces(collector, first, second)
    wait_for(lambda: count(gate, "exported") == 2, what="both to be counted")
    assert count(gate, "failed") == count(gate, "dropped") == 0
    assert len(gate.worker.log_lines("the collector does not take traces; bookings go on without")) == 1
    assert len(gate.worker.log_lines("the collector takes traces again")) == 1


def test_what_it_refuses_is_not_sent_again(make_gate, collector):
    gate = traced(make_gate, collector)
    collector.status = 400
    gate.wait_settled(book(gate))
    wait_for(lambda: count(gate, "failed") == 1, what="it to be counted")
    assert len(collector.requests) == 1


def test_it_is_given_up_after_some_tries(make_gate, collector):
    gate = traced(make_gate, collector)
    collector.status = 502
    gate.wait_settled(book(gate))
    wait_for(lambda: count(gate, "failed") == 1, 30, what="it to be given up")
    assert len(collector.requests) == 4


def test_it_is_waited_for_as_long_as_it_says(make_gate, collector):
    gate = traced(make_gate, collector)
    collector.status, collector.headers = 429, {"Retry-After": "3"}
    gate.wait_settled(book(gate))
    wait_for(lambda: len(collector.requests) == 2, what="a second try")
    assert collector.requests[1][0] - collector.requests[0][0] > 2.5


def test_bookings_do_not_wait_for_it(make_gate, collector):
    """It answers to nothing; and what there is no room for is dropped and counted."""
    gate = traced(make_gate, collector)
    collector.slow = 60
    made = gate.fake.book("member{n}@example.com", count=2400)["bookings"]
    wait_for(lambda: gate.client.hlen(gate.key("done")) == len(made), 60, "all bookings")
    waiting = gate.worker.metrics()["tollgate_worker_traces_waiting"]
    assert count(gate, "dropped") > 0 and 0 < waiting <= 2048 + 64
    assert waiting + count(gate, "dropped") + count(gate, "failed") + count(gate, "exported") == len(made)


# ---- The end ----

def test_what_is_left_is_sent_at_the_end(make_gate, collector):
    gate = traced(make_gate, collector)
    id_ = book(gate)
    gate.wait_settled(id_)
    gate.worker.sigterm()
    gate.worker.wait_exit()
    assert set(collector.traces()) == {str(id_)}


@pytest.mark.parametrize("trouble", ["hangs", "refuses", "is gone"])
def test_the_end_waits_not_long_for_it(make_gate, collector, trouble):
    gate = traced(make_gate, collector)
    collector.status, collector.slow = 503, 60 if trouble == "hangs" else 0
    if trouble == "is gone":
        collector.close()
    gate.wait_settled(book(gate))
    since = time.monotonic()
    gate.worker.sigterm()
    gate.worker.wait_exit()
    assert time.monotonic() - since < 6
    assert bool(gate.worker.log_lines("traces are lost: the collector did not take them in time")) == (trouble == "hangs")
