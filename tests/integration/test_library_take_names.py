"""tollgate_take: which names it takes, and what it makes of odd ones."""

import itertools
import time

import pytest
import redis

from library import DAY_S, Library, load_library, now_ms
from test_library_record import refuses

ANN = "ann@example.com"
BOB = "bob@example.com"


# ---- Names pushed by hand ----

def test_an_unknown_name_is_counted_and_dropped(library):
    library.push("nobody", "a b", "\u00e4", "")
    library.record(1)
    assert library.take().ids == ["1"]
    assert library.stat("unknown_names") == 4
    assert library.queue() == []


def test_a_final_name_is_dropped(library):
    library.credit(balance=1)
    library.record(1)
    library.settle(library.take_one(), "accepted")
    library.push("1")
    assert library.take().jobs == []
    assert (library.state(), library.purses()) == ("accepted", (0, 0, 1))


def test_an_unpaid_name_is_dropped(library):
    library.record(1, "payment")
    library.push("1")
    assert library.take().jobs == []
    assert library.state() == "waiting"


def test_a_name_in_hand_is_looked_at_again_later(library):
    library.credit(balance=1)
    library.record(1)
    job = library.take_one(worker="a")
    library.push("1")
    assert library.take(worker="b").jobs == []
    assert library.booking()["again"] == "1"
    assert library.retry(job, 60000) == ["queued"]
    assert library.take(worker="b").ids == ["1"]


def test_a_name_twice_in_one_batch_is_one_job(library):
    library.credit(balance=2)
    library.record(1)
    library.push("1", "1")
    assert library.take().ids == ["1"]
    assert (library.queue(), library.purses()) == ([], (1, 1, 0))


def test_a_name_twice_over_two_batches_is_held_once(library):
    library.credit(balance=2)
    library.record(1)
    library.push("1")
    job = library.take_one(count=1)
    assert library.take(count=1).jobs == []
    library.settle(job, "accepted")
    library.take()
    assert (library.queue(), library.purses()) == ([], (1, 0, 1))


def test_a_dead_name_is_taken_again(library):
    library.install_answer("error('no idea')")
    library.credit(balance=1)
    library.record(1)
    assert library.take().jobs == []
    assert library.dead() == ["1"]
    library.install_answer("{ accept = true, cost = 1, reason = 'fine' }")
    library.push("1")
    assert library.take_one().goal == "accept"
    assert library.dead() == []


def test_a_name_that_waits_for_a_retry_is_taken_at_once(library):
    library.record(1)
    library.retry(library.take_one(), 3600000)
    library.push("1")
    assert library.take().ids == ["1"]
    assert library.retries() == []


def test_a_name_can_be_pushed_to_be_the_next(library):
    library.record(1)
    library.retry(library.take_one(), 3600000)
    library.record(2)
    library.client.rpush(library.key("queue"), "1")
    assert library.take().ids == ["1", "2"]


@pytest.mark.parametrize("id_", ["unknown", "final", "unpaid", "waits"])
def test_a_name_put_among_the_retries_by_hand_does_not_stay_there(library, id_):
    """One that stays is due for ever, and its worker never sleeps again."""
    library.record("final", "cancelled")
    library.record("unpaid", "payment")
    library.record("waits")
    library.client.zadd(library.key("retry"), {id_: 1})
    library.take()
    assert library.retries() == []
    assert library.take().next_due == -1


def test_a_name_in_hand_and_among_the_retries_does_not_stay_there(library):
    library.record(1)
    job = library.take_one()
    library.client.zadd(library.key("retry"), {"1": 1})
    library.take()
    assert library.retries() == []
    library.settle(job, "rejected")
    library.take()
    assert library.queue() == []


def test_a_retry_whose_record_was_deleted_does_not_stay(library):
    library.record(1)
    library.retry(library.take_one())
    library.client.delete(library.key("booking:1"))
    library.take()
    assert library.retries() == []


# ---- Due retries ----

