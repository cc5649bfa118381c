"""tollgate_lease and tollgate_reap: which workers count as dead, and what becomes of what they had in hand."""

import pytest

from library import Library, now_ms
from test_library_record import GARBAGE, refuses

ALONE = "its worker died three times while handling it alone"


def record_all(library, *ids):
    library.credit(balance=20)
    for id_ in ids:
        library.record(id_)


def registered(library):
    return library.client.zrange(library.key("workers"), 0, -1)


def expire(library, worker, age_ms=1):
    library.client.zadd(library.key("workers"), {worker: now_ms() - age_ms})


def taken_ago(library, id_, ms):
    library.set_booking(id_, taken_ms=now_ms() - ms)


# ---- Leases ----

def test_a_worker_is_registered_before_it_takes_anything(library):
    assert library.lease("w", 10000) == ["lost", 0]
    [(worker, ends)] = library.client.zrange(library.key("workers"), 0, -1, withscores=True)
    assert worker == "w" and abs(ends - now_ms() - 10000) < 5000


def test_a_renewal_moves_the_end(library):
    library.lease("w", 10000)
    assert library.lease("w", 60000) == ["held", 0]
    assert library.client.zscore(library.key("workers"), "w") > now_ms() + 50000


def test_a_worker_that_took_is_known(library):
    library.take(worker="w")
    assert library.lease("w") == ["held", 0]


def test_a_worker_whose_lease_is_over_but_who_was_not_reaped_still_holds_it(library):
    library.lease("w")
    expire(library, "w")
    assert library.lease("w") == ["held", 0]


@pytest.mark.parametrize("end", ["die", "leave"])
def test_who_was_reaped_or_left_has_lost_it_and_is_new(library, end):
    record_all(library, 1)
    library.take(worker="w")
    getattr(library, end)("w")
    assert library.lease("w") == ["lost", 0]
    assert library.lease("w") == ["held", 0]


def test_a_lease_tells_of_names_that_were_laid_down(library):
    record_all(library, 1, 2, 3)
    library.take(worker="w", count=1)
    library.blmove("w")
    library.blmove("w")
    assert library.lease("w") == ["held", 2]
    library.take(worker="w")
    assert library.lease("w") == ["held", 0]


def test_a_take_after_the_reaping_works(library):
    record_all(library, 1)
    old = library.take_one(worker="w")
    library.die("w")
    new = library.take_one(worker="w")
    assert new.id == "1" and registered(library) == ["w"]
    assert library.settle(old, "accepted") == ["stale"]
    assert library.settle(new, "accepted") == ["settled", "accepted"]


def test_a_take_under_an_old_number_after_the_reaping_is_a_new_one(library):
    """Its answer was lost, then the worker stood still; what it never heard of is in other hands."""
    record_all(library, 1, 2)
    library.take(worker="w", number=7, count=1)
    library.die("w")
    other = library.take_one(worker="v", count=1)
    batch = library.take(worker="w", number=7)
    assert (other.id, batch.ids) == ("1", ["2"])


@pytest.mark.parametrize("garbage", GARBAGE)
def test_garbage_is_refused(library, garbage):
    refuses(library, "lease_ms must be", lambda: library.lease("w", garbage))
    for name in ("connected_ms", "lease_ms", "hold_ms", "keep_ms", "cursor"):
        refuses(library, name + " must be", lambda: library.reap(**{name: garbage}))


# ---- Who counts as dead ----

def test_what_a_dead_worker_had_goes_back_next_in_line_and_in_order(library):
    record_all(library, *range(1, 8))
    library.take(worker="w", count=2)
    library.take(worker="w", count=1)
    library.blmove("w")
    library.blmove("w")
    assert library.active("w") == ["5", "4", "1", "2", "3"]
    sweep = library.die("w")
    assert sweep.buried == {"w": 5}
    assert library.queue() == ["1", "2", "3", "4", "5", "6", "7"]
    assert library.active("w") == [] and library.stat("taken_back") == 5 and library.stat("reaped_workers") == 1


def test_no_attempt_is_burned_and_the_decision_stays(library):
    record_all(library, 1)
    library.take_one(worker="w")
    before = library.booking()
    library.die("w")
    b = library.booking()
    assert {name: b[name] for name in ("attempts", "state", "decision", "held", "decided_ms")} == \
        {name: before[name] for name in ("attempts", "state", "decision", "held", "decided_ms")}
    assert b["place"] == "queue" and library.take_one(worker="v").attempts == 0
    assert library.movements() == [("adjust", 20), ("hold", 1)]


