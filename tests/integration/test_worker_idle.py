"""What a worker costs when there is nothing to do, and what it never tells."""

import os
import time

import pytest

from harness import API_KEY, BUILD, SECRET, wait_for
from outcomes import ANN, BOTH, wait_place

KIB = 1024
FILLER = "cal_wrong_key_of_a_test"

release_only = pytest.mark.skipif(BUILD.name != "release", reason="sanitizers and debug builds cost more")


def memory_kib(pid, kind="VmRSS"):
    with open(f"/proc/{pid}/status") as status:
        return next(int(line.split()[1]) for line in status if line.startswith(kind + ":"))


def cpu_ticks(pid):
    with open(f"/proc/{pid}/stat") as stat:
        fields = stat.read().rsplit(")", 1)[1].split()
    return int(fields[11]) + int(fields[12])


def commands(gate):
    """What Redis was asked to do so far. A quiet connection's PING asks for nothing."""
    stats = gate.client.info("commandstats")
    return sum(stat["calls"] for name, stat in stats.items() if name != "cmdstat_ping")


def sleepers(gate):
    return [c for c in gate.client.client_list() if c["cmd"] == "blmove" and "b" in c["flags"]]


def asked(gate):
    """How often workers asked Redis for something."""
    stats = gate.client.info("commandstats")
    return sum(stats.get("cmdstat_" + name, {"calls": 0})["calls"] for name in ("fcall", "blmove"))


def open_files(pid):
    return len(os.listdir(f"/proc/{pid}/fd"))


def test_an_idle_worker_sleeps_in_a_blocking_pop(make_gate):
    """No polling: each renews its lease every 2 s and looks after the others every 3 s; no more is asked of
    Redis, and the processor is left alone."""
    gate = make_gate(workers=2)
    wait_for(lambda: len(sleepers(gate)) == 2, what="two sleepers")
    before = asked(gate)
    ticks = [cpu_ticks(worker.pid) for worker in gate.workers]
    time.sleep(3)  # what is measured is that nothing happens
    # Its lease once or twice, and a look after the others.
    assert asked(gate) - before <= 2 * (2 + 1)
    assert [cpu_ticks(worker.pid) - before for worker, before in zip(gate.workers, ticks)] <= [2, 2]
    assert len(sleepers(gate)) == 2


def test_it_sleeps_while_retries_wait(gate):
    """A due time is waited for, not polled for."""
    gate.credit(ANN, balance=1)
    gate.fake.fault("status", "confirm", status=503, headers={"Retry-After": "2"})
    id = gate.fake.book(ANN)["id"]
    wait_place(gate, id, "retry")
    wait_for(lambda: sleepers(gate), what="a sleeper")
    ticks = cpu_ticks(gate.worker.pid)
    assert gate.wait_settled(id)["state"] == "accepted"
    assert cpu_ticks(gate.worker.pid) - ticks <= 2


def test_it_does_not_spin_while_calls_are_held_and_work_waits(make_gate):
    gate = make_gate(worker_env={"CALCOM_API_KEY": FILLER})
    gate.allow_errors.append("Cal.com refuses the key")
    gate.credit(ANN, balance=20)
    wait_place(gate, gate.fake.book(ANN)["id"], "retry")
    gate.fake.book(ANN, count=10)
    before, ticks = asked(gate), cpu_ticks(gate.worker.pid)
    time.sleep(4)  # what is measured is that hardly anything happens
    assert asked(gate) - before <= 6, "its lease, the others, and whether another worker's probe ended it"
    assert cpu_ticks(gate.worker.pid) - ticks <= 1


def test_it_does_not_spin_while_redis_is_away(gate):
    gate.redis.kill9()
    wait_for(lambda: not gate.worker.is_ready(), what="/readyz to say no")
    ticks = cpu_ticks(gate.worker.pid)
    time.sleep(1)  # what is measured is that hardly anything happens
    assert cpu_ticks(gate.worker.pid) - ticks <= 2


