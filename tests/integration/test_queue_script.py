"""scripts/queue, as a user types it: against a real Redis, and while the real programs work."""

import fcntl
import json
import os
import pty
import re
import resource
import select
import signal
import struct
import subprocess
import termios
import time

import pytest
import redis

from harness import ROOT, TIMEOUT, wait_for
from library import now_ms
from outcomes import ANN, BOB, CONFIRM, acts, movements, purses, wait_place
from test_library_operate import park, park_undecided

SCRIPT = ROOT / "scripts" / "queue"


@pytest.fixture
def queue(script):
    return lambda *arguments, code=0: script("queue", *arguments, code=code)


def told(done):
    return json.loads(done.stdout)


class Terminal:
    """scripts/queue with somebody at the keyboard."""

    SCRIPT = SCRIPT

    def __init__(self, *arguments, redis_url, namespace, size=(40, 120)):
        self.master, slave = pty.openpty()
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", *size, 0, 0))
        self.seen = ""
        env = {**os.environ, "REDIS_URL": redis_url, "TOLLGATE_NAMESPACE": namespace, "TERM": "xterm", "LANG": "C.UTF-8"}
        env = {name: value for name, value in env.items() if name not in ("COLUMNS", "LINES")}
        self.process = subprocess.Popen([self.SCRIPT, *map(str, arguments)], env=env, stdin=slave, stdout=slave, stderr=slave,
                                        start_new_session=True)
        os.close(slave)

    def read(self):
        while select.select([self.master], [], [], 0)[0]:
            try:
                self.seen += os.read(self.master, 65536).decode()
            except OSError:  # it ended
                return

    def wait_for(self, text):
        def look():
            self.read()
            return text in self.seen
        wait_for(look, what=f"{text!r} on the terminal, which shows {self.seen!r}")

    def type(self, text):
        os.write(self.master, text.encode())

    def end(self):
        def ended():
            self.read()
            return self.process.poll() is not None
        wait_for(ended, what="the script to end")
        self.read()
        os.close(self.master)
        return self.process.returncode


@pytest.fixture
def terminal(bare_library, shared_redis):
    opened = []

    def open_one(*arguments):
        opened.append(Terminal(*arguments, redis_url=shared_redis.url, namespace=bare_library.namespace))
        return opened[-1]

    yield open_one
    for one in opened:
        if one.process.poll() is None:
            one.process.kill()
            one.process.wait()


# ---- Status and lists ----

def test_status_of_nothing(queue, library):
    state = told(queue("--json"))
    assert state["paused"] is None and state["workers"] == state["orphans"] == []
    assert state["waiting"] == {"count": 0, "next": None}
    assert (state["retry"]["count"], state["dead"]["count"]) == (0, 0)
    assert "waiting           0" in queue().stdout


@pytest.fixture
def busy(library):
    """Two wait, one is in hand, one is tried again, two are dead, and a worker is gone."""
    library.credit(balance=9)
    park(library, 1)
    park_undecided(library, 2)
    library.record(3)
    library.retry(library.take_one(), delay_ms=60000, why="a 503")
    library.record(4)
    library.take(worker="w-live", lease_ms=60000)
    library.record(5)
    library.take(worker="w-gone", lease_ms=0)
    library.client.zrem(library.key("workers"), "w", "w-gone")
    library.record(6)
    library.record(7)
    return library


