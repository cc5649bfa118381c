"""What a webhook tells of a booking beside who, what and when: seats, series, payment, answers, and the account."""

import json

import pytest

from harness import sample, to_bytes
from wire import Door, webhook

NEW = ("seat", "seats", "attendees", "occurrences", "paid", "answers", "metadata")
LIMIT = 8192


@pytest.fixture
def door(house):
    door = Door(house)
    # Of answers and metadata only what the policy reads is kept.
    door.client.hset("{tollgate}:policy", "needs", "answers metadata")
    return door


def details(door, id):
    """Of a booking's record, what this file is about; for a slot whose seats end, whose they were."""
    found = {field: value for field, value in door.booking(id).items() if field in NEW}
    gone = [name[len("gone:"):] for name in door.client.hkeys(f"{{tollgate}}:seats:{id}") if name.startswith("gone:")]
    return {**found, "attendees": sorted(gone)} if gone else found


def tell(door, body, id):
    assert door.ask(body).status in (200, 202)
    return details(door, id)


def end(trigger, id, **payload):
    """A cancel or decline."""
    return sample(trigger, **{"payload.bookingId": id, **{"payload." + name: value for name, value in payload.items()}})


def compact(value):
    return to_bytes(value).decode()


# ---- Samples, byte for byte ----

def said(name):
    """The answers and metadata of a sample as Cal.com's bytes have them."""
    payload = json.loads(sample(name))["payload"]
    answers = {field: entry["value"] for field, entry in payload["responses"].items() if "value" in entry}
    return {"answers": compact(answers), "metadata": compact(payload["metadata"])}


@pytest.mark.parametrize("name, id", [
    ("BOOKING_REQUESTED", 48213), ("BOOKING_CREATED", 48213), ("BOOKING_CREATED.no_confirmation", 48214),
    ("BOOKING_REQUESTED.reschedule", 48260), ("BOOKING_RESCHEDULED", 48260), ("GUIDE.BOOKING_CREATED", 91)])
def test_a_booking_keeps_what_was_answered(door, name, id):
    assert tell(door, sample(name), id) == said(name)


def test_the_answers_of_a_sample_in_full(door):
    assert tell(door, sample("BOOKING_REQUESTED"), 48213) == {
        "answers": '{"name":"Jonas Weber","email":"jonas.weber@example.com",'
                   '"location":{"value":"integrations:daily","optionValue":""},'
                   '"notes":"Grüße aus Köln – Kapitel 7 & 8 \\"Teil II\\"","guests":["mia.guest@example.com"]}',
        "metadata": '{"memberId":"BC-0042"}'}


@pytest.mark.parametrize("name, told", [("BOOKING_REJECTED", {}), ("BOOKING_CANCELLED", {}),
                                        ("BOOKING_PAYMENT_INITIATED", {"paid": "yes"})])
def test_what_makes_no_booking_tells_no_answers(door, name, told):
    assert tell(door, sample(name), 48213) == told


def test_a_flat_template_tells_the_same(door):
    whole = json.loads(sample("BOOKING_REQUESTED"))
    payload = {**whole.pop("payload"), "price": 1, "seatsPerTimeSlot": 3, "recurringEvent": {"count": 3},
               "attendeeSeatId": "s"}
    assert tell(door, to_bytes({**payload, **whole}), "48213:s") == {
        **said("BOOKING_REQUESTED"), "paid": "yes", "seats": "yes", "occurrences": "3", "seat": "s"}


# ---- Seats, series, money ----

def test_a_seat_is_told(door):
    seat = {"payload.seatsPerTimeSlot": 4, "payload.attendeeSeatId": "0c9c8d1e-7b55-4d8a-a7de-52d0"}
    told = tell(door, webhook(9, **seat), "9:0c9c8d1e-7b55-4d8a-a7de-52d0")
    assert told == {**said("BOOKING_REQUESTED"), "seats": "yes", "seat": "0c9c8d1e-7b55-4d8a-a7de-52d0"}


