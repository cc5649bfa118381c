"""Cal.com's API fails in every way it can. Whatever happens, the credit moves once, nothing is asked for a
second time while the first may still be done, and every booking ends."""

import email.utils
import socket
import threading
import time

import pytest

from harness import API_KEY, wait_for
from outcomes import ANN, BOTH, CONFIRM, DECLINE, acts, looks, movements, purses, unknown_booking, wait_place

CAPTURED = [("hold", 1), ("capture", 1)]
RELEASED = [("hold", 1), ("release", 1)]
KEY_REFUSED = "Cal.com refuses the key"
NO_ROUTE = "Cal.com has no such route"
LATER = {"Retry-After": "300"}

both = pytest.mark.parametrize("dialect", BOTH)


class Forwarder:
    """Stands before the fake and can be away: connections are then refused, as when Cal.com is restarted."""

    def __init__(self, url):
        host, port = url.rsplit("/", 1)[1].split(":")
        self.behind = (host, int(port))
        self.port = 0
        self.sockets = []
        self.open()

    @property
    def url(self):
        return f"http://127.0.0.1:{self.port}"

    def open(self):
        self.door = socket.create_server(("127.0.0.1", self.port), reuse_port=False)
        self.port = self.door.getsockname()[1]
        threading.Thread(target=self._accept, args=(self.door,), daemon=True).start()

    def close(self):
        """Also ends the connections that are open."""
        for each in [self.door, *self.sockets]:
            try:
                each.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass
            each.close()
        self.sockets = []

    def _accept(self, door):
        while True:
            try:
                near = door.accept()[0]
                far = socket.create_connection(self.behind)
            except OSError:
                return
            self.sockets += [near, far]
            for source, target in ((near, far), (far, near)):
                threading.Thread(target=self._pump, args=(source, target), daemon=True).start()

    @staticmethod
    def _pump(source, target):
        try:
            while data := source.recv(65536):
                target.sendall(data)
            target.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass


def make_due(gate, id):
    """Lets the time of its retry come, with it the end of a call that was not answered, and wakes a worker by
    other work."""
    gate.client.hset(gate.key(f"booking:{id}"), "busy_until_ms", 1)
    gate.client.zadd(gate.key("retry"), {id: 1})
    gate.wait_settled(gate.fake.book("nobody@example.com")["id"])


def due_in_ms(gate, id):
    """How long until its retry; 0 when it waits for none (or less)."""
    seconds, micros = gate.client.time()
    return (gate.client.zscore(gate.key("retry"), id) or 0) - seconds * 1000 - micros // 1000


def statuses(gate, id):
    return [(call["action"], call["status"]) for call in gate.fake.calls(id)]


# ---- Errors that pass ----

@both
def test_errors_that_pass_are_tried_again(make_gate, dialect):
    status = 500
    gate = make_gate(dialect=dialect)
    gate.credit(ANN, balance=1)
    gate.fake.fault("status", CONFIRM[dialect], times=2, status=status)
    id = gate.fake.book(ANN)["id"]
    b = wait_place(gate, id, "retry")
    assert (b["state"], b["held"]) == ("accepting", "1") and str(status) in b["last_error"]
    b = gate.wait_settled(id)
    assert (b["state"], b["attempts"]) == ("accepted", "2")
    # Unseen at first, then never without a look.
    act = CONFIRM[dialect]
    assert statuses(gate, id) == [(act, status), ("get", 200), (act, status), ("get", 200), (act, 200)]
    assert movements(gate) == CAPTURED and purses(gate) == (0, 0, 1)
    assert gate.client.hget(gate.key("stats"), "retries") == "2"


@both
def test_a_no_is_tried_again_as_well(make_gate, dialect):
    gate = make_gate(dialect=dialect)
    gate.credit(ANN, balance=0)
    gate.fake.fault("status", DECLINE[dialect], status=502)
    id = gate.fake.book(ANN)["id"]
    b = gate.wait_settled(id)
    assert (b["state"], b["attempts"]) == ("rejected", "1")
    assert acts(gate, id) == [DECLINE[dialect]] * 2 and movements(gate) == []


@both
def test_an_error_after_the_deed_is_found_out(make_gate, dialect):
    gate = make_gate(dialect=dialect)
    gate.credit(ANN, balance=1)
    gate.fake.fault("status", CONFIRM[dialect], status=504, after=True)
    id = gate.fake.book(ANN)["id"]
    assert gate.wait_settled(id)["state"] == "accepted"
    assert acts(gate, id) == [CONFIRM[dialect]] and movements(gate) == CAPTURED


