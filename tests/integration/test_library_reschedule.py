"""Reschedules: what the old booking held or was charged goes over to the new one."""

import time

import pytest

from library import now_ms

ANN, BOB = "ann@example.com", "bob@example.com"
HOUR_MS = 3600000


def accept(library, id_=1, **fields):
    """A booking that Cal.com accepted."""
    library.record(id_, **fields)
    library.settle(library.take_one(), "accepted")
    assert library.state(id_) == "accepted"


def reschedule(library, new=2, old=1, kind="requested", **fields):
    return library.record(new, kind, reschedule_uid=f"uid-{old}", **fields)


def test_the_charge_moves(library):
    library.credit(balance=1)
    accept(library)
    assert library.purses() == (0, 0, 1)
    reschedule(library)
    job = library.take_one()
    assert (job.id, job.goal) == ("2", "accept")
    assert library.purses() == (0, 1, 0)
    assert (library.state(1), library.booking(1)["reason"]) == ("cancelled", "rescheduled to 2")
    library.settle(job, "accepted")
    assert library.purses() == (0, 0, 1)
    assert library.movements()[-2:] == [("move", 1), ("capture", 1)]
    assert library.ledger()[-2]["from"] == "1"


@pytest.mark.parametrize("old_cost, new_cost, balance, kinds", [
    (1, 3, 2, [("move", 1), ("hold", 2), ("capture", 3)]),
    (3, 1, 0, [("move", 1), ("refund", 2), ("capture", 1)]),
    (2, 0, 0, [("refund", 2)]),
    (0, 2, 2, [("hold", 2), ("capture", 2)]),
])
def test_a_dearer_one_holds_only_the_difference(library, old_cost, new_cost, balance, kinds):
    library.credit(balance=old_cost + balance)
    library.terms(**{"cost:1": old_cost, "cost:2": new_cost})
    accept(library, event_type="1")
    before = len(library.ledger())
    reschedule(library, event_type="2")
    job = library.take_one()
    assert job.goal == "accept"
    library.settle(job, "accepted")
    assert [m for m in library.movements()[before:] if m[0] != "adjust"] == kinds
    assert library.state(1) == "cancelled"
    assert library.purses() == (old_cost + balance - new_cost, 0, new_cost)


def test_a_rejected_reschedule_refunds_what_the_old_one_had(library):
    library.credit(balance=1)
    library.terms(**{"cost:2": 5})
    accept(library)
    reschedule(library, event_type="2")
    job = library.take_one()
    assert job.goal == "reject"
    assert "your balance is 1 credit" in job.reason
    assert library.purses() == (1, 0, 0)
    library.settle(job, "rejected")
    assert (library.state(1), library.state(2)) == ("cancelled", "rejected")


def test_rescheduled_by_calcom_itself_is_charged_once(library):
    """BOOKING_RESCHEDULED: accepted without asking; no call is made."""
    library.credit(balance=1)
    accept(library)
    reschedule(library, kind="rescheduled")
    assert library.take().jobs == []
    assert (library.state(1), library.state(2)) == ("cancelled", "accepted")
    assert library.purses() == (0, 0, 1)


def test_rescheduled_by_calcom_itself_against_our_no_keeps_what_was_paid(library):
    library.credit(balance=1)
    library.terms(**{"cost:2": 3})
    accept(library)
    reschedule(library, kind="rescheduled", event_type="2")
    assert library.take().jobs == []
    assert library.purses() == (0, 0, 1)
    assert library.movements()[-1] == ("waive", 2)
    assert library.client.zrange(library.key("waived"), 0, -1) == ["2"]


def test_an_undecided_booking_is_not_decided_when_it_was_rescheduled(library):
    library.credit(balance=1)
    library.record(1)
    reschedule(library)
    jobs = library.take().jobs + library.take().jobs
    assert [job.id for job in jobs] == ["2"]
    assert (library.state(1), library.purses()) == ("cancelled", (0, 1, 0))


