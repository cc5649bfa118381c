#!/usr/bin/env python3
"""Our programs beside those that people would use instead, on this machine, in one run.

    make bench          # some minutes; tables and plots into build/bench
    make bench-quick    # below two minutes: fewer peers, shorter
    tests/bench/bench.py --only worker --rounds 5 --seconds 10

Each round measures every peer once, one after the other, so that a machine that is slow for a while is slow for all;
what is told is the median of the rounds. The processor time is the steady figure: what the server and its Redis used,
the kernel's part included, by /proc/PID/stat. Rates depend on what shares the processors: the load and, for workers,
the API that they call run on the same machine.
"""
import argparse
import contextlib
import json
import os
import platform
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, Callable, Dict, Iterator, List

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "integration"))

import rig  # noqa: E402
import webhooks  # noqa: E402
from costs import fill, stock  # noqa: E402
from echo import answer_times  # noqa: E402
from harness import API_KEY, BUILD, ROOT, SECRET, House, RedisServer, wait_for  # noqa: E402
from outage import Stream  # noqa: E402
from rig import Meter, Server  # noqa: E402

HERE = Path(__file__).resolve().parent
OUT = ROOT / "build" / "bench"
PERSISTENCE = {
    "none": [],
    "everysec": ["--appendonly", "yes", "--appendfsync", "everysec"],
    "always": ["--appendonly", "yes", "--appendfsync", "always"],
}

Row = Dict[str, Any]


class Bench:
    """Folders, a Redis for each measurement, and the webhooks."""

    def __init__(self, folder: Path, options: Any) -> None:
        self.folder = folder
        self.options = options
        self.count = 0
        self.house = House(folder / "house")
        self.node = shutil.which("node")
        self.webhooks = folder / "webhooks"
        self.webhook_count = int(30000 * options.seconds)

    def room(self, name: str) -> Path:
        self.count += 1
        path = self.folder / f"{self.count}-{name}"
        path.mkdir(parents=True)
        return path

    def redis(self, persistence: str = "none") -> RedisServer:
        return RedisServer(self.room("redis"), arguments=PERSISTENCE[persistence]).start()

    def write_webhooks(self) -> None:
        webhooks.write(self.webhooks, self.webhook_count)

    def wait_ready(self, log: Path, what: str) -> None:
        wait_for(lambda: what in log.read_text(errors="replace"), 30, what)


# ---- Ingest ----

class Peer:
    """Takes webhooks at `port`. start(bench, redis, port) answers the server."""

    def __init__(self, name: str, does: str, start: Callable[[Bench, RedisServer, int], Server],
                 path: str = "POST /webhook", uses_redis: bool = True) -> None:
        self.name, self.does, self.start, self.path, self.uses_redis = name, does, start, path, uses_redis


def start_tollgate(bench: Bench, redis: RedisServer, port: int) -> Server:
    return Server(bench.room("ingest"), [str(BUILD / "tollgate-ingest")], {
        "REDIS_URL": redis.url, "WEBHOOK_SECRET": SECRET, "TOLLGATE_LISTEN": f"127.0.0.1:{port}",
        "TOLLGATE_ADMIN_LISTEN": "127.0.0.1:0", "TOLLGATE_THREADS": "1"})


def start_webdis(bench: Bench, redis: RedisServer, port: int) -> Server:
    folder = bench.room("webdis")
    return Server(folder, ["webdis", str(rig.fill_in("webdis.json", folder, redis=redis.port, port=port))])


def start_node(kind: str) -> Callable[[Bench, RedisServer, int], Server]:
    def start(bench: Bench, redis: RedisServer, port: int) -> Server:
        return Server(bench.room(kind), [bench.node, str(HERE / "peers/ingest.js"), str(port), str(redis.port), SECRET, kind])
    return start


PEERS = [
    Peer("nginx `return 202`", "reads the body, nothing else",
         lambda bench, redis, port: rig.nginx("ceiling.conf", bench.room("nginx"), port=port), uses_redis=False),
    Peer("**tollgate-ingest**", "limits, HMAC, JSON, atomic record + queue, answer after Redis", start_tollgate),
    Peer("webdis", "LPUSH of the body; no signature, no JSON", start_webdis, path="PUT /LPUSH/queue"),
    Peer("nginx + Lua", "HMAC, cjson, LPUSH",
         lambda bench, redis, port: rig.nginx("lua.conf", bench.room("nginx"), port=port, redis=redis.port, secret=SECRET)),
    Peer("fastify + ioredis", "HMAC, JSON, LPUSH", start_node("list")),
    Peer("fastify + BullMQ", "HMAC, JSON, queue.add", start_node("bullmq")),
]
QUICK_PEERS = [peer for peer in PEERS if "fastify + ioredis" not in peer.name]