def test_status(queue, busy):
    before = busy.snapshot()
    state = told(queue("status", "--json"))
    assert busy.snapshot() == before
    now = state["now_ms"]
    assert abs(now - now_ms()) < 5000
    assert (state["waiting"]["count"], state["waiting"]["next"]["booking"]) == (2, "6")
    assert 0 <= now - state["waiting"]["next"]["received_ms"] < 60000
    [worker] = state["workers"]
    assert (worker["worker"], worker["in_hand"]) == ("w-live", 1)
    assert worker["lease_ends_ms"] > now >= worker["oldest_taken_ms"]
    assert state["orphans"] == [{"worker": "w-gone", "in_hand": 1}]
    assert (state["retry"]["count"], state["retry"]["due"]) == (1, 0)
    [later] = state["retry"]["next"]
    assert (later["booking"], later["why"], later["attempts"]) == ("3", "a 503", 1) and later["due_ms"] > now
    dead = state["dead"]
    assert (dead["count"], [row["booking"] for row in dead["newest"]]) == (2, ["2", "1"])
    assert dead["oldest_ms"] == dead["newest"][1]["dead_ms"] <= now
    assert {"reason": "gave up: a 502", "count": 1} in dead["reasons"]


def test_status_in_words(queue, busy):
    text = queue("status").stdout
    for part in ("waiting           2   the next is 6, received 0 s ago", "w-live   lease for", "orphaned          1",
                 "1   w-gone", "retry             1   0 due", "3   in 59 s   accepting, failed 1 time(s)   a 503",
                 "dead              2", "1 × gave up: a 502", f"accepting   {ANN}   gave up: a 502"):
        assert part in text, text
    quick = queue("status", "--quick")
    assert "orphaned" not in quick.stdout
    assert told(queue("status", "--quick", "--json"))["orphans"] is None


def test_a_lost_lease_shows(queue, library):
    library.credit(balance=1)
    library.record(1)
    library.take(worker="w-late", lease_ms=0)
    wait_for(lambda: library.client.zscore(library.key("workers"), "w-late") < now_ms())
    assert "LEASE LOST" in queue().stdout


def test_reasons_are_counted_without_what_differs(queue, library):
    for id_, account, why in ((1, ANN, "404 of 48213"), (2, BOB, "404 of 48214"), (3, BOB, "account bob@example.com: no")):
        library.record(id_, account=account)
        library.client.lrem(library.key("queue"), 1, id_)
        library.client.zadd(library.key("dead"), {id_: id_})
        library.set_booking(id_, place="dead", last_error=why)
    library.client.zadd(library.key("dead"), {"expired": 4})
    assert told(queue("--json"))["dead"]["reasons"] == [
        {"reason": "404 of …", "count": 2}, {"reason": "its record has expired", "count": 1},
        {"reason": "account …: no", "count": 1}]
    library.client.zrem(library.key("dead"), "expired")


@pytest.mark.parametrize("place, names", [
    ("waiting", ["6", "7"]), ("active", ["4", "5"]), ("retry", ["3"]), ("dead", ["2", "1"])])
def test_lists(queue, busy, place, names):
    assert [row["booking"] for row in told(queue("list", place, "--json"))] == names
    assert [row["booking"] for row in told(queue("list", place, "-n", 1, "--json"))] == names[:1]
    lines = queue("list", place).stdout.splitlines()
    assert [line.split("\t")[0] for line in lines] == ["booking", *names]


def test_what_bookers_typed_does_not_steer_the_terminal(queue, library):
    park(library)
    library.set_booking(last_error="\x1b[2J\nhello")
    for arguments in ((), ("list", "dead"), ("--json",)):
        assert "\x1b" not in queue(*arguments).stdout
    library.client.zrem(library.key("dead"), "1")
    library.set_booking(place="none")


@pytest.mark.parametrize("arguments, code, says", [
    (("nonsense",), 2, "invalid choice"), (("list", "none"), 2, "invalid choice"), (("list", "dead", "-n", "0"), 2, "1 to"),
    (("requeue", "--yes"), 2, "say which"), (("requeue", "1", "--all", "--yes"), 2, "say which"),
    (("discard", "--reason", "x", "--all", "--yes"), 2, "say which"), (("requeue", "--all"), 2, "--yes"),
    (("pause", "--note", "x" * 501), 2, "500 bytes"), (("status", "--redis", "redis://127.0.0.1:1"), 3, "cannot reach"),
])
def test_errors_say_what_to_do(queue, arguments, code, says):
    assert says in queue(*arguments, code=code).stderr