@both
def test_a_look_that_fails_is_tried_again(make_gate, dialect):
    gate = make_gate(dialect=dialect, worker_env={"TOLLGATE_FRESH_MS": "0"})
    gate.credit(ANN, balance=1)
    gate.fake.fault("status", "get", status=500)
    id = gate.fake.book(ANN)["id"]
    b = gate.wait_settled(id)
    assert (b["state"], b["attempts"]) == ("accepted", "1")
    assert statuses(gate, id) == [("get", 500), ("get", 200), (CONFIRM[dialect], 200)]


def test_a_look_that_tells_nothing_is_tried_again(make_gate):
    gate = make_gate(worker_env={"TOLLGATE_FRESH_MS": "0"})
    gate.credit(ANN, balance=1)
    gate.fake.fault("status", "get", status=200, body={"status": "success", "data": {"status": "on the moon"}})
    id = gate.fake.book(ANN)["id"]
    b = gate.wait_settled(id)
    assert (b["state"], b["attempts"]) == ("accepted", "1")


def test_retry_after_of_an_error_is_heeded(gate):
    gate.credit(ANN, balance=1)
    gate.fake.fault("status", "confirm", status=503, headers=LATER)
    id = gate.fake.book(ANN)["id"]
    wait_place(gate, id, "retry")
    assert 295000 < due_in_ms(gate, id) <= 300000
    # One booking waits, the others do not.
    gate.credit("bob@example.com", balance=1)
    assert gate.wait_settled(gate.fake.book("bob@example.com")["id"])["state"] == "accepted"


@both
def test_latency_is_no_error(make_gate, dialect):
    gate = make_gate(dialect=dialect, worker_env={"TOLLGATE_CONCURRENCY": "5"})
    gate.credit(ANN, balance=20)
    gate.fake.config(latencyMs=150)
    ids = [made["id"] for made in gate.fake.book(ANN, count=20)["bookings"]]
    for id in ids:
        b = gate.wait_settled(id)
        assert (b["state"], b["attempts"]) == ("accepted", "0")
    seen = gate.fake.stats()
    assert seen["maxConcurrent"] == 5 and seen["overlaps"] == 0
    assert purses(gate) == (0, 0, 20)


# ---- Too many calls ----

@both
def test_throttled_everybody_waits_and_nothing_is_burned(make_gate, dialect):
    gate = make_gate(dialect=dialect)
    gate.credit(ANN, balance=5)
    gate.fake.fault("throttle", reset=2)
    ids = [gate.fake.book(ANN)["id"]]
    wait_place(gate, ids[0], "retry")
    ids += [made["id"] for made in gate.fake.book(ANN, count=4)["bookings"]]
    records = [gate.wait_settled(id) for id in ids]
    assert {(b["state"], b["attempts"]) for b in records} == {("accepted", "0")}
    calls = gate.fake.calls()
    assert calls[0]["status"] == 429 and [call["status"] for call in calls].count(429) == 1
    assert min(call["t_ms"] for call in calls[1:]) - calls[0]["t_ms"] >= 1900
    assert purses(gate) == (0, 0, 5)
    assert gate.worker.metrics()['tollgate_worker_calcom_answers_total{class="throttled"}'] == 1


@pytest.mark.parametrize("header, value", [
    ("Retry-After", lambda: "2"),
    ("Retry-After", lambda: email.utils.formatdate(time.time() + 3, usegmt=True)),
    ("X-RateLimit-Reset", lambda: str(int(time.time()) + 3)),
    ("X-RateLimit-Reset-Default", lambda: "2"),
], ids=["seconds", "date", "epoch", "v2"])
def test_every_way_to_say_when(gate, header, value):
    gate.credit(ANN, balance=1)
    gate.fake.fault("status", "confirm", status=429, headers={header: value()})
    id = gate.fake.book(ANN)["id"]
    wait_place(gate, id, "retry")
    assert 1000 < due_in_ms(gate, id) <= 3100
    assert gate.booking(id)["attempts"] == "0"


def test_throttled_without_a_time_waits_a_minute(gate):
    gate.credit(ANN, balance=1)
    gate.fake.fault("status", "confirm", status=429)
    id = gate.fake.book(ANN)["id"]
    wait_place(gate, id, "retry")
    assert 55000 < due_in_ms(gate, id) <= 60000
    assert purses(gate) == (0, 1, 0)


def test_two_throttled_at_once_wait_for_the_later(make_gate):
    """Calls that were on their way when the first 429 came."""
    gate = make_gate()
    gate.credit(ANN, balance=3)
    gate.fake.config(latencyMs=200)
    gate.fake.fault("throttle", reset=1, times=3)
    ids = [made["id"] for made in gate.fake.book(ANN, count=3)["bookings"]]
    assert [gate.wait_settled(id)["attempts"] for id in ids] == ["0"] * 3
    assert purses(gate) == (0, 0, 3)


