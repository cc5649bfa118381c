"""Workers survive each other: killed, stopped or cut off with bookings in hand. What they had is taken over, no
attempt is burned, Cal.com is asked for each thing once, and the credit moves once."""

import os
import signal
import socket
import threading
import time

import pytest

from harness import TIMEOUT, wait_for
from library import Library
from outcomes import ANN, acts, looks, movements, purses, wait_place
from test_gate_faults import Forwarder, make_due
from test_worker_life import leave

CAPTURED = [("hold", 1), ("capture", 1)]
# A short lease; the others wait 6 s after they connected, and sweep every 3 s.
QUICK = {"TOLLGATE_LEASE_MS": "1000"}
# TOLLGATE_TEST_STOPPED_S=60: how long a worker is stopped after another one took over.
STOPPED_S = float(os.environ.get("TOLLGATE_TEST_STOPPED_S", "0"))
TAKEN_OVER_S = 20


class CutRedis(Forwarder):
    """Stands before Redis, and loses the answer to the next request that holds `lose`: closes the connection
    ("cut"), or keeps it open and silent ("silent"). While `deaf` nothing passes at all."""

    def __init__(self, port):
        self.lose = None
        self.how = "cut"
        self.deaf = False
        self.lost = 0
        super().__init__(f"http://127.0.0.1:{port}")

    @property
    def url(self):
        return f"redis://127.0.0.1:{self.port}/0"

    def _accept(self, door):
        while True:
            try:
                near = door.accept()[0]
                far = socket.create_connection(self.behind)
            except OSError:
                return
            self.sockets += [near, far]
            asked = {"newest": b"", "silent": False}
            threading.Thread(target=self._requests, args=(near, far, asked), daemon=True).start()
            threading.Thread(target=self._answers, args=(far, near, asked), daemon=True).start()

    def _requests(self, near, far, asked):
        try:
            while data := near.recv(65536):
                if not self.deaf and not asked["silent"]:
                    asked["newest"] = data
                    far.sendall(data)
            far.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass

    def _answers(self, far, near, asked):
        try:
            while data := far.recv(65536):
                if self.lose and self.lose in asked["newest"]:
                    self.lose, self.lost = None, self.lost + 1
                    asked["silent"] = self.how == "silent"
                    if not asked["silent"]:
                        near.shutdown(socket.SHUT_RDWR)
                        return
                if not self.deaf and not asked["silent"]:
                    near.sendall(data)
            near.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass


class SlowDoor(Forwarder):
    """Connections to it are not established before `release`: its queue is full, and the kernel drops what asks
    for another, which asks again after 1 s and 3 s."""

    def open(self):
        self.door = socket.socket()
        self.door.bind(("127.0.0.1", 0))
        self.door.listen(0)
        self.port = self.door.getsockname()[1]
        self.filler = socket.create_connection(("127.0.0.1", self.port), 1)

    def release(self):
        self.door.accept()[0].close()
        self.filler.close()
        threading.Thread(target=self._accept, args=(self.door,), daemon=True).start()


def name_of(worker):
    return worker.wait_log("working")["worker"]


def in_flight(gate, count):
    wait_for(lambda: gate.fake.stats()["inFlight"] == count, what=f"{count} calls in flight")


def count(worker, series):
    return worker.metrics()[f"tollgate_worker_{series}"]


def wake(worker):
    worker.send_signal(signal.SIGCONT)
    worker.http.close()  # while it was stopped the connection grew too old for it


def make_two(make_gate, **env):
    """A gate whose only worker is the one that will die; successor() starts the other."""
    gate = make_gate(workers=0, worker_env={**QUICK, **env})
    gate.credit(ANN, balance=9)
    return gate, gate.add_worker().wait_ready()


def settled_in(gate, id, since, timeout=TAKEN_OVER_S):
    b = gate.wait_settled(id, timeout)
    return b, time.monotonic() - since


# ---- kill -9 ----

