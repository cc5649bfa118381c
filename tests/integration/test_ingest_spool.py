"""The spool: what ingest acknowledges while Redis does not take it is in Redis afterwards, in order."""

import itertools
import os
import sqlite3
import subprocess
import threading
import time

import pytest

from harness import Ingest, now_iso, sample, wait_for
from outage import Stream
from wire import Door, request, webhook

ANN = "ann@example.com"
SPOOLED = 'webhooks_total{result="spooled"}'


@pytest.fixture
def door(house):
    return Door(house)


def spool_folder(door):
    return door.ingest.folder / "spool"


def wait_away(door):
    wait_for(lambda: "redis is away" in door.ingest.get("/readyz").text, what="/readyz to say so")


def ask_all(door, ids, status=202):
    """One after the other, each on a connection of its own and so on any thread."""
    for id in ids:
        assert door.ask(webhook(id)).status == status, id


def spool_up(door, ids):
    """Redis dies, and these are in the spool."""
    door.redis.kill9()
    wait_away(door)
    ask_all(door, ids)
    assert door.count("spool_entries") == len(ids)


def rows(door, table="events"):
    with sqlite3.connect(f"file:{spool_folder(door)}/spool.db?mode=ro", uri=True) as db:
        return db.execute(f"SELECT * FROM {table} ORDER BY seq").fetchall()


# ---- Nothing acknowledged is lost ----

def recorded(door):
    return {int(key.rsplit(":", 1)[1]) for key in door.client.scan_iter(door.key("booking:*"), count=1000)}


def test_redis_is_killed_and_restarted_under_a_steady_stream(house):
    door = Door(house, server=house.redis(appendonly=True))
    with Stream(door.ingest.address("listening"), rate=300) as stream:
        for _ in range(3):
            stream.run_for(0.4)
            door.redis.kill9()
            stream.run_for(0.6)
            door.redis.restart()
            stream.run_for(0.8)
    door.ingest.wait_ready()
    assert set(stream.statuses) == {202}
    assert stream.acknowledged() <= recorded(door)
    assert len(door.queue()) == len(set(door.queue())) == len(recorded(door))
    assert door.count(SPOOLED) > 0 and door.count('webhooks_total{result="queued"}') > 0
    assert door.count("spool_drained_total") == door.count("spool_kept_total")


def test_redis_is_stopped_and_let_go_on_under_a_steady_stream(door):
    with Stream(door.ingest.address("listening"), rate=300) as stream:
        for stopped_s in (0.1, 0.5, 1.6):
            stream.run_for(0.4)
            door.redis.sigstop()
            stream.run_for(stopped_s)
            door.redis.sigcont()
            stream.run_for(0.4)
    door.ingest.wait_ready()
    assert set(stream.statuses) == {202}
    assert stream.acknowledged() <= recorded(door)
    assert len(door.queue()) == len(set(door.queue())) == len(recorded(door))


