"""The spool's folder and file: what is in it, who may use it, and what happens when the disk is full or the file damaged."""

import os
import sqlite3
import subprocess

import pytest

from harness import Ingest, sample, wait_for
from outage import Stream, ask_all, rows, spool_folder, spool_up, wait_away
from wire import Door, request, webhook


@pytest.fixture
def door(house):
    return Door(house)


# ---- The disk ----

def test_nothing_secret_is_on_the_disk(door):
    spool_up(door, [1])
    body = sample("BOOKING_REQUESTED", **{
        "payload.oneTimePassword": "otp-one", "payload.metadata": {"oneTimePassword": "otp-two", "plan": "gold"},
        "payload.bookingId": 2, "payload.notes": "a-private-note"})
    assert door.ask(body).status == 202
    files = list(spool_folder(door).iterdir())
    assert {path.name for path in files} >= {"spool.db", "spool.db-wal", "lock"}
    stored = b"".join(path.read_bytes() for path in files)
    assert b"gold" in stored, "the event is there"
    for secret in (b"otp-one", b"otp-two", b"oneTimePassword", b"a-private-note"):
        assert secret not in stored
    assert oct(spool_folder(door).stat().st_mode)[-3:] == "700"
    assert {oct(path.stat().st_mode)[-3:] for path in files} == {"600"}


def test_a_folder_has_one_ingest(house, tmp_path):
    server = house.redis()
    first = house.ingest(server.url, TOLLGATE_SPOOL_DIR=str(tmp_path / "spool"))
    first.wait_ready()
    house.allow_errors.append("TOLLGATE_SPOOL_DIR is in use")
    second = house.ingest(server.url, TOLLGATE_SPOOL_DIR=str(tmp_path / "spool"))
    assert second.wait_exit() == 1
    line = second.log_lines("TOLLGATE_SPOOL_DIR is in use by another ingest: give each one a folder of its own")[0]
    assert line["folder"] == str(tmp_path / "spool")
    first.kill9()
    third = house.ingest(server.url, TOLLGATE_SPOOL_DIR=str(tmp_path / "spool"))
    third.wait_ready()


def test_a_folder_that_cannot_be_made_stops_the_start(house):
    house.allow_errors.append("TOLLGATE_SPOOL_DIR cannot be used")
    for folder in ("/proc/spool", "/dev/null/spool", "/no/such/parent"):
        ingest = house.ingest(house.redis().url, TOLLGATE_SPOOL_DIR=folder)
        assert ingest.wait_exit() == 1
        assert ingest.log_lines("TOLLGATE_SPOOL_DIR cannot be used", folder=folder)


def test_a_full_spool_is_503_and_recovers(house):
    house.allow_errors.append("the spool has reached TOLLGATE_SPOOL_MAX")
    door = Door(house, TOLLGATE_SPOOL_MAX=str(1024 * 1024))
    door.redis.kill9()
    wait_away(door)
    large = {"payload.metadata": {"note": "x" * 6000}}
    with door.wire() as wire:
        answers = [wire.ask(request(webhook(id, **large))) for id in range(1, 251)]
    taken = sum(answer.status == 202 for answer in answers)
    refused = next(answer for answer in answers if answer.status == 503)
    assert int(refused.headers["retry-after"]) > 0
    assert 80 < taken < 200
    assert [answer.status for answer in answers] == [202] * taken + [503] * (len(answers) - taken)
    size = sum(path.stat().st_size for path in spool_folder(door).iterdir())
    assert size < 1024 * 1024 + 5 * 1024 * 1024, "the limit, and the journal"
    assert door.count("spool_bytes") <= 1024 * 1024
    assert door.ingest.get("/readyz").status_code == 503
    assert "neither" in door.ingest.get("/readyz").text
    door.redis.restart()
    door.ingest.wait_ready()
    assert door.queue() == [str(id) for id in range(1, taken + 1)]
    ask_all(door, [9000])
    wait_for(lambda: (spool_folder(door) / "spool.db").stat().st_size < 200 * 1024, what="the file to shrink")


