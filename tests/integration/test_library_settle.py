"""tollgate_settle, _retry, _give_back and _leave: how a take ends."""

import pytest

from library import DAY_S, KEEP_MS, now_ms
from test_library_record import GARBAGE, refuses
from test_library_sweep import looked_at_later

ANN = "ann@example.com"
HOST = "nora@example.com"
DAY_MS = DAY_S * 1000


def accepting(library, id_=1, **fields):
    """A booking in hand that we said yes to; Ann had 5 credits."""
    if library.purses() is None:
        library.credit(balance=5)
    library.record(id_, created=now_ms() - 50, **fields)
    job = library.take_one()
    assert job.goal == "accept"
    return job


def rejecting(library, id_=1, **fields):
    library.record(id_, created=now_ms() - 50, **fields)
    job = library.take_one()
    assert job.goal == "reject"
    return job


# ---- The table of outcomes ----

@pytest.mark.parametrize("outcome, state, purses, kind", [
    ("accepted", "accepted", (4, 0, 1), "capture"),
    ("rejected", "rejected", (5, 0, 0), "release"),
    ("cancelled", "cancelled", (5, 0, 0), "release"),
    ("gone", "cancelled", (5, 0, 0), "release"),
    ("refused", "failed", (5, 0, 0), "release"),
])
def test_what_becomes_of_a_yes(library, outcome, state, purses, kind):
    job = accepting(library)
    assert library.settle(job, outcome, "a note") == ["settled", state]
    assert (library.state(), library.purses()) == (state, purses)
    assert library.movements() == [("adjust", 5), ("hold", 1), (kind, 1)]
    b = library.booking()
    assert (b["held"], b["charged"]) == ("0", "1" if outcome == "accepted" else "0")
    assert_is_final(library, state, dead=outcome == "refused")


@pytest.mark.parametrize("outcome, state, movements", [
    ("accepted", "accepted", [("waive", 1)]),  # the host overrode us: it stands, and costs nothing
    ("rejected", "rejected", []),
    ("cancelled", "rejected", []),
    ("gone", "rejected", []),
    ("refused", "failed", []),
])
def test_what_becomes_of_a_no(library, outcome, state, movements):
    job = rejecting(library)
    assert library.settle(job, outcome) == ["settled", state]
    assert library.movements() == movements
    assert library.booking()["charged"] == "0"
    assert_is_final(library, state, dead=outcome == "refused")


def test_what_cannot_be_looked_up_waits_for_a_person(library):
    library.record(1, occurrences=3)
    assert library.settle(library.take_one(), "refused", "no uid") == ["parked", "no uid"]
    assert (library.state(), library.dead(), library.booking()["last_error"]) == ("waiting", ["1"], "no uid")
    library.push("1")  # who mended it names it again
    assert library.take_one().goal == "identify"


def test_a_late_yes_that_cannot_be_looked_up_waits_for_a_person(library):
    library.settle(rejecting(library), "rejected")
    library.record(1, "created", created=now_ms() + 1000)
    look = library.take_one()
    assert look.goal == "look"
    assert library.settle(look, "refused", "no uid") == ["parked", "no uid"]
    assert (library.state(), library.dead(), library.queue()) == ("rejected", ["1"], [])


def assert_is_final(library, state, dead):
    assert library.done() == state
    assert library.dead() == (["1"] if dead else [])
    assert library.place() == ("dead" if dead else "none")
    assert (library.active(), library.queue(), library.retries()) == ([], [], [])
    assert library.pttl("booking:1") > KEEP_MS
    assert library.pttl("uid:uid-1") > KEEP_MS
    assert library.stat("settled:" + state) == 1
    assert abs(int(library.booking()["settled_ms"]) - now_ms()) < 5000


def test_what_cal_com_refuses_is_listed_with_its_words(library):
    library.settle(accepting(library), "refused", "422: no such event type")
    assert "422: no such event type" in library.booking()["last_error"]


def test_a_decision_for_nothing_moves_nothing(library):
    library.install_answer("{ accept = true, cost = 0, reason = 'free' }")
    library.record(1)
    assert library.settle(library.take_one(), "accepted") == ["settled", "accepted"]
    assert (library.ledger(), library.purses()) == ([], None)


# ---- Tokens: what comes too late or from nowhere changes nothing ----