def test_keep_days_as_the_programs_have_it(queue, library, monkeypatch):
    library.credit(balance=1)
    park(library)
    monkeypatch.setenv("TOLLGATE_KEEP_DAYS", "soon")
    assert "TOLLGATE_KEEP_DAYS" in queue("discard", 1, "--yes", code=2).stderr
    monkeypatch.setenv("TOLLGATE_KEEP_DAYS", "3650")
    queue("discard", 1, "--yes")
    assert library.pttl("booking:1") > 3600 * 86400 * 1000


# ---- Requeue and discard ----

@pytest.fixture
def two_dead(library):
    library.credit(balance=2)
    park(library, 1)
    park_undecided(library, 2)
    return library


def test_requeue_one(queue, two_dead):
    assert "1 requeued" in queue("requeue", 1, "--yes", "--by", "nora", "--note", "Cal.com is back").stdout
    assert (two_dead.queue(), two_dead.dead()) == (["1"], ["2"])
    assert "nora\tCal.com is back\tgave up" in two_dead.booking()["mended"]


def test_names_may_be_uids_and_come_twice(queue, two_dead):
    assert told(queue("requeue", "uid-1", 1, 2, 2, "--yes", "--json")) == {
        "counts": {"requeued": 2}, "bookings": {"1": "requeued", "2": "requeued"}}


def test_what_is_not_dead_is_said(queue, two_dead):
    two_dead.record(3)
    done = queue("requeue", 3, 4, 1, "--yes", code=1)
    for part in ("1 requeued", "1 not dead: 3", "1 unknown: 4"):
        assert part in done.stdout
    assert two_dead.queue() == ["3", "1"]


@pytest.mark.parametrize("text, names", [("A 502", ["1"]), ("out of order", ["2"]), ("e", ["1", "2"]), ("nowhere", [])])
def test_requeue_by_reason(queue, two_dead, text, names):
    assert f"{len(names)} requeued" in queue("requeue", "--reason", text, "--yes").stdout
    assert sorted(two_dead.queue()) == names


def test_discard_all(queue, two_dead):
    two_dead.client.zadd(two_dead.key("dead"), {"7": 1})
    assert "1 unknown: 7" in queue("requeue", 7, "--yes", code=1).stdout
    done = queue("discard", "--all", "--yes", "--by", "nora")
    assert "2 discarded" in done.stdout and "1 forgotten: 7" in done.stdout
    assert (two_dead.dead(), two_dead.state(1), two_dead.state(2)) == ([], "failed", "failed")
    assert two_dead.purses() == (2, 0, 0) and two_dead.ledger()[-1]["by"] == "nora"
    assert "0 discarded" in queue("discard", "--all", "--yes").stdout


def test_one_that_cannot_be_discarded_is_named(queue, two_dead):
    two_dead.client.hset(two_dead.key("credit:" + ANN), "held", "some")
    done = queue("discard", 1, 2, "--yes", code=1)
    assert "1 discarded" in done.stdout and "held is" in done.stdout and two_dead.dead() == ["1"]
    two_dead.client.hset(two_dead.key("credit:" + ANN), "held", "1")


def test_a_question_comes_first(terminal, two_dead):
    one = terminal("requeue", "--all")
    one.wait_for("Requeue 2? [y/N]")
    assert "1 × gave up: a 502" in one.seen
    one.type("n\n")
    assert one.end() == 0 and "nothing was changed" in one.seen
    assert sorted(two_dead.dead()) == ["1", "2"]
    one = terminal("discard", "--reason", "502")
    one.wait_for("what they hold is released. Discard 1? [y/N]")
    one.type("y\n")
    assert one.end() == 0 and "1 discarded" in one.seen
    assert two_dead.dead() == ["2"]


@pytest.fixture
def crowd(shared_redis):
    """A database of its own in the shared Redis: the keys go all at once."""
    client = redis.Redis(port=shared_redis.port, db=1, decode_responses=True)
    client.flushdb()
    yield client
    client.flushdb()
    client.close()