def test_a_due_retry_comes_before_the_queue(library):
    library.record("again")
    library.retry(library.take_one(), 0)
    library.record("new")
    assert library.take().ids == ["again", "new"]
    assert library.retries() == []


def test_a_retry_waits_until_it_is_due(library):
    library.record(1)
    library.retry(library.take_one(), 60000)
    batch = library.take()
    assert batch.jobs == []
    assert 55000 < batch.next_due <= 60000
    library.client.zadd(library.key("retry"), {"1": now_ms() - 1})
    assert library.take().ids == ["1"]
    assert library.take().next_due == -1


def test_the_longest_due_comes_first_and_the_count_holds(library):
    for id_ in ("a", "b", "c"):
        library.record(id_)
    for job, due in zip(library.take().jobs, (3, 1, 2)):
        library.retry(job)
        library.client.zadd(library.key("retry"), {job.id: due})
    library.record("new")
    batch = library.take(count=2)
    assert (batch.ids, batch.next_due, batch.left) == (["b", "c"], 0, 1)
    assert library.take(count=2).ids == ["a", "new"]


# ---- Adoption of what a blocking pop laid into the own list ----

def test_what_a_blocking_pop_laid_there_is_adopted(library):
    library.credit(balance=1)
    library.record(1)
    assert library.blmove() == "1"
    assert library.take_one().goal == "accept"
    assert library.active() == ["1"]
    assert library.booking()["place"] == "active"


def test_adoption_comes_before_retries_and_queue(library):
    library.record("retry")
    library.retry(library.take_one(), 0)
    library.record("laid")
    library.record("queued")
    library.blmove()
    assert library.take().ids == ["laid", "retry", "queued"]


def test_adoption_beside_what_is_in_hand(library):
    library.record(1)
    library.take_one()
    library.record(2)
    library.blmove()
    assert library.active() == ["2", "1"]
    assert library.take().ids == ["2"]
    assert sorted(library.active()) == ["1", "2"]


def test_adoption_keeps_the_order_of_the_list(library):
    """The last credit goes to the earlier one, whichever way they came."""
    library.credit(balance=1)
    library.record("early")
    library.record("late")
    library.blmove()
    library.blmove()
    assert [(job.id, job.goal) for job in library.take().jobs] == [("early", "accept"), ("late", "reject")]


def test_adoption_with_little_room_takes_the_earlier_one(library):
    library.record("early")
    library.record("late")
    library.blmove()
    library.blmove()
    assert library.take(count=1).ids == ["early"]
    assert library.take(count=1).ids == ["late"]


def test_an_unknown_name_laid_there_is_dropped(library):
    library.push("nobody")
    library.blmove()
    assert library.take().jobs == []
    assert library.active() == []


def test_a_name_laid_there_that_another_worker_has(library):
    library.record(1)
    job = library.take_one(worker="a")
    library.push("1")
    library.blmove("b")
    assert library.take(worker="b").jobs == []
    assert library.active("b") == []
    assert library.retry(job) == ["queued"]


def test_a_name_laid_there_that_this_worker_has(library):
    library.record(1)
    job = library.take_one()
    library.push("1")
    library.blmove()
    library.take()
    library.settle(job, "rejected")
    library.take()
    assert (library.active(), library.queue(), library.place()) == ([], [], "none")


def test_a_retry_laid_there_leaves_the_retries(library):
    library.record(1)
    library.retry(library.take_one(), 3600000)
    library.push("1")
    library.blmove()
    assert library.take().ids == ["1"]
    assert library.retries() == []


# ---- Withdrawn before it was decided; by hand ----

@pytest.mark.parametrize("withdrawn", ["cancelled", "rejected"])
def test_withdrawn_before_it_was_decided(library, withdrawn):
    library.credit(balance=5)
    library.record(1)
    library.record(1, withdrawn)
    assert library.queue() == ["1"]
    assert library.take().jobs == []
    assert (library.state(), library.done(), library.purses()) == (withdrawn, withdrawn, (5, 0, 0))
    assert library.ledger() == []
    assert library.pttl("booking:1") > 0


