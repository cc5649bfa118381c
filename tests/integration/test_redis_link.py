"""The connections of both programs to Redis: what stops is noticed, names are looked up, nothing blocks."""

import signal
import subprocess
import time

import pytest

from harness import BUILD, wait_for
from outcomes import ANN
from test_worker_idle import cpu_ticks
from wire import Door, webhook

NOTICED_S = 1.0  # QUIET_MS and PING_MS
SLACK_S = 0.5    # of a busy machine, and of who asks


def away(program):
    return not program.is_ready()


def test_a_stopped_redis_is_noticed_on_idle_connections(make_gate):
    gate = make_gate(workers=1)
    for program in (gate.ingest, gate.worker):
        time.sleep(0.3)  # idle, at any point of the rhythm
        gate.redis.sigstop()
        since = time.monotonic()
        wait_for(lambda: away(program), what=f"{program.name} to notice")
        took_s = time.monotonic() - since
        gate.redis.sigcont()
        assert took_s < NOTICED_S + SLACK_S
        wait_for(program.is_ready, what=f"{program.name} to be back")
        assert program.log_lines("redis is not reachable", reason="no answer in time")


def test_a_stopped_redis_is_noticed_while_a_step_waits_for_its_answer(make_gate):
    gate = make_gate(workers=1)
    gate.credit(ANN, balance=1)
    gate.fake.fault("latency", "confirm", times=1, ms=150)
    id = gate.fake.book(ANN)["id"]
    wait_for(lambda: gate.worker.metrics()['tollgate_worker_calcom_calls_total{call="confirm"}'] == 1, what="the confirm")
    gate.redis.sigstop()
    wait_for(lambda: gate.fake.calls(id, "confirm"), what="the confirm to be answered", every=0.002)
    since = time.monotonic()
    wait_for(lambda: gate.worker.log_lines("redis is not reachable", link="main"), what="the worker to notice")
    took_s = time.monotonic() - since
    gate.redis.sigcont()
    assert took_s < NOTICED_S + SLACK_S
    assert gate.wait_settled(id)["state"] == "accepted"


def test_a_quiet_link_asks_two_or_three_times_a_second(house):
    door = Door(house, TOLLGATE_THREADS="2")

    def pings():
        return door.client.info("commandstats").get("cmdstat_ping", {}).get("calls", 0)

    before, ticks = pings(), cpu_ticks(door.ingest.pid)
    time.sleep(3)  # what is measured is how little happens
    links = 3  # two threads and the spool's
    assert links * 4 <= pings() - before <= links * 9
    assert cpu_ticks(door.ingest.pid) - ticks <= 2


def test_a_busy_redis_that_answers_in_time_keeps_its_connections(house):
    door = Door(house, server=house.redis(arguments=["--enable-debug-command", "yes"]))
    ids = {line["id"] for line in door.client.client_list()}
    for _ in range(3):
        door.client.execute_command("DEBUG", "SLEEP", "0.45")
        time.sleep(0.2)
    assert ids <= {line["id"] for line in door.client.client_list()}


# ---- Lost library ----

def test_a_worker_loads_a_flushed_library_again(make_gate):
    """The worker alone: an ingest would load it as well."""
    gate = make_gate()
    gate.credit(ANN, balance=1)
    gate.worker.send_signal(signal.SIGSTOP)
    id = gate.fake.book(ANN)["id"]
    gate.ingest.stop()
    gate.client.execute_command("FUNCTION", "FLUSH")
    gate.worker.send_signal(signal.SIGCONT)
    assert gate.wait_settled(id)["state"] == "accepted"
    assert gate.worker.log_lines("the library or the policy is gone from redis; loading it again")


# ---- Names ----

def test_a_name_that_does_not_resolve_is_away(house):
    server = house.redis()
    door = Door(house, server=server, ready=False,
                ingest=house.ingest(f"redis://no-such-host.invalid:{server.port}"))
    line = door.ingest.wait_log("redis is not reachable", level="warn")
    assert "no-such-host.invalid" in line["reason"]
    assert door.ask(webhook(1)).status == 202
    assert door.count("spool_entries") == 1
    assert door.ingest.get("/readyz").status_code == 200


