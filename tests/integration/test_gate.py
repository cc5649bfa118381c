"""The gate as a whole: a webhook ends as an accepted or rejected booking, in both dialects."""

import statistics
import time

import pytest

from harness import BUILD, now_iso, sample, wait_for

ANN, BOB = "ann@example.com", "bob@example.com"
ACTS = {"v1": {"confirm": "patch", "decline": "cancel"}, "v2": {"confirm": "confirm", "decline": "decline"}}
NO_AFTER = {"v1": "CANCELLED", "v2": "REJECTED"}

both = pytest.mark.parametrize("dialect", ["v1", "v2"])


def acts(gate, booking):
    return [call["action"] for call in gate.fake.calls(booking) if call["action"] not in ("get", "list", "me")]


def looks(gate, booking):
    return len(gate.fake.calls(booking, "get"))


def purses(gate, email=ANN):
    account = gate.account(email)
    return account["balance"], account["held"], account["spent"]


def requested(id, **fields):
    """A webhook of now for a booking that the fake need not know."""
    return sample("BOOKING_REQUESTED", createdAt=now_iso(),
                  **{"payload.bookingId": id, "payload.uid": f"uid{id}", "payload.startTime": now_iso(7 * 86400),
                     "payload.endTime": now_iso(7 * 86400 + 3600), **fields})


# ---- The main job ----

@both
def test_credit_decides(make_gate, dialect):
    gate = make_gate(dialect=dialect)
    gate.credit(ANN, balance=1)
    yes, no = gate.fake.book(ANN)["id"], gate.fake.book(" Ann@Example.COM")["id"]
    assert gate.wait_settled(yes)["state"] == "accepted"
    assert gate.wait_settled(no)["state"] == "rejected"
    gate.wait_idle()
    assert gate.fake.booking(yes)["status"] == "ACCEPTED"
    assert gate.fake.booking(no)["status"] == NO_AFTER[dialect]
    assert purses(gate) == (0, 0, 1)
    told = gate.fake.booking(no)["rejectionReason" if dialect == "v2" else "cancellationReason"]
    assert told == "Not enough credit: this booking costs 1 credit, your balance is 0 credits."
    assert [entry["kind"] for entry in gate.ledger(ANN)] == ["adjust", "hold", "capture"]
    # One call each, and the echoes changed nothing.
    assert acts(gate, yes) == [ACTS[dialect]["confirm"]] and looks(gate, yes) == 0
    assert acts(gate, no) == [ACTS[dialect]["decline"]] and looks(gate, no) == 0


@both
def test_the_same_webhook_five_times(make_gate, dialect):
    gate = make_gate(dialect=dialect)
    gate.credit(ANN, balance=5)
    id = gate.fake.book(ANN, copies=5)["id"]
    gate.wait_settled(id)
    gate.fake.send(id, "BOOKING_REQUESTED", copies=5)
    gate.wait_idle()
    assert purses(gate) == (4, 0, 1)
    assert len(gate.fake.calls(id)) == 1
    assert len(gate.client.xrange(gate.key("decisions"))) == 1


@both
def test_two_hundred_at_once_over_ten_credits(make_gate, dialect):
    gate = make_gate(workers=4, dialect=dialect)
    gate.credit(ANN, balance=10)
    ids = [booking["id"] for booking in gate.fake.book(ANN, count=200)["bookings"]]
    wait_for(lambda: gate.client.hlen(gate.key("done")) == 200, 60, "200 settled bookings")
    gate.wait_idle()
    states = [gate.booking(id)["state"] for id in ids]
    assert (states.count("accepted"), states.count("rejected")) == (10, 190)
    assert purses(gate) == (0, 0, 10)
    at_calcom = [booking["status"] for booking in gate.fake.bookings()]
    assert (at_calcom.count("ACCEPTED"), at_calcom.count(NO_AFTER[dialect])) == (10, 190)
    assert gate.fake.stats()["overlaps"] == 0
    assert max(booking["calendarEvents"] for booking in gate.fake.bookings()) <= 1


