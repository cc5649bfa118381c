"""The fake Cal.com itself, without Tollgate: what it tells of series, seats, reschedules, twins and
money, and what its API answers. tests/fake_calcom/README.md says the same in words."""

import json
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

import harness

SEATED, FREE, PAID = 1300, 1301, 1302
TYPES = ["--event-type", f"{SEATED}:requires-confirmation:seats=4", "--event-type", f"{FREE}:auto",
         "--event-type", f"{PAID}:requires-confirmation:2500"]
HOST = "nora@example.com"
START = "2031-05-06T10:00:00Z"


class Receiver:
    """Keeps the bodies of all webhooks, in the order in which they came."""

    def __init__(self):
        bodies = self.bodies = []

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"  # 1.0 would close a connection that the fake wants to use again

            def do_POST(self):
                raw = self.rfile.read(int(self.headers["Content-Length"]))
                assert self.headers["X-Cal-Signature-256"] == harness.sign(raw)
                bodies.append(json.loads(raw))
                self.send_response(200)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_):
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}/webhook"
        threading.Thread(target=self.server.serve_forever, args=(0.01,), daemon=True).start()

    def take(self):
        """What has come since the last time: [(trigger, payload)]."""
        taken, self.bodies[:] = list(self.bodies), []
        return [(body["triggerEvent"], body["payload"]) for body in taken]

    def one(self, trigger):
        """The payload of the only webhook that has come."""
        taken = self.take()
        assert [name for name, _ in taken] == [trigger]
        return taken[0][1]


class Place:
    """The fake, its receiver, and its API as a client sees it."""

    def __init__(self, house, receiver, *arguments):
        self.told = receiver
        self.fake = house.fake(receiver.url, *TYPES, *arguments)

    def v2(self, method, path, expect=200, **body):
        headers = {"Authorization": f"Bearer {harness.API_KEY}", "cal-api-version": "2024-08-13"}
        reply = self.fake.http.request(method, f"{self.fake.url}/v2/bookings/{path}", headers=headers, timeout=10,
                                       **({"json": body} if method == "POST" else {}))
        assert reply.status_code == expect, reply.text
        return reply.json()["data"] if expect == 200 else reply.json()["error"]["message"]

    def v1(self, method, path, **body):
        reply = self.fake.http.request(method, f"{self.fake.url}/v1/bookings/{path}", timeout=10,
                                       params={"apiKey": harness.API_KEY}, json=body or None)
        assert reply.status_code == 200, reply.text
        return reply.json()

    def refused(self, name, **body):
        """What the control endpoint says against it."""
        reply = self.fake.http.post(f"{self.fake.url}/control/{name}", json=body, timeout=10)
        assert 400 <= reply.status_code < 500, reply.text
        return reply.json()["error"]

    def seat(self, email, **fields):
        return self.fake.book(email, eventTypeId=SEATED, **{"start": START, **fields})

    def statuses(self, bookings):
        return [self.fake.booking(b["id"])["status"] for b in bookings]

    def seats(self, booking):
        """email → status of those who are, or were, in the slot."""
        return {seat["email"]: seat["status"] for seat in self.fake.booking(booking["id"])["seats"]}


@pytest.fixture
def receiver():
    receiver = Receiver()
    yield receiver
    receiver.server.shutdown()
    receiver.server.server_close()


@pytest.fixture
def place(house, receiver):
    return Place(house, receiver)


@pytest.fixture
def cloud(house, receiver):
    return Place(house, receiver, "--seat-approval", "cloud")


def attendees(payload):
    return [attendee["email"] for attendee in payload["attendees"]]


# ---- series ----

def test_a_series_is_a_booking_and_a_webhook_per_occurrence(place):
    made = place.fake.book(occurrences=3, start=START)
    assert made["count"] == 3 and len({b["uid"] for b in made["bookings"]}) == 3
    assert [b["start"] for b in made["bookings"]] == [f"2031-05-{day}T10:00:00.000Z" for day in ("06", "13", "20")]
    told = place.told.take()
    assert [trigger for trigger, _ in told] == ["BOOKING_REQUESTED"] * 3
    assert {payload["bookingId"] for _, payload in told} == {b["id"] for b in made["bookings"]}
    for _, payload in told:
        assert payload["recurringEvent"] == {"freq": 2, "count": 3, "interval": 1}
        assert made["recurringEventId"] not in json.dumps(payload)
    assert place.v2("GET", made["bookings"][1]["uid"])["recurringBookingUid"] == made["recurringEventId"]
    assert [b["id"] for b in place.v2("GET", made["recurringEventId"])] == [b["id"] for b in made["bookings"]]
    row = place.v1("GET", str(made["bookings"][2]["id"]))["booking"]
    assert row["recurringEventId"] == made["recurringEventId"]