def test_killed_before_the_call(make_gate):
    """With default settings: taken over within 20 s."""
    gate = make_gate(workers=0, worker_env={"TOLLGATE_FRESH_MS": "0"})
    gate.credit(ANN, balance=9)
    victim = gate.add_worker().wait_ready()
    gate.fake.fault("hang", "get", times=3)
    ids = [made["id"] for made in gate.fake.book(ANN, count=3)["bookings"]]
    in_flight(gate, 3)
    heir = gate.add_worker().wait_ready()
    since = time.monotonic()
    victim.kill9()
    for id in ids:
        b, took_s = settled_in(gate, id, since)
        assert (b["state"], b["attempts"], b["deaths"]) == ("accepted", "0", "0") and took_s < TAKEN_OVER_S
        assert acts(gate, id) == ["confirm"] and looks(gate, id) == 2
    assert purses(gate) == (6, 0, 3) and sorted(movements(gate)) == sorted(CAPTURED * 3)
    assert heir.wait_log("a worker died; what it had in hand goes back into the queue")["bookings"] == "3"
    assert count(heir, "reaped_workers_total") == 1
    assert count(heir, 'bookings_taken_back_total{why="dead"}') == 3
    assert not gate.client.exists(gate.key("worker:" + name_of(victim)), gate.key("active:" + name_of(victim)))


def test_killed_during_a_confirm_that_hangs(make_gate):
    """Cal.com may still be at it: the heir looks at once, and asks again when that is over."""
    gate, victim = make_two(make_gate)
    gate.fake.fault("hang", "confirm")
    id = gate.fake.book(ANN)["id"]
    in_flight(gate, 1)
    gate.add_worker()
    victim.kill9()
    b = wait_place(gate, id, "retry")
    assert (b["state"], b["attempts"], b["deaths"]) == ("accepting", "0", "1")
    assert acts(gate, id) == ["confirm"] and looks(gate, id) == 1 and purses(gate) == (8, 1, 0)
    assert int(b["busy_until_ms"]) - int(b["act_ms"]) == 30000
    make_due(gate, id)
    b = gate.wait_settled(id)
    assert (b["state"], b["attempts"], acts(gate, id)) == ("accepted", "0", ["confirm"] * 2)
    assert gate.fake.stats()["overlaps"] == 0


def test_killed_after_the_confirm_and_before_its_record(make_gate):
    gate, victim = make_two(make_gate)
    gate.fake.fault("hang", "confirm", after=True)
    id = gate.fake.book(ANN)["id"]
    in_flight(gate, 1)
    gate.add_worker()
    victim.kill9()
    b = gate.wait_settled(id)
    assert (b["state"], b["attempts"]) == ("accepted", "0")
    assert acts(gate, id) == ["confirm"] and movements(gate) == CAPTURED and purses(gate) == (8, 0, 1)


def test_killed_between_the_pop_and_the_take(make_gate):
    """A name that only Redis and the dead worker's list know of."""
    gate, victim = make_two(make_gate)
    wait_for(lambda: any(c["cmd"] == "blmove" for c in gate.client.client_list()), what="the worker to sleep")
    victim.send_signal(signal.SIGSTOP)
    id = gate.fake.book(ANN)["id"]
    assert gate.client.lrange(gate.key("active:" + name_of(victim)), 0, -1) == [str(id)]
    heir = gate.add_worker()
    victim.kill9()
    b = gate.wait_settled(id)
    # Whoever takes next takes it along, without waiting for anybody's funeral.
    assert (b["state"], "deaths" in b) == ("accepted", False)
    assert count(heir, 'bookings_taken_back_total{why="dead"}') == 0


def test_two_survivors_bury_a_dead_worker_once(make_gate):
    gate, victim = make_two(make_gate, TOLLGATE_FRESH_MS="0", TOLLGATE_CONCURRENCY="5")
    gate.fake.fault("hang", "get", times=5)
    ids = [made["id"] for made in gate.fake.book(ANN, count=5)["bookings"]]
    in_flight(gate, 5)
    heirs = [gate.add_worker().wait_ready() for _ in range(2)]
    victim.kill9()
    assert [gate.wait_settled(id)["state"] for id in ids] == ["accepted"] * 5
    assert sum(count(heir, "reaped_workers_total") for heir in heirs) == 1
    assert [acts(gate, id) for id in ids] == [["confirm"]] * 5 and gate.fake.stats()["overlaps"] == 0
    assert purses(gate) == (4, 0, 5)


