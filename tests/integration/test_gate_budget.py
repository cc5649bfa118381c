"""Cal.com is treated well: one budget and one breaker for all workers, with the real programs."""

import time

import pytest

from gates import REAL, pass_time
from harness import API_KEY, wait_for
from outcomes import ANN, BOB, BOTH, CONFIRM, acts, purses, wait_place

both = pytest.mark.parametrize("dialect", BOTH)


def shift(gate, ms):
    pass_time(gate, gate.key("gate:" + REAL), ms)


def hash_of(gate):
    return gate.client.hgetall(gate.key("gate:" + REAL))


def book(gate, count, email=ANN):
    gate.credit(email, balance=100)
    return [made["id"] for made in gate.fake.book(email, count=count)["bookings"]]


def wait_held(gate, reason, workers=None):
    series = f'tollgate_worker_held_total{{reason="{reason}"}}'
    for worker in workers or gate.workers:
        wait_for(lambda: worker.metrics()[series], what=f"a hold for {reason}")


# ---- The budget ----

@both
def test_two_workers_share_one_budget(make_gate, dialect):
    gate = make_gate(workers=2, dialect=dialect, worker_env={"CALCOM_RATE_LIMIT": "10"})
    ids = book(gate, 20)
    wait_held(gate, "budget")
    time.sleep(1)  # what is measured is that nothing more goes out
    made = gate.fake.calls()
    assert 8 <= len(made) <= 10 and {call["status"] for call in made} == {200}
    assert sum(gate.booking(id)["state"] == "waiting" for id in ids) >= 9, "the rest is not even decided"
    assert {gate.booking(id)["attempts"] for id in ids} == {"0"}
    metrics = gate.worker.metrics()
    assert metrics["tollgate_calcom_budget_limit"] == 10
    assert metrics["tollgate_calcom_budget_used"] >= 9 and metrics["tollgate_calcom_budget_left"] <= 1
    shift(gate, 60000)  # the last 3 s are waited for
    for worker in gate.workers:
        worker.restart()
    wait_for(lambda: len(gate.fake.calls()) > len(made), what="the next calls")
    wait_held(gate, "budget")
    assert len(gate.fake.calls()) <= len(made) + 10
    assert set(gate.fake.stats()["byStatus"]) == {"200"}


def test_never_more_than_the_limit_within_a_minute(make_gate):
    """Slow: a real window. A Cal.com that allows no more than we think would answer 429."""
    gate = make_gate(workers=3, worker_env={"CALCOM_RATE_LIMIT": "12"})
    gate.fake.config(rateLimit=12)
    ids = book(gate, 15)
    for id in ids:
        assert gate.wait_settled(id, 90)["state"] == "accepted"
    calls = sorted(call["t_ms"] for call in gate.fake.calls())
    assert len(calls) >= 15 and {call["status"] for call in gate.fake.calls()} == {200}
    for i, began in enumerate(calls):
        assert sum(began <= other <= began + 60000 for other in calls[i:]) <= 12
    assert purses(gate) == (85, 0, 15)


def test_an_act_has_its_call_kept(make_gate):
    """Looks must not use up what the acts need."""
    gate = make_gate(workers=2, worker_env={"CALCOM_RATE_LIMIT": "8", "TOLLGATE_FRESH_MS": "0"})
    ids = book(gate, 12)
    wait_held(gate, "budget")
    wait_for(lambda: len(gate.fake.calls()) == 8, what="the whole budget")
    assert sum(call["action"] == "confirm" for call in gate.fake.calls()) == 4
    wait_for(lambda: [gate.booking(id)["state"] for id in ids].count("accepted") == 4, what="four to be settled")


def test_without_a_limit_nothing_is_counted(gate):
    for id in book(gate, 20):
        gate.wait_settled(id)
    assert list(gate.client.scan_iter(match=gate.key("gate:*"))) == []
    assert gate.worker.metrics()["tollgate_calcom_budget_left"] == -1


def test_no_key_is_in_the_names_of_the_keys(make_gate):
    gate = make_gate(worker_env={"CALCOM_RATE_LIMIT": "50"})
    gate.wait_settled(book(gate, 1)[0])
    keys = list(gate.client.scan_iter(match="*"))
    assert gate.key("gate:" + REAL) in keys and not any(API_KEY in key for key in keys)


def test_the_default_depends_on_the_dialect(make_gate):
    for dialect, limit in (("v1", 25), ("v2", 100)):
        gate = make_gate(dialect=dialect, worker_env={"CALCOM_RATE_LIMIT": ""})
        gate.wait_settled(book(gate, 1)[0])
        assert gate.worker.metrics()["tollgate_calcom_budget_limit"] == limit