@contextlib.contextmanager
def serving(bench: Bench, start: Callable[[Bench, RedisServer, int], Server], persistence: str = "none") -> Iterator[Any]:
    """(server, its Redis, host:port) meanwhile."""
    redis, port = bench.redis(persistence), rig.ports(1)[0]
    server = start(bench, redis, port)
    try:
        rig.wait_port(port, server)
        time.sleep(0.5)  # ours has to be ready with Redis
        yield server, redis, f"127.0.0.1:{port}"
    finally:
        server.stop()
        redis.stop()


def measure_ingest(bench: Bench, peer: Peer, persistence: str = "none") -> Row:
    with serving(bench, peer.start, persistence) as (server, redis, address):
        env = {"LOAD_FILE": str(bench.webhooks), "LOAD_HEAD": f"{peer.path} HTTP/1.1"}
        meter = Meter(server.pid, redis.process.pid)
        load = rig.wrk(f"http://{address}/", bench.options.seconds, 64, "load.lua", env)
        server_s, redis_s = meter.read()
        assert "tollgate" not in peer.name or load.requests <= bench.webhook_count, "webhooks came twice"
        assert load.bad == 0, f"{peer.name}: {load.bad} of {load.requests} were refused: {server.log.read_text()[-500:]}"
        return {"server_s": server_s / load.requests * 1e5, "redis_s": redis_s / load.requests * 1e5 if peer.uses_redis else 0,
                "rate": load.rate, "p50": load.p50_ms, "p99": load.p99_ms, "memory": rig.most_memory_mib(server.pid)}


def medians(rows: List[Row]) -> Row:
    return {key: statistics.median(row[key] for row in rows) for key in rows[0]}


def rounds(bench: Bench, things: Dict[str, Callable[[], Row]]) -> Dict[str, Row]:
    """Every thing once a round; the medians."""
    rows: Dict[str, List[Row]] = {name: [] for name in things}
    for number in range(bench.options.rounds):
        for name, measure in things.items():
            rows[name].append(measure())
            print(f"round {number + 1}: {name}: " + " ".join(f"{k}={v:.3g}" for k, v in rows[name][-1].items()), flush=True)
    return {name: medians(found) for name, found in rows.items()}


def bench_ingest(bench: Bench, report: "Report") -> None:
    peers = [peer for peer in (QUICK_PEERS if bench.options.quick else PEERS)
             if bench.node or "fastify" not in peer.name]
    found = rounds(bench, {peer.name: lambda peer=peer: measure_ingest(bench, peer) for peer in peers})
    report.table("Ingest: 64 connections, webhooks of 2.4 KB, Redis without persistence",
                 ["peer", "does", "server CPU s per 100k", "Redis CPU s per 100k", "webhooks/s", "p50 ms", "p99 ms", "MiB"],
                 [[peer.name, peer.does, f"{row['server_s']:.2f}", f"{row['redis_s']:.2f}", f"{row['rate']:,.0f}",
                   f"{row['p50']:.1f}", f"{row['p99']:.1f}", f"{row['memory']:.0f}"]
                  for peer in peers for row in [found[peer.name]]])
    report.plot("ingest", "CPU seconds per 100 000 webhooks", {
        name.strip("*").replace("`", ""): (row["server_s"], row["redis_s"]) for name, row in found.items()})


def bench_persistence(bench: Bench, report: "Report") -> None:
    peers = [peer for peer in PEERS if peer.uses_redis and (bench.node or "fastify" not in peer.name) and "ioredis" not in peer.name]
    found = rounds(bench, {f"{peer.name}, {kind}": lambda peer=peer, kind=kind: measure_ingest(bench, peer, kind)
                           for peer in peers for kind in PERSISTENCE})
    report.table("What persistence costs: webhooks/s (p99 ms; Redis CPU s per 100k) by appendfsync",
                 ["peer", *PERSISTENCE],
                 [[peer.name, *(f"{row['rate']:,.0f} ({row['p99']:.1f}; {row['redis_s']:.2f})"
                                for kind in PERSISTENCE for row in [found[f'{peer.name}, {kind}']])] for peer in peers])