def test_one_sweep_is_not_enough(library):
    record_all(library, 1)
    library.take(worker="w")
    expire(library, "w")
    assert library.reap().buried == {}
    assert library.reap().buried == {}, "that was not long enough after the first"
    assert library.active("w") == ["1"]


def test_two_sweeps_of_different_connections_are_not_enough(library):
    record_all(library, 1)
    library.take(worker="w")
    expire(library, "w")
    library.client.hset(library.key("suspects"), "w", "sweeper/1 1")
    assert library.reap(epoch="sweeper/2").buried == {}
    assert library.reap_again(epoch="sweeper/2").buried == {"w": 1}


def test_who_renewed_between_two_sweeps_lives(library):
    record_all(library, 1)
    library.take(worker="w")
    expire(library, "w")
    library.reap()
    library.lease("w")
    assert library.reap_again().buried == {}
    assert library.client.hgetall(library.key("suspects")) == {}
    expire(library, "w")
    library.reap()
    assert library.reap().buried == {}, "it is suspected anew"


@pytest.mark.parametrize("connected_ms, lease_ms, buried", [
    (5999, 1000, {}), (6000, 1000, {"w": 1}), (9999, 10000, {}), (10000, 10000, {"w": 1}),
])
def test_after_an_outage_the_others_are_waited_for(library, connected_ms, lease_ms, buried):
    record_all(library, 1)
    library.take(worker="w")
    expire(library, "w")
    assert library.reap_again(connected_ms=connected_ms, lease_ms=lease_ms).buried == buried


def test_a_sweeper_does_not_bury_itself(library):
    record_all(library, 1)
    library.take(worker="sweeper")
    expire(library, "sweeper")
    assert library.reap_again().buried == {}
    assert library.active("sweeper") == ["1"]


def test_two_workers_sweeping_at_once(library):
    record_all(library, 1)
    library.take(worker="w")
    expire(library, "w")
    assert library.reap(epoch="a/1").swept and not library.reap(epoch="b/1").swept
    assert library.reap_again(epoch="a/1").buried == {"w": 1}
    assert library.reap_again(epoch="b/1").buried == {}
    assert library.queue() == ["1"] and library.booking()["deaths"] == "1"


def test_a_sweeper_that_fell_silent_is_followed_by_another(library):
    library.reap(epoch="a/1")
    assert 4000 < library.pttl("sweeping") <= 5000
    library.client.delete(library.key("sweeping"))
    assert library.reap(epoch="b/1").swept and not library.reap(epoch="a/1").swept


def test_a_dead_workers_list_is_swept_as_long_as_its_blocking_pop_may_live(library):
    library.take(worker="w")
    expire(library, "w")
    assert library.reap_again().buried == {"w": 0}
    record_all(library, 1)
    library.blmove("w")
    assert registered(library) == ["w"] and library.reap().buried == {"w": 1}
    assert library.queue() == ["1"] and library.stat("reaped_workers") == 1
    expire(library, "w", 15000)
    library.reap()
    assert registered(library) == [] and library.client.hgetall(library.key("suspects")) == {}


def test_all_dead_workers_at_once(library):
    record_all(library, *range(6))
    for worker in ("a", "b", "c"):
        library.take(worker=worker, count=2)
    assert library.die("a", "c").buried == {"a": 2, "c": 2}
    assert sorted(library.queue()) == ["0", "1", "4", "5"] and library.active("b") == ["2", "3"]


def test_a_sweep_has_a_bound_and_says_when_there_is_more(library):
    ids = [str(id_) for id_ in range(1500)]
    record_all(library, *ids)
    library.take(worker="w", count=1500)
    sweep = library.die("w")
    assert sweep.buried == {"w": 1000} and sweep.more
    sweep = library.reap()
    assert sweep.buried == {"w": 500} and not sweep.more
    assert library.queue() == ids


# ---- Lists of workers that nobody registered ----

def test_an_orphans_list_is_found(library):
    record_all(library, 1, 2)
    library.take(worker="w", count=1)
    library.blmove("w")
    library.client.zrem(library.key("workers"), "w")
    library.client.delete(library.key("worker:w"))
    cursor, buried = "0", {}
    for _ in range(100):  # the keys of other tests are looked through as well
        sweep = library.reap_again(cursor=cursor)
        cursor, buried = sweep.cursor, {**buried, **sweep.buried}
        if cursor == "0":
            break
    assert buried == {"w": 2} and library.queue() == ["1", "2"]


