"""What no webhook told (sweep.lua): rows that are found, looks at what is known, and drift."""

import pytest

from library import DAY_S, DEFAULT_POLICY, now_ms
from test_library_record import refuses

ANN, BOB = "ann@example.com", "bob@example.com"


def accepted(library, id_=1, **fields):
    library.credit(balance=5)
    library.record(id_, **fields)
    job = library.take_one()
    assert library.settle(job, "accepted")[0] == "settled"


def forget_looks(library):
    """As if all known bookings had been looked at long ago."""
    for name in library.client.zrange(library.key("known"), 0, -1):
        library.client.zadd(library.key("known"), {name: 1})


def settled_long_ago(library, id_=1):
    library.client.hincrby(library.key(f"booking:{id_}"), "settled_ms", -30001)


def due(library):
    library.client.hset(library.key("sweep"), "next_ms", 1)


def look(library, **gate):
    """A sweep that looks at everything known, and what it ordered."""
    forget_looks(library)
    due(library)
    assert library.sweep("start", **gate) == ["go"]
    answer = library.sweep("look", **gate)
    return answer


def checked(library, **gate):
    answer = look(library, **gate)
    assert answer[0] == "go", answer
    return [library.take_one(fresh_ms=60000) for _ in range(int(answer[1]))]


# ---- Rows ----

def test_a_booking_that_no_webhook_told_of_is_recorded_like_its_request(library):
    library.credit(balance=5)
    created = now_ms() - 60000
    assert library.found(1, created=created) == ["queued"]
    b = library.booking()
    assert (b["first_seen"], b["first_ms"], b["requested_ms"]) == ("requested", str(created), str(created))
    assert b["uid"] == "uid-1" and library.client.get(library.key("uid:uid-1")) == "1"
    job = library.take_one(fresh_ms=60000)
    assert job.goal == "accept" and not job.fresh, "who knows how it stands by now"
    assert library.stat("found") == 1


def test_a_young_one_is_left_to_its_webhook(library):
    assert library.found(1, created=now_ms() - 29000) == ["young"]
    assert library.booking() == {} and library.queue() == []
    assert library.found(1, created=now_ms() - 30001) == ["queued"]


def test_a_row_without_a_time_is_young_when_it_is_seen_first(library):
    assert library.found(1, created=0) == ["young"]
    library.client.zincrby(library.key("found"), -30001, 1)
    assert library.found(1, created=0) == ["queued"]
    assert abs(int(library.booking()["first_ms"]) - now_ms() + 30001) < 2000


@pytest.mark.parametrize("kind", ["requested", "created", "payment", "cancelled"])
def test_what_a_webhook_told_is_left_alone(library, kind):
    library.record(1, kind)
    before = library.snapshot()
    assert library.found(1) == ["known"]
    assert library.snapshot() == before


def test_what_ended_long_ago_is_not_found_again(library):
    accepted(library)
    library.client.delete(library.key("booking:1"))
    assert library.found(1) == ["known"] and library.booking() == {}


def test_a_late_webhook_after_the_sweep_tells_nothing_new(library):
    library.credit(balance=5)
    library.found(1)
    library.record(1)
    job = library.take_one()
    library.settle(job, "accepted")
    library.record(1)
    assert library.take().jobs == [] and library.purses() == (4, 0, 1)


def test_a_paid_event_type_is_only_listed(library):
    library.record(7, "payment", event_type="900")
    answer, why = library.found(1, event_type="900")
    assert answer == "listed" and "paid" in why
    b = library.booking()
    assert (b["place"], b["last_error"]) == ("dead", why) and library.queue() == []
    assert library.found(1, event_type="900") == ["known"], "once"
    library.credit(balance=5)
    assert library.record(1, event_type="900") == "queued", "the payment went through"
    assert library.take_one().goal == "accept"


def test_what_must_not_be_acted_on_is_only_listed(library):
    assert library.found(1, aside="a payment is missing") == ["listed", "a payment is missing"]
    assert library.dead() == ["1"] and library.take().jobs == []


