"""Each alert fires by a real fault of real programs, and ends when it is mended. Prometheus runs faster here than it
will, see prometheus.py."""

import itertools
import signal
import threading

import pytest

import gates
from harness import SECRET, now_iso, sample, wait_for

ANN = "ann@example.com"
IDS = itertools.count(1)


def requested(id_, **fields):
    return sample("BOOKING_REQUESTED", createdAt=now_iso(), **{"payload.bookingId": id_, "payload.uid": f"uid-{id_}", **fields})


def book(gate, count=1):
    """That many bookings; their IDs."""
    return [gate.fake.book(ANN)["id"] for _ in range(count)]


def pass_a_minute(gate):
    """As far as the gate to Cal.com can see."""
    gates.pass_time(gate, gate.key("gate:" + gates.REAL), gates.WINDOW_MS)


def test_programs_that_are_gone(make_gate, prometheus):
    gate = make_gate()
    watch = prometheus(gate)
    for daemon, alert in ((gate.ingest, "IngestAbsent"), (gate.worker, "WorkerAbsent")):
        daemon.env["TOLLGATE_ADMIN_LISTEN"] = daemon.address("admin listening")
        daemon.stop()
        watch.expect(alert, "TargetDown")
        daemon.restart()
        watch.expect()


def test_a_worker_that_died(make_gate, prometheus):
    gate = make_gate(workers=2, worker_env={"TOLLGATE_LEASE_MS": "1000"})
    watch = prometheus(gate)
    gate.workers[1].env["TOLLGATE_ADMIN_LISTEN"] = gate.workers[1].address("admin listening")
    gate.workers[1].kill9()
    watch.expect("WorkerDied", among={"TargetDown"})
    gate.workers[1].start()
    watch.expect()


def test_redis_is_away(make_gate, prometheus):
    gate = make_gate(ingest_env={"TOLLGATE_SPOOL_MAX": "1048576"}, appendonly=True)
    gate.allow_errors.extend(["the spool has reached TOLLGATE_SPOOL_MAX", "neither redis nor the spool"])
    watch = prometheus(gate)
    gate.redis.kill9()
    assert gate.post(requested(1)).status_code == 202
    watch.expect("NoLease", "SpoolInUse", "SpoolOld")
    large = {"payload.metadata": {"note": "x" * 6000}}
    wait_for(lambda: gate.post(requested(int(gate.ingest.metrics()["tollgate_ingest_spool_kept_total"]) + 2, **large))
             .status_code == 503, what="a full spool")
    watch.expect("NoLease", "SpoolInUse", "SpoolOld", "WebhooksRefused")
    gate.redis.restart()
    watch.expect(among={"BookingsWait"})
    gate.client = gate.redis.client()
    gate.wait_idle()
    watch.expect(among={"Dead"})


def test_an_event_that_redis_refuses(make_gate, prometheus):
    gate = make_gate()
    gate.allow_errors.append("redis refuses an event for good")
    watch = prometheus(gate)
    gate.client.set(gate.key("booking:7"), "mine")
    assert gate.post(requested(7)).status_code == 202
    watch.expect("SpoolSetAside", among={"SpoolInUse", "SpoolOld"})
    watch.expect()


def test_signatures_that_do_not_fit(make_gate, prometheus):
    gate = make_gate()
    watch = prometheus(gate)

    def post_until(fires, *secrets, **expected):
        def look():
            for secret in secrets:
                gate.post(sample("PING"), secret=secret)
            return set(watch.firing()) == {"Tollgate" + name for name in fires}
        wait_for(look, 30, f"{fires} to fire", every=0.3)
    post_until(["SignatureRefused"], SECRET, "a stranger's")
    post_until([], SECRET)
    post_until(["SignatureRefused", "SecretDoesNotFit"], "a new one")
    post_until([], SECRET)
    post_until(["SignatureRefused"], None)
    watch.expect()


def test_no_webhooks(make_gate, prometheus):
    gate = make_gate()
    watch = prometheus(gate)
    fires = lambda: "TollgateNoWebhooks" in {a["labels"]["alertname"] for a in watch.ask("alerts")["alerts"]
                                             if a["state"] == "firing"}
    gate.fake.ping()
    wait_for(fires, what="the alert")
    gate.fake.ping()
    wait_for(lambda: not fires(), what="it to end")


def test_bookings_that_wait(make_gate, prometheus):
    gate = make_gate(worker_env={"TOLLGATE_CONCURRENCY": "1"})
    gate.credit(ANN, balance=30)
    watch = prometheus(gate)
    gate.fake.config(latencyMs=4000)
    ids = book(gate, 5)
    watch.expect("BookingsWait")
    gate.fake.config(latencyMs=0)
    for id_ in ids:
        gate.wait_settled(id_)
    watch.expect()


