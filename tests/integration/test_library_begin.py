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