def test_an_orphan_found_once_is_not_lost_again(library):
    """The second sighting needs no second scan."""
    record_all(library, 1)
    library.blmove("w")
    library.client.hset(library.key("suspects"), "w", "sweeper/1 1")
    assert library.reap().buried == {"w": 1}


def test_names_that_no_record_knows_are_dropped_and_counted(library):
    record_all(library, 1)
    library.take(worker="w")
    library.client.lpush(library.key("active:w"), "nobody")
    library.client.rpush(library.key("active:w"), "somebody")
    assert library.die("w").buried == {"w": 3}
    assert library.queue() == ["1"] and library.stat("unknown_names") == 2


def test_a_name_that_another_worker_has_is_looked_at_again(library):
    record_all(library, 1)
    job = library.take_one(worker="v")
    library.push("1")
    library.blmove("w")
    library.lease("w")
    library.die("w")
    assert (library.booking()["again"], library.active("v")) == ("1", ["1"])
    assert library.retry(job, 60000) == ["queued"]


def test_a_namespace_with_signs_of_a_pattern(shared_client):
    library = Library(shared_client, "odd[a-z]*?")
    library.record(1)
    library.blmove("w")
    cursor, buried = "0", {}
    while not buried:
        sweep = library.reap_again(cursor=cursor)
        cursor, buried = sweep.cursor, sweep.buried
        assert buried or cursor != "0"
    assert buried == {"w": 1}
    shared_client.delete(*[key for key in shared_client.scan_iter() if key.startswith("{odd[")])


# ---- A call that began ----

def test_an_act_that_began_is_given_its_time(library):
    record_all(library, 1)
    library.take(worker="w", fresh_ms=0)
    library.die("w")
    job = library.take_one(worker="v")
    assert job.busy_ms == 0, "nothing had begun"
    library.begin(job)
    library.die("v")
    assert 29000 < library.take_one(worker="u").busy_ms <= 30000


# ---- Bookings that kill their worker ----

def kill_with(library, id_=1, times=1):
    for _ in range(times):
        batch = library.take(worker="victim", fresh_ms=0)
        assert str(id_) in batch.ids
        library.die("victim")


def test_deaths_are_counted_for_what_was_in_hand_only(library):
    record_all(library, 1, 2)
    library.take(worker="w", count=1)
    library.blmove("w")
    library.die("w")
    assert library.booking(1)["deaths"] == "1" and "deaths" not in library.booking(2)


def test_a_worker_that_leaves_is_no_death(library):
    record_all(library, 1)
    library.take(worker="w")
    library.leave("w")
    assert "deaths" not in library.booking()


def test_after_two_deaths_it_is_taken_alone(library):
    record_all(library, 1, 2, 3)
    kill_with(library, times=2)
    batch = library.take(worker="v", busy=0)
    assert (batch.ids, batch.hold, batch.hold_ms) == (["1"], "solo", 0) and batch.jobs[0].solo
    assert library.booking(1)["solo"] == "1"


def test_a_batch_ends_before_a_suspect(library):
    record_all(library, 1)
    kill_with(library, times=2)
    library.record(7)
    library.record(8)
    library.client.lmove(library.key("queue"), library.key("queue"), "RIGHT", "LEFT")
    batch = library.take(worker="v", count=3, busy=0)
    assert (batch.ids, batch.hold, batch.left) == (["7", "8"], "solo", 1)
    assert (library.take(worker="v", busy=2).ids, library.take(worker="v", busy=2).hold) == ([], "solo")
    assert library.take(worker="v", busy=0).ids == ["1"]


@pytest.mark.parametrize("where", ["laid", "due"])
def test_a_suspect_is_taken_alone_wherever_it_waits(library, where):
    record_all(library, 1)
    kill_with(library, times=2)
    if where == "laid":
        library.blmove("v")
    else:
        library.retry(library.take_one(worker="v"), 0, burn=False)
    library.record(2)
    assert library.take(worker="v", busy=1).ids == []
    assert library.take(worker="v", busy=0).ids == ["1"]
    assert library.take(worker="v", busy=1).ids == ["2"]


def test_a_lost_answer_of_a_solo_take(library):
    record_all(library, 1, 2)
    kill_with(library, times=2)
    first = library.take(worker="v", number=1, busy=0)
    again = library.take(worker="v", number=1, busy=0)
    assert again.ids == first.ids == ["1"] and again.hold == "solo" and again.jobs[0].solo


