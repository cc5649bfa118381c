"""tollgate_pause, resume, requeue and discard: what an operator does to the queue."""

import time

import pytest

from library import DAY_S, now_ms
from test_library_record import GARBAGE, refuses
from test_library_seats import gather

ANN, BOB = "ann@example.com", "bob@example.com"


def mended(library, id_=1):
    """[(what, by, note, why)] of a booking."""
    lines = library.booking(id_).get("mended", "").splitlines()
    return [tuple(line.split("\t")[1:]) for line in lines]


def park(library, id_=1, **fields):
    """Gives a booking up that is to be accepted, as too many failures do."""
    library.record(id_, **fields)
    job = library.take_one()
    library.retry(job, why="a 502")
    b = library.booking(id_)
    library.client.zadd(library.key("dead"), {id_: now_ms()})
    library.client.zrem(library.key("retry"), id_)
    library.set_booking(id_, place="dead", last_error="gave up: a 502")
    return b


def park_undecided(library, id_=1, **fields):
    """Its policy fails on it."""
    library.install_answer("error('out of order')")
    library.record(id_, **fields)
    assert library.take().jobs == [] and library.place(id_) == "dead"
    library.install_answer("{ accept = true, cost = 1, reason = 'well' }")


def refuse_one(library, id_=1, **fields):
    """Cal.com refuses it for good."""
    library.record(id_, **fields)
    assert library.settle(library.take_one(), "refused", "404: no such booking") == ["settled", "failed"]
    assert library.place(id_) == "dead"


# ---- Pause ----

def test_paused_nothing_is_handed_out_and_nothing_decided(library):
    library.credit(balance=5)
    assert library.pause("nora", "moving house")[:3] == ["paused", "nora", "moving house"]
    assert library.record(1) == "queued"
    batch = library.take()
    assert (batch.jobs, batch.left, batch.hold, batch.hold_ms) == ([], 1, "paused", 2000)
    assert (library.state(), library.queue(), library.ledger()) == ("waiting", ["1"], [])
    assert library.client.zscore(library.key("workers"), "w")  # it keeps its lease
    assert library.resume("otto")[:3] == ["resumed", "nora", "moving house"]
    batch = library.take()
    assert (batch.ids, batch.hold) == (["1"], "")
    [(_, over)] = library.client.xrange(library.key("pauses"))
    assert {"by": "nora", "note": "moving house", "resumed_by": "otto"}.items() <= over.items()
    assert abs(int(over["since_ms"]) - now_ms()) < 60000


def test_a_second_pause_changes_nothing(library):
    first = library.pause("nora", "moving")
    assert library.pause("otto", "also") == ["known", *first[1:]]
    assert library.client.hget(library.key("paused"), "by") == "nora"
    library.resume()
    assert library.resume() == ["known"]
    assert library.client.xlen(library.key("pauses")) == 1


def test_paused_what_is_in_hand_finishes_and_what_is_due_waits(library):
    library.credit(balance=5)
    library.record(1)
    library.record(2)
    one, two = library.take().jobs
    library.retry(two)
    library.pause()
    assert library.begin(one) == ["go"]
    assert library.settle(one, "accepted") == ["settled", "accepted"]
    assert library.take().jobs == [] and library.retries() == ["2"]
    library.resume()
    assert library.take().ids == ["2"]


def test_paused_a_lost_answer_can_be_asked_for_again(library):
    library.credit(balance=5)
    library.record(1)
    library.take(number=1)
    library.pause()
    assert library.take(number=1).ids == ["1"]
    assert library.take(number=2).hold == "paused"
    library.resume()
    library.record(2)
    assert library.take(number=2).ids == ["2"]  # the paused one was no take


def test_without_a_policy_a_pause_is_a_pause(bare_library):
    bare_library.pause()
    assert bare_library.take().hold == "paused"


@pytest.mark.parametrize("order", [(0, 1, 2), (2, 1, 0), (1, 2, 0)])
def test_what_waiting_workers_got_goes_back_in_order(library, order):
    """Three of them waited for work when the queue was paused."""
    library.credit(balance=1)
    for id_ in (8, 9, 10, 11):
        library.record(id_)
    library.pause()
    for worker in ("a", "b", "c"):
        library.blmove(worker)
    assert library.queue() == ["11"]
    for turn in order:
        library.take(worker="abc"[turn])
    assert library.queue() == ["8", "9", "10", "11"]
    assert library.keys("active:") == []
    library.resume()
    assert [job.goal for job in library.take().jobs] == ["accept", "reject", "reject", "reject"]