# ---- No answer ----

@both
@pytest.mark.parametrize("kind", ["hang", "reset_after"])
def test_done_without_an_answer_is_found_by_a_look(make_gate, dialect, kind):
    gate = make_gate(dialect=dialect, worker_env={"CALCOM_TIMEOUT_MS": "500"})
    gate.credit(ANN, balance=1)
    gate.fake.fault(kind, CONFIRM[dialect], after=True)
    id = gate.fake.book(ANN)["id"]
    b = gate.wait_settled(id)
    gate.wait_idle()
    assert (b["state"], b["attempts"]) == ("accepted", "0")
    assert statuses(gate, id) == [(CONFIRM[dialect], 0), ("get", 200)]
    assert movements(gate) == CAPTURED and purses(gate) == (0, 0, 1)


@both
@pytest.mark.parametrize("kind", ["hang", "reset_after"])
def test_a_no_done_without_an_answer(make_gate, dialect, kind):
    gate = make_gate(dialect=dialect, worker_env={"CALCOM_TIMEOUT_MS": "500"})
    gate.credit(ANN, balance=0)
    gate.fake.fault(kind, DECLINE[dialect], after=True)
    id = gate.fake.book(ANN)["id"]
    assert gate.wait_settled(id)["state"] == "rejected"
    assert acts(gate, id) == [DECLINE[dialect]] and looks(gate, id) == 1


@both
def test_after_a_timeout_nothing_is_asked_for_within_half_a_minute(make_gate, dialect):
    """Cal.com may still be at it. The hold stays as long as nobody knows."""
    gate = make_gate(dialect=dialect, worker_env={"CALCOM_TIMEOUT_MS": "500"})
    gate.credit(ANN, balance=1)
    gate.fake.fault("hang", CONFIRM[dialect])
    id = gate.fake.book(ANN)["id"]
    b = wait_place(gate, id, "retry")
    assert 28500 < due_in_ms(gate, id) <= 30000
    assert (b["state"], b["held"], b["attempts"]) == ("accepting", "1", "1")
    assert acts(gate, id) == [CONFIRM[dialect]] and looks(gate, id) == 1
    assert purses(gate) == (0, 1, 0)
    make_due(gate, id)
    assert gate.wait_settled(id)["state"] == "accepted"
    assert movements(gate) == CAPTURED


@both
@pytest.mark.parametrize("look", [{"kind": "throttle", "reset": 1}, {"kind": "status", "status": 500}],
                         ids=["throttled", "500"])
def test_a_look_after_a_timeout_fails(make_gate, dialect, look):
    """Whatever becomes of the look, the half minute stands."""
    gate = make_gate(dialect=dialect, worker_env={"CALCOM_TIMEOUT_MS": "500"})
    gate.credit(ANN, balance=1)
    gate.fake.fault("hang", CONFIRM[dialect])
    gate.fake.fault(action="get", **look)
    id = gate.fake.book(ANN)["id"]
    wait_place(gate, id, "retry")
    wait_for(lambda: acts(gate, id)[1:] or due_in_ms(gate, id) > 20000,
             what="a second act, or a time that is far enough")
    assert acts(gate, id) == [CONFIRM[dialect]], "asked again while Cal.com may still be at it"


@both
def test_a_connection_that_breaks_before_the_deed(make_gate, dialect):
    """Unknown until looked at; then tried again."""
    gate = make_gate(dialect=dialect)
    gate.credit(ANN, balance=1)
    gate.fake.fault("reset_before", CONFIRM[dialect])
    id = gate.fake.book(ANN)["id"]
    b = gate.wait_settled(id)
    assert (b["state"], b["attempts"]) == ("accepted", "1")
    # A look follows the break, and another one comes before the next act.
    assert statuses(gate, id) == [(CONFIRM[dialect], 0), ("get", 200), ("get", 200), (CONFIRM[dialect], 200)]
    assert movements(gate) == CAPTURED


@both
def test_a_look_without_an_answer(make_gate, dialect):
    gate = make_gate(dialect=dialect, worker_env={"CALCOM_TIMEOUT_MS": "500", "TOLLGATE_FRESH_MS": "0"})
    gate.credit(ANN, balance=1)
    gate.fake.fault("hang", "get")
    id = gate.fake.book(ANN)["id"]
    b = gate.wait_settled(id)
    assert (b["state"], b["attempts"]) == ("accepted", "1") and acts(gate, id) == [CONFIRM[dialect]]