def test_three_deaths_alone_send_it_to_dead(library):
    record_all(library, 1)
    kill_with(library, times=4)
    assert library.booking()["solo_deaths"] == "2" and library.dead() == []
    kill_with(library)
    b = library.booking()
    assert (library.dead(), b["last_error"], b["state"], b["held"]) == (["1"], ALONE, "accepting", "1")
    assert library.stat("dead") == 1 and library.take(worker="v").ids == []


def test_who_died_beside_it_is_no_poison(library):
    """Only what is in hand alone is found guilty."""
    record_all(library, 1, 2)
    for _ in range(3):
        library.take(worker="w")
        library.die("w")
        library.client.hset(library.key("booking:1"), "deaths", 1)
        library.client.hset(library.key("booking:2"), "deaths", 1)
    assert library.dead() == [] and library.booking(1).get("solo_deaths") is None


def test_a_person_gives_it_another_chance(library):
    record_all(library, 1)
    kill_with(library, times=5)
    library.push("1")
    job = library.take_one(worker="v")
    assert not job.solo
    assert library.settle(job, "accepted") == ["settled", "accepted"]


@pytest.mark.parametrize("step", [
    lambda library, job: library.retry(job, 0),
    lambda library, job: library.settle(job, "accepted"),
])
def test_a_worker_that_handles_it_and_lives_clears_it(library, step):
    record_all(library, 1)
    kill_with(library, times=3)
    step(library, library.take_one(worker="v"))
    b = library.booking()
    assert (b["deaths"], b["solo_deaths"]) == ("0", "0")


@pytest.mark.parametrize("step", [
    lambda library, job: library.retry(job, 0, burn=False),
    lambda library, job: library.give_back(job),
])
def test_putting_it_off_clears_nothing(library, step):
    """A poison that works at the act only is put off first, as long as the dead worker's act may run."""
    record_all(library, 1)
    kill_with(library, times=3)
    step(library, library.take_one(worker="v"))
    assert library.take_one(worker="v").solo


def test_solo_ends_with_the_take(library):
    record_all(library, 1)
    kill_with(library, times=2)
    library.retry(library.take_one(worker="v"), 0)
    assert not library.take_one(worker="v").solo and library.booking()["solo"] == "0"


# ---- In hand for too long ----

def test_what_is_in_hand_for_too_long_goes_back(library):
    record_all(library, 1, 2, 3)
    jobs = library.take(worker="w", count=2).jobs
    late = [job.id for job in jobs]
    for id_ in late:
        taken_ago(library, id_, 60001)
    library.take(worker="w", count=1)
    sweep = library.reap()
    assert (sweep.overdue, sweep.buried, library.queue()) == (late, {}, late)
    assert library.active("w") == ["3"] and library.stat("overdue") == 2
    assert library.settle(jobs[0], "accepted") == ["stale"], "its token is no longer in force"
    assert "deaths" not in library.booking(1)


def test_a_live_workers_newer_bookings_stay(library):
    record_all(library, 1)
    library.take(worker="w")
    taken_ago(library, 1, 59000)
    assert library.reap().overdue == [] and library.active("w") == ["1"]


def test_overdue_beside_names_that_were_laid_down(library):
    record_all(library, 1, 2)
    library.take(worker="w", count=1)
    taken_ago(library, 1, 61000)
    library.blmove("w")
    assert library.reap().overdue == ["1"]
    assert library.active("w") == ["2"] and library.take(worker="w").ids == ["2", "1"]


def test_the_sweepers_own_are_no_exception(library):
    record_all(library, 1)
    library.take(worker="sweeper")
    taken_ago(library, 1, 61000)
    assert library.reap().overdue == ["1"]


def test_after_an_outage_nothing_is_overdue_yet(library):
    record_all(library, 1)
    library.take(worker="w")
    taken_ago(library, 1, 61000)
    assert library.reap(connected_ms=9999).overdue == []


def test_an_overdue_act_is_given_its_time(library):
    record_all(library, 1)
    job = library.take_one(worker="w", fresh_ms=0)
    taken_ago(library, 1, 61000)
    library.begin(job)
    library.reap()
    assert 29000 < library.take_one(worker="v").busy_ms <= 30000


# ---- An idle sweep ----

def test_a_sweep_with_nothing_to_do_leaves_no_trace_but_its_stamp(library):
    record_all(library, 1)
    library.take(worker="w")
    before = library.snapshot()
    library.reap()
    after = library.snapshot()
    after.pop(library.key("sweeping"))
    assert after == before