@pytest.mark.parametrize("payload, told", [
    ({"seatsPerTimeSlot": 4}, {"seats": "yes"}),
    ({"recurringEvent": {"freq": 2, "count": 12, "interval": 1}}, {"occurrences": "12"}),
    ({"recurringEvent": {}}, {"occurrences": "2"}),
    ({"price": 2500}, {"paid": "yes"}),
    ({"price": 0.5, "recurringEvent": {"count": 0}, "seatsPerTimeSlot": 1},
     {"paid": "yes", "occurrences": "2", "seats": "yes"}),
    ({"price": "2500", "recurringEvent": [4], "seatsPerTimeSlot": "4"}, {}),
], ids=str)
def test_the_kind_of_booking_is_told(door, payload, told):
    body = webhook(9, **{"payload." + name: value for name, value in payload.items()})
    assert tell(door, body, 9) == {**said("BOOKING_REQUESTED"), **told}


def people(*emails):
    return [{"email": email, "name": "x"} for email in emails]


@pytest.mark.parametrize("trigger", ["BOOKING_CANCELLED", "BOOKING_REJECTED"])
def test_an_end_of_seats_tells_who_sat_there(door, trigger):
    seats = {"seatsPerTimeSlot": 4, "attendees": people("Ann@Example.com", "bob@example.com", " ann@example.com ", "")}
    assert tell(door, end(trigger, 5, **seats), 5) == {
        "attendees": ["ann@example.com", "bob@example.com"]}
    assert tell(door, end(trigger, 6, **seats, attendeeSeatId="s1"), "6:s1") == {"seats": "yes", "seat": "s1"}
    assert not door.booking(6)
    assert tell(door, end(trigger, 7, attendees=seats["attendees"]), 7) == {}
    assert tell(door, end(trigger, 8, seatsPerTimeSlot=4, attendees="ann@example.com"), 8) == {
        "attendees": ["jonas.weber@example.com"]}


def test_one_attendee_too_many_is_left_out_and_logged(door):
    emails = [f"member-{n}@example.com" for n in range(101)]
    told = tell(door, end("BOOKING_CANCELLED", 5, seatsPerTimeSlot=500, attendees=people(*emails)), 5)
    assert told["attendees"] == sorted(emails[:100])
    warnings = door.ingest.log_lines(level="warn", booking=5)
    assert len(warnings) == 1 and "more than 100 attendees" in warnings[0]["msg"]
    told = tell(door, end("BOOKING_CANCELLED", 6, seatsPerTimeSlot=500, attendees=people(*emails[:100], *emails[:100])), 6)
    assert told["attendees"] == sorted(emails[:100])
    assert not door.ingest.log_lines(level="warn", booking=6)


# ---- Answers and metadata ----

def test_answers_survive_whatever_letters_they_have(door):
    values = {"a": "\u0000\u0001\n\"\\/", "b": "日本語 🎓 ß", "c": "", "d": ["", "é"], "e": 1.5, "f": True,
              "g": {"value": {"deep": [1, None]}}, "": 0}
    responses = {name: {"label": name, "value": value} for name, value in values.items()}
    email = {"email": {"value": "jonas.weber@example.com"}}
    told = tell(door, webhook(9, **{"payload.responses": {**responses, **email}, "payload.metadata": values}), 9)
    assert json.loads(told["answers"]) == {**values, "email": "jonas.weber@example.com"}
    assert json.loads(told["metadata"]) == values
    for letters in ("日本語 🎓 ß", "/"):
        assert letters in told["answers"] and letters in told["metadata"]


