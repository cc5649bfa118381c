"""What ingest does with many connections, with too few file descriptors, and with nothing to do."""

import os
import resource
import time
from pathlib import Path

import pytest

from harness import BUILD, Ingest, wait_for
from wire import Door, Wire, request, webhook

IDLE = 1500
DESCRIPTORS = 64


@pytest.fixture
def door(house):
    return Door(house)


@pytest.fixture
def many_files():
    """This process may open as many files as the system lets it."""
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    if before[1] != resource.RLIM_INFINITY and before[1] < IDLE + 500:
        pytest.skip("the limit of open files is low")
    resource.setrlimit(resource.RLIMIT_NOFILE, (before[1], before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, before)


@pytest.fixture
def narrow_door(house):
    """Ingest with very few file descriptors, soft and hard limit alike."""
    server = house.redis()
    program = Ingest(house.room("ingest"), server.url, "tollgate", {})
    program.arguments = ["sh", "-c", f'ulimit -n {DESCRIPTORS} && exec "$0"', *program.arguments]
    house.allow_errors.append("accepting pauses")
    return Door(house, server=server, ingest=house.add(program))


def cpu_ticks(pid):
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return int(fields[11]) + int(fields[12])


def test_many_idle_connections_disturb_nobody(door, many_files):
    wires = [door.wire() for _ in range(IDLE)]
    wait_for(lambda: door.count("connections") >= IDLE, what="all connections to be accepted")
    slowest_s = 0.0
    for id in range(1, 101):
        since = time.monotonic()
        assert door.ask(webhook(id)).status == 202
        slowest_s = max(slowest_s, time.monotonic() - since)
    assert slowest_s < 0.5
    for wire in wires[::50]:
        assert wire.ask(request(webhook(1))).status == 200, "an idle connection is served as well"
    for wire in wires:
        wire.close()
    wait_for(lambda: door.count("connections") == 0, what="all connections to be gone")
    assert door.count("connections_refused_total") == 0


def fill(door):
    """Connects until ingest has no descriptor left and says so."""
    wires = [door.wire() for _ in range(DESCRIPTORS * 2)]
    door.ingest.wait_log("accepting pauses", level="error")
    return wires


def test_without_descriptors_it_goes_on_and_recovers(narrow_door):
    door = narrow_door
    line = door.ingest.wait_log("fewer connections than could be: the limit of open files is low", level="warn")
    assert line["limit"] == str(DESCRIPTORS)
    with door.wire() as early:
        assert early.ask(request(webhook(1))).status == 202
        wires = fill(door)
        assert early.ask(request(webhook(2))).status == 202, "an open connection is served on"
        waiting = door.wire().send(request(webhook(3)))
        paused = len(door.ingest.log_lines("accepting pauses"))
        assert 1 <= paused <= 20, "it retries without spinning"
        assert "many open files" in door.ingest.log_lines("accepting pauses")[0]["error"]
        for wire in wires:
            wire.close()
        assert waiting.answer().status == 202, "who waited in the kernel's queue is served"
        waiting.close()
    for id in range(4, 40):
        assert door.ask(webhook(id)).status == 202
    assert door.count("accept_pauses_total") >= 1
    assert door.ingest.is_ready()
    assert len(door.queue()) == 39


def test_without_descriptors_it_does_not_spin(narrow_door):
    """Somebody asks for /metrics meanwhile: that connection cannot be accepted either."""
    door = narrow_door
    wires = fill(door)
    admin = Wire(door.ingest.admin[len("http://"):]).send(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
    ticks, size = cpu_ticks(door.ingest.pid), len(door.ingest.log_text())
    time.sleep(1)
    ticks, size = cpu_ticks(door.ingest.pid) - ticks, len(door.ingest.log_text()) - size
    for wire in wires:
        wire.close()
    assert admin.answer().status == 200, "it is served as soon as there are descriptors again"
    admin.close()
    assert size < 4096, "bytes of log in a second"
    assert ticks <= os.sysconf("SC_CLK_TCK") / 4


def test_an_idle_ingest_costs_nothing(door):
    for id in range(1, 20):
        assert door.ask(webhook(id)).status == 202
    before = cpu_ticks(door.ingest.pid)
    time.sleep(3)
    assert cpu_ticks(door.ingest.pid) - before <= 2


@pytest.mark.skipif(BUILD.name != "release", reason="only the release build is small")
def test_an_idle_ingest_is_small(door):
    status = dict(line.split(":", 1) for line in Path(f"/proc/{door.ingest.pid}/status").read_text().splitlines())
    assert int(status["VmRSS"].split()[0]) < 10 * 1024


@pytest.mark.skipif(BUILD.name != "release", reason="only the release build is small")
def test_requests_leave_no_memory_behind(door):
    def resident_kib():
        lines = Path(f"/proc/{door.ingest.pid}/status").read_text().splitlines()
        return int(next(line for line in lines if line.startswith("VmRSS")).split()[1])

    kinds = [request(webhook(1)), request(b"false"), request(webhook(1), secret="wrong")]
    with door.wire() as wire:
        for round in range(4000):
            if round == 1000:
                before = resident_kib()
            wire.ask(kinds[round % 3])
    assert resident_kib() - before < 512
