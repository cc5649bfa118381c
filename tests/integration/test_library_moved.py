"""Occurrences of a series that are rescheduled: decided by themselves, asked for beside the others."""

import pytest

from library import DAY_S, now_ms

START_S = 2000000000
DEAR = "9"  # an event type that nobody can pay


def occurrence(library, id_, **fields):
    start = START_S + id_ * 7 * DAY_S
    library.record(id_, **{"occurrences": 3, "start": start, "end": start + 3600, **fields})


def move(library, id_, old, kind="requested", **fields):
    return library.record(id_, kind, reschedule_uid=f"uid-{old}", **fields)


@pytest.fixture
def lead(library):
    """The job of a series of three that is about to be asked for."""
    library.credit(balance=5)
    library.terms(**{"cost:" + DEAR: 99})
    for id_ in (1, 2, 3):
        occurrence(library, id_)
    for job in library.take().jobs:
        library.join(job, "s1")
    return library.take_one()


@pytest.fixture
def accepted(library, lead):
    library.settle(lead, "accepted", covers="series")
    assert [library.state(id_) for id_ in (1, 2, 3)] == ["accepted"] * 3
    return library


def due(library):
    for name in library.retries():
        library.client.zadd(library.key("retry"), {name: 0})


# ---- Which series it is in ----

def test_it_stays_in_its_series(accepted):
    move(accepted, 4, 2)
    job = accepted.take_one()
    assert (job.goal, job.series, job.alone, job.fresh) == ("accept", True, False, True)
    accepted.settle(job, "accepted", covers="series")
    assert [accepted.state(id_) for id_ in (1, 2, 3, 4)] == ["accepted", "cancelled", "accepted", "accepted"]
    assert accepted.purses() == (2, 0, 3)


def test_it_may_be_moved_on(accepted):
    move(accepted, 4, 2)
    accepted.settle(accepted.take_one(), "accepted", covers="series")
    move(accepted, 5, 4)
    assert accepted.take_one().series
    assert accepted.client.hkeys(accepted.key("series:s1")).count("moved:5") == 1


def test_it_is_looked_up_when_the_old_one_was_not(library):
    library.credit(balance=5)
    occurrence(library, 1)
    move(library, 4, 1)
    assert library.take().jobs == []
    due(library)
    job = library.take_one()
    assert (job.id, job.goal, library.state(1)) == ("4", "identify", "cancelled")
    assert library.join(job, "s1") == ["queued"]
    assert (library.take_one().goal, library.purses()) == ("accept", (4, 1, 0))


def test_it_is_looked_up_when_it_was_heard_of_first(library):
    library.credit(balance=5)
    move(library, 4, 1)
    occurrence(library, 1)
    due(library)
    library.take()
    due(library)
    assert library.booking(4)["occurrences"] == "3"
    job = library.take_one()
    assert (job.id, job.goal) == ("4", "identify")


def test_of_no_series_after_all(library):
    library.credit(balance=5)
    occurrence(library, 1)
    library.join(library.take_one(), "")
    library.settle(library.take_one(), "accepted")
    move(library, 4, 1)
    job = library.take_one()
    assert (job.goal, job.series) == ("accept", False)


def test_accepted_at_once_it_needs_no_look(library):
    library.credit(balance=5)
    occurrence(library, 1)
    move(library, 4, 1, "rescheduled")
    library.take()
    due(library)
    assert library.take().jobs == []
    assert (library.state(4), library.purses()) == ("accepted", (4, 0, 1))


# ---- Beside others ----

def test_a_no_beside_a_yes_goes_first_and_alone(accepted):
    move(accepted, 4, 2)
    move(accepted, 5, 3, event_type=DEAR)
    no = accepted.take_one()
    assert (no.id, no.goal, no.alone) == ("5", "reject", True)
    assert accepted.booking(4)["waited_for"] == "5" and accepted.retries() == ["4"]
    accepted.settle(no, "cancelled")
    assert accepted.queue() == ["4"]
    yes = accepted.take_one()
    assert (yes.id, yes.goal, yes.alone, yes.fresh) == ("4", "accept", False, False)
    accepted.settle(yes, "accepted", covers="series")
    assert accepted.purses() == (3, 0, 2)


def test_one_no_is_declined_as_ever(accepted):
    move(accepted, 5, 3, event_type=DEAR)
    job = accepted.take_one()
    assert (job.goal, job.series, job.alone) == ("reject", True, False)


@pytest.mark.parametrize("event_type", ["1207", DEAR])
def test_one_waits_for_the_answer_to_another(accepted, event_type):
    """The confirm that is on its way may let it in, too."""
    move(accepted, 4, 2)
    first = accepted.take_one()
    move(accepted, 5, 3, event_type=event_type)
    assert accepted.take().jobs == []
    assert accepted.booking(5)["waited_for"] == "4"
    accepted.settle(first, "accepted", covers="series", members="uid-4 accepted uid-5 accepted")
    job = accepted.take_one()
    assert (job.id, job.guide, job.fresh) == ("5", True, False)