@pytest.mark.parametrize("turns", ["ab", "ba"])
def test_the_order_is_that_of_arrival_not_of_names(library, turns):
    library.record(30)
    library.client.hincrby(library.key("booking:30"), "received_ms", -5)
    library.record(4)
    library.pause()
    library.blmove("a")
    library.blmove("b")
    library.take(worker=turns[0])
    library.push("by-hand")
    library.take(worker=turns[1])
    assert library.queue() == ["30", "4", "by-hand"]


@pytest.mark.parametrize("by, note", [("", ""), ("x" * 101, ""), ("nora", "x" * 501)])
def test_who_and_why_have_bounds(library, by, note):
    for call in (lambda: library.pause(by, note), lambda: library.requeue(1, by=by, note=note),
                 lambda: library.discard(1, by=by, note=note)):
        refuses(library, "who does it", call)


# ---- Requeue ----

def test_requeued_it_keeps_decision_and_hold(library):
    library.credit(balance=1)
    park(library)
    library.credit(balance=0)
    assert library.requeue(1, note="they mended it") == ["requeued"]
    b = library.booking()
    assert (b["place"], b["state"], b["held"], b["attempts"], b["last_error"]) == ("queue", "accepting", "1", "0", "")
    assert mended(library) == [("requeued", "nora", "they mended it", "gave up: a 502")]
    assert library.dead() == [] and library.stat("requeued") == 1
    job = library.take_one()
    assert job.goal == "accept"
    library.settle(job, "accepted")
    assert library.movements()[-2:] == [("hold", 1), ("capture", 1)]
    assert library.stat("decided:accept") == 1


def test_the_answer_is_per_name(library):
    library.credit(balance=9)
    park(library, 1)
    library.record(2)
    library.client.zadd(library.key("dead"), {"3": 1})
    assert library.requeue(1, 2, 3, 4, 1) == ["requeued", "not dead", "unknown", "unknown", "not dead"]
    assert library.queue() == ["2", "1"]
    library.client.zrem(library.key("dead"), "3")


def test_undecided_it_is_decided_when_the_policy_is_mended(library):
    library.credit(balance=1)
    park_undecided(library)
    library.requeue(1)
    assert library.take_one().goal == "accept"
    assert mended(library)[0][3].startswith("user_policy") or "out of order" in mended(library)[0][3]


def test_deaths_are_forgotten(library):
    library.credit(balance=1)
    park(library)
    library.set_booking(deaths=2, solo_deaths=3)
    library.requeue(1)
    b = library.booking()
    assert (b["deaths"], b["solo_deaths"]) == ("0", "0")


def test_a_refused_one_is_decided_anew(library):
    """Its hold was released when Cal.com refused it, and it was final."""
    library.credit(balance=1)
    refuse_one(library)
    assert library.purses() == (1, 0, 0) and library.done() == "failed" and library.pttl("booking:1") > 0
    assert library.requeue(1) == ["requeued"]
    assert library.done() is None and library.pttl("booking:1") == library.pttl("uid:uid-1") == -1
    job = library.take_one()
    assert (job.goal, library.purses()) == ("accept", (0, 1, 0))
    library.settle(job, "accepted")
    assert (library.done(), library.purses()) == ("accepted", (0, 0, 1))


def test_a_refused_one_without_credit_by_now(library):
    library.credit(balance=1)
    refuse_one(library)
    library.credit(balance=0)
    library.requeue(1)
    assert library.take_one().goal == "reject"


def test_a_refused_series_is_asked_for_as_a_whole_again(library):
    library.credit(balance=3)
    gather(library, [1, 2, 3])
    lead = library.take_one()
    library.settle(lead, "refused", "403", covers="series")
    assert [library.state(id_) for id_ in (1, 2, 3)] == ["failed"] * 3 and library.purses() == (3, 0, 0)
    assert library.requeue(lead.id) == ["requeued"]
    again = library.take_one()
    assert (again.series, library.purses()) == (True, (0, 3, 0))
    library.settle(again, "accepted", covers="series")
    assert library.purses() == (0, 0, 3)