def test_connections_are_cut_under_a_steady_stream(door):
    with Stream(door.ingest.address("listening"), rate=300) as stream:
        for _ in range(8):
            stream.run_for(0.2)
            door.client.execute_command("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
    door.ingest.wait_ready()
    assert set(stream.statuses) == {202}
    assert stream.acknowledged() <= recorded(door)


def test_a_killed_ingest_leaves_its_spool_to_the_next(door):
    spool_up(door, range(1, 31))
    door.ingest.kill9()
    door.redis.restart()
    door.ingest.restart()
    assert door.queue() == [str(id) for id in range(1, 31)]
    assert door.ingest.log_lines("the spool has webhooks of an earlier run", entries="30")
    ask_all(door, [99])
    assert door.queue()[-1] == "99"
    assert door.count("spool_entries") == 0


def test_killed_again_and_again_while_it_drains(door):
    """Each run begins with what the one before did not bring to Redis, or did not know that it had."""
    spool_up(door, range(1, 301))
    door.ingest.kill9()
    door.redis.restart()
    door.redis.sigstop()
    for round in range(4):
        door.ingest.env["TOLLGATE_LISTEN"] = door.ingest.known_address()
        door.ingest.start()
        wait_away(door)
        ask_all(door, [1000 + round])
        door.redis.sigcont()
        time.sleep(0.01 * round)  # more or less of it is drained by then
        door.ingest.kill9()
        door.redis.sigstop()
    door.redis.sigcont()
    door.ingest.restart()
    assert len(door.queue()) == len(set(door.queue())) == 304
    assert door.queue()[:300] == [str(id) for id in range(1, 301)]


def test_it_ends_in_good_order_with_a_spool(door):
    spool_up(door, [1, 2, 3])
    door.ingest.stop()
    assert door.ingest.process.returncode == 0
    assert len(rows(door)) == 3
    door.redis.restart()
    door.ingest.restart()
    assert door.queue() == ["1", "2", "3"]
    wait_for(lambda: rows(door) == [], what="the rows to be removed")


# ---- Redis answers with an error ----

def fill_memory(client):
    client.config_set("maxmemory", 1)
    return lambda: client.config_set("maxmemory", 0)


def make_replica(client):
    client.execute_command("REPLICAOF", "127.0.0.1", "1")
    return lambda: client.execute_command("REPLICAOF", "NO", "ONE")


def fail_to_save(client):
    (client.path / "dump.rdb").mkdir()  # a file cannot take its place
    client.config_set("save", "3600 1")
    client.bgsave()
    wait_for(lambda: client.info("persistence")["rdb_last_bgsave_status"] == "err", what="a save that failed")
    return lambda: client.config_set("save", "")


def forbid(client):
    client.execute_command("ACL", "SETUSER", "default", "-fcall")
    return lambda: client.execute_command("ACL", "SETUSER", "default", "+@all")


ERRORS = {"OOM": fill_memory, "READONLY": make_replica, "MISCONF": fail_to_save, "NOPERM": forbid}


@pytest.mark.parametrize("kind", ERRORS)
def test_an_error_of_redis_counts_as_away(door, kind):
    ask_all(door, [1])
    door.client.path = door.redis.folder
    mend = ERRORS[kind](door.client)
    door.house.allow_errors.append("redis cannot be prepared")  # NOPERM: a setting is wrong
    ask_all(door, range(2, 12))
    assert door.queue() == ["1"]
    assert door.count(SPOOLED) == 10
    assert any(kind in line.get("error", "") for line in door.ingest.log_lines())
    mend()
    door.ingest.wait_ready()
    assert door.queue() == [str(id) for id in range(1, 12)]


def test_a_cluster_that_is_down_counts_as_away(house):
    server = house.redis(arguments=["--cluster-enabled", "yes"])
    door = Door(house, server=server, ready=False)
    door.ingest.wait_log("connected to redis")
    ask_all(door, [1, 2])
    assert "CLUSTERDOWN" in door.ingest.wait_log("redis answered with an error")["error"]
    door.client.execute_command("CLUSTER", "ADDSLOTSRANGE", 0, 16383)
    door.ingest.wait_ready()
    assert door.queue() == ["1", "2"]


def test_a_redis_that_loads_its_data_counts_as_away(house):
    server = house.redis(appendonly=True)
    door = Door(house, server=server)
    with door.client.pipeline() as pipe:
        for id in range(12000):
            pipe.set(f"filler:{id}", "x")
        pipe.execute()
    server.kill9()
    server.arguments += ["--key-load-delay", "200"]  # microseconds; it looks at its clients after each 1024 keys
    restart = threading.Thread(target=server.restart)
    restart.start()
    wait_for(lambda: "LOADING" in door.ingest.log_text(), what="ingest to hear of it")
    ask_all(door, [1, 2, 3])
    restart.join()
    door.ingest.wait_ready()
    assert door.queue() == ["1", "2", "3"]


def test_a_redis_that_is_slow_is_not_left(door):
    """Past TOLLGATE_SPOOL_AFTER_MS the webhook is spooled, but the connection stays, and its late answer is fine."""
    ask_all(door, [1])
    ids = {line["id"] for line in door.client.client_list()}
    door.redis.sigstop()
    timer = threading.Timer(0.6, door.redis.sigcont)
    timer.start()
    ask_all(door, range(2, 7))
    timer.join()
    door.ingest.wait_ready()
    assert door.queue() == [str(id) for id in range(1, 7)]
    assert {line["id"] for line in door.client.client_list()} == ids
    assert door.booking(2)["events"] == "1"


def test_an_event_that_redis_refuses_for_ever_blocks_nobody(door):
    """It is put aside, and tried again at the next start."""
    door.house.allow_errors.append("redis refuses an event for good")
    door.client.set(door.key("booking:2"), "mine")
    ask_all(door, [1, 2, 3, 4])
    wait_for(lambda: door.queue() == ["1", "3", "4"], what="the others to be recorded")
    door.ingest.wait_ready()
    assert door.count("spool_set_aside_total") == 1
    line = door.ingest.log_lines("redis refuses an event for good: it is put aside in the spool and tried again "
                                 "at the next start")[0]
    assert line["booking"] == "2" and "is no hash" in line["error"]
    wait_for(lambda: len(rows(door, "refused")) == 1, what="its row")
    assert "is no hash" in rows(door, "refused")[0][4]
    ask_all(door, [5])
    assert door.count(SPOOLED) <= 4, "it goes on directly"
    door.client.delete(door.key("booking:2"))
    door.ingest.restart()
    assert door.queue() == ["1", "3", "4", "5", "2"]
    assert rows(door, "refused") == []


def test_a_row_that_cannot_be_read_blocks_nobody(door):
    door.house.allow_errors.append("redis refuses an event for good")
    spool_up(door, [1, 2])
    door.ingest.stop()
    with sqlite3.connect(spool_folder(door) / "spool.db") as db:
        db.execute("INSERT INTO events VALUES (3, 1, 'rubbish'), (4, 1, x'00'), (5, 1, x'')")
        db.execute("INSERT INTO events VALUES (6, 1, ?)", (b"7\0requested\0no-time\0",))
        db.execute("INSERT INTO events SELECT 7, received_ms, event FROM events WHERE seq = 1")
    door.redis.restart()
    door.ingest.restart()
    assert door.queue() == ["1", "2"]
    assert door.count("spool_set_aside_total") == 4
    wait_for(lambda: len(rows(door, "refused")) == 4, what="their rows")


# ---- Order ----

def test_the_order_of_acknowledged_webhooks_is_kept_through_outages(house):
    """One client, who waits for each answer; any of four threads may take it in."""
    door = Door(house, TOLLGATE_THREADS="4")
    over = threading.Event()
    sent = []

    def send():
        for id in itertools.count(1):
            if over.is_set():
                return
            sent.append(str(id))
            ask_all(door, [id])

    client = threading.Thread(target=send)
    client.start()
    try:
        for stopped_s in (0.3, 1.4, 0.3, 0.2):
            time.sleep(0.4)
            door.redis.sigstop()
            time.sleep(stopped_s)
            door.redis.sigcont()
            time.sleep(0.4)
            door.client.execute_command("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
    finally:
        over.set()
        client.join()
    door.ingest.wait_ready()
    assert door.count(SPOOLED) > 20 and door.count('webhooks_total{result="queued"}') > 20
    assert door.queue() == sent


def test_the_first_of_two_bookings_gets_the_last_credit(make_gate):
    gate = make_gate(ingest_env={"TOLLGATE_THREADS": "4"})
    for round in range(3):
        member = f"m{round}@example.com"
        gate.credit(member, balance=1)
        gate.redis.sigstop()
        first = gate.fake.book(member, start=now_iso(86400))
        second = gate.fake.book(member, start=now_iso(2 * 86400))
        gate.redis.sigcont()
        assert [hook["status"] for hook in (*first["webhooks"], *second["webhooks"])] == [202, 202]
        assert gate.wait_settled(first["id"])["state"] == "accepted"
        assert gate.wait_settled(second["id"])["state"] == "rejected"


def test_a_steady_stream_gets_out_of_the_spool_again(door):
    """Newcomers wait a moment for its end; else it would be fed for ever."""
    with Stream(door.ingest.address("listening"), rate=500) as stream:
        stream.run_for(0.3)
        door.redis.sigstop()
        stream.run_for(0.6)
        door.redis.sigcont()
        wait_for(lambda: "the spool is empty" in door.ingest.log_text(), what="its end")
        before = door.count(SPOOLED)
        stream.run_for(0.5)
        assert door.count(SPOOLED) - before < 50
    assert set(stream.statuses) == {202}


# ---- When it was received ----

def test_a_booking_counts_from_its_real_receipt(door):
    door.redis.kill9()
    wait_away(door)
    before = time.time() * 1000
    assert door.ask(webhook(1, createdAt=now_iso())).status == 202
    after = time.time() * 1000
    time.sleep(1)
    door.redis.restart()
    door.ingest.wait_ready()
    assert before - 1 <= int(door.booking(1)["received_ms"]) <= after + 1


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
    with door.wire() as wire:
        answers = [wire.ask(request(webhook(id))) for id in range(1, 2501)]
    taken = sum(answer.status == 202 for answer in answers)
    refused = next(answer for answer in answers if answer.status == 503)
    assert int(refused.headers["retry-after"]) > 0
    assert 800 < taken < 2400
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
    house.allow_errors += ["the spool cannot be written", "the spool has reached"]
    door = Door(house, **full_disk_env(full_disk, tmp_path))
    spool_up(door, [1, 2])
    (tmp_path / "disk-is-full").touch()
    for id in (3, 4, 5):
        answer = door.ask(webhook(id))
        assert answer.status == 503 and int(answer.headers["retry-after"]) > 0
    assert len(door.ingest.log_lines("the spool cannot be written: webhooks are answered with 503")) == 1
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
    house.allow_errors.append("the spool cannot be written")
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
    house.allow_errors.append("the spool cannot be written")
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
    door.house.allow_errors.append("the spool cannot be")
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


# ---- Speed ----

def test_a_short_outage_at_a_thousand_a_second(door):
    """tests/bench/outage.py measures a minute of it; here the bound is a busy machine's."""
    with Stream(door.ingest.address("listening"), rate=1000) as stream:
        stream.run_for(0.5)
        door.redis.kill9()
        stream.run_for(5)
        door.redis.restart()
        stream.run_for(0.5)
    door.ingest.wait_ready()
    assert set(stream.statuses) == {202}
    assert len(door.queue()) == len(set(door.queue())) >= 5000
    assert stream.percentile(0.99) < 0.3, stream.summary()
