"""The worker from its first line to its exit status: settings, admin address, signals, and Redis coming and going."""

import signal
import subprocess
import time

import pytest

from harness import BUILD, wait_for
from outcomes import ANN, BOTH, CONFIRM, acts, movements, purses, wait_place

DRAIN_S = 10  # LOOP_DRAIN_MS

both = pytest.mark.parametrize("dialect", BOTH)


def traces(gate):
    """What a worker leaves in Redis while it lives, by the names of the keys, and how many are listed."""
    names = [key for kind in ("active", "worker") for key in gate.client.scan_iter(match=gate.key(kind + ":*"))]
    return names, gate.client.zcard(gate.key("workers"))


def leave(worker, timeout=20):
    """SIGTERM: the exit status, and how long it took (s)."""
    since = time.monotonic()
    worker.sigterm()
    return worker.wait_exit(timeout), time.monotonic() - since


def in_flight(gate, count):
    wait_for(lambda: gate.fake.stats()["inFlight"] == count, what=f"{count} calls in flight")


def wait_all(gate, ids, state="accepted", timeout=20):
    for id in ids:
        assert gate.wait_settled(id, timeout)["state"] == state


# ---- Command line and settings ----

def run(*arguments, **env):
    settings = {"CALCOM_API_URL": "https://api.cal.com/v2", "CALCOM_API_KEY": "cal_key", **env}
    return subprocess.run([BUILD / "tollgate-worker", *arguments], env=settings, timeout=20, capture_output=True,
                          encoding="utf-8")


def test_help_version_check():
    helped = run("--help")
    assert helped.returncode == 0 and helped.stderr == ""
    for name in ("CALCOM_API_URL", "TOLLGATE_CONCURRENCY", "TOLLGATE_POLICY_FILE", "SIGTERM", "Exit status"):
        assert name in helped.stdout
    assert "WEBHOOK_SECRET" not in helped.stdout, "that is ingest's"
    assert run("--version").stdout.startswith("tollgate-worker ")
    checked = run("--check")
    assert (checked.returncode, checked.stdout) == (0, "tollgate-worker: the settings are fine\n")


@pytest.mark.parametrize("arguments", [["--nonsense"], ["start"], ["--check", "now"]])
def test_an_unknown_option_is_refused(arguments):
    answer = run(*arguments)
    assert answer.returncode == 2 and "unknown option" in answer.stderr


@pytest.mark.parametrize("arguments", [["--check"], []])
@pytest.mark.parametrize("name, value", [
    ("CALCOM_API_URL", ""), ("CALCOM_API_URL", "https://api.cal.com"), ("CALCOM_API_URL", "https://api.cal.com/v2?x"),
    ("CALCOM_API_URL", "api.cal.com/v2"), ("CALCOM_API_KEY", ""), ("CALCOM_API_KEY_FILE", "/nonexistent"),
    ("CALCOM_TIMEOUT_MS", "499"), ("TOLLGATE_CONCURRENCY", "0"), ("TOLLGATE_CONCURRENCY", "1001"),
    ("TOLLGATE_FRESH_MS", "-1"), ("TOLLGATE_LEASE_MS", "999"), ("TOLLGATE_KEEP_DAYS", "0"),
    ("TOLLGATE_NAMESPACE", "{x}"), ("TOLLGATE_ADMIN_LISTEN", "nowhere"), ("REDIS_URL", "localhost"),
    ("TOLLGATE_LOG_LEVEL", "chatty"), ("TOLLGATE_LOG_FILE", "/nonexistent/log"),
])
def test_a_wrong_setting_is_named(name, value, arguments):
    answer = run(*arguments, **{name: value})
    assert answer.returncode == 2 and answer.stdout == ""
    assert name in answer.stderr


def test_the_api_key_from_a_file_has_no_newline(make_gate, tmp_path):
    key = tmp_path / "key"
    key.write_text("cal_test_key\n")
    gate = make_gate(worker_env={"CALCOM_API_KEY": "", "CALCOM_API_KEY_FILE": str(key)})
    gate.credit(ANN, balance=1)
    assert gate.wait_settled(gate.fake.book(ANN)["id"])["state"] == "accepted"


def test_a_busy_admin_address_that_was_asked_for_is_an_error(gate, house):
    house.allow_errors.append("TOLLGATE_ADMIN_LISTEN cannot be used")
    address = gate.worker.address("admin listening")
    second = gate.add_worker(TOLLGATE_ADMIN_LISTEN=address)
    assert second.wait_exit() == 1


def test_the_log_in_json(make_gate):
    gate = make_gate(workers=0)
    worker = gate.add_worker(TOLLGATE_LOG_FORMAT="json")
    line = wait_for(lambda: [text for text in worker.log_text().splitlines() if '"working"' in text],
                    what="a line")[0]
    assert line.startswith('{"') and '"level":"info"' in line