def cpu_s(client):
    """Of all scripts so far, and of Redis: what else the machine has to do does not count."""
    script, server = resource.getrusage(resource.RUSAGE_CHILDREN), client.info("cpu")
    return script.ru_utime + script.ru_stime + server["used_cpu_user"] + server["used_cpu_sys"]


def run_on(client, *arguments):
    """With how many seconds of processors it took."""
    url = "redis://127.0.0.1:{port}/{db}".format(**client.connection_pool.connection_kwargs)
    before = cpu_s(client)
    done = subprocess.run([SCRIPT, *map(str, arguments), "--redis", url, "--namespace", "crowd"], capture_output=True,
                          text=True, timeout=120, stdin=subprocess.DEVNULL, check=True)
    return done, cpu_s(client) - before


def test_a_hundred_thousand_dead(crowd):
    many = 100000
    for start in range(0, many, 5000):
        with crowd.pipeline(transaction=False) as pipe:
            for id_ in range(start, start + 5000):
                pipe.hset(f"{{crowd}}:booking:{id_}", mapping={
                    "schema": 1, "state": "accepting", "place": "dead", "first_seen": "requested", "events": 1, "takes": 3,
                    "attempts": 9, "received_ms": 1, "first_ms": 1, "account": ANN, "last_error": f"gave up: 502 {id_:06}"})
            pipe.zadd("{crowd}:dead", {id_: id_ for id_ in range(start, start + 5000)})
            pipe.execute()
    done, took = run_on(crowd, "requeue", "--all", "--yes", "--json")
    assert json.loads(done.stdout)["counts"] == {"requeued": many}
    assert took < 20, took
    assert (crowd.llen("{crowd}:queue"), crowd.zcard("{crowd}:dead")) == (many, 0)


def test_status_is_quick_with_a_million_waiting(crowd):
    """And with as many keys beside, it looks for lists of workers that are gone."""
    for start in range(0, 1000000, 50000):
        crowd.lpush("{crowd}:queue", *range(start, start + 50000))
        crowd.mset({f"{{crowd}}:uid:{n}": n for n in range(start, start + 50000)})
    crowd.lpush("{crowd}:active:w-gone", 1)
    crowd.hset("{crowd}:booking:0", mapping={"state": "waiting", "received_ms": 1})
    done, took = run_on(crowd, "status", "--quick", "--json")
    assert json.loads(done.stdout)["waiting"]["count"] == 1000000
    assert took < 2
    done, took = run_on(crowd, "status", "--json")
    assert json.loads(done.stdout)["orphans"] == [{"worker": "w-gone", "in_hand": 1}]
    assert took < 10, took


# ---- Watch ----

def test_watch_on_a_terminal(terminal, two_dead):
    one = terminal("watch")
    one.wait_for("gave up: a 502")
    two_dead.requeue(1)
    one.wait_for("the next is 1,")
    two_dead.pause("nora", "lunch")
    one.wait_for("by nora: lunch")
    one.type("q")
    assert one.end() == 0
    assert "\x1b[?1049l" in one.seen  # the screen is given back


def test_watch_ends_with_ctrl_c(terminal, two_dead):
    one = terminal("watch")
    one.wait_for("q ends")
    one.process.send_signal(signal.SIGINT)
    assert one.end() == 0


@pytest.mark.parametrize("arguments", [(), ("--json",)])
def test_watch_in_a_pipe(bare_library, shared_redis, arguments, tmp_path):
    env = {**os.environ, "REDIS_URL": shared_redis.url, "TOLLGATE_NAMESPACE": bare_library.namespace}
    out = tmp_path / "out"
    with open(out, "w", encoding="utf-8") as file:
        process = subprocess.Popen([SCRIPT, "watch", *arguments], env=env, stdout=file, stdin=subprocess.DEVNULL)
    try:
        wait_for(lambda: out.read_text().count("waiting") >= 3, what="three looks")
        process.send_signal(signal.SIGINT)
        assert process.wait(TIMEOUT) == 0
    finally:
        process.kill()
        process.wait()
    if arguments:
        assert all(json.loads(line)["dead"]["count"] == 0 for line in out.read_text().splitlines())


