#!/usr/bin/env python3
"""How many instructions the hot paths take: a figure that does not depend on what else the machine does.

    make costs                       # counts, and compares with tests/bench/costs.json: over +5 % is an error
    make costs UPDATE=1              # writes that file anew
    tests/bench/costs.py --growth 1000 100000     # each function of the library with so many bookings waiting

Under valgrind's callgrind run, side by side: an ingest that admits webhooks, a worker that settles bookings,
and a Redis that is asked for each function of the library. Each path is run some hundred times after a start that is
not counted. Instructions are those of the program itself, without the kernel's.
"""
import argparse
import concurrent.futures
import itertools
import json
import os
import re
import shutil
import socket
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any, Callable, Dict, Iterator, List, Optional

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "integration"))

import webhooks  # noqa: E402
from harness import FakeCalcom, House, RedisServer, wait_for  # noqa: E402
from library import DEFAULT_POLICY, Library, load_library, now_ms  # noqa: E402

RECORD = Path(__file__).with_name("costs.json")
TOLERANCE = 0.05
TIMES = 192  # each path, in whole batches of 16; of an ingest and a worker more, they have timers of their own

Costs = Dict[str, int]


class Counter:
    """Reads the instructions of a process that runs under callgrind."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.command = ["valgrind", "--tool=callgrind", f"--callgrind-out-file={folder}/counted.%p", "--quiet"]
        self.taken = 0

    def _dump(self, pid: int) -> int:
        """The instructions since the last dump, or since the start."""
        subprocess.run(["vgdb", f"--pid={pid}", "dump"], check=True, stdout=subprocess.DEVNULL,
                       stderr=subprocess.DEVNULL)
        self.taken += 1
        text = (self.folder / f"counted.{pid}.{self.taken}").read_text()
        return int(re.search(r"^totals: (\d+)", text, re.M).group(1))

    def count(self, pid: int, run: Callable[[], Any]) -> int:
        self._dump(pid)
        run()
        return self._dump(pid)


# ---- Redis ----

class CountedRedis(RedisServer):
    """A Redis under callgrind, with few timer events."""

    def __init__(self, folder: Path, data: Optional[Path] = None) -> None:
        super().__init__(folder, arguments=["--hz", "1"])
        self.counter = Counter(folder)
        self.prefix = self.counter.command
        if data is not None:
            shutil.copy(data, folder / "dump.rdb")

    def count(self, run: Callable[[], Any]) -> int:
        return self.counter.count(self.process.pid, run)


class Steps:
    """What is asked of the library, over and over. Bookings are made beforehand where a step needs them."""

    def __init__(self, library: Library) -> None:
        self.library = library
        self.ids = itertools.count(100000001)
        self.workers = itertools.count(1)
        self.created = now_ms()

    def record(self, id_: Any = None, kind: str = "requested", uid: str = "") -> int:
        id_ = next(self.ids) if id_ is None else id_
        start = self.created // 1000 + 100000 + int(id_) % 500000 * 60
        account = webhooks.email(int(id_) % webhooks.MEMBERS)
        self.library.record(id_, kind, self.created, start=start, end=start + 3600, account=account, email=account,
                            uid=uid or f"u{id_:021d}", answers='{"notes":"none"}', metadata='{"source":"page"}')
        return id_

    def waiting(self, count: int) -> List[int]:
        return [self.record() for _ in range(count)]

    def held(self, count: int) -> List[Any]:
        """Bookings in the hands of a new worker, to be accepted."""
        self.waiting(count)
        jobs, worker = [], f"w{next(self.workers)}"
        while len(jobs) < count:
            jobs += self.take(16, worker)  # not all that wait lead to a job
        return jobs[:count]

    def take(self, most: int, worker: str = "others") -> List[Any]:
        return self.library.take(worker, count=most, fresh_ms=60000, gate="0123456789abcdef", limit=0).jobs

    def settle(self, job: Any, outcome: str = "accepted") -> Any:
        return self.library.settle(job, outcome, calls=f"{now_ms()} 12 confirm 200 success ok", gate="0123456789abcdef", limit=0)


def each(step: Callable[[Any], Any], items: List[Any]) -> Callable[[], None]:
    def run() -> None:
        for item in items:
            step(item)
    return run


def library_steps(steps: Steps) -> Iterator[Any]:
    """(name, how many, what to run) of each function that bookings pass by, and those asked every few seconds."""
    lib = steps.library
    new = [next(steps.ids) for _ in range(TIMES)]
    yield "record: a request", TIMES, each(steps.record, new)
    yield "record: the same again", TIMES, each(steps.record, new)
    steps.waiting(TIMES)
    yield "take: one", TIMES, each(lambda _: steps.take(1), list(range(TIMES)))
    steps.waiting(TIMES)
    yield "take: one of 16", TIMES, each(lambda _: steps.take(16), list(range(TIMES // 16)))
    jobs = steps.held(TIMES)
    yield "begin", TIMES, each(lib.begin, jobs)
    yield "settle: accepted", TIMES, each(steps.settle, jobs)
    jobs = steps.held(TIMES)
    yield "settle: cancelled at Cal.com", TIMES, each(lambda job: steps.settle(job, "cancelled"), jobs)
    jobs = steps.held(TIMES)
    yield "retry", TIMES, each(lambda job: lib.retry(job, 3600000), jobs)
    jobs = steps.held(TIMES)
    yield "give_back", TIMES, each(lib.give_back, jobs)
    yield "lease", TIMES, each(lambda _: lib.lease(), list(range(TIMES)))
    yield "reap", TIMES, each(lambda _: lib.reap(), list(range(TIMES)))
    yield "watch", TIMES, each(lambda _: lib.watch(gate="0123456789abcdef", limit=0), list(range(TIMES)))
    found = [next(steps.ids) for _ in range(TIMES)]
    yield "found", TIMES, each(lib.found, found)
    members = [f"new{number}@example.com" for number in range(TIMES)]
    waiting = steps.waiting(TIMES)
    yield "record: cancelled", TIMES, each(lambda id_: steps.record(id_, "cancelled"), waiting)
    yield "grant", TIMES, each(lambda account: lib.grant(account, 3), members)


def stock(client: Any) -> Steps:
    """The library, the members' credits, and so many that are done that Redis does not keep them as a list."""
    load_library(client)
    library = Library(client, "tollgate")
    library.install(DEFAULT_POLICY, "default")
    for member in range(webhooks.MEMBERS):
        library.grant(webhooks.email(member), 1000000, key="once")
    client.hset(library.key("audit"), "next_ms", 10 ** 15)  # it would come and go with the clock
    client.hset(library.key("done"), mapping={str(id_): "accepted" for id_ in range(1, 1001)})
    return Steps(library)


