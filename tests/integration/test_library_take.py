"""tollgate_take: into a worker's hands, decided in list order together with the hold."""


import pytest

from library import now_ms
from test_library_record import GARBAGE, refuses

ANN = "ann@example.com"
BOB = "bob@example.com"


# ---- What a job says ----

def test_a_job_says_what_a_worker_needs(library):
    library.credit(balance=5)
    library.record(48213, uid="kWq3")
    batch = library.take(worker="w-1")
    job = batch.jobs[0]
    assert (batch.left, batch.next_due, len(batch.jobs)) == (0, -1, 1)
    assert (job.id, job.goal, job.uid, job.account) == ("48213", "accept", "kWq3", ANN)
    assert (job.cost, job.attempts, job.fresh, job.guide) == (1, 0, True, False)
    assert job.token == "w-1/1"
    assert job.reason
    assert library.active("w-1") == ["48213"]


def test_the_decision_is_stored_with_what_it_rested_on(library):
    library.credit(balance=5)
    library.record(1)
    job = library.take_one()
    b = library.booking()
    stored = {"state": "accepting", "decision": "accept", "cost": "1", "held": "1", "charged": "0",
              "balance_before": "5", "reason": job.reason, "takes": "1", "place": "active", "token": job.token,
              "policy": library.client.hget(library.key("policy"), "sha")}
    assert stored.items() <= b.items()
    assert abs(int(b["decided_ms"]) - now_ms()) < 5000
    assert library.stat("decided:accept") == 1
    [(_, decision)] = library.client.xrange(library.key("decisions"))
    assert {"booking": "1", "account": ANN, "decision": "accept", "cost": "1"}.items() <= decision.items()


def test_a_no_holds_nothing(library):
    library.credit(balance=0)
    library.record(1)
    assert library.take_one().goal == "reject"
    b = library.booking()
    assert (b["state"], b["decision"], b["held"]) == ("rejecting", "reject", "0")
    assert library.ledger() == []


def test_it_is_decided_exactly_once(library):
    library.credit(balance=5)
    library.record(1)
    job = library.take_one()
    library.retry(job)
    library.credit(balance=0)
    assert library.take_one().goal == "accept"
    assert library.stat("decided:accept") == 1
    assert library.movements() == [("adjust", 5), ("hold", 1)]


def test_guide_is_told(library):
    library.record(1, "created", requires_confirmation=None)
    assert library.take_one().guide


# ---- Fresh ----

def test_fresh_by_createdat_and_by_receipt(library):
    library.record("new")
    library.record("old", created=now_ms() - 5000)
    library.record("ahead", created=now_ms() + 60000)
    library.record("late")
    library.set_booking("late", received_ms=now_ms() - 5000)
    library.record("told-twice")
    library.record("told-twice", "payment")
    fresh = {job.id: job.fresh for job in library.take(fresh_ms=2000).jobs}
    assert fresh == {"new": True, "old": False, "ahead": False, "late": False, "told-twice": False}


def test_nothing_is_fresh_when_that_is_switched_off(library):
    library.record(1)
    assert not library.take_one(fresh_ms=0).fresh


@pytest.mark.parametrize("step", ["retry", "give_back"])
def test_only_a_first_attempt_is_fresh(library, step):
    library.record(1)
    getattr(library, step)(library.take_one())
    assert not library.take_one().fresh


# ---- Order ----

def test_the_list_is_taken_in_its_order(library):
    for id_ in range(5):
        library.record(id_)
    batch = library.take(count=3)
    assert (batch.ids, batch.left) == (["0", "1", "2"], 2)
    assert library.active() == ["0", "1", "2"]
    assert library.take().ids == ["3", "4"]


def test_the_last_credit_goes_to_the_earlier_booking(library):
    library.credit(balance=1)
    library.record("early")
    library.record("late")
    assert [(job.id, job.goal) for job in library.take().jobs] == [("early", "accept"), ("late", "reject")]


def test_ten_credits_accept_exactly_ten_of_fifty_bookings(library):
    library.credit(balance=10)
    for id_ in range(50):
        library.record(id_)
    jobs = library.take().jobs
    assert [job.id for job in jobs if job.goal == "accept"] == [str(i) for i in range(10)]
    assert [job.goal for job in jobs[10:]] == ["reject"] * 40
    assert library.purses() == (0, 10, 0)


