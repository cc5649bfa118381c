#!/usr/bin/env python3
"""How fast ingest acknowledges webhooks while Redis is away, and that none is lost.

    make && tests/bench/outage.py                    # 1000 webhooks/s, Redis killed for 60 s
    tests/bench/outage.py --rate 2000 --outage 10 --how stop --folder /var/tmp

Starts a Redis (appendonly, fsync always) and an ingest of its own, sends a steady stream before, during and
after the outage, and prints the times of the answers as the sender sees them, the disk's own time for an
fsync, and what became of everything. A webhook's time runs from when it was due. Exit status 1: something
acknowledged is not in Redis, something was refused, or p99 during the outage is over --limit.
"""
import argparse
import multiprocessing
import os
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "integration"))

from harness import House, wait_for  # noqa: E402
from outage import Stream  # noqa: E402
from wire import Door  # noqa: E402


def fsync_ms(folder, rounds=200):
    """What the disk needs for a small write: p50 and p99 (ms)."""
    times = []
    path = Path(folder) / "fsync"
    with open(path, "wb", buffering=0) as file:
        for _ in range(rounds):
            file.write(b"x" * 4096)
            since = time.monotonic()
            os.fsync(file.fileno())
            times.append((time.monotonic() - since) * 1000)
    path.unlink()
    times.sort()
    return times[rounds // 2], times[int(rounds * 0.99)]


def send(address, rate, first_id, seconds, answers):
    """In a process of its own: many senders of one process would wait for each other."""
    with Stream(address, rate, lanes=32, first_id=first_id) as stream:
        stream.run_for(seconds)
    answers.put([(id, status, seconds, stream.since + (id - first_id) / rate) for id, status, seconds in stream.answers])


def percentiles(times):
    times = sorted(times) or [0.0]
    at = {share: times[min(int(len(times) * share), len(times) - 1)] * 1000 for share in (0.5, 0.9, 0.99, 0.999, 1)}
    return at[0.99], "  ".join(f"p{share * 100:g} {ms:.1f} ms" for share, ms in at.items())


def recorded(door):
    names = door.client.scan_iter(door.key("booking:*"), count=10000)
    return {int(name.rsplit(":", 1)[1]) for name in names}


def run(options, house):
    server = house.redis(appendonly=True)
    door = Door(house, server=server)
    print("disk: fsync p50 %.2f ms, p99 %.2f ms" % fsync_ms(door.ingest.folder))
    queue = multiprocessing.Queue()
    seconds = 2 * options.around + options.outage
    senders = [multiprocessing.Process(target=send, args=(door.ingest.address("listening"), options.rate / options.senders,
                                                          1 + i * 100000000, seconds, queue)) for i in range(options.senders)]
    for sender in senders:
        sender.start()
    time.sleep(options.around)
    began = time.monotonic()
    if options.how == "kill":
        server.kill9()
    else:
        server.sigstop()
    time.sleep(options.outage)
    entries, size = door.count("spool_entries"), door.count("spool_bytes")
    if options.how == "kill":
        server.restart()
    else:
        server.sigcont()
    back = time.monotonic()
    answers = [answer for _ in senders for answer in queue.get()]
    for sender in senders:
        sender.join()
    wait_for(lambda: door.count("spool_entries") == 0, 300, "the spool to be drained")
    door.ingest.wait_ready()
    return report(options, answers, began, back, entries, size, recorded(door))


def report(options, answers, began, back, entries, size, in_redis):
    during = [seconds for _, _, seconds, due in answers if began <= due < back]
    around = [seconds for _, _, seconds, due in answers if not began <= due < back]
    acknowledged = {id for id, status, _, _ in answers if 200 <= status < 300}
    p99_ms, text = percentiles(during)
    print(f"sent {len(answers)}, acknowledged {len(acknowledged)}, lost {len(acknowledged - in_redis)}")
    print(f"spool at its end: {entries:.0f} events, {size / 1024 / 1024:.1f} MiB")
    print(f"during the outage ({len(during)}):  {text}")
    print(f"before and after ({len(around)}):  {percentiles(around)[1]}")
    lost, refused = len(acknowledged - in_redis), len(answers) - len(acknowledged)
    return 1 if lost or refused or p99_ms > options.limit else 0


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rate", type=float, default=1000, help="webhooks a second (1000)")
    parser.add_argument("--outage", type=float, default=60, help="seconds without Redis (60)")
    parser.add_argument("--around", type=float, default=5, help="seconds before and after it (5)")
    parser.add_argument("--how", choices=["kill", "stop"], default="kill", help="kill -9 or SIGSTOP")
    parser.add_argument("--senders", type=int, default=2, help="sending processes (2)")
    parser.add_argument("--limit", type=float, default=50, help="p99 during the outage, ms (50)")
    parser.add_argument("--folder", help="where Redis and the spool have their files; their disk is what counts")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=options.folder) as folder:
        house = House(Path(folder))
        try:
            status = run(options, house)
        finally:
            complaints = house.close()
    for complaint in complaints:
        print(complaint, file=sys.stderr)
    return status or bool(complaints)


if __name__ == "__main__":
    sys.exit(main())