@both
def test_the_guides_flow(make_gate, dialect):
    """The event type needs no confirmation: Cal.com has accepted already, and a "no" cancels."""
    gate = make_gate(dialect=dialect, fake_arguments=["--event-type", "7:auto"])
    gate.credit(ANN, balance=1)
    yes, no = gate.fake.book(ANN, eventTypeId=7)["id"], gate.fake.book(ANN, eventTypeId=7)["id"]
    assert gate.wait_settled(yes)["state"] == "accepted"
    assert gate.wait_settled(no)["state"] == "rejected"
    gate.wait_idle()
    assert gate.fake.booking(yes)["status"] == "ACCEPTED"
    assert gate.fake.booking(no)["status"] == "CANCELLED"
    assert gate.fake.booking(no)["cancellationReason"].startswith("Not enough credit")
    assert acts(gate, yes) == (["patch"] if dialect == "v1" else [])
    assert acts(gate, no) == ["cancel"]
    assert purses(gate) == (0, 0, 1)


def test_other_event_types_are_left_alone(make_gate):
    gate = make_gate(ingest_env={"TOLLGATE_EVENT_TYPES": "1207,8"})
    gate.credit(ANN, balance=5)
    ours, theirs = gate.fake.book(ANN)["id"], gate.fake.book(ANN, eventTypeId=9)["id"]
    gate.wait_settled(ours)
    assert gate.booking(theirs) == {} and gate.fake.calls(theirs) == []


# ---- Every row of the table: goal × how Cal.com says the booking stands ----

def change(gate, id, status):
    """Makes the fake's booking stand so, without telling the gate."""
    if status == "accepted":
        gate.fake.confirm(id, webhook="lost")
    elif status == "rejected":
        gate.fake.decline(id, webhook="lost")
    elif status == "cancelled":
        gate.fake.cancel(id, webhook="lost")


@both
@pytest.mark.parametrize("goal, status, state, left, act", [
    ("accept", "pending", "accepted", (4, 0, 1), "confirm"),
    ("accept", "accepted", "accepted", (4, 0, 1), None),
    ("accept", "rejected", "rejected", (5, 0, 0), None),
    ("accept", "cancelled", "cancelled", (5, 0, 0), None),
    ("accept", "gone", "cancelled", (5, 0, 0), None),
    ("reject", "pending", "rejected", (0, 0, 0), "decline"),
    ("reject", "accepted", "accepted", (0, 0, 0), None),
    ("reject", "rejected", "rejected", (0, 0, 0), None),
    ("reject", "cancelled", "rejected", (0, 0, 0), None),
    ("reject", "gone", "rejected", (0, 0, 0), None),
])
def test_the_table(make_gate, dialect, goal, status, state, left, act):
    gate = make_gate(workers=0, dialect=dialect, worker_env={"TOLLGATE_FRESH_MS": "0"})
    gate.credit(ANN, balance=5 if goal == "accept" else 0)
    if status == "gone":
        id = 999999
        assert gate.post(requested(id, **{"payload.responses.email.value": ANN})).status_code == 202
    else:
        id = gate.fake.book(ANN)["id"]
        change(gate, id, status)
    before = len(gate.fake.calls(id))
    gate.add_worker()
    assert gate.wait_settled(id)["state"] == state
    gate.wait_idle()
    assert purses(gate) == left
    assert acts(gate, id)[before:] == ([ACTS[dialect][act]] if act else [])
    if status == "accepted" and goal == "reject":
        assert gate.ledger(ANN)[-1]["kind"] == "waive"


@both
def test_cancelled_while_our_confirm_is_on_its_way(make_gate, dialect):
    """Our confirm wins at Cal.com against the cancel: it is taken back, and nothing is charged."""
    gate = make_gate(dialect=dialect)
    gate.credit(ANN, balance=5)
    gate.fake.fault("latency", ACTS[dialect]["confirm"], ms=700, between=True)
    id = gate.fake.book(ANN)["id"]
    wait_for(lambda: gate.booking(id).get("state") == "accepting", what="a decision")
    gate.fake.cancel(id)
    assert gate.wait_settled(id)["state"] == "cancelled"
    gate.wait_idle()
    assert gate.fake.booking(id)["status"] == "CANCELLED"
    assert purses(gate) == (5, 0, 0)


