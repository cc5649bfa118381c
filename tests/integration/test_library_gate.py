"""The gate to Cal.com (gate.lua): the budget, what Cal.com says is left, v1's lock, the breaker."""

import random
import time

import pytest

from gates import WINDOW_MS, GateOf, view
from library import DAY_S, now_ms
from test_library_record import refuses

ONE_CALL = {"fresh_ms": 60000}  # fresh bookings are acted on at once
TWO_CALLS = {"fresh_ms": 0}  # any other is looked at, then acted on


def ask(library, count, since=1, **credit):
    library.credit(balance=1000)
    for id_ in range(since, since + count):
        library.record(id_)


# ---- The budget ----

def test_without_a_gate_nothing_is_counted_and_nothing_told(library):
    ask(library, 1)
    batch = library.take()
    assert len(batch.jobs) == 1 and batch.gate == [] and (batch.hold, batch.hold_ms) == ("", 0)
    assert library.keys("gate:") == []


def test_without_a_limit_nothing_is_counted(library):
    gate = GateOf(library, limit=0)
    ask(library, 5)
    batch = gate.take(**TWO_CALLS)
    assert len(batch.jobs) == 5 and batch.hold == ""
    assert view(batch.gate) == ("", "", False, 0, -1, 0)
    assert gate.begin(batch.jobs[0]) == ["go"] and gate.reserve() == ["go"]
    assert library.keys("gate:") == []


def test_a_take_reserves_what_it_hands_out(library):
    gate = GateOf(library, limit=10)
    ask(library, 3)
    batch = gate.take(**ONE_CALL)
    assert all(job.fresh for job in batch.jobs) and view(batch.gate)[3:5] == (3, 7)
    ask(library, 2, since=4)
    batch = gate.take(**TWO_CALLS)
    assert len(batch.jobs) == 2 and view(batch.gate)[3:5] == (7, 3)


def test_no_more_is_handed_out_than_can_be_looked_at_and_acted_on(library):
    gate = GateOf(library, limit=10)
    ask(library, 20)
    batch = gate.take(**TWO_CALLS)
    assert batch.ids == ["1", "2", "3", "4", "5"] and batch.left == 15
    assert batch.hold == "budget" and WINDOW_MS - 1000 < batch.hold_ms <= WINDOW_MS
    assert [gate.begin(job, "confirm") for job in batch.jobs] == [["go"]] * 5, "kept for them"
    assert gate.calls() == 10
    answer, wait_ms, why = gate.begin(batch.jobs[0], "look")
    assert (answer, why) == ("hold", "budget") and WINDOW_MS - 1000 < int(wait_ms) <= WINDOW_MS
    held = gate.take()
    assert held.jobs == [] and held.left == 15 and held.hold == "budget"
    assert library.state(6) == "waiting", "what cannot be asked for is not decided either"


def test_the_hold_ends_when_enough_has_left_the_window(library):
    gate = GateOf(library, limit=4)
    ask(library, 6)
    gate.take(count=2, **ONE_CALL)
    gate.pass_time(20000)
    held = gate.take(count=2, **ONE_CALL)
    assert len(held.jobs) == 1, "two calls are left, and nobody knows before that one will do"
    assert held.hold == "budget" and WINDOW_MS - 21000 < held.hold_ms <= WINDOW_MS - 20000
    gate.pass_time(held.hold_ms + 1)
    assert len(gate.take(count=6, **ONE_CALL).jobs) == 1


def test_a_call_that_is_never_made_is_free_after_the_window(library):
    gate = GateOf(library, limit=2)
    ask(library, 2)
    job = gate.take(count=1, **TWO_CALLS).jobs[0]
    gate.pass_time(WINDOW_MS)
    library.retry(job)
    assert len(gate.take(count=1, **TWO_CALLS).jobs) == 1
    assert gate.calls() == 2, "what was kept for the booking before is not kept twice"


def test_begin_that_is_held_begins_nothing(library):
    gate = GateOf(library, limit=2)
    ask(library, 1)
    job = gate.take(**TWO_CALLS).jobs[0]
    gate.begin(job, "look"), gate.begin(job, "look")
    assert gate.begin(job, "confirm")[0] == "hold"
    assert "act_ms" not in library.booking(1) and library.place(1) == "active"