PRELOAD = r"""
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <stdlib.h>
#include <sys/types.h>
#include <unistd.h>
static int full(void) { return access(getenv("DISK_FULL"), F_OK) == 0; }
#define WRAP(name, offset) \
    ssize_t name(int fd, const void *bytes, size_t size, offset at); \
    ssize_t name(int fd, const void *bytes, size_t size, offset at) { \
        ssize_t (*real)(int, const void *, size_t, offset) = dlsym(RTLD_NEXT, #name); \
        if (full()) { errno = ENOSPC; return -1; } \
        return real(fd, bytes, size, at); }
WRAP(pwrite, off_t)
WRAP(pwrite64, off64_t)
"""


@pytest.fixture(scope="module")
def full_disk(tmp_path_factory):
    """A library that lets writes at an offset, which only SQLite does, fail while a file exists."""
    folder = tmp_path_factory.mktemp("preload")
    (folder / "full.c").write_text(PRELOAD)
    subprocess.run(["cc", "-shared", "-fPIC", "-o", folder / "full.so", folder / "full.c", "-ldl"], check=True)
    return folder / "full.so"


def full_disk_env(library, tmp_path):
    options = os.environ.get("ASAN_OPTIONS", "") + ":verify_asan_link_order=0"
    return {"LD_PRELOAD": str(library), "DISK_FULL": str(tmp_path / "disk-is-full"), "ASAN_OPTIONS": options}


def test_a_full_disk_is_503_and_recovers(house, full_disk, tmp_path):
    house.allow_errors += ["the spool fails", "the spool has reached"]
    door = Door(house, **full_disk_env(full_disk, tmp_path))
    spool_up(door, [1, 2])
    (tmp_path / "disk-is-full").touch()
    for id in (3, 4, 5):
        answer = door.ask(webhook(id))
        assert answer.status == 503 and int(answer.headers["retry-after"]) > 0
    assert len(door.ingest.log_lines("the spool fails: webhooks that need it are answered with 503")) == 1
    assert door.ingest.get("/readyz").status_code == 503
    door.redis.restart()
    wait_for(lambda: door.queue() == ["1", "2"], what="what it has to be drained although the disk is full")
    wait_for(lambda: "the spool would not take webhooks" in door.ingest.get("/readyz").text, what="/readyz to warn")
    ask_all(door, [6])
    (tmp_path / "disk-is-full").unlink()
    door.ingest.wait_ready()  # it finds out by itself
    assert door.ingest.log_lines("the spool takes webhooks again")
    spool_up(door, [7, 8])
    door.redis.restart()
    door.ingest.wait_ready()
    assert door.queue()[-2:] == ["7", "8"]


def test_a_disk_that_is_full_at_the_start_stops_nothing(house, full_disk, tmp_path):
    house.allow_errors.append("the spool fails")
    (tmp_path / "disk-is-full").touch()
    door = Door(house, ready=False, **full_disk_env(full_disk, tmp_path))
    wait_for(lambda: door.ingest.get("/readyz").status_code == 200, what="/readyz")
    ask_all(door, [1])
    door.redis.kill9()
    wait_for(lambda: door.ingest.get("/readyz").status_code == 503, what="/readyz to say so")
    ask_all(door, [2], status=503)
    (tmp_path / "disk-is-full").unlink()
    wait_for(lambda: door.ask(webhook(2)).status == 202, what="the disk to be used again")
    door.redis.restart()
    door.ingest.wait_ready()
    assert door.queue() == ["2"]


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can mount a disk of its own")
def test_a_small_disk_that_fills_up(house, tmp_path):
    house.allow_errors.append("the spool fails")
    disk = tmp_path / "disk"
    disk.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", disk]).returncode != 0:
        pytest.skip("mounting is not allowed here")
    try:
        door = Door(house, TOLLGATE_SPOOL_DIR=str(disk / "spool"))
        door.redis.kill9()
        wait_away(door)
        statuses = [door.ask(webhook(id)).status for id in range(1, 3001)
                    if id < 100 or door.count("spool_not_kept_total") < 3]
        taken = statuses.count(202)
        assert taken > 50 and statuses[-1] == 503
        acknowledged = [str(id) for id, status in enumerate(statuses, 1) if status == 202]
        door.redis.restart()
        wait_for(lambda: door.count("spool_entries") == 0, what="the spool to be drained")
        assert door.queue() == acknowledged
        wait_for(lambda: door.count("spool_bytes") < 512 * 1024, what="the rows to be removed")
    finally:
        for program in house.programs:
            program.stop()
        subprocess.run(["umount", disk], check=True)


