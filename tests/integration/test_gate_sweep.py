"""What no webhook told is found by the sweep: whole gate, webhooks lost on the way."""

import time

import pytest

from harness import API_KEY, now_iso, wait_for
from outcomes import ANN, BOB, BOTH, CONFIRM, DECLINE, DECLINED, acts, movements, purses, wait_place

OFTEN = {"TOLLGATE_SWEEP_INTERVAL": "1"}

both = pytest.mark.parametrize("dialect", BOTH)


def age(gate, *ids, seconds=60):
    """As if the bookings had been made that long ago; what v1 does not tell is what was found first."""
    for id in ids:
        answer = gate.http.patch(f"{gate.fake.url}/v1/bookings/{id}", params={"apiKey": API_KEY},
                                 json={"createdAt": now_iso(-seconds)})
        assert answer.status_code == 200, answer.text


def ripen(gate, *ids):
    """v1: as if they had been found first that long ago."""
    for id in ids:
        wait_for(lambda: gate.client.zscore(gate.key("found"), id), what=f"{id} to be seen")
        gate.client.zincrby(gate.key("found"), -31000, id)


def lose(gate, count=1, email=ANN, **fields):
    """Bookings of which no webhook tells, made a minute ago."""
    made = gate.fake.book(email, webhook="lost", count=count, **fields)["bookings"]
    ids = [each["id"] for each in made]
    age(gate, *ids)
    if gate.dialect == "v1":
        ripen(gate, *ids)
    return ids


def swept(gate, times=1, workers=None):
    """So many whole sweeps from now on."""
    workers = workers or gate.workers

    def count():
        return sum(worker.metrics()["tollgate_worker_sweeps_total"] for worker in workers)
    before = count()
    wait_for(lambda: count() >= before + times, what="a sweep")


def status(gate, id):
    return gate.fake.booking(id)["status"]


# ---- Requests that were lost ----

@both
def test_a_lost_request_is_found_and_decided(make_gate, dialect):
    gate = make_gate(dialect=dialect, worker_env=OFTEN)
    gate.credit(ANN, balance=1)
    yes, no = lose(gate, 2)
    assert {gate.wait_settled(id)["state"] for id in (yes, no)} == {"accepted", "rejected"}
    assert sorted((status(gate, yes), status(gate, no))) == sorted(("ACCEPTED", DECLINED[dialect]))
    assert purses(gate) == (0, 0, 1)
    # Seen before it was acted on.
    for id in (yes, no):
        calls = [call["action"] for call in gate.fake.calls(id) if call["action"] != "patch"]
        assert calls[0] == "get"
    assert gate.worker.metrics()['tollgate_worker_sweep_found_total{result="queued"}'] == 2


def test_a_young_one_is_left_to_its_webhook(make_gate):
    gate = make_gate(worker_env=OFTEN)
    gate.credit(ANN, balance=5)
    id = gate.fake.book(ANN, webhook="lost")["id"]
    swept(gate, 2)
    assert gate.booking(id) == {}
    age(gate, id)
    assert gate.wait_settled(id)["state"] == "accepted"


def test_more_than_a_page(make_gate):
    gate = make_gate(workers=2, worker_env=OFTEN)
    gate.credit(ANN, balance=1000)
    ids = lose(gate, 230)
    for id in ids:
        assert gate.wait_settled(id, 60)["state"] == "accepted"
    assert purses(gate) == (770, 0, 230) and gate.fake.stats()["overlaps"] == 0


def test_more_than_a_page_v1(make_gate):
    gate = make_gate(dialect="v1", worker_env=OFTEN)
    gate.credit(ANN, balance=1000)
    for id in lose(gate, 130):
        assert gate.wait_settled(id, 60)["state"] == "accepted"


def test_only_our_event_types(make_gate):
    gate = make_gate(worker_env={**OFTEN, "TOLLGATE_EVENT_TYPES": "1300,1400"},
                     fake_arguments=["--event-type", "1300:requires-confirmation"])
    gate.credit(ANN, balance=5)
    ours, theirs = lose(gate, 1, eventTypeId=1300)[0], lose(gate)[0]
    assert gate.wait_settled(ours)["state"] == "accepted"
    swept(gate, 2)
    assert gate.booking(theirs) == {} and status(gate, theirs) == "PENDING"


@both
def test_of_a_paid_event_type_a_person_decides(make_gate, dialect):
    gate = make_gate(dialect=dialect, worker_env=OFTEN)
    gate.credit(ANN, balance=5)
    gate.client.sadd(gate.key("paid_event_types"), "1207")
    id = lose(gate)[0]
    b = wait_place(gate, id, "dead")
    assert "money" in b["last_error"] and gate.dead() == [str(id)]
    swept(gate, 2)
    assert status(gate, id) == "PENDING" and "confirm" not in acts(gate, id) and purses(gate) == (5, 0, 0)