def test_a_booking_of_its_own_names_no_series(place):
    booked = place.fake.book()
    assert "recurringEvent" not in place.told.one("BOOKING_REQUESTED")
    assert "recurringBookingUid" not in place.v2("GET", booked["uid"])
    assert place.v1("GET", str(booked["id"]))["booking"]["recurringEventId"] is None


def test_a_series_that_needs_no_confirmation_is_created(place):
    made = place.fake.book(eventTypeId=FREE, occurrences=2, intervalDays=1)
    told = place.told.take()
    assert [(trigger, payload["status"]) for trigger, payload in told] == [("BOOKING_CREATED", "ACCEPTED")] * 2
    assert told[0][1]["recurringEvent"] == {"freq": 3, "count": 2, "interval": 1}
    assert place.statuses(made["bookings"]) == ["ACCEPTED"] * 2


@pytest.mark.parametrize("act, trigger, status", [("confirm", "BOOKING_CREATED", "ACCEPTED"),
                                                  ("decline", "BOOKING_REJECTED", "REJECTED")])
def test_v2_acts_on_every_pending_occurrence_and_tells_once(place, act, trigger, status):
    bookings = place.fake.book(occurrences=4)["bookings"]
    place.fake.cancel(bookings[0]["id"])
    place.told.take()
    data = place.v2("POST", f"{bookings[2]['uid']}/{act}")
    assert [b["status"] for b in data] == ["cancelled"] + [status.lower()] * 3
    payload = place.told.one(trigger)
    assert (payload["bookingId"], payload["status"]) == (bookings[2]["id"], status)
    assert place.statuses(bookings) == ["CANCELLED"] + [status] * 3


def test_confirm_of_a_cancelled_occurrence_confirms_the_others(place):
    bookings = place.fake.book(occurrences=3)["bookings"]
    place.fake.cancel(bookings[0]["id"])
    place.told.take()
    place.v2("POST", f"{bookings[0]['uid']}/confirm")
    assert place.told.one("BOOKING_CREATED")["bookingId"] == bookings[1]["id"]
    assert place.statuses(bookings) == ["CANCELLED", "ACCEPTED", "ACCEPTED"]


def test_confirm_of_a_confirmed_occurrence_is_refused(place):
    bookings = place.fake.book(occurrences=2)["bookings"]
    place.fake.confirm(bookings[0]["id"])
    assert place.v2("POST", f"{bookings[0]['uid']}/confirm", expect=400) == "Booking already confirmed"
    assert place.statuses(bookings) == ["ACCEPTED", "PENDING"]


def test_v1_and_the_hand_act_on_one_occurrence(place):
    bookings = place.fake.book(occurrences=4)["bookings"]
    place.told.take()
    place.v1("PATCH", str(bookings[0]["id"]), status="ACCEPTED")
    assert place.told.take() == []
    place.fake.confirm(bookings[1]["id"])
    assert place.statuses(bookings) == ["ACCEPTED", "ACCEPTED", "PENDING", "PENDING"]
    place.fake.decline(bookings[2]["id"], series=True)
    assert place.statuses(bookings) == ["ACCEPTED", "ACCEPTED", "REJECTED", "REJECTED"]


def test_a_webhook_of_one_occurrence_can_be_lost(place):
    made = place.fake.book(occurrences=3, lostOccurrences=[3])
    assert [b["webhooks"][0]["status"] for b in made["bookings"]] == [200, 200, 0]
    assert len(place.told.take()) == 2
    assert place.fake.book(occurrences=2, webhook=False)["bookings"][0]["webhooks"] == []
    assert place.told.take() == []


# ---- seats ----