# ---- The file ----

def damage(path):
    with open(path, "r+b") as file:
        file.seek(4096)
        file.write(b"\xa5" * 8192)


def test_a_damaged_file_is_moved_aside(door):
    door.house.allow_errors.append("the spool's file is damaged")
    spool_up(door, range(1, 40))
    door.ingest.stop()
    damage(spool_folder(door) / "spool.db")
    damaged = (spool_folder(door) / "spool.db").read_bytes()
    door.redis.restart()
    door.ingest.restart()
    named = next(line["file"] for line in door.ingest.log_lines() if "is damaged" in line["msg"])
    aside = door.ingest.folder / named
    assert aside.read_bytes() == damaged and ".corrupt-" in aside.name
    assert door.queue() == []
    spool_up(door, [50])
    door.redis.restart()
    door.ingest.wait_ready()
    assert door.queue() == ["50"]


def test_a_file_that_is_damaged_while_it_is_used_is_moved_aside(door):
    """What was in it is not drained any more, and loudly said to be in there; what comes next is taken."""
    door.house.allow_errors += ["the spool's file is damaged", "the spool fails",
                                "redis refuses an event for good"]
    door.redis.kill9()
    wait_away(door)
    with Stream(door.ingest.address("listening"), rate=5000) as stream:
        # More than SQLite keeps in memory.
        wait_for(lambda: door.count("spool_bytes") > 3e6, what="a large spool", every=0.1)
    assert set(stream.statuses) == {202}
    for name in ("spool.db", "spool.db-wal"):
        path = spool_folder(door) / name
        size = path.stat().st_size
        with open(path, "r+b") as file:
            file.seek(8192)
            file.write(b"\xa5" * (size - 8192))
    door.redis.restart()
    wait_for(lambda: list(spool_folder(door).glob("spool.db.corrupt-*")), what="the file to be moved aside")
    door.ingest.wait_ready()
    spool_up(door, [9000001])
    door.redis.restart()
    door.ingest.wait_ready()
    assert door.queue()[-1] == "9000001"


def test_a_file_that_is_no_database_is_moved_aside(house):
    house.allow_errors.append("the spool's file is damaged")
    server = house.redis()
    ingest = Ingest(house.room("ingest"), server.url, "tollgate", {})
    (ingest.folder / "spool").mkdir()
    (ingest.folder / "spool" / "spool.db").write_text("this is no database\n" * 100)
    door = Door(house, server=server, ingest=house.add(ingest))
    spool_up(door, [1])
    server.restart()
    door.ingest.wait_ready()
    assert door.queue() == ["1"]


def test_a_file_of_another_version_is_refused_and_left_alone(door):
    spool_up(door, [1])
    door.ingest.stop()
    with sqlite3.connect(spool_folder(door) / "spool.db") as db:
        db.execute("PRAGMA user_version = 2")
    door.house.allow_errors.append("the spool fails")
    door.ingest.start()
    assert door.ingest.wait_exit() == 1
    assert "it was written by another version (form 2, known is 1)" in door.ingest.log_text()
    assert len(rows(door)) == 1


def test_the_oldest_is_told(door):
    assert door.count("spool_oldest_seconds") == 0
    spool_up(door, [1, 2])
    wait_for(lambda: door.count("spool_oldest_seconds") >= 1, what="a second to pass")
    assert door.count("spool_bytes") > 4096
    door.redis.restart()
    door.ingest.wait_ready()
    assert [door.count("spool_" + name) for name in ("entries", "oldest_seconds", "kept_total", "drained_total")] == [
        0, 0, 2, 2]