@both
def test_cancelled_before_a_decision_charges_nothing(make_gate, dialect):
    gate = make_gate(workers=0, dialect=dialect)
    gate.credit(ANN, balance=5)
    id = gate.fake.book(ANN)["id"]
    gate.fake.cancel(id)
    gate.add_worker()
    assert gate.wait_settled(id)["state"] == "cancelled"
    assert purses(gate) == (5, 0, 0) and acts(gate, id) == []


@both
def test_accepted_by_hand_before_a_decision(make_gate, dialect):
    """The host is the boss: charged where the credit is there, else waived."""
    gate = make_gate(workers=0, dialect=dialect)
    gate.credit(ANN, balance=1)
    gate.credit(BOB, balance=0)
    ids = [gate.fake.book(email)["id"] for email in (ANN, BOB)]
    for id in ids:
        gate.fake.confirm(id)
    gate.add_worker()
    assert [gate.wait_settled(id)["state"] for id in ids] == ["accepted", "accepted"]
    assert purses(gate, ANN) == (0, 0, 1) and purses(gate, BOB) == (0, 0, 0)
    assert [acts(gate, id) for id in ids] == [[], []]


@pytest.mark.parametrize("by, days, left", [("host", 0.5, (5, 0, 0)), ("member", 7, (5, 0, 0)),
                                            ("member", 0.5, (4, 0, 1))])
def test_cancelled_after_acceptance(gate, by, days, left):
    gate.credit(ANN, balance=5)
    id = gate.fake.book(ANN, start=now_iso(days * 86400))["id"]
    gate.wait_settled(id)
    gate.fake.cancel(id, by=by)
    wait_for(lambda: gate.booking(id)["state"] == "cancelled", what="the cancellation")
    assert purses(gate) == left


# ---- Faults of the API ----

@both
def test_server_errors_are_tried_again(make_gate, dialect):
    gate = make_gate(dialect=dialect)
    gate.credit(ANN, balance=5)
    gate.fake.fault("status", ACTS[dialect]["confirm"], times=2, status=500)
    id = gate.fake.book(ANN)["id"]
    assert gate.wait_settled(id)["state"] == "accepted"
    assert gate.booking(id)["attempts"] == "2"
    assert purses(gate) == (4, 0, 1)


@both
def test_throttled_waits_and_burns_nothing(make_gate, dialect):
    gate = make_gate(dialect=dialect)
    gate.credit(ANN, balance=5)
    gate.fake.fault("throttle", reset=2)
    first = gate.fake.book(ANN)["id"]
    wait_for(lambda: gate.booking(first).get("place") == "retry", what="a retry")
    second = gate.fake.book(ANN)["id"]
    assert [gate.wait_settled(id)["attempts"] for id in (first, second)] == ["0", "0"]
    calls = gate.fake.calls()
    assert calls[0]["status"] == 429
    assert all(call["t_ms"] - calls[0]["t_ms"] >= 1900 for call in calls[1:]), "everybody waits"


@both
def test_an_answer_that_got_lost_is_looked_for(make_gate, dialect):
    """Cal.com did it and the connection broke: found by a look, never asked for again."""
    gate = make_gate(dialect=dialect)
    gate.credit(ANN, balance=5)
    gate.fake.fault("reset_after", ACTS[dialect]["confirm"])
    id = gate.fake.book(ANN)["id"]
    assert gate.wait_settled(id)["state"] == "accepted"
    assert acts(gate, id) == [ACTS[dialect]["confirm"]] and looks(gate, id) == 1
    assert purses(gate) == (4, 0, 1)


@both
def test_a_call_that_was_never_done_is_done_again(make_gate, dialect):
    gate = make_gate(dialect=dialect)
    gate.credit(ANN, balance=5)
    gate.fake.fault("reset_before", ACTS[dialect]["confirm"])
    id = gate.fake.book(ANN)["id"]
    assert gate.wait_settled(id)["state"] == "accepted"
    assert gate.fake.booking(id)["status"] == "ACCEPTED" and purses(gate) == (4, 0, 1)