def test_seats_are_found_one_by_one(library):
    library.credit(balance=5)
    library.record("9:a", seat="a", seats="yes", uid="u9")
    library.take_one()
    assert library.found("9:a", seat="a", seats="yes", uid="u9") == ["known"]
    assert library.found("9:b", seat="b", seats="yes", uid="u9", account=BOB, email=BOB) == ["queued"]
    assert library.found("9", uid="u9") == ["known"], "a list that tells no seats"


def test_a_wrong_row_is_refused(library):
    refuses(library, "booking ID", lambda: library.found("a b"))
    refuses(library, "start must be", lambda: library.found(1, start="soon"))
    refuses(library, "unknown step", lambda: library.sweep("dance"))


# ---- Which bookings are known ----

def known(library):
    return library.client.zrange(library.key("known"), 0, -1)


def test_known_are_the_open_ones_and_those_to_come(library):
    library.credit(balance=5)
    library.record(1)
    assert known(library) == ["1"]
    job = library.take_one()
    library.settle(job, "accepted")
    assert known(library) == ["1"]
    library.record(1, "cancelled")
    library.take()
    assert library.state() == "cancelled" and known(library) == []


def test_what_began_is_not_known_any_more(library):
    accepted(library, start=int(now_ms() / 1000) - 60, end=int(now_ms() / 1000) + 60)
    assert known(library) == []
    accepted(library, 2)
    library.set_booking(2, start=1)
    assert look(library) == ["go", "0"] and known(library) == []


def test_a_record_that_expired_is_forgotten(library):
    accepted(library)
    library.client.delete(library.key("booking:1"))
    assert look(library) == ["go", "0"] and known(library) == []


def test_a_tombstone_is_not_known(library):
    library.record(1, "cancelled")
    assert known(library) == []


# ---- Looking again ----

def test_a_look_that_sees_what_we_know_leaves_no_trace(library):
    accepted(library)
    before = library.booking()
    job, = checked(library)
    assert (job.goal, job.fresh) == ("look", False)
    assert library.settle(job, "accepted") == ["checked"]
    after = library.booking()
    assert {name for name in after if after[name] != before.get(name)} <= {"check", "takes", "queued_ms", "taken_ms", "token"}
    assert library.purses() == (4, 0, 1) and library.client.hlen(library.key("drift")) == 0


def test_each_is_looked_at_once_in_an_interval(library):
    accepted(library)
    job, = checked(library)
    library.settle(job, "accepted")
    assert library.sweep("look", interval_ms=60000) == ["go", "0"]


def test_what_is_in_hand_or_waits_is_not_looked_at(library):
    library.credit(balance=5)
    library.record(1)
    library.take_one()
    assert look(library) == ["go", "0"], "in hand"
    library.record(2)
    library.retry(library.take_one(), delay_ms=60000)
    assert look(library) == ["go", "0"], "in retry"
    library.record(3)
    assert look(library)[0] == "hold", "bookings go first"





def test_a_cancellation_that_no_webhook_told_is_refunded(library):
    accepted(library)
    job, = checked(library)
    assert library.settle(job, "cancelled") == ["checked"]
    library.take()
    assert library.state() == "cancelled" and library.purses() == (5, 0, 0)
    assert library.stat("mended:cancelled") == 1


@pytest.mark.parametrize("by, hours, balance", [(ANN, 30, 5), (ANN, 20, 4), ("host@example.com", 20, 5)])
def test_it_is_refunded_as_ruled(library, by, hours, balance):
    """By the member only in time, and then counts when he cancelled, not when we saw it."""
    accepted(library)
    start_s = int(library.booking()["start"])
    job, = checked(library)
    library.set_booking(start=int(now_ms() / 1000) + 10 * 3600)
    changed_ms = now_ms() + (10 - hours) * 3600000
    library.set_booking(requested_ms=changed_ms - 1000, first_ms=changed_ms - 1000)
    library.settle(job, "cancelled", cancelled_by=by, changed_ms=changed_ms)
    library.take()
    assert library.state() == "cancelled" and library.purses()[0] == balance and start_s