def test_seats_share_a_booking(place):
    ann = place.seat("ann@example.com", metadata={"memberId": "1"})
    bob = place.seat("bob@example.com", metadata={"memberId": "2"}, responses={"size": "M"})
    (_, first), (trigger, second) = place.told.take()
    assert (bob["id"], bob["uid"]) == (ann["id"], ann["uid"]) and bob["seatUid"] != ann["seatUid"]
    assert (trigger, second["status"], second["seatsPerTimeSlot"]) == ("BOOKING_REQUESTED", "PENDING", 4)
    assert first["attendeeSeatId"] == ann["seatUid"] and len(ann["seatUid"]) == 22
    assert second["attendeeSeatId"] == bob["seatUid"]
    assert (attendees(first), attendees(second)) == (["ann@example.com"], ["ann@example.com", "bob@example.com"])
    assert second["responses"]["email"]["value"] == "bob@example.com"
    assert second["responses"]["size"] == {"label": "size", "value": "M", "isHidden": False}
    assert second["metadata"] == {"memberId": "2"}
    data = place.v2("GET", ann["uid"])
    assert [(a["email"], a["seatUid"]) for a in data["attendees"]] == [
        ("ann@example.com", ann["seatUid"]), ("bob@example.com", bob["seatUid"])]


def test_a_slot_is_found_by_its_start_or_by_name(place):
    ann = place.seat("ann@example.com")
    assert place.seat("bob@example.com", start="2031-05-06T12:00:00Z")["id"] != ann["id"]
    assert place.fake.book("cid@example.com", seatOf=ann["id"])["id"] == ann["id"]
    assert place.fake.book("dan@example.com", seatOf=ann["uid"])["id"] == ann["id"]
    assert "already" in place.refused("book", email="Ann@example.com", seatOf=ann["id"])
    assert place.seat("eva@example.com")["id"] == ann["id"]
    assert "full" in place.refused("book", email="fay@example.com", seatOf=ann["id"])
    place.fake.cancel(ann["id"])
    assert place.seat("fay@example.com")["id"] != ann["id"]


def test_count_fills_a_slot(place):
    made = place.seat("m{n}@example.com", count=4)
    assert len({b["id"] for b in made["bookings"]}) == 1 and len({b["seatUid"] for b in made["bookings"]}) == 4


def test_legacy_decides_the_whole_booking(place):
    ann = place.seat("ann@example.com")
    place.seat("bob@example.com")
    place.told.take()
    place.v2("POST", f"{ann['uid']}/confirm")
    created = place.told.one("BOOKING_CREATED")
    assert attendees(created) == ["ann@example.com", "bob@example.com"] and "attendeeSeatId" not in created
    assert place.seats(ann) == {"ann@example.com": "ACCEPTED", "bob@example.com": "ACCEPTED"}
    place.v2("POST", f"{ann['uid']}/decline", expect=400)
    other = place.seat("cid@example.com", start="2031-05-06T12:00:00Z")
    place.told.take()
    place.v2("POST", f"{other['uid']}/decline", reason="no")
    assert attendees(place.told.one("BOOKING_REJECTED")) == ["cid@example.com"]
    assert place.seats(other) == {"cid@example.com": "REJECTED"}


def test_legacy_lets_the_second_in_unasked(place):
    ann = place.seat("ann@example.com")
    place.fake.confirm(ann["id"])
    place.told.take()
    bob = place.seat("bob@example.com")
    created = place.told.one("BOOKING_CREATED")
    assert (created["status"], created["requiresConfirmation"]) == ("ACCEPTED", True)
    assert created["attendeeSeatId"] == bob["seatUid"]
    assert created["responses"]["email"]["value"] == "bob@example.com"
    assert place.seats(ann)["bob@example.com"] == "ACCEPTED"


def test_legacy_has_no_routes_for_seats(place):
    ann = place.seat("ann@example.com")
    path = f"{ann['uid']}/seats/confirm"
    assert place.v2("POST", path, expect=404, seatUids=[ann["seatUid"]]) == f"Cannot POST /v2/bookings/{path}"
    assert "goes with its booking" in place.refused("confirm", id=ann["id"], seatUid=ann["seatUid"])


def test_cloud_refuses_to_decide_the_whole_booking(cloud):
    ann = cloud.seat("ann@example.com")
    cloud.v2("POST", f"{ann['uid']}/confirm", expect=400)
    cloud.v2("POST", f"{ann['uid']}/decline", expect=400)
    assert "one by one" in cloud.refused("confirm", id=ann["id"])
    assert cloud.statuses([ann]) == ["PENDING"]