def test_after_a_timeout_the_same_is_not_asked_for_at_once(make_gate):
    """Cal.com may still be at it."""
    gate = make_gate(worker_env={"CALCOM_TIMEOUT_MS": "500"})
    gate.credit(ANN, balance=5)
    gate.fake.fault("hang", "confirm")
    id = gate.fake.book(ANN)["id"]
    wait_for(lambda: gate.booking(id).get("place") == "retry", what="a retry")
    due_in_ms = gate.client.zscore(gate.key("retry"), id) - time.time() * 1000
    assert 28000 < due_in_ms <= 30000
    assert acts(gate, id) == ["confirm"] and looks(gate, id) == 1
    assert purses(gate) == (4, 1, 0), "the hold stays while nobody knows"


def test_a_refused_booking_is_released_and_listed(gate):
    gate.credit(ANN, balance=5)
    gate.fake.fault("status", "confirm", status=400, body={"error": {"message": "no calendar"}})
    id = gate.fake.book(ANN)["id"]
    b = gate.wait_settled(id)
    assert (b["state"], b["place"]) == ("failed", "dead")
    assert "no calendar" in b["last_error"]
    assert gate.dead() == [str(id)] and purses(gate) == (5, 0, 0)


@both
def test_a_wrong_key_burns_nothing(make_gate, dialect):
    gate = make_gate(dialect=dialect, worker_env={"CALCOM_API_KEY": "cal_wrong"})
    gate.allow_errors.append("Cal.com refuses the key")
    gate.credit(ANN, balance=5)
    ids = [gate.fake.book(ANN)["id"] for _ in range(3)]
    gate.worker.wait_log("Cal.com refuses the key, its rights or the URL: no booking can be settled; check "
                         "CALCOM_API_KEY, CALCOM_API_URL and CALCOM_API_VERSION")
    first = wait_for(lambda: [id for id in ids if gate.booking(id)["place"] == "retry"], what="a retry")
    assert all(gate.booking(id)["attempts"] == "0" for id in first)
    assert "cal_wrong" not in gate.worker.log_text()


def test_calcom_away_and_back(make_gate):
    gate = make_gate()
    gate.credit(ANN, balance=5)
    # A name and id of its own: the fake that comes back has forgotten everything.
    gate.fake.fault("status", "any", times=3, status=503)
    id = gate.fake.book(ANN)["id"]
    assert gate.wait_settled(id)["state"] == "accepted"


# ---- Redis ----

def test_redis_dies_with_bookings_in_flight(make_gate):
    gate = make_gate(workers=2, appendonly=True, arguments=["--appendfsync", "always"])
    gate.credit(ANN, balance=50)
    gate.fake.fault("latency", times=-1, ms=400)
    ids = [booking["id"] for booking in gate.fake.book(ANN, count=20)["bookings"]]
    gate.redis.kill9()
    gate.redis.restart()
    gate.client = gate.redis.client()
    for id in ids:
        assert gate.wait_settled(id, 40)["state"] == "accepted"
    assert purses(gate) == (30, 0, 20)
    assert gate.fake.stats()["overlaps"] == 0


def test_a_lost_library_is_loaded_again(gate):
    gate.credit(ANN, balance=5)
    gate.wait_settled(gate.fake.book(ANN)["id"])
    gate.client.execute_command("FUNCTION", "FLUSH")
    id = gate.fake.book(ANN)["id"]
    if not gate.booking(id):  # the first after the loss is answered 503
        gate.fake.send(id, "BOOKING_REQUESTED")
    assert gate.wait_settled(id)["state"] == "accepted"


# ---- The worker's life ----

