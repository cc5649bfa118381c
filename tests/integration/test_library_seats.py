"""Seats: bookings of their own beside their slot. Series: gathered, decided as a whole, asked for once."""

import pytest

from library import now_ms

ANN, BOB = "ann@example.com", "bob@example.com"


# ---- Seats ----

def seat(library, name, email, parent="7", **fields):
    return library.record(f"{parent}:{name}", account=email, email=email, uid=f"uid-{parent}", seat=name,
                          seats="yes", start=2000000000, **fields)


def free(library, *emails, parent="7", created=None, **fields):
    return library.record(parent, "cancelled", created=created, attendees=" ".join(emails), seats="yes",
                          uid=f"uid-{parent}", **fields)


@pytest.fixture
def two_seats(library):
    library.credit(ANN, balance=2)
    library.credit(BOB, balance=2)
    seat(library, "a", ANN)
    seat(library, "b", BOB)
    jobs = library.take().jobs
    assert [(job.id, job.uid, job.seat, job.goal) for job in jobs] == [
        ("7:a", "uid-7", "a", "accept"), ("7:b", "uid-7", "b", "accept")]
    for job in jobs:
        library.settle(job, "accepted")
    return library


def test_each_seat_is_its_members_charge(two_seats):
    assert (two_seats.purses(ANN), two_seats.purses(BOB)) == ((1, 0, 1), (1, 0, 1))


def test_a_freed_seat_is_refunded_alone(two_seats):
    free(two_seats, BOB)
    two_seats.take()
    assert (two_seats.purses(ANN), two_seats.purses(BOB)) == ((1, 0, 1), (2, 0, 0))
    assert (two_seats.state("7:a"), two_seats.state("7:b")) == ("accepted", "cancelled")


def test_a_repeated_cancellation_frees_no_second_seat(library):
    library.credit(ANN, balance=2)
    now = now_ms()
    seat(library, "a", ANN, created=now - 3000)
    seat(library, "b", ANN, created=now - 2000)
    for job in library.take().jobs:
        library.settle(job, "accepted")
    assert free(library, ANN, created=now) == "queued"
    assert free(library, ANN, created=now) == "known"
    assert free(library, ANN, created=now + 3) == "known"  # by another subscription
    library.take()
    assert library.purses(ANN) == (1, 0, 1)


def test_cancelled_booked_again_and_cancelled_again(library):
    library.credit(ANN, balance=2)
    now = now_ms()
    seat(library, "a", ANN, created=now - 9000)
    free(library, ANN, created=now - 8000)
    seat(library, "b", ANN, created=now - 7000)
    free(library, ANN, created=now - 6000)
    assert library.take().jobs == []
    assert (library.state("7:a"), library.state("7:b")) == ("cancelled", "cancelled")
    assert library.purses(ANN) == (2, 0, 0)


def test_a_slot_that_is_cancelled_frees_all_its_seats(two_seats):
    free(two_seats, ANN, BOB, cancelled_by="host@example.com")
    two_seats.take()
    assert (two_seats.purses(ANN), two_seats.purses(BOB)) == ((2, 0, 0), (2, 0, 0))


def test_a_seat_that_was_freed_before_it_was_heard_of(library):
    library.credit(ANN, balance=2)
    now = now_ms()
    free(library, ANN, created=now)
    seat(library, "a", ANN, created=now - 1000)
    assert library.take().jobs == []
    assert (library.state("7:a"), library.purses(ANN)) == ("cancelled", (2, 0, 0))


def test_one_cancellation_that_was_heard_of_first_frees_one_of_two_seats(library):
    library.credit(ANN, balance=2)
    now = now_ms()
    free(library, ANN, created=now)
    for name in "ab":
        seat(library, name, ANN, created=now - 1000)
    assert free(library, ANN, created=now + 3) == "known"  # by another subscription
    assert library.take().ids == ["7:b"]
    assert (library.state("7:a"), library.state("7:b"), library.purses(ANN)) == ("cancelled", "accepting", (1, 1, 0))


def test_the_slots_own_echo_is_no_booking(two_seats):
    assert two_seats.record("7", "created", uid="uid-7", seats="yes") == "known"
    assert two_seats.booking("7") == {}


def test_a_seat_that_bypassed_approval_is_the_guides_flow(library):
    library.credit(BOB, balance=0)
    seat(library, "b", BOB, kind="created")
    job = library.take_one()
    assert (job.goal, job.guide) == ("reject", True)
    library.settle(job, "cancelled")
    assert library.state("7:b") == "rejected"