def test_never_more_than_the_limit_in_any_window(library):
    """A random day of takes, calls, retries and probes by three workers."""
    chance = random.Random(4)
    gate = GateOf(library, limit=12)
    jobs, made, passed, next_id = [], [], 0, 1

    def clock():
        return passed + time.monotonic() * 1000

    for _ in range(500):
        ms = chance.choice([0, 10, 300, 2000, 20000])
        gate.pass_time(ms)
        passed += ms
        for _ in range(chance.randint(0, 2)):
            ask(library, 1, since=next_id)
            next_id += 1
        batch = gate.take(worker=chance.choice("abc"), count=chance.randint(1, 8),
                          fresh_ms=chance.choice([0, 60000]))
        made += [clock()] * len(batch.jobs)  # each makes its first call
        jobs += batch.jobs
        for job in [job for job in jobs if chance.random() < .5]:
            if gate.begin(job, "confirm") == ["go"]:
                made.append(clock())
            else:
                library.retry(job, burn=False)
                jobs.remove(job)
        for job in [job for job in jobs if chance.random() < .3]:
            library.settle(job, "accepted")
            jobs.remove(job)
        if chance.random() < .1 and gate.reserve() == ["go"]:
            made.append(clock())
    assert len(made) > 300
    for call in made:
        assert sum(call <= other < call + 60000 for other in made) <= 12


def test_the_hot_path_leaves_one_small_log(library):
    gate = GateOf(library, limit=100)
    for since in range(0, 90, 10):
        ask(library, 10, since=since)
        gate.take(**ONE_CALL)
        gate.pass_time(10000)
    assert gate.calls() <= 70, "what left the window is forgotten"
    assert 0 < library.client.pttl(gate.key + ":calls") <= WINDOW_MS


def test_a_gate_has_a_name_that_tells_no_key(library):
    refuses(library, "16 hex digits", lambda: library.take(gate="cal_live_key", limit=10))
    refuses(library, "needs a gate", lambda: library.call("report", "success"))
    refuses(library, "what was heard", lambda: GateOf(library).report("nonsense"))


# ---- What Cal.com says ----

def test_somebody_else_uses_the_key(library):
    gate = GateOf(library, limit=100)
    ask(library, 10)
    gate.take(count=1, **ONE_CALL)
    gate.pass_time(5000)
    heard = gate.report("success", remaining=6, reset_ms=30000)
    assert heard.gate.left == 6
    batch = gate.take(**TWO_CALLS)
    assert len(batch.jobs) == 3 and batch.hold == "budget" and 29000 < batch.hold_ms <= 30000
    assert [gate.begin(job, "confirm") for job in batch.jobs] == [["go"]] * 3
    assert gate.begin(batch.jobs[0], "look")[0] == "hold"
    gate.pass_time(30001)
    assert gate.begin(batch.jobs[0], "look") == ["go"], "after the reset our own window counts"


def test_what_is_on_its_way_is_not_left(library):
    gate = GateOf(library, limit=100)
    ask(library, 10)
    gate.take(**ONE_CALL)
    assert gate.report("success", remaining=12, reset_ms=30000).gate.left == 2


def test_more_left_than_we_believe_changes_nothing(library):
    gate = GateOf(library, limit=10)
    ask(library, 4)
    gate.take(**ONE_CALL)
    assert gate.report("success", remaining=116, reset_ms=30000).gate.left == 6
    assert "api_left" not in gate.hash()


def test_less_is_heeded_more_is_not_until_the_reset(library):
    gate = GateOf(library, limit=100)
    assert gate.report("success", remaining=5, reset_ms=30000).gate.left == 5
    assert gate.report("success", remaining=50, reset_ms=30000).gate.left == 5
    assert gate.report("success", remaining=2, reset_ms=20000).gate.left == 2
    assert gate.report("success", remaining=0).gate.left == 0


# ---- 429 ----