def test_a_decline_of_what_was_accepted(library):
    accepted(library)
    job, = checked(library)
    library.settle(job, "rejected")
    library.take()
    assert library.state() == "cancelled" and library.purses() == (5, 0, 0)


def dead(library, goal="accept"):
    """Given up while it was being acted on."""
    library.credit(balance=5 if goal == "accept" else 0)
    library.record(1)
    job = library.take_one()
    library.set_booking(received_ms=now_ms() - 2 * DAY_S * 1000, start=1)
    assert library.retry(job) == ["dead"]
    library.set_booking(start=int(now_ms() / 1000) + DAY_S)


def test_what_is_under_dead_is_looked_at_and_not_acted_on(library):
    dead(library)
    since = library.client.zscore(library.key("dead"), 1)
    why = library.booking()["last_error"]
    job, = checked(library)
    assert job.goal == "look"
    assert library.settle(job, "pending") == ["checked"]
    assert library.client.zscore(library.key("dead"), 1) == since and library.booking()["last_error"] == why
    assert library.state() == "accepting" and library.purses() == (4, 1, 0)


@pytest.mark.parametrize("goal, outcome, state, purses", [
    ("accept", "accepted", "accepted", (4, 0, 1)), ("accept", "cancelled", "cancelled", (5, 0, 0)),
    ("accept", "rejected", "rejected", (5, 0, 0)), ("reject", "accepted", "accepted", (0, 0, 0)),
    ("reject", "rejected", "rejected", (0, 0, 0)),
])
def test_what_a_person_did_to_it_by_hand_is_mended(library, goal, outcome, state, purses):
    dead(library, goal)
    job, = checked(library)
    assert library.settle(job, outcome) == ["settled", state]
    assert library.purses() == purses and library.dead() == []


def test_accepted_by_hand_while_the_policy_failed(library):
    library.credit(balance=5)
    library.install("return function() error('no') end")
    library.record(1)
    assert library.take().jobs == [] and library.dead() == ["1"]
    library.install_answer("{ accept = true, cost = 1, reason = 'fine' }")
    job, = checked(library)
    assert (job.goal, library.state()) == ("look", "waiting"), "a look decides nothing"
    library.settle(job, "accepted")
    library.take()
    assert library.state() == "accepted" and library.purses() == (4, 0, 1)


def test_pending_while_the_policy_failed_stays_with_the_person(library):
    library.install("return function() error('no') end")
    library.record(1)
    library.take()
    job, = checked(library)
    library.settle(job, "pending")
    assert (library.state(), library.dead()) == ("waiting", ["1"])


def test_in_observe_mode_nothing_is_looked_at(library):
    dead(library)
    assert look(library) == ["go", "1"]
    assert library.take(mode="observe").jobs == []
    assert (library.dead(), library.place(), library.booking()["check"]) == (["1"], "dead", "")


def fail_looks(library, job, tries):
    """So many in a row, each again as soon as it is due."""
    for _ in range(tries):
        assert library.retry(job, delay_ms=1000) == ["retry", 1000]
        library.client.zadd(library.key("retry"), {"1": 1})
        job = library.take_one(fresh_ms=60000)
        assert job.goal == "look"
    return job


def test_a_look_that_fails_is_tried_again(library):
    """Its turn may come only after an hour."""
    accepted(library)
    job, = checked(library)
    job = fail_looks(library, job, 4)
    library.settle(job, "cancelled")
    library.take()
    assert library.state() == "cancelled" and library.purses() == (5, 0, 0)
    assert library.booking()["attempts"] == "0" and "last_error" not in library.booking()


def test_a_look_that_fails_again_and_again_waits_for_its_turn(library):
    accepted(library)
    job = fail_looks(library, checked(library)[0], 4)
    assert library.retry(job, delay_ms=1000) == ["checked"]
    assert library.retries() == [] and library.booking()["attempts"] == "0" and "last_error" not in library.booking()
    fail_looks(library, checked(library)[0], 4)