def test_sigterm_finishes_what_is_in_flight(make_gate):
    gate = make_gate(worker_env={"TOLLGATE_CONCURRENCY": "2"})
    gate.credit(ANN, balance=50)
    gate.fake.fault("latency", times=-1, ms=700)
    gate.fake.book(ANN, count=6)
    wait_for(lambda: gate.fake.stats()["inFlight"] == 2, what="two calls in flight")
    gate.worker.sigterm()
    assert gate.worker.wait_exit() == 0
    assert gate.client.hlen(gate.key("done")) >= 2
    assert gate.client.llen(gate.key("queue")) == 6 - gate.client.hlen(gate.key("done"))
    assert not list(gate.client.scan_iter(match=gate.key("active:*")))
    assert gate.client.zcard(gate.key("workers")) == 0


def test_sigterm_hands_back_what_hangs(make_gate):
    gate = make_gate(worker_env={"CALCOM_TIMEOUT_MS": "60000"})
    gate.credit(ANN, balance=5)
    gate.fake.fault("hang", times=-1)
    id = gate.fake.book(ANN)["id"]
    wait_for(lambda: gate.fake.stats()["inFlight"] == 1, what="a call in flight")
    started = time.monotonic()
    gate.worker.sigterm()
    assert gate.worker.wait_exit() == 0
    assert 9 < time.monotonic() - started < 13
    assert gate.queue() == [str(id)] and gate.booking(id)["place"] == "queue"


def test_a_second_sigterm_exits_at_once(make_gate):
    gate = make_gate(worker_env={"CALCOM_TIMEOUT_MS": "60000"})
    gate.credit(ANN, balance=5)
    gate.fake.fault("hang", times=-1)
    gate.fake.book(ANN)
    wait_for(lambda: gate.fake.stats()["inFlight"] == 1, what="a call in flight")
    gate.worker.sigterm()
    gate.worker.wait_log("draining")
    gate.worker.sigterm()
    assert gate.worker.wait_exit(3) == 1


def test_an_idle_worker_sleeps_and_leaves_at_once(gate):
    def blocked():
        return [c for c in gate.client.client_list() if c["cmd"] == "blmove"]
    wait_for(blocked, what="a blocking pop")
    commands = gate.client.info("stats")["total_commands_processed"]
    ticks = cpu_ticks(gate.worker.pid) + cpu_ticks(gate.ingest.pid)
    time.sleep(3)  # what is measured is that nothing happens
    assert gate.client.info("stats")["total_commands_processed"] - commands <= 3
    assert cpu_ticks(gate.worker.pid) + cpu_ticks(gate.ingest.pid) - ticks <= 2
    started = time.monotonic()
    gate.worker.sigterm()
    assert gate.worker.wait_exit() == 0 and time.monotonic() - started < 1.5
    assert not gate.client.exists(gate.key("workers"), *gate.client.scan_iter(match=gate.key("worker:*")))


def cpu_ticks(pid):
    with open(f"/proc/{pid}/stat") as stat:
        fields = stat.read().rsplit(")", 1)[1].split()
    return int(fields[11]) + int(fields[12])


def test_retries_are_due_while_idle(gate):
    """The worker sleeps in a blocking pop, and still wakes for a retry that another one left."""
    gate.credit(ANN, balance=5)
    gate.fake.fault("status", "confirm", status=502)
    assert gate.wait_settled(gate.fake.book(ANN)["id"])["attempts"] == "1"


@pytest.mark.skipif("asan" in BUILD.name, reason="sanitizers take memory and time of their own")
def test_small_and_quick(gate):
    for daemon in (gate.ingest, gate.worker):
        with open(f"/proc/{daemon.pid}/status") as status:
            rss = next(int(line.split()[1]) for line in status if line.startswith("VmRSS"))
        assert rss < 10 * 1024, f"{daemon} takes {rss} kB"
    gate.credit(ANN, balance=100)
    ids = [gate.fake.book(ANN)["id"] for _ in range(50)]
    for id in ids:
        gate.wait_settled(id)
    sent = {hook["booking"]: hook["sent_ms"] for hook in gate.fake.webhooks() if hook["trigger"] == "BOOKING_REQUESTED"}
    took = [gate.fake.calls(id)[0]["end_ms"] - sent[id] for id in ids]
    assert statistics.median(took) < 10, took


