"""scripts/tollgate status and watch: what is stuck, who is slow, and the live screen."""

import fcntl
import hashlib
import json
import os
import re
import struct
import subprocess
import sys
import termios

import pytest

import harness
from library import now_ms
from outcomes import ANN
from test_library_operate import park
from test_queue_script import Terminal

sys.path.insert(0, str(harness.ROOT / "scripts" / "lib"))
from tollgate import spans  # noqa: E402

KEY = "cal_club"
GATE = hashlib.sha256(KEY.encode()).hexdigest()[:16]


@pytest.fixture
def status(script):
    def run(*arguments, code=0):
        return json.loads(script("tollgate", "status", "--json", *arguments, code=code).stdout)
    return run


def whats(state):
    return [one["what"] for one in state["stuck"]]


def settled(library, id_, *calls, waited=0, **fields):
    """A booking that was received `waited` ms before its first call began. calls: (began after receipt, took, class)."""
    library.grant(ANN, 1)
    library.record(id_, **fields)
    job = library.take_one()
    received = now_ms() - 600000
    lines = "\n".join(f"{received + began} {took} confirm {200 if kind == 'done' else 503} {kind} x" for began, took, kind in calls)
    library.settle(job, "accepted", calls=lines)
    end = max(began + took for began, took, _ in calls)
    library.client.hset(library.key(f"booking:{id_}"), mapping={
        "received_ms": received, "requested_ms": received - 40, "decided_ms": received + waited, "settled_ms": received + end})


# ---- Whose time it was ----

@pytest.mark.parametrize("calls, outages, expected", [
    ([(10, 90, "done")], [], (100, 90, 0, 10)),
    ([(10, 40, "done"), (60, 40, "done")], [], (100, 80, 0, 20)),
    ([(10, 20, "transient"), (90, 10, "done")], [], (100, 30, 60, 10)),          # waited because it had failed
    ([(10, 20, "unclear"), (90, 10, "done")], [], (100, 30, 0, 70)),
    ([(60, 40, "done")], [(0, 50)], (100, 40, 50, 10)),                          # the breaker was open meanwhile
    ([(60, 40, "done")], [(-500, 20), (10, 80)], (100, 40, 60, 0)),
    ([(10, 90, "done"), (500, 90, "done")], [(300, 400)], (100, 90, 0, 10)),      # a look after it was settled
    ([(10, 60, "done"), (40, 60, "done")], [], (100, 90, 0, 10)),
    ([], [], (100, 0, 0, 100)),
])
def test_time_is_divided(calls, outages, expected):
    read = [spans.Call(1000 + began, 1000 + began + took, kind in spans.FAILED) for began, took, kind in calls]
    parts = spans.parts(1000, 1100, read, [(1000 + a, 1000 + b) for a, b in outages], 970)
    assert parts == (*expected, 30) and parts.total == parts.calcom + parts.held_back + parts.ours


@pytest.mark.parametrize("requested, delivery", [(970, 30), (1001, None), (-9999999, None), (None, None)])
def test_a_clock_that_is_wrong_tells_no_delivery(requested, delivery):
    assert spans.parts(1000, 1100, [], [], requested).delivery == delivery


def test_lines_of_calls_that_make_no_sense_are_left_out():
    assert spans.calls_of("nonsense\n5 x confirm 200 done\n1 2 get 200 done\n") == [(1, 3, False)]


def test_nothing_was_settled(status, library):
    state = status()
    assert (state["speed"]["count"], state["speed"]["slow"]) == (0, None) and state["stuck"] == []


@pytest.mark.parametrize("calls, slow, text", [
    ([(5, 100, "done")], "nobody", "nobody is slow"),
    ([(5, 8000, "done")], "calcom", "most of it its answers"),
    ([(5, 30, "transient"), (9000, 30, "done")], "calcom", "waiting because its calls failed"),
    ([(7000, 30, "done")], "us", "we are the slow one"),
])
def test_who_is_slow(status, script, library, calls, slow, text):
    settled(library, 1, *calls)
    told = status()["speed"]
    assert told["slow"] == slow and text in told["text"] and told["count"] == 1
    assert text in script("tollgate", "status").stdout


# ---- What is stuck ----

