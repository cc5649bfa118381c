"""What crosses on the way, as runs of `make chaos` have shown it."""

import pytest

from harness import wait_for
from outcomes import ANN, BOTH, CONFIRM, acts, purses


def test_a_name_that_one_worker_waits_with_is_decided_before_a_younger_one(library):
    library.grant(amount=1)
    library.record(1)
    library.lease("w1")
    assert library.blmove("w1") == "1"
    library.record(2)
    library.take("w2")
    library.take("w1")
    assert [library.booking(id)["decision"] for id in (1, 2)] == ["accept", "reject"]


@pytest.mark.parametrize("dialect", BOTH)
def test_a_reschedule_crosses_our_confirm(make_gate, dialect):
    """Cal.com moves the booking while the confirm is on its way, which brings the old one back to life; the
    webhook of the new one comes when the old one is settled. v2 tells by BOOKING_CREATED; v1 by nothing, and the
    sweep finds it."""
    gate = make_gate(dialect=dialect, worker_env={"TOLLGATE_SWEEP_INTERVAL": "0" if dialect == "v2" else "1"})
    gate.credit(ANN, balance=5)
    gate.fake.fault("latency", CONFIRM[dialect], ms=500)
    old = gate.fake.book(ANN)
    wait_for(lambda: acts(gate, old["id"]), what="a confirm on its way")
    new = gate.fake.book(ANN, rescheduleUid=old["uid"], webhook="lost")
    assert gate.wait_settled(old["id"])["state"] == "accepted"
    gate.fake.send(new["id"], "BOOKING_REQUESTED")
    assert gate.wait_settled(new["id"])["state"] == "accepted"
    gate.wait_idle()
    assert gate.fake.booking(new["id"])["status"] == "ACCEPTED"
    assert purses(gate) == (4, 0, 1)
    wait_for(lambda: gate.fake.booking(old["id"])["status"] == "CANCELLED", what="the old one to be cancelled")
    gate.wait_idle()
    assert gate.booking(old["id"])["state"] == "cancelled"
    assert purses(gate) == (4, 0, 1)
