"""What both programs count, beside what other tests look at: decisions, how long bookings took, what was built."""

import re

from harness import ROOT, wait_for

ANN, BOB = "ann@example.com", "bob@example.com"
VERSION = re.search(r"^VERSION = (\S+)$", (ROOT / "Makefile").read_text(), re.M).group(1)


def test_what_was_built_and_how_many_calls_at_a_time(make_gate):
    gate = make_gate(worker_env={"TOLLGATE_CONCURRENCY": "7"})
    for daemon in (gate.ingest, gate.worker):
        built = [name for name in daemon.metrics() if name.startswith("tollgate_build_info{")]
        assert len(built) == 1 and f'version="{VERSION}"' in built[0] and daemon.metrics()[built[0]] == 1
    assert gate.worker.metrics()["tollgate_worker_concurrency"] == 7


def test_decisions_are_the_same_at_every_worker(make_gate):
    gate = make_gate(workers=2)
    gate.credit(ANN, balance=1)
    for email in (ANN, ANN, BOB):
        gate.wait_settled(gate.fake.book(email)["id"])
    wanted = {'outcome="accept",class="policy"': 1, 'outcome="reject",class="credit"': 1, 'outcome="reject",class="account"': 1}

    def told(worker):
        numbers = worker.metrics().items()
        return {name[len("tollgate_decisions_total{"):-1]: value for name, value in numbers
                if name.startswith("tollgate_decisions_total") and value > 0}
    for worker in gate.workers:
        wait_for(lambda w=worker: told(w) == wanted, what="the decisions to be told")


def test_a_worker_that_has_heard_nothing_yet_does_not_say_zero(house):
    """Its counter would leap from 0 to what all workers ever decided."""
    worker = house.worker("redis://127.0.0.1:9", "http://127.0.0.1:9/v2")
    assert not [name for name in worker.metrics() if name.startswith("tollgate_decisions_total")]


def test_how_long_a_booking_took(make_gate):
    gate = make_gate()
    gate.credit(ANN, balance=5)
    gate.wait_settled(gate.fake.book(ANN)["id"])
    seconds = "tollgate_worker_settle_seconds"
    wait_for(lambda: gate.worker.metrics()[seconds + "_count{}"] == 1, what="the booking to be counted")
    assert gate.worker.metrics()[seconds + '_bucket{le="5"}'] == 1
    gate.worker.stop()
    late = gate.fake.book(ANN)["id"]
    gate.client.hincrby(gate.key(f"booking:{late}"), "received_ms", -40000)
    gate.worker.start()
    gate.worker.wait_ready()
    gate.wait_settled(late)
    wait_for(lambda: gate.worker.metrics()[seconds + "_count{}"] == 1, what="the late one to be counted")
    numbers = gate.worker.metrics()
    assert numbers[seconds + '_bucket{le="30"}'] == 0 and numbers[seconds + '_bucket{le="60"}'] == 1
    assert 40 <= numbers[seconds + "_sum{}"] < 60
