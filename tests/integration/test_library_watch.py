"""How everything stands, in numbers (overview.lua), and whether the ledgers are in order (audit.lua)."""

import pytest

from gates import NAME
from library import DEFAULT_POLICY, now_ms

ANN, BOB = "ann@example.com", "bob@example.com"
GATE = {"gate": NAME, "limit": 100}


def waited(library, id_, seconds):
    """As if it had come into the queue so long ago."""
    library.set_booking(id_, queued_ms=now_ms() - 1000 * seconds)


# ---- Numbers ----

def test_an_empty_gate(library):
    seen = library.watch()
    assert seen[1:10] == (0,) * 9
    assert seen.audit_age in (-1, 0) and seen.gate == [] and seen.news == {}


def test_what_waits_and_for_how_long(library):
    library.credit(balance=5)
    library.record(1)
    library.record(2)
    waited(library, 1, 100)
    assert library.watch()[1:3] == (2, 100)
    library.take_one(count=1)
    assert library.watch()[1:3] == (1, 0)


def test_a_booking_waits_since_it_came_into_the_queue_last(library):
    """Not since it was heard of: the member who cancels next month asks for nothing before."""
    library.credit(balance=5)
    library.record(1)
    library.settle(library.take_one(), "accepted")
    waited(library, 1, 86400)
    library.set_booking(1, received_ms=now_ms() - 86400000)
    library.record(1, "cancelled", now_ms() + 5)
    assert library.watch()[1:3] == (1, 0)


@pytest.mark.parametrize("way", ["given back", "requeued", "woken"])
def test_it_begins_to_wait_anew(library, way):
    library.credit(balance=5)
    library.record(1)
    waited(library, 1, 100)
    job = library.take_one()
    if way == "given back":
        library.give_back(job)
    elif way == "requeued":
        library.settle(job, "refused")
        assert library.dead() == ["1"]
        library.requeue(1)
    else:
        library.retry(job, 100000)
        library.record(1, "cancelled", now_ms() + 5)
    assert library.watch()[1:3] == (1, 0)


def test_a_name_that_was_pushed_by_hand_has_no_age(bare_library):
    bare_library.push("77")
    assert bare_library.watch()[1:3] == (1, 0)
    bare_library.client.set(bare_library.key("booking:77"), "something else")
    assert bare_library.watch()[1:3] == (1, 0)


def test_a_record_of_an_older_library_waits_since_it_was_heard_of(library):
    library.record(1)
    library.client.hdel(library.key("booking:1"), "queued_ms")
    library.set_booking(1, received_ms=now_ms() - 5000)
    assert library.watch().waiting_age == 5


def test_retries_and_those_that_are_due(library):
    library.credit(balance=5)
    library.record(1)
    library.record(2)
    first, second = library.take().jobs
    library.retry(first, 100000)
    library.retry(second, 200000)
    assert library.watch()[4:6] == (2, 0)
    library.client.zadd(library.key("retry"), {"1": now_ms() - 7000})
    assert library.watch()[4:6] == (2, 7)


def test_dead_drift_pause_and_workers(library):
    library.credit(balance=5)
    library.record(1)
    library.settle(library.take_one(), "refused")
    library.client.hset(library.key("drift"), 9, "gone from Cal.com")
    library.lease("other")
    library.client.zadd(library.key("workers"), {"late": now_ms() - 1})
    library.pause()
    seen = library.watch()
    assert (seen.dead, seen.drift, seen.paused, seen.workers) == (1, 1, 1, 2)


def test_how_the_gate_to_calcom_stands(library):
    library.credit(balance=5)
    library.record(1)
    job = library.take_one(**GATE)
    assert library.watch(**GATE).gate == library.take(**GATE).gate
    assert library.watch(**GATE).gate[3] != "0"
    library.give_back(job)


# ---- Ledgers ----

def test_what_the_library_does_is_in_order(library):
    library.grant(ANN, 30)
    library.debit(ANN, 1)
    library.terms(cost=2)
    for id_ in range(1, 5):
        library.record(id_)
    jobs = library.take().jobs
    library.settle(jobs[0], "accepted")
    library.settle(jobs[1], "gone")
    library.settle(jobs[2], "accepted")
    library.record(3, "cancelled", now_ms() + 5)
    library.record(11, reschedule_uid="uid-1")  # takes over what was charged
    library.record(14, reschedule_uid="uid-4")  # and what is held
    library.take()
    library.credit(ANN, balance=50, spent=7)
    library.grant(ANN, 1)
    library.record(20, account=BOB, event_type="77")
    library.settle(library.take_one(), "accepted")
    kinds = {kind for kind, _ in library.movements(ANN)}
    assert kinds >= {"grant", "adjust", "hold", "capture", "release", "refund", "move"}
    assert {kind for kind, _ in library.movements(BOB)} == {"waive"}
    assert library.audit() == {}
    assert library.watch().unbalanced == 0


def test_a_balance_that_was_set_by_hand_is_fine(library):
    library.grant(ANN, 5)
    library.credit(ANN, balance=50)
    assert library.audit() == {}


def spoil_held(library):
    library.client.hset(library.key("credit:" + ANN), "held", 3)
    return "held is 3, the ledger says 0"


