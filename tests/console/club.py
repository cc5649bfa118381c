"""A club with a past: 100 000 bookings of 2 000 members, decided and settled through the library as workers do it.

That takes a minute or two, so what came of it is kept in build/console, for as long as the library stays the same and
for a day: bookings expire, and "3 days ago" is to be true.
"""

import hashlib
import itertools
import math
import shutil
import time
from pathlib import Path
from typing import Any, List

from harness import ROOT, RedisServer
from library import DEFAULT_POLICY, KEEP_MS, Library, library_text, load_library, now_ms

BOOKINGS = 100000
MEMBERS = 2000
DEAD = 300  # half of them refused by Cal.com for good, half given up
NAMESPACE = "tollgate"
FIRST = 1000001
KEPT = ROOT / "build" / "console"
GATE = "0123456789abcdef"
BATCH = 500

REFUSED = "confirm answered 403: this API key has no right to it"
GIVEN_UP = "Cal.com answered 502 until the event began"


def member(number: int) -> str:
    return f"member{number:04d}@club.example"


def seed(client: Any, bookings: int = BOOKINGS) -> None:
    load_library(client)
    library = Library(client, NAMESPACE)
    library.install(DEFAULT_POLICY, "default")
    library.terms(cost=1, **{"cost:1310": 2}, refund_notice_hours=24)
    _members(library)
    _bookings(library, 0, bookings - BATCH)
    _dead(library, bookings)
    _bookings(library, bookings - BATCH, bookings)  # so that the newest are as most are
    library.leave("seeder")
    _graph(library)
    client.hset(library.key("drift"), mapping={str(FIRST + 7): "Cal.com says cancelled, the record says accepted"})


def _graph(library: Library) -> None:
    """A day and an hour as if bookings had come all the time; what was sampled while they were made is no such thing."""
    client, now = library.client, now_ms()
    stats = {name: int(value) for name, value in client.hgetall(library.key("stats")).items() if value.isdigit()}
    client.delete(library.key("graph:hour"), library.key("graph:day"))
    for span, step, kept in (("hour", 60000, 60), ("day", 900000, 96)):
        # Backwards: the newest sample has the counters as they are.
        counted = {"webhooks": stats["recorded:requested"], "accepted": stats["decided:accept"],
                   "rejected": stats.get("decided:reject", 0), "dead": stats["dead"],
                   "settled": sum(count for name, count in stats.items() if name.startswith("settled:"))}
        samples = []
        for i in range(kept):
            gauges = {"queue": (i * 7) % 11 // 3 + (4 if 20 < i < 26 else 0), "retry": i % 13 // 6, "oldest_s": i % 4}
            samples.append((now - i * step - 1000, {**counted, **gauges}))
            webhooks = int((6 + 5 * math.sin(i / 6) + i % 3) * step / 60000)
            for name, less in (("webhooks", webhooks), ("accepted", webhooks - webhooks // 9), ("rejected", webhooks // 9),
                               ("settled", webhooks), ("dead", int(i % 29 == 28))):
                counted[name] -= less
        for at_ms, sample in reversed(samples):
            client.xadd(library.key(f"graph:{span}"), sample, id=f"{at_ms}-0")


def _members(library: Library) -> None:
    with library.client.pipeline(transaction=False) as pipe:
        for number in range(MEMBERS):
            # One in ten has nothing left after a few bookings.
            amount = 12 if number % 10 == 0 else 200
            fields = ("tier", "gold") if number % 3 == 0 else ()
            pipe.fcall("tollgate_member", 1, library.key("queue"), member(number), amount, "dues", "nora", "dues of the year", *fields)
        pipe.execute()


def _event(number: int, **others: Any) -> List[Any]:
    """What tollgate_record_many is told of one request."""
    id_, account = FIRST + number, member(number % MEMBERS)
    start = int(time.time()) + 3 * 86400 + number % 500000 * 60
    told = {"uid": f"u{id_:021d}", "account": account, "email": account, "event_type": "1310" if number % 7 == 0 else "1207",
            "start": start, "end": start + 3600, "requires_confirmation": "yes", **others}
    fields = [part for pair in told.items() for part in pair]
    return [3 + len(fields), id_, "requested", told.get("received", now_ms()), *fields]


def _record(library: Library, events: List[List[Any]]) -> None:
    done, why = library.call("record_many", KEEP_MS, *itertools.chain(*events))
    assert why == "", f"after {done}: {why}"


def _take(library: Library) -> List[Any]:
    return library.take("seeder", count=BATCH, fresh_ms=60000, lease_ms=600000, gate=GATE, limit=0).jobs


def _settle(library: Library, jobs: List[Any], outcome: str = "", note: str = "") -> None:
    """As a worker whose calls all succeed, or all meet this."""
    with library.client.pipeline(transaction=False) as pipe:
        for job in jobs:
            call = "confirm" if job.goal == "accept" else "decline"
            answer = "403 refused forbidden" if note else "200 done ok"
            done = "accepted" if job.goal == "accept" else "rejected"
            pipe.fcall("tollgate_settle", 1, library.key("queue"), job.id, job.token, outcome or done, KEEP_MS, note, "booking",
                       f"{now_ms()} 120 {call} {answer}", 0, "")
        pipe.execute()


def _bookings(library: Library, first: int, end: int) -> None:
    for at in range(first, end, BATCH):
        _record(library, [_event(number) for number in range(at, min(at + BATCH, end))])
        jobs = _take(library)
        while jobs:
            _settle(library, jobs)
            jobs = _take(library)


def _dead(library: Library, first: int) -> None:
    half = DEAD // 2
    _record(library, [_event(number) for number in range(first, first + half)])
    _settle(library, _take(library), "refused", REFUSED)
    began = int(time.time()) - 7200
    long_ago = now_ms() - 26 * 3600 * 1000
    # Each at a time of its own: several of one member for the same time would be one click.
    _record(library, [_event(number, received=long_ago, start=began - number * 60, end=began - number * 60 + 3600)
                      for number in range(first + half, first + DEAD)])
    for job in _take(library):
        library.retry(job, why=GIVEN_UP, calls=f"{now_ms()} 10000 confirm 502 transient Bad Gateway")


def _stamp() -> str:
    made_by = library_text() + DEFAULT_POLICY + Path(__file__).read_text()
    return hashlib.sha256(made_by.encode()).hexdigest()[:16]


def store(folder: Path) -> RedisServer:
    """A Redis with all that, started."""
    kept = KEPT / f"club-{_stamp()}.rdb"
    if kept.exists() and time.time() - kept.stat().st_mtime < 86400:
        shutil.copy(kept, folder / "dump.rdb")
        return RedisServer(folder).start()
    server = RedisServer(folder).start()
    client = server.client()
    seed(client)
    client.save()
    KEPT.mkdir(parents=True, exist_ok=True)
    for old in KEPT.glob("club-*.rdb"):
        old.unlink()
    shutil.copy(folder / "dump.rdb", kept)
    return server
