"""What the library tells for metrics and traces: decisions by outcome and class, how long a booking took, and when
each step of it was."""

import pytest

from library import DEFAULT_POLICY, LUA, now_ms

ANN, BOB = "ann@example.com", "bob@example.com"
PARENT = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"


# ---- Decisions ----

@pytest.mark.parametrize("account, class_", [
    (dict(balance=0), "credit"),
    (None, "account"),
    (dict(balance=5, blocked="yes"), "blocked"),
    (dict(balance=5, expires="2020-01-31"), "expired"),
])
def test_why_the_default_policy_says_no(library, account, class_):
    if account:
        library.credit(**account)
    library.record()
    library.take_one()
    assert library.watch().decisions == {f"reject:{class_}": 1}


def test_a_yes(library):
    library.credit(balance=5)
    library.record(1)
    library.record(2)
    library.take(count=2)
    assert library.watch().decisions == {"accept:policy": 2}


@pytest.mark.parametrize("told", ["", ", class = 'credit'", ", class = 'because'", ", class = 7", ", class = {}"])
def test_the_class_that_a_policy_tells_is_one_of_few(library, told):
    library.install_answer("{ accept = false, cost = 1, reason = 'no'" + told + " }")
    library.record()
    library.take_one()
    assert library.watch().decisions == {"reject:credit" if "credit" in told else "reject:policy": 1}


def test_a_yes_has_no_other_class(library):
    library.install_answer("{ accept = true, cost = 0, reason = 'yes', class = 'credit' }")
    library.record(account=None)
    library.take_one()
    assert library.watch().decisions == {"accept:policy": 1}


def test_twins(library):
    library.credit(balance=5)
    slot = {"start": now_ms() // 1000 + 86400}
    library.record(1, **slot)
    library.record(2, **slot)
    library.take(count=2)
    assert library.watch().decisions == {"accept:policy": 1, "reject:twin": 1}


def test_accepted_by_hand(library):
    library.credit(ANN, balance=1)
    for id_, account in ((1, ANN), (2, BOB)):
        library.record(id_, account=account, email=account)
        library.record(id_, "created", now_ms() + 5, requires_confirmation="yes", account=account, email=account)
    library.take()
    assert library.watch().decisions == {"accept:hand": 1, "reject:hand": 1}


def test_observed(library):
    library.credit(balance=1)
    library.record(1)
    library.record(2, account=BOB, email=BOB)
    library.take(mode="observe")
    assert library.watch().decisions == {"accept:observe": 1, "reject:observe": 1}


def test_put_off(library):
    library.install_answer("{ defer = 60, reason = 'later' }")
    library.record()
    library.take()
    assert library.watch().decisions == {"defer:policy": 1}


def test_a_series_and_a_late_one_of_it(library):
    library.credit(balance=5)
    for id_ in (1, 2, 3):
        library.record(id_, occurrences=3)
    jobs = library.take().jobs
    for job in jobs[:2]:
        library.join(job, "weekly")
    library.client.hset(library.key("series:weekly"), "first_ms", 1)
    for name in library.retries():
        library.client.zadd(library.key("retry"), {name: 1})
    library.take()
    assert library.watch().decisions == {"accept:policy": 2}
    library.join(jobs[2], "weekly")
    library.take()
    assert library.watch().decisions == {"accept:policy": 2, "accept:series": 1}


@pytest.mark.parametrize("example", sorted(path.name for path in (LUA / "examples").glob("*.lua")))
def test_examples_tell_what_the_account_lacks(library, example):
    library.install((LUA / "examples" / example).read_text())
    library.credit(balance=5, blocked="yes")
    library.record()
    library.take_one()
    assert library.watch().decisions == {"reject:blocked": 1}


def test_the_default_policy_is_replaced_by_the_newer_one(library):
    old = DEFAULT_POLICY.replace("class = class", "")
    library.install(old, "default")
    library.client.hset(library.key("policy"), "version", 8)
    library.install(DEFAULT_POLICY, "default")
    library.credit(balance=0)
    library.record()
    library.take_one()
    assert library.watch().decisions == {"reject:credit": 1}


# ---- How long it took ----

def test_from_the_webhook_to_the_outcome(library):
    library.credit(balance=5)
    library.record(received=now_ms() - 30000, created=now_ms() - 30000)
    assert library.settle(library.take_one(), "accepted") == ["settled", "accepted"]
    assert len(library.settled) == 1 and 30000 <= library.settled[0] < 35000


def test_what_was_put_off_or_requeued_says_nothing(library):
    library.install_answer("booking.open and { defer = 1, reason = 'later' }")
    library.record(1, account=None)
    library.take()
    library.install_answer("{ accept = true, cost = 0, reason = 'yes' }")
    library.client.zadd(library.key("retry"), {"1": 1})
    library.settle(library.take_one(), "accepted")
    assert library.settled == [-1]
    library.record(2, account=None)
    library.settle(library.take_one(), "refused")
    assert library.settled != [-1]
    library.requeue(2)
    library.settle(library.take_one(), "accepted")
    assert library.settled == [-1]


def test_what_was_final_before_says_nothing(library):
    library.record(1)
    library.settle(library.take_one(), "rejected")
    library.record(1, "rejected", now_ms() + 5)
    library.record(1, "created", now_ms() + 10)
    assert library.settle(library.take_one(), "accepted", times="yes") == ["settled", "accepted"]
    assert library.settled == [-1]


# ---- Traces ----

def test_the_trace_of_the_webhook_goes_to_who_asks_for_it(library):
    library.record(1, traceparent=PARENT, account=None)
    library.record(2, account=None)
    assert library.take_one(count=1).traceparent == ""
    library.leave()
    assert [job.traceparent for job in library.take("other", traces="yes").jobs] == [PARENT, ""]


def test_the_first_webhook_begins_the_trace(library):
    library.record(1, traceparent=PARENT, account=None)
    library.record(1, "created", now_ms() + 5, traceparent=PARENT.replace("4", "5"))
    assert library.booking()["traceparent"] == PARENT


def test_times_are_told_to_who_asks_for_them(library):
    library.credit(balance=5)
    library.record(received=now_ms() - 30000, created=now_ms() - 30000)
    job = library.take_one()
    library.retry(job, calls="1700000000000 5 confirm 502 transient bad")
    library.client.zadd(library.key("retry"), {"1": 1})
    library.settle(library.take_one(), "accepted", calls="1700000000010 7 confirm 200 done ", times="yes")
    latency, flat = library.settled
    told = dict(zip(flat[::2], flat[1::2]))
    b = library.booking()
    for field in ("received_ms", "queued_ms", "decided_ms", "settled_ms", "decision", "cost", "attempts", "takes"):
        assert told.pop(field) == b[field], field
    assert told == {"requeued_ms": "0", "calls": "1700000000000 5 confirm 502 transient bad\n"
                                                 "1700000000010 7 confirm 200 done "}