def test_a_one_time_password_is_taken_out_wherever_it_is(door):
    secret = {"oneTimePassword": "0tp-secret"}
    responses = {**secret, "email": {"value": "ann@example.com"}, "location": {"value": {"value": "x", **secret}}}
    responses["oneTimePassword"] = {"value": "0tp-secret"}
    told = tell(door, webhook(9, **{"payload.responses": responses,
                                    "payload.metadata": {**secret, "a": [secret, {"b": secret}]}}), 9)
    assert told["answers"] == '{"email":"ann@example.com","location":{"value":"x"}}'
    assert told["metadata"] == '{"a":[{},{"b":{}}]}'
    assert "0tp-secret" not in str(door.booking(9))


@pytest.mark.parametrize("what, message", [("answers", "the answers are larger"), ("metadata", "the metadata is larger")])
def test_more_than_8_kib_is_left_out_and_logged(door, what, message):
    def body(id, size):
        email = "ann@example.com"
        if what == "answers":
            filler = "x" * (size - len(compact({"email": email, "n": ""})))
            payload = {"payload.responses": {"email": {"value": email}, "n": {"value": filler}}}
        else:
            payload = {"payload.metadata": {"n": "x" * (size - len(compact({"n": ""})))}}
        return webhook(id, **payload)

    assert len(tell(door, body(5, LIMIT), 5)[what]) == LIMIT
    assert not door.ingest.log_lines(level="warn", booking=5)
    for id, size in ((6, LIMIT + 1), (7, 900_000)):
        told = tell(door, body(id, size), id)
        assert set(told) == {"answers", "metadata"} - {what}, "only what is too large goes"
        warnings = door.ingest.log_lines(level="warn", booking=id)
        assert len(warnings) == 1 and message in warnings[0]["msg"]
    assert door.queue() == ["5", "6", "7"]


@pytest.mark.parametrize("metadata", [None, [], "x", 7, True])
def test_metadata_of_another_kind_is_none(door, metadata):
    assert "metadata" not in tell(door, webhook(9, **{"payload.metadata": metadata}), 9)


# ---- The account ----

def test_the_account_stands_where_the_operator_says(house):
    door = Door(house, TOLLGATE_ACCOUNT_FIELD="metadata.memberId")
    for id, member, account in ((1, "BC-0042", "bc-0042"), (2, " J\u00f6rg ", "j\u00f6rg"), (3, 42, "42"), (4, 0, "0"),
                                (5, "", None), (6, "two words", None), (7, 4.5, None), (8, None, None),
                                (9, ["BC-0042"], None), (10, "x" * 321, None), (11, True, None)):
        assert door.ask(webhook(id, **{"payload.metadata": {"memberId": member}})).status == 202, member
        record = door.booking(id)
        assert (record.get("account"), record["email"]) == (account, "jonas.weber@example.com"), member
    assert door.ask(sample("BOOKING_CANCELLED")).status == 200
    assert "account" not in door.booking(48213)


def test_the_account_stands_in_an_answer(house):
    for path in ("responses.member_number", "responses.member_number.value"):
        door = Door(house, TOLLGATE_ACCOUNT_FIELD=path)
        responses = {"email": {"value": "ann@example.com"}, "member_number": {"label": "Number", "value": "M-7"}}
        assert door.ask(webhook(1, **{"payload.responses": responses})).status == 202
        assert (door.booking(1)["account"], door.booking(1)["email"]) == ("m-7", "ann@example.com")
        assert door.ask(webhook(2)).status == 202
        assert "account" not in door.booking(2)


def test_a_later_webhook_may_tell_the_account(house):
    """A payment tells no answers, and a webhook of another path may lack the field."""
    door = Door(house, TOLLGATE_ACCOUNT_FIELD="metadata.memberId")
    assert door.ask(sample("BOOKING_PAYMENT_INITIATED", **{"payload.metadata": {}})).status == 200
    assert "account" not in door.booking(48213)
    assert door.ask(sample("BOOKING_REQUESTED")).status == 202
    assert door.booking(48213)["account"] == "bc-0042"


def test_without_the_setting_the_account_is_the_email(door):
    assert door.ask(webhook(1)).status == 202
    record = door.booking(1)
    assert record["account"] == record["email"] == "jonas.weber@example.com"