def test_a_rescheduled_seat_takes_its_own_charge_along(two_seats):
    seat(two_seats, "c", BOB, parent="8", reschedule_uid="uid-7")
    two_seats.settle(two_seats.take_one(), "accepted")
    assert (two_seats.state("7:a"), two_seats.state("7:b")) == ("accepted", "cancelled")
    assert two_seats.purses(BOB) == (1, 0, 1)


def test_a_seat_that_was_freed_and_taken_again_is_rescheduled(library):
    """The one that is there is replaced, whatever the seats' IDs."""
    library.credit(ANN, balance=1)
    now = now_ms()
    seat(library, "b", ANN, created=now - 3000)
    library.settle(library.take_one(), "accepted")
    free(library, ANN, created=now - 2000, cancelled_by="host@example.com")
    seat(library, "a", ANN, created=now - 1000)
    library.settle(library.take_one(), "accepted")
    assert (library.state("7:b"), library.state("7:a"), library.purses(ANN)) == ("cancelled", "accepted", (0, 0, 1))
    seat(library, "c", ANN, parent="8", reschedule_uid="uid-7")
    library.settle(library.take_one(), "accepted")
    assert (library.state("7:a"), library.state("8:c"), library.purses(ANN)) == ("cancelled", "accepted", (0, 0, 1))


# ---- Series ----

def occurrence(library, id_, count=3, **fields):
    return library.record(id_, occurrences=count, start=2000000000 + id_ * 604800, **fields)


def gather(library, ids, series="s1", count=3):
    for id_ in ids:
        occurrence(library, id_, count)
    answers = []
    for job in library.take().jobs:
        assert job.goal == "identify"
        answers.append(library.join(job, series))
    return answers


def test_a_series_is_decided_as_a_whole_and_asked_for_once(library):
    library.credit(balance=3)
    answers = gather(library, (1, 2, 3))
    assert [answer[0] for answer in answers] == ["retry", "retry", "queued"]
    job = library.take_one()
    assert (job.goal, job.series) == ("accept", True)
    assert library.purses() == (0, 3, 0)
    assert library.settle(job, "accepted", covers="series") == ["settled", "accepted"]
    assert [library.state(i) for i in (1, 2, 3)] == ["accepted"] * 3
    assert library.purses() == (0, 0, 3)
    assert library.retries() == []


def test_a_series_without_credit_for_all_is_rejected_whole(library):
    library.credit(balance=2)
    gather(library, (1, 2, 3))
    job = library.take_one()
    assert (job.goal, library.purses()) == ("reject", (2, 0, 0))
    library.settle(job, "rejected", covers="series")
    assert [library.state(i) for i in (1, 2, 3)] == ["rejected"] * 3


def test_where_each_booking_is_asked_for_by_itself(library):
    """API v1: the lead's outcome is its own; the next leads the rest."""
    library.credit(balance=3)
    gather(library, (1, 2, 3))
    asked = []
    for _ in range(3):
        job = library.take_one()
        asked.append(job.id)
        library.settle(job, "accepted")
    assert sorted(asked) == ["1", "2", "3"]
    assert library.purses() == (0, 0, 3)


def test_one_cancelled_meanwhile_is_released_alone(library):
    library.credit(balance=3)
    gather(library, (1, 2, 3))
    lead = library.take_one()
    other = next(str(i) for i in (1, 2, 3) if str(i) != lead.id)
    library.record(other, "cancelled")
    withdrawn = library.take_one()
    assert (withdrawn.id, withdrawn.goal) == (other, "withdraw")
    library.settle(lead, "accepted", covers="series")
    library.settle(withdrawn, "cancelled")
    assert library.purses() == (1, 0, 2)
    assert library.state(other) == "cancelled"


def test_the_lead_is_cancelled_and_another_leads(library):
    library.credit(balance=3)
    gather(library, (1, 2, 3))
    lead = library.take_one()
    library.record(lead.id, "cancelled")
    assert library.settle(lead, "accepted") == ["look"]
    library.settle(lead, "cancelled")
    job = library.take_one()
    assert (job.goal, job.id != lead.id) == ("accept", True)
    library.settle(job, "accepted", covers="series")
    assert library.purses() == (1, 0, 2)