@pytest.mark.parametrize("events", [["requested", "created"], ["created+confirmation"], ["rescheduled"]])
def test_accepted_by_hand_is_charged_if_the_credit_is_there(library, events):
    library.credit(balance=5)
    record_all(library, events)
    assert library.take().jobs == [], "nothing to do at Cal.com"
    assert (library.state(), library.purses()) == ("accepted", (4, 0, 1))
    assert library.movements() == [("adjust", 5), ("hold", 1), ("capture", 1)]
    assert library.booking()["charged"] == "1"


@pytest.mark.parametrize("events", [["requested", "created"], ["created+confirmation"]])
@pytest.mark.parametrize("balance", [None, 0])
def test_accepted_by_hand_is_waived_if_the_credit_is_not_there(library, events, balance):
    if balance is not None:
        library.credit(balance=balance)
    record_all(library, events)
    assert library.take().jobs == [], "the host is the boss: it is never cancelled"
    assert library.state() == "accepted"
    assert library.movements() == [("waive", 1)]
    assert library.purses() == (None if balance is None else (0, 0, 0)), "a waive makes no account"


def record_all(library, events):
    for offset, event in enumerate(events):
        kind, _, confirmation = event.partition("+")
        extra = {"requires_confirmation": "yes"} if confirmation else {}
        library.record(1, kind, now_ms() - 100 + offset, **extra)


@pytest.mark.parametrize("balance, goal", [(1, "accept"), (0, "reject")])
def test_the_guides_flow_is_decided(library, balance, goal):
    library.credit(balance=balance)
    library.record(1, "created")
    job = library.take_one()
    assert (job.goal, job.guide) == (goal, True)


# ---- What cannot be decided is parked, alone ----


def test_a_booking_without_an_account_is_refused_alone(library):
    library.credit(balance=5)
    library.record(1, account=None, email=None)
    library.record(2)
    refused, accepted = library.take().jobs
    assert (refused.id, refused.goal, refused.reason) == ("1", "reject", "This booking names no member account.")
    assert (accepted.id, accepted.goal) == ("2", "accept")


def test_a_booking_without_times_is_settled_like_any_other(library):
    """Nothing that `record` took may stop a take: everybody else would wait behind it."""
    library.credit(balance=5)
    library.record(1, start=None, end=None)
    library.settle(library.take_one(), "accepted")
    library.record(1, "cancelled", now_ms() + 5, start=None, end=None, cancelled_by=ANN)
    library.record(2)
    assert library.take().ids == ["2"]
    assert library.state() in ("cancelled", "accepted")


def test_an_account_of_the_wrong_type_parks_its_bookings_only(library):
    """`SET {ns}:credit:bob 5` is an easy slip at redis-cli."""
    library.credit(ANN, balance=5)
    library.client.set(library.key("credit:" + BOB), 5)
    library.record(1, account=BOB)
    library.record(2, account=ANN)
    assert library.take().ids == ["2"]
    assert library.dead() == ["1"]
    assert BOB in library.booking()["last_error"]


def test_a_ledger_of_the_wrong_type_loses_nothing(library):
    library.credit(balance=5)
    library.client.set(library.key("ledger:" + ANN), "oops")
    library.record(1)
    try:
        library.take()
    except redis.ResponseError:
        pass
    finally:
        library.client.delete(library.key("ledger:" + ANN))
    assert library.place() in ("queue", "dead")
    library.check_places()


def test_dead_bookings_are_queued_again_by_news(library):
    library.install_answer('"nothing that a policy may answer"')
    library.record(1)
    library.take()
    assert library.dead() == ["1"]
    assert library.record(1, "cancelled") == "queued"
    assert library.dead() == []


# ---- Leases, no policy, memory ----

def test_a_take_renews_the_workers_lease(library):
    library.take(worker="w1", lease_ms=10000)
    library.take(worker="w2", lease_ms=60000)
    leases = library.client.zrange(library.key("workers"), 0, -1, withscores=True)
    assert [name for name, _ in leases] == ["w1", "w2"]
    for (_, ends), lease in zip(leases, (10000, 60000)):
        assert abs(ends - now_ms() - lease) < 5000
    library.take(worker="w1", number=1, lease_ms=120000)
    assert library.client.zrange(library.key("workers"), 0, -1) == ["w2", "w1"]


