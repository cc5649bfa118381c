"""Seats and recurring series through both programs and the fake."""

import pytest

from harness import now_iso, wait_for
from outcomes import ANN, BOB, BOTH, CONFIRM, DECLINE, purses

SLOT = {"eventTypeId": 1300, "start": now_iso(7 * 86400)}
SEATS = ["--event-type", "1300:requires-confirmation:seats=10"]
GENERATIONS = ("legacy", "cloud")


@pytest.fixture
def seat_gate(make_gate):
    def make(generation="cloud", **options):
        gate = make_gate(fake_arguments=[*SEATS, "--seat-approval", generation], **options)
        gate.credit(ANN, balance=2)
        gate.credit(BOB, balance=2)
        return gate
    return make


def take_seat(gate, email, state="accepted"):
    made = gate.fake.book(email, **SLOT)
    name = f"{made['id']}:{made['seatUid']}"
    assert gate.wait_settled(name)["state"] == state
    return made


def seats(gate, id):
    """e-mail → how the seat stands at Cal.com, of those that are in the slot."""
    return {seat["email"]: seat["status"].lower() for seat in gate.fake.booking(id)["seats"] if not seat.get("left")}


# ---- Seats ----

@pytest.mark.parametrize("generation", GENERATIONS)
def test_each_seat_is_its_members_charge(seat_gate, generation):
    gate = seat_gate(generation)
    ann, bob = take_seat(gate, ANN), take_seat(gate, BOB)
    gate.wait_idle()
    assert ann["id"] == bob["id"]
    assert (purses(gate, ANN), purses(gate, BOB)) == ((1, 0, 1), (1, 0, 1))
    assert seats(gate, ann["id"]) == {ANN: "accepted", BOB: "accepted"}


@pytest.mark.parametrize("generation", GENERATIONS)
def test_a_seat_without_credit_is_freed_alone(seat_gate, generation):
    gate = seat_gate(generation)
    gate.credit(BOB, balance=0)
    ann = take_seat(gate, ANN)
    take_seat(gate, BOB, "rejected")
    assert seats(gate, ann["id"]) == {ANN: "accepted"}
    assert purses(gate, ANN) == (1, 0, 1)


@pytest.mark.parametrize("generation", GENERATIONS)
def test_a_freed_seat_is_refunded_alone(seat_gate, generation):
    gate = seat_gate(generation)
    ann, bob = take_seat(gate, ANN), take_seat(gate, BOB)
    gate.fake.cancel(bob["id"], by="member", seatUid=bob["seatUid"])
    wait_for(lambda: purses(gate, BOB) == (2, 0, 0), what="Bob's refund")
    assert purses(gate, ANN) == (1, 0, 1)
    assert gate.booking(f"{ann['id']}:{ann['seatUid']}")["state"] == "accepted"


def test_a_slot_that_the_host_cancels_refunds_everybody(seat_gate):
    gate = seat_gate()
    ann = take_seat(gate, ANN)
    take_seat(gate, BOB)
    gate.fake.cancel(ann["id"], by="host")
    wait_for(lambda: (purses(gate, ANN), purses(gate, BOB)) == ((2, 0, 0), (2, 0, 0)), what="both refunds")


def test_v1_cannot_free_one_seat(seat_gate):
    gate = seat_gate("legacy", dialect="v1")
    gate.credit(BOB, balance=0)
    take_seat(gate, ANN)
    made = gate.fake.book(BOB, **SLOT)
    name = f"{made['id']}:{made['seatUid']}"
    wait_for(lambda: gate.booking(name).get("place") == "dead", what="the seat to be listed under dead")
    assert "cannot free one seat" in gate.booking(name)["last_error"]
    assert purses(gate, BOB) == (0, 0, 0)


@pytest.mark.parametrize("status", [400, 401])
@pytest.mark.parametrize("generation, action", [("cloud", "decline"), ("legacy", "cancel")])
def test_a_seat_that_cal_com_does_not_free_is_a_persons(seat_gate, generation, action, status):
    """Nobody let it in: it is neither waived nor charged, and nobody else's seat is touched."""
    gate = seat_gate(generation)
    gate.credit(BOB, balance=0)
    ann = take_seat(gate, ANN)
    gate.fake.fault("status", action, times=-1, status=status, body={"message": "Not that seat"})
    made = gate.fake.book(BOB, **SLOT)
    b = gate.wait_settled(f"{made['id']}:{made['seatUid']}")
    assert (b["state"], b["place"]) == ("failed", "dead")
    assert f"{status}: Not that seat" in b["last_error"]
    assert gate.client.zcard(gate.key("waived")) == 0
    assert (purses(gate, ANN), purses(gate, BOB)) == ((1, 0, 1), (0, 0, 0))
    assert seats(gate, ann["id"]) == {ANN: "accepted", BOB: "accepted" if generation == "legacy" else "pending"}
    assert gate.worker.is_ready()