# ---- Times of answers ----

def bench_answers(bench: Bench, report: "Report") -> None:
    """At a steady rate, from when each webhook was due: what waits behind a slow one counts."""
    with serving(bench, start_tollgate) as (_, _, address):
        with Stream(address, 1000, lanes=32) as stream:
            stream.run_for(bench.options.seconds)
    rows = [["1 000/s", *shares([seconds * 1000 for _, _, seconds in stream.answers])]]
    if bench.node:
        most = steady(bench, 0)["rate"]
        row = steady(bench, most * 0.8)
        rows.append([f"80 % of the {most:,.0f}/s that autocannon reaches here"] + [f"{row[key]:.0f}" for key in ("p50", "p99", "p999", "max")])
    report.table("Answers of tollgate-ingest (ms), from when each webhook was due", ["rate", "p50", "p99", "p99.9", "most"], rows)


def shares(times: List[float]) -> List[str]:
    """p50, p99, p99.9 and the most."""
    times = sorted(times)
    return [f"{times[min(int(len(times) * share), len(times) - 1)]:.2f}" for share in (.5, .99, .999, 1)]


def steady(bench: Bench, rate: float) -> Row:
    """autocannon; at rate 0 as fast as it can."""
    with serving(bench, start_tollgate) as (_, _, address):
        command = [bench.node, str(HERE / "peers/steady.js"), f"http://{address}", f"{rate:.0f}",
                   str(int(bench.options.seconds)), "32", str(bench.webhooks)]
        text = subprocess.run(command, check=True, stdout=subprocess.PIPE, universal_newlines=True).stdout
        result = json.loads(text)
        assert result["bad"] == 0, result
        return result


def bench_end_to_end(bench: Bench, report: "Report") -> None:
    times = answer_times(bench.house, bench.folder / "echo", 300 if bench.options.quick else 1000)
    report.table("An idle gate: from the webhook's last byte sent to Cal.com's confirm received (ms)",
                 ["bookings", "p50", "p99", "p99.9", "most"], [[str(len(times)), *shares(times)]])


# ---- Workers ----

def api(bench: Bench, delay_s: float) -> Any:
    port = rig.ports(1)[0]
    return rig.nginx("calcom.conf", bench.room("api"), port=port, delay=f"{delay_s:g}"), f"http://127.0.0.1:{port}"


def start_worker(bench: Bench, redis: RedisServer, url: str, connections: int) -> Server:
    return Server(bench.room("worker"), [str(BUILD / "tollgate-worker")], {
        "REDIS_URL": redis.url, "CALCOM_API_URL": url + "/v2", "CALCOM_API_KEY": API_KEY, "CALCOM_RATE_LIMIT": "0",
        "TOLLGATE_CONCURRENCY": str(connections), "TOLLGATE_ADMIN_LISTEN": "127.0.0.1:0", "TOLLGATE_FRESH_MS": "60000",
        "TOLLGATE_SWEEP_INTERVAL": "86400", "LOG_LEVEL": "warn"})


def measure_worker(bench: Bench, delay_s: float, jobs: int, connections: int, workers: int = 1) -> Row:
    """From a queue that is full when the workers start to the last booking settled."""
    redis = bench.redis()
    server, url = api(bench, delay_s)
    running: List[Server] = []
    try:
        client = redis.client()
        steps = stock(client)
        fill(client, steps, jobs)

        def settled() -> int:
            return int(client.hget(steps.library.key("stats"), "settled:accepted") or 0)

        client.config_resetstat()
        redis_meter = Meter(redis.process.pid)
        running = [start_worker(bench, redis, url, connections) for _ in range(workers)]
        wait_for(lambda: settled() > 0, 30, "the first booking to be settled", every=0.002)
        first, since = settled(), time.monotonic()
        wait_for(lambda: settled() >= jobs, 300, "the bookings to be settled", every=0.02)
        took = time.monotonic() - since
        spent = sum(rig.cpu_s(one.pid) for one in running)
        return {"server_s": spent / jobs * 1e4, "redis_s": redis_meter.read()[0] / jobs * 1e4, "rate": (jobs - first) / took,
                "memory": max(rig.most_memory_mib(one.pid) for one in running)}
    finally:
        for one in [*running, server]:
            one.stop()
        redis.stop()