# ---- The policy ----

def test_a_policy_of_ones_own(make_gate, tmp_path):
    file = tmp_path / "policy.lua"
    file.write_text("return function(b, a) return { accept = true, cost = 0, reason = 'free' } end")
    gate = make_gate(worker_env={"TOLLGATE_POLICY_FILE": str(file)})
    assert gate.wait_settled(gate.fake.book(BOB)["id"])["reason"] == "free"
    file.write_text("return function(b, a) return { accept = false, cost = 0, reason = 'closed' } end")
    gate.worker.send_signal(1)
    wait_for(lambda: len(gate.worker.log_lines("policy", result="installed")) == 2, what="the new policy")
    assert gate.wait_settled(gate.fake.book(BOB)["id"])["reason"] == "closed"


def test_a_policy_that_does_not_load_stops_the_start(make_gate, tmp_path):
    file = tmp_path / "policy.lua"
    file.write_text("return function(b, a)\n  return { accept = }\nend")
    gate = make_gate(workers=0)
    gate.allow_errors.extend(["the policy is refused", "TOLLGATE_POLICY_FILE does not load"])
    worker = gate.add_worker(TOLLGATE_POLICY_FILE=str(file))
    assert worker.wait_exit() == 1
    assert "policy:2:" in worker.log_text()


def test_a_policy_that_fails_parks_its_booking(make_gate, tmp_path):
    file = tmp_path / "policy.lua"
    file.write_text("return function(b) if b.account == 'bob@example.com' then error('no idea') end\n"
                    "return { accept = true, cost = 0, reason = 'free' } end")
    gate = make_gate(worker_env={"TOLLGATE_POLICY_FILE": str(file)})
    bad, good = gate.fake.book(BOB)["id"], gate.fake.book(ANN)["id"]
    assert gate.wait_settled(good)["state"] == "accepted"
    wait_for(lambda: gate.dead() == [str(bad)], what="a parked booking")
    assert "no idea" in gate.booking(bad)["last_error"] and gate.booking(bad)["state"] == "waiting"


# ---- What nobody may read ----

def test_nothing_secret_in_the_logs(make_gate):
    gate = make_gate(dialect="v1", worker_env={"TOLLGATE_LOG_LEVEL": "debug"}, ingest_env={"TOLLGATE_LOG_LEVEL": "debug"})
    gate.credit(ANN, balance=5)
    gate.wait_settled(gate.fake.book(ANN)["id"])
    body = sample("BOOKING_REQUESTED", createdAt=now_iso(), **{"payload.oneTimePassword": "otp-0-secret"})
    gate.post(body)
    logs = gate.worker.log_text() + gate.ingest.log_text()
    for secret in ("cal_test_key", "s3cr3t-example", "otp-0-secret"):
        assert secret not in logs


@pytest.mark.parametrize("name, value, part", [
    ("CALCOM_API_URL", "", "is not set"),
    ("CALCOM_API_URL", "https://api.cal.com/v3", "/v2"),
    ("CALCOM_API_URL", "ftp://api.cal.com/v2", "https://"),
    ("CALCOM_API_KEY", "", "is not set"),
    ("TOLLGATE_CONCURRENCY", "0", "1 to 1000"),
    ("TOLLGATE_FRESH_MS", "soon", "0 to 60000"),
    ("TOLLGATE_LEASE_MS", "1", "1000 to 600000"),
    ("CALCOM_TIMEOUT_MS", "100", "500 to 300000"),
    ("REDIS_URL", "http://x", "redis://"),
    ("TOLLGATE_NAMESPACE", "a b", "letters"),
    ("TOLLGATE_ADMIN_LISTEN", "localhost", "IP address"),
    ("TOLLGATE_LOG_FORMAT", "xml", "logfmt|json"),
])
def test_a_wrong_setting_stops_the_start(house, name, value, part):
    worker = house.worker("redis://127.0.0.1:1", "http://127.0.0.1:1/v2", **{name: value})
    assert worker.wait_exit() == 2
    assert name in worker.log_text() and part in worker.log_text().replace("from ", "")
