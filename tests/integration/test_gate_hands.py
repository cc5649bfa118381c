"""The host and the member act by hand in Cal.com, before us, while we do, and after. What they did stands;
the account follows, once, and nothing stays held."""

import pytest

from harness import now_iso, wait_for
from outcomes import ANN, BOTH, CONFIRM, DECLINE, acts, looks, movements, purses, wait_place

RELEASED = [("hold", 1), ("release", 1)]
CAPTURED = [("hold", 1), ("capture", 1)]
REFUNDED = CAPTURED + [("refund", 1)]

both = pytest.mark.parametrize("dialect", BOTH)


def by_hand(gate, id, what, **fields):
    who, _, step = what.partition(" ")
    if step == "cancels":
        gate.fake.cancel(id, by=who, **fields)
    else:
        {"confirms": gate.fake.confirm, "declines": gate.fake.decline}[step](id, **fields)


def waived(gate):
    return gate.client.zrange(gate.key("waived"), 0, -1)


def wait_state(gate, id, state):
    return wait_for(lambda: gate.wait_settled(id)["state"] == state, what=f"{id} to be {state}")


# ---- Before we decided ----

@both
@pytest.mark.parametrize("what, balance, state, moved", [
    ("host confirms", 1, "accepted", CAPTURED),
    ("host confirms", 0, "accepted", [("waive", 1)]),
    ("host declines", 1, "rejected", []),
    ("host cancels", 1, "cancelled", []),
    ("member cancels", 1, "cancelled", []),
])
def test_before_the_decision(make_gate, dialect, what, balance, state, moved):
    gate = make_gate(workers=0, dialect=dialect)
    gate.credit(ANN, balance=balance)
    id = gate.fake.book(ANN)["id"]
    by_hand(gate, id, what)
    status = gate.fake.booking(id)["status"]
    gate.add_worker()
    assert gate.wait_settled(id)["state"] == state
    gate.wait_idle()
    assert gate.fake.calls(id) == [], "there is nothing to do at Cal.com"
    assert gate.fake.booking(id)["status"] == status
    assert movements(gate) == moved
    assert waived(gate) == ([str(id)] if moved == [("waive", 1)] else [])
    assert purses(gate) == ((0, 0, 1) if moved is CAPTURED else (balance, 0, 0))


@pytest.mark.parametrize("what", ["host declines", "host cancels", "member cancels"])
def test_the_end_comes_before_the_beginning(gate, what):
    """The cancel overtook the request, which then finds a tombstone."""
    gate.credit(ANN, balance=1)
    id = gate.fake.book(ANN, webhook=False)["id"]
    by_hand(gate, id, what)
    gate.fake.send(id, "BOOKING_REQUESTED")
    gate.wait_idle()
    assert gate.booking(id)["state"] == ("rejected" if what == "host declines" else "cancelled")
    assert gate.fake.calls(id) == [] and movements(gate) == [] and purses(gate) == (1, 0, 0)


@both
def test_accepted_unseen_is_charged_or_waived_and_never_cancelled(make_gate, dialect):
    """The event type requires confirmation, and the first we hear is that it was given."""
    gate = make_gate(dialect=dialect)
    gate.credit(ANN, balance=1)
    ids = []
    for _ in range(2):
        ids.append(gate.fake.book(ANN, webhook=False)["id"])
        gate.fake.confirm(ids[-1])
        assert gate.wait_settled(ids[-1])["state"] == "accepted"
    gate.wait_idle()
    assert [gate.fake.calls(id) for id in ids] == [[], []]
    assert [gate.fake.booking(id)["status"] for id in ids] == ["ACCEPTED"] * 2
    assert movements(gate) == CAPTURED + [("waive", 1)] and purses(gate) == (0, 0, 1)


# ---- While our confirm is on its way ----