def test_cloud_decides_every_seat(cloud):
    ann, bob, cid = [cloud.seat(f"{name}@example.com") for name in ("ann", "bob", "cid")]
    cloud.told.take()
    data = cloud.v2("POST", f"{ann['uid']}/seats/confirm", seatUids=[ann["seatUid"], bob["seatUid"]])
    assert data["confirmedSeatUids"] == [ann["seatUid"], bob["seatUid"]]
    told = cloud.told.take()
    assert [trigger for trigger, _ in told] == ["BOOKING_CREATED"] * 2
    assert sorted(attendees(payload)[0] for _, payload in told) == ["ann@example.com", "bob@example.com"]
    for _, payload in told:
        assert len(payload["attendees"]) == 1 and "attendeeSeatId" not in payload and payload["seatsPerTimeSlot"] == 4
    assert cloud.statuses([ann]) == ["ACCEPTED"]
    assert cloud.fake.booking(ann["id"])["calendarEvents"] == 1
    again = cloud.v2("POST", f"{ann['uid']}/seats/confirm", seatUids=[ann["seatUid"]])
    assert again["confirmedSeatUids"] == [] and cloud.told.take() == []

    data = cloud.v2("POST", f"{ann['uid']}/seats/decline", seatUids=[cid["seatUid"]], reason="no credit")
    assert data["declinedSeatUids"] == [cid["seatUid"]]
    rejected = cloud.told.one("BOOKING_REJECTED")
    assert (attendees(rejected), rejected["rejectionReason"]) == (["cid@example.com"], "no credit")
    seated = [a["email"] for a in cloud.v2("GET", ann["uid"])["attendees"]]
    assert seated == ["ann@example.com", "bob@example.com"]
    assert cloud.statuses([ann]) == ["ACCEPTED"]
    assert [(s["status"], s["acts"], s["calls"]) for s in cloud.fake.booking(ann["id"])["seats"]] == [
        ("ACCEPTED", ["book", "confirm"], {"confirm": 2, "decline": 0, "cancel": 0}),
        ("ACCEPTED", ["book", "confirm"], {"confirm": 1, "decline": 0, "cancel": 0}),
        ("REJECTED", ["book", "decline"], {"confirm": 0, "decline": 1, "cancel": 0})]


def test_cloud_asks_for_seats_in_an_accepted_booking(cloud):
    ann = cloud.seat("ann@example.com")
    cloud.fake.confirm(ann["id"], seatUid=ann["seatUid"])
    cloud.told.take()
    bob = cloud.seat("bob@example.com")
    requested = cloud.told.one("BOOKING_REQUESTED")
    assert (requested["status"], requested["attendeeSeatId"]) == ("PENDING", bob["seatUid"])
    assert cloud.statuses([ann]) == ["ACCEPTED"]
    assert cloud.seats(ann) == {"ann@example.com": "ACCEPTED", "bob@example.com": "PENDING"}


def test_cloud_rejects_the_booking_with_its_last_seat(cloud):
    ann, bob = [cloud.seat(f"{name}@example.com") for name in ("ann", "bob")]
    cloud.v2("POST", f"{ann['uid']}/seats/decline", seatUids=[ann["seatUid"]])
    assert cloud.statuses([ann]) == ["PENDING"]
    cloud.v2("POST", f"{ann['uid']}/seats/decline", seatUids=[bob["seatUid"]])
    assert cloud.statuses([ann]) == ["REJECTED"]


def test_the_generation_can_be_changed(place):
    place.fake.config(seatApproval="cloud")
    ann = place.seat("ann@example.com")
    place.v2("POST", f"{ann['uid']}/confirm", expect=400)
    assert "seatApproval" in place.refused("config", seatApproval="later")


@pytest.mark.parametrize("by_hand", [False, True])
def test_one_seat_is_freed(place, by_hand):
    ann, bob = [place.seat(f"{name}@example.com") for name in ("ann", "bob")]
    place.fake.confirm(ann["id"])
    place.told.take()

    def free(seat):
        if by_hand:
            place.fake.cancel(seat["id"], seatUid=seat["seatUid"], reason="ill")
        else:
            place.v2("POST", f"{seat['uid']}/cancel", seatUid=seat["seatUid"], cancellationReason="ill")
        return place.told.one("BOOKING_CANCELLED")

    payload = free(ann)
    assert (attendees(payload), payload["cancellationReason"]) == (["ann@example.com"], "ill")
    assert "attendeeSeatId" not in payload and payload["seatsPerTimeSlot"] == 4
    assert payload["cancelledBy"] == ("ann@example.com" if by_hand else HOST)
    assert place.statuses([ann]) == ["ACCEPTED"]
    assert [a["seatUid"] for a in place.v2("GET", ann["uid"])["attendees"]] == [bob["seatUid"]]
    assert "Invalid seatUid" in place.v2("POST", f"{ann['uid']}/cancel", expect=400, seatUid=ann["seatUid"])
    assert attendees(free(bob)) == ["bob@example.com"]
    assert place.statuses([ann]) == ["CANCELLED"]