def test_a_booking_that_kills_its_workers(make_gate):
    """Each worker that takes it is killed: after two deaths it is taken alone, after three more it is dead."""
    gate = make_gate(workers=0, worker_env={**QUICK, "TOLLGATE_FRESH_MS": "0"})
    gate.credit(ANN, balance=9)
    poison = gate.fake.book(ANN)["id"]
    gate.fake.fault("hang", "get", times=-1, booking=poison)
    sweeper = Library(gate.client, gate.namespace)
    neighbour = None
    for death in range(5):
        if death == 2:
            neighbour = gate.fake.book(ANN)["id"]
        victim = gate.add_worker()
        wait_for(lambda: looks(gate, poison) == death + 1, what="the look that kills")
        victim.kill9()
        if neighbour:
            assert gate.booking(neighbour)["state"] == "waiting", "it was not alone"
        assert sweeper.die(name_of(victim)).buried
    b = gate.booking(poison)
    assert (gate.dead(), b["state"], b["attempts"]) == ([str(poison)], "accepting", "0")
    assert b["last_error"] == "its worker died three times while handling it alone"
    gate.add_worker()
    assert gate.wait_settled(neighbour)["state"] == "accepted"
    assert purses(gate) == (7, 1, 1) and acts(gate, poison) == []


def test_alone_means_that_all_else_waits_and_then_goes_on(make_gate):
    gate = make_gate(workers=0)
    gate.credit(ANN, balance=9)
    suspect, *others = [made["id"] for made in gate.fake.book(ANN, count=4)["bookings"]]
    gate.client.hset(gate.key(f"booking:{suspect}"), "deaths", 2)
    gate.fake.config(latencyMs=300)
    worker = gate.add_worker()
    for id in [suspect, *others]:
        assert gate.wait_settled(id)["state"] == "accepted"
    alone = gate.fake.calls(suspect)
    for call in [call for id in others for call in gate.fake.calls(id)]:
        assert call["end_ms"] <= alone[0]["t_ms"] or call["t_ms"] >= alone[-1]["end_ms"]
    assert gate.booking(suspect)["deaths"] == "0" and count(worker, "bookings_in_hand") == 0
    [line] = worker.log_lines("workers died with this booking in hand; it is taken alone")
    assert line["booking"] == str(suspect)


# ---- Stopped and cut off ----

def test_stopped_for_longer_than_its_lease_it_does_nothing_wrong(make_gate):
    gate, sleeper = make_two(make_gate, TOLLGATE_FRESH_MS="0")
    gate.fake.fault("latency", "get", times=3, ms=1500)
    ids = [made["id"] for made in gate.fake.book(ANN, count=3)["bookings"]]
    in_flight(gate, 3)
    sleeper.send_signal(signal.SIGSTOP)
    heir = gate.add_worker().wait_ready()
    assert [gate.wait_settled(id)["state"] for id in ids] == ["accepted"] * 3
    time.sleep(STOPPED_S)
    wake(sleeper)
    wait_for(lambda: count(sleeper, 'bookings_total{result="stale"}') == 3, what="three stale steps")
    assert count(sleeper, "leases_lost_total") == 1
    assert sleeper.wait_log(level="warn", worker=name_of(sleeper))["msg"].startswith("this worker's lease was over")
    assert [acts(gate, id) for id in ids] == [["confirm"]] * 3 and purses(gate) == (6, 0, 3)
    assert gate.client.hget(gate.key("stats"), "stale_steps") == "3"
    heir.stop()
    assert gate.wait_settled(gate.fake.book(ANN)["id"])["state"] == "accepted", "it goes on"
    assert count(sleeper, "leased") == 1


def test_a_call_that_waited_for_its_connection_does_not_go_out_after_the_lease(make_gate):
    """Begun while the lease held, its request not yet written when the worker was stopped."""
    gate = make_gate(workers=0, worker_env={**QUICK, "CALCOM_TIMEOUT_MS": "60000", "TOLLGATE_FRESH_MS": "60000"})
    gate.credit(ANN, balance=9)
    door = SlowDoor(gate.fake.url)
    sleeper = gate.add_worker(CALCOM_API_URL=f"{door.url}/v2").wait_ready()
    id = gate.fake.book(ANN)["id"]
    wait_for(lambda: count(sleeper, 'calcom_calls_total{call="confirm"}') == 1, what="the confirm to begin")
    sleeper.send_signal(signal.SIGSTOP)
    gate.add_worker()
    wait_place(gate, id, "retry")  # the heir looked; the confirm might be under way
    door.release()
    wake(sleeper)
    # The door's backlog was full, so the kernel knocks again at growing distances.
    wait_for(lambda: count(sleeper, "calcom_calls_withheld_total") == 1, 2 * TIMEOUT, "the confirm to be held back")
    wait_for(lambda: count(sleeper, 'bookings_total{result="stale"}') == 1, what="a stale step")
    assert acts(gate, id) == []
    make_due(gate, id)
    assert gate.wait_settled(id)["state"] == "accepted" and acts(gate, id) == ["confirm"]
    door.close()