# ---- Admin address ----

def test_readiness_follows_redis(make_gate):
    gate = make_gate()
    assert gate.worker.get("/healthz").status_code == gate.worker.get("/readyz").status_code == 200
    gate.redis.kill9()
    wait_for(lambda: not gate.worker.is_ready(), what="/readyz to say no")
    answer = gate.worker.get("/readyz")
    assert answer.status_code == 503 and "redis" in answer.text
    assert gate.worker.get("/healthz").status_code == 200
    assert gate.worker.wait_log("redis is not reachable", level="warn")["reason"]
    gate.redis.restart()
    gate.worker.wait_ready()


def test_a_worker_that_starts_before_its_redis(make_gate, house):
    gate = make_gate(workers=0)
    gate.redis.kill9()
    worker = gate.add_worker()
    wait_for(lambda: worker.get("/healthz").status_code == 200, what="/healthz")
    assert not worker.is_ready()
    gate.redis.restart()
    worker.wait_ready()
    gate.client = gate.redis.client()
    gate.credit(ANN, balance=1)
    gate.ingest.wait_ready()
    assert gate.wait_settled(gate.fake.book(ANN)["id"])["state"] == "accepted"


@both
def test_metrics_tell_what_was_done(make_gate, dialect):
    gate = make_gate(dialect=dialect)
    gate.credit(ANN, balance=2)
    ids = [made["id"] for made in gate.fake.book(ANN, count=3)["bookings"]]
    for id in ids:
        gate.wait_settled(id)
    m = gate.worker.metrics()
    assert m['tollgate_worker_bookings_total{result="accepted"}'] == 2
    assert m['tollgate_worker_bookings_total{result="rejected"}'] == 1
    assert m['tollgate_worker_bookings_total{result="retry"}'] == 0
    assert m['tollgate_worker_calcom_calls_total{call="confirm"}'] == 2
    assert m['tollgate_worker_calcom_calls_total{call="look"}'] == 0
    assert sum(m[f'tollgate_worker_calcom_calls_total{{call="{call}"}}'] for call in ("decline", "cancel")) == 1
    assert m['tollgate_worker_calcom_answers_total{class="done"}'] == 3
    assert m['tollgate_worker_calcom_call_seconds_bucket{le="+Inf"}'] == 3
    assert m["tollgate_worker_bookings_in_hand"] == m["tollgate_queue_length"] == 0


# ---- SIGTERM ----

def test_an_idle_worker_leaves_at_once_and_without_a_trace(gate):
    gate.credit(ANN, balance=1)
    gate.wait_settled(gate.fake.book(ANN)["id"])
    names, listed = traces(gate)
    assert names and listed == 1
    wait_for(lambda: any(c["cmd"] == "blmove" for c in gate.client.client_list()), what="the worker to sleep")
    status, took_s = leave(gate.worker)
    assert status == 0 and took_s < 1
    assert traces(gate) == ([], 0)
    assert gate.worker.log_lines("stopped")


def test_a_worker_without_redis_leaves_at_once(gate):
    gate.redis.kill9()
    wait_for(lambda: not gate.worker.is_ready(), what="/readyz to say no")
    status, took_s = leave(gate.worker)
    assert status == 0 and took_s < 2


@both
def test_sigterm_finishes_what_is_in_flight_and_takes_no_more(make_gate, dialect):
    gate = make_gate(workers=0, dialect=dialect, worker_env={"TOLLGATE_CONCURRENCY": "3"})
    gate.credit(ANN, balance=10)
    ids = [gate.fake.book(ANN)["id"] for _ in range(8)]
    gate.fake.config(latencyMs=1000)
    worker = gate.add_worker()
    in_flight(gate, 3)
    status, took_s = leave(worker)
    assert status == 0 and took_s < 3
    done = gate.client.hgetall(gate.key("done"))
    assert len(done) == 3 and set(done.values()) == {"accepted"}
    assert gate.queue() == [str(id) for id in ids if str(id) not in done], "the rest, in its order"
    assert {gate.booking(id)["state"] for id in gate.queue()} == {"waiting"}
    assert {gate.booking(id)["place"] for id in gate.queue()} == {"queue"}
    assert traces(gate) == ([], 0) and purses(gate) == (7, 0, 3)
    gate.fake.config(latencyMs=0)
    gate.add_worker()
    wait_all(gate, ids)
    assert [len(acts(gate, id)) for id in ids] == [1] * 8 and purses(gate) == (2, 0, 8)


