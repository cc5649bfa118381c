"""Every worker shows how everything stands, whether it does something or not."""

from gates import REAL
from harness import wait_for

ANN = "ann@example.com"


def shows(worker, **numbers):
    """Waits until the worker's metrics are these (without `tollgate_`)."""
    def look():
        metrics = worker.metrics()
        return all(metrics["tollgate_" + name] == value for name, value in numbers.items())
    wait_for(look, what=f"{worker.pid} to show {numbers}")


def test_all_workers_show_the_same(make_gate):
    gate = make_gate(workers=2)
    for worker in gate.workers:
        shows(worker, workers=2, queue_length=0, queue_oldest_seconds=0, dead_bookings=0, queue_paused=0)
    gate.client.fcall("tollgate_pause", 1, gate.key("queue"), "nora", "")
    gate.credit(ANN, balance=2)
    id_ = gate.fake.book(ANN)["id"]
    gate.client.hincrby(gate.key(f"booking:{id_}"), "queued_ms", -3600000)
    gate.client.zadd(gate.key("dead"), {"77": 1})
    for worker in gate.workers:
        shows(worker, queue_length=1, queue_paused=1, dead_bookings=1)
        assert 3600 <= worker.metrics()["tollgate_queue_oldest_seconds"] < 3700
    gate.client.fcall("tollgate_resume", 1, gate.key("queue"), "nora")
    gate.wait_settled(id_)
    for worker in gate.workers:
        shows(worker, queue_length=0, queue_paused=0, queue_oldest_seconds=0)


def test_a_ledger_that_is_not_in_order_is_told_by_one_and_shown_by_all(make_gate):
    gate = make_gate(workers=2)
    gate.credit(ANN, balance=2)
    gate.wait_settled(gate.fake.book(ANN)["id"])
    for worker in gate.workers:
        wait_for(lambda: worker.metrics()["tollgate_audit_age_seconds"] >= 0, what="the audit")
        shows(worker, unbalanced_accounts=0)
    gate.client.hset(gate.key("credit:" + ANN), "held", 1)
    for worker in gate.workers:
        shows(worker, unbalanced_accounts=1)
    lines = [line for worker in gate.workers for line in worker.log_lines("a ledger is not in order; it is listed under unbalanced")]
    assert [(line["account"], line["what"]) for line in lines] == [(ANN, "held is 1, the ledger says 0")]
    gate.client.hset(gate.key("credit:" + ANN), "held", 0)
    for worker in gate.workers:
        shows(worker, unbalanced_accounts=0)


def test_a_breaker_that_closed_is_seen_by_a_worker_that_has_nothing_to_do(make_gate):
    gate = make_gate(workers=2)
    gate.credit(ANN, balance=1)
    gate.wait_settled(gate.fake.book(ANN)["id"])
    gate.allow_errors.append("Cal.com refuses the key")
    key = gate.key("gate:" + REAL)
    gate.client.hset(key, mapping={"cause": "credentials", "note": "by hand", "probe_ms": 9999999999999})
    for worker in gate.workers:
        shows(worker, **{'calcom_breaker_open{cause="credentials"}': 1})
    gate.client.hset(key, "cause", "")
    for worker in gate.workers:
        shows(worker, **{'calcom_breaker_open{cause="credentials"}': 0})