@both
@pytest.mark.parametrize("between", [False, True], ids=["before the check", "before the change"])
@pytest.mark.parametrize("what, state", [
    ("host confirms", "accepted"), ("host declines", "cancelled"), ("host cancels", "cancelled"),
    ("member cancels", "cancelled"),
])
def test_while_we_confirm(make_gate, dialect, what, state, between):
    gate = make_gate(dialect=dialect)
    gate.credit(ANN, balance=5)
    gate.fake.fault("latency", CONFIRM[dialect], ms=400, between=between)
    id = gate.fake.book(ANN)["id"]
    wait_for(lambda: acts(gate, id), what="our confirm")
    by_hand(gate, id, what)
    assert gate.fake.calls(id)[0]["status"] == 0, "the host was slower than our confirm: the test shows nothing"
    b = gate.wait_settled(id)
    gate.wait_idle()
    assert b["state"] == state
    assert gate.fake.booking(id)["status"] == state.upper()
    assert acts(gate, id) == [CONFIRM[dialect]] + ([] if state == "accepted" else ["cancel"])
    assert movements(gate) == (CAPTURED if state == "accepted" else RELEASED)
    assert purses(gate) == ((4, 0, 1) if state == "accepted" else (5, 0, 0))
    assert gate.fake.stats()["overlaps"] == 0


@both
@pytest.mark.parametrize("what", ["host confirms", "host declines", "member cancels"])
def test_while_we_decline(make_gate, dialect, what):
    gate = make_gate(dialect=dialect)
    gate.credit(ANN, balance=0)
    gate.fake.fault("latency", DECLINE[dialect], ms=400)
    id = gate.fake.book(ANN)["id"]
    wait_for(lambda: acts(gate, id), what="our decline")
    by_hand(gate, id, what)
    b = gate.wait_settled(id)
    gate.wait_idle()
    # v1 has no decline: its cancel also takes what the host accepted a moment ago.
    overruled = what == "host confirms" and dialect == "v2"
    assert b["state"] == ("accepted" if overruled else "rejected")
    assert gate.fake.booking(id)["status"] != "PENDING"
    assert movements(gate) == ([("waive", 1)] if overruled else []) and purses(gate) == (0, 0, 0)
    assert waived(gate) == ([str(id)] if overruled else [])
    assert acts(gate, id) == [DECLINE[dialect]]


@both
def test_cancelled_while_we_look(make_gate, dialect):
    """Seen as pending, cancelled before our confirm went out: it must not go out, or be taken back."""
    gate = make_gate(workers=0, dialect=dialect, worker_env={"TOLLGATE_FRESH_MS": "0"})
    gate.credit(ANN, balance=1)
    id = gate.fake.book(ANN)["id"]
    gate.fake.fault("latency", "get", ms=300)
    gate.add_worker()
    wait_for(lambda: looks(gate, id), what="our look")
    gate.fake.cancel(id, by="member")
    assert gate.wait_settled(id)["state"] == "cancelled"
    gate.wait_idle()
    assert gate.fake.booking(id)["status"] == "CANCELLED"
    assert movements(gate) == RELEASED and purses(gate) == (1, 0, 0)


@both
def test_cancelled_while_a_confirm_fails(make_gate, dialect):
    """The failed attempt is not repeated: there is nothing left to confirm."""
    gate = make_gate(dialect=dialect)
    gate.credit(ANN, balance=1)
    gate.fake.config(latencyMs=300)
    gate.fake.fault("status", CONFIRM[dialect], status=500, headers={"Retry-After": "300"})
    id = gate.fake.book(ANN)["id"]
    wait_for(lambda: acts(gate, id), what="our confirm")
    gate.fake.cancel(id, by="member")
    assert gate.wait_settled(id)["state"] == "cancelled"
    gate.wait_idle()
    assert acts(gate, id) == [CONFIRM[dialect]] and gate.fake.booking(id)["status"] == "CANCELLED"
    assert movements(gate) == RELEASED and purses(gate) == (1, 0, 0)


# ---- While we wait for the next attempt ----

@both
@pytest.mark.parametrize("what, state, moved", [
    ("host confirms", "accepted", CAPTURED), ("host declines", "rejected", RELEASED),
    ("member cancels", "cancelled", RELEASED),
])
def test_while_we_wait(make_gate, dialect, what, state, moved):
    """A cancel ends the waiting at once; a confirm is found by the look of the next attempt."""
    gate = make_gate(dialect=dialect)
    gate.credit(ANN, balance=1)
    wait = "1" if what == "host confirms" else "300"
    gate.fake.fault("status", CONFIRM[dialect], status=503, headers={"Retry-After": wait})
    id = gate.fake.book(ANN)["id"]
    wait_place(gate, id, "retry")
    by_hand(gate, id, what)
    wait_state(gate, id, state)
    gate.wait_idle()
    assert acts(gate, id) == [CONFIRM[dialect]] and movements(gate) == moved
    assert purses(gate) == ((0, 0, 1) if moved is CAPTURED else (1, 0, 0))