@pytest.mark.parametrize("told, wait_ms", [(7000, 7000), (None, 60000), (0, 1000), (10 ** 9, 3600000)])
def test_a_429_stops_everyone_until_the_reset(library, told, wait_ms):
    gate = GateOf(library, limit=0)
    ask(library, 2)
    job = gate.take(count=1).jobs[0]
    heard = gate.report("throttled", wait_ms=told)
    assert wait_ms - 1000 < heard.wait_ms <= wait_ms and heard.gate.throttled == 1
    for held in (gate.take(), gate.take(worker="w2")):
        assert (held.jobs, held.hold) == ([], "throttled") and wait_ms - 1000 < held.hold_ms <= wait_ms
    assert gate.begin(job)[0] == "hold"
    gate.pass_time(wait_ms)
    assert gate.begin(job) == ["go"] and len(gate.take().jobs) == 1


def test_of_two_429_the_later_reset_counts(library):
    gate = GateOf(library)
    gate.report("throttled", wait_ms=9000)
    assert gate.report("throttled", wait_ms=2000).wait_ms > 8000
    assert gate.report("success").wait_ms > 8000, "a call that was on its way"


# ---- v1's lock: the account is locked at the 5th hit within an hour ----

def test_hits_and_calls_in_flight_together_never_reach_the_lock(library):
    """However late a 429 comes, and however many were on their way: three at most."""
    gate = GateOf(library, limit=25, guard=True)
    ask(library, 20)
    in_flight = gate.take().jobs
    assert len(in_flight) == 3
    held = gate.take(worker="w2")
    assert (held.jobs, held.hold) == ([], "in_flight") and 0 < held.hold_ms < 500
    for job in in_flight:
        gate.report("throttled", token=job.token, id=job.id, wait_ms=1000)
    gate.pass_time(10000)
    held = gate.take(worker="w2")
    assert (held.jobs, held.hold) == ([], "lock") and 3590000 < held.hold_ms <= 3660000
    assert gate.begin(in_flight[0])[2] == "lock" and gate.reserve()[2] == "lock"


def test_an_answer_makes_room_for_the_next_call(library):
    gate = GateOf(library, limit=25, guard=True)
    ask(library, 5)
    first, second, third = gate.take().jobs
    assert gate.begin(first, "confirm") == ["go"], "its own look is over"
    gate.report("success", token=first.token, id=first.id, act="yes")
    assert len(gate.take(worker="w2").jobs) == 1


def test_after_a_hit_fewer_are_in_flight(library):
    gate = GateOf(library, limit=25, guard=True)
    ask(library, 9)
    first, second, third = gate.take().jobs
    for job, heard in ((first, "throttled"), (second, "success"), (third, "success")):
        gate.report(heard, token=job.token, id=job.id, wait_ms=1000)
    gate.pass_time(2000)
    assert len(gate.take(worker="w2").jobs) == 2


def test_hits_are_forgotten_after_an_hour(library):
    gate = GateOf(library, limit=25, guard=True)
    ask(library, 9)
    for job in gate.take().jobs:
        gate.report("throttled", token=job.token, id=job.id, wait_ms=1000)
        gate.pass_time(600000)
    held = gate.take(worker="w2")
    assert held.hold == "lock"
    gate.pass_time(held.hold_ms)
    assert len(gate.take(worker="w2").jobs) == 1, "two hits lie within the hour"


def test_a_call_of_a_worker_that_died_is_over_some_time(library):
    gate = GateOf(library, limit=25, guard=True)
    ask(library, 5)
    assert len(gate.take().jobs) == 3
    gate.pass_time(13001)
    assert len(gate.take(worker="w2").jobs) == 2


def test_a_random_hour_of_a_crowded_key(library):
    """Somebody else uses the key up: 429 to whatever was on its way. Never a fourth hit in an hour."""
    chance = random.Random(11)
    gate = GateOf(library, limit=25, guard=True)
    ask(library, 300)
    hits, clock, flying = [], 0, []
    for _ in range(600):
        ms = chance.choice([50, 500, 5000, 30000])
        gate.pass_time(ms)
        clock += ms
        flying += gate.take(worker=chance.choice("abc")).jobs
        for job in [job for job in flying if chance.random() < .7]:
            flying.remove(job)
            if chance.random() < .3:
                hits.append(clock)
                gate.report("throttled", token=job.token, id=job.id, wait_ms=chance.choice([1000, 60000]))
            else:
                gate.report("success", token=job.token, id=job.id)
            library.settle(job, "accepted")
    assert len(hits) >= 6
    assert max(sum(hit <= other < hit + 3600000 for other in hits) for hit in hits) == 3


