"""tollgate_record: an event becomes a fact, in any order, any number of times."""

import itertools
import time

import pytest
import redis

from library import DAY_S, KEEP_MS, now_ms

ANN = "ann@example.com"


# ---- One event ----

@pytest.mark.parametrize("kind, answer, state, place", [
    ("requested", "queued", "waiting", "queue"),
    ("created", "queued", "waiting", "queue"),
    ("rescheduled", "queued", "waiting", "queue"),
    ("payment", "recorded", "waiting", "none"),
    ("cancelled", "recorded", "cancelled", "none"),
    ("rejected", "recorded", "rejected", "none"),
])
def test_first_event_of_each_kind(library, kind, answer, state, place):
    assert library.record(1, kind) == answer
    assert (library.state(), library.place()) == (state, place)
    assert library.queue() == (["1"] if place == "queue" else [])
    assert library.stat("recorded:" + kind) == 1


def test_record_holds_what_was_told(library):
    created = now_ms() - 5000
    library.record("48213", "requested", created, uid="kWq3", account=ANN, email="a@x.org", event_type="1207",
                   start=1900000000, end=1900003600, reschedule_uid="old")
    b = library.booking("48213")
    told = {"uid": "kWq3", "account": ANN, "email": "a@x.org", "event_type": "1207", "start": "1900000000",
            "end": "1900003600", "reschedule_uid": "old", "requires_confirmation": "yes", "schema": "1",
            "first_seen": "requested", "first_ms": str(created), "requested_ms": str(created), "events": "1"}
    assert told.items() <= b.items()
    assert abs(int(b["received_ms"]) - now_ms()) < 5000
    assert library.client.get(library.key("uid:kWq3")) == "48213"


def test_payment_marks_the_event_type_as_paid(library):
    library.record(1, "payment", event_type="9")
    library.record(2, "requested", event_type="8")
    assert library.client.smembers(library.key("paid_event_types")) == {"9"}


# ---- The same event again ----

@pytest.mark.parametrize("kind", ["requested", "created", "rescheduled", "payment", "cancelled", "rejected"])
def test_the_same_event_five_times_counts_once(library, kind):
    created = now_ms()
    answers = [library.record(1, kind, created) for _ in range(5)]
    assert answers[1:] == ["known"] * 4
    assert library.booking()["events"] == "1"
    assert len(library.queue()) <= 1
    assert library.stat("recorded:" + kind) == 5


def test_two_subscriptions_with_two_createdat_name_it_once(library):
    library.record(1, created=now_ms())
    library.record(1, created=now_ms() + 40)
    assert library.queue() == ["1"]
    assert library.booking()["events"] == "1"


def test_an_older_event_of_a_kind_tells_nothing(library):
    created = now_ms()
    library.record(1, created=created)
    before = library.snapshot(stats=False)
    assert library.record(1, created=created - 1, event_type="99") == "known"
    assert library.snapshot(stats=False) == before


def test_later_events_fill_gaps_and_overwrite_nothing(library):
    created = now_ms()
    library.record(1, created=created, uid=None, event_type="7")
    library.record(1, "cancelled", created + 1, uid="late", event_type="8", cancelled_by="host@example.com")
    b = library.booking()
    assert (b["uid"], b["event_type"], b["cancelled_by"]) == ("late", "7", "host@example.com")
    assert library.client.get(library.key("uid:late")) == "1"


def test_a_field_cannot_change_what_is_the_librarys_own(library):
    library.record(1, state="accepted", place="none", attempts="7")
    b = library.booking()
    assert (b["state"], b["place"], b["attempts"]) == ("waiting", "queue", "0")


# ---- Any order ----

STORY = [("payment", 1), ("requested", 2), ("created", 3), ("cancelled", 4)]


def test_any_order_ends_the_same(library):
    """Every order of one booking's whole story: same facts, nothing charged, cancelled."""
    library.credit(balance=5)
    base = now_ms() - 1000
    orders = list(itertools.permutations(STORY))
    for number, order in enumerate(orders):
        for kind, offset in order:
            library.record(number, kind, base + offset)
    assert library.take().jobs == []
    facts = {kind + "_ms": str(base + offset) for kind, offset in STORY}
    for number, order in enumerate(orders):
        b = library.booking(number)
        assert {**facts, "first_seen": "requested", "events": "4", "state": "cancelled"}.items() <= b.items(), order
    assert library.purses() == (5, 0, 0)