def test_the_host_by_hand_is_no_confirm_of_ours(accepted):
    move(accepted, 4, 2)
    first = accepted.take_one()
    move(accepted, 5, 3, event_type=DEAR)
    accepted.take()
    accepted.record(5, "created", now_ms() + 10)
    accepted.settle(first, "accepted", covers="series")
    job = accepted.take_one()
    assert (job.id, job.guide) == ("5", False)


def test_a_yes_found_by_a_look_let_nobody_in(accepted):
    move(accepted, 4, 2)
    first = accepted.take_one()
    move(accepted, 5, 3, event_type=DEAR)
    accepted.take()
    accepted.settle(first, "accepted")
    assert accepted.take_one().guide is False


def test_whoever_waits_looks_by_himself_too(accepted):
    move(accepted, 4, 2)
    first = accepted.take_one()
    move(accepted, 5, 3)
    batch = accepted.take()
    assert batch.jobs == [] and 0 < batch.next_due <= 500
    accepted.set_booking(5, decided_ms=now_ms() - 60000)
    due(accepted)
    assert 59000 < accepted.take().next_due <= 61000
    accepted.set_booking(5, decided_ms=now_ms() - 6000000)
    due(accepted)
    assert 299000 < accepted.take().next_due <= 300000
    accepted.settle(first, "cancelled")
    assert accepted.take_one().id == "5"


def test_what_began_while_it_waited_is_given_up(accepted):
    move(accepted, 4, 2)
    accepted.take_one()
    move(accepted, 5, 3)
    accepted.take()
    accepted.set_booking(5, start=1, received_ms=1)
    due(accepted)
    accepted.take()
    assert accepted.dead() == ["5"]


def test_a_series_to_be_rejected_beside_one_to_be_accepted(library):
    """Its lead is answered alone, and so is each of the others after it."""
    library.credit(balance=5)
    library.terms(**{"cost:" + DEAR: 99})
    for id_ in (1, 2, 3):
        occurrence(library, id_, event_type=DEAR)
    for job in library.take().jobs:
        library.join(job, "s1")
    library.retry(library.take_one(), 5000)
    move(library, 4, 99, occurrences=3)
    library.join(library.take_one(), "s1")
    assert library.take().jobs == []
    asked = []
    for _ in range(8):
        due(library)
        for job in library.take().jobs:
            asked.append((job.id, job.goal, job.alone))
            library.settle(job, "cancelled" if job.alone else "accepted", covers="booking" if job.alone else "series")
    assert sorted(asked[:3]) == [(id_, "reject", True) for id_ in ("1", "2", "3")]
    assert asked[3:] == [("4", "accept", False)]
    assert library.purses() == (4, 0, 1)


# ---- What the answer names ----

def test_each_follower_has_the_outcome_that_is_named(library, lead):
    first, second = [id_ for id_ in ("1", "2", "3") if id_ != lead.id]
    members = f"uid-{lead.id} accepted uid-{first} cancelled uid-{second} pending uid-99 accepted"
    assert library.settle(lead, "accepted", covers="series", members=members) == ["settled", "accepted"]
    assert [library.state(id_) for id_ in (lead.id, first, second)] == ["accepted", "cancelled", "accepting"]
    assert library.purses() == (3, 1, 1)
    job = library.take_one()
    assert (job.id, job.goal) == (second, "accept")


def test_whom_the_answer_leaves_out_is_asked_for_by_himself(library, lead):
    library.settle(lead, "accepted", covers="series", members=f"uid-{lead.id} accepted")
    assert library.take_one().goal == "accept"
    assert library.purses() == (2, 2, 1)


def test_a_lead_that_is_gone_leaves_the_others_accepted(library, lead):
    others = [id_ for id_ in ("1", "2", "3") if id_ != lead.id]
    library.settle(lead, "cancelled", covers="series", members=" ".join(f"uid-{id_} accepted" for id_ in others))
    assert [library.state(id_) for id_ in others] == ["accepted"] * 2
    assert (library.state(lead.id), library.purses()) == ("cancelled", (3, 0, 2))


# ---- How long it is known ----

def test_a_series_is_kept_for_its_last_occurrence(library):
    library.credit(balance=5)
    for id_ in (3, 1, 2):
        occurrence(library, id_)
        library.join(library.take_one(), "s1")
    last_ms = (START_S + 3 * 7 * DAY_S + 3600) * 1000
    assert library.client.execute_command("PEXPIRETIME", library.key("series:s1")) > last_ms


def test_a_series_that_has_expired_does_not_come_back(library, lead):
    library.client.delete(library.key("series:s1"))
    library.settle(lead, "accepted", covers="series")
    assert library.keys("series:") == []