def test_nothing_is_stuck_with_what_is_in_order(status, script, library):
    settled(library, 1, (5, 100, "done"))
    state = status()
    assert state["stuck"] == [] and state["last_hour"]["accept"] == 1 and state["library"]
    text = script("tollgate", "status").stdout
    assert "stuck      nothing" in text and "last hour         1" in text


def test_paused(status, library):
    library.call("pause", "nora", "moving house")
    [one] = status(code=1)["stuck"]
    assert "moving house" in one["what"] and one["do"] == "scripts/tollgate queue resume"
    library.call("resume", "nora")


def test_no_worker(status, library):
    library.record(1)
    [what] = whats(status(code=1))
    assert what == "no worker is running, and bookings wait"


def test_dead_and_the_command_that_makes_it_go(status, script, library):
    library.credit(ANN, balance=9)
    for id_ in (10001, 10002):
        park(library, id_)
    library.client.hset(library.key("booking:10001"), "last_error", "Cal.com answered 403 for ann@example.com: it's booking 10001 again")
    library.client.hset(library.key("booking:10002"), "last_error", "Cal.com answered 403 for bob@example.com: it's booking 10002 again")
    [one] = status(code=1)["stuck"]
    assert one["what"].startswith("2 dead: Cal.com answered 403")
    command = re.search(r"scripts/tollgate (queue requeue --reason '.*)", one["do"]).group(1)
    done = os.popen(f"cd {harness.ROOT} && REDIS_URL='{library_url(library)}' TOLLGATE_NAMESPACE={library.namespace} "
                    f"scripts/tollgate {command} --yes").read()
    assert "2 requeued" in done


def library_url(library):
    return "redis://127.0.0.1:%d" % library.client.connection_pool.connection_kwargs["port"]


@pytest.mark.parametrize("cause, do", [("credentials", "CALCOM_API_KEY"), ("failures", "it is tried again"), ("url", "CALCOM_API_URL")])
def test_a_breaker(status, script, library, cause, do):
    library.client.hset(library.key("gate:" + GATE), mapping={
        "cause": cause, "note": "it said no", "opened_ms": now_ms() - 5000, "probe_ms": now_ms() + 20000})
    state = status(code=1)
    [gate] = state["gates"]
    assert (gate["gate"], gate["cause"], gate["limit"]) == (GATE, cause, None)
    assert "it said no" in state["stuck"][0]["what"] and do in state["stuck"][0]["do"]
    assert f"BREAKER OPEN ({cause})" in script("tollgate", "status", code=1).stdout


def test_a_budget(status, library, monkeypatch):
    monkeypatch.setenv("CALCOM_API_KEY", KEY)
    monkeypatch.setenv("CALCOM_RATE_LIMIT", "10")
    library.client.hset(library.key("gate:" + GATE), mapping={"reserved": 4, "throttled": 2})
    library.client.zadd(library.key(f"gate:{GATE}:calls"), {str(n): now_ms() - n * 20000 for n in range(1, 5)})
    [gate] = status()["gates"]
    assert (gate["used"], gate["limit"], gate["left"], gate["throttled"]) == (3, 10, 7, 2)
    library.client.hset(library.key("gate:" + GATE), mapping={"api_left": 5, "api_until_ms": now_ms() + 9000})
    assert status()["gates"][0]["left"] == 5


def test_a_worker_that_is_gone(status, library):
    library.credit(ANN, balance=9)
    library.record(1)
    library.take(worker="w-gone", lease_ms=0)
    assert "worker w-gone is gone with 1 booking(s) in hand" in whats(status(code=1))


# ---- Secrets ----

def name(secret):
    return hashlib.sha256(secret.encode()).hexdigest()[:8]