def assert_all_stale(library, job, outcome="accepted"):
    before, stale = library.snapshot(stats=False), library.stat("stale_steps")
    assert library.settle(job, outcome) == ["stale"]
    assert library.retry(job, 5) == ["stale"]
    assert library.give_back(job) == ["stale"]
    assert library.snapshot(stats=False) == before
    assert library.stat("stale_steps") == stale + 3


@pytest.mark.parametrize("outcome", ["accepted", "rejected", "cancelled", "gone", "refused"])
def test_nothing_works_a_second_time_after_settle(library, outcome):
    job = accepting(library)
    library.settle(job, outcome)
    for other in ("accepted", "cancelled", "refused"):
        assert_all_stale(library, job, other)


def test_nothing_works_before_the_take(library):
    library.credit(balance=5)
    job = accepting(library, "other")
    library.record(1)
    assert_all_stale(library, job._replace(id="1"))
    assert_all_stale(library, job._replace(id="1", token=""))
    assert library.state() == "waiting"


@pytest.mark.parametrize("token", ["", "w/2", "v/1", "w/1 ", "1", "w/01", "w/"])
def test_nothing_works_with_a_wrong_token(library, token):
    job = accepting(library)
    assert_all_stale(library, job._replace(token=token))


@pytest.mark.parametrize("id_", ["nobody", "", "a b"])
def test_nothing_works_for_an_unknown_booking(library, id_):
    job = accepting(library)
    assert_all_stale(library, job._replace(id=id_))


@pytest.mark.parametrize("end", ["give_back", "retry", "leave"])
def test_nothing_works_after_it_was_put_down(library, end):
    job = accepting(library)
    library.leave() if end == "leave" else getattr(library, end)(job)
    assert_all_stale(library, job)
    assert library.purses() == (4, 1, 0)


@pytest.mark.parametrize("end", ["give_back", "retry", "leave"])
def test_the_old_token_does_nothing_to_the_next_take(library, end):
    job = accepting(library)
    library.leave() if end == "leave" else getattr(library, end)(job)
    newer = library.take_one(worker="v")
    assert_all_stale(library, job)
    assert library.settle(newer, "accepted") == ["settled", "accepted"]


@pytest.mark.parametrize("outcome", ["", "pending", "ACCEPTED", "failed", "waiting", "__index"])
def test_an_unknown_outcome_is_refused(library, outcome):
    job = accepting(library)
    refuses(library, "unknown outcome", lambda: library.settle(job, outcome))


@pytest.mark.parametrize("garbage", GARBAGE)
def test_garbage_numbers_are_refused(library, garbage):
    job = accepting(library)
    refuses(library, "keep_ms must be", lambda: library.settle(job, "accepted", keep_ms=garbage))
    refuses(library, "keep_ms must be", lambda: library.retry(job, keep_ms=garbage))
    refuses(library, "delay must be", lambda: library.retry(job, garbage))
    refuses(library, "keep_ms must be", lambda: library.give_back(job, keep_ms=garbage))


@pytest.mark.parametrize("function, given", [("settle", 2), ("retry", 2), ("retry", 4), ("give_back", 2)])
def test_missing_arguments_are_refused(library, function, given):
    job = accepting(library)
    args = {"settle": [job.id, job.token], "retry": [job.id, job.token, 5, 1], "give_back": [job.id, job.token]}
    refuses(library, "", lambda: library.call(function, *args[function][:given]))


# ---- A cancel or reject while our confirm is on its way ----

@pytest.mark.parametrize("withdrawn", ["cancelled", "rejected"])
@pytest.mark.parametrize("then, state", [("cancelled", "cancelled"), ("rejected", "rejected"), ("gone", "cancelled")])
def test_withdrawn_while_our_confirm_was_on_its_way(library, withdrawn, then, state):
    job = accepting(library)
    assert library.record(1, withdrawn) == "queued"
    before = library.snapshot()
    assert library.settle(job, "accepted") == ["look"]
    assert library.snapshot() == before, "still in hand, under the same token"
    assert library.settle(job, then) == ["settled", state]
    assert library.purses() == (5, 0, 0)
    library.take()
    assert library.purses() == (5, 0, 0)
    assert (library.queue(), library.place()) == ([], "none")


