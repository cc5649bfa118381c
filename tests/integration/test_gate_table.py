"""Every row of what is done at Cal.com (worker/plan.h): the goal, how the booking stands there, and then?

Each row is made by hand: the booking changes in the fake without a word to the gate, before the worker looks.
"""

import pytest

from harness import now_iso, sample, wait_for
from outcomes import ANN, BOTH, CONFIRM, DECLINE, DECLINED, acts, looks, movements, purses, unknown_booking
from outcomes import wait_place

GONE = 990001
AUTO = ["--event-type", "7:auto"]
LOOK_FIRST = {"TOLLGATE_FRESH_MS": "0"}
RELEASED = [("hold", 1), ("release", 1)]
CAPTURED = [("hold", 1), ("capture", 1)]

both = pytest.mark.parametrize("dialect", BOTH)


def bring_about(gate, id, status):
    """Makes the booking stand so at Cal.com, without telling the gate."""
    step = {"accepted": gate.fake.confirm, "rejected": gate.fake.decline, "cancelled": gate.fake.cancel}.get(status)
    if step:
        step(id, webhook="lost")


def make_row(gate, status, **fields):
    """A booking that nobody has looked at, and how Cal.com has it: its ID."""
    if status == "gone":
        trigger = "BOOKING_CREATED.no_confirmation" if fields else "BOOKING_REQUESTED"
        assert gate.post(unknown_booking(GONE, trigger=trigger)).status_code == 202
        return GONE
    id = gate.fake.book(ANN, **fields)["id"]
    bring_about(gate, id, status)
    return id


def calls_of(gate, id):
    """(acts, looks); a booking that the fake does not know is not named in its log."""
    if id != GONE:
        return acts(gate, id), looks(gate, id)
    calls = [call["action"] for call in gate.fake.calls()]
    return [action for action in calls if action != "get"], calls.count("get")


# ---- accept and reject ----

@both
@pytest.mark.parametrize("status, state, act, moved", [
    ("pending", "accepted", True, CAPTURED),
    ("accepted", "accepted", False, CAPTURED),
    ("rejected", "rejected", False, RELEASED),
    ("cancelled", "cancelled", False, RELEASED),
    ("gone", "cancelled", False, RELEASED),
])
def test_accept(make_gate, dialect, status, state, act, moved):
    gate = make_gate(workers=0, dialect=dialect, worker_env=LOOK_FIRST)
    gate.credit(ANN, balance=5)
    id = make_row(gate, status)
    gate.add_worker()
    assert gate.wait_settled(id)["state"] == state
    gate.wait_idle()
    assert calls_of(gate, id) == ([CONFIRM[dialect]] if act else [], 1)
    assert movements(gate) == moved
    assert purses(gate) == ((4, 0, 1) if moved is CAPTURED else (5, 0, 0))
    if status != "gone":
        assert gate.fake.booking(id)["status"].lower() == ("accepted" if act else status)


@both
@pytest.mark.parametrize("status, state, act, moved", [
    ("pending", "rejected", True, []),
    ("accepted", "accepted", False, [("waive", 1)]),  # the host overrode us
    ("rejected", "rejected", False, []),
    ("cancelled", "rejected", False, []),
    ("gone", "rejected", False, []),
])
def test_reject(make_gate, dialect, status, state, act, moved):
    gate = make_gate(workers=0, dialect=dialect, worker_env=LOOK_FIRST)
    gate.credit(ANN, balance=0)
    id = make_row(gate, status)
    gate.add_worker()
    b = gate.wait_settled(id)
    gate.wait_idle()
    assert b["state"] == state and b["decision"] == "reject"
    assert calls_of(gate, id) == ([DECLINE[dialect]] if act else [], 1)
    assert movements(gate) == moved and purses(gate) == (0, 0, 0)
    if status != "gone":
        assert gate.fake.booking(id)["status"] == (DECLINED[dialect] if act else status.upper())


# ---- The guide's flow ----

@both
@pytest.mark.parametrize("status, state, moved", [
    ("accepted", "accepted", CAPTURED), ("cancelled", "cancelled", RELEASED), ("gone", "cancelled", RELEASED),
])
def test_accept_in_the_guides_flow(make_gate, dialect, status, state, moved):
    gate = make_gate(workers=0, dialect=dialect, worker_env=LOOK_FIRST, fake_arguments=AUTO)
    gate.credit(ANN, balance=5)
    id = make_row(gate, status if status != "accepted" else "", eventTypeId=7)
    gate.add_worker()
    assert gate.wait_settled(id)["state"] == state
    assert calls_of(gate, id) == ([], 1)
    assert movements(gate) == moved