@both
def test_told_of_a_cancel_before_calcom_has_it(make_gate, dialect):
    """BOOKING_CANCELLED is sent before the row changes: the look still sees a booking that could be confirmed."""
    gate = make_gate(dialect=dialect)
    gate.credit(ANN, balance=1)
    gate.fake.fault("status", CONFIRM[dialect], status=503, headers={"Retry-After": "300"})
    id = gate.fake.book(ANN)["id"]
    wait_place(gate, id, "retry")
    gate.fake.send(id, "BOOKING_CANCELLED")
    assert gate.wait_settled(id)["state"] == "cancelled"
    gate.wait_idle()
    assert acts(gate, id) == [CONFIRM[dialect]] and looks(gate, id) == 1
    assert movements(gate) == RELEASED and purses(gate) == (1, 0, 0)


# ---- Afterwards ----

@both
@pytest.mark.parametrize("what, hours, refunded", [
    ("host cancels", 200, True), ("host cancels", 1, True),
    ("member cancels", 25, True), ("member cancels", 23, False),
])
def test_cancelled_after_acceptance(make_gate, dialect, what, hours, refunded):
    gate = make_gate(dialect=dialect)
    gate.credit(ANN, balance=1)
    id = gate.fake.book(ANN, start=now_iso(hours * 3600))["id"]
    gate.wait_settled(id)
    calls = gate.fake.calls(id)
    by_hand(gate, id, what, copies=3)
    wait_state(gate, id, "cancelled")
    gate.wait_idle()
    assert movements(gate) == (REFUNDED if refunded else CAPTURED)
    assert purses(gate) == ((1, 0, 0) if refunded else (0, 0, 1))
    assert gate.booking(id)["reason"] == ("cancelled; 1 refunded" if refunded else
                                          "cancelled too late for a refund; 1 kept")
    assert gate.fake.calls(id) == calls, "Cal.com knows already"
    assert gate.client.hget(gate.key("done"), id) == "cancelled"


@pytest.mark.parametrize("notice, refunded", [(0, True), (48, False)])
def test_terms_set_the_notice(gate, notice, refunded):
    gate.terms(refund_notice_hours=notice)
    gate.credit(ANN, balance=1)
    id = gate.fake.book(ANN, start=now_iso(40 * 3600))["id"]
    gate.wait_settled(id)
    gate.fake.cancel(id, by="member")
    wait_state(gate, id, "cancelled")
    assert purses(gate) == ((1, 0, 0) if refunded else (0, 0, 1))


@both
def test_a_refund_pays_for_the_next_booking(make_gate, dialect):
    gate = make_gate(dialect=dialect)
    gate.credit(ANN, balance=1)
    first = gate.fake.book(ANN)["id"]
    gate.wait_settled(first)
    gate.fake.cancel(first, by="member")
    wait_state(gate, first, "cancelled")
    second = gate.fake.book(ANN)["id"]
    assert gate.wait_settled(second)["state"] == "accepted"
    assert movements(gate) == REFUNDED + CAPTURED and purses(gate) == (0, 0, 1)


@both
def test_a_cancelled_booking_that_the_host_brings_back(make_gate, dialect):
    """Refunded once; the host's second yes charges nothing; its cancellation refunds nothing."""
    gate = make_gate(dialect=dialect)
    gate.credit(ANN, balance=1)
    id = gate.fake.book(ANN)["id"]
    gate.wait_settled(id)
    gate.fake.cancel(id)
    wait_state(gate, id, "cancelled")
    gate.fake.confirm(id)
    wait_state(gate, id, "accepted")
    gate.fake.cancel(id)
    wait_state(gate, id, "cancelled")
    gate.wait_idle()
    assert movements(gate) == REFUNDED + [("waive", 1)]
    assert purses(gate) == (1, 0, 0)


@both
def test_cancelled_in_the_guides_flow(make_gate, dialect):
    gate = make_gate(dialect=dialect, fake_arguments=["--event-type", "7:auto"])
    gate.credit(ANN, balance=1)
    id = gate.fake.book(ANN, eventTypeId=7)["id"]
    gate.wait_settled(id)
    gate.fake.cancel(id, by="member")
    wait_state(gate, id, "cancelled")
    assert movements(gate) == REFUNDED and purses(gate) == (1, 0, 0)
