"""What scripts/doctor asks Redis: whether it is one that Tollgate can rely on. The programs say the same at their
start (common/redis_check.c)."""

import argparse
import statistics
import time
from typing import List

from tollgate.findings import FAIL, OK, WARN, Finding
from tollgate.link import Link

OLDEST = 7         # Redis Functions came with it
SLOW_MS = 20.0     # a webhook waits for Redis for 250 ms before it is spooled
SKEW_MS = 1000
ASKED = 20

RIGHTS = "+@all -@dangerous +info +config|get"

EVERYSEC = "up to 1 s (2 s under load) of acknowledged webhooks is lost if Redis or its machine dies"
NO_FSYNC = "what the system has not written yet (30 s as a rule) is lost if its machine dies"


def setting(link: Link, name: str) -> str:
    return link.client.config_get(name).get(name, "")


def version(link: Link, _: argparse.Namespace) -> List[Finding]:
    told = link.client.info("server")["redis_version"]
    if int(told.split(".")[0]) < OLDEST:
        return [Finding(FAIL, f"version {told} is too old", "Tollgate needs Redis 7 or newer, or Valkey")]
    return [Finding(OK, f"version {told}")]


def durability(link: Link, _: argparse.Namespace) -> List[Finding]:
    if setting(link, "appendonly") != "yes":
        return [Finding(FAIL, "appendonly is no: everything since the last save is lost if Redis or its machine dies",
                        "set appendonly yes and appendfsync always in redis.conf")]
    fsync = setting(link, "appendfsync")
    if fsync != "always":
        return [Finding(WARN, f"appendfsync is {fsync}: {EVERYSEC if fsync == 'everysec' else NO_FSYNC}",
                        "appendfsync always loses nothing")]
    if link.client.info("persistence")["aof_last_write_status"] != "ok":
        return [Finding(FAIL, "the last write to the append-only file failed", "look at Redis's log and at its disk")]
    return [Finding(OK, "append-only, written before it is answered: nothing acknowledged is lost")]


def eviction(link: Link, _: argparse.Namespace) -> List[Finding]:
    policy = setting(link, "maxmemory-policy")
    if policy != "noeviction":
        return [Finding(FAIL, f"maxmemory-policy is {policy}: bookings and accounts can be dropped without a trace",
                        "set maxmemory-policy noeviction")]
    memory = link.client.info("memory")
    if memory["maxmemory"] and memory["used_memory"] > 0.8 * memory["maxmemory"]:
        return [Finding(WARN, f"{memory['used_memory'] * 100 // memory['maxmemory']} % of maxmemory is used",
                        "raise maxmemory: when it is full, webhooks are spooled and nothing is decided")]
    return [Finding(OK, "nothing is evicted")]


def speed(link: Link, _: argparse.Namespace) -> List[Finding]:
    took_ms = []
    for _ in range(ASKED):
        since = time.monotonic()
        link.client.ping()
        took_ms.append((time.monotonic() - since) * 1000)
    middle = statistics.median(took_ms)
    if middle > SLOW_MS:
        return [Finding(WARN, f"an answer takes {middle:.0f} ms", "run Redis near the programs; webhooks that take "
                        "longer than TOLLGATE_SPOOL_AFTER_MS go to the spool first")]
    return [Finding(OK, f"answers in {middle:.1f} ms")]


def clock(link: Link, _: argparse.Namespace) -> List[Finding]:
    before = time.time()
    seconds, microseconds = link.client.time()
    skew_ms = (seconds + microseconds / 1e6 - (before + time.time()) / 2) * 1000
    if abs(skew_ms) > SKEW_MS:
        return [Finding(WARN, f"its clock is {abs(skew_ms) / 1000:.1f} s {'ahead' if skew_ms > 0 else 'behind'}",
                        "let NTP set both clocks: cancellations and leases are judged by Redis's time")]
    return [Finding(OK, "its clock and this one agree")]


def rights(link: Link, _: argparse.Namespace) -> List[Finding]:
    """What the programs call, tried where trying changes nothing."""
    probe = link.key("doctor:nothing")
    refused = []
    for words in (("FUNCTION", "LIST", "LIBRARYNAME", "tollgate"), ("EXISTS", probe), ("LLEN", probe), ("ZCARD", probe),
                  ("FCALL_RO", "tollgate_version", 0), ("SCAN", 0, "COUNT", 1)):
        answer = link.bulk([words])[0]
        if isinstance(answer, Exception) and "permission" in str(answer).lower():
            refused.append(" ".join(str(word) for word in words[:2]))
    if refused:
        return [Finding(FAIL, "the user of REDIS_URL may not " + ", ".join(refused),
                        f"ACL SETUSER {link.client.acl_whoami()} resetkeys ~{link.key('')}* {RIGHTS}")]
    return [Finding(OK, "the user of REDIS_URL may do what is needed")]


def library(link: Link, _: argparse.Namespace) -> List[Finding]:
    answer = link.bulk([("FCALL", "tollgate_version", 0)])[0]
    if isinstance(answer, Exception):
        return [Finding(FAIL, "the library of functions is not loaded",
                        "start tollgate-ingest or tollgate-worker: either loads it")]
    return [Finding(OK, f"version {answer} is loaded")]