def test_the_new_one_waits_for_the_old_one_in_flight(library):
    library.credit(balance=1)
    library.record(1)
    old = library.take_one()
    reschedule(library)
    assert library.take(worker="v").jobs == []
    assert (library.state(2), library.place(2)) == ("waiting", "retry")
    assert library.settle(old, "accepted") == ["look"]
    assert library.settle(old, "cancelled") == ["settled", "cancelled"]
    assert library.purses() == (0, 1, 0)  # still held: nobody else can take it meanwhile
    job = library.take_one()
    assert (job.id, job.goal) == ("2", "accept")
    assert library.purses() == (0, 1, 0)
    library.settle(job, "accepted")
    assert library.purses() == (0, 0, 1)


def test_the_old_one_releases_when_the_new_one_is_cancelled_first(library):
    library.credit(balance=1)
    library.record(1)
    old = library.take_one()
    reschedule(library)
    library.record(2, "cancelled")
    library.take(worker="v")
    assert library.state(2) == "cancelled"
    library.settle(old, "cancelled")
    assert library.purses() == (1, 0, 0)


@pytest.mark.parametrize("days, balance", [(7, 1), (0.5, 0)])
def test_cancelled_before_it_was_decided_again(library, days, balance):
    library.credit(balance=1)
    accept(library)
    reschedule(library, start=int(time.time() + days * 86400))
    library.record(2, "cancelled", cancelled_by=ANN)
    library.take()
    assert (library.state(2), library.purses()[0], library.purses()[1]) == ("cancelled", balance, 0)


def test_another_account_is_decided_on_its_own(library):
    library.credit(balance=1)
    library.credit(BOB, balance=0)
    accept(library)
    reschedule(library, account=BOB, email=BOB)
    assert library.take_one().goal == "reject"
    assert library.purses() == (1, 0, 0)
    assert library.state(1) == "cancelled"


def test_an_unknown_old_one_is_looked_at(library):
    library.credit(balance=1)
    reschedule(library, old=99)
    job = library.take_one()
    assert (job.goal, job.fresh) == ("accept", False)


def test_the_old_one_may_be_heard_of_last(library):
    library.credit(balance=2)
    reschedule(library)
    library.settle(library.take_one(), "accepted")
    library.record(1, created=now_ms() - 1000)
    assert library.take().jobs == []
    assert library.state(1) == "cancelled"
    assert library.purses() == (1, 0, 1)


def test_rescheduled_twice(library):
    library.credit(balance=1)
    accept(library)
    reschedule(library, 2, 1)
    library.settle(library.take_one(), "accepted")
    reschedule(library, 3, 2)
    library.settle(library.take_one(), "accepted")
    assert [library.state(i) for i in (1, 2, 3)] == ["cancelled", "cancelled", "accepted"]
    assert library.purses() == (0, 0, 1)


def test_rescheduled_twice_before_it_was_decided(library):
    library.credit(balance=1)
    accept(library)
    reschedule(library, 2, 1)
    reschedule(library, 3, 2)
    jobs = library.take().jobs + library.take().jobs + library.take().jobs
    assert [(job.id, job.goal) for job in jobs] == [("3", "accept")]
    library.settle(jobs[0], "accepted")
    assert [library.state(i) for i in (1, 2, 3)] == ["cancelled", "cancelled", "accepted"]
    assert library.purses() == (0, 0, 1)


def test_two_reschedules_of_one_booking_move_its_charge_once(library):
    library.credit(balance=2)
    accept(library)
    reschedule(library, 2, 1)
    reschedule(library, 3, 1)
    for _ in range(3):
        for job in library.take().jobs:
            library.settle(job, "accepted")
    assert library.purses() == (0, 0, 2)
    assert library.movements().count(("move", 1)) == 1


def test_a_late_cancel_of_the_old_one_takes_nothing_back(library):
    library.credit(balance=1)
    accept(library)
    reschedule(library)
    library.record(1, "cancelled", now_ms() + 1)
    for _ in range(3):
        for job in library.take().jobs:
            library.settle(job, "accepted")
    assert library.purses() == (0, 0, 1)
    assert (library.state(1), library.state(2)) == ("cancelled", "accepted")


# ---- Twins ----

def twin(library, id_, **fields):
    return library.record(id_, **{"start": 2000000000, "end": 2000003600, **fields})


