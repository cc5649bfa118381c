"""tollgate_begin: what comes before every call to Cal.com but the first of a take."""

import pytest

from library import now_ms


def taken(library, fresh_ms=0):
    library.credit(balance=5)
    library.record(1)
    return library.take_one(fresh_ms=fresh_ms)


def test_a_call_that_changes_nothing_leaves_no_trace(library):
    job = taken(library)
    before = library.booking(1)
    assert library.begin(job, "look") == ["go"]
    assert library.booking(1) == before


@pytest.mark.parametrize("call", ["confirm", "decline", "cancel"])
def test_the_start_of_an_act_is_on_record(library, call):
    job = taken(library)
    begun = now_ms()
    assert library.begin(job, call) == ["go"]
    assert begun <= int(library.booking(1)["act_ms"]) <= now_ms()


@pytest.mark.parametrize("kind", ["cancelled", "rejected"])
def test_nothing_is_confirmed_after_a_cancel_or_reject(library, kind):
    job = taken(library)
    library.record(1, kind)
    assert library.begin(job, "confirm") == ["look"]
    assert "act_ms" not in library.booking(1)
    assert library.begin(job, "cancel") == ["go"]


def test_somebody_elses_token_begins_nothing(library):
    job = taken(library)
    library.give_back(job)
    library.take_one(worker="w2")
    assert library.begin(job, "confirm") == ["stale"]
    assert library.stat("stale_steps") == 1


def test_who_takes_over_waits_only_for_an_act_that_began(library):
    looked = taken(library)
    library.leave()
    again = library.take_one(worker="w2")
    assert (looked.busy_ms, again.busy_ms) == (0, 0)
    library.begin(again, "confirm")
    library.leave("w2")
    assert 29000 < library.take_one(worker="w3").busy_ms <= 30000


def test_a_fresh_booking_may_be_acted_on_from_its_take_on(library):
    job = taken(library, fresh_ms=1000)
    assert job.fresh
    library.leave()
    assert 29000 < library.take_one(worker="w2").busy_ms <= 30000


# ---- An act that was not answered may still run ----

def unanswered(library):
    """A confirm went out and was not answered in time."""
    library.credit(balance=5)
    library.record(1)
    job = library.take_one()
    library.begin(job)
    return job


def begun_ago(library, ms):
    library.set_booking(act_ms=now_ms() - ms, taken_ms=now_ms() - ms)


@pytest.mark.parametrize("outcome", ["cancelled", "rejected", "gone"])
def test_a_no_is_not_final_while_our_confirm_may_still_run(library, outcome):
    job = unanswered(library)
    begun_ago(library, 10000)
    answer, delay_ms = library.settle(job, outcome, unfinished=True)
    assert answer == "retry" and 19000 < delay_ms <= 20000
    b = library.booking()
    assert (b["state"], b["place"], b["attempts"], library.purses()) == ("accepting", "retry", "0", (4, 1, 0))
    assert library.retries() == ["1"] and "may still run" in b["last_error"]


def test_afterwards_it_is(library):
    job = unanswered(library)
    begun_ago(library, 30001)
    assert library.settle(job, "cancelled", unfinished=True) == ["settled", "cancelled"]
    assert library.purses() == (5, 0, 0)


def test_an_answered_confirm_runs_no_more(library):
    assert library.settle(unanswered(library), "cancelled") == ["settled", "cancelled"]


def test_a_yes_is_final_unless_it_was_cancelled_meanwhile(library):
    job = unanswered(library)
    library.record(1, "cancelled")
    assert library.settle(job, "accepted", unfinished=True) == ["queued"]
    assert library.state() == "accepting"
    library.set_booking(busy_until_ms=1)
    assert library.settle(library.take_one(), "accepted") == ["look"]


def test_a_yes_without_a_cancel_is_settled_at_once(library):
    assert library.settle(unanswered(library), "accepted", unfinished=True) == ["settled", "accepted"]
    assert library.purses() == (4, 0, 1)


def test_a_cancel_that_comes_later_finds_the_confirm_on_record(library):
    """The retry waits for the confirm; the cancel names the booking before that."""
    job = unanswered(library)
    assert library.retry(job, 5, unfinished=True)[0] == "retry"
    library.record(1, "cancelled")
    again = library.take_one(worker="w2")
    assert again.goal == "withdraw" and 29000 < again.busy_ms <= 30000
    answer, delay_ms = library.settle(again, "cancelled")
    assert answer == "retry" and 29000 < delay_ms <= 30000
    assert library.purses() == (4, 1, 0)


def test_a_retry_is_not_due_before_the_act_is_over(library):
    job = unanswered(library)
    answer, delay_ms = library.retry(job, 5, unfinished=True)
    assert answer == "retry" and 29000 < delay_ms <= 30000


def test_a_longer_retry_stays_as_it_is(library):
    assert library.retry(unanswered(library), 3600000, unfinished=True) == ["retry", 3600000]


def test_so_it_is_with_what_a_dead_worker_left(library):
    unanswered(library)
    library.die("w")
    again = library.take_one(worker="w2")
    assert library.settle(again, "cancelled")[0] == "retry"
    assert library.purses() == (4, 1, 0)


def test_a_no_of_ours_does_not_wait(library):
    """A decline that still runs changes nothing about a booking that is rejected or cancelled."""
    library.credit(balance=0)
    library.record(1)
    job = library.take_one()
    library.begin(job, "decline")
    assert library.settle(job, "cancelled", unfinished=True) == ["settled", "rejected"]