def count_library(house: House, data: Optional[Path] = None) -> Costs:
    server = CountedRedis(house.room("counted-redis"), data)
    house.servers.append(server)
    server.start()
    steps = stock(server.client(socket_timeout=600))
    each(steps.settle, steps.held(16))()  # what is done only once, like compiling the policy
    costs = {}
    for name, times, run in library_steps(steps):
        costs["redis, " + name] = server.count(run) // times
    return costs


# ---- The programs ----

class Wrapped:
    """Programs of the house run under callgrind meanwhile."""

    def __init__(self, counter: Counter) -> None:
        self.counter = counter

    def __enter__(self) -> None:
        os.environ["TOLLGATE_TEST_WRAPPER"] = " ".join(self.counter.command)

    def __exit__(self, *_: Any) -> None:
        del os.environ["TOLLGATE_TEST_WRAPPER"]


class Line:
    """One connection on which requests are sent and answered one by one."""

    def __init__(self, address: str) -> None:
        host, port = address.rsplit(":", 1)
        self.socket = socket.create_connection((host, int(port)), timeout=60)

    def ask(self, request: bytes) -> None:
        self.socket.sendall(request)
        answer = self.socket.recv(4096)
        assert answer.startswith(b"HTTP/1.1 202 "), answer


def count_webhook(house: House) -> Costs:
    """One webhook admitted by ingest, from the first byte read to the last byte written."""
    times = 5 * TIMES
    server = house.redis()
    counter = Counter(house.room("counter"))
    with Wrapped(counter):
        ingest = house.ingest(server.url, TOLLGATE_THREADS="1").wait_ready()
    line = Line(ingest.address("listening"))
    requests = list(webhooks.requests(1, 2 * times))
    each(line.ask, requests[:times])()
    return {"ingest, a webhook admitted": counter.count(ingest.pid, each(line.ask, requests[times:])) // times}


def count_booking(house: House) -> Costs:
    """One booking settled by a worker with one call to Cal.com, of those that wait together."""
    times = 5 * TIMES
    server = house.redis()
    client = server.client()
    steps = stock(client)
    fake = house.add(FakeCalcom(house.room("fake"), "http://127.0.0.1:9/webhook"))
    counter = Counter(house.room("counter"))
    with Wrapped(counter):
        worker = house.worker(server.url, f"{fake.url}/v2", CALCOM_RATE_LIMIT="0", TOLLGATE_CONCURRENCY="16",
                              TOLLGATE_FRESH_MS="60000", TOLLGATE_SWEEP_INTERVAL="86400").wait_ready()

    def settle(count: int) -> None:
        wanted = settled() + count
        for made in fake.book(count=count, email="member{n}@example.com", webhook=False)["bookings"]:
            steps.record(made["id"], uid=made["uid"])
        wait_for(lambda: settled() >= wanted, 300, "the bookings to be settled", every=0.1)

    def settled() -> int:
        return int(client.hget(steps.library.key("stats"), "settled:accepted") or 0)

    settle(times)
    return {"worker, a booking settled": counter.count(worker.pid, lambda: settle(times)) // times}


def in_house(job: Callable[..., Costs], folder: Path, *arguments: Any) -> Costs:
    """Runs in a process of its own, in a folder of its own."""
    house = House(folder)
    try:
        costs = job(house, *arguments)
    finally:
        complaints = house.close()
    assert not complaints, complaints
    return costs


def count_all(folder: Path) -> Costs:
    """Instructions do not mind company."""
    with concurrent.futures.ProcessPoolExecutor(os.cpu_count()) as pool:
        jobs = [pool.submit(in_house, job, folder / job.__name__) for job in (count_library, count_webhook, count_booking)]
        return {name: count for job in jobs for name, count in job.result().items()}


# ---- What is said of it ----

def compare(costs: Costs, record: Costs) -> List[str]:
    """Prints both side by side. Answers what is wrong."""
    wrong = []
    for name in sorted({*costs, *record}, key=[*costs, *record].index):
        now, before = costs.get(name), record.get(name)
        change = f"{now / before - 1:+7.1%}" if now and before else "    new" if now else "   gone"
        print(f"{name:36s} {now or 0:10,d} {before or 0:10,d} {change}")
        if not now or not before:
            wrong.append(f"{name}: {change.strip()}")
        elif now > before * (1 + TOLERANCE):
            wrong.append(f"{name} takes {now / before - 1:.1%} more instructions")
    return wrong


def count_with(house: House, size: int) -> Costs:
    """The library's functions with so many bookings waiting. They are recorded by a Redis that is not counted."""
    server = house.redis()
    client = server.client()
    fill(client, stock(client), size)
    client.save()
    return count_library(house, server.folder / "dump.rdb")


def grow(folder: Path, sizes: List[int]) -> List[str]:
    """Counts with so many bookings waiting, and holds each size against the first."""
    with concurrent.futures.ProcessPoolExecutor(os.cpu_count()) as pool:
        jobs = [pool.submit(in_house, count_with, folder / str(size), size) for size in sizes]
        counted = [job.result() for job in jobs]
    wrong = []
    print(f"{'with so many bookings waiting':36s} " + " ".join(f"{size:>10,d}" for size in sizes))
    for name, first in counted[0].items():
        print(f"{name:36s} " + " ".join(f"{costs[name]:10,d}" for costs in counted))
        wrong += [f"{name}: {costs[name] / first - 1:+.1%} at {size}" for size, costs in zip(sizes, counted)
                  if costs[name] > first * 1.1]
    return wrong


def fill(client: Any, steps: Steps, count: int) -> None:
    """So many bookings wait, each member's alike."""
    before = client.info("memory")["used_memory"]
    for done in range(0, count, 1000):
        with client.pipeline(transaction=False) as pipeline:
            piped = Steps(Library(pipeline, "tollgate"))
            for id_ in range(done, min(done + 1000, count)):
                piped.record(200000000 + id_)
            pipeline.execute()
    waiting = client.llen(steps.library.key("queue"))
    assert waiting == count, f"{waiting} wait"
    print(f"{count} waiting: {(client.info('memory')['used_memory'] - before) / count:.0f} bytes each in Redis")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--update", action="store_true", help=f"write {RECORD.name}")
    parser.add_argument("--growth", type=int, nargs="+", metavar="N", help="count with N bookings waiting")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        wrong = run(options, Path(folder))
    for line in wrong:
        print(f"costs: {line}", file=sys.stderr)
    return 1 if wrong else 0


def run(options: Any, folder: Path) -> List[str]:
    if options.growth:
        return grow(folder, options.growth)
    costs = count_all(folder)
    record = json.loads(RECORD.read_text()) if RECORD.exists() else {}
    wrong = compare(costs, record)
    if options.update:
        RECORD.write_text(json.dumps(costs, indent=2) + "\n")
        return []
    if wrong:
        wrong.append("where that is worth it, `make costs UPDATE=1` records the new figures")
    return wrong


if __name__ == "__main__":
    sys.exit(main())