def test_bookings_that_take_long(make_gate, prometheus):
    gate = make_gate()
    gate.credit(ANN, balance=30)
    watch = prometheus(gate)
    gate.fake.config(latencyMs=8000)
    ids = book(gate, 5)
    watch.expect("SettlesSlowly")
    gate.fake.config(latencyMs=0)
    for id_ in ids:
        gate.wait_settled(id_)
    watch.expect()


def test_answers_that_take_long(make_gate, prometheus):
    gate = make_gate(ingest_env={"TOLLGATE_SPOOL_AFTER_MS": "1000"}, workers=1)
    watch = prometheus(gate)
    redis = gate.redis.process

    def post():
        """While Redis stands still for a moment, but not so long that it counts as away."""
        redis.send_signal(signal.SIGSTOP)
        timer = threading.Timer(0.75, redis.send_signal, [signal.SIGCONT])
        timer.start()
        assert gate.post(requested(next(IDS))).status_code == 202
        timer.join()
        return "TollgateAnswersSlowly" in watch.firing()
    wait_for(post, 30, "the alert")
    watch.expect(among={"Dead"})


def test_traces_that_nobody_takes(make_gate, prometheus):
    gate = make_gate(worker_env={"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:9"})
    gate.credit(ANN, balance=1)
    watch = prometheus(gate)
    book(gate)
    watch.expect("TracesLost")
    watch.expect()


def test_a_paused_queue(make_gate, prometheus):
    gate = make_gate()
    watch = prometheus(gate)
    gate.client.fcall("tollgate_pause", 1, gate.key("queue"), "nora", "")
    gate.credit(ANN, balance=1)
    book(gate)
    watch.expect("QueuePaused")
    wait_for(lambda: gate.worker.metrics()["tollgate_queue_oldest_seconds"] > 3, what="the booking to wait")
    watch.expect("QueuePaused")
    gate.client.fcall("tollgate_resume", 1, gate.key("queue"), "nora")
    watch.expect()


def test_a_dead_booking(make_gate, prometheus):
    gate = make_gate()
    watch = prometheus(gate)
    gate.credit(ANN, balance="many")
    id_, = book(gate)
    watch.expect("Dead")
    gate.credit(ANN, balance=1)
    gate.client.fcall("tollgate_requeue", 1, gate.key("queue"), "nora", "", 86400000, id_)
    gate.wait_settled(id_)
    watch.expect()


@pytest.mark.parametrize("status, alert", [(401, "KeyRefused"), (503, "BreakerOpen")])
def test_calls_that_fail(make_gate, prometheus, status, alert):
    gate = make_gate()
    gate.allow_errors.append("Cal.com refuses the key")
    gate.credit(ANN, balance=9)
    watch = prometheus(gate)
    gate.fake.fault("status", "any", times=-1, status=status)
    ids = book(gate, 6)
    watch.expect(alert, among={"BookingsWait"})
    gate.fake.clear_faults()
    pass_a_minute(gate)
    for id_ in ids:
        gate.wait_settled(id_, 40)
    watch.expect()


def test_a_budget_that_is_used_up(make_gate, prometheus):
    gate = make_gate(worker_env={"CALCOM_RATE_LIMIT": "20"})
    gate.credit(ANN, balance=40)
    watch = prometheus(gate)
    book(gate, 24)
    watch.expect("BudgetNearlyUsed", among={"BookingsWait"})
    pass_a_minute(gate)
    gate.worker.env["TOLLGATE_ADMIN_LISTEN"] = gate.worker.address("admin listening")
    gate.worker.restart()  # it had been told for how long it has to wait
    gate.wait_idle()
    pass_a_minute(gate)
    watch.expect(among={"WorkerAbsent", "TargetDown"})
    watch.expect()


def test_answers_429(make_gate, prometheus):
    gate = make_gate()
    gate.credit(ANN, balance=1)
    watch = prometheus(gate)
    gate.fake.fault("throttle", reset=1)
    id_, = book(gate)
    watch.expect("Throttled", among={"BookingsWait"})
    gate.wait_settled(id_)
    watch.expect()


def test_books_that_are_wrong(make_gate, prometheus):
    gate = make_gate(worker_env={"TOLLGATE_SWEEP_INTERVAL": "1"})
    gate.credit(ANN, balance=5)
    id_, = book(gate)
    gate.wait_settled(id_)
    watch = prometheus(gate)
    gate.client.hset(gate.key(f"booking:{id_}"), "charged", 0)
    watch.expect("Drift")
    gate.client.hset(gate.key(f"booking:{id_}"), "charged", 1)
    watch.expect()
    gate.credit(ANN, held=3)
    watch.expect("BookDoesNotBalance")
    gate.credit(ANN, held=0)
    watch.expect()
