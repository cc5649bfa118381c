"""The main job, from the webhook to Cal.com's answer: each booking decided once, told once, charged once."""

import statistics
import time

import pytest

from harness import BUILD, sample, wait_for
from outcomes import ANN, BOB, BOTH, CONFIRM, DECLINE, DECLINED, acts, looks, movements, purses, wait_place

SHORT_OF_CREDIT = "Not enough credit: this booking costs 1 credit, your balance is 0 credits."
AUTO = ["--event-type", "7:auto"]  # accepts before anybody decides, as in the guide
PAID = ["--event-type", "8:requires-confirmation:500"]

both = pytest.mark.parametrize("dialect", BOTH)


def decisions(gate):
    return [entry for _, entry in gate.client.xrange(gate.key("decisions"))]


def stats(gate):
    return gate.client.hgetall(gate.key("stats"))


def heard(gate, id):
    """The triggers that reached the gate about this booking, each with ingest's answer; by name, because an
    echo may be answered before the request that it follows."""
    return sorted((hook["trigger"], hook["status"]) for hook in gate.fake.webhooks() if hook["booking"] == id)


def told(booking):
    return booking["rejectionReason"] or booking["cancellationReason"]


# ---- Yes and no ----

@both
def test_a_request_with_credit_is_accepted(make_gate, dialect):
    gate = make_gate(dialect=dialect)
    gate.credit(ANN, balance=3, tier="gold")
    made = gate.fake.book(" Ann@Example.com ")
    id = made["id"]
    b = gate.wait_settled(id)
    gate.wait_idle()
    expected = {"state": "accepted", "decision": "accept", "place": "none", "account": ANN, "uid": made["uid"],
                "event_type": "1207", "cost": "1", "held": "0", "charged": "1", "balance_before": "3",
                "reason": "1 of 3 credits", "first_seen": "requested", "takes": "1", "attempts": "0"}
    assert expected.items() <= b.items()
    assert gate.fake.booking(id)["status"] == "ACCEPTED"
    assert acts(gate, id) == [CONFIRM[dialect]] and looks(gate, id) == 0
    assert gate.account(ANN) == {"balance": 2, "held": 0, "spent": 1, "tier": "gold"}
    assert movements(gate) == [("hold", 1), ("capture", 1)]
    assert all(entry["booking"] == str(id) and entry["by"] == "tollgate" for entry in gate.ledger(ANN)[1:])
    assert decisions(gate) == [{"booking": str(id), "account": ANN, "event_type": "1207", "decision": "accept",
                                "cost": "1", "reason": "1 of 3 credits"}]
    # v1's PATCH tells nobody; v2's confirm is echoed, and the echo is nothing to do.
    echo = [("BOOKING_CREATED", 200)] if dialect == "v2" else []
    assert heard(gate, id) == echo + [("BOOKING_REQUESTED", 202)]
    assert gate.client.hget(gate.key("done"), id) == "accepted"


@both
def test_a_request_without_credit_is_rejected_with_the_reason(make_gate, dialect):
    gate = make_gate(dialect=dialect)
    gate.credit(ANN, balance=0)
    id = gate.fake.book(ANN)["id"]
    b = gate.wait_settled(id)
    gate.wait_idle()
    assert {"state": "rejected", "decision": "reject", "reason": SHORT_OF_CREDIT, "held": "0", "charged": "0",
            "takes": "1", "attempts": "0"}.items() <= b.items()
    at_calcom = gate.fake.booking(id)
    assert at_calcom["status"] == DECLINED[dialect] and told(at_calcom) == SHORT_OF_CREDIT
    assert acts(gate, id) == [DECLINE[dialect]] and looks(gate, id) == 0
    assert purses(gate) == (0, 0, 0) and movements(gate) == []
    assert [d["decision"] for d in decisions(gate)] == ["reject"]
    echo = "BOOKING_REJECTED" if dialect == "v2" else "BOOKING_CANCELLED"
    assert heard(gate, id) == [(echo, 200), ("BOOKING_REQUESTED", 202)]
    assert gate.client.hget(gate.key("done"), id) == "rejected"


@both
def test_a_reason_in_every_script_arrives_as_it_is(make_gate, dialect, tmp_path):
    """Percent-encoded in v1, JSON in v2."""
    reason = 'Guthaben für „Zoë" zu klein: 0 € & 50% <b>? #1 +2 \\ / 🙂'
    policy = tmp_path / "policy.lua"
    policy.write_text(f"return function() return {{ accept = false, cost = 1, reason = [==[{reason}]==] }} end")
    gate = make_gate(dialect=dialect, worker_env={"TOLLGATE_POLICY_FILE": str(policy)})
    id = gate.fake.book(ANN)["id"]
    assert gate.wait_settled(id)["reason"] == reason
    assert told(gate.fake.booking(id)) == reason