def test_secrets(status, script, library, monkeypatch):
    """May I remove the old one?"""
    monkeypatch.setenv("WEBHOOK_SECRET", "newer-secret-1,older-secret-2")
    assert status()["secrets"] is None, "no ingest counts their use"
    day = 86400000
    library.client.hset(library.key("secrets"), mapping={name("newer-secret-1"): now_ms() - 5000, name("older-secret-2"): now_ms() - 3600000})
    assert [one["may_go"] for one in status()["secrets"]] == [False, False], "an hour says little"
    library.client.hset(library.key("secrets"), name("older-secret-2"), now_ms() - 2 * day)
    assert [(one["place"], one["may_go"]) for one in status()["secrets"]] == [(1, False), (2, True)]
    text = script("tollgate", "status").stdout
    assert "secret 2 of WEBHOOK_SECRET: used last 2 d ago; it may be removed" in text and "older-secret" not in text
    monkeypatch.setenv("WEBHOOK_SECRET", "newer-secret-1")
    assert [(one["place"], one["may_go"]) for one in status()["secrets"]] == [(1, False), (None, False)]


# ---- Watch ----

class Screen(Terminal):
    """scripts/tollgate watch on a terminal of this size, as a person sees it."""

    SCRIPT = harness.ROOT / "scripts" / "tollgate"

    def resize(self, lines, columns):
        fcntl.ioctl(self.master, termios.TIOCSWINSZ, struct.pack("HHHH", lines, columns, 0, 0))

    def picture(self):
        """What the newest drawing left on the screen, without escape sequences."""
        self.read()
        last = self.seen.rsplit("\x1b[H", 1)[-1]
        return [line.rstrip() for line in re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", last).split("\n")]


@pytest.fixture
def screen(bare_library, shared_redis):
    opened = []

    def open_one(*arguments, url=None, lines=24, columns=80):
        opened.append(Screen("watch", *arguments, redis_url=url or shared_redis.url, namespace=bare_library.namespace,
                             size=(lines, columns)))
        return opened[-1]

    yield open_one
    for one in opened:
        if one.process.poll() is None:
            one.process.kill()
            one.process.wait()


def test_watch_shows_decisions_as_they_come(screen, library):
    shown = screen()
    shown.wait_for("time    nothing was settled lately")
    library.record(48213, account="nobody@example.com")
    library.take()
    shown.wait_for("48213 reject")
    picture = shown.picture()
    assert len(picture) <= 24 and max(map(len, picture)) <= 80
    assert any(line.startswith("waiting 0   in hand 1") for line in picture)
    shown.type("q")
    assert shown.end() == 0


def test_watch_fits_into_a_terminal_that_is_resized(screen, library):
    for id_ in range(1, 60):
        library.record(id_, account=f"nobody{id_}@example.com")
    library.take()
    library.client.zadd(library.key("dead"), {f"{n}": now_ms() for n in range(900, 905)})
    shown = screen()
    shown.wait_for("decisions")
    for lines, columns in ((24, 80), (12, 60), (50, 132), (6, 40)):
        shown.resize(lines, columns)

        def fits():
            picture = shown.picture()
            return picture[0].startswith("q ends") and len(picture) == lines and max(map(len, picture)) <= columns
        harness.wait_for(fits, what=f"a picture of {lines} lines and {columns} columns, not {shown.picture()}")
    library.client.delete(library.key("dead"))
    shown.type("q")
    assert shown.end() == 0


def test_watch_outlives_redis(screen, tmp_path):
    server = harness.RedisServer(tmp_path).start()
    shown = screen(url=server.url)
    shown.wait_for("time    nothing was settled lately")
    server.stop()
    shown.wait_for("Redis does not answer")
    server.restart()
    harness.wait_for(lambda: any(line.startswith("waiting 0") for line in shown.picture()) and
                     "does not answer" not in "".join(shown.picture()), what=f"the picture again, not {shown.picture()}")
    shown.type("q")
    assert shown.end() == 0
    server.stop()


def test_watch_in_a_pipe_is_a_line_of_json_each_second(library, shared_redis):
    env = {**os.environ, "REDIS_URL": shared_redis.url, "TOLLGATE_NAMESPACE": library.namespace}
    with subprocess.Popen([harness.ROOT / "scripts" / "tollgate", "watch", "--json"], env=env, stdout=subprocess.PIPE, text=True) as one:
        seen = [json.loads(one.stdout.readline()) for _ in range(2)]
        one.send_signal(2)
        one.stdout.close()
        assert one.wait(30) == 0
    assert seen[1]["now_ms"] > seen[0]["now_ms"] and seen[0]["speed"]["count"] == 0
