"""Ingest while Redis is away, slow, full, emptied or restarted; and the ways to log in to it."""

import socket
import struct
import threading
import time

import pytest

from harness import sample, wait_for
from outage import wait_away
from wire import Door, request, webhook

LIMIT_S = 0.9  # TOLLGATE_SPOOL_AFTER_MS, a commit, and what a busy machine adds


@pytest.fixture
def door(house):
    return Door(house)


def assert_spooled(door, id, limit_s=LIMIT_S):
    spooled, since = door.count('webhooks_total{result="spooled"}'), time.monotonic()
    assert door.ask(webhook(id)).status == 202
    assert time.monotonic() - since < limit_s
    assert door.count('webhooks_total{result="spooled"}') == spooled + 1


def away_door(house, **env):
    """Ingest that was started while its Redis was not there."""
    server = house.redis()
    server.kill9()
    return Door(house, server=server, ready=False, **env)


def come_back(door):
    """Waits until it serves again by itself, and shows that it does."""
    door.ingest.wait_ready()
    assert door.ask(webhook(7000)).status == 202
    assert door.queue()[-1] == "7000"


def answer_all(door, count):
    """As many webhooks at once, each on its own connection, and the longest wait in seconds."""
    wires = [door.wire() for _ in range(count)]
    since = time.monotonic()
    for id, wire in enumerate(wires, 1):
        wire.send(request(webhook(id)))
    answers = [wire.answer() for wire in wires]
    took_s = time.monotonic() - since
    for wire in wires:
        wire.close()
    return answers, took_s


# ---- Away ----

def test_redis_is_not_there_at_the_start(house):
    door = away_door(house)
    assert door.ingest.get("/healthz").status_code == 200
    assert door.ingest.get("/readyz").status_code == 200, "it takes webhooks"
    wait_away(door)
    assert_spooled(door, 1)
    assert door.ask(webhook(1), secret="wrong").status == 401
    assert door.ask(b"false").status == 400
    assert door.ask(sample("PING")).status == 200, "a ping asks for the secret, not for Redis"
    line = door.ingest.wait_log("redis is not reachable", level="warn")
    assert "refused" in line["reason"].lower()
    door.redis.restart()
    come_back(door)
    assert door.queue() == ["1", "7000"]


def test_redis_is_killed_and_comes_back_empty(door):
    assert door.ask(webhook(1)).status == 202
    door.redis.kill9()
    assert_spooled(door, 2)
    wait_away(door)
    for id in range(3, 6):
        assert_spooled(door, id, 0.5)
    assert len(door.ingest.log_lines("redis is not reachable")) <= 6, "each connection says it once"
    door.redis.restart()
    come_back(door)
    assert door.queue() == ["2", "3", "4", "5", "7000"]


def test_redis_hangs_and_goes_on(door):
    assert door.ask(webhook(1)).status == 202
    pid = door.ingest.pid
    door.redis.sigstop()
    answers, took_s = answer_all(door, 40)
    assert {answer.status for answer in answers} == {202}
    assert 0.2 < took_s < LIMIT_S
    wait_away(door)
    assert_spooled(door, 100)
    door.redis.sigcont()
    come_back(door)
    # Each was sent to Redis, and again out of the spool.
    assert sorted(map(int, door.queue())) == [*range(1, 41), 100, 7000]
    assert door.ask(webhook(2)).status == 200
    assert door.ingest.pid == pid and door.ingest.is_running()


def test_a_redis_that_is_only_slow_is_waited_for(door):
    assert door.ask(webhook(1)).status == 202
    door.redis.sigstop()
    timer = threading.Timer(0.15, door.redis.sigcont)
    timer.start()
    since = time.monotonic()
    assert door.ask(webhook(2)).status == 202
    assert time.monotonic() - since > 0.1
    timer.join()
    assert door.count('webhooks_total{result="spooled"}') == 0


def test_a_client_that_leaves_while_redis_hangs_harms_nobody(door):
    assert door.ask(webhook(1)).status == 202
    door.redis.sigstop()
    wires = [door.wire().send(request(webhook(id))) for id in range(2, 12)]
    wait_for(lambda: door.count('events_total{trigger="requested"}') == 11, what="10 webhooks to wait for Redis")
    for i, wire in enumerate(wires):
        if i % 2:
            wire.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        wire.close()
    door.redis.sigcont()
    wait_for(lambda: door.count("connections") == 0, what="all connections to be gone")
    come_back(door)
    assert set(door.queue()) == {str(id) for id in range(1, 12)} | {"7000"}