def test_ten_credits_over_many_takes_and_workers(library):
    library.credit(balance=10)
    for id_ in range(50):
        library.record(id_)
    jobs = [job for turn in range(10) for job in library.take(worker=f"w{turn % 3}", count=5).jobs]
    assert [job.id for job in jobs if job.goal == "accept"] == [str(i) for i in range(10)]
    assert library.purses() == (0, 10, 0)


def test_an_account_of_one_does_not_disturb_another(library):
    library.credit(ANN, balance=1)
    library.credit(BOB, balance=1)
    for id_, account in enumerate([ANN, ANN, BOB, BOB]):
        library.record(id_, account=account)
    assert [job.goal for job in library.take().jobs] == ["accept", "reject", "accept", "reject"]


def test_a_refund_in_a_batch_pays_for_what_comes_later_in_it(library):
    library.credit(balance=1)
    library.record("old")
    library.settle(library.take_one(), "accepted")
    library.record("before")
    library.record("old", "cancelled", now_ms() + 5)
    library.record("after")
    assert [(job.id, job.goal) for job in library.take().jobs] == [("before", "reject"), ("after", "accept")]
    assert library.purses() == (0, 1, 0)


# ---- Numbers of takes ----

def test_the_same_number_returns_the_same_batch(library):
    library.credit(balance=1)
    for id_ in range(3):
        library.record(id_)
    first = library.take(number=1, count=2)
    library.record("later")
    again = library.take(number=1, count=2)
    assert [job._replace(fresh_ms=0) for job in first.jobs] == again.jobs
    assert library.movements() == [("adjust", 1), ("hold", 1)]
    assert not any(job.fresh for job in again.jobs), "an answer was lost: perhaps it was acted upon"


def test_the_same_number_returns_what_is_left_of_the_batch(library):
    for id_ in range(3):
        library.record(id_)
    jobs = library.take(number=1).jobs
    library.settle(jobs[1], "rejected")
    library.give_back(jobs[2])
    assert library.take(number=1).ids == ["0"]


def test_the_same_number_of_an_empty_batch_is_empty(library):
    assert library.take(number=1).jobs == []
    library.record(1)
    assert library.take(number=1).jobs == []
    assert library.take(number=2).ids == ["1"]


def test_numbers_may_skip(library):
    library.take(number=3)
    library.record(1)
    assert library.take(number=900719925474).ids == ["1"]


def test_an_older_number_is_refused(library):
    library.take(number=5)
    library.record(1)
    refuses(library, "take 4 of w came after take 5", lambda: library.take(number=4))


@pytest.mark.parametrize("name, text", [("number", "take number"), ("count", "count"), ("fresh_ms", "fresh_ms"),
                                        ("lease_ms", "lease_ms"), ("keep_ms", "keep_ms")])
@pytest.mark.parametrize("garbage", GARBAGE)
def test_garbage_numbers_are_refused(library, name, text, garbage):
    library.record(1)
    refuses(library, text + " must be a whole number", lambda: library.take(**{"number": 1, name: garbage}))


def test_number_zero_is_refused(library):
    library.record(1)
    refuses(library, "take 0", lambda: library.take(number=0))


@pytest.mark.parametrize("args", [(), ("w",), ("w", 1), ("w", 1, 1, 1), ("w", 1, 1, 1, 1)])
def test_missing_arguments_are_refused(library, args):
    library.record(1)
    refuses(library, "", lambda: library.call("take", *args))


def test_a_count_of_zero_takes_nothing(library):
    library.record(1)
    library.record(2)
    library.blmove()
    batch = library.take(count=0)
    assert (batch.jobs, batch.left) == ([], 1)
    assert library.take().ids == ["1", "2"]


def test_a_repeated_take_never_answers_a_job_without_a_goal(library):
    """The reason to look is gone by the time the lost answer is asked for again."""
    base = now_ms()
    library.record(1, "cancelled", base)
    library.record(1, "created", base + 5)
    assert library.take(number=1).jobs[0].goal == "look"
    library.record(1, "cancelled", base + 10)
    for job in library.take(number=1).jobs:
        assert job.goal
    for job in library.take(number=2).jobs:
        assert library.settle(job, "cancelled")[0] == "settled"