def test_a_seat_that_cal_com_does_not_confirm_is_not_charged(seat_gate):
    """That the slot is accepted says nothing about the seat."""
    gate = seat_gate()
    take_seat(gate, ANN)
    gate.fake.fault("status", "confirm", times=-1, status=400, body={"message": "Not that seat"})
    made = gate.fake.book(BOB, **SLOT)
    b = gate.wait_settled(f"{made['id']}:{made['seatUid']}")
    assert (b["state"], b["place"]) == ("failed", "dead")
    assert purses(gate, BOB) == (2, 0, 0)


# ---- Series ----

def book_series(gate, count=3, **fields):
    return [made["id"] for made in gate.fake.book(ANN, occurrences=count, **fields)["bookings"]]


@pytest.mark.parametrize("dialect", BOTH)
@pytest.mark.parametrize("credits, state", [(3, "accepted"), (2, "rejected")])
def test_a_series_is_decided_as_a_whole(make_gate, dialect, credits, state):
    gate = make_gate(dialect=dialect, workers=2)
    gate.credit(ANN, balance=credits)
    ids = book_series(gate)
    assert [gate.wait_settled(id)["state"] for id in ids] == [state] * 3
    spent = 3 if state == "accepted" else 0
    assert purses(gate) == (credits - spent, 0, spent)
    gate.wait_idle()
    called = sorted([call["action"] for call in gate.fake.calls(id)] for id in ids)
    asked = ["get", "get", (CONFIRM if state == "accepted" else DECLINE)[dialect]]
    # Each is looked up once to see which series it is in; v2 is asked for all by one of them.
    assert called == ([["get"], ["get"], asked] if dialect == "v2" else [asked] * 3)


def test_one_whose_webhook_is_lost_is_not_waited_for(make_gate):
    gate = make_gate()
    gate.credit(ANN, balance=3)
    ids = book_series(gate, lostOccurrences=[3])
    assert [gate.wait_settled(id)["state"] for id in ids[:2]] == ["accepted"] * 2
    assert purses(gate) == (1, 0, 2)
    gate.fake.send(ids[2], "BOOKING_REQUESTED")
    assert gate.wait_settled(ids[2])["state"] == "accepted"
    assert purses(gate) == (0, 0, 3)


def test_one_of_a_series_is_cancelled_and_refunded_alone(make_gate):
    gate = make_gate()
    gate.credit(ANN, balance=3)
    ids = book_series(gate)
    for id in ids:
        gate.wait_settled(id)
    gate.fake.cancel(ids[1], by="host")
    wait_for(lambda: purses(gate) == (1, 0, 2), what="the refund")
    assert [gate.booking(id)["state"] for id in ids] == ["accepted", "cancelled", "accepted"]


def test_a_lead_that_is_cancelled_while_it_is_confirmed_leaves_the_others(make_gate):
    """The confirm accepted the series; only its lead is found cancelled afterwards."""
    gate = make_gate()
    gate.credit(ANN, balance=3)
    gate.fake.fault("latency", "confirm", ms=1000)
    ids = book_series(gate)
    confirms = wait_for(lambda: [call for id in ids for call in gate.fake.calls(id, "confirm")], what="the confirm")
    (lead,) = {call["booking"] for call in confirms}
    gate.fake.fault("latency", "get", booking=lead, ms=1000)
    gate.fake.send(lead, "BOOKING_CANCELLED")
    wait_for(lambda: gate.fake.calls(lead, "get")[-1]["status"] == 0, what="the look after it")
    gate.fake.cancel(lead, by="host", webhook="lost")
    states = {id: gate.wait_settled(id)["state"] for id in ids}
    assert states == {id: "cancelled" if id == lead else "accepted" for id in ids}
    assert purses(gate) == (1, 0, 2)