def test_the_whole_slot_is_cancelled(place):
    ann, _ = [place.seat(f"{name}@example.com") for name in ("ann", "bob")]
    place.told.take()
    place.fake.cancel(ann["id"], by="host")
    assert attendees(place.told.one("BOOKING_CANCELLED")) == ["ann@example.com", "bob@example.com"]
    assert place.seats(ann) == {"ann@example.com": "CANCELLED", "bob@example.com": "CANCELLED"}


# ---- reschedules, twins, money, answers ----

def test_a_chain_of_reschedules(place):
    first = place.fake.book()
    place.fake.confirm(first["id"])
    place.told.take()
    second = place.fake.book(rescheduleUid=first["uid"], rescheduledBy="nora@example.com")
    requested = place.told.one("BOOKING_REQUESTED")  # and nothing says that the old one is cancelled
    assert second["uid"] != first["uid"] and second["id"] != first["id"]
    assert (requested["rescheduleUid"], requested["rescheduleId"]) == (first["uid"], first["id"])
    assert (requested["rescheduledBy"], requested["status"]) == ("nora@example.com", "PENDING")
    assert place.statuses([first, second]) == ["CANCELLED", "PENDING"]

    third = place.fake.book(rescheduleUid=second["uid"], autoAccept=True)
    moved = place.told.one("BOOKING_RESCHEDULED")
    assert (moved["rescheduleUid"], moved["status"]) == (second["uid"], "ACCEPTED")
    assert (moved["requiresConfirmation"], moved["rescheduledBy"]) == (False, "ann@example.com")
    assert place.statuses([first, second, third]) == ["CANCELLED", "CANCELLED", "ACCEPTED"]
    data = place.v2("GET", second["uid"])
    assert (data["rescheduledFromUid"], data["rescheduledToUid"]) == (first["uid"], third["uid"])


def test_a_reschedule_without_confirmation(place):
    first = place.fake.book(eventTypeId=FREE)
    place.told.take()
    place.fake.book(eventTypeId=FREE, rescheduleUid=first["uid"])
    assert place.told.one("BOOKING_RESCHEDULED")["rescheduleId"] == first["id"]


def test_an_occurrence_that_was_moved_stays_in_its_series(place):
    """Its webhook does not say so."""
    made = place.fake.book(occurrences=2)
    place.told.take()
    moved = place.fake.book(rescheduleUid=made["bookings"][0]["uid"])
    assert "recurringEvent" not in place.told.one("BOOKING_REQUESTED")
    assert place.v2("GET", moved["uid"])["recurringBookingUid"] == made["recurringEventId"]
    place.v2("POST", f"{moved['uid']}/confirm")
    assert place.statuses([*made["bookings"], moved]) == ["CANCELLED", "ACCEPTED", "ACCEPTED"]


def test_twins_are_bookings_of_one_click(place):
    twins = place.fake.book(twins=3, start=START)
    assert twins["count"] == 3 and len({b["uid"] for b in twins["bookings"]}) == 3
    told = place.told.take()
    assert [trigger for trigger, _ in told] == ["BOOKING_REQUESTED"] * 3
    assert {(p["startTime"], p["responses"]["email"]["value"]) for _, p in told} == {(START, "ann@example.com")}


@pytest.mark.parametrize("end", ["decline", "cancel"])
def test_a_paid_booking_is_refunded(place, end):
    booked = place.fake.book(eventTypeId=PAID)
    initiated = place.told.one("BOOKING_PAYMENT_INITIATED")
    assert (initiated["status"], booked["status"]) == ("ACCEPTED", "PENDING")
    place.fake.pay(booked["id"])
    requested = place.told.one("BOOKING_REQUESTED")
    assert (requested["status"], requested["price"]) == ("PENDING", 2500)
    assert place.fake.booking(booked["id"])["refunded"] is False
    place.v2("POST", f"{booked['uid']}/{end}", reason="no", cancellationReason="no")
    assert place.fake.booking(booked["id"])["refunded"] is True