def test_withdrawn_while_it_waits_for_a_retry(library):
    library.retry(accepting(library), 3600000)
    assert library.record(1, "cancelled") == "queued"
    job = library.take_one()
    assert job.goal == "withdraw"
    assert library.settle(job, "accepted") == ["look"]
    assert library.settle(job, "cancelled") == ["settled", "cancelled"]


def test_a_confirm_is_never_asked_for_after_a_cancel_was_recorded(library):
    job = accepting(library)
    library.record(1, "cancelled")
    library.record(1, "created", now_ms() + 50)  # the echo of our confirm, which resurrected it
    library.give_back(job)
    assert library.take_one().goal == "withdraw"


# ---- Named again while in hand ----

def test_named_again_then_settled_leaves_nothing_undone(library):
    job = accepting(library)
    library.record(1, "cancelled")
    assert library.booking()["again"] == "1"
    assert library.queue() == [], "at most once anywhere"
    library.settle(job, "cancelled")
    library.take()
    b = library.booking()
    assert (b["place"], b["again"]) == ("none", "0")


def test_named_again_then_retry_goes_back_at_once(library):
    job = accepting(library)
    library.record(1, "cancelled")
    assert library.retry(job, 3600000) == ["queued"]
    assert (library.queue(), library.retries()) == (["1"], [])
    assert library.booking()["again"] == "0"


@pytest.mark.parametrize("end", ["give_back", "leave"])
def test_named_again_then_put_back_is_paid_off(library, end):
    """It is back in the queue: a later retry has no reason to skip its delay."""
    job = accepting(library)
    library.record(1, "cancelled")
    library.leave() if end == "leave" else library.give_back(job)
    assert library.queue() == ["1"]
    assert library.retry(library.take_one(worker="v"), 3600000) == ["retry", 3600000]


def test_named_again_then_given_up_is_looked_at_once_more(library):
    """The news may be the cancel that ends it; without news the next retry gives up."""
    job = accepting(library)
    library.record(1, "cancelled")
    make_hopeless(library)
    library.retry(job)
    newer = library.take_one()
    assert library.retry(newer) == ["dead"]


def test_accepted_by_hand_while_our_no_was_on_its_way(library):
    """The host's yes came after our decline went through; our settle comes last."""
    job = rejecting(library)
    assert library.record(1, "created") == "queued"
    assert library.settle(job, "rejected")[0] == "settled"
    look = library.take_one()
    assert look.goal == "look"
    assert library.settle(look, "accepted") == ["settled", "accepted"]
    assert library.movements() == [("waive", 1)]


def test_cancelled_while_a_look_said_that_the_host_accepted(library):
    """The cancel is known when the look's older answer arrives: it may not be forgotten."""
    job = rejecting(library)
    library.record(1, "cancelled")
    library.settle(job, "accepted")
    library.take()
    assert library.state() == "cancelled"


# ---- Resurrected ----

def resurrected(library):
    library.credit(balance=5)
    job = accepting(library)
    library.settle(job, "cancelled")
    assert library.record(1, "created", now_ms() + 50) == "queued"
    job = library.take_one()
    assert job.goal == "look"
    return job


def test_a_final_no_that_the_host_turned_into_a_yes(library):
    assert library.settle(resurrected(library), "accepted") == ["settled", "accepted"]
    assert (library.state(), library.done(), library.purses()) == ("accepted", "accepted", (5, 0, 0))
    assert library.movements()[-1] == ("waive", 1)


@pytest.mark.parametrize("outcome", ["cancelled", "rejected", "gone"])
def test_a_look_that_finds_nothing_changes_nothing(library, outcome):
    assert library.settle(resurrected(library), outcome) == ["settled", "cancelled"]
    assert (library.state(), library.purses(), library.place()) == ("cancelled", (5, 0, 0), "none")


def test_accepted_by_the_host_then_cancelled(library):
    library.settle(resurrected(library), "accepted")
    library.record(1, "cancelled", now_ms() + 100)
    library.take()
    assert (library.state(), library.purses()) == ("cancelled", (5, 0, 0))


# ---- Retry and giving up ----

def test_retry_waits_and_counts(library):
    job = accepting(library)
    assert library.retry(job, 60000, why="502 Bad Gateway") == ["retry", 60000]
    b = library.booking()
    assert (b["place"], b["attempts"], b["last_error"], b["state"]) == ("retry", "1", "502 Bad Gateway", "accepting")
    assert library.pttl("booking:1") == -1
    due = library.client.zscore(library.key("retry"), "1")
    assert abs(due - now_ms() - 60000) < 5000
    assert library.active() == []