def test_sigterm_while_calcom_hangs_hands_everything_back(make_gate):
    """Within the ten seconds and a little; and whoever takes over does not ask again while Cal.com may be at it."""
    gate = make_gate(worker_env={"CALCOM_TIMEOUT_MS": "60000"})
    gate.credit(ANN, balance=3)
    gate.fake.fault("hang", "confirm", times=3)
    ids = [made["id"] for made in gate.fake.book(ANN, count=3)["bookings"]]
    in_flight(gate, 3)
    status, took_s = leave(gate.worker)
    assert status == 0 and DRAIN_S - 1 < took_s < DRAIN_S + 2
    assert sorted(gate.queue()) == sorted(map(str, ids)) and traces(gate) == ([], 0)
    assert {gate.booking(id)["place"] for id in ids} == {"queue"}
    assert {gate.booking(id)["state"] for id in ids} == {"accepting"}
    assert purses(gate) == (0, 3, 0), "nobody knows yet"
    gate.add_worker()
    for id in ids:
        wait_for(lambda: gate.fake.calls(id, "get"), what="the next worker's look")
    wait_for(lambda: all(gate.booking(id)["place"] in ("none", "retry") for id in ids), what="the next worker")
    assert [acts(gate, id) for id in ids] == [["confirm"]] * 3, "asked again within 30 s"


def test_a_second_sigterm_ends_at_once(make_gate):
    gate = make_gate(worker_env={"CALCOM_TIMEOUT_MS": "60000"})
    gate.credit(ANN, balance=1)
    gate.fake.fault("hang")
    id = gate.fake.book(ANN)["id"]
    in_flight(gate, 1)
    gate.worker.sigterm()
    gate.worker.wait_log("draining")
    assert gate.worker.get("/readyz").status_code == 503
    status, took_s = leave(gate.worker)
    assert status == 1 and took_s < 0.5
    # Nothing is lost: the booking is in the list of the worker that is gone.
    (active,) = gate.client.scan_iter(match=gate.key("active:*"))
    assert gate.client.lrange(active, 0, -1) == [str(id)] and purses(gate) == (0, 1, 0)


def test_sigint_is_sigterm(gate):
    gate.worker.send_signal(signal.SIGINT)
    assert gate.worker.wait_exit() == 0 and traces(gate) == ([], 0)


def test_sigterm_while_calls_are_held(gate):
    """Throttled: what waits for its time stays where it is, and the next worker finds it."""
    gate.credit(ANN, balance=2)
    gate.fake.fault("throttle", reset=2)
    ids = [gate.fake.book(ANN)["id"]]
    wait_place(gate, ids[0], "retry")
    ids.append(gate.fake.book(ANN)["id"])
    status, took_s = leave(gate.worker)
    assert status == 0 and took_s < 1
    assert traces(gate) == ([], 0) and gate.queue() == [str(ids[1])]
    gate.add_worker()
    wait_all(gate, ids)
    assert purses(gate) == (0, 0, 2)


def test_workers_come_and_go_under_load(make_gate):
    """Each one leaves in the middle of its work; no booking is lost, none is asked for twice."""
    gate = make_gate(workers=3, worker_env={"TOLLGATE_CONCURRENCY": "4"})
    gate.credit(ANN, balance=100)
    gate.fake.config(latencyMs=30)
    ids = [made["id"] for made in gate.fake.book(ANN, count=150)["bookings"]]
    for worker in gate.workers:
        newcomer = gate.add_worker()
        worker.sigterm()
        newcomer.wait_ready()
        assert worker.wait_exit() == 0
    wait_for(lambda: gate.client.hlen(gate.key("done")) == 150, what="150 settled bookings")
    gate.wait_idle()
    assert purses(gate) == (0, 0, 100)
    assert all(len(acts(gate, id)) == 1 for id in ids) and gate.fake.stats()["overlaps"] == 0


# ---- Redis comes and goes ----

@both
def test_redis_is_killed_with_bookings_in_flight(make_gate, dialect):
    gate = make_gate(workers=2, dialect=dialect, appendonly=True, worker_env={"TOLLGATE_CONCURRENCY": "10"})
    gate.credit(ANN, balance=30)
    gate.fake.config(latencyMs=300)
    ids = [made["id"] for made in gate.fake.book(ANN, count=40)["bookings"]]
    in_flight(gate, 20)
    gate.redis.kill9()
    gate.redis.restart()
    gate.client = gate.redis.client()
    wait_for(lambda: gate.client.hlen(gate.key("done")) == 40, 40, "40 settled bookings")
    gate.wait_idle()
    assert purses(gate) == (0, 0, 30)
    states = [gate.booking(id)["state"] for id in ids]
    assert (states.count("accepted"), states.count("rejected")) == (30, 10)
    assert [len(acts(gate, id)) for id in ids] == [1] * 40, "exactly once"
    assert gate.fake.stats()["overlaps"] == 0
    assert sorted(movements(gate)) == sorted([("hold", 1), ("capture", 1)] * 30)