def test_a_look_at_the_dead_that_fails_puts_it_back(library):
    dead(library)
    job = fail_looks(library, checked(library)[0], 4)
    assert library.retry(job) == ["checked"] and library.dead() == ["1"]
    job, = checked(library)
    assert library.settle(job, "refused") == ["checked"] and library.dead() == ["1"]


def test_news_while_a_look_waits_to_be_tried_again_come_first(library):
    accepted(library)
    job, = checked(library)
    assert library.retry(job, delay_ms=60000) == ["retry", 60000]
    library.record(1, "cancelled")
    library.take()
    assert library.state() == "cancelled" and library.purses() == (5, 0, 0)


def test_news_during_a_look_that_fails_come_first(library):
    accepted(library)
    job, = checked(library)
    library.record(1, "cancelled")
    assert library.retry(job, delay_ms=60000) == ["queued"]
    library.take()
    assert library.state() == "cancelled" and library.purses() == (5, 0, 0)


def test_news_during_a_look_are_not_lost(library):
    accepted(library)
    job, = checked(library)
    library.record(1, "cancelled")
    assert library.settle(job, "accepted") == ["checked"]
    library.take()
    assert library.state() == "cancelled" and library.purses() == (5, 0, 0)


def test_news_before_a_look_come_first(library):
    accepted(library)
    assert look(library) == ["go", "1"]
    library.record(1, "cancelled")
    assert library.take().jobs == [], "refunded, and nothing to look at"
    assert library.purses() == (5, 0, 0)


def test_a_person_requeues_what_is_to_be_looked_at(library):
    dead(library)
    assert look(library) == ["go", "1"]
    library.record(1, "created")
    library.record(1, "rejected")
    assert library.take_one().goal == "withdraw"


# ---- Drift ----

def drift(library):
    return library.client.hgetall(library.key("drift"))


def test_gone_is_told_and_refunds_nothing(library):
    """Another server or another key would make every booking look so."""
    accepted(library)
    job, = checked(library)
    library.settle(job, "gone")
    assert drift(library) == {"1": "gone from Cal.com"} and library.purses() == (4, 0, 1)
    job, = checked(library)
    library.settle(job, "accepted")
    assert drift(library) == {}


def test_rescheduled_to_something_unknown(library):
    accepted(library)
    job, = checked(library)
    library.settle(job, "cancelled", rescheduled_to="uid-2")
    assert "uid-2" in drift(library)["1"] and library.state() == "accepted"
    library.record(2, "rescheduled", reschedule_uid="uid-1")
    library.take()
    assert library.state() == "cancelled" and library.purses() == (4, 0, 1)


@pytest.mark.parametrize("spoil, what", [
    (lambda lib: lib.set_booking(charged=0), "nothing was charged"),
    (lambda lib: lib.client.delete(lib.key("ledger:" + ANN)), "the ledger lacks it"),
    (lambda lib: lib.set_booking(held=3), "3 held, though it is accepted"),
    (lambda lib: lib.client.delete(lib.key("booking:1"), lib.key("done")), "unknown here"),
])
def test_an_accepted_row_is_compared_with_the_books(bare_library, spoil, what):
    library = bare_library
    library.install(DEFAULT_POLICY, "default")
    accepted(library)
    assert library.found(1, "accepted") == ["fine"] and drift(library) == {}
    spoil(library)
    answer, text = library.found(1, "accepted")
    assert answer == "drift" and what in text and drift(library) == {"1": text}
    library.found(1, "accepted")
    due(library)
    library.sweep("start")
    assert library.sweep("end") == ["go", "1", "1 " + text], "told once"
    due(library)
    library.sweep("start")
    assert library.sweep("end") == ["go", "1"]