def test_without_a_policy_nothing_is_taken(bare_library):
    bare_library.record(1)
    refuses(bare_library, "^NOPOLICY ", bare_library.take)


def test_two_namespaces_do_not_see_each_other(library, shared_client):
    other = Library(shared_client, library.namespace + "-other")
    other.record(1)
    assert library.take().jobs == []
    other.install_answer("{ accept = true, cost = 7, reason = 'theirs' }")
    assert other.take_one().cost == 7
    library.record(1)
    assert library.take_one().goal == "reject"


def test_at_the_memory_limit_steps_that_free_credit_still_run(house):
    """New bookings are refused (the spool keeps them); what is in hand comes to its end."""
    client = house.redis().client()
    load_library(client)
    library = Library(client, "full")
    library.install_answer("{ accept = true, cost = 1, reason = 'fine' }")
    library.credit(balance=5)
    for id_ in range(4):
        library.record(id_)
    jobs = library.take(worker="w").jobs
    client.config_set("maxmemory", 1)
    for call in (lambda: library.record(9), library.take):
        with pytest.raises(redis.ResponseError, match="OOM|maxmemory"):
            call()
    assert library.settle(jobs[0], "cancelled") == ["settled", "cancelled"]
    assert library.retry(jobs[1], 5) == ["retry", 5]
    assert library.give_back(jobs[2]) == ["queued"]
    assert library.leave("w") == 1
    client.config_set("maxmemory", 0)
    library.check()
    assert library.purses() == (2, 3, 0)


# ---- Everything at once ----

def test_a_long_random_story_keeps_books_and_places(library):
    """Ten bookings, three accounts, every function in an order that nobody thought of."""
    import random
    rng = random.Random(20260312)
    accounts = [ANN, BOB, "carl@example.com"]
    for account in accounts:
        library.credit(account, balance=3)
    jobs, clock = [], itertools.count(now_ms() - 100000)
    start = int(time.time()) + 7 * DAY_S
    for _ in range(1500):
        id_, worker = rng.randrange(10), rng.choice(["w", "v"])
        what = rng.randrange(10)
        if what < 4:
            kind = rng.choice(["requested", "created", "cancelled", "rejected", "payment", "rescheduled"])
            library.record(f"b{id_}", kind, next(clock), account=accounts[id_ % 3], start=start, end=start + 60)
        elif what < 6:
            jobs += library.take(worker, count=rng.randrange(1, 4)).jobs
        elif jobs and what == 6:
            library.retry(rng.choice(jobs), rng.randrange(2))
        elif jobs and what == 7:
            library.give_back(rng.choice(jobs))
        elif jobs and what == 8:
            library.settle(rng.choice(jobs), rng.choice(["accepted", "rejected", "cancelled", "gone", "refused"]))
        elif rng.random() < 0.1:
            library.leave(worker)
            library.numbers.pop(worker, None)
        library.check_holds()
    library.check()


# ---- Two workers that waited for work ----

@pytest.mark.parametrize("faster", ["w1", "w2"])
def test_of_two_workers_that_each_got_a_name_the_faster_decides_both_in_order(library, faster):
    """Else the last credit would go to the later booking whenever its worker is faster."""
    library.credit(balance=1)
    for worker in ("w1", "w2"):
        library.lease(worker)
    for id_ in (1, 2):
        library.record(id_)
    assert (library.blmove("w1"), library.blmove("w2")) == ("1", "2")
    assert library.take(faster).ids == ["1", "2"]
    assert [library.booking(id_)["decision"] for id_ in (1, 2)] == ["accept", "reject"]
    assert library.active(faster) == ["1", "2"]
    slower = {"w1": "w2", "w2": "w1"}[faster]
    assert library.active(slower) == [] and library.take(slower).ids == []