# ---- Pause ----

def test_pause_and_resume(queue, library):
    assert "nothing is acted on" in queue("pause", "--by", "nora", "--note", "moving").stdout
    library.record(1)
    text = queue().stdout
    assert re.search(r"paused since .* by nora: moving; webhooks are recorded", text), text
    assert "it is paused since" in queue("pause").stdout
    assert told(queue("pause", "--json"))["done"] is False
    resumed = queue("resume").stdout
    assert "by nora: moving; 1 booking(s) wait" in resumed
    assert "it was not paused" in queue("resume").stdout
    assert told(queue("resume", "--json")) == {"done": False, "was": None, "waiting": 1}


# ---- What explain tells of it ----

def test_the_story_tells_who_did_what(script, library):
    library.credit(balance=1)
    park(library)
    library.requeue(1, by="nora", note="they mended it")
    library.pause("otto", "lunch")
    told_now = script("explain", 1).stdout
    for part in ("requeued by nora", "note: they mended it", "it was dead because: gave up: a 502",
                 "the queue was paused by otto: lunch", "the queue is paused"):
        assert part in told_now, told_now
    library.resume("nora")
    library.settle(library.take_one(), "accepted")
    story = script("explain", 1).stdout
    assert "the queue was resumed by nora" in story and "the queue is paused" not in story
    library.pause("otto", "dinner")  # after it was settled
    assert "dinner" not in script("explain", 1).stdout
    document = told(script("explain", 1, "--json"))
    assert document["mended"][0]["what"] == "requeued" and document["pauses"][0]["resumed_by"] == "nora"


# ---- With the real programs ----