def test_a_host_who_let_it_through_is_no_drift(library):
    library.credit(balance=0)
    library.record(1)
    library.settle(library.take_one(), "accepted")
    assert library.movements() == [("waive", 1)] or library.state() == "accepted"
    assert library.found(1, "accepted") == ["fine"]


def test_an_accepted_row_of_what_we_rejected_is_looked_at(library):
    library.credit(balance=0)
    library.record(1)
    library.settle(library.take_one(), "rejected")
    settled_long_ago(library)
    assert library.found(1, "accepted") == ["look"] == library.found(1, "accepted")
    job = library.take_one()
    assert job.goal == "look"
    assert library.settle(job, "accepted") == ["settled", "accepted"]
    assert library.purses() == (0, 0, 0) and [kind for kind, _ in library.movements()] == ["waive"]


@pytest.mark.parametrize("kind", ["cancelled", "rejected"])
def test_an_accepted_row_of_what_has_just_ended_is_left_alone(library, kind):
    """Cal.com tells of it first, and does it when it has the webhook's answer."""
    accepted(library)
    library.record(1, kind, created=now_ms())
    library.take()
    assert library.state() == "cancelled"
    assert library.found(1, "accepted") == ["fine"] and library.queue() == []
    settled_long_ago(library)
    assert library.found(1, "accepted") == ["look"]


def test_a_yes_after_our_no_stays(library):
    """Cal.com had told us of our own decline; the host's yes is later."""
    library.credit(balance=0)
    library.record(1)
    library.settle(library.take_one(), "rejected")
    library.record(1, "rejected")
    settled_long_ago(library)
    library.found(1, "accepted")
    library.settle(library.take_one(), "accepted")
    assert library.take().jobs == [] and library.state() == "accepted"
    assert library.found(1, "accepted") == ["fine"] and len(library.movements()) == 1


def looked_at_later(library):
    """As if the time had come."""
    assert library.take().jobs == []
    library.client.zadd(library.key("retry"), {"1": 1})
    return library.take_one()


@pytest.mark.parametrize("later_by_ms", [0, 700])
@pytest.mark.parametrize("outcome, state, purses", [("accepted", "accepted", (4, 0, 1)), ("cancelled", "cancelled", (5, 0, 0))])
def test_a_cancel_that_is_told_late_is_looked_at(library, later_by_ms, outcome, state, purses):
    """Cal.com told of it before it did it, and our confirm came between."""
    accepted(library)
    created = now_ms() - 2000
    library.record(1, "created", created=created)
    assert library.record(1, "cancelled", created=created - later_by_ms) == "queued"
    batch = library.take()
    assert batch.jobs == [] and 4000 < batch.next_due <= 5000, "Cal.com cancels when it has our answer"
    job = looked_at_later(library)
    assert (job.goal, job.fresh) == ("look", 0)
    assert library.settle(job, outcome) == ["checked"]
    assert library.take().jobs == [] == library.take().jobs
    assert library.state() == state and library.purses() == purses
    assert library.record(1, "cancelled", created=created - later_by_ms) == "known"


def test_a_look_at_it_that_fails_is_tried_again(library):
    accepted(library)
    created = now_ms() - 2000
    library.record(1, "created", created=created)
    library.record(1, "cancelled", created=created)
    assert library.retry(looked_at_later(library), 0) == ["retry", 0]
    assert library.settle(library.take_one(), "cancelled") == ["checked"]
    library.take()
    assert library.state() == "cancelled" and library.purses() == (5, 0, 0)


def test_a_cancel_whose_yes_is_told_right_after_it_is_looked_at(library):
    accepted(library)
    created = now_ms() - 2000
    library.record(1, "cancelled", created=created - 700)
    library.record(1, "created", created=created)
    assert library.settle(looked_at_later(library), "accepted") == ["checked"]
    assert library.take().jobs == [] and library.state() == "accepted"