# ---- The breaker ----

def fail(gate, times, **told):
    for _ in range(times):
        heard = gate.report("failure", note="a 502", **told)
    return heard


def test_five_failures_in_a_row_open_it(library):
    gate = GateOf(library)
    ask(library, 3)
    job = gate.take(count=1).jobs[0]
    assert fail(gate, 4).gate == ("", "", True, 0, -1, 0)
    heard = fail(gate, 1)
    assert heard.gate.cause == "failures" and heard.gate.note == "a 502" and 4900 < heard.wait_ms <= 6250
    for worker in ("w", "w2"):
        held = gate.take(worker=worker)
        assert (held.jobs, held.hold) == ([], "failures") and 4500 < held.hold_ms <= 6250
    assert gate.begin(job, "confirm")[2] == "failures"


def test_a_success_in_between_starts_the_count_anew(library):
    gate = GateOf(library)
    fail(gate, 4)
    assert not gate.report("success").gate.troubled
    assert fail(gate, 4).gate.cause == ""


def half_open(library, gate, count=5):
    ask(library, count)
    fail(gate, 5)
    gate.pass_time(6500)


def test_one_probe_at_a_time(library):
    gate = GateOf(library)
    half_open(library, gate)
    probe = gate.take(count=64)
    assert len(probe.jobs) == 1 and probe.hold == "failures"
    assert gate.take(worker="w2").jobs == []
    assert gate.begin(probe.jobs[0], "confirm") == ["go"], "whoever probes may go on"
    gate.pass_time(13001)
    assert len(gate.take(worker="w2").jobs) == 1, "the first probe never came back"


def test_a_probe_that_succeeds_closes_it(library):
    gate = GateOf(library)
    half_open(library, gate)
    job = gate.take().jobs[0]
    heard = gate.report("success", token=job.token, id=job.id)
    assert heard == (("", "", False, 0, -1, 0), 0)
    assert len(gate.take().jobs) == 4


def test_a_probe_that_fails_doubles_the_delay_up_to_a_minute(library):
    gate = GateOf(library)
    half_open(library, gate, 12)
    for least_ms in (10000, 20000, 40000, 60000, 60000):
        job = gate.take().jobs[0]
        heard = gate.report("failure", token=job.token, id=job.id)
        assert least_ms - 500 < heard.wait_ms <= least_ms * 1.25
        library.retry(job, delay_ms=heard.wait_ms, burn=False)
        gate.pass_time(heard.wait_ms)
    job = gate.take().jobs[0]
    gate.report("success", token=job.token, id=job.id)
    assert fail(gate, 5).wait_ms <= 6250, "the next outage begins with the short delay"


def test_what_was_in_flight_when_it_opened_changes_no_delay(library):
    gate = GateOf(library)
    first = fail(gate, 5).wait_ms
    assert fail(gate, 9).wait_ms <= first


def test_no_probe_without_work(library):
    gate = GateOf(library)
    fail(gate, 5)
    gate.pass_time(6500)
    assert gate.take().jobs == []
    ask(library, 1)
    assert len(gate.take(worker="w2").jobs) == 1


def test_a_429_to_a_probe_is_no_failure(library):
    gate = GateOf(library)
    half_open(library, gate)
    job = gate.take().jobs[0]
    gate.report("throttled", token=job.token, id=job.id, wait_ms=3000)
    assert gate.take().hold == "throttled" or gate.take().hold == "failures"
    gate.pass_time(3001)
    assert len(gate.take(worker="w2").jobs) == 1


# ---- The key ----