@both
def test_the_longest_reason_still_arrives(make_gate, dialect, tmp_path):
    """Of a policy's reason 500 bytes are kept; percent-encoded they are 1500."""
    policy = tmp_path / "policy.lua"
    policy.write_text("return function() return { accept = false, cost = 1, reason = ('ü'):rep(400) } end")
    gate = make_gate(dialect=dialect, worker_env={"TOLLGATE_POLICY_FILE": str(policy)})
    id = gate.fake.book(ANN)["id"]
    assert gate.wait_settled(id)["state"] == "rejected"
    assert told(gate.fake.booking(id)) == "ü" * 250


@both
def test_somebody_unknown_is_rejected_and_gets_no_account(make_gate, dialect):
    gate = make_gate(dialect=dialect)
    id = gate.fake.book(BOB)["id"]
    assert gate.wait_settled(id)["reason"] == f"There is no member account for {BOB}."
    assert gate.account(BOB) == {} and gate.ledger(BOB) == []


def test_terms_set_the_cost(gate):
    gate.terms(cost=2, **{"cost:9": 5})
    gate.credit(ANN, balance=7)
    ids = [gate.fake.book(ANN, eventTypeId=9)["id"], gate.fake.book(ANN)["id"], gate.fake.book(ANN)["id"]]
    assert [gate.wait_settled(id)["state"] for id in ids] == ["accepted", "accepted", "rejected"]
    assert sorted(movements(gate)) == [("capture", 2), ("capture", 5), ("hold", 2), ("hold", 5)]
    assert purses(gate) == (0, 0, 7)


def test_the_last_credit_goes_to_who_came_first(make_gate):
    gate = make_gate(workers=0)
    gate.credit(ANN, balance=1)
    ids = [gate.fake.book(ANN)["id"] for _ in range(4)]
    gate.add_worker()
    assert [gate.wait_settled(id)["state"] for id in ids] == ["accepted"] + ["rejected"] * 3


def test_a_paid_booking_waits_for_its_payment(make_gate):
    """Nothing is decided before the payment; then it is a request like any other."""
    gate = make_gate(fake_arguments=PAID)
    gate.credit(ANN, balance=1)
    id = gate.fake.book(ANN, eventTypeId=8)["id"]
    assert heard(gate, id) == [("BOOKING_PAYMENT_INITIATED", 200)]
    gate.wait_idle()
    assert decisions(gate) == [] and gate.fake.calls(id) == []
    gate.fake.pay(id)
    assert gate.wait_settled(id)["state"] == "accepted"
    assert acts(gate, id) == ["confirm"] and purses(gate) == (0, 0, 1)


# ---- The guide's flow: Cal.com accepted already ----

@both
def test_the_guide_with_credit(make_gate, dialect):
    gate = make_gate(dialect=dialect, fake_arguments=AUTO)
    gate.credit(ANN, balance=1)
    id = gate.fake.book(ANN, eventTypeId=7)["id"]
    assert gate.wait_settled(id)["state"] == "accepted"
    gate.wait_idle()
    assert purses(gate) == (0, 0, 1) and movements(gate) == [("hold", 1), ("capture", 1)]
    assert gate.fake.booking(id)["status"] == "ACCEPTED"
    # v1 does what the guide does, literally; v2's confirm would be an error, so it is looked at.
    assert (acts(gate, id), looks(gate, id)) == ((["patch"], 0) if dialect == "v1" else ([], 1))
    assert heard(gate, id) == [("BOOKING_CREATED", 202)]


@both
def test_the_guide_without_credit(make_gate, dialect):
    gate = make_gate(dialect=dialect, fake_arguments=AUTO)
    gate.credit(ANN, balance=0)
    id = gate.fake.book(ANN, eventTypeId=7)["id"]
    assert gate.wait_settled(id)["state"] == "rejected"
    gate.wait_idle()
    at_calcom = gate.fake.booking(id)
    assert (at_calcom["status"], at_calcom["cancellationReason"]) == ("CANCELLED", SHORT_OF_CREDIT)
    assert acts(gate, id) == ["cancel"] and looks(gate, id) == 0
    assert heard(gate, id) == [("BOOKING_CANCELLED", 200), ("BOOKING_CREATED", 202)]
    assert purses(gate) == (0, 0, 0)


def test_the_guides_own_payload(make_gate):
    """Byte for byte; it is years old and names a booking that is over: looked at, as all that is not fresh."""
    gate = make_gate(dialect="v1", fake_arguments=AUTO)
    gate.credit("john.doe@example.com", balance=1)
    gate.fake.book("john.doe@example.com", id=91, eventTypeId=7, webhook=False)
    assert gate.post(sample("GUIDE.BOOKING_CREATED")).status_code == 202
    assert gate.wait_settled(91)["state"] == "accepted"
    assert (acts(gate, 91), looks(gate, 91)) == ([], 1)
    assert purses(gate, "john.doe@example.com") == (0, 0, 1)