def test_a_booking_that_was_not_paid_is_not_refunded(place):
    booked = place.fake.book(eventTypeId=PAID)
    place.fake.cancel(booked["id"])
    assert place.fake.booking(booked["id"])["refunded"] is False


def test_answers_reach_the_webhook(place):
    place.fake.book(responses={"team": "blue", "days": ["mo", "we"], "age": 7, "ok": True, "none": None},
                    metadata={"memberId": "77"})
    payload = place.told.one("BOOKING_REQUESTED")
    answers = {name: payload["responses"][name] for name in ("team", "days", "age", "ok", "none")}
    assert answers == {"team": {"label": "team", "value": "blue", "isHidden": False},
                       "days": {"label": "days", "value": ["mo", "we"], "isHidden": False},
                       "age": {"label": "age", "value": 7, "isHidden": False},
                       "ok": {"label": "ok", "value": True, "isHidden": False},
                       "none": {"label": "none", "isHidden": False}}
    assert payload["metadata"] == {"memberId": "77"}


@pytest.mark.parametrize("order, complaint", [
    ({"occurrences": 0, "count": 0}, "count"), ({"occurrences": 2, "count": 2}, "one series"),
    ({"occurrences": 2, "eventTypeId": SEATED}, "not played"), ({"seatOf": 5}, "seatOf"),
    ({"eventTypeId": SEATED, "count": 5}, "full"), ({"eventTypeId": SEATED, "count": 2}, "already")])
def test_orders_that_make_no_sense(place, order, complaint):
    assert complaint in place.refused("book", email="ann@example.com", **order)
    assert place.fake.bookings() == [] and place.told.take() == []


# ---- On the way ----

def statuses(place, **fields):
    return [entry["status"] for entry in place.fake.webhooks() if fields.items() <= entry.items()]


def test_behind_a_load_balancer_each_goes_to_one(place):
    other = Receiver()
    place.fake.config(webhookUrl=[place.told.url, other.url], webhookWay={"spread": True})
    for _ in range(20):
        place.fake.book()
    first, second = len(place.told.take()), len(other.take())
    assert first + second == 20 and first and second
    place.fake.book(to=2)
    assert (len(place.told.take()), len(other.take())) == (0, 1)
    assert "to" in place.refused("book", email="ann@example.com", to=-1)


def test_webhooks_get_lost_and_come_twice(place):
    place.fake.config(webhookWay={"lost": 1000})
    place.fake.book()
    assert place.told.take() == [] and statuses(place) == [0]
    place.fake.config(webhookWay={"copied": 1000})
    place.fake.book()
    assert [name for name, _ in place.told.take()] == ["BOOKING_REQUESTED"] * 2
    place.fake.config(webhookWay={})
    place.fake.book()
    assert len(place.told.take()) == 1


def test_a_webhook_that_is_late_is_overtaken_and_nobody_waits(place):
    place.fake.config(webhookWay={"delayed": 1000, "delayMs": 300})
    ids = [place.fake.book()["id"] for _ in range(20)]
    assert len(statuses(place)) < 20
    harness.wait_for(lambda: statuses(place) == [200] * 20, what="the late ones")
    came = [payload["bookingId"] for _, payload in place.told.take()]
    assert sorted(came) == ids and came != ids
    place.fake.decline(ids[0], reason="full")
    harness.wait_for(lambda: len(place.told.bodies) == 1, what="a late one of somebody who did not wait")
    assert place.told.one("BOOKING_REJECTED")["rejectionReason"] == "full"
    newest = place.fake.webhooks()[-1]["n"]
    place.fake.config(webhookWay={})
    place.fake.book()
    assert [entry["n"] for entry in place.fake.control("GET", "webhooks", since=newest)] == [newest + 1]


def test_how_a_booking_came_to_its_status_is_on_record(place):
    made = place.fake.book()
    place.fake.confirm(made["id"])
    place.fake.cancel(made["id"])
    state = place.fake.booking(made["id"])
    assert [change["status"] for change in state["history"]] == ["ACCEPTED", "CANCELLED"]
    assert abs(state["history"][1]["ms"] - time.time() * 1000) < 10000