def measure_bullmq(bench: Bench, delay_s: float, jobs: int, connections: int) -> Row:
    redis = bench.redis()
    server, url = api(bench, delay_s)
    worker = Server(bench.room("bullmq"), [bench.node, str(HERE / "peers/worker.js"), str(redis.port), url, str(jobs), str(connections)])
    try:
        bench.wait_ready(worker.log, "ready\n")
        meter = Meter(worker.pid, redis.process.pid)
        worker.process.stdin.write(b"go\n")
        worker.process.stdin.flush()
        wait_for(lambda: len(worker.log.read_text().splitlines()) > 1, 300, "BullMQ", every=0.02)
        server_s, redis_s = meter.read()
        took = float(worker.log.read_text().splitlines()[1]) / 1000
        return {"server_s": server_s / jobs * 1e4, "redis_s": redis_s / jobs * 1e4, "rate": jobs / took,
                "memory": rig.most_memory_mib(worker.pid)}
    finally:
        worker.stop()
        server.stop()
        redis.stop()


def measure_wrk(bench: Bench, delay_s: float, jobs: int, connections: int) -> Row:
    server, url = api(bench, delay_s)
    try:
        load = rig.wrk(url + "/v2/bookings/u1/confirm", bench.options.seconds, connections)
        return {"server_s": 0, "redis_s": 0, "rate": load.rate, "memory": 0}
    finally:
        server.stop()


def measure_curl(bench: Bench, delay_s: float, jobs: int, connections: int) -> Row:
    server, url = api(bench, delay_s)
    try:
        config = bench.room("curl") / "urls"
        config.write_text("".join(f'url = "{url}/v2/bookings/u{i}/confirm"\noutput = "/dev/null"\n' for i in range(jobs)))
        before, since = os.times(), time.monotonic()
        subprocess.run(["curl", "-s", "-X", "POST", "--parallel", "--parallel-max", str(connections), "-K", str(config)], check=True)
        took, after = time.monotonic() - since, os.times()
        spent = after.children_user + after.children_system - before.children_user - before.children_system
        return {"server_s": spent / jobs * 1e4, "redis_s": 0, "rate": jobs / took, "memory": 0}
    finally:
        server.stop()


def bench_workers(bench: Bench, report: "Report") -> None:
    quick = bench.options.quick
    measures = {"`wrk` straight at the API": measure_wrk, "`curl --parallel`": measure_curl, "**tollgate-worker**": measure_worker}
    if bench.node:
        measures["BullMQ"] = measure_bullmq
    rows, plot = [], {}
    for delay_s in (0, 0.05) if quick else (0, 0.05, 0.2):
        jobs = (4000 if quick else 10000) if delay_s == 0 else int(50 / delay_s * bench.options.seconds)
        found = rounds(bench, {f"{name} {delay_s * 1000:.0f} ms": lambda m=measure: m(bench, delay_s, jobs, 50)
                               for name, measure in measures.items() if delay_s == 0 or "curl" not in name})
        best = found[f"`wrk` straight at the API {delay_s * 1000:.0f} ms"]["rate"]
        for name, row in found.items():
            rows.append([name.rsplit(" ", 2)[0], f"{delay_s * 1000:.0f} ms", f"{row['rate']:,.0f}", f"{row['rate'] / best:.0%}",
                         *(f"{row[key]:.2f}" if row[key] else "" for key in ("server_s", "redis_s")),
                         f"{row['memory']:.0f}" if row["memory"] else ""])
            if delay_s == 0 and row["server_s"]:
                plot[name.rsplit(" ", 2)[0].strip("*").replace("`", "")] = (row["server_s"], row["redis_s"])
    report.table("Workers: one call to the API for each job, 50 at a time",
                 ["worker", "API takes", "jobs/s", "of wrk's", "worker CPU s per 10k", "Redis CPU s per 10k", "MiB"], rows)
    report.plot("workers", "CPU seconds per 10 000 jobs, API 0 ms", plot)