def test_of_a_refused_series_another_leads_when_the_lead_is_cancelled(library):
    library.credit(balance=3)
    gather(library, [1, 2, 3])
    lead = library.take_one()
    library.settle(lead, "refused", "403", covers="series")
    library.requeue(lead.id)
    library.record(lead.id, "cancelled", now_ms() + 5)
    again = library.take_one()
    assert again.id != lead.id and again.goal == "accept"
    library.settle(again, "accepted", covers="series")
    assert library.purses() == (1, 0, 2)


def test_a_failed_one_that_the_host_accepts_is_looked_at(library):
    """It stays final: what a host accepts by hand is free."""
    library.credit(balance=1)
    refuse_one(library)
    library.record(1, "created", now_ms() + 5)
    library.settle(library.take_one(), "accepted")
    library.set_booking(state="failed", place="dead")
    library.client.zadd(library.key("dead"), {1: 1})
    library.requeue(1)
    assert (library.state(), library.take_one().goal) == ("failed", "look")


def test_an_old_one_gets_another_day(library):
    """Given up a day after it was received; a person wants it tried, so one failure does not end it."""
    library.credit(balance=1)
    park(library, start=int(time.time()) - 60)
    library.set_booking(received_ms=now_ms() - 2 * DAY_S * 1000)
    library.requeue(1)
    job = library.take_one()
    assert library.retry(job, why="a 429")[0] == "retry"
    library.set_booking(requeued_ms=now_ms() - DAY_S * 1000)
    assert library.retry(library.take_one(), why="a 502") == ["dead"]


def test_what_is_remembered_has_bounds(library):
    library.credit(balance=1)
    park(library)
    for i in range(12):
        library.set_booking(place="dead", last_error=f"a\tb\nc {i}")
        library.client.lpop(library.key("queue"))
        library.client.zadd(library.key("dead"), {1: 1})
        library.requeue(1, by="no\tra", note="x\ny")
    assert mended(library)[-1] == ("requeued", "no ra", "x y", "a b c 11")
    assert len(mended(library)) == 10


@pytest.mark.parametrize("garbage", GARBAGE)
def test_keep_ms_must_be_a_number(library, garbage):
    for call in (library.requeue, library.discard):
        refuses(library, "keep_ms must be", lambda: call(1, keep_ms=garbage))


def test_a_thousand_at_a_time(library):
    for call in (library.requeue, library.discard):
        assert call(*range(1000)) == ["unknown"] * 1000
        refuses(library, "at most 1000", lambda: call(*range(1001)))


# ---- Discard ----

def test_discarded_its_hold_goes_back(library):
    library.credit(balance=1)
    park(library)
    assert library.discard(1, by="otto", note="they came anyway") == ["discarded"]
    b = library.booking()
    assert (b["state"], b["place"], b["held"], library.done()) == ("failed", "none", "0", "failed")
    assert b["reason"] == "discarded by otto; nothing is charged"
    assert library.purses() == (1, 0, 0) and library.pttl("booking:1") > 0
    entry = library.ledger()[-1]
    assert (entry["kind"], entry["booking"], entry["by"]) == ("release", "1", "otto")
    assert mended(library) == [("discarded", "otto", "they came anyway", "gave up: a 502")]
    assert library.keys("open:") == [] and library.stat("discarded") == 1


def test_discarded_undecided_nobody_pays(library):
    library.credit(balance=1)
    park_undecided(library)
    assert library.discard(1) == ["discarded"]
    assert (library.state(), library.ledger(), library.purses()) == ("failed", [], (1, 0, 0))
    assert "before it was decided" in library.booking()["reason"]


@pytest.mark.parametrize("kind", ["requested", "created", "rescheduled", "payment", "cancelled", "rejected"])
def test_late_webhooks_do_not_bring_it_back_for_ever(library, kind):
    """At most one look each, which settles it."""
    library.credit(balance=1)
    park(library)
    library.discard(1)
    for i in range(3):
        library.record(1, kind, now_ms() + 10 + i)
        for job in library.take().jobs:
            assert job.goal == "look"
            library.settle(job, {"created": "accepted"}.get(kind, "cancelled"))
        assert library.take().jobs == [] and library.place() == "none"
    assert library.purses() == (1, 0, 0)


def test_what_is_final_stays(library):
    library.credit(balance=1)
    refuse_one(library)
    reason = library.booking()["reason"]
    assert library.discard(1) == ["discarded"]
    assert (library.state(), library.place(), library.booking()["reason"]) == ("failed", "none", reason)
    assert library.movements()[-2:] == [("hold", 1), ("release", 1)]


