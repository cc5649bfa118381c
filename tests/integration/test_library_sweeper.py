"""Which worker sweeps, and what share of the calls its sweep may use (sweep.lua, gate.lua)."""

from gates import GateOf
from library import now_ms
from test_library_sweep import accepted, due, forget_looks, look


# ---- Who sweeps ----

def test_the_first_sweep_comes_after_an_interval(library):
    answer, ms = library.sweep("start", interval_ms=5000)
    assert answer == "wait" and 4000 < int(ms) <= 5000
    answer, ms = library.sweep("start", interval_ms=1000)
    assert answer == "wait" and int(ms) <= 1000, "a shorter interval counts at once"


def test_one_sweeps_and_the_others_wait(library):
    due(library)
    assert library.sweep("start", "a") == ["go"]
    answer, ms = library.sweep("start", "b")
    assert answer == "wait" and 9000 < int(ms) <= 10100
    for step in ("call", "look", "end"):
        assert library.sweep(step, "b") == ["lost"]
    assert library.sweep("start", "a") == ["go"], "whose answer was lost"
    assert library.sweep("call", "a") == ["go"]
    assert library.sweep("end", "a") == ["go", "0"]
    assert library.sweep("start", "b")[0] == "wait" == library.sweep("start", "a")[0]


def test_a_sweeper_that_died_is_replaced_when_its_lease_is_over(library):
    due(library)
    library.sweep("start", "a")
    library.client.hset(library.key("sweep"), "lease_until_ms", now_ms() - 1)
    assert library.sweep("start", "b") == ["go"]
    assert library.sweep("call", "a") == ["lost"]


# ---- Its share of the budget ----

def test_a_quarter_of_the_window_at_most(library):
    gate = GateOf(library, limit=40)
    due(library)
    library.sweep("start", **gate.options)
    for _ in range(10):
        assert library.sweep("call", **gate.options) == ["go"]
        gate.report("success", token="w", id="sweep")
    assert library.sweep("call", **gate.options)[::2] == ["hold", "budget"]
    assert gate.calls() == 10


def test_bookings_go_first(library):
    gate = GateOf(library, limit=40)
    due(library)
    library.sweep("start", **gate.options)
    library.record(1)
    assert library.sweep("call", **gate.options)[::2] == ["hold", "bookings"]
    library.retry(gate.take().jobs[0], delay_ms=0)
    assert library.sweep("call", **gate.options)[::2] == ["hold", "bookings"]


def test_a_tenth_is_left_to_them(library):
    gate = GateOf(library, limit=20)
    library.credit(balance=50)
    for id_ in range(9):
        library.record(id_)
    assert len(gate.take(fresh_ms=0).jobs) == 9  # 18 calls
    due(library)
    library.sweep("start", **gate.options)
    assert library.sweep("call", **gate.options)[::2] == ["hold", "budget"]


def test_looks_are_of_the_same_share(library):
    gate = GateOf(library, limit=16)
    for id_ in range(8):
        accepted(library, id_)
    assert look(library, **gate.options) == ["go", "4"]
    for _ in range(4):
        library.settle(gate.take(count=1).jobs[0], "accepted")
    forget_looks(library)
    assert library.sweep("look", **gate.options)[::2] == ["hold", "budget"]


def test_not_while_the_breaker_is_open(library):
    gate = GateOf(library)
    due(library)
    library.sweep("start", **gate.options)
    gate.report("credentials", token="w", id="me")
    assert library.sweep("call", **gate.options)[::2] == ["hold", "credentials"]


def outage(library):
    """Of which only looks know, and a sweep that begins."""
    gate = GateOf(library)
    due(library)
    library.sweep("start", **gate.options)
    for _ in range(5):
        gate.report("failure", token="w", id="1")
    return gate


def test_its_call_probes_where_no_booking_waits(library):
    """Else an outage that only looks saw would keep the sweep away until somebody books."""
    gate = outage(library)
    assert library.sweep("call", **gate.options)[::2] == ["hold", "failures"]
    gate.pass_time(6500)
    assert library.sweep("call", **gate.options) == ["go"]
    library.record(1)
    assert gate.take(worker="w2").hold == "failures", "one probe at a time"
    assert gate.report("failure", token="w", id="sweep").wait_ms >= 10000
    gate.pass_time(13000)
    assert library.sweep("call", **gate.options)[::2] == ["hold", "bookings"], "a booking probes as well"
    assert len(gate.take().jobs) == 1


def test_its_probe_that_succeeds_closes_the_breaker(library):
    gate = outage(library)
    gate.pass_time(6500)
    assert library.sweep("call", **gate.options) == ["go"]
    assert gate.report("success", token="w", id="sweep").gate.cause == ""
    assert library.sweep("call", **gate.options) == ["go"]