def bench_scale(bench: Bench, report: "Report") -> None:
    jobs = 400 if bench.options.quick else 1600
    found = rounds(bench, {str(count): lambda count=count: measure_worker(bench, 0.2, jobs * count, 16, count) for count in (1, 4)})
    one, four = found["1"]["rate"], found["4"]["rate"]
    report.table("Workers side by side: API 200 ms, 16 at a time each", ["1 worker, bookings/s", "4 workers", "ratio"],
                 [[f"{one:.1f}", f"{four:.1f}", f"{four / one:.2f}"]])


# ---- The report ----

class Report:
    """Tables as Markdown, plots as SVG and PNG, in build/bench."""

    def __init__(self, title: str) -> None:
        OUT.mkdir(parents=True, exist_ok=True)
        self.parts = [title]

    def table(self, title: str, head: List[str], rows: List[List[str]]) -> None:
        lines = [f"## {title}", "", "| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
        self.parts.append("\n".join(lines + ["| " + " | ".join(row) + " |" for row in rows]))
        print("\n" + self.parts[-1] + "\n", flush=True)

    def plot(self, name: str, title: str, bars: Dict[str, Any]) -> None:
        try:
            import matplotlib
        except ImportError:
            print("bench: no plots without matplotlib (scripts/install-deps peers)")
            return
        matplotlib.use("Agg")
        from matplotlib import pyplot
        figure, axes = pyplot.subplots(figsize=(8, 0.6 * len(bars) + 1.2))
        names = list(bars)[::-1]
        first = [bars[key][0] for key in names]
        axes.barh(names, first, label="the server" if name == "ingest" else "the worker")
        axes.barh(names, [bars[key][1] for key in names], left=first, label="its Redis")
        axes.set_title(title)
        axes.legend()
        figure.tight_layout()
        for kind in ("svg", "png"):
            figure.savefig(OUT / f"{name}.{kind}")

    def write(self) -> None:
        path = OUT / "RESULTS.md"
        path.write_text("\n\n".join(self.parts) + "\n")
        print(f"bench: {path.relative_to(ROOT)}")


def version(command: List[str]) -> str:
    try:
        text = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, universal_newlines=True).stdout
    except OSError:
        return "none"
    return " ".join(text.split()[:3])


def title(options: Any) -> str:
    model = next((line.split(":")[1].strip() for line in open("/proc/cpuinfo") if line.startswith("model name")), platform.machine())
    return "\n".join([
        "# Measured", "",
        f"`{' '.join(['tests/bench/bench.py', *sys.argv[1:]])}` on {time.strftime('%Y-%m-%d')}, {os.cpu_count()} × {model}, "
        f"medians of {options.rounds} rounds of {options.seconds:g} s. Only what stands in one table was measured side by side; "
        "another machine, or another hour of the same one, has other figures and much the same ratios.", "",
        f"{version(['redis-server', '--version'])}; {version(['nginx', '-v'])}; node {version(['node', '--version'])}; "
        f"{version(['curl', '--version'])}"])


PARTS = {"ingest": bench_ingest, "answers": bench_answers, "end-to-end": bench_end_to_end, "worker": bench_workers,
         "scale": bench_scale, "persistence": bench_persistence}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="fewer peers, one round, no persistence")
    parser.add_argument("--rounds", type=int, help="(3; 1)")
    parser.add_argument("--seconds", type=float, help="of load in each measurement (5; 2)")
    parser.add_argument("--only", nargs="+", choices=list(PARTS), help="these parts")
    options = parser.parse_args()
    options.rounds = options.rounds or (1 if options.quick else 3)
    options.seconds = options.seconds or (2 if options.quick else 5)
    missing = [name for name in ("redis-server", "wrk", "nginx", "webdis", "curl") if not shutil.which(name)]
    if missing:
        sys.exit(f"bench: {', '.join(missing)} missing: run scripts/install-deps peers")
    if not shutil.which("node") or not (HERE / "peers/node_modules").exists():
        print("bench: without fastify, BullMQ and autocannon: they need node, and `npm ci` in tests/bench/peers")
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        bench = Bench(Path(folder), options)
        if not (HERE / "peers/node_modules").exists():
            bench.node = None
        report = Report(title(options))
        try:
            bench.write_webhooks()
            for name, run in PARTS.items():
                if name in options.only if options.only else not (options.quick and name == "persistence"):
                    run(bench, report)
        finally:
            complaints = bench.house.close()
    report.write()
    for line in complaints:
        print(line, file=sys.stderr)
    return 1 if complaints else 0


if __name__ == "__main__":
    sys.exit(main())
