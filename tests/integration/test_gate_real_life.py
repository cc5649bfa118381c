"""Cal.com's real life through both programs and the fake: what moves credit, once and rightly."""

import re

import pytest

from harness import now_iso, wait_for
from outcomes import ANN, BOB, BOTH, CONFIRM, DECLINE, acts, movements, purses, wait_place

IN_A_WEEK = now_iso(7 * 86400)


def settled(gate, id, state):
    assert gate.wait_settled(id)["state"] == state


# ---- Reschedules ----

@pytest.mark.parametrize("dialect", BOTH)
def test_a_reschedule_that_needs_confirmation_moves_the_charge(make_gate, dialect):
    gate = make_gate(dialect=dialect)
    gate.credit(ANN, balance=1)
    old = gate.fake.book(ANN)
    settled(gate, old["id"], "accepted")
    new = gate.fake.book(ANN, rescheduleUid=old["uid"])
    settled(gate, new["id"], "accepted")
    assert purses(gate) == (0, 0, 1)
    assert gate.booking(old["id"])["reason"] == f"rescheduled to {new['id']}"
    assert movements(gate) == [("hold", 1), ("capture", 1), ("move", 1), ("capture", 1)]
    assert acts(gate, new["id"]) == [CONFIRM[dialect]]


def test_a_dearer_reschedule_holds_only_the_difference(make_gate):
    gate = make_gate()
    gate.credit(ANN, balance=3)
    gate.terms(**{"cost:1208": 3})
    old = gate.fake.book(ANN)
    settled(gate, old["id"], "accepted")
    new = gate.fake.book(ANN, rescheduleUid=old["uid"], eventTypeId=1208, requiresConfirmation=True)
    settled(gate, new["id"], "accepted")
    assert movements(gate)[2:] == [("move", 1), ("hold", 2), ("capture", 3)]
    assert purses(gate) == (0, 0, 3)


def test_a_rejected_reschedule_leaves_neither(make_gate):
    gate = make_gate()
    gate.credit(ANN, balance=1)
    gate.terms(**{"cost:1208": 5})
    old = gate.fake.book(ANN)
    settled(gate, old["id"], "accepted")
    new = gate.fake.book(ANN, rescheduleUid=old["uid"], eventTypeId=1208, requiresConfirmation=True)
    settled(gate, new["id"], "rejected")
    wait_for(lambda: gate.booking(old["id"])["state"] == "cancelled", what="the old booking to be over")
    assert purses(gate) == (1, 0, 0)
    assert gate.fake.booking(old["id"])["status"].upper() == "CANCELLED"


def test_a_reschedule_that_calcom_accepts_itself_is_charged_once(make_gate):
    gate = make_gate()
    gate.credit(ANN, balance=1)
    old = gate.fake.book(ANN)
    settled(gate, old["id"], "accepted")
    new = gate.fake.book(ANN, rescheduleUid=old["uid"], webhook=False, requiresConfirmation=False)
    gate.fake.send(new["id"], "BOOKING_RESCHEDULED")
    settled(gate, new["id"], "accepted")
    assert purses(gate) == (0, 0, 1)
    assert acts(gate, new["id"]) == []


# ---- Twins ----

@pytest.mark.parametrize("dialect", BOTH)
def test_one_click_that_makes_three_bookings(make_gate, dialect):
    gate = make_gate(dialect=dialect, workers=3)
    gate.credit(ANN, balance=3)
    made = gate.fake.book(ANN, count=3, start=IN_A_WEEK)["bookings"]
    states = sorted(gate.wait_settled(b["id"])["state"] for b in made)
    assert states == ["accepted", "rejected", "rejected"]
    assert purses(gate) == (2, 0, 1)
    assert sorted(acts(gate, b["id"])[0] for b in made) == sorted([CONFIRM[dialect]] + 2 * [DECLINE[dialect]])


def check_twin(gate, id):
    settled(gate, id, "rejected")
    assert gate.booking(id)["reason"] == "You asked for this time twice; your first request counts."


def test_twins_that_one_worker_takes_together(make_gate):
    gate = make_gate(workers=0)
    gate.credit(ANN, balance=3)
    first, *others = [gate.fake.book(ANN, start=IN_A_WEEK)["id"] for _ in range(3)]
    gate.add_worker()
    settled(gate, first, "accepted")
    for id in others:
        check_twin(gate, id)
    assert purses(gate) == (2, 0, 1)


def test_twins_that_different_workers_take(make_gate):
    gate = make_gate()
    gate.credit(ANN, balance=3)
    first = gate.fake.book(ANN, start=IN_A_WEEK)["id"]
    settled(gate, first, "accepted")
    gate.worker.stop()
    gate.add_worker()
    check_twin(gate, gate.fake.book(ANN, start=IN_A_WEEK)["id"])
    assert purses(gate) == (2, 0, 1)