# ---- The same again, and many ----

@both
@pytest.mark.parametrize("balance, state", [(5, "accepted"), (0, "rejected")])
def test_the_same_webhook_again_and_again(make_gate, dialect, balance, state):
    gate = make_gate(workers=2, dialect=dialect)
    gate.credit(ANN, balance=balance)
    id = gate.fake.book(ANN, copies=5)["id"]
    assert gate.wait_settled(id)["state"] == state
    gate.fake.send(id, "BOOKING_REQUESTED", copies=5)
    if dialect == "v2":
        gate.fake.send(id, "BOOKING_CREATED" if balance else "BOOKING_REJECTED", copies=5)
    gate.wait_idle()
    assert len(gate.fake.calls(id)) == 1
    assert len(decisions(gate)) == 1
    assert purses(gate) == ((4, 0, 1) if balance else (0, 0, 0))
    assert len(movements(gate)) == (2 if balance else 0)
    assert gate.booking(id)["state"] == state


@both
def test_two_subscriptions_tell_everything_twice(make_gate, dialect):
    """Cal.com's user, team and organisation each have webhooks, and none knows of the others."""
    gate = make_gate(workers=2, dialect=dialect)
    gate.credit(ANN, balance=1)
    gate.fake.config(webhookUrl=[gate.ingest.url] * 3)
    yes, no = gate.fake.book(ANN)["id"], gate.fake.book(ANN)["id"]
    assert gate.wait_settled(yes)["state"] == "accepted" and gate.wait_settled(no)["state"] == "rejected"
    assert [len(gate.fake.calls(id)) for id in (yes, no)] == [1, 1]
    gate.fake.cancel(yes)
    wait_for(lambda: gate.booking(yes)["state"] == "cancelled", what="the cancellation")
    gate.wait_idle()
    assert movements(gate) == [("hold", 1), ("capture", 1), ("refund", 1)] and purses(gate) == (1, 0, 0)
    assert len(decisions(gate)) == 2


def test_other_event_types_are_none_of_our_business(make_gate):
    gate = make_gate(ingest_env={"TOLLGATE_EVENT_TYPES": "1207,1208"}, fake_arguments=AUTO)
    gate.credit(ANN, balance=5)
    theirs = [gate.fake.book(ANN, eventTypeId=9), gate.fake.book(ANN, eventTypeId=7)]
    assert [hook["status"] for made in theirs for hook in made["webhooks"]] == [200, 200]
    ours = gate.fake.book(ANN, eventTypeId=1208)["id"]
    gate.wait_settled(ours)
    gate.wait_idle()
    for made in theirs:
        assert gate.booking(made["id"]) == {} and gate.fake.calls(made["id"]) == []
    assert purses(gate) == (4, 0, 1) and len(decisions(gate)) == 1


@both
def test_two_hundred_bookings_at_once_over_ten_credits(make_gate, dialect):
    gate = make_gate(workers=4, dialect=dialect)
    gate.credit(ANN, balance=10)
    ids = [made["id"] for made in gate.fake.book(ANN, count=200)["bookings"]]
    wait_for(lambda: gate.client.hlen(gate.key("done")) == 200, what="200 settled bookings")
    gate.wait_idle()
    records = {id: gate.booking(id) for id in ids}
    accepted = {id for id, b in records.items() if b["state"] == "accepted"}
    assert len(accepted) == 10 and sum(b["state"] == "rejected" for b in records.values()) == 190
    assert purses(gate) == (0, 0, 10)
    assert len(decisions(gate)) == 200 and len(movements(gate)) == 20
    for at_calcom in gate.fake.bookings():
        yes = at_calcom["id"] in accepted
        assert at_calcom["status"] == ("ACCEPTED" if yes else DECLINED[dialect])
        # v1's PATCH only changes the row.
        assert at_calcom["calendarEvents"] == (1 if yes and dialect == "v2" else 0)
        assert sum(at_calcom["calls"].values()) == 1, "one call each"
    seen = gate.fake.stats()
    assert (seen["calls"], seen["overlaps"], seen["maxActsPerBooking"]) == (200, 0, 1)
    assert gate.queue() == [] and gate.dead() == []
    # No echo was decided, and no worker stood on another's foot.
    assert "stale_steps" not in stats(gate)