@both
def test_calcom_is_away_and_comes_back(make_gate, dialect):
    """No connection: certainly not sent, so it is tried again without fear."""
    gate = make_gate(workers=0, dialect=dialect)
    gate.credit(ANN, balance=5)
    forwarder = Forwarder(gate.fake.url)
    worker = gate.add_worker(CALCOM_API_URL=f"{forwarder.url}/{dialect}").wait_ready()
    first = gate.fake.book(ANN)["id"]
    assert gate.wait_settled(first)["state"] == "accepted"
    forwarder.close()
    ids = [made["id"] for made in gate.fake.book(ANN, count=4)["bookings"]]
    for id in ids:
        wait_for(lambda: int(gate.booking(id)["attempts"]) >= 1, what="a failed attempt")
    assert gate.fake.stats()["calls"] == 1 and worker.is_ready()
    assert purses(gate) == (0, 4, 1)
    forwarder.open()
    assert [gate.wait_settled(id)["state"] for id in ids] == ["accepted"] * 4
    assert [acts(gate, id) for id in ids] == [[CONFIRM[dialect]]] * 4
    assert purses(gate) == (0, 0, 5)
    forwarder.close()


def test_a_kept_connection_that_died_costs_nothing(make_gate):
    """Cal.com or a proxy closed it while idle: the next call opens another, and is sent once."""
    gate = make_gate(workers=0)
    gate.credit(ANN, balance=2)
    forwarder = Forwarder(gate.fake.url)
    gate.add_worker(CALCOM_API_URL=f"{forwarder.url}/v2")
    for _ in range(2):
        id = gate.fake.book(ANN)["id"]
        b = gate.wait_settled(id)
        assert (b["state"], acts(gate, id)) == ("accepted", ["confirm"])
        forwarder.close()
        forwarder.open()
    forwarder.close()


# ---- Answers that mean no ----

@both
@pytest.mark.parametrize("status", [400, 409, 422])
def test_a_no_that_meant_already(make_gate, dialect, status):
    gate = make_gate(dialect=dialect)
    gate.credit(ANN, balance=1)
    gate.fake.fault("status", CONFIRM[dialect], status=status, after=True)
    id = gate.fake.book(ANN)["id"]
    b = gate.wait_settled(id)
    assert (b["state"], b["attempts"]) == ("accepted", "0")
    assert statuses(gate, id) == [(CONFIRM[dialect], status), ("get", 200)]
    assert movements(gate) == CAPTURED


@both
def test_a_no_for_good_is_released_and_listed_for_a_person(make_gate, dialect):
    gate = make_gate(dialect=dialect)
    gate.credit(ANN, balance=1)
    body = {"message": "no such calendar"} if dialect == "v1" else {"error": {"message": "no such calendar"}}
    gate.fake.fault("status", CONFIRM[dialect], status=400, body=body)
    id = gate.fake.book(ANN)["id"]
    b = gate.wait_settled(id)
    assert (b["state"], b["place"]) == ("failed", "dead") and "no such calendar" in b["last_error"]
    assert statuses(gate, id) == [(CONFIRM[dialect], 400), ("get", 200)]
    assert gate.dead() == [str(id)]
    assert movements(gate) == RELEASED and purses(gate) == (1, 0, 0)
    assert gate.worker.wait_log(level="warn", booking=id)["reason"].endswith("no such calendar")


@both
@pytest.mark.parametrize("balance, state", [(1, "cancelled"), (0, "rejected")])
def test_gone_when_we_act(make_gate, dialect, balance, state):
    """404, or v1's 403, which means the same: looked at, and released."""
    gate = make_gate(dialect=dialect)
    gate.credit(ANN, balance=balance)
    assert gate.post(unknown_booking(990001)).status_code == 202
    assert gate.wait_settled(990001)["state"] == state
    no = 403 if dialect == "v1" else 404
    act = (CONFIRM if balance else DECLINE)[dialect]
    assert [(call["action"], call["status"]) for call in gate.fake.calls()] == [(act, no), ("get", no)]
    assert purses(gate) == (balance, 0, 0) and gate.dead() == []


# ---- Nobody's booking works ----

