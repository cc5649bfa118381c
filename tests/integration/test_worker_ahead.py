"""A worker has a quarter more bookings in hand than it may call for, so that the next call need not wait for Redis."""

import pytest

from harness import wait_for
from outcomes import ANN

MANY = 40


def in_hand(gate):
    return sum(gate.client.llen(name) for name in gate.client.scan_iter(match=gate.key("active:*")))


@pytest.mark.parametrize("calls, hands", [(1, 1), (3, 3), (4, 5), (8, 10)])
def test_a_quarter_more_are_in_hand_than_are_called_for(make_gate, calls, hands):
    gate = make_gate(worker_env={"TOLLGATE_CONCURRENCY": str(calls)})
    gate.credit(ANN, balance=MANY)
    gate.fake.config(latencyMs=600)
    gate.fake.book(ANN, count=MANY)
    wait_for(lambda: in_hand(gate) == hands, what=f"{hands} in hand")
    wait_for(lambda: gate.fake.stats()["inFlight"] == calls, what=f"{calls} calls")
    gate.fake.config(latencyMs=0)
    gate.wait_idle()
    stats = gate.fake.stats()
    assert stats["maxConcurrent"] == calls and stats["overlaps"] == 0
    assert stats["byAction"]["confirm"] == MANY
    assert gate.account(ANN)["spent"] == MANY


def test_one_that_waits_in_hand_is_looked_at_when_its_turn_comes_late(make_gate):
    """What was known of it when it was taken is too old by then to act on."""
    gate = make_gate(worker_env={"TOLLGATE_CONCURRENCY": "4", "TOLLGATE_FRESH_MS": "1000"})
    gate.credit(ANN, balance=5)
    gate.fake.fault("latency", action="confirm", times=4, ms=2500)
    booked = gate.fake.book(ANN, count=5)["bookings"]
    gate.wait_idle()
    asked = sorted([call["method"] for call in gate.fake.calls(made["id"])] for made in booked)
    assert asked == [["GET", "POST"]] + [["POST"]] * 4
    assert gate.account(ANN)["spent"] == 5


def test_a_worker_that_ends_hands_back_what_waits_for_its_turn(make_gate):
    gate = make_gate(worker_env={"TOLLGATE_CONCURRENCY": "4", "CALCOM_TIMEOUT_MS": "60000"})
    gate.credit(ANN, balance=5)
    gate.fake.fault("latency", action="confirm", times=4, ms=2500)
    ids = [made["id"] for made in gate.fake.book(ANN, count=5)["bookings"]]
    wait_for(lambda: in_hand(gate) == 5, what="five in hand")
    wait_for(lambda: gate.fake.stats()["inFlight"] == 4, what="four calls")
    gate.worker.sigterm()
    assert gate.worker.wait_exit(timeout=30) == 0
    assert in_hand(gate) == 0
    left = [id for id in ids if gate.booking(id)["place"] == "queue"]
    assert len(left) == 1 and gate.fake.calls(left[0]) == []
    assert [gate.booking(id)["state"] for id in ids if id not in left] == ["accepted"] * 4