def test_many_accounts_through_many_workers(make_gate):
    """Each with one credit and two bookings: nobody pays for somebody else."""
    gate = make_gate(workers=4)
    emails = [f"m{n}@example.com" for n in range(50)]
    for email in emails:
        gate.credit(email, balance=1)
    for _ in range(2):
        gate.fake.book("m{n}@example.com", count=50)
    wait_for(lambda: gate.client.hlen(gate.key("done")) == 100, what="100 settled bookings")
    gate.wait_idle()
    assert [purses(gate, email) for email in emails] == [(0, 0, 1)] * 50
    states = sorted(gate.client.hvals(gate.key("done")))
    assert states == ["accepted"] * 50 + ["rejected"] * 50


# ---- Names ----

def test_a_name_pushed_by_hand_that_nobody_knows_is_let_go(gate):
    gate.credit(ANN, balance=1)
    gate.client.lpush(gate.key("queue"), "no-such-booking")
    id = gate.fake.book(ANN)["id"]
    gate.wait_settled(id)
    gate.wait_idle()
    assert stats(gate)["unknown_names"] == "1" and gate.dead() == []


def test_a_settled_booking_pushed_by_hand_is_left_as_it_is(gate):
    gate.credit(ANN, balance=2)
    id = gate.fake.book(ANN)["id"]
    before = gate.wait_settled(id)
    gate.client.lpush(gate.key("queue"), id)
    gate.wait_idle()
    assert len(gate.fake.calls(id)) == 1 and purses(gate) == (1, 0, 1)
    assert gate.booking(id)["settled_ms"] == before["settled_ms"]


def test_two_namespaces_share_one_redis(make_gate, house):
    """A worker takes what belongs to its own namespace, and nothing else."""
    gate = make_gate(namespace="one")
    other = house.ingest(gate.redis.url, "two").wait_ready()
    gate.credit(ANN, balance=1)
    gate.client.hset("{two}:credit:" + ANN, mapping={"balance": 1})
    gate.fake.config(webhookUrl=other.url)
    theirs = gate.fake.book(ANN)["id"]
    gate.fake.config(webhookUrl=gate.ingest.url)
    ours = gate.fake.book(ANN)["id"]
    gate.wait_settled(ours)
    assert gate.client.lrange("{two}:queue", 0, -1) == [str(theirs)]
    assert gate.fake.calls(theirs) == [] and gate.booking(theirs) == {}
    assert gate.client.hget("{two}:credit:" + ANN, "balance") == "1"


@both
def test_a_booking_that_the_api_cannot_be_asked_for(make_gate, dialect):
    """No uid for v2, no number for v1: refused, released, and listed for a person."""
    gate = make_gate(dialect=dialect)
    gate.credit(ANN, balance=1)
    name, fields = ("42", []) if dialect == "v2" else ("no.number", ["uid", "uid-of-it"])
    now_ms = int(time.time() * 1000)
    gate.client.fcall("tollgate_record", 1, gate.key("queue"), name, "requested", now_ms, 86400000, *fields,
                      "account", ANN, "email", ANN, "start", now_ms // 1000 + 86400)
    b = wait_place(gate, name, "dead")
    assert b["state"] == "failed" and "no uid or number" in b["last_error"]
    assert purses(gate) == (1, 0, 0) and gate.fake.stats()["calls"] == 0


@both
def test_a_series_that_the_api_cannot_be_asked_for(make_gate, dialect):
    """What cannot be looked up is a person's to decide, and does not go round."""
    gate = make_gate(dialect=dialect)
    gate.credit(ANN, balance=1)
    name, fields = ("42", []) if dialect == "v2" else ("no.number", ["uid", "uid-of-it"])
    now_ms = int(time.time() * 1000)
    gate.client.fcall("tollgate_record", 1, gate.key("queue"), name, "requested", now_ms, 86400000, *fields,
                      "account", ANN, "email", ANN, "start", now_ms // 1000 + 86400, "occurrences", 3)
    b = wait_place(gate, name, "dead")
    assert b["state"] == "waiting" and "no uid or number" in b["last_error"]
    assert purses(gate) == (1, 0, 0) and gate.fake.stats()["calls"] == 0
    assert gate.client.hget(gate.key("stats"), "dead") == "1"


# ---- In time ----

@pytest.mark.skipif(BUILD.name != "release", reason="only the release build is meant to be fast")
@both
def test_an_idle_gate_answers_within_milliseconds(make_gate, dialect):
    gate = make_gate(dialect=dialect)
    gate.credit(ANN, balance=100)
    took_ms = []
    for _ in range(50):
        id = gate.fake.book(ANN)["id"]
        gate.wait_settled(id)
        sent_ms = next(hook["sent_ms"] for hook in gate.fake.webhooks() if hook["booking"] == id)
        (call,) = gate.fake.calls(id)
        took_ms.append(call["t_ms"] - sent_ms)
    assert statistics.median(took_ms) < 10, took_ms
