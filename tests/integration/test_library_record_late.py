"""Events that waited in a spool: several in one call, in their order, each with the time of its receipt."""

import pytest
import redis

from library import DAY_S, KEEP_MS, now_ms

ANN = "ann@example.com"


def late(id=1, kind="requested", created=None, received=None, **fields):
    """One event's arguments, with their number in front."""
    created = now_ms() if created is None else created
    told = {"uid": f"uid-{id}", "account": ANN, "email": ANN, "event_type": 7, "start": now_ms() // 1000 + DAY_S,
            **({"received": received} if received is not None else {}), **fields}
    texts = [id, kind, created, *(part for pair in told.items() for part in pair)]
    return [len(texts), *texts]


def record_many(library, *events, keep_ms=KEEP_MS):
    return library.call("record_many", keep_ms, *(part for event in events for part in event))


def test_no_event_at_all(library):
    assert record_many(library) == [0, ""]


def test_they_are_recorded_in_their_order(library):
    assert record_many(library, late(3), late(1), late(2), late(1, "cancelled")) == [4, ""]
    assert library.queue() == ["3", "1", "2"]
    assert library.booking(1)["events"] == "2"
    assert library.stat("recorded:requested") == 3


def test_again_is_as_well(library):
    events = [late(1, created=now_ms() - 9), late(2, created=now_ms() - 8)]
    assert record_many(library, *events) == record_many(library, *events) == [2, ""]
    assert library.queue() == ["1", "2"]
    assert library.booking(1)["events"] == "1"


def test_it_ends_before_the_first_that_is_refused(bare_library):
    library = bare_library
    library.client.set(library.key("booking:2"), "mine")
    done, error = record_many(library, late(1), late(2), late(3))
    assert done == 1 and "booking:2 is no hash" in error
    assert library.queue() == ["1"]
    assert library.booking(3) == {}


@pytest.mark.parametrize("event, tells", [
    (late(1, "odd"), "unknown kind"), (late("a b"), "booking ID"), (late(1, created="soon"), "createdAt"),
    (late(1, start="soon"), "start"), (late(1, received="soon"), "received"), ([1, 1], "createdAt"),
    (late(1, seat="s"), "ID of a seat"), ([0], "createdAt"), ([3, "", "requested", 5], "booking ID"),
])
def test_an_event_that_is_wrong_is_told_and_nothing_of_it_is_done(bare_library, event, tells):
    done, error = record_many(bare_library, late(7), event)
    assert done == 1 and tells in error
    assert bare_library.queue() == ["7"]


def test_a_key_of_another_kind_is_told(bare_library):
    library = bare_library
    library.client.set(library.key("queue"), "mine")
    done, error = record_many(library, late(1))
    assert done == 0 and error.startswith("WRONGTYPE")


def test_a_record_that_is_broken_is_told(bare_library):
    library = bare_library
    library.client.hset(library.key("booking:2"), mapping={"state": "waiting", "events": "many"})
    done, error = record_many(library, late(1), late(2), late(3))
    assert done == 1 and "attempt to perform arithmetic" in error


def test_what_is_about_redis_is_no_answer_about_one_event(bare_library, shared_redis):
    """Else every event in turn would be put aside."""
    library = bare_library
    library.client.execute_command("ACL", "SETUSER", "narrow", "on", ">pw", "+fcall", "+auth", "+hello", "+client",
                                   "+time", "+exists", "+hgetall", "+hexists", "~*")
    narrow = shared_redis.client(username="narrow", password="pw")
    with pytest.raises(redis.RedisError, match="(?i)no permission|NOPERM|can't run this command"):
        narrow.fcall("tollgate_record_many", 1, library.key("queue"), KEEP_MS, *late(1))
    assert library.queue() == []


def test_wrong_arguments_are_an_error(bare_library):
    with pytest.raises(redis.ResponseError, match="keep_ms"):
        record_many(bare_library, late(1), keep_ms="long")
    with pytest.raises(redis.ResponseError, match="number of texts"):
        bare_library.call("record_many", KEEP_MS, "many", 1)


# ---- When it was received ----

def received(library, id=1):
    return int(library.booking(id)["received_ms"])


def test_the_receipt_is_the_one_told(library):
    then = now_ms() - 60000
    record_many(library, late(1, created=then - 300, received=then))
    assert received(library) == then


def test_a_receipt_to_come_is_now(library):
    record_many(library, late(1, received=now_ms() + 3600000))
    assert abs(received(library) - now_ms()) < 5000


def test_a_receipt_is_not_long_before_cal_com_sent_it(library):
    """Clocks differ a little; one that is hours behind must not let a booking be given up early."""
    created = now_ms() - 3600000
    record_many(library, late(1, created=created, received=created - 30000),
                late(2, created=created, received=created - DAY_S * 1000))
    assert received(library, 1) == created - 30000
    assert received(library, 2) == created - 60000


def test_it_is_not_kept_as_a_field(library):
    record_many(library, late(1, received=now_ms() - 500))
    assert "received" not in library.booking(1)


def test_a_late_booking_is_not_fresh(library):
    library.credit(ANN, balance=5)
    record_many(library, late(1, received=now_ms() - 5000, created=now_ms() - 5000), late(2, received=now_ms()))
    jobs = {job.id: job for job in library.take().jobs}
    assert (jobs["1"].fresh, jobs["2"].fresh) == (False, True)


def test_a_cancellation_in_time_that_waited_is_refunded(library):
    """The notice counts from when it reached us, not from when Redis was back."""
    library.credit(ANN, balance=5)
    start = now_ms() // 1000 + 24 * 3600 - 60  # a day was left two minutes ago
    library.record(1, "requested", start=start, account=ANN)
    library.settle(library.take_one(), "accepted")
    assert int(library.client.hget(library.key("credit:" + ANN), "balance")) == 4
    then = now_ms() - 120000
    record_many(library, late(1, "cancelled", created=then, received=then, cancelled_by=ANN, start=start))
    library.take()
    assert int(library.client.hget(library.key("credit:" + ANN), "balance")) == 5