def test_a_fresh_booking_whose_connection_takes_long_is_looked_at(make_gate):
    gate = make_gate(workers=0)
    gate.credit(ANN, balance=9)
    door = SlowDoor(gate.fake.url)
    worker = gate.add_worker(CALCOM_API_URL=f"{door.url}/v2").wait_ready()
    id = gate.fake.book(ANN)["id"]
    wait_for(lambda: count(worker, 'calcom_calls_total{call="confirm"}') == 1, what="the confirm to begin")
    since = time.monotonic()
    wait_for(lambda: time.monotonic() - since > 1, what="it to be fresh no more")
    door.release()
    assert gate.wait_settled(id)["state"] == "accepted"
    assert [call["action"] for call in gate.fake.calls(id)] == ["get", "confirm"]
    assert count(worker, "calcom_calls_withheld_total") == 1
    door.close()


def test_a_slow_cal_com_is_acted_upon_all_the_same(make_gate):
    """A look that takes longer than what is known may be old: another look would take as long."""
    gate = make_gate(worker_env={"TOLLGATE_FRESH_MS": "0"})
    gate.credit(ANN, balance=9)
    gate.fake.config(latencyMs=1200)
    id = gate.fake.book(ANN)["id"]
    assert gate.wait_settled(id)["state"] == "accepted"
    assert (looks(gate, id), acts(gate, id)) == (1, ["confirm"])


def test_cut_off_from_redis_it_sends_nothing_after_its_lease(make_gate):
    gate = make_gate(workers=0, worker_env={**QUICK, "TOLLGATE_FRESH_MS": "0"})
    gate.credit(ANN, balance=9)
    cut = CutRedis(gate.redis.port)
    lonely = gate.add_worker(REDIS_URL=cut.url).wait_ready()
    gate.fake.fault("latency", "get", ms=1500)
    id = gate.fake.book(ANN)["id"]
    in_flight(gate, 1)
    cut.deaf = True
    gate.add_worker()
    b = gate.wait_settled(id)
    assert (b["state"], acts(gate, id)) == ("accepted", ["confirm"])
    wait_for(lambda: not lonely.is_ready() and count(lonely, "leased") == 0, what="its lease to be over")
    cut.close()
    cut.deaf = False
    cut.open()
    wait_for(lambda: count(lonely, 'bookings_total{result="stale"}') == 1, what="a stale step")
    assert acts(gate, id) == ["confirm"] and movements(gate) == CAPTURED
    lonely.stop()
    cut.close()


@pytest.mark.parametrize("fault", ["killed", "stopped"])
def test_after_an_outage_of_redis_nobody_is_reaped(make_gate, fault):
    """Longer than all leases: everybody looks dead, and nobody is."""
    gate = make_gate(workers=2, appendonly=True, worker_env={**QUICK, "TOLLGATE_FRESH_MS": "0"})
    gate.credit(ANN, balance=9)
    gate.fake.fault("latency", "get", times=6, ms=1000)
    ids = [made["id"] for made in gate.fake.book(ANN, count=6)["bookings"]]
    in_flight(gate, 6)
    down_since = time.monotonic()
    gate.redis.kill9() if fault == "killed" else gate.redis.sigstop()
    wait_for(lambda: time.monotonic() - down_since > 4, what="all leases to be over")
    gate.redis.restart() if fault == "killed" else gate.redis.sigcont()
    gate.client = gate.redis.client()
    assert [gate.wait_settled(id)["state"] for id in ids] == ["accepted"] * 6
    up_since = time.monotonic()
    # What is measured is that nothing happens: their patience ends after 6 s, then they sweep.
    wait_for(lambda: time.monotonic() - up_since > 10, what="the sweeps")
    assert [count(worker, "reaped_workers_total") for worker in gate.workers] == [0, 0]
    assert gate.client.hget(gate.key("stats"), "taken_back") is None
    assert [acts(gate, id) for id in ids] == [["confirm"]] * 6 and purses(gate) == (3, 0, 6)
    assert {gate.booking(id).get("deaths") for id in ids} == {None}


# ---- Answers of Redis that are lost ----