def test_one_click_is_decided_once(library):
    library.credit(balance=5)
    for id_ in (1, 2, 3):
        twin(library, id_)
    assert [(job.id, job.goal) for job in library.take().jobs] == [("1", "accept"), ("2", "reject"), ("3", "reject")]
    assert library.purses() == (4, 1, 0)
    assert "twice" in library.booking(2)["reason"]


def test_twins_in_the_hands_of_several_workers(library):
    library.credit(balance=5)
    for id_ in (1, 2, 3):
        twin(library, id_)
    goals = [library.take_one(worker=w, count=1).goal for w in ("a", "b", "c")]
    assert goals == ["accept", "reject", "reject"]


def test_who_cancelled_may_book_again(library):
    library.credit(balance=5)
    twin(library, 1)
    library.settle(library.take_one(), "accepted")
    library.record(1, "cancelled", now_ms() + 1)
    twin(library, 2, created=now_ms() + 2)
    assert [(job.id, job.goal) for job in library.take().jobs] == [("2", "accept")]


@pytest.mark.parametrize("other", [{"account": BOB}, {"event_type": "7"}, {"start": 2000003600},
                                   {"created": now_ms() - 121000}])
def test_no_twins(library, other):
    library.credit(balance=5)
    library.credit(BOB, balance=5)
    twin(library, 1)
    twin(library, 2, **other)
    assert [job.goal for job in library.take().jobs] == ["accept", "accept"]


def test_twins_of_one_that_was_rejected_stay_rejected(library):
    library.credit(balance=0)
    twin(library, 1)
    twin(library, 2)
    jobs = library.take().jobs
    assert [job.goal for job in jobs] == ["reject", "reject"]
    library.credit(balance=5)
    for job in jobs:
        library.settle(job, "rejected")
    twin(library, 3)
    assert library.take_one().goal == "accept"


def test_the_echo_of_our_confirm_does_not_bring_a_rescheduled_booking_back(library):
    library.credit(balance=1)
    library.record(1)
    old = library.take_one()
    reschedule(library)
    library.record(1, "created")
    library.settle(old, "cancelled")
    for _ in range(3):
        for job in library.take().jobs:
            assert job.id == "2"
            library.settle(job, "accepted")
    assert (library.state(1), library.state(2), library.purses()) == ("cancelled", "accepted", (0, 0, 1))


def test_the_middle_of_a_chain_is_heard_of_last(library):
    """Its successor was decided alone, so what the first one held goes back."""
    library.credit(balance=2)
    library.record(1)
    old = library.take_one()
    reschedule(library, 3, 2)
    library.settle(library.take_one(), "accepted")
    reschedule(library, 2, 1, created=now_ms() - 1000)
    library.settle(old, "cancelled")
    for _ in range(3):
        assert library.take().jobs == []
    assert library.purses() == (1, 0, 1)
    assert (library.state(1), library.state(2), library.state(3)) == ("cancelled", "cancelled", "accepted")


def test_one_that_was_rescheduled_before_its_payment_was_heard_to_succeed(library):
    """Of the old one only the payment is known: nobody will ever decide it, so it is not waited for."""
    library.credit(balance=1)
    library.record(1, "payment")
    reschedule(library)
    job = library.take_one()
    assert (job.id, job.goal) == ("2", "accept")
    library.record(1, "requested", created=now_ms() + 1000)
    assert library.take().jobs == []
    assert (library.state(1), library.purses()) == ("cancelled", (0, 1, 0))


@pytest.mark.parametrize("cost, by, reason", [
    (1, "ann@example.com", "rescheduled to 2, which was cancelled too late for a refund; 1 kept"),
    (1, "host@example.com", "rescheduled to 2, which was cancelled; refunded"),
    (0, "host@example.com", "rescheduled to 2, which was cancelled; refunded"),
])
def test_the_old_one_is_over_when_the_new_one_is_cancelled_undecided(library, cost, by, reason):
    library.credit(balance=1)
    library.terms(cost=cost)
    accept(library)
    reschedule(library, start=int(time.time()) + 3600)
    library.record(2, "cancelled", cancelled_by=by)
    assert library.take().jobs == []
    assert (library.state(1), library.booking(1)["reason"]) == ("cancelled", reason)
    kept = cost if by == ANN else 0
    assert library.purses() == (1 - kept, 0, kept)
    assert library.client.zcard(library.key("open:" + ANN)) == 0


