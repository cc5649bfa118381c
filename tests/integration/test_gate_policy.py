"""The operator's own policy: from a file, exchanged while everything runs, wrong in every way."""

import signal

import pytest

from harness import now_iso, wait_for
from outcomes import ANN, BOB, movements, purses, wait_place

REFUSED = ["the policy is refused; the one in force stays", "TOLLGATE_POLICY_FILE does not load",
           "TOLLGATE_POLICY_FILE cannot be used", "the policy stays as it is"]


@pytest.fixture
def file(tmp_path):
    return tmp_path / "policy.lua"


@pytest.fixture
def make_ruled(make_gate, file):
    """make_ruled(policy) → a gate whose worker has it from its file."""
    def make(policy, **options):
        file.write_text(policy)
        return make_gate(worker_env={"TOLLGATE_POLICY_FILE": str(file)}, **options)
    return make


def answer(accept, reason, cost=1):
    return f"return function() return {{ accept = {accept}, cost = {cost}, reason = '{reason}' }} end"


def reload(gate, file, policy, result="installed"):
    file.write_text(policy)
    before = len(gate.worker.log_lines("policy", result=result))
    gate.worker.send_signal(signal.SIGHUP)
    wait_for(lambda: len(gate.worker.log_lines("policy", result=result)) > before, what="the policy to be " + result)


def decide(gate, email=ANN, **fields):
    b = gate.wait_settled(gate.fake.book(email, **fields)["id"])
    return b["state"], b["reason"]


def test_a_policy_of_ones_own_decides(make_ruled):
    gate = make_ruled("""
return function(booking, account, terms, now)
  local early = booking.start - now > 2 * 86400
  if account and account.tier == terms.vip and early then
    return { accept = true, cost = 3, reason = 'welcome ' .. booking.account .. ' to ' .. booking.event_type }
  end
  return { accept = false, cost = 3, reason = 'members of the club only' }
end
""")
    gate.terms(vip="gold")
    gate.credit(ANN, balance=10, tier="gold")
    gate.credit(BOB, balance=10, tier="silver")
    assert decide(gate) == ("accepted", f"welcome {ANN} to 1207")
    assert decide(gate, BOB) == ("rejected", "members of the club only")
    assert decide(gate, start=now_iso(86400)) == ("rejected", "members of the club only")
    assert purses(gate) == (7, 0, 3) and purses(gate, BOB) == (10, 0, 0)


def test_sighup_brings_the_new_text(make_ruled, file):
    gate = make_ruled(answer("true", "open"))
    gate.credit(ANN, balance=5)
    assert decide(gate) == ("accepted", "open")
    reload(gate, file, answer("false", "closed"))
    assert decide(gate) == ("rejected", "closed")
    sha = gate.client.hget(gate.key("policy"), "sha")
    reload(gate, file, answer("false", "closed"), result="kept")
    assert gate.client.hget(gate.key("policy"), "sha") == sha