def test_redis_stops_for_three_seconds(make_gate):
    """It answers nothing, then everything at once: each step takes effect once."""
    gate = make_gate(workers=2, worker_env={"TOLLGATE_CONCURRENCY": "5"})
    gate.credit(ANN, balance=30)
    gate.fake.config(latencyMs=100)
    ids = [made["id"] for made in gate.fake.book(ANN, count=30)["bookings"]]
    in_flight(gate, 10)
    gate.redis.sigstop()
    time.sleep(3)  # that is the fault
    gate.redis.sigcont()
    wait_for(lambda: gate.client.hlen(gate.key("done")) == 30, 30, "30 settled bookings")
    gate.wait_idle()
    assert purses(gate) == (0, 0, 30)
    assert [len(acts(gate, id)) for id in ids] == [1] * 30 and gate.fake.stats()["overlaps"] == 0


def test_the_library_is_flushed_while_bookings_are_in_flight(make_gate):
    gate = make_gate(worker_env={"TOLLGATE_CONCURRENCY": "5"})
    gate.credit(ANN, balance=20)
    gate.fake.config(latencyMs=200)
    ids = [made["id"] for made in gate.fake.book(ANN, count=15)["bookings"]]
    in_flight(gate, 5)
    gate.client.function_flush()
    wait_all(gate, ids)
    assert [len(acts(gate, id)) for id in ids] == [1] * 15 and purses(gate) == (5, 0, 15)
    # Whoever notices first brings it back for all.
    notice = "the library or the policy is gone from redis; loading it again"
    assert gate.worker.log_lines(notice) + gate.ingest.log_lines(notice)


def test_the_library_is_flushed_while_idle(gate):
    gate.client.function_flush()
    gate.credit(ANN, balance=1)
    made = gate.fake.book(ANN)
    if made["webhooks"][0]["status"] == 503:  # ingest lost it as well
        gate.ingest.wait_ready()
        gate.fake.send(made["id"], "BOOKING_REQUESTED")
    assert gate.wait_settled(made["id"])["state"] == "accepted"


def drop_connections(gate):
    """Of everybody but this test, in the middle of whatever they do."""
    gate.client.execute_command("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")


def insist(gate, made):
    """Ingest answers 503 while it has lost its Redis; Cal.com would not send again, a test may."""
    for each in made:
        status = each["webhooks"][0]["status"]
        while status not in (200, 202):
            status = gate.fake.send(each["id"], "BOOKING_REQUESTED")["webhooks"][0]["status"]
    return [each["id"] for each in made]


def test_redis_drops_the_connections(gate):
    """The blocking pop as well; nothing that it had moved is lost."""
    gate.credit(ANN, balance=10)
    for _ in range(10):
        drop_connections(gate)
        (id,) = insist(gate, [gate.fake.book(ANN)])
        assert gate.wait_settled(id)["state"] == "accepted"
    assert purses(gate) == (0, 0, 10)


@both
def test_the_answer_to_a_step_is_lost(make_gate, dialect):
    """The connection breaks between a take or settle and its answer: asked again, it has its effect once."""
    gate = make_gate(dialect=dialect)
    gate.credit(ANN, balance=40)
    ids = []
    for _ in range(8):
        ids += insist(gate, gate.fake.book(ANN, count=5)["bookings"])
        drop_connections(gate)
    wait_all(gate, ids)
    gate.wait_idle()
    assert purses(gate) == (0, 0, 40)
    assert [acts(gate, id).count(CONFIRM[dialect]) for id in ids] == [1] * 40


def test_redis_is_full(make_gate):
    """What frees credit still runs; nothing is decided; all goes on when there is room again."""
    gate = make_gate(workers=0)
    gate.credit(ANN, balance=3)
    gate.fake.config(latencyMs=500)
    ids = [made["id"] for made in gate.fake.book(ANN, count=3)["bookings"]]
    worker = gate.add_worker(TOLLGATE_CONCURRENCY="1")
    in_flight(gate, 1)
    gate.client.config_set("maxmemory", 1)
    wait_for(lambda: gate.client.hlen(gate.key("done")) == 1, what="the one in flight to be settled")
    worker.wait_log("redis answered with an error", level="warn")
    assert worker.is_running() and purses(gate) == (2, 0, 1)
    gate.client.config_set("maxmemory", 0)
    gate.fake.config(latencyMs=0)
    wait_all(gate, ids)
    assert purses(gate) == (0, 0, 3)