def test_a_cancel_that_is_told_late_while_it_is_in_hand_is_looked_at(library):
    accepted(library)
    created = now_ms() - 2000
    library.record(1, "created", created=created)
    job, = checked(library)
    library.record(1, "cancelled", created=created - 1)
    assert library.settle(job, "accepted") == ["checked"], "it was seen before that was told"
    assert library.settle(looked_at_later(library), "cancelled") == ["checked"]
    library.take()
    assert library.state() == "cancelled" and library.purses() == (5, 0, 0)


def test_what_was_kept_of_a_late_cancel_is_the_price_when_it_is_accepted_again(library):
    accepted(library, start=int(now_ms() / 1000) + 3600)
    library.record(1, "cancelled", created=now_ms(), cancelled_by=ANN)
    library.take()
    assert library.state() == "cancelled" and library.purses() == (4, 0, 1)
    library.record(1, "created", created=now_ms() + 10)
    assert library.settle(library.take_one(), "accepted") == ["settled", "accepted"]
    assert library.purses() == (4, 0, 1) and "waive" not in [kind for kind, _ in library.movements()]


def test_an_accepted_row_of_what_was_rescheduled_is_cancelled_there(library):
    """Our confirm crossed the reschedule."""
    accepted(library)
    library.record(2, reschedule_uid="uid-1")
    library.settle(library.take_one(), "accepted")
    assert library.state(1) == "cancelled" and library.purses() == (4, 0, 1)
    assert library.found(1, "accepted") == ["look"] == library.found(1, "accepted")
    job = library.take_one()
    assert (job.id, job.goal, job.fresh) == ("1", "withdraw", 0)
    library.retry(job, 0)
    assert library.settle(library.take_one(), "cancelled") == ["settled", "cancelled"]
    assert library.take().jobs == [] and library.purses() == (4, 0, 1)
    assert library.booking(1)["place"] == "none" and library.found(1, "accepted") == ["look"], "and once more"
    assert library.stat("revived") == 2


@pytest.mark.parametrize("told", ["before the new one was taken", "afterwards"])
@pytest.mark.parametrize("later_ms, goal", [(0, "withdraw"), (-5000, None)])
def test_a_confirm_that_came_after_the_reschedule_is_told_by_its_webhook(library, told, later_ms, goal):
    accepted(library)
    moved_ms = now_ms()
    if told.startswith("before"):
        library.record(1, "created", created=moved_ms + later_ms)
    library.record(2, reschedule_uid="uid-1", created=moved_ms)
    jobs = {job.id: job for job in library.take().jobs}
    library.settle(jobs["2"], "accepted")
    if told == "afterwards":
        library.record(1, "created", created=moved_ms + later_ms)
    jobs.update((job.id, job) for job in library.take().jobs)
    assert (jobs["1"].goal if "1" in jobs else None) == goal
    if goal:
        assert library.settle(jobs["1"], "cancelled") == ["settled", "cancelled"]
    assert library.purses() == (4, 0, 1) and library.state(1) == "cancelled"


def test_an_accepted_row_of_what_failed_is_looked_at(library):
    library.credit(balance=5)
    library.record(1)
    library.settle(library.take_one(), "refused", "not yours")
    settled_long_ago(library)
    assert library.dead() == ["1"] and library.found(1, "accepted") == ["look"]
    library.settle(library.take_one(), "accepted")
    assert (library.state(), library.dead(), library.purses()) == ("accepted", [], (5, 0, 0))


def test_withdrawn_and_accepted_under_dead_is_for_a_person(library):
    dead(library)
    library.client.hset(library.key("booking:1"), "cancelled_ms", now_ms())
    job, = checked(library)
    assert library.settle(job, "accepted") == ["checked"] and library.dead() == ["1"]


def test_a_young_accepted_row_that_is_unknown_is_no_drift(library):
    assert library.found(1, "accepted", created=now_ms()) == ["fine"]
    assert library.found(1, "accepted", created=0) == ["fine"], "of a list that tells no time"


def test_the_list_of_drift_is_capped(library):
    library.client.hset(library.key("drift"), mapping={f"x{i}": "y" for i in range(1000)})
    library.found(1, "accepted")
    assert len(drift(library)) == 1000