@both
@pytest.mark.parametrize("status, act", [("accepted", True), ("cancelled", False), ("gone", False)])
def test_reject_in_the_guides_flow(make_gate, dialect, status, act):
    gate = make_gate(workers=0, dialect=dialect, worker_env=LOOK_FIRST, fake_arguments=AUTO)
    gate.credit(ANN, balance=0)
    id = make_row(gate, status if status != "accepted" else "", eventTypeId=7)
    gate.add_worker()
    assert gate.wait_settled(id)["state"] == "rejected"
    gate.wait_idle()
    assert calls_of(gate, id) == (["cancel"] if act else [], 1)
    assert movements(gate) == []
    if act:
        assert gate.fake.booking(id)["cancellationReason"].startswith("Not enough credit")


# ---- withdraw: a cancel or reject came when we had said yes and Cal.com had not ----

@both
@pytest.mark.parametrize("status, state, act", [
    ("pending", "cancelled", False),  # BOOKING_CANCELLED is sent before the row changes
    ("accepted", "cancelled", True),
    ("rejected", "rejected", False),
    ("cancelled", "cancelled", False),
    ("gone", "cancelled", False),
])
def test_withdraw(make_gate, dialect, status, state, act):
    gate = make_gate(dialect=dialect)
    gate.credit(ANN, balance=5)
    gate.fake.fault("status", CONFIRM[dialect], status=503, headers={"Retry-After": "60"})
    id = make_row(gate, "gone" if status == "gone" else "")
    assert wait_place(gate, id, "retry")["state"] == "accepting"
    assert purses(gate) == (4, 1, 0)
    bring_about(gate, id, status)
    if status == "gone":
        assert gate.post(unknown_booking(id, trigger="BOOKING_CANCELLED")).status_code == 202
    else:
        gate.fake.send(id, "BOOKING_CANCELLED")
    assert gate.wait_settled(id)["state"] == state
    gate.wait_idle()
    assert calls_of(gate, id) == ([CONFIRM[dialect]] + (["cancel"] if act else []), 1)
    assert movements(gate) == RELEASED and purses(gate) == (5, 0, 0)
    if act:
        assert gate.fake.booking(id)["cancellationReason"] == "The booking was cancelled."


# ---- look: a newer BOOKING_CREATED about a booking that is over ----

@both
@pytest.mark.parametrize("status, state, moved", [
    ("accepted", "accepted", [("waive", 1)]), ("declined", "rejected", []), ("cancelled", "rejected", []),
    ("gone", "rejected", []),
])
def test_look(make_gate, dialect, status, state, moved):
    gate = make_gate(dialect=dialect)
    gate.credit(ANN, balance=0)
    id = gate.fake.book(ANN)["id"]
    known = gate.wait_settled(id)
    if status == "gone":
        gate.fake.reset()
        gate.post(sample("BOOKING_CREATED", createdAt=now_iso(),
                         **{"payload.bookingId": id, "payload.uid": known["uid"]}))
    elif status == "accepted":
        gate.fake.confirm(id)
    else:
        if status == "cancelled" and dialect == "v2":
            bring_about(gate, id, "cancelled")
        gate.fake.send(id, "BOOKING_CREATED")
    wait_for(lambda: any(call["action"] == "get" for call in gate.fake.calls()), what="a look")
    gate.wait_idle()
    assert gate.wait_settled(id)["state"] == state
    assert movements(gate) == moved and purses(gate) == (0, 0, 0)
    assert [call["action"] for call in gate.fake.calls()][-1:] == ["get"], "seen, and left as it is"
    assert gate.client.hget(gate.key("done"), id) == state


# ---- Fresh or not ----

@both
@pytest.mark.parametrize("how", ["created", "again"])
def test_stale_news_is_looked_at_first(make_gate, dialect, how):
    """Only a first attempt on young and only news goes unseen."""
    gate = make_gate(workers=0, dialect=dialect)
    gate.credit(ANN, balance=5)
    id = gate.fake.book(ANN, webhook=False)["id"]
    body = sample("BOOKING_REQUESTED", createdAt=now_iso(-2 if how == "created" else 0),
                  **{"payload.bookingId": id, "payload.uid": gate.fake.booking(id)["uid"],
                     "payload.responses.email.value": ANN, "payload.startTime": now_iso(86400)})
    gate.post(body)
    if how == "again":
        gate.fake.send(id, "BOOKING_PAYMENT_INITIATED")
    gate.add_worker()
    assert gate.wait_settled(id)["state"] == "accepted"
    assert calls_of(gate, id) == ([CONFIRM[dialect]], 1)


@both
def test_awaiting_host_counts_as_pending(make_gate, dialect):
    """A state of newer Cal.coms: nobody decided yet."""
    gate = make_gate(workers=0, dialect=dialect, worker_env=LOOK_FIRST)
    gate.credit(ANN, balance=1)
    id = gate.fake.book(ANN)["id"]
    answer = {"v1": {"booking": {"id": id, "status": "AWAITING_HOST"}},
              "v2": {"status": "success", "data": {"id": id, "status": "awaiting_host"}}}[dialect]
    gate.fake.fault("status", "get", status=200, body=answer)
    gate.add_worker()
    assert gate.wait_settled(id)["state"] == "accepted"
    assert calls_of(gate, id) == ([CONFIRM[dialect]], 1)