def spoil_entry(library):
    library.client.xadd(library.key("ledger:" + ANN), {"kind": "capture", "amount": 1, "balance": 5, "held": 0, "spent": 1})
    return "does not follow from the one before"


def spoil_kind(library):
    library.client.xadd(library.key("ledger:" + ANN), {"kind": "gift", "amount": 1, "balance": 6, "held": 0, "spent": 0})
    return "(gift 1) does not follow from the one before"


def spoil_amount(library):
    library.client.xadd(library.key("ledger:" + ANN), {"kind": "grant", "balance": 6, "held": 0, "spent": 0})
    return "(grant nil) does not follow from the one before"


def spoil_older_entry(library):
    library.client.xadd(library.key("ledger:" + ANN), {"kind": "grant", "amount": 1, "balance": "?", "held": 0, "spent": 0})
    library.client.xadd(library.key("ledger:" + ANN), {"kind": "grant", "amount": 1, "balance": 6, "held": 0, "spent": 0})
    return "cannot be read"


def spoil_purse(library):
    library.client.hset(library.key("credit:" + ANN), "balance", "many")
    return "not a whole number"


def spoil_first_entry(library):
    library.client.xtrim(library.key("ledger:" + ANN), maxlen=1, approximate=False)
    return "does not follow from the one before"


@pytest.mark.parametrize("spoil", [spoil_held, spoil_entry, spoil_kind, spoil_amount, spoil_older_entry, spoil_purse,
                                   spoil_first_entry])
def test_what_is_wrong_is_told_once_and_listed_until_it_is_mended(bare_library, spoil):
    library = bare_library
    library.grant(ANN, 4)
    library.grant(ANN, 1)
    library.grant(BOB, 5)
    assert library.audit() == {}
    before = library.client.dump(library.key("ledger:" + ANN)), library.client.hgetall(library.key("credit:" + ANN))
    text = spoil(library)
    library.client.hdel(library.key("audit"), "next_ms", "cursor")
    told = {}
    for _ in range(2):
        library.client.hdel(library.key("audit"), "done_ms")
        while not library.client.hexists(library.key("audit"), "done_ms"):
            library.client.hdel(library.key("audit"), "next_ms")
            news = library.watch().news
            assert not set(news) & set(told), "it is told once"
            told.update(news)
    assert list(told) == [ANN] and text in told[ANN]
    assert library.client.hgetall(library.key("unbalanced")) == told
    assert library.watch().unbalanced == 1
    library.client.delete(library.key("ledger:" + ANN))
    library.client.restore(library.key("ledger:" + ANN), 0, before[0])
    library.client.hset(library.key("credit:" + ANN), mapping=before[1])
    library.client.hdel(library.key("audit"), "next_ms")
    assert library.watch().unbalanced == 0, "what was wrong is looked at again in each call"


def test_an_account_of_which_nothing_is_left_is_forgotten(bare_library):
    bare_library.client.hset(bare_library.key("unbalanced"), ANN, "held is 3, the ledger says 1")
    assert bare_library.audit() == {}


def test_only_the_newest_entries_are_read(bare_library):
    bare_library.client.xadd(bare_library.key("ledger:" + ANN), {"kind": "nonsense", "balance": 1, "held": 0, "spent": 0})
    bare_library.client.hset(bare_library.key("credit:" + ANN), "balance", 1)
    for _ in range(18):
        bare_library.grant(ANN, 1)
    assert list(bare_library.audit()) == [ANN], "19 entries"
    for _ in range(2):
        bare_library.grant(ANN, 1)
    assert bare_library.audit() == {}, "21 entries"


def test_one_share_in_five_seconds_whoever_asks(bare_library):
    bare_library.grant(ANN, 1)
    bare_library.audit()
    state = bare_library.client.hgetall(bare_library.key("audit"))
    assert 4000 < int(state["next_ms"]) - now_ms() <= 5000
    bare_library.watch()
    assert bare_library.client.hgetall(bare_library.key("audit")) == state


def test_a_share_is_bounded(bare_library):
    names = [f"m{number}@example.com" for number in range(500)]
    for name in names:
        bare_library.client.hset(bare_library.key("credit:" + name), "held", 1)  # each one is wrong
        bare_library.client.xadd(bare_library.key("ledger:" + name), {"balance": 0, "held": 0, "spent": 0})
    calls, found = 0, 0
    bare_library.client.delete(bare_library.key("audit"))
    while not bare_library.client.hexists(bare_library.key("audit"), "done_ms"):
        bare_library.client.hdel(bare_library.key("audit"), "next_ms")
        news = bare_library.watch().news
        assert len(news) < 250, "50, and a page of 100 keys (of which a rehashing table may give some more)"
        calls, found = calls + 1, found + len(news)
    assert found == 500 and calls > 3


def test_it_goes_on_where_redis_is_full(shared_redis, bare_library):
    bare_library.install(DEFAULT_POLICY, "default")
    shared_redis.client().config_set("maxmemory", 1)
    try:
        assert bare_library.watch().waiting == 0
    finally:
        shared_redis.client().config_set("maxmemory", 0)