@both
def test_a_refused_key_burns_nothing_and_stops_the_taking(make_gate, dialect):
    gate = make_gate(dialect=dialect, worker_env={"CALCOM_API_KEY": "cal_wrong_key"})
    gate.allow_errors.append(KEY_REFUSED)
    gate.credit(ANN, balance=5)
    first = gate.fake.book(ANN)["id"]
    b = wait_place(gate, first, "retry")
    assert (b["state"], b["attempts"]) == ("accepting", "0")
    assert 25000 < due_in_ms(gate, first) <= 30000
    rest = [gate.fake.book(ANN)["id"] for _ in range(3)]
    lines = [line for line in gate.worker.log_lines(level="error") if KEY_REFUSED in line["msg"]]
    assert len(lines) == 1, "loud, and once"
    # One may lie in the worker's list, where the blocking pop laid it; none was taken or decided.
    waiting = gate.queue() + [id for key in gate.client.scan_iter(match=gate.key("active:*"))
                              for id in gate.client.lrange(key, 0, -1)]
    assert sorted(waiting) == sorted(map(str, rest))
    assert {gate.booking(id)["state"] for id in rest} == {"waiting"}
    calls = [(call["action"], call["status"]) for call in gate.fake.calls()]
    assert calls == [(CONFIRM[dialect], 401), ("me", 401)]
    assert purses(gate) == (4, 1, 0)
    answer = gate.worker.get("/readyz")
    assert answer.status_code == 503 and "CALCOM_API_KEY" in answer.text
    metrics = gate.worker.metrics()
    assert metrics['tollgate_calcom_breaker_open{cause="credentials"}'] == 1
    assert metrics['tollgate_worker_held_total{reason="credentials"}'] >= 1
    assert "cal_wrong_key" not in gate.worker.log_text()


@pytest.mark.parametrize("fault", [
    {"status": 302, "headers": {"Location": "/login"}}, {"status": 404, "body": {"page": "none"}},
    {"status": 404, "body": {"error": {"message": "Cannot POST /v2/bookings/x/confirm"}}},
], ids=["redirect", "a proxy's 404", "no such route"])
def test_what_else_means_that_no_booking_works(gate, fault):
    """The route itself is missing: /me would say nothing about that."""
    gate.allow_errors.append(NO_ROUTE)
    gate.credit(ANN, balance=1)
    gate.fake.fault("status", "confirm", **fault)
    id = gate.fake.book(ANN)["id"]
    b = wait_place(gate, id, "retry")
    assert (b["state"], b["attempts"], b["held"]) == ("accepting", "0", "1")
    assert 25000 < due_in_ms(gate, id) <= 30000
    assert len(gate.fake.calls()) == 1 and "CALCOM_API_URL" in gate.worker.get("/readyz").text


def test_a_corrected_key_is_used_after_sighup(make_gate, tmp_path):
    """It has a gate of its own: nobody waits for the old one's probe."""
    key = tmp_path / "key"
    key.write_text("cal_old_key\n")
    gate = make_gate(worker_env={"CALCOM_API_KEY": "", "CALCOM_API_KEY_FILE": str(key)})
    gate.allow_errors.append(KEY_REFUSED)
    gate.credit(ANN, balance=5)
    first = gate.fake.book(ANN)["id"]
    wait_place(gate, first, "retry")
    ids = [made["id"] for made in gate.fake.book(ANN, count=4)["bookings"]]
    key.write_text(API_KEY + "\n")
    gate.worker.send_signal(1)
    gate.worker.wait_log("SIGHUP: log reopened, reloading")
    assert [gate.wait_settled(id)["state"] for id in ids] == ["accepted"] * 4
    gate.client.zadd(gate.key("retry"), {first: 1})  # its half minute
    gate.wait_settled(gate.fake.book("nobody@example.com")["id"])
    b = gate.wait_settled(first)
    assert (b["state"], b["attempts"]) == ("accepted", "0")
    assert gate.worker.is_ready() and purses(gate) == (0, 0, 5)


# ---- Giving up ----

def test_what_began_a_day_ago_is_given_up(gate):
    """It is listed, the hold stays, and a person may push its name again."""
    gate.credit(ANN, balance=1)
    gate.fake.fault("status", "confirm", status=503, headers=LATER)
    id = gate.fake.book(ANN)["id"]
    wait_place(gate, id, "retry")
    day_ago_ms = int(time.time() * 1000) - 25 * 3600 * 1000
    gate.client.hset(gate.key(f"booking:{id}"),
                     mapping={"received_ms": day_ago_ms, "start": day_ago_ms // 1000})
    gate.fake.fault("status", "get", status=500)
    make_due(gate, id)
    b = wait_place(gate, id, "dead")
    assert b["state"] == "accepting" and b["last_error"].startswith("gave up: ")
    assert gate.dead() == [str(id)] and purses(gate) == (0, 1, 0)
    gate.client.lpush(gate.key("queue"), id)
    assert gate.wait_settled(id)["state"] == "accepted"
    assert gate.dead() == [] and movements(gate) == CAPTURED