@pytest.mark.parametrize("order", list(itertools.permutations([("requested", 1), ("rejected", 2)])))
def test_request_and_rejection_in_any_order(library, order):
    library.credit(balance=5)
    for kind, offset in order:
        library.record(1, kind, now_ms() + offset)
    assert library.take().jobs == []
    assert (library.state(), library.purses()) == ("rejected", (5, 0, 0))


@pytest.mark.parametrize("order", list(itertools.permutations([("requested", 1), ("created", 2)])))
def test_created_before_requested_is_still_a_request(library, order):
    base = now_ms()
    for kind, offset in order:
        library.record(1, kind, base + offset)
    b = library.booking()
    assert (b["first_seen"], b["first_ms"]) == ("requested", str(base + 1))


def test_payment_then_request_is_queued(library):
    library.record(1, "payment", now_ms() - 60000)
    assert library.take().jobs == []
    assert library.record(1, "requested") == "queued"
    assert library.booking()["first_seen"] == "requested"
    assert library.queue() == ["1"]


def test_payment_then_cancel_then_request_charges_nobody(library):
    library.credit(balance=5)
    base = now_ms()
    library.record(1, "payment", base)
    assert library.record(1, "cancelled", base + 2) == "recorded"
    library.record(1, "requested", base + 1)
    assert library.take().jobs == []
    assert (library.state(), library.purses()) == ("cancelled", (5, 0, 0))


# ---- Tombstones and final bookings ----

@pytest.mark.parametrize("withdrawn", ["cancelled", "rejected"])
def test_a_tombstone_stops_a_late_request(library, withdrawn):
    library.credit(balance=5)
    created = now_ms()
    library.record(1, withdrawn, created)
    assert library.record(1, "requested", created - 5) == "recorded"
    assert library.queue() == []
    assert library.purses() == (5, 0, 0)
    assert library.done() is not None


def test_an_older_created_on_a_tombstone_is_no_news(library):
    library.record(1, "cancelled", now_ms())
    assert library.record(1, "created", now_ms() - 10) == "recorded"
    assert library.queue() == []


def test_a_newer_created_on_a_final_booking_asks_for_a_look(library):
    library.record(1, "cancelled", now_ms() - 10)
    assert library.record(1, "created", now_ms() + 5) == "queued"
    assert library.take_one().goal == "look"


def test_requires_confirmation_of_a_cancel_event_is_the_event_types(library):
    """In confirm and cancel events the field is the event type's setting, not the booking's."""
    library.record(1, "cancelled", requires_confirmation="yes")
    assert "requires_confirmation" not in library.booking()


def test_the_echo_of_our_own_confirm_is_no_news(library):
    library.credit(balance=5)
    library.record(1, created=now_ms() - 10)
    job = library.take_one()
    assert library.record(1, "created") == "recorded"
    assert library.settle(job, "accepted") == ["settled", "accepted"]
    assert library.record(1, "created", now_ms() + 5) == "recorded"
    assert library.queue() == []
    assert library.purses() == (4, 0, 1)


def test_the_echoes_of_our_own_decline_are_no_news(library):
    library.record(1)
    job = library.take_one()
    assert library.record(1, "rejected") == "recorded"
    assert library.settle(job, "rejected") == ["settled", "rejected"]
    assert library.record(1, "cancelled") == "recorded"
    assert library.queue() == []


def test_a_guide_booking_created_again_is_no_news(library):
    """Known and first seen by BOOKING_CREATED: a repeat."""
    library.record(1, "created", now_ms() - 100)
    library.take_one()
    assert library.record(1, "created") == "recorded"
    assert library.booking().get("again", "0") == "0"


# ---- Expiry, and what outlives it ----

def test_an_open_booking_does_not_expire(library):
    library.record(1)
    assert library.pttl("booking:1") == -1
    assert library.pttl("uid:uid-1") == -1


def test_a_tombstone_expires_after_the_bookings_end(library):
    end = int(time.time()) + 10 * DAY_S
    library.record(1, "cancelled", end=end)
    expected = end * 1000 - now_ms() + KEEP_MS
    assert abs(library.pttl("booking:1") - expected) < 5000
    assert abs(library.pttl("uid:uid-1") - expected) < 5000