def test_the_account_is_read_where_webhooks_have_it(make_gate):
    field = {"TOLLGATE_ACCOUNT_FIELD": "responses.member_number.value"}
    gate = make_gate(ingest_env=field, worker_env={**OFTEN, **field})
    gate.client.hset(gate.key("credit:m-7"), mapping={"balance": 3, "email": ANN})
    id = lose(gate, responses={"member_number": "M-7"})[0]
    b = gate.wait_settled(id)
    assert (b["state"], b["account"], b["email"]) == ("accepted", "m-7", ANN)


def test_an_account_that_the_list_cannot_tell(make_gate):
    field = {"TOLLGATE_ACCOUNT_FIELD": "organizer.id"}
    gate = make_gate(ingest_env=field, worker_env={**OFTEN, **field})
    id = lose(gate)[0]
    assert "TOLLGATE_ACCOUNT_FIELD" in wait_place(gate, id, "dead")["last_error"]
    assert status(gate, id) == "PENDING"


def test_seats(make_gate):
    gate = make_gate(worker_env=OFTEN, fake_arguments=[
        "--event-type", "1300:requires-confirmation:seats=10", "--seat-approval", "cloud"])
    gate.credit(ANN, balance=2)
    gate.credit(BOB, balance=2)
    first = gate.fake.book(ANN, eventTypeId=1300, webhook="lost")
    second = gate.fake.book(BOB, seatOf=first["id"], webhook="lost")
    age(gate, first["id"])
    for seat, email in ((first["seatUid"], ANN), (second["seatUid"], BOB)):
        b = gate.wait_settled(f"{first['id']}:{seat}")
        assert (b["state"], b["account"]) == ("accepted", email)
    assert purses(gate) == purses(gate, BOB) == (1, 0, 1)


def test_a_series_of_which_nothing_was_heard(make_gate):
    gate = make_gate(worker_env=OFTEN)
    gate.credit(ANN, balance=3)
    made = gate.fake.book(ANN, occurrences=3, webhook="lost")["bookings"]
    ids = [each["id"] for each in made]
    age(gate, *ids)
    assert {gate.wait_settled(id)["state"] for id in ids} == {"accepted"}
    assert purses(gate) == (0, 0, 3)


def test_a_reschedule_takes_the_charge_along(make_gate):
    gate = make_gate(worker_env=OFTEN)
    gate.credit(ANN, balance=2)
    old = gate.fake.book(ANN)
    gate.wait_settled(old["id"])
    new = gate.fake.book(ANN, rescheduleUid=old["uid"], webhook="lost")["id"]
    age(gate, new)
    assert gate.wait_settled(new)["state"] == "accepted"
    wait_for(lambda: gate.booking(old["id"])["state"] == "cancelled", what="the old one to be over")
    assert purses(gate) == (1, 0, 1)


# ---- What became of those that we know ----

@both
@pytest.mark.parametrize("by, balance", [("member", 5), ("host", 5)])
def test_a_lost_cancellation(make_gate, dialect, by, balance):
    gate = make_gate(dialect=dialect, worker_env=OFTEN)
    gate.credit(ANN, balance=5)
    id = gate.fake.book(ANN)["id"]
    gate.wait_settled(id)
    gate.fake.cancel(id, by=by, webhook="lost")
    wait_for(lambda: gate.booking(id)["state"] == "cancelled", what="the cancellation to be seen")
    assert purses(gate) == (balance, 0, 0)


@pytest.mark.parametrize("fault", [{"kind": "reset_before"}, {"kind": "status", "status": 502}], ids=str)
def test_a_look_that_fails_is_tried_again_soon(make_gate, fault):
    """And not when its turn comes again, which is an interval later at least."""
    gate = make_gate(worker_env={"TOLLGATE_SWEEP_INTERVAL": "0"})
    gate.credit(ANN, balance=5)
    id = gate.fake.book(ANN)["id"]
    gate.wait_settled(id)
    gate.worker.stop()
    gate.fake.cancel(id, by="host", webhook="lost")
    gate.fake.fault(action="get", times=1, **fault)
    gate.client.zadd(gate.key("known"), {id: 1})
    gate.client.hset(gate.key("sweep"), "next_ms", 1)
    gate.add_worker(TOLLGATE_SWEEP_INTERVAL="600")
    wait_for(lambda: gate.booking(id)["state"] == "cancelled", what="the cancellation to be seen")
    assert purses(gate) == (5, 0, 0) and acts(gate, id) == ["confirm"]
    assert len(gate.fake.calls(id, "get")) == 2