def test_a_connection_that_redis_cuts_is_opened_again(door):
    assert door.ask(webhook(1)).status == 202
    for round in range(5):
        door.client.execute_command("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
        assert door.ask(webhook(10 + round)).status == 202
    door.ingest.wait_ready()
    assert door.queue() == ["1", "10", "11", "12", "13", "14"]


def test_every_thread_recovers(house):
    door = Door(house, TOLLGATE_THREADS="4")
    door.redis.kill9()
    wait_away(door)
    door.redis.restart()
    door.ingest.wait_ready()
    answers, _ = answer_all(door, 100)
    assert {answer.status for answer in answers} == {202}
    assert door.count('webhooks_total{result="spooled"}') == 0


# ---- Emptied, full ----

def test_a_flushed_library_is_loaded_again(house):
    door = Door(house, TOLLGATE_THREADS="1")
    assert door.ask(webhook(1)).status == 202
    door.client.execute_command("FUNCTION", "FLUSH")
    assert door.ask(webhook(2)).status == 202
    door.ingest.wait_ready()
    assert [door.ask(webhook(id)).status for id in (3, 4, 5)] == [202] * 3
    assert "tollgate" in str(door.client.execute_command("FUNCTION", "LIST"))
    assert door.ingest.log_lines("the library or the policy is gone from redis; loading it again", level="warn")


def test_many_threads_load_a_flushed_library_at_once(house):
    door = Door(house, TOLLGATE_THREADS="4")
    for round in range(3):
        door.client.execute_command("FUNCTION", "FLUSH")
        answers, _ = answer_all(door, 40)
        assert {answer.status for answer in answers} <= {200, 202}
        door.ingest.wait_ready()
        answers, _ = answer_all(door, 40)
        assert {answer.status for answer in answers} <= {200, 202}
    assert sorted(map(int, door.queue())) == list(range(1, 41))


def test_emptied_databases_are_only_empty(door):
    assert door.ask(webhook(1)).status == 202
    door.client.flushall()
    assert door.ask(webhook(1)).status == 202
    assert door.queue() == ["1"]


def test_a_full_redis_spools_and_nothing_is_half_recorded(door):
    assert door.ask(webhook(1)).status == 202
    door.client.config_set("maxmemory", 1)
    assert_spooled(door, 2)
    assert door.queue() == ["1"] and door.booking(2) == {}
    door.client.config_set("maxmemory", 0)
    wait_for(lambda: door.queue() == ["1", "2"], what="the spool to be drained")
    line = door.ingest.wait_log("redis answered with an error", level="warn")
    assert "OOM" in line["error"] or "maxmemory" in line["error"]


def test_a_key_of_another_kind_spools_and_nothing_is_half_recorded(door):
    door.client.set(door.key("queue"), "mine")
    assert_spooled(door, 1)
    assert door.booking(1) == {}
    door.client.delete(door.key("queue"))
    wait_for(lambda: door.queue() == ["1"], what="the spool to be drained")


# ---- Logging in ----

PASSWORD = "pässwörd /:@?#%+"
QUOTED = "p%C3%A4ssw%C3%B6rd%20%2F%3A%40%3F%23%25%2B"


def url_of(server, userinfo="", path="/0"):
    return f"redis://{userinfo}127.0.0.1:{server.port}{path}"


def open_redis(house, password=None):
    """A Redis and a client of it that stays logged in."""
    server = house.redis()
    client = server.client()
    client.ping()
    if password is not None:
        client.config_set("requirepass", password)
        client = server.client(password=password)
    return server, client


def login(house, server, client, url, **env):
    door = Door(house, server=server, ingest=house.ingest(url, **env))
    door.client = client
    return door


def refused_login(house, server, url):
    """What the log says about it."""
    door = Door(house, server=server, ingest=house.ingest(url), ready=False)
    line = door.ingest.wait_log("redis is not reachable", level="warn")
    wait_away(door)
    assert_spooled(door, 1)
    return line["reason"], door.ingest.log_text()


def test_a_password(house):
    server, client = open_redis(house, PASSWORD)
    door = login(house, server, client, url_of(server, f":{QUOTED}@"), TOLLGATE_LOG_LEVEL="debug")
    assert door.ask(webhook(1)).status == 202
    assert door.queue() == ["1"]
    for word in [PASSWORD, QUOTED]:
        assert word not in door.ingest.log_text()
    assert "REDIS_URL=redis://:***@127.0.0.1" in door.ingest.log_text()


def test_a_url_from_a_file(house, tmp_path):
    server, client = open_redis(house, PASSWORD)
    (tmp_path / "url").write_text(url_of(server, f":{QUOTED}@") + "\n")
    door = login(house, server, client, "", REDIS_URL_FILE=str(tmp_path / "url"))
    assert door.ask(webhook(1)).status == 202
    assert QUOTED not in door.ingest.log_text()


def test_a_wrong_password_is_said_and_not_shown(house):
    server, _ = open_redis(house, PASSWORD)
    reason, log = refused_login(house, server, url_of(server, ":n0t-this@"))
    assert "AUTH" in reason and "WRONGPASS" in reason
    assert "n0t-this" not in log


def test_a_missing_password_is_said(house):
    server, _ = open_redis(house, PASSWORD)
    reason, _ = refused_login(house, server, url_of(server))
    assert "NOAUTH" in reason


def test_a_database_that_is_not_there_is_said(house):
    server, _ = open_redis(house)
    reason, _ = refused_login(house, server, url_of(server, path="/99"))
    assert "SELECT" in reason and "out of range" in reason


def test_a_user_who_may_touch_this_namespace_only(house):
    server, client = open_redis(house)
    client.execute_command("ACL", "SETUSER", "gate", "on", ">" + PASSWORD, "+@all", "~{tollgate}:*")
    door = login(house, server, client, url_of(server, f"gate:{QUOTED}@"))
    assert door.ask(webhook(1)).status == 202
    assert door.ask(b"false").status == 400
    wait_for(lambda: client.xlen(door.key("malformed")) == 1, what="a note")
    reason, _ = refused_login(house, server, url_of(server, "nobody:x@"))
    assert "WRONGPASS" in reason


def test_a_password_that_changes_is_noticed_at_the_next_connection(house):
    server, client = open_redis(house, "one")
    door = login(house, server, client, url_of(server, ":one@"))
    client.config_set("requirepass", "two")
    client.execute_command("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
    door.ingest.wait_log("redis is not reachable", level="warn")
    wait_away(door)
    assert_spooled(door, 1)
    client.config_set("requirepass", "one")
    door.ingest.wait_ready()
    assert door.queue() == ["1"]


@pytest.mark.parametrize("database", [0, 3])
def test_a_database(house, database):
    server, _ = open_redis(house)
    door = login(house, server, server.client(db=database), url_of(server, path=f"/{database}"))
    assert door.ask(webhook(1)).status == 202
    assert door.queue() == ["1"]
    assert list(server.client().info("keyspace")) == [f"db{database}"]
    server.kill9()
    server.restart()
    door.ingest.wait_ready()
    assert door.ask(webhook(2)).status == 202
    assert list(server.client().info("keyspace")) == [f"db{database}"], "after a reconnect"


@pytest.mark.parametrize("database", [0, 2])
def test_a_unix_socket(house, tmp_path, database):
    path = tmp_path / "redis.sock"
    server = house.redis(arguments=["--unixsocket", str(path)])
    door = login(house, server, server.client(db=database), f"unix://{path}" + (f"?db={database}" if database else ""))
    assert door.ask(webhook(1)).status == 202
    assert door.queue() == ["1"]
    server.kill9()
    assert_spooled(door, 2)
    server.restart()
    door.ingest.wait_ready()
    assert door.queue() == ["2"]


def test_a_name_and_ipv6_lead_to_redis_too(house):
    server = house.redis(arguments=["--bind", "127.0.0.1", "-::1"])
    assert Door(house, server=server, ingest=house.ingest(f"redis://localhost:{server.port}")).ask(webhook(1)).status == 202
    try:
        socket.create_connection(("::1", server.port), 1).close()
    except OSError:
        pytest.skip("no IPv6 here")
    assert Door(house, server=server, ingest=house.ingest(f"redis://[::1]:{server.port}/0")).ask(webhook(2)).status == 202
