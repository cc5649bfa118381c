"""Programs of two versions on one Redis, as while they are upgraded. An older program is this one with an older
library in it; tests/compose upgrades the images."""

import re

import pytest

from harness import BUILD, Gate, Ingest, wait_for
from library import library_text
from outcomes import ANN, BOB

VERSION = int(re.search(r"^local VERSION = (\d+)$", library_text(), re.M).group(1))


def library_of(version, oldest=1):
    text = library_text()
    for name, number in (("VERSION", version), ("OLDEST", oldest)):
        text, count = re.subn(rf"^local {name} = \d+$", f"local {name} = {number}", text, flags=re.M)
        assert count == 1
    return text


@pytest.fixture(scope="module")
def older(tmp_path_factory):
    """Program → its path with a library one version older."""
    folder = tmp_path_factory.mktemp("older")

    def make(name):
        mine = f"local VERSION = {VERSION}\n".encode()
        binary = (BUILD / name).read_bytes()
        assert binary.count(mine) == 1
        path = folder / name
        path.write_bytes(binary.replace(mine, f"local VERSION = {VERSION - 1}".rjust(len(mine) - 1).encode() + b"\n"))
        path.chmod(0o755)
        return str(path)
    return {name: make(name) for name in ("tollgate-ingest", "tollgate-worker")}


def loaded(gate):
    return gate.client.fcall("tollgate_version", 0)


def replace(program, path):
    """Ends it in good order, and starts another version in its place."""
    if isinstance(program, Ingest):
        program.env["TOLLGATE_LISTEN"] = program.address("listening")
    program.stop()
    program.arguments = [path]
    program.start()


def upgrade(program, path=None):
    replace(program, path or str(BUILD / program.name))
    program.wait_ready()


def book(gate, count):
    made = gate.fake.book(ANN, count=count)["bookings"]
    for booking in made:
        assert gate.wait_settled(booking["id"])["state"] == "accepted"


@pytest.fixture
def mixed(house, older):
    """A gate with an ingest and two workers of the older version."""
    gate = Gate(house, workers=2)
    gate.client.function_flush()
    for program in (gate.ingest, *gate.workers):
        upgrade(program, older[program.name])
    assert loaded(gate) == VERSION - 1
    gate.credit(ANN, balance=1000)
    return gate


def test_programs_are_upgraded_one_by_one(mixed):
    gate = mixed
    book(gate, 20)
    for program in (gate.workers[0], gate.ingest, gate.workers[1]):
        upgrade(program)
        assert loaded(gate) == VERSION
        book(gate, 20)
    assert gate.account(ANN) == {"balance": 920, "held": 0, "spent": 80}


def test_an_older_program_leaves_the_newer_library_and_works_with_it(mixed, older):
    gate = mixed
    for program in (gate.ingest, *gate.workers):
        upgrade(program)
    for program in (gate.ingest, gate.workers[0]):
        upgrade(program, older[program.name])
    gate.workers[1].stop()
    assert loaded(gate) == VERSION
    book(gate, 20)
    assert loaded(gate) == VERSION


def test_a_program_that_is_no_longer_served_says_so_and_loses_nothing(make_gate):
    gate = make_gate()
    gate.credit(BOB, balance=1)
    gate.allow_errors.append("redis cannot be prepared")
    gate.client.function_load(library_of(VERSION + 1, oldest=VERSION + 1), replace=True)
    for program in (gate.ingest, gate.worker):
        replace(program, str(BUILD / program.name))
        error = program.wait_log("redis cannot be prepared")["error"]
        assert f"serves programs from version {VERSION + 1} on" in error and "upgrade it" in error
    assert not gate.worker.is_ready()
    id = gate.fake.book(BOB)["id"]
    wait_for(lambda: gate.fake.webhooks()[-1]["status"] == 202, what="the webhook to be kept")
    assert gate.booking(id) == {} and gate.queue() == []
    # The programs are upgraded: as good as a library that serves these.
    gate.client.function_load(library_of(VERSION + 2), replace=True)
    assert gate.wait_settled(id)["state"] == "accepted"