def test_a_tombstone_of_a_past_booking_is_kept_from_now_on(library):
    library.record(1, "cancelled", start=1000000000, end=1000003600)
    assert abs(library.pttl("booking:1") - KEEP_MS) < 5000


def test_an_unpaid_booking_expires_until_it_is_requested(library):
    """Never while open: nor the record, nor the way from its uid to it."""
    library.record(1, "payment")
    assert library.pttl("booking:1") > 0
    library.record(1, "requested")
    assert library.pttl("booking:1") == -1
    assert library.pttl("uid:uid-1") == -1


def test_a_replay_after_the_record_expired_charges_nobody(library):
    library.credit(balance=5)
    library.record(1)
    library.settle(library.take_one(), "accepted")
    assert library.client.pttl(library.key("done")) == -1
    library.client.delete(library.key("booking:1"))
    for kind in ("requested", "created", "cancelled"):
        assert library.record(1, kind, now_ms() + 10) == "known"
    assert library.queue() == []
    assert library.booking() == {}
    # The ledger is never trimmed; with the record gone there is nothing to compare it with.
    assert library.purses() == (4, 0, 1)


# ---- Arguments ----

def refuses(library, text, call):
    """The call is an error with this text, and changes nothing at all."""
    before = library.snapshot()
    with pytest.raises(redis.ResponseError, match=text):
        call()
    assert library.snapshot() == before


@pytest.mark.parametrize("id_", ["", "a b", "a\n", "ä", "a/b", "{a}", "a\0b", "x" * 81, "*"])
def test_a_bad_booking_id_is_refused(library, id_):
    refuses(library, "booking ID must match", lambda: library.record(id_))


@pytest.mark.parametrize("id_", ["x" * 80, "48213:Seat_1.a-b", "0"])
def test_every_allowed_booking_id_is_taken(library, id_):
    assert library.record(id_) == "queued"
    assert library.take_one().id == id_


@pytest.mark.parametrize("kind", ["", "REQUESTED", "paid", "observed", "__index"])
def test_an_unknown_kind_is_refused(library, kind):
    refuses(library, "unknown kind of event", lambda: library.record(1, kind))


GARBAGE = ["", "soon", "-1", "1.5", "nan", "inf", "1e400", "99999999999999999999"]


@pytest.mark.parametrize("garbage", GARBAGE)
def test_garbage_times_are_refused(library, garbage):
    refuses(library, "createdAt must be a whole number", lambda: library.record(1, created=garbage))
    refuses(library, "keep_ms must be a whole number", lambda: library.record(1, keep_ms=garbage))


@pytest.mark.parametrize("kind", ["requested", "cancelled"])
@pytest.mark.parametrize("field", ["start", "end"])
@pytest.mark.parametrize("garbage", ["", "soon", "1.5", "-1", "nan"])
def test_a_garbage_start_or_end_is_refused(library, kind, field, garbage):
    """A function checks everything before its first write; later steps compute with these."""
    refuses(library, field, lambda: library.record(1, kind, **{field: garbage}))


@pytest.mark.parametrize("args", [(), ("1",), ("1", "requested"), ("1", "requested", "5")])
def test_missing_arguments_are_refused(library, args):
    refuses(library, "", lambda: library.call("record", *args))


@pytest.mark.parametrize("function", ["record", "take", "settle", "retry", "give_back", "leave", "policy"])
@pytest.mark.parametrize("key", ["queue", "{a}:booking", "{a}queue", "{}:queue", "a{b}:queue", "{{a}}:queue",
                                 "{a}:queue:", "{a}:queues"])
def test_a_wrong_first_key_is_refused(library, function, key):
    refuses(library, "KEYS.1. must be", lambda: library.client.fcall("tollgate_" + function, 1, key, "1", "2"))


@pytest.mark.parametrize("function", ["record", "take", "settle", "retry", "give_back", "leave", "policy"])
def test_no_key_at_all_is_refused(library, function):
    refuses(library, "KEYS.1. must be", lambda: library.client.fcall("tollgate_" + function, 0, "1", "2"))


def test_version_is_a_number(library):
    assert library.client.fcall("tollgate_version", 0) >= 1
    assert library.client.execute_command("FCALL_RO", "tollgate_version", 0) >= 1
