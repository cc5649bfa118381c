"""What becomes of a webhook: answers, what Redis then holds, signatures, secrets, order, namespaces."""

import hashlib
import json
import threading

import pytest

import harness
from harness import SAMPLES, SECRET, sample, sign, to_bytes
from wire import Door, request, webhook

ONE_TIME_PASSWORD = "6d0f6f9e-6a0b-4d67-9d5f-0f6a1c1f7c55"


def signatures():
    lines = (SAMPLES / "SIGNATURES.txt").read_text().splitlines()
    return {name[:-len(".json")]: (int(size), signature) for name, size, signature in
            (line.split() for line in lines if not line.startswith("#"))}


@pytest.fixture
def door(house):
    return Door(house)


def everything(client):
    """All of Redis that a client can read, as one text."""
    readers = {"string": client.get, "hash": client.hgetall, "set": client.smembers,
               "list": lambda key: client.lrange(key, 0, -1), "stream": client.xrange,
               "zset": lambda key: client.zrange(key, 0, -1, withscores=True)}
    return "\n".join(f"{key} {readers[client.type(key)](key)}" for key in client.scan_iter())


def keys(door):
    return {key.split(":", 1)[1] for key in door.client.scan_iter()}


# ---- Samples: each body as Cal.com sends it, as the first thing that an empty gate hears ----

JONAS = {"schema": "1", "uid": "kWq3uXfT7hPn2sVb9dRmZa", "account": "jonas.weber@example.com",
         "email": "jonas.weber@example.com", "event_type": "1207", "start": "1773324000", "end": "1773327600"}
MOVED = {**JONAS, "uid": "mB6rTz1QwEy9uHk3vNc7Lp", "start": "1773928800", "end": "1773932400",
         "reschedule_uid": JONAS["uid"]}
WAITS = {"state": "waiting", "place": "queue", "events": "1"}

# name → answer, booking, what its record must hold
QUEUED = {
    "BOOKING_REQUESTED": ("48213", {**JONAS, **WAITS, "first_seen": "requested", "requires_confirmation": "yes",
                                    "requested_ms": "1773044130412"}),
    "BOOKING_CREATED": ("48213", {**JONAS, **WAITS, "first_seen": "created", "requires_confirmation": "yes",
                                  "created_ms": "1773044134907"}),
    "BOOKING_CREATED.no_confirmation": ("48214", {**WAITS, "uid": "pV7tYc4LmQx8nKe2sJd5Hf", "event_type": "1207",
                                                  "first_seen": "created", "start": "1773392400"}),
    "BOOKING_REQUESTED.reschedule": ("48260", {**MOVED, **WAITS, "first_seen": "requested",
                                               "requires_confirmation": "yes"}),
    "BOOKING_RESCHEDULED": ("48260", {**MOVED, **WAITS, "first_seen": "rescheduled"}),
    "GUIDE.BOOKING_CREATED": ("91", {**WAITS, "uid": "bFJeNb2uX8ANpT3JL5EfXw", "event_type": "7",
                                     "first_seen": "created", "start": "1685007000", "end": "1685010600"}),
}
RECORDED = {
    "BOOKING_REJECTED": ("48213", {"state": "rejected", "place": "none", "rejected_ms": "1773044135120"}),
    "BOOKING_CANCELLED": ("48213", {"state": "cancelled", "place": "none", "cancelled_ms": "1773162131550",
                                    "cancelled_by": "jonas.weber@example.com"}),
    "BOOKING_PAYMENT_INITIATED": ("48213", {"state": "waiting", "place": "none", "payment_ms": "1773044130412",
                                            "account": "jonas.weber@example.com"}),
}
IGNORED = ["BOOKING_PAID", "MEETING_STARTED", "PING"]