@release_only
def test_it_is_small(make_gate):
    gate = make_gate()
    wait_for(lambda: sleepers(gate), what="a sleeper")
    assert memory_kib(gate.worker.pid) < 10 * KIB
    assert memory_kib(gate.ingest.pid) < 10 * KIB


@release_only
def test_work_leaves_no_fat(make_gate):
    """A thousand bookings later it is hardly bigger, and holds no more files than it may keep."""
    gate = make_gate()
    gate.credit(ANN, balance=500)
    for _ in range(6):
        gate.fake.book(ANN, count=250)
        gate.wait_idle()
    # By now the allocator has settled. The libraries' code comes back from the page cache as it is used;
    # what may not grow is our own.
    before = memory_kib(gate.worker.pid, "RssAnon")
    for _ in range(4):
        gate.fake.book(ANN, count=250)
        gate.wait_idle()
    assert gate.client.hlen(gate.key("done")) == 2500
    assert memory_kib(gate.worker.pid, "RssAnon") - before < 1 * KIB
    assert open_files(gate.worker.pid) < 64 + 20


# ---- What nobody may read ----

@pytest.mark.parametrize("dialect", BOTH)
def test_no_secret_is_logged_not_even_at_debug(make_gate, dialect):
    """Through success, errors of every kind, timeouts and a key that is refused; the key stands in v1's URLs."""
    loud = {"TOLLGATE_LOG_LEVEL": "debug"}
    gate = make_gate(dialect=dialect, ingest_env=loud, worker_env={**loud, "CALCOM_TIMEOUT_MS": "500"})
    gate.allow_errors.extend(["Cal.com refuses the key", "Cal.com has no such route"])
    gate.credit(ANN, balance=9)
    bodies = []
    for fault in ({}, {"kind": "status", "status": 500}, {"kind": "reset_after"}, {"kind": "hang"},
                  {"kind": "status", "status": 400, "body": {"message": "odd"}},
                  {"kind": "status", "status": 404, "body": {}}):
        if fault:
            gate.fake.fault(action="act", **fault)
        made = gate.fake.book(ANN, notes="my-private-note")
        # A retry of an earlier booking may meet a later fault; calls are held after a refused key.
        wait_for(lambda: gate.booking(made["id"]).get("place") in ("none", "dead", "retry")
                 or "has no such route" in gate.worker.log_text(), what="an end")
        bodies.append(made["uid"])
    other = gate.add_worker(CALCOM_API_KEY=FILLER)
    other.wait_log("working")  # it is ready only until its key is refused
    gate.worker.send_signal(1)
    gate.worker.wait_log("SIGHUP: log reopened, reloading")
    logs = gate.worker.log_text() + gate.ingest.log_text() + other.log_text()
    assert "Cal.com answered" in logs, "debug it is"
    for secret in (API_KEY, SECRET, FILLER, "apiKey", "oneTimePassword", "my-private-note"):
        assert secret not in logs, secret


def test_a_one_time_password_is_neither_logged_nor_stored(make_gate):
    gate = make_gate(ingest_env={"TOLLGATE_LOG_LEVEL": "debug"}, worker_env={"TOLLGATE_LOG_LEVEL": "debug"})
    gate.credit(ANN, balance=1)
    gate.fake.config(webhookUrl=gate.ingest.url)
    id = gate.fake.book(ANN)["id"]
    gate.wait_settled(id)
    body = gate.sample("BOOKING_REQUESTED", **{"payload.oneTimePassword": "otp-of-this-test"})
    assert gate.post(body).status_code == 202
    wait_for(lambda: gate.client.hlen(gate.key("done")) == 2, what="both bookings")
    gate.client.save()
    stored = (gate.redis.folder / "dump.rdb").read_bytes()
    assert b"otp-of-this-test" not in stored
    assert "otp-of-this-test" not in gate.ingest.log_text() + gate.worker.log_text()


def test_the_command_line_and_the_environment_of_others_show_no_key(gate):
    with open(f"/proc/{gate.worker.pid}/cmdline", "rb") as line:
        assert API_KEY.encode() not in line.read()