def test_a_look_that_is_older_than_a_reschedule_does_not_bring_the_old_one_back(library):
    library.credit(balance=1)
    library.record(1)
    library.settle(library.take_one(), "cancelled")
    library.record(1, "created", created=now_ms() + 1000)
    job = library.take_one()
    assert job.goal == "look"
    reschedule(library)
    library.settle(job, "accepted")
    assert (library.state(1), library.movements()[-1]) == ("cancelled", ("release", 1))


def test_what_the_old_one_only_held_is_released_however_late_the_new_one_is_cancelled(library):
    """Nobody ever confirmed either of them."""
    library.credit(balance=1)
    library.record(1)
    old = library.take_one()
    reschedule(library, start=int(time.time()) + 3600)
    library.settle(old, "cancelled")
    assert library.purses() == (0, 1, 0)
    library.record(2, "cancelled", cancelled_by=ANN)
    assert library.take().jobs == []
    assert (library.state(1), library.state(2), library.purses()) == ("cancelled", "cancelled", (1, 0, 0))


@pytest.mark.parametrize("kind, state", [("cancelled", "cancelled"), ("rejected", "rejected")])
def test_the_end_of_a_reschedule_is_heard_of_before_it(library, kind, state):
    """The old one's charge must not stay with a booking that is over."""
    library.credit(balance=1)
    accept(library)
    asked = now_ms() - 1000
    library.record(2, kind)
    assert reschedule(library, created=asked) == "queued"
    assert library.take().jobs == []
    assert (library.state(1), library.state(2)) == ("cancelled", state)
    assert library.purses() == (1, 0, 0)
    assert reschedule(library, created=asked) == "known"


@pytest.mark.parametrize("kind", ["requested", "cancelled"])
def test_while_observing_nobody_takes_over_what_the_old_one_has(library, kind):
    """It waits for a worker that may touch credit."""
    library.credit(balance=1)
    library.record(1)
    old = library.take_one()
    reschedule(library)
    library.settle(old, "cancelled")
    library.record(2, kind, created=now_ms() + 1000)
    assert library.take(mode="observe").jobs == []
    assert (library.state(2), library.place(2), library.purses()) == ("waiting", "retry", (0, 1, 0))
    library.client.zadd(library.key("retry"), {"2": 0})
    library.take()
    assert library.state(2) == ("accepting" if kind == "requested" else "cancelled")
    assert library.purses() == ((0, 1, 0) if kind == "requested" else (1, 0, 0))


@pytest.mark.parametrize("cost", [0, 1])
def test_a_reschedule_that_was_decided_before_it_was_known_to_be_one(library, cost):
    """The host's confirm tells no rescheduleUid, and overtook the request. The old one is paid back."""
    library.credit(balance=2)
    library.terms(cost=cost)
    accept(library)
    library.record(2, "created", requires_confirmation="yes")
    assert library.take().jobs == []
    assert library.purses() == (2 - 2 * cost, 0, 2 * cost)
    reschedule(library, created=now_ms() - 1000)
    assert library.take(mode="observe").jobs == []
    assert library.state(1) == "accepted"
    library.client.zadd(library.key("retry"), {"1": 0})
    assert library.take().jobs == []
    assert (library.state(1), library.state(2)) == ("cancelled", "accepted")
    assert library.booking(1)["reason"] == f"rescheduled to 2; {cost} refunded"
    assert library.purses() == (2 - cost, 0, cost)


def test_the_host_brings_a_reschedule_back_before_it_is_known_to_be_one(library):
    """Cancelled, accepted by hand, and only then requested: it goes on, and the old one is over."""
    library.credit(balance=1)
    accept(library)
    library.record(2, "cancelled")
    library.record(2, "created", created=now_ms() + 1000)
    library.settle(library.take_one(), "accepted")
    reschedule(library, created=now_ms() - 1000)
    assert library.take().jobs == []
    assert (library.state(1), library.state(2), library.purses()) == ("cancelled", "accepted", (1, 0, 0))
    assert library.client.zrange(library.key("open:" + ANN), 0, -1) == ["2"]