def test_every_sample_is_covered_and_signed():
    covered = {*QUEUED, *RECORDED, *IGNORED, "BROKEN_TEMPLATE"}
    assert covered == set(signatures()) == {path.name[:-len(".json")] for path in SAMPLES.glob("*.json")}
    for name, (size, signature) in signatures().items():
        assert (len(sample(name)), sign(sample(name))) == (size, signature)


def send_sample(door, name):
    return door.ask(sample(name), headers={"X-Cal-Signature-256": signatures()[name][1]}).status


def assert_holds(record, wanted):
    assert {field: record.get(field) for field in wanted} == wanted


@pytest.mark.parametrize("name", QUEUED)
def test_a_booking_that_waits_for_a_decision_is_queued(door, name):
    id, wanted = QUEUED[name]
    assert send_sample(door, name) == 202
    assert door.queue() == [id]
    assert_holds(door.booking(id), wanted)
    assert door.client.get(door.key("uid:" + wanted["uid"])) == id
    assert door.client.ttl(door.key("booking:" + id)) == -1, "a record must not expire while it is open"
    assert ("requires_confirmation" in door.booking(id)) == ("requires_confirmation" in wanted)
    assert door.count('webhooks_total{result="queued"}') == 1


@pytest.mark.parametrize("name", RECORDED)
def test_what_asks_for_nothing_is_recorded_only(door, name):
    id, wanted = RECORDED[name]
    assert send_sample(door, name) == 200
    assert door.queue() == []
    assert_holds(door.booking(id), wanted)
    assert door.client.ttl(door.key("booking:" + id)) > 29 * 86400
    assert door.client.smembers(door.key("paid_event_types")) == ({"1207"} if "PAYMENT" in name else set())
    assert door.count('webhooks_total{result="no_work"}') == 1


@pytest.mark.parametrize("name", IGNORED)
def test_what_tells_nothing_of_an_approval_is_taken_and_forgotten(door, name):
    assert send_sample(door, name) == 200
    assert keys(door) == set()
    metric = "ping" if name == "PING" else "ignored_trigger"
    assert door.count(f'webhooks_total{{result="{metric}"}}') == 1


def assert_malformed(door, body, reason):
    """400, and a note that names the body by its hash only."""
    noted = door.client.xlen(door.key("malformed"))
    assert door.ask(body).status == 400
    entries = harness.wait_for(lambda: door.client.xrange(door.key("malformed"))[noted:], what="a note")
    sha256 = hashlib.sha256(body).hexdigest()
    assert [fields for _, fields in entries] == [
        {"reason": entries[0][1]["reason"], "size": str(len(body)), "sha256": sha256}]
    assert reason in entries[0][1]["reason"]
    line = door.ingest.wait_log("webhook not understood", sha256=sha256)
    assert (line["level"], line["size"]) == ("warn", str(len(body)))
    assert reason in line["reason"]


def test_a_broken_template_is_told_apart(door):
    assert signatures()["BROKEN_TEMPLATE"][1] == sign(b"false")
    assert_malformed(door, sample("BROKEN_TEMPLATE"), "custom template broke")
    assert keys(door) == {"malformed"}