def test_a_refund_that_nobody_wants_any_more(library):
    """Cancelled, but its account could not be read: what was charged is kept, and it is over."""
    library.credit(balance=1)
    library.record(1)
    library.settle(library.take_one(), "accepted")
    library.record(1, "cancelled", now_ms() + 5)
    library.client.hset(library.key("credit:" + ANN), "balance", "much")
    library.take()
    assert library.place() == "dead"
    assert library.discard(1) == ["discarded"]
    library.client.hset(library.key("credit:" + ANN), "balance", "0")
    assert (library.state(), library.purses()) == ("cancelled", (0, 0, 1))
    library.record(1, "cancelled", now_ms() + 50)
    assert library.take().jobs == [] and library.purses() == (0, 0, 1)


def test_a_hold_that_cannot_be_released_stays_listed(library):
    library.credit(balance=1)
    park(library)
    library.client.hset(library.key("credit:" + ANN), "held", "some")
    before = library.snapshot()
    [answer] = library.discard(1)
    assert ANN in answer and "held" in answer
    assert library.snapshot() == before
    library.client.hset(library.key("credit:" + ANN), "held", "1")


def test_a_listed_name_without_a_record_is_forgotten(library):
    library.client.zadd(library.key("dead"), {"7": 1, "8": 1})
    library.record(8)
    assert library.discard(7, 8, 9, 8) == ["forgotten", "forgotten", "unknown", "not dead"]
    assert library.dead() == [] and library.queue() == ["8"]


@pytest.mark.parametrize("charged", [True, False])
def test_a_discarded_reschedule_gives_back_what_the_old_one_had(library, charged):
    library.credit(balance=1)
    library.record(1)
    job = library.take_one()
    if charged:
        library.settle(job, "accepted")
    else:
        library.record(2, reschedule_uid="uid-1")
        library.settle(job, "cancelled")
        assert library.booking()["held"] == "1"
        library.client.delete(library.key("queue"))
        library.set_booking(2, place="none")
    park_undecided(library, 2, created=now_ms() + 5, reschedule_uid="uid-1")
    assert library.discard(2) == ["discarded"]
    assert library.purses() == (1, 0, 0)
    assert (library.state(1), library.booking(1)["held"], library.booking(1)["charged"]) == ("cancelled", "0", "0")
    assert (library.ledger()[-1]["booking"], library.ledger()[-1]["by"]) == ("1", "nora")


def test_whoever_waits_for_a_discarded_one_goes_on(library):
    """The old booking is given up with its hold; the new one waits for it, and takes the hold over."""
    library.credit(balance=1)
    park(library)
    library.record(2, reschedule_uid="uid-1")
    library.client.zrem(library.key("dead"), "1")
    library.client.lrem(library.key("queue"), 0, "1")
    library.set_booking(1, place="dead")
    library.client.zadd(library.key("dead"), {"1": 1})
    assert library.take().jobs == [] and library.retries() == ["2"]
    assert library.discard(1) == ["discarded"]
    assert library.queue() == ["2"] and library.purses() == (0, 1, 0)
    job = library.take_one()
    library.settle(job, "accepted")
    assert (job.id, library.purses()) == ("2", (0, 0, 1))


def test_a_discarded_lead_is_followed_by_the_next(library):
    library.credit(balance=3)
    gather(library, [1, 2, 3])
    lead = library.take_one()
    library.retry(lead)
    library.client.zrem(library.key("retry"), lead.id)
    library.client.zadd(library.key("dead"), {lead.id: 1})
    library.set_booking(lead.id, place="dead")
    assert library.discard(lead.id) == ["discarded"]
    assert library.purses() == (1, 2, 0)
    again = library.take_one()
    assert again.id != lead.id
    library.settle(again, "accepted", covers="series")
    assert library.purses() == (1, 0, 2)


def test_a_twin_that_is_requeued_is_no_twin_of_one_that_is_over(library):
    library.credit(balance=1)
    start = now_ms() // 1000 + 7 * DAY_S
    for id_ in (1, 2):
        library.record(id_, start=start, end=start + 3600)
    first, twin = library.take().jobs
    assert library.booking(2)["slot_of"] == "1"
    library.settle(first, "cancelled")
    library.settle(twin, "refused", "403: not yours")
    library.requeue(2)
    library.settle(library.take_one(), "accepted")
    assert library.purses() == (0, 0, 1)
    assert library.state(2) == "accepted" and "slot_of" not in library.booking(2)