def test_who_cancelled_may_book_the_same_slot_again(make_gate):
    gate = make_gate()
    gate.credit(ANN, balance=1)
    first = gate.fake.book(ANN, start=IN_A_WEEK)
    settled(gate, first["id"], "accepted")
    gate.fake.cancel(first["id"], by="member")
    wait_for(
        lambda: gate.booking(first["id"])["state"] == "cancelled", what="the cancellation")
    second = gate.fake.book(ANN, start=IN_A_WEEK)
    settled(gate, second["id"], "accepted")
    assert purses(gate) == (0, 0, 1)


# ---- Paid ----

def test_a_rejected_paid_booking_says_that_calcom_refunds(make_gate):
    gate = make_gate()
    gate.credit(ANN, balance=0)
    made = gate.fake.book(ANN, price=2500)
    assert gate.booking(made["id"]).get("decision") is None
    gate.fake.pay(made["id"])
    settled(gate, made["id"], "rejected")
    gate.worker.wait_log("rejected a paid booking: Cal.com refunds the payment", booking=made["id"])


# ---- Identity ----

@pytest.mark.parametrize("field, told", [
    ("metadata.memberId", lambda number: {"metadata": {"memberId": number}}),
    ("responses.member_number.value", lambda number: {"responses": {"member_number": number}}),
], ids=["metadata", "question"])
def test_a_member_number(make_gate, field, told):
    gate = make_gate(ingest_env={"TOLLGATE_ACCOUNT_FIELD": field})
    gate.credit("bc-0042", balance=5, email=ANN)
    own = gate.fake.book(ANN, **told("BC-0042"))
    stranger = gate.fake.book(BOB, **told("BC-0042"))
    nobody = gate.fake.book(ANN)
    settled(gate, own["id"], "accepted")
    settled(gate, stranger["id"], "rejected")
    settled(gate, nobody["id"], "rejected")
    assert "does not belong" in gate.booking(stranger["id"])["reason"]
    assert "names no member account" in gate.booking(nobody["id"])["reason"]
    assert purses(gate, "bc-0042") == (4, 0, 1)


# ---- Policies ----

def test_observing_calls_nobody(make_gate):
    gate = make_gate(worker_env={"TOLLGATE_MODE": "observe"})
    gate.credit(ANN, balance=1)
    yes, no = gate.fake.book(ANN), gate.fake.book(BOB)
    settled(gate, yes["id"], "observed")
    settled(gate, no["id"], "observed")
    assert [gate.booking(b["id"])["decision"] for b in (yes, no)] == ["accept", "reject"]
    assert acts(gate, yes["id"]) + acts(gate, no["id"]) == []
    assert (gate.account(ANN), gate.ledger(ANN)) == ({"balance": 1, "held": 0, "spent": 0}, [])


def test_a_policy_without_end_stops_nobody_else(make_gate, tmp_path):
    policy = tmp_path / "policy.lua"
    policy.write_text("""return function(booking)
  while booking.account == 'bob@example.com' do end
  return { accept = true, cost = 1, reason = 'fine' }
end""")
    gate = make_gate(worker_env={"TOLLGATE_POLICY_FILE": str(policy)})
    gate.credit(ANN, balance=1)
    endless = gate.fake.book(BOB)
    fine = gate.fake.book(ANN)
    settled(gate, fine["id"], "accepted")
    assert "does it ever end" in wait_place(gate, endless["id"], "dead")["last_error"]


def test_a_policy_puts_a_decision_off_until_there_is_credit(make_gate, tmp_path):
    policy = tmp_path / "policy.lua"
    policy.write_text("""return function(booking, account)
  if account.balance < 1 then return { defer = 1, reason = 'on the waiting list' } end
  return { accept = true, cost = 1, reason = 'there is room' }
end""")
    gate = make_gate(worker_env={"TOLLGATE_POLICY_FILE": str(policy)})
    gate.credit(ANN, balance=0)
    made = gate.fake.book(ANN)
    assert wait_place(gate, made["id"], "retry")["reason"] == "on the waiting list"
    gate.credit(ANN, balance=1)
    settled(gate, made["id"], "accepted")


def test_a_policy_that_reads_answers(make_gate, tmp_path):
    policy = tmp_path / "policy.lua"
    policy.write_text("""return function(booking)
  return { accept = booking.metadata.plan == 'gold', cost = 0, reason = booking.answers.email }
end""")
    gate = make_gate(worker_env={"TOLLGATE_POLICY_FILE": str(policy)})
    gate.credit(ANN, balance=0)
    gold = gate.fake.book(ANN, metadata={"plan": "gold"})
    none = gate.fake.book(ANN, metadata={"plan": "none"})
    settled(gate, gold["id"], "accepted")
    settled(gate, none["id"], "rejected")
    assert gate.booking(gold["id"])["reason"] == ANN


# ---- The story ----

def test_the_calls_are_kept_with_the_booking(make_gate):
    gate = make_gate()
    gate.credit(ANN, balance=1)
    gate.fake.fault("status", action="confirm", status=502)
    made = gate.fake.book(ANN)
    settled(gate, made["id"], "accepted")
    calls = gate.booking(made["id"])["calls"].splitlines()
    assert re.fullmatch(r"\d{13} \d+ confirm 502 transient .*", calls[0])
    assert re.fullmatch(r"\d{13} \d+ confirm 200 done .*", calls[-1])