def test_malformed_bodies_are_refused_by_what_is_missing(door):
    whole = json.loads(sample("BOOKING_REQUESTED"))
    payload = whole["payload"]
    without_email = {**payload, "responses": {}, "attendees": []}
    for body, reason in [
            (b"", "not JSON"), (b"{", "not JSON"), (b"hello", "not JSON"), (b"\xff\xfe{}", "not UTF-8"),
            (b"null", "triggerEvent is missing"), (b"[]", "triggerEvent is missing"),
            (b"{}", "triggerEvent is missing"), (b'"x"', "triggerEvent is missing"),
            (sample("BOOKING_REQUESTED") + b"x", "not JSON"),
            (sample("BOOKING_REQUESTED")[:-1], "not JSON"),
            (b'{"triggerEvent":"BOOKING_REQUESTED","a":' + b"[" * 40 + b"]" * 40 + b"}", "nested too deeply"),
            (sample("BOOKING_REQUESTED", triggerEvent=5), "triggerEvent is missing"),
            (sample("BOOKING_REQUESTED", createdAt="yesterday"), "createdAt"),
            (sample("BOOKING_REQUESTED", payload="none"), "bookingId"),
            (sample("BOOKING_REQUESTED", **{"payload.bookingId": "48213"}), "bookingId"),
            (sample("BOOKING_REQUESTED", **{"payload.bookingId": -1}), "bookingId"),
            (sample("BOOKING_REQUESTED", **{"payload.uid": None}), "uid"),
            (sample("BOOKING_REQUESTED", **{"payload.uid": "two words"}), "uid"),
            (sample("BOOKING_REQUESTED", **{"payload.uid": "u" * 65}), "uid"),
            (sample("BOOKING_REQUESTED", **{"payload.eventTypeId": None}), "eventTypeId"),
            (sample("BOOKING_REQUESTED", **{"payload.startTime": "noon"}), "startTime"),
            (to_bytes({**whole, "payload": without_email}), "email")]:
        assert_malformed(door, body, reason)
    assert keys(door) == {"malformed"}


def test_a_flat_template_is_read_like_the_envelope(door):
    whole = json.loads(sample("BOOKING_REQUESTED"))
    payload = whole.pop("payload")
    assert door.ask(to_bytes({**payload, **whole})).status == 202
    assert_holds(door.booking(48213), QUEUED["BOOKING_REQUESTED"][1])


@pytest.mark.parametrize("trigger", ["MEETING_ENDED", "FORM_SUBMITTED", "OOO_CREATED", "", "ping",
                                     "BOOKING_REQUESTED ", "x" * 5000])
def test_an_unknown_trigger_is_taken_and_forgotten(door, trigger):
    assert door.ask(sample("BOOKING_REQUESTED", triggerEvent=trigger)).status == 200
    assert keys(door) == set()


# ---- Again, and in other orders ----

def test_the_same_webhook_five_times_is_queued_once(door):
    assert [send_sample(door, "BOOKING_REQUESTED") for _ in range(5)] == [202, 200, 200, 200, 200]
    assert door.queue() == ["48213"]
    assert door.booking(48213)["events"] == "1"