def test_retry_without_burning_an_attempt(library):
    library.retry(accepting(library), 0, burn=False)
    assert library.booking()["attempts"] == "0"
    assert library.take_one().attempts == 0


def test_attempts_are_told(library):
    job = accepting(library)
    for attempts in range(1, 4):
        library.retry(job)
        job = library.take_one()
        assert job.attempts == attempts


def make_hopeless(library, started=True, received=True):
    """Moves the booking's start and receipt, both are what time will do."""
    now = now_ms()
    library.set_booking(1, start=now // 1000 - 5 if started else now // 1000 + 3600,
                        received_ms=now - DAY_MS - 5000 if received else now - DAY_MS + 3600000)


@pytest.mark.parametrize("started, received, place", [
    (True, True, "dead"), (True, False, "retry"), (False, True, "retry"), (False, False, "retry"),
])
def test_giving_up_at_the_later_of_start_and_a_day_after_receipt(library, started, received, place):
    job = accepting(library)
    make_hopeless(library, started, received)
    answer = library.retry(job, 1000, why="timeout")
    assert answer[0] == place
    assert (library.place(), library.state()) == (place, "accepting")
    assert library.purses() == (4, 1, 0), "a hold has no expiry; a person decides"
    if place == "dead":
        assert library.dead() == ["1"]
        assert "timeout" in library.booking()["last_error"]
        assert library.pttl("booking:1") == -1


def test_news_about_a_booking_given_up_queue_it_again(library):
    job = accepting(library)
    make_hopeless(library)
    library.retry(job)
    assert library.record(1, "cancelled") == "queued"
    assert library.dead() == []
    assert library.booking()["attempts"] == "0"
    assert library.take_one().goal == "withdraw"


# ---- Giving back and leaving ----

def test_given_back_is_the_next_and_counts_nothing(library):
    job = accepting(library)
    library.record(2)
    assert library.give_back(job) == ["queued"]
    assert library.queue() == ["1", "2"]
    assert (library.booking()["attempts"], library.active()) == ("0", [])
    assert library.stat("given_back") == 1
    assert library.take().ids == ["1", "2"]


def test_leaving_puts_everything_back_in_its_order(library):
    for id_ in "abcde":
        library.record(id_)
    library.take(count=3)
    assert library.leave() == 3
    assert library.queue() == ["a", "b", "c", "d", "e"]
    assert library.client.zscore(library.key("workers"), "w") is None
    assert library.keys("active:") == [] and library.keys("worker:") == []
    assert library.take(worker="v").ids == ["a", "b", "c", "d", "e"]


def test_leaving_twice_or_without_anything(library):
    assert library.leave() == 0
    library.record(1)
    library.take()
    assert [library.leave(), library.leave()] == [1, 0]
    assert library.queue() == ["1"]


def test_leaving_with_what_a_blocking_pop_laid_there(library):
    for id_ in "abc":
        library.record(id_)
    library.blmove()
    library.blmove()
    assert library.leave() == 2
    assert library.queue() == ["a", "b", "c"]
    assert library.take(worker="v").ids == ["a", "b", "c"]


@pytest.mark.parametrize("place", ["retry", "dead", "final", "other"])
def test_leaving_with_a_name_that_is_elsewhere(library, place):
    """Pushed by hand, popped, and the worker ends before it adopted it: in one place at most."""
    library.credit(balance=5)
    job = accepting(library)
    if place == "retry":
        library.retry(job, 0)
    elif place == "dead":
        make_hopeless(library)
        library.retry(job)
    elif place == "final":
        library.settle(job, "accepted")
    library.push("1")
    library.blmove("v")
    library.leave("v")
    if place != "other":
        library.check_places()
        library.take(worker="v")
        assert (library.retries(), library.dead()) == ([], [])
    else:
        library.take(worker="v")
        assert library.settle(job, "accepted") == ["settled", "accepted"]
        library.take(worker="v")


def test_a_worker_that_left_may_come_back_and_count_anew(library):
    library.record(1)
    library.take(number=7)
    library.leave()
    assert library.take(number=1).ids == ["1"]


# ---- Refunds ----

