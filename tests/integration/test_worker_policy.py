"""A worker that has nothing to do, the operator's policy in it, and what it may not tell."""

import statistics
import time

import pytest

from harness import BUILD, now_iso, sample, wait_for

ANN, BOB = "ann@example.com", "bob@example.com"


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


def test_nothing_secret_in_the_logs(make_gate):
    gate = make_gate(dialect="v1", worker_env={"TOLLGATE_LOG_LEVEL": "debug"}, ingest_env={"TOLLGATE_LOG_LEVEL": "debug"})
    gate.credit(ANN, balance=5)
    gate.wait_settled(gate.fake.book(ANN)["id"])
    body = sample("BOOKING_REQUESTED", createdAt=now_iso(), **{"payload.oneTimePassword": "otp-0-secret"})
    gate.post(body)
    logs = gate.worker.log_text() + gate.ingest.log_text()
    for secret in ("cal_test_key", "s3cr3t-example", "otp-0-secret"):
        assert secret not in logs