def test_the_same_webhook_at_once_is_queued_once(door):
    answers = []
    start = threading.Barrier(8)

    def send():
        with door.wire() as wire:
            start.wait()
            answers.append(wire.ask(request(webhook(7))).status)

    threads = [threading.Thread(target=send) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(answers) == [200] * 7 + [202]
    assert door.queue() == ["7"]


def test_a_request_after_its_cancellation_is_not_queued(door):
    assert [send_sample(door, name) for name in ("BOOKING_CANCELLED", "BOOKING_REQUESTED")] == [200, 200]
    assert door.queue() == []
    assert door.booking(48213)["state"] == "cancelled"


def test_a_payment_that_became_a_request_is_queued(door):
    assert [send_sample(door, name) for name in ("BOOKING_PAYMENT_INITIATED", "BOOKING_REQUESTED")] == [200, 202]
    assert door.queue() == ["48213"]
    assert door.client.ttl(door.key("booking:48213")) == -1


def test_bookings_are_queued_in_the_order_of_their_answers(door):
    wires = [door.wire() for _ in range(6)]
    for id in range(1, 121):
        assert wires[id % 6].ask(request(webhook(id))).status == 202
    for wire in wires:
        wire.close()
    assert door.queue() == [str(id) for id in range(1, 121)]


# ---- Which bookings this gate decides ----

def test_only_the_listed_event_types_are_recorded(house):
    door = Door(house, TOLLGATE_EVENT_TYPES="7,1208")
    assert send_sample(door, "BOOKING_REQUESTED") == 200
    assert send_sample(door, "BOOKING_PAYMENT_INITIATED") == 200
    assert keys(door) == set()
    assert send_sample(door, "GUIDE.BOOKING_CREATED") == 202
    assert door.ask(webhook(5, **{"payload.eventTypeId": 1208})).status == 202
    assert door.ask(webhook(6, **{"payload.eventTypeId": 120})).status == 200
    assert door.queue() == ["91", "5"]
    assert door.count('webhooks_total{result="other_event_type"}') == 3


def test_a_seat_has_a_name_of_its_own(door):
    seat = {"payload.seatsPerTimeSlot": 4, "payload.attendeeSeatId": "0c9c8d1e-7b55-4d8a-a7de-52d0"}
    assert door.ask(webhook(9, **seat)).status == 202
    assert door.queue() == ["9:0c9c8d1e-7b55-4d8a-a7de-52d0"]
    assert door.ask(webhook(9, **{**seat, "payload.attendeeSeatId": "x y"})).status == 400
    assert door.ask(webhook(9, **{**seat, "payload.attendeeSeatId": "x" * 100})).status == 400


# ---- Signatures ----

def test_a_bad_signature_is_401_and_leaves_nothing(door):
    body = sample("BOOKING_REQUESTED")
    good = sign(body)
    unsigned = [None, "no-secret-provided"]
    wrong = ["", "0" * 64, good.upper(), "sha256=" + good, good[:-1], good + "0", good[:-1] + "g",
             sign(body, "another"), sign(body + b"\n"), sign(body, ""), sign(body, SECRET + ","),
             "no-secret-provided ," + good, "NO-SECRET-PROVIDED", "\xe4" * 64]
    for signature in unsigned + wrong:
        answer = door.ask(body, headers={"X-Cal-Signature-256": signature})
        assert answer.status == 401, signature
    assert door.ask(body[:-1] + b" ", headers={"X-Cal-Signature-256": good}).status == 401
    assert keys(door) == set()
    assert door.count('webhooks_total{result="unsigned"}') == len(unsigned)
    assert door.count('webhooks_total{result="wrong_signature"}') == len(wrong) + 1
    assert door.ask(body).status == 202


def test_the_signature_is_checked_before_the_body_is_read(door):
    assert door.ask(b"false", secret=None).status == 401
    assert door.ask(sample("PING"), secret="another").status == 401
    assert keys(door) == set()


@pytest.mark.parametrize("name", ["X-Cal-Signature-256", "x-cal-signature-256", "X-CAL-SIGNATURE-256"])
def test_header_names_have_no_case(door, name):
    body = sample("BOOKING_REQUESTED")
    assert door.ask(body, secret=None, headers={name: sign(body)}).status == 202


def test_each_of_several_secrets_is_good(house):
    door = Door(house, WEBHOOK_SECRET="old secret,n3w=ß,third")
    for id, secret in enumerate(["old secret", "n3w=ß", "third"], 1):
        assert door.ask(webhook(id), secret=secret).status == 202
    for secret in ["old secret,n3w=ß,third", "old", "", "fourth", "old secret,n3w=ß"]:
        assert door.ask(webhook(9), secret=secret).status == 401
    assert door.queue() == ["1", "2", "3"]


def test_a_secret_is_used_byte_for_byte(house):
    """Neither hex nor base64 is decoded, and nothing inside is trimmed."""
    for secret in ["a1b2c3d4", "aGVsbG8=", "a  b\tc", "k" * 200]:
        door = Door(house, WEBHOOK_SECRET=secret)
        assert door.ask(webhook(1), secret=secret).status == 202


def test_unsigned_webhooks_are_taken_when_asked_for(house):
    door = Door(house, TOLLGATE_ALLOW_UNSIGNED="yes", WEBHOOK_SECRET="")
    assert door.ask(webhook(1), secret=None).status == 202
    assert door.ask(webhook(2), headers={"X-Cal-Signature-256": "no-secret-provided"}).status == 202
    assert door.ask(webhook(3), secret="whatever").status == 202, "there is nothing to check it with"
    assert door.ask(b"false", secret=None).status == 400
    assert door.ingest.log_lines(level="warn")[0]["msg"].startswith("TOLLGATE_ALLOW_UNSIGNED=yes")


def test_a_signature_is_checked_even_when_none_is_needed(house):
    door = Door(house, TOLLGATE_ALLOW_UNSIGNED="yes")
    assert door.ask(webhook(1), secret=None).status == 202
    assert door.ask(webhook(2)).status == 202
    assert door.ask(webhook(3), secret="wrong").status == 401


CONTENT_TYPES = ["application/x-www-form-urlencoded", None, "", "text/html", "image/png; charset=utf-16", ";;;",
                 "multipart/form-data; boundary=x", "application/json; charset=utf-8"]


def test_the_content_type_never_matters(door):
    for id, content_type in enumerate(CONTENT_TYPES, 1):
        assert door.ask(webhook(id), headers={"Content-Type": content_type}).status == 202, content_type
    assert len(door.queue()) == len(CONTENT_TYPES)


# ---- What must never be kept ----

def test_neither_one_time_password_nor_secret_is_kept(house):
    door = Door(house, TOLLGATE_LOG_LEVEL="debug")
    bodies = [sample(name) for name in signatures()]
    bodies.append(sample("BOOKING_REQUESTED", **{"payload.uid": None}))
    bodies.append(sample("BOOKING_REQUESTED", triggerEvent="UNHEARD_OF"))
    bodies.append(sample("BOOKING_REQUESTED")[:-1])
    for body in bodies:
        door.ask(body)
        door.ask(body, secret="wrong")
        door.ask(body, headers={"X-Cal-Signature-256": "no-secret-provided"})
    harness.wait_for(lambda: door.client.xlen(door.key("malformed")) == 3, what="notes of what was not understood")
    seen = {"log": door.ingest.log_text(), "metrics": door.ingest.get("/metrics").text}
    kept = {**seen, "redis": everything(door.client)}
    assert "48213" in kept["redis"] and "48213" in kept["log"], "nothing was looked at"
    assert "level=debug" in kept["log"]
    for place, text in kept.items():
        for word in [ONE_TIME_PASSWORD, "oneTimePassword", SECRET]:
            assert word not in text, f"{word} is in {place}"
        for body in bodies:
            assert sign(body) not in text, f"a signature is in {place}"
    for place, text in seen.items():
        for word in ["Kapitel 7", "Jonas Weber", "mia.guest", "jonas.weber@example.com", "BC-0042"]:
            assert word not in text, f"{word} is in {place}"


# ---- Many ----

def test_2000_webhooks_over_32_connections_are_all_recorded(house):
    door = Door(house)
    other = Door(house, server=door.redis, namespace="other")
    answers = []

    def send(first):
        with door.wire() as wire:
            answers.extend(wire.ask(request(webhook(id))).status for id in range(first, 2001, 32))

    threads = [threading.Thread(target=send, args=(first,)) for first in range(1, 33)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert answers == [202] * 2000
    assert door.client.llen(door.key("queue")) == 2000
    assert set(door.queue()) == {str(id) for id in range(1, 2001)}
    assert door.client.hget(door.key("stats"), "recorded:requested") == "2000"
    assert door.count('webhooks_total{result="queued"}') == 2000

    # One Redis, two namespaces: the same IDs, and neither sees the other's.
    assert list(door.client.scan_iter(match="{other}*")) == []
    assert other.ask(webhook(5, **{"payload.uid": "elsewhere"})).status == 202
    assert other.queue() == ["5"]
    assert (other.booking(5)["uid"], door.booking(5)["uid"]) == ("elsewhere", "uid-5")
    assert door.client.llen(door.key("queue")) == 2000
    assert all(key.startswith(("{tollgate}:", "{other}:")) for key in door.client.scan_iter())