def test_a_file_that_is_wrong_at_sighup_changes_nothing(make_ruled, file):
    gate = make_ruled(answer("true", "open", cost=0))
    gate.allow_errors.extend(REFUSED)
    file.write_text("return function() return { end")
    gate.worker.send_signal(signal.SIGHUP)
    line = gate.worker.wait_log("the policy is refused; the one in force stays", level="error")
    assert "policy:1:" in line["error"]
    assert decide(gate) == ("accepted", "open")
    file.unlink()
    gate.worker.send_signal(signal.SIGHUP)
    gate.worker.wait_log("the policy stays as it is", level="error")
    assert decide(gate) == ("accepted", "open") and gate.worker.is_running()
    # What was refused must not come back by a connection that is made anew.
    gate.client.execute_command("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
    wait_for(gate.ingest.is_ready, what="ingest")
    wait_for(gate.worker.is_ready, what="the worker, or its end")
    assert decide(gate) == ("accepted", "open")


@pytest.mark.parametrize("policy, part", [
    ("return function()\n\n  return { accept = }\nend", "policy:3:"),
    ("local x = 1\nerror('no')", "policy:2:"),
    ("return 42", "must return function"),
    ("return function() redis.call('PING') end end", "policy:1:"),
], ids=["syntax", "error", "no function", "one end too many"])
def test_a_policy_that_does_not_load_stops_the_start(make_gate, file, policy, part):
    gate = make_gate(workers=0)
    gate.allow_errors.extend(REFUSED)
    file.write_text(policy)
    worker = gate.add_worker(TOLLGATE_POLICY_FILE=str(file))
    assert worker.wait_exit() == 1
    assert part in worker.log_lines("TOLLGATE_POLICY_FILE does not load")[-1]["error"]
    assert gate.client.hgetall(gate.key("policy")) == {}, "nothing was installed"


@pytest.mark.parametrize("content", [None, b"", b"-- " + b"x" * 70000], ids=["missing", "empty", "too long"])
def test_a_file_that_cannot_be_used_stops_the_start(make_gate, file, content):
    gate = make_gate(workers=0)
    gate.allow_errors.extend(REFUSED)
    if content is not None:
        file.write_bytes(content)
    worker = gate.add_worker(TOLLGATE_POLICY_FILE=str(file))
    assert worker.wait_exit() == 1
    assert worker.log_lines(level="error")[0]["path"] == str(file)


def test_a_worker_that_cannot_start_hinders_no_other(make_ruled, file):
    gate = make_ruled(answer("true", "open", cost=0))
    gate.allow_errors.extend(REFUSED)
    file.write_text("return {")
    assert gate.add_worker().wait_exit() == 1
    assert decide(gate) == ("accepted", "open")


@pytest.mark.parametrize("body, part", [
    ("error('no idea')", "policy:1: no idea"),
    ("return nil", "must be a table"),
    ("return { accept = 'yes', cost = 1, reason = 'x' }", "accept must be true or false"),
    ("return { accept = true, cost = 1.5, reason = 'x' }", "cost must be a whole number"),
    ("return { accept = true, cost = -1, reason = 'x' }", "cost must be a whole number"),
    ("return { accept = true, cost = 1 }", "reason must be a text"),
    ("return redis.call('FLUSHALL')", "redis"),
    ("return b.nothing.at_all", "policy:1:"),
    ("return f(b)", "policy:1:"),
])
def test_a_policy_that_fails_parks_that_booking_alone(make_ruled, body, part):
    gate = make_ruled(f"return function(b) if b.account == '{BOB}' then {body} end "
                      "return { accept = true, cost = 1, reason = 'fine' } end")
    gate.credit(ANN, balance=5)
    gate.credit(BOB, balance=5)
    bad = gate.fake.book(BOB)["id"]
    assert decide(gate) == ("accepted", "fine")
    b = wait_place(gate, bad, "dead")
    assert b["state"] == "waiting" and part in b["last_error"]
    assert gate.dead() == [str(bad)]
    assert gate.fake.calls(bad) == [] and purses(gate, BOB) == (5, 0, 0) and movements(gate, BOB) == []


def test_a_parked_booking_is_decided_when_the_policy_is_mended(make_ruled, file):
    gate = make_ruled("return function() error('not yet') end")
    gate.credit(ANN, balance=1)
    id = gate.fake.book(ANN)["id"]
    wait_place(gate, id, "dead")
    reload(gate, file, answer("true", "now"))
    gate.client.lpush(gate.key("queue"), id)
    assert gate.wait_settled(id)["state"] == "accepted"
    assert gate.dead() == [] and purses(gate) == (0, 0, 1)


def test_credit_that_is_no_number_parks_and_recovers(make_gate):
    gate = make_gate()
    gate.credit(ANN, balance="many")
    id = gate.fake.book(ANN)["id"]
    assert "balance" in wait_place(gate, id, "dead")["last_error"]
    gate.credit(ANN, balance=2)
    gate.client.lpush(gate.key("queue"), id)
    assert gate.wait_settled(id)["state"] == "accepted" and purses(gate) == (1, 0, 1)


def test_a_later_restart_keeps_what_was_installed_by_hand(make_ruled, file):
    """A file is brought along only when it differs from the last one that came from a file."""
    gate = make_ruled(answer("true", "from the file", cost=0))
    text = answer("true", "by hand", cost=0)
    sha = gate.client.eval("return redis.sha1hex(ARGV[1])", 0, text)
    gate.client.hset(gate.key("policy"), mapping={"text": text, "sha": sha, "source": "hand"})
    gate.worker.restart()
    assert decide(gate) == ("accepted", "by hand")
    gate.worker.stop()
    file.write_text(answer("true", "from the file again", cost=0))
    gate.worker.restart()
    assert decide(gate) == ("accepted", "from the file again")


def test_blocked_and_expired_members_are_told(gate):
    gate.credit(ANN, balance=5, blocked="yes")
    gate.credit(BOB, balance=5, expires="2020-02-29")
    assert decide(gate) == ("rejected", "Your account is blocked; please contact us.")
    assert decide(gate, BOB) == ("rejected", "Your membership has expired.")
    assert purses(gate) == purses(gate, BOB) == (5, 0, 0)


def test_a_new_policy_while_bookings_stream_in(make_ruled, file):
    """Each booking is decided whole by one or the other, and none is left out."""
    gate = make_ruled(answer("true", "old", cost=0))
    gate.fake.book("m{n}@example.com", count=100)
    reload(gate, file, answer("true", "new", cost=0))
    gate.fake.book("n{n}@example.com", count=100)
    wait_for(lambda: gate.client.hlen(gate.key("done")) == 200, what="200 settled bookings")
    reasons = [gate.booking(made["id"])["reason"] for made in gate.fake.bookings()]
    assert set(reasons) <= {"old", "new"} and reasons[-1] == "new"