SLOW_NAMES = r"""
#define _GNU_SOURCE
#include <dlfcn.h>
#include <netdb.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
/* redis.test leads to where the file says, after a while: $NAMES_FILE holds an address or nothing. */
#include <stdio.h>
int getaddrinfo(const char *node, const char *service, const struct addrinfo *hints, struct addrinfo **found);
int getaddrinfo(const char *node, const char *service, const struct addrinfo *hints, struct addrinfo **found) {
    int (*real)(const char *, const char *, const struct addrinfo *, struct addrinfo **) = dlsym(RTLD_NEXT, "getaddrinfo");
    if (node == NULL || strcmp(node, "redis.test") != 0) return real(node, service, hints, found);
    char address[64] = "";
    usleep(1500000);
    FILE *file = fopen(getenv("NAMES_FILE"), "r");
    if (file == NULL || fgets(address, sizeof address, file) == NULL) { if (file) fclose(file); return EAI_AGAIN; }
    fclose(file);
    return real(address, service, hints, found);
}
"""


@pytest.fixture(scope="module")
def slow_names(tmp_path_factory):
    folder = tmp_path_factory.mktemp("preload")
    (folder / "names.c").write_text(SLOW_NAMES)
    subprocess.run(["cc", "-shared", "-fPIC", "-o", folder / "names.so", folder / "names.c", "-ldl"], check=True)
    return folder / "names.so"


@pytest.mark.skipif(BUILD.name == "asan", reason="the sanitizer wraps getaddrinfo itself")
def test_a_slow_name_server_blocks_nobody_and_names_are_looked_up_anew(house, slow_names, tmp_path):
    names = tmp_path / "names"
    names.write_text("")
    server = house.redis()
    env = {"LD_PRELOAD": str(slow_names), "NAMES_FILE": str(names)}
    door = Door(house, server=server, ready=False, ingest=house.ingest(f"redis://redis.test:{server.port}", **env))
    for id in range(1, 40):
        since = time.monotonic()
        assert door.ask(webhook(id)).status == 202
        assert door.ingest.get("/healthz").status_code == 200
        assert time.monotonic() - since < 0.5
        time.sleep(0.05)
    names.write_text("127.0.0.1")
    door.ingest.wait_ready()
    assert door.queue() == [str(id) for id in range(1, 40)]


@pytest.mark.skipif(BUILD.name == "asan", reason="the sanitizer wraps getaddrinfo itself")
def test_it_ends_while_a_name_is_looked_up(house, slow_names, tmp_path):
    (tmp_path / "names").write_text("")
    env = {"LD_PRELOAD": str(slow_names), "NAMES_FILE": str(tmp_path / "names")}
    for program in (house.ingest("redis://redis.test", **env), house.worker("redis://redis.test", "http://127.0.0.1:9/v2", **env)):
        program.address("admin listening")
        program.sigterm()
        assert program.wait_exit(3) == 0


def test_a_redis_that_became_a_replica_is_left_for_another(house):
    """A name that moved to the new master is looked up again: the connection to the old one is given up."""
    door = Door(house)
    assert door.ask(webhook(1)).status == 202
    door.client.execute_command("REPLICAOF", "127.0.0.1", "1")
    assert door.ask(webhook(2)).status == 202
    door.ingest.wait_log("redis is not reachable", reason="it is a replica that cannot be written to")
    door.client.execute_command("REPLICAOF", "NO", "ONE")
    door.ingest.wait_ready()
    assert door.queue() == ["1", "2"]


def test_reconnects_back_off(house):
    """A Redis whose library cannot be loaded is not asked twenty times a second."""
    house.allow_errors.append("redis cannot be prepared")
    server = house.redis()
    client = server.client()
    client.execute_command("ACL", "SETUSER", "default", "-fcall", "-function")
    door = Door(house, server=server, ready=False, TOLLGATE_THREADS="1")
    time.sleep(3)  # what is measured is how little happens
    assert 2 < len(door.ingest.log_lines("redis cannot be prepared")) < 40
    client.execute_command("ACL", "SETUSER", "default", "+@all")
    door.ingest.wait_ready()