@pytest.mark.parametrize("step", ["take", "begin", "settle", "lease", "reap"])
def test_the_answer_to_one_step_is_lost(make_gate, step):
    """Redis ran it, and the worker never heard: nothing stays in its list, nothing is done twice."""
    gate = make_gate(workers=0, worker_env={"TOLLGATE_FRESH_MS": "0"})
    gate.credit(ANN, balance=9)
    cut = CutRedis(gate.redis.port)
    worker = gate.add_worker(REDIS_URL=cut.url).wait_ready()
    wait_for(lambda: any(c["cmd"] == "blmove" for c in gate.client.client_list()), what="the worker to sleep")
    cut.lose = b"tollgate_" + step.encode()
    id = gate.fake.book(ANN)["id"]
    wait_for(lambda: cut.lost == 1, what="the answer to be lost")
    b = gate.wait_settled(id)
    gate.wait_idle()
    assert (b["state"], b["attempts"], acts(gate, id)) == ("accepted", "0", ["confirm"])
    assert movements(gate) == CAPTURED
    status, took_s = leave(worker)
    assert status == 0 and took_s < 5, "it leaves at once, though Redis may be away just then"
    cut.close()


def test_a_pop_whose_answer_never_comes_is_noticed_by_the_next_renewal(make_gate):
    """The name lies in the worker's list, and its second connection stays silent."""
    gate = make_gate(workers=0)
    gate.credit(ANN, balance=9)
    cut = CutRedis(gate.redis.port)
    worker = gate.add_worker(REDIS_URL=cut.url).wait_ready()
    wait_for(lambda: any(c["cmd"] == "blmove" for c in gate.client.client_list()), what="the worker to sleep")
    cut.how, cut.lose = "silent", b"BLMOVE"
    since = time.monotonic()
    id = gate.fake.book(ANN)["id"]
    b, took_s = settled_in(gate, id, since)
    assert b["state"] == "accepted" and cut.lost == 1 and took_s < 5
    worker.kill9()
    cut.close()


# ---- In hand for too long ----

def test_a_booking_that_a_live_worker_has_for_too_long_is_given_back(make_gate):
    gate = make_gate(workers=1, worker_env={**QUICK, "TOLLGATE_FRESH_MS": "0", "CALCOM_TIMEOUT_MS": "15000"})
    gate.credit(ANN, balance=9)
    gate.fake.fault("hang", "get")
    id = gate.fake.book(ANN)["id"]
    in_flight(gate, 1)
    token = gate.booking(id)["token"]
    gate.client.hincrby(gate.key(f"booking:{id}"), "taken_ms", -81000)
    b = gate.wait_settled(id)
    assert (b["state"], b["attempts"], acts(gate, id)) == ("accepted", "0", ["confirm"]) and b["token"] != token
    assert gate.worker.wait_log("in a worker's hands for too long; it goes back into the queue")["booking"] == str(id)
    assert count(gate.worker, 'bookings_taken_back_total{why="overdue"}') == 1
    wait_for(lambda: count(gate.worker, 'bookings_total{result="stale"}') == 1, what="the old job's stale step")
    assert movements(gate) == CAPTURED


# ---- A cancel against a confirm that still runs ----

def test_a_cancel_while_a_slow_confirm_runs(make_gate):
    """Cal.com checked the booking, is slow, and accepts it after the member cancelled: it is cancelled again."""
    gate = make_gate(worker_env={"CALCOM_TIMEOUT_MS": "500"})
    gate.credit(ANN, balance=1)
    gate.fake.fault("latency", "confirm", ms=2500, between=True)
    id = gate.fake.book(ANN)["id"]
    wait_place(gate, id, "retry")
    gate.fake.cancel(id)
    b = wait_for(lambda: "a call that was not answered" in gate.booking(id).get("last_error", "")
                 and gate.booking(id), what="the cancel to be seen, and not to be believed")
    assert (b["state"], b["place"], purses(gate)) == ("accepting", "retry", (0, 1, 0))
    wait_for(lambda: gate.fake.booking(id)["status"] == "ACCEPTED", what="the confirm to win")
    make_due(gate, id)
    b = gate.wait_settled(id)
    assert (b["state"], gate.fake.booking(id)["status"]) == ("cancelled", "CANCELLED")
    assert acts(gate, id) == ["confirm", "cancel"] and purses(gate) == (1, 0, 0)
    assert movements(gate) == [("hold", 1), ("release", 1)]
