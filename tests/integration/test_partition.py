"""The cable to Redis is pulled: no reset, no refusal, only silence."""

import threading
import time

import pytest

import network
from harness import wait_for
from outcomes import ANN, acts, purses

MISSING = network.missing()
pytestmark = pytest.mark.skipif(MISSING is not None, reason=str(MISSING))

LEASE_S = 2
CUT_S = 5


@pytest.fixture
def far_gate(house, make_gate):
    return make_gate(server=network.far_redis(house), workers=2,
                     worker_env={"TOLLGATE_LEASE_MS": str(LEASE_S * 1000)})


class People:
    """Book one after the other until they are stopped."""

    def __init__(self, gate):
        self.gate = gate
        self.made = []
        self.is_over = threading.Event()
        self.thread = threading.Thread(target=self._book)
        self.thread.start()

    def _book(self):
        while not self.is_over.is_set():
            self.made.append(self.gate.fake.book(ANN))

    def stop(self):
        self.is_over.set()
        self.thread.join()
        return self.made


def test_what_was_acknowledged_is_settled_when_the_cable_is_back(far_gate):
    gate, cable = far_gate, far_gate.redis.cable
    gate.credit(ANN, balance=100000)
    people = People(gate)
    wait_for(lambda: len(people.made) >= 50, what="some bookings")
    cable.pull()
    pulled_ms = time.time() * 1000
    before = len(people.made)
    wait_for(lambda: time.time() * 1000 - pulled_ms > CUT_S * 1000, what="the cut to last")
    cable.plug_in()
    back_ms = time.time() * 1000
    wait_for(gate.ingest.is_ready, what="ingest to be ready again")
    there = len(people.made)
    wait_for(lambda: len(people.made) >= there + 50, what="some more bookings")
    made = people.stop()

    assert there > before, "nobody could book during the cut"
    assert {booking["webhooks"][0]["status"] for booking in made} == {202}
    told = [booking["id"] for booking in made]
    for id in told:
        assert gate.wait_settled(id)["state"] == "accepted"
    gate.wait_idle()
    assert [id for id in told if acts(gate, id) != ["confirm"]] == []
    assert gate.fake.stats()["overlaps"] == 0
    # Who cannot renew his lease asks Cal.com for nothing once it has ended.
    late = [call for call in gate.fake.calls() if pulled_ms + LEASE_S * 1000 + 500 < call["t_ms"] < back_ms]
    assert late == []
    assert purses(gate)[1] == 0 and purses(gate)[2] == len(told)