def test_a_refused_key_stops_everybody_and_one_worker_asks_for_me(library):
    gate = GateOf(library, limit=100)
    ask(library, 3)
    assert gate.reserve("w") == ["go"]
    heard = gate.report("credentials", token="w", id="me", note="401")
    assert heard.gate.cause == "credentials" and 29000 < heard.wait_ms <= 30000
    held = gate.take()
    assert (held.jobs, held.hold) == ([], "credentials") and held.hold_ms <= 30000
    assert gate.reserve("w2")[2] == "credentials"
    gate.pass_time(30001)
    probe = gate.take()
    assert (probe.jobs, probe.hold) == ([], "probe"), "never with a booking"
    assert gate.take(worker="w2").hold == "credentials", "one at a time"
    gate.report("credentials", token="w", id="me")
    assert gate.take(worker="w2").hold == "credentials"
    gate.pass_time(30001)
    assert gate.take(worker="w2").hold == "probe"
    assert gate.report("me", token="w2", id="me").gate.cause == ""
    assert len(gate.take().jobs) == 3


def test_another_key_is_another_gate(library):
    old, new = GateOf(library), GateOf(library, name="f" * 16)
    ask(library, 1)
    old.report("credentials", token="w", id="me")
    assert old.take().hold == "credentials"
    assert len(new.take(worker="w2").jobs) == 1


def test_one_booking_that_is_not_ours_stops_nobody(library):
    gate = GateOf(library)
    assert gate.report("refused", token="w/1", id="1").wait_ms == 0
    assert gate.report("refused", token="w/1", id="2").gate.cause == ""
    assert not gate.report("success", act="yes").gate.troubled
    assert gate.report("refused", token="w/1", id="3").gate.cause == ""


def test_one_after_the_other_is_a_key_that_may_not(library):
    gate = GateOf(library)
    ask(library, 3)
    for id_ in "12":
        gate.report("refused", token="w/1", id=id_)
        gate.report("success", token="w/1", id=id_)  # a look, which anybody may
    assert gate.report("refused", token="w/1", id="3").gate.cause == "rights"
    gate.pass_time(30001)
    probe = gate.take()
    assert len(probe.jobs) == 1, "/me would say nothing new"
    job = probe.jobs[0]
    assert gate.report("success", token=job.token, id=job.id).gate.cause == "rights"
    assert gate.report("success", token=job.token, id=job.id, act="yes").gate.cause == ""


def test_a_wrong_url_is_probed_with_a_booking(library):
    gate = GateOf(library)
    ask(library, 3)
    assert gate.report("url", token="w/1", id="1", note="Cannot POST").gate.cause == "url"
    assert gate.report("me", token="w", id="me").gate.cause == "url", "/me has its own route"
    gate.pass_time(30001)
    job = gate.take().jobs[0]
    heard = gate.report("url", token=job.token, id=job.id)
    assert heard.gate.cause == "url" and 29000 < heard.wait_ms <= 30000


# ---- An outage does not count for giving up ----

def old_booking(library, gate):
    ask(library, 1)
    job = gate.take().jobs[0]
    library.set_booking(1, received_ms=now_ms() - (DAY_S + 60) * 1000, start=int(now_ms() / 1000) - 60)
    return job


def test_a_day_after_receipt_it_is_given_up(library):
    gate = GateOf(library)
    assert library.retry(old_booking(library, gate)) == ["dead"]


def test_not_for_as_long_as_nobody_could_be_asked(library):
    gate = GateOf(library)
    job = old_booking(library, gate)
    fail(gate, 5)
    gate.pass_time(120000)
    gate.take(worker="w2", count=0)  # somebody sees that it still is open
    assert library.retry(job)[0] == "retry"
    gate.report("success")
    job = gate.take().jobs[0]
    assert library.retry(job)[0] == "retry", "and it is remembered"
    library.set_booking(1, received_ms=now_ms() - (DAY_S + 300) * 1000, start=int(now_ms() / 1000) - 300)
    job = gate.take().jobs[0]
    assert library.retry(job) == ["dead"]


def test_an_outage_before_it_was_asked_for_is_none_of_its(library):
    gate = GateOf(library)
    fail(gate, 5)
    gate.pass_time(600000)
    gate.report("success")
    gate.pass_time((DAY_S + 120) * 1000)
    assert library.retry(old_booking(library, gate)) == ["dead"]


def test_a_gate_that_nobody_uses_any_more_is_not_open_for_ever(library):
    old, new = GateOf(library), GateOf(library, name="e" * 16)
    job = old_booking(library, new)
    old.report("credentials", token="w", id="me")
    old.pass_time(3600000)
    assert library.retry(job) == ["dead"]