@pytest.fixture
def at(house):
    """at(gate, "pause", …) → what it printed"""
    def run(gate, *arguments):
        done = subprocess.run([SCRIPT, *arguments, "--redis", gate.redis.url, "--namespace", gate.namespace],
                              capture_output=True, text=True, timeout=60, stdin=subprocess.DEVNULL, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout
    return run


def in_hand(gate):
    return sum(gate.client.llen(key) for key in gate.client.scan_iter(match=gate.key("active:*")))


def wait_for_two_takes(gate):
    """By every worker: each take renews its lease."""
    for _ in range(2):
        before = dict(gate.client.zrange(gate.key("workers"), 0, -1, withscores=True))
        wait_for(lambda: all(ends > before[worker] for worker, ends in
                             gate.client.zrange(gate.key("workers"), 0, -1, withscores=True)), what="takes")


def test_pause_under_load(make_gate, at):
    gate = make_gate(workers=2)
    gate.credit(ANN, balance=100)
    gate.credit(BOB, balance=3)
    gate.fake.config(latencyMs=20)
    before = [made["id"] for made in gate.fake.book(ANN, count=30)["bookings"]]
    at(gate, "pause", "--note", "moving")
    during = [made["id"] for made in gate.fake.book(ANN, count=20)["bookings"]]
    bobs = [gate.fake.book(BOB)["id"] for _ in range(6)]
    everyone = before + during + bobs
    wait_for(lambda: all(gate.booking(id) for id in everyone), what="all to be recorded")
    assert {hook["status"] for hook in gate.fake.webhooks() if hook["trigger"] == "BOOKING_REQUESTED"} == {202}
    wait_for(lambda: in_hand(gate) == 0, what="what was in hand to be finished")
    wait_for_two_takes(gate)

    waiting = gate.queue()
    assert set(map(str, during + bobs)) <= set(waiting)
    received = [int(gate.booking(id)["received_ms"]) for id in waiting]
    assert received == sorted(received)
    calls = len(gate.fake.calls())
    states = {id: gate.booking(id)["state"] for id in everyone}
    assert all(states[id] == "waiting" for id in during + bobs)
    wait_for_two_takes(gate)
    assert len(gate.fake.calls()) == calls and gate.queue() == waiting
    assert {id: gate.booking(id)["state"] for id in everyone} == states

    at(gate, "resume")
    started = time.monotonic()
    wait_for(lambda: gate.queue() != waiting, what="a worker to wake")
    assert time.monotonic() - started < 3  # within 2 s, on a busy machine
    for id in everyone:
        gate.wait_settled(id)
    assert purses(gate) == (50, 0, 50) and purses(gate, BOB) == (0, 0, 3)
    # The last credit went to whoever came first.
    in_order = [id for id in map(int, waiting) if id in bobs]
    assert [gate.booking(id)["state"] for id in in_order] == ["accepted"] * 3 + ["rejected"] * 3


def test_requeued_after_the_account_was_mended(make_gate, at):
    gate = make_gate()
    gate.credit(ANN, balance="much")
    ids = [made["id"] for made in gate.fake.book(ANN, count=3)["bookings"]]
    for id in ids:
        wait_place(gate, id, "dead")
    gate.credit(ANN, balance=5)
    assert "3 requeued" in at(gate, "requeue", "--reason", "whole number", "--yes")
    for id in ids:
        assert gate.wait_settled(id)["state"] == "accepted"
    assert sorted(movements(gate)) == [("capture", 1)] * 3 + [("hold", 1)] * 3
    assert purses(gate) == (2, 0, 3)


def give_up(gate):
    """A booking of ANN's whose hour has come while Cal.com had errors; held, and dead."""
    gate.credit(ANN, balance=1)
    gate.fake.fault("status", CONFIRM["v2"], times=1000, status=500)
    id = gate.fake.book(ANN)["id"]
    wait_place(gate, id, "retry")
    gate.client.hset(gate.key(f"booking:{id}"), mapping={"start": 1, "received_ms": 1})
    b = wait_place(gate, id, "dead")
    assert b["held"] == "1" and b["last_error"].startswith("gave up")
    gate.fake.clear_faults()
    return id


def test_requeued_after_cal_com_was_mended(make_gate, at):
    gate = make_gate()
    id = give_up(gate)
    failed = len(acts(gate, id))
    at(gate, "requeue", str(id), "--yes")
    b = gate.wait_settled(id)
    assert (b["state"], b["attempts"]) == ("accepted", "0")
    assert movements(gate) == [("hold", 1), ("capture", 1)] and purses(gate) == (0, 0, 1)
    assert acts(gate, id) == [CONFIRM["v2"]] * (failed + 1) and gate.fake.booking(id)["status"] == "ACCEPTED"


def test_discarded_it_is_over(make_gate, at):
    gate = make_gate()
    id = give_up(gate)
    failed = len(acts(gate, id))
    at(gate, "discard", str(id), "--yes")
    assert movements(gate) == [("hold", 1), ("release", 1)] and purses(gate) == (1, 0, 0)
    gate.fake.cancel(id)
    wait_for(lambda: gate.booking(id).get("cancelled_ms"), what="the cancellation to be recorded")
    gate.wait_idle()
    assert gate.booking(id)["state"] == "failed" and purses(gate) == (1, 0, 0)
    assert len(acts(gate, id)) == failed


def test_a_host_who_accepts_what_was_discarded(make_gate, at):
    """It is free, and on record."""
    gate = make_gate()
    id = give_up(gate)
    at(gate, "discard", str(id), "--yes")
    gate.fake.confirm(id)
    wait_for(lambda: gate.booking(id)["state"] == "accepted", what="the host's word to count")
    gate.wait_idle()
    assert movements(gate) == [("hold", 1), ("release", 1), ("waive", 1)] and purses(gate) == (1, 0, 0)