def test_a_lost_cancellation_that_came_too_late_is_kept(make_gate):
    gate = make_gate(worker_env=OFTEN)
    gate.credit(ANN, balance=5)
    id = gate.fake.book(ANN, start=now_iso(6 * 3600))["id"]
    gate.wait_settled(id)
    gate.fake.cancel(id, by="member", webhook="lost")
    wait_for(lambda: gate.booking(id)["state"] == "cancelled", what="the cancellation to be seen")
    assert purses(gate) == (4, 0, 1) and gate.booking(id)["cancelled_by"] == ANN


def test_a_lost_yes_by_hand_to_what_lies_under_dead(make_gate):
    """We had given up; the host lets it in, and nobody tells us."""
    gate = make_gate(worker_env=OFTEN)
    gate.credit(ANN, balance=5)
    body = {"error": {"message": "odd"}}
    gate.fake.fault("status", "confirm", status=503, headers={"Retry-After": "300"}, body=body)
    id = gate.fake.book(ANN)["id"]
    wait_place(gate, id, "retry")
    ago_ms = int(time.time() * 1000) - 25 * 3600 * 1000
    gate.client.hset(gate.key(f"booking:{id}"), mapping={"received_ms": ago_ms, "start": ago_ms // 1000})
    gate.fake.fault("status", "get", status=500)
    gate.client.zadd(gate.key("retry"), {id: 1})
    gate.wait_settled(gate.fake.book("nobody@example.com")["id"])
    wait_place(gate, id, "dead")
    swept(gate, 2)
    wait_place(gate, id, "dead")  # a look may be under way
    assert gate.dead() == [str(id)] and purses(gate) == (4, 1, 0), "looked at, and nothing else"
    gate.fake.confirm(id, webhook="lost")
    assert gate.wait_settled(id)["state"] == "accepted"
    assert gate.dead() == [] and purses(gate) == (4, 0, 1)


@both
def test_a_lost_decline_of_what_was_accepted(make_gate, dialect):
    gate = make_gate(dialect=dialect, worker_env=OFTEN)
    gate.credit(ANN, balance=5)
    id = gate.fake.book(ANN)["id"]
    gate.wait_settled(id)
    answer = gate.http.patch(f"{gate.fake.url}/v1/bookings/{id}", params={"apiKey": API_KEY},
                             json={"status": "REJECTED"})
    assert answer.status_code == 200
    wait_for(lambda: gate.booking(id)["state"] != "accepted", what="the decline to be seen")
    assert purses(gate) == (5, 0, 0)


@both
def test_a_lost_yes_against_our_no(make_gate, dialect):
    gate = make_gate(dialect=dialect, worker_env=OFTEN)
    gate.credit(ANN, balance=0)
    id = gate.fake.book(ANN)["id"]
    assert gate.wait_settled(id)["state"] == "rejected"
    gate.client.hincrby(gate.key(f"booking:{id}"), "settled_ms", -30001)  # what has just ended is left alone
    answer = gate.http.patch(f"{gate.fake.url}/v1/bookings/{id}", params={"apiKey": API_KEY},
                             json={"status": "ACCEPTED"})
    assert answer.status_code == 200
    wait_for(lambda: gate.booking(id)["state"] == "accepted", what="the host's yes to be seen")
    assert [kind for kind, _ in movements(gate)] == ["waive"] and purses(gate) == (0, 0, 0)


def test_looks_change_nothing_where_nothing_changed(make_gate):
    gate = make_gate(workers=2, worker_env=OFTEN)
    gate.credit(ANN, balance=9)
    ids = [gate.fake.book(ANN)["id"] for _ in range(5)]
    for id in ids:
        gate.wait_settled(id)
    wait_for(lambda: all(len(gate.fake.calls(id, "get")) >= 2 for id in ids), what="two looks at each")
    assert purses(gate) == (4, 0, 5) and [len(acts(gate, id)) for id in ids] == [1] * 5
    assert {gate.booking(id)["state"] for id in ids} == {"accepted"}
    assert gate.client.hgetall(gate.key("drift")) == {}
    assert sum(w.metrics()['tollgate_worker_bookings_total{result="accepted"}'] for w in gate.workers) == 5


# ---- Drift ----

@both
def test_drift_is_told_once_and_counted(make_gate, dialect):
    gate = make_gate(dialect=dialect, worker_env=OFTEN)
    gate.credit(ANN, balance=5)
    id = gate.fake.book(ANN)["id"]
    gate.wait_settled(id)
    gate.client.hset(gate.key(f"booking:{id}"), "charged", 0)
    line = gate.worker.wait_log("Cal.com and the ledger disagree; it is listed under drift", booking=id)
    assert "nothing was charged" in line["what"]
    assert list(gate.client.hgetall(gate.key("drift"))) == [str(id)]
    wait_for(lambda: gate.worker.metrics()["tollgate_drift"] == 1, what="the metric")
    swept(gate, 2)
    assert len(gate.worker.log_lines("Cal.com and the ledger disagree; it is listed under drift")) == 1
    gate.client.hset(gate.key(f"booking:{id}"), "charged", 1)
    wait_for(lambda: not gate.client.exists(gate.key("drift")), what="the drift to be over")


def test_an_accepted_booking_of_which_nothing_was_heard(make_gate):
    gate = make_gate(worker_env=OFTEN)
    id = gate.fake.book(ANN, webhook="lost")["id"]
    gate.fake.confirm(id, webhook="lost")
    age(gate, id)
    line = gate.worker.wait_log(level="warn", booking=id)
    assert "unknown here" in line["what"]
    assert gate.booking(id) == {}


# ---- Who sweeps, and how much ----

def sweepers(gate):
    return [w for w in gate.workers if w.is_running() and w.metrics()["tollgate_worker_sweeps_total"] > 0]


def test_of_two_workers_one_sweeps_at_a_time(make_gate):
    gate = make_gate(workers=2, worker_env=OFTEN)
    swept(gate, 3)
    lists = gate.fake.calls(action="list")
    ends = sorted((call["t_ms"], call["end_ms"]) for call in lists)
    assert all(ends[i][1] <= ends[i + 1][0] for i in range(len(ends) - 1)), "two at once"
    # A sweep asks twice: for the pending ones, and for the accepted ones of the last day.
    began = [t for t, _ in ends][::2]
    assert all(later - earlier >= 900 for earlier, later in zip(began, began[1:]))


def test_a_sweeper_that_is_killed_is_replaced(make_gate):
    gate = make_gate(workers=2, worker_env={**OFTEN, "CALCOM_TIMEOUT_MS": "500"})
    gate.credit(ANN, balance=5)
    swept(gate)
    gate.fake.fault("hang", "list", times=1)
    wait_for(lambda: gate.client.hget(gate.key("sweep"), "worker"), what="a sweep that hangs")
    name = wait_for(lambda: gate.client.hget(gate.key("sweep"), "worker"), what="its worker")
    victim = next(w for w in gate.workers if w.log_lines("working", worker=name))
    other = next(w for w in gate.workers if w is not victim)
    victim.kill9()
    id = lose(gate)[0]
    assert gate.wait_settled(id, 40)["state"] == "accepted"
    assert other.metrics()["tollgate_worker_sweeps_total"] >= 1


def test_the_sweep_takes_at_most_a_quarter(make_gate):
    gate = make_gate(worker_env={**OFTEN, "CALCOM_RATE_LIMIT": "40"})
    gate.credit(ANN, balance=50)
    wait_for(lambda: len(gate.fake.calls()) >= 10, what="the sweep's whole share")
    time.sleep(2)  # what is measured is that it makes no more
    assert len(gate.fake.calls()) == 10 and {call["action"] for call in gate.fake.calls()} == {"list"}
    ids = [made["id"] for made in gate.fake.book(ANN, count=8)["bookings"]]
    assert {gate.wait_settled(id)["state"] for id in ids} == {"accepted"}


def test_a_sweep_that_gets_no_list_goes_on(make_gate):
    """It stops nobody: the breaker is for calls that bookings need."""
    gate = make_gate(worker_env=OFTEN)
    gate.credit(ANN, balance=9)
    gate.fake.fault("status", "list", times=-1, status=404)
    gate.worker.wait_log("the sweep got no list of bookings")
    swept(gate, 2)
    assert gate.worker.is_ready()
    id = gate.fake.book(ANN)["id"]
    assert gate.wait_settled(id)["state"] == "accepted"
    gate.fake.clear_faults()
    assert gate.wait_settled(lose(gate)[0])["state"] == "accepted"


def test_no_sweep_when_it_is_switched_off(make_gate):
    gate = make_gate(worker_env={"TOLLGATE_SWEEP_INTERVAL": "0"})
    lost = gate.fake.book(ANN, webhook="lost")["id"]
    age(gate, lost)
    gate.client.hset(gate.key("sweep"), "next_ms", 1)
    time.sleep(2.5)  # what is measured is that nothing happens
    assert gate.fake.calls(action="list") == [] and gate.booking(lost) == {}


def test_declines_are_told_from_acts(make_gate):
    """A found booking without credit is declined once, however often it is listed."""
    gate = make_gate(workers=2, worker_env=OFTEN)
    gate.credit(ANN, balance=0)
    id = lose(gate)[0]
    gate.wait_settled(id)
    swept(gate, 2)
    assert [act for act in acts(gate, id) if act != "patch"] == [DECLINE["v2"]] and CONFIRM["v2"] not in acts(gate, id)
