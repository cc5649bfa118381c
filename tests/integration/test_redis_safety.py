"""What both programs say of a Redis that can lose what was acknowledged, and WAIT for replicas."""

import pytest

from harness import wait_for
from wire import Door, webhook

DURABLE = ["--appendonly", "yes", "--appendfsync", "always"]
EVICTION = "redis: maxmemory-policy is not noeviction"
NO_AOF = "redis: appendonly is no"
EVERYSEC = "redis: appendfsync is everysec: up to 1 s (2 s under load) of acknowledged webhooks can be lost"
REFUSED = "redis: how it keeps its data cannot be read"
FINE = "redis keeps what it acknowledges"
API = "http://127.0.0.1:9/v2"


@pytest.fixture(params=["ingest", "worker"])
def program(request, house):
    """program(server, **env) starts one of the two."""
    if request.param == "ingest":
        return lambda server, **env: house.ingest(server.url, **env)
    return lambda server, **env: house.worker(server.url, API, **env)


def risks(program, level="warn"):
    return [line["msg"] for line in program.log_lines(level=level) if line["msg"].startswith("redis: ")]


def wait_checked(program):
    wait_for(lambda: risks(program) or program.log_lines(FINE) or risks(program, "error"), what="the check")
    return program


@pytest.mark.parametrize("arguments, expected", [
    (DURABLE, []),
    ([], [NO_AOF]),
    (["--appendonly", "yes", "--appendfsync", "everysec"], [EVERYSEC]),
    (["--appendonly", "yes", "--appendfsync", "no"], ["redis: appendfsync is no"]),
    ([*DURABLE, "--maxmemory-policy", "allkeys-lru"], [EVICTION + ": as soon as maxmemory is set"]),
    ([*DURABLE, "--maxmemory-policy", "volatile-ttl", "--maxmemory", "100mb"], [EVICTION + ": when maxmemory is reached"]),
    (["--maxmemory-policy", "allkeys-random"], [EVICTION, NO_AOF]),
], ids=str)
def test_each_risk_is_one_warning(house, program, arguments, expected):
    started = program(house.redis(arguments=arguments))
    wait_checked(started)
    started.wait_ready()
    found = risks(started)
    assert len(found) == len(expected), found
    assert all(line.startswith(text) for line, text in zip(found, expected)), found
    assert bool(started.log_lines(FINE)) == (not expected)


def test_it_is_said_again_only_when_it_changed(house, program):
    server = house.redis()
    client = server.client()
    started = wait_checked(program(server))
    for policy, count in (("noeviction", 0), ("allkeys-lru", 1), ("allkeys-lru", 1), ("noeviction", 1), ("allkeys-lru", 2)):
        started.wait_ready()
        client.config_set("maxmemory-policy", policy)
        connected = len(started.log_lines("connected to redis", link="main"))
        client.execute_command("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
        wait_for(lambda: len(started.log_lines("connected to redis", link="main")) > connected, what="a connection")
        wait_for(lambda: sum(line.startswith(EVICTION) for line in risks(started)) == count, what="the warning")
    assert sum(line.startswith(NO_AOF) for line in risks(started)) == 1


def test_settings_that_may_not_be_read_are_a_warning(house, program):
    server = house.redis(arguments=DURABLE)
    server.client().execute_command("ACL", "SETUSER", "default", "-config")
    started = wait_checked(program(server))
    started.wait_ready()
    assert len(risks(started)) == 1 and risks(started)[0].startswith(REFUSED)


@pytest.mark.parametrize("unsafe", [["--appendonly", "no"], [*DURABLE, "--maxmemory-policy", "allkeys-lru"]], ids=str)
def test_strict_stops_at_an_unsafe_redis(house, program, unsafe):
    house.allow_errors += ["redis: ", "TOLLGATE_STRICT=yes: stopping"]
    started = program(house.redis(arguments=unsafe), TOLLGATE_STRICT="yes")
    assert started.wait_exit() == 1
    assert len(risks(started, "error")) == 1 and risks(started) == []
    assert started.log_lines("draining") and started.log_lines()[-1]["msg"] == "stopped"


def test_strict_stops_where_it_cannot_look(house, program):
    house.allow_errors += ["redis: ", "TOLLGATE_STRICT=yes: stopping"]
    server = house.redis(arguments=DURABLE)
    server.client().execute_command("ACL", "SETUSER", "default", "-config")
    started = program(server, TOLLGATE_STRICT="yes")
    assert started.wait_exit() == 1
    assert risks(started, "error")[0].startswith(REFUSED)


def test_strict_goes_on_with_a_safe_redis(house, program):
    started = wait_checked(program(house.redis(arguments=DURABLE), TOLLGATE_STRICT="yes")).wait_ready()
    assert started.is_running() and risks(started, "error") == []


# ---- Replicas ----

def replica_of(house, server):
    replica = house.redis(arguments=["--replicaof", "127.0.0.1", str(server.port), "--repl-diskless-sync-delay", "0"])
    client = replica.client()
    wait_for(lambda: client.info("replication").get("master_link_status") == "up", what="the replica to be in step")
    return replica, client


def test_a_webhook_is_acknowledged_when_a_replica_has_it(house):
    server = house.redis(arguments=["--repl-diskless-sync-delay", "0"])
    replica, client = replica_of(house, server)
    door = Door(house, server=server, TOLLGATE_WAIT_REPLICAS="1", TOLLGATE_SPOOL_AFTER_MS="1000")
    for id in range(1, 31):
        assert door.ask(webhook(id)).status == 202
        assert client.hget(door.key(f"booking:{id}"), "state") == "waiting", "it has it already"
    assert door.count('webhooks_total{result="queued"}') == 30
    assert door.ask(webhook(1)).status == 200


def test_without_enough_replicas_it_is_spooled_until_there_are(house):
    server = house.redis(arguments=["--repl-diskless-sync-delay", "0"])
    replica, client = replica_of(house, server)
    door = Door(house, server=server, TOLLGATE_WAIT_REPLICAS="1")
    replica.sigstop()
    for id in range(1, 6):
        assert door.ask(webhook(id)).status == 202
    assert door.count('webhooks_total{result="spooled"}') == 5
    assert door.queue() == ["1"], "the master alone is not enough, so the rest waits behind it"
    assert door.count("spool_entries") == 5
    replica.sigcont()
    wait_for(lambda: door.count("spool_entries") == 0, what="the spool to be drained")
    assert client.lrange(door.key("queue"), 0, -1)[::-1] == ["1", "2", "3", "4", "5"]
    door.ingest.wait_ready()
    assert door.ask(webhook(6)).status == 202
    assert client.exists(door.key("booking:6"))


def test_more_replicas_than_there_are(house):
    server = house.redis()
    door = Door(house, server=server, TOLLGATE_WAIT_REPLICAS="2", TOLLGATE_SPOOL_AFTER_MS="50")
    assert [door.ask(webhook(id)).status for id in (1, 2)] == [202, 202]
    assert door.count("spool_entries") == 2
    door.ingest.stop()
    door.ingest.env["TOLLGATE_WAIT_REPLICAS"] = "0"
    door.ingest.restart()
    assert door.count("spool_entries") == 0
    assert door.queue() == ["1", "2"]