@both
@pytest.mark.parametrize("suffix", ["", "-Default"])
def test_somebody_else_uses_the_key(make_gate, dialect, suffix):
    """What Cal.com says is left is not overrun, however much our own window believes."""
    gate = make_gate(workers=2, dialect=dialect, worker_env={"CALCOM_RATE_LIMIT": "50"})
    said = {f"X-RateLimit-Limit{suffix}": "30", f"X-RateLimit-Remaining{suffix}": "4",
            f"X-RateLimit-Reset{suffix}": str(int(time.time()) + 30)}
    body = {"status": "success", "data": {"status": "accepted"}, "booking": {"status": "ACCEPTED"}}
    gate.fake.fault("status", "act", status=200, headers=said, body=body)
    gate.wait_settled(book(gate, 1)[0])
    wait_for(lambda: hash_of(gate).get("api_left"), what="the word to spread")
    book(gate, 10)
    wait_held(gate, "budget", gate.workers[:1])
    time.sleep(1)  # what is measured is that nothing more goes out
    assert 1 + 2 <= len(gate.fake.calls()) <= 1 + 4
    assert gate.worker.log_lines("Cal.com allows fewer calls than CALCOM_RATE_LIMIT says") or \
        gate.workers[1].log_lines("Cal.com allows fewer calls than CALCOM_RATE_LIMIT says")


# ---- 429 ----

@both
def test_a_429_to_one_worker_stops_the_other(make_gate, dialect):
    gate = make_gate(workers=2, dialect=dialect)
    gate.fake.fault("throttle", reset=3)
    first = book(gate, 1)[0]
    wait_place(gate, first, "retry")
    ids = book(gate, 8, BOB)
    wait_held(gate, "throttled")
    assert len(gate.fake.calls()) == 1
    records = [gate.wait_settled(id) for id in [first, *ids]]
    assert {(b["state"], b["attempts"]) for b in records} == {("accepted", "0")}
    calls = gate.fake.calls()
    assert min(call["t_ms"] for call in calls[1:]) - calls[0]["t_ms"] >= 2900
    assert [call["status"] for call in calls].count(429) == 1
    assert all(worker.metrics()["tollgate_calcom_throttled_total"] == 1 for worker in gate.workers)


def test_v1_is_never_locked_however_many_are_waiting(make_gate):
    """Everything is answered 429, and slowly: at most three calls learn it, of five that lock the account."""
    gate = make_gate(workers=3, dialect="v1", worker_env={"CALCOM_RATE_LIMIT": "1000"})
    gate.fake.config(latencyMs=300)
    gate.fake.fault("throttle", reset=1, times=-1)
    ids = book(gate, 30)
    wait_held(gate, "lock")
    time.sleep(1.5)  # what is measured is that nothing more goes out
    assert [call["status"] for call in gate.fake.calls()] == [429] * 3
    assert {gate.booking(id)["attempts"] for id in ids} == {"0"}
    assert gate.fake.stats()["maxConcurrent"] <= 3
    gate.fake.clear_faults()
    shift(gate, 3660000)
    for worker in gate.workers:
        worker.restart()
    assert {gate.wait_settled(id)["state"] for id in ids} == {"accepted"}
    assert gate.fake.stats()["maxConcurrent"] <= 3


# ---- The breaker ----

def test_a_failing_calcom_is_left_alone_by_all_workers(make_gate):
    gate = make_gate(workers=2)
    gate.fake.fault("status", "any", times=-1, status=503)
    ids = book(gate, 30)
    for worker in gate.workers:
        worker.wait_log("Cal.com fails; no booking is taken until a probe succeeds", level="warn", cause="failures")
    wait_for(lambda: all(gate.booking(id)["place"] != "active" for id in ids), what="empty hands")
    made, burned = len(gate.fake.calls()), sum(int(gate.booking(id)["attempts"]) for id in ids)
    assert burned <= 64, "those that were on their way"
    book(gate, 10, BOB)
    time.sleep(1)  # what is measured is that nothing happens
    assert len(gate.fake.calls()) <= made + 1
    assert all(worker.is_ready() for worker in gate.workers)
    gate.fake.clear_faults()
    for id in ids:
        assert gate.wait_settled(id, 60)["state"] == "accepted"
    for worker in gate.workers:
        worker.wait_log("Cal.com answers again")
    assert purses(gate) == (70, 0, 30)
    # Nothing burned while it was open.
    assert sum(int(gate.booking(id)["attempts"]) for id in ids) == burned