def accepted(library, **fields):
    library.settle(accepting(library, **fields), "accepted")
    assert library.purses() == (4, 0, 1)


def cancel(library, by, created=None):
    """Answers the purses after the refund, or without one."""
    created = created or now_ms() + 5
    assert library.record(1, "cancelled", created, cancelled_by=by) == "queued"
    assert library.take().jobs == [], "nothing to do at Cal.com"
    assert library.state() == "cancelled"
    assert (library.place(), library.done()) == ("none", "cancelled")
    return library.purses()


def start_in(hours):
    return {"start": now_ms() // 1000 + int(hours * 3600), "end": now_ms() // 1000 + int(hours * 3600) + 3600}


@pytest.mark.parametrize("by, hours, refunded", [
    (ANN, 25, True), (ANN, 23, False), (ANN, -1, False),
    (HOST, 25, True), (HOST, 1, True), (HOST, -1, True), (None, 1, True),
])
def test_who_cancels_when_is_refunded(library, by, hours, refunded):
    accepted(library, **start_in(hours))
    assert cancel(library, by) == ((5, 0, 0) if refunded else (4, 0, 1))
    kinds = [kind for kind, _ in library.movements()]
    assert kinds == ["adjust", "hold", "capture"] + (["refund"] if refunded else [])
    assert library.booking()["charged"] == ("0" if refunded else "1")
    assert ("refund" in library.booking()["reason"]) and (("late" in library.booking()["reason"]) != refunded)


@pytest.mark.parametrize("notice, hours, refunded", [("2", 3, True), ("2", 1, False), ("0", 0.1, True), ("48", 47, False)])
def test_the_notice_is_a_term(library, notice, hours, refunded):
    library.terms(refund_notice_hours=notice)
    accepted(library, **start_in(hours))
    assert (cancel(library, ANN) == (5, 0, 0)) == refunded


def test_a_cancels_time_is_not_later_than_its_receipt(library):
    """A clock that is ahead takes nothing from the member."""
    accepted(library, **start_in(25))
    assert cancel(library, ANN, created=now_ms() + 3 * 3600000) == (5, 0, 0)


def test_a_cancel_that_was_long_on_its_way_counts_from_when_it_was_made(library):
    accepted(library, **start_in(23))
    library.set_booking(1, created_ms=now_ms() - 3 * 3600000)
    assert cancel(library, ANN, created=now_ms() - 2 * 3600000) == (5, 0, 0)


def test_rejected_by_the_host_after_all_is_refunded(library):
    accepted(library, **start_in(1))
    assert library.record(1, "rejected", now_ms() + 5) == "queued"
    library.take()
    assert library.purses() == (5, 0, 0)
    assert library.state() in ("cancelled", "rejected")


def test_a_refund_happens_once(library):
    accepted(library)
    cancel(library, HOST)
    for offset in range(5):
        library.record(1, "cancelled", now_ms() + 100 + offset, cancelled_by=HOST)
        library.record(1, "rejected", now_ms() + 100 + offset)
        library.push("1")
        library.take()
    assert library.purses() == (5, 0, 0)


def test_a_cancel_older_than_the_hosts_last_yes_changes_nothing_where_that_stands(library):
    accepted(library)
    library.record(1, "created", now_ms() + 100)
    library.record(1, "cancelled", now_ms() + 50, cancelled_by=HOST)
    library.settle(looked_at_later(library), "accepted")
    library.push("1")
    library.take()
    assert (library.state(), library.purses()) == ("accepted", (4, 0, 1))


def test_a_waived_booking_refunds_nothing(library):
    job = rejecting(library)
    library.settle(job, "accepted")
    library.record(1, "cancelled", now_ms() + 5, cancelled_by=HOST)
    library.take()
    assert library.state() == "cancelled"
    assert library.movements() == [("waive", 1)]


def test_a_booking_is_waived_once(library):
    """Our decline and the host's yes crossed, and their webhooks came the other way round."""
    library.settle(rejecting(library), "accepted")
    declined_ms = now_ms() + 5
    library.record(1, "rejected", declined_ms)
    library.take()
    assert library.state() == "cancelled"
    library.record(1, "created", declined_ms + 2)
    assert library.settle(library.take_one(), "accepted") == ["settled", "accepted"]
    assert library.movements() == [("waive", 1)]