def test_those_that_never_come_are_not_waited_for(library):
    library.credit(balance=3)
    gather(library, (1, 2))
    assert library.take().jobs == []
    library.client.hset(library.key("series:s1"), "first_ms", now_ms() - 2001)
    for id_ in (1, 2):
        library.client.zadd(library.key("retry"), {str(id_): 0})
    job = library.take_one()
    library.settle(job, "accepted", covers="series")
    assert library.purses() == (1, 0, 2)
    # A late one joins the verdict, also without credit for it.
    library.credit(balance=0)
    occurrence(library, 3)
    assert library.join(library.take_one(), "s1")[0] == "queued"
    late = library.take_one()
    assert (late.id, late.goal) == ("3", "accept")
    library.settle(late, "accepted")
    assert library.movements()[-1] == ("waive", 1)
    assert library.state(3) == "accepted"


def test_no_series_after_all(library):
    library.credit(balance=3)
    occurrence(library, 1)
    assert library.join(library.take_one(), "")[0] == "queued"
    job = library.take_one()
    assert (job.goal, job.series) == ("accept", False)


def test_cancelled_when_it_was_looked_up(library):
    occurrence(library, 1)
    assert library.settle(library.take_one(), "cancelled") == ["settled", "cancelled"]
    assert library.place() == "none"


def test_the_same_series_by_a_second_click_is_rejected(library):
    library.credit(balance=9)
    gather(library, (1, 2, 3))
    library.settle(library.take_one(), "accepted", covers="series")
    for id_ in (1, 2, 3):
        library.record(10 + id_, occurrences=3, start=2000000000 + id_ * 604800)
    for job in library.take().jobs:
        library.join(job, "s2")
    assert library.take_one().goal == "reject"
    assert library.purses() == (6, 0, 3)


def test_calls_are_kept_with_the_booking(library):
    library.credit(balance=1)
    library.record(1)
    library.retry(library.take_one(), calls="1 2 confirm 502 transient oops")
    library.settle(library.take_one(), "accepted", calls="3 4 look 200 done \n5 6 confirm 200 done ")
    assert library.booking()["calls"].splitlines() == [
        "1 2 confirm 502 transient oops", "3 4 look 200 done ", "5 6 confirm 200 done "]


def test_the_newest_calls_are_kept(library):
    library.record(1)
    lines = [f"{n} 1 look 200 done " for n in range(30)]
    library.settle(library.take_one(), "rejected", calls="\n".join(lines))
    assert library.booking()["calls"].splitlines() == lines[-20:]


def test_one_declined_by_hand_before_the_series_is(library):
    library.credit(balance=0)
    gather(library, (1, 2, 3))
    lead = library.take_one()
    other = next(i for i in (1, 2, 3) if str(i) != lead.id)
    library.record(other, "rejected")
    library.settle(lead, "rejected", covers="series")
    assert [library.state(i) for i in (1, 2, 3)] == ["rejected"] * 3


def test_a_member_that_waits_in_the_queue_when_the_series_is_decided(library):
    library.credit(balance=3)
    gather(library, (1, 2))
    occurrence(library, 3)
    jobs = library.take().jobs
    library.push("1")
    library.set_booking(1, place="queue")
    library.client.zrem(library.key("retry"), "1")
    library.join(jobs[0], "s1")
    lead = library.take_one(count=1)
    library.check_places()
    library.settle(lead, "accepted", covers="series")
    library.take()
    assert [library.state(i) for i in (1, 2, 3)] == ["accepted"] * 3


def test_a_late_one_of_a_rejected_series_holds_nothing(library):
    library.credit(balance=1)
    gather(library, (1, 2))
    library.client.hset(library.key("series:s1"), "first_ms", now_ms() - 2001)
    for id_ in (1, 2):
        library.client.zadd(library.key("retry"), {str(id_): 0})
    library.settle(library.take_one(), "rejected", covers="series")
    library.credit(balance=9)
    occurrence(library, 3)
    library.join(library.take_one(), "s1")
    assert (library.take_one().goal, library.purses()) == ("reject", (9, 0, 0))


def test_a_lead_that_costs_nothing_settles_those_that_cost(library):
    library.credit(balance=3)
    library.terms(**{"cost:7": 0})
    occurrence(library, 1, 2, event_type="7")
    occurrence(library, 2, 2)
    for job in library.take().jobs:
        library.join(job, "s1")
    for id_ in library.retries():
        library.client.zadd(library.key("retry"), {id_: 0})
    job = library.take().jobs[0]
    library.settle(job, "accepted", covers="series")
    assert library.purses() == (2, 0, 1)