def test_the_probe_is_one_call(make_gate):
    gate = make_gate(workers=2, worker_env={"CALCOM_TIMEOUT_MS": "2000"})
    gate.fake.fault("status", "any", times=-1, status=500)
    ids = book(gate, 20)
    wait_for(lambda: hash_of(gate).get("cause") == "failures", what="the breaker to open")
    wait_for(lambda: all(gate.booking(id)["place"] != "active" for id in ids), what="empty hands")
    made = len(gate.fake.calls())
    gate.fake.clear_faults()
    gate.fake.fault("latency", "any", ms=600)
    shift(gate, 7000)
    wait_for(lambda: len(gate.fake.calls()) > made, what="the probe")
    for id in ids:
        gate.wait_settled(id, 40)
    probe, *calls = gate.fake.calls()[made:]
    assert probe["end_ms"] - probe["t_ms"] >= 590 and min(call["t_ms"] for call in calls) >= probe["end_ms"]


def test_a_failure_now_and_then_opens_nothing(gate):
    for _ in range(4):
        gate.fake.fault("status", "confirm", status=500)
        gate.wait_settled(book(gate, 1)[0])
    assert gate.worker.log_lines(cause="failures") == []
    assert int(hash_of(gate)["failures"]) == 0


# ---- The key ----

@both
def test_a_booking_that_is_not_ours_stops_nobody(make_gate, dialect):
    """401 for one booking, and /me knows the key."""
    gate = make_gate(dialect=dialect)
    says = {"message": "Not your booking", "error": {"message": "Not your booking"}}
    gate.fake.fault("status", "act", status=401, body=says)
    id = book(gate, 1)[0]
    b = gate.wait_settled(id)
    assert (b["state"], b["place"], b["attempts"]) == ("failed", "dead", "0") and "Not your booking" in b["last_error"]
    assert [call["action"] for call in gate.fake.calls()] == [CONFIRM[dialect], "me"]
    assert purses(gate) == (100, 0, 0)
    assert gate.wait_settled(book(gate, 1, BOB)[0])["state"] == "accepted"
    assert gate.worker.is_ready() and gate.worker.metrics()['tollgate_worker_calcom_calls_total{call="me"}'] == 1


def test_a_key_without_rights_loses_two_bookings_and_stops(gate):
    gate.allow_errors.append("Cal.com refuses one booking after the other")
    gate.fake.fault("status", "act", times=-1, status=403)
    ids = book(gate, 3)
    gate.worker.wait_log(level="error", cause="rights")
    ids += book(gate, 5, BOB)
    wait_for(lambda: all(gate.booking(id)["place"] != "active" for id in ids[:3]), what="empty hands")
    states = [gate.booking(id)["state"] for id in ids]
    assert states.count("failed") == 2 and states.count("waiting") == 5
    assert gate.worker.get("/readyz").status_code == 503


def test_a_refused_key_is_probed_by_one_worker_with_me(make_gate):
    gate = make_gate(workers=2)
    gate.allow_errors.append("Cal.com refuses the key")
    gate.fake.fault("status", "any", times=-1, status=401)
    ids = book(gate, 6)
    for worker in gate.workers:
        worker.wait_log(level="error", cause="credentials")
        wait_for(lambda: not worker.is_ready(), what="/readyz to say no")
    wait_for(lambda: all(gate.booking(id)["place"] != "active" for id in ids), what="empty hands")
    made = len(gate.fake.calls())
    shift(gate, 31000)
    wait_for(lambda: len(gate.fake.calls()) > made, what="the probe")
    assert [call["action"] for call in gate.fake.calls()[made:]] == ["me"]
    gate.fake.clear_faults()
    shift(gate, 31000)
    for worker in gate.workers:
        worker.wait_log("Cal.com answers again")
        worker.wait_ready()
    for id in ids:  # whoever was in hand waits for its half minute
        gate.client.zadd(gate.key("retry"), {id: 1}, xx=True)
    gate.wait_settled(book(gate, 1, BOB)[0])
    records = [gate.wait_settled(id) for id in ids]
    assert {(b["state"], b["attempts"]) for b in records} == {("accepted", "0")}


@both
def test_nothing_is_acted_on_twice_through_all_that(make_gate, dialect):
    gate = make_gate(workers=2, dialect=dialect, worker_env={"CALCOM_RATE_LIMIT": "60"})
    gate.fake.fault("status", "any", times=3, status=502)
    gate.fake.fault("throttle", reset=1)
    gate.fake.fault("reset_before", "any", times=2)
    ids = book(gate, 12)
    for id in ids:
        assert gate.wait_settled(id, 60)["state"] == "accepted"
        assert acts(gate, id).count(CONFIRM[dialect]) >= 1
    assert gate.fake.stats()["overlaps"] == 0 and purses(gate) == (88, 0, 12)
