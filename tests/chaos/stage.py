"""The programs of a run, and what can be done to them."""

import os
import random
import socket
import subprocess
import sys
import threading
import time
from collections import defaultdict
from contextlib import nullcontext
from pathlib import Path
from typing import Any, Dict, List

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests" / "integration"))

import redis
import requests

import harness
from harness import Daemon, House, Ingest, RedisServer, Worker
from library import Library
from script import COSTS, Fault, TYPES

NAMESPACE = "chaos"
SPOOL_DISK_KIB = 16384

Row = Dict[str, Any]


def now_ms() -> int:
    return int(time.time() * 1000)


def lasting_port(draw: random.Random = random.Random()) -> int:
    """A free port that no outgoing connection is given while its program is dead."""
    least = int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])
    while True:
        port = draw.randrange(10000, least)
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
                return port
            except OSError:
                continue


class Relay:
    """The links between the programs, see relay.py."""

    def __init__(self, links: Dict[str, str], log: Path) -> None:
        arguments = [f"{name}={address}" for name, address in links.items()]
        with open(log, "w") as errors:
            self.process = subprocess.Popen([sys.executable, str(Path(__file__).parent / "relay.py"), *arguments],
                                            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors, text=True)
        self.lock = threading.Lock()
        self.ports: Dict[str, int] = {}
        for _ in links:
            name, port = self.process.stdout.readline().split()
            self.ports[name] = int(port)

    def order(self, what: str, name: str) -> None:
        with self.lock:
            self.process.stdin.write(f"{what} {name}\n")
            self.process.stdin.flush()
            assert self.process.stdout.readline() == "ok\n", "the relay has ended"

    def close(self) -> None:
        self.process.stdin.close()
        self.process.wait(10)


class Stage:
    """Redis, the fake Cal.com, ingests and workers with links between them that can be cut."""

    def __init__(self, folder: Path, cast: Dict[str, int], settings: Row) -> None:
        self.folder = folder
        self.settings = settings
        self.house = House(folder)
        self.lock = threading.Lock()
        self.turns: Dict[str, threading.Lock] = defaultdict(threading.Lock)  # of those whom faults befall
        self.happened: List[Row] = []
        self.metrics: Dict[str, Dict[str, float]] = {}  # program and its life -> its newest numbers
        self.redis = RedisServer(self.house.room("redis"), appendonly=True,
                                 arguments=["--auto-aof-rewrite-min-size", "512mb", "--maxmemory-policy", "noeviction"])
        self.redis.start(lasting_port())
        self.house.servers.append(self.redis)
        self.client = self.redis.client(socket_timeout=30)
        self.fake = self.house.fake("http://127.0.0.1:9/webhook",
                                    *[part for type_ in TYPES for part in ("--event-type", type_)])
        ingests = [f"ingest{i + 1}" for i in range(cast["ingest"])]
        workers = [f"worker{i + 1}" for i in range(cast["worker"])]
        at_redis, at_calcom = f"127.0.0.1:{self.redis.port}", self.fake.url.split("//")[1]
        self.relay = Relay({**{name: at_redis for name in ingests + workers},
                            **{name + "-calcom": at_calcom for name in workers}}, folder / "relay.log")
        self.programs: Dict[str, Daemon] = {}
        self.disks: Dict[str, Path] = {}
        for name in ingests:
            self._add_ingest(name)
        for name in workers:
            self._add_worker(name)

    def _redis_url(self, name: str) -> str:
        return f"redis://127.0.0.1:{self.relay.ports[name]}/0"

    def _env(self) -> Dict[str, str]:
        return {**self.settings["env"], "TOLLGATE_ADMIN_LISTEN": f"127.0.0.1:{lasting_port()}"}

    def _add_ingest(self, name: str) -> None:
        room = self.house.room(name)
        spool = room / "spool"
        spool.mkdir()
        if os.geteuid() == 0:
            subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={SPOOL_DISK_KIB}k", "tollgate-chaos", str(spool)],
                           check=True)
            self.disks[name] = spool
        env = {**self._env(), "TOLLGATE_LISTEN": f"127.0.0.1:{lasting_port()}", "TOLLGATE_SPOOL_DIR": str(spool)}
        self.programs[name] = self.house.add(Ingest(room, self._redis_url(name), NAMESPACE, env))

    def _add_worker(self, name: str) -> None:
        api_url = f"http://127.0.0.1:{self.relay.ports[name + '-calcom']}/{self.settings['dialect']}"
        self.programs[name] = self.house.add(
            Worker(self.house.room(name), self._redis_url(name), NAMESPACE, api_url, self._env()))

    @property
    def ingests(self) -> List[str]:
        return [name for name, program in self.programs.items() if isinstance(program, Ingest)]

    def open(self, credit: Dict[str, int], way: Row) -> None:
        """All are ready, and everybody has his credit."""
        for program in self.programs.values():
            program.wait_ready()
        self.fake.config(webhookUrl=[f"http://{self.programs[name].env['TOLLGATE_LISTEN']}/webhook"
                                     for name in self.ingests], webhookWay={"spread": True, **way})
        library = Library(self.client, NAMESPACE)
        library.terms(cost=1, **{f"cost:{type_}": cost for type_, cost in COSTS.items()})
        for account, amount in credit.items():
            library.grant(account, amount, by="chaos")

    # ---- Faults ----

    def suffer(self, fault: Fault) -> None:
        """When that program's earlier one is over: a slow end and a kill would both start it again."""
        with self.lock:
            turn = self.turns[fault.who]
        with turn if fault.kind.split("-")[0] in ("kill", "stop", "restart") else nullcontext():
            self._suffer(fault)

    def _suffer(self, fault: Fault) -> None:
        """Does it, waits until it is over, and notes when it really was."""
        kind = fault.kind if fault.kind == "cut-calcom" else fault.kind.split("-")[0]
        row = {"kind": kind, "who": fault.who, "begin_ms": now_ms(), "end_ms": 0}
        if fault.rule:
            row["what"] = fault.rule
        with self.lock:
            self.happened.append(row)
        try:
            getattr(self, "_" + fault.kind.split("-")[0])(fault)
        finally:
            row["end_ms"] = now_ms()

    def _program(self, who: str) -> Any:
        return self.redis if who == "redis" else self.programs[who]

    def _kill(self, fault: Fault) -> None:
        program = self._program(fault.who)
        program.kill9()
        time.sleep(fault.lasts)
        if fault.who == "redis":
            program.restart()
        else:
            program.start()

    def _stop(self, fault: Fault) -> None:
        process = self._program(fault.who).process
        process.send_signal(19)
        time.sleep(fault.lasts)
        process.send_signal(18)

    def _restart(self, fault: Fault) -> None:
        program = self.programs[fault.who]
        program.stop()
        program.start()

    def _cut(self, fault: Fault) -> None:
        link = fault.who + ("-calcom" if fault.kind == "cut-calcom" else "")
        self.relay.order("cut", link)
        time.sleep(fault.lasts)
        self.relay.order("heal", link)

    def _break(self, fault: Fault) -> None:
        for name in self.programs:
            self.relay.order("break", name)

    def _disk(self, fault: Fault) -> None:
        """Full, while Redis stands still and the spool is needed."""
        disk = self.disks.get(fault.who)
        if disk is None:
            return
        filler = os.open(disk / "filler", os.O_WRONLY | os.O_CREAT)
        try:
            while True:
                os.write(filler, bytes(4096))
        except OSError:
            pass
        os.close(filler)
        self.redis.sigstop()
        time.sleep(fault.lasts)
        self.redis.sigcont()
        (disk / "filler").unlink()

    def _library(self, fault: Fault) -> None:
        """It may be loading its data, or be down, at that moment."""
        deadline = time.monotonic() + 30
        with redis.Redis(port=self.redis.port, socket_timeout=30) as client:
            while True:
                try:
                    client.execute_command("FUNCTION", "FLUSH")
                    return
                except redis.RedisError:
                    if time.monotonic() > deadline:
                        raise
                    time.sleep(0.1)

    def _api(self, fault: Fault) -> None:
        self.fake.control("POST", "fault", **fault.rule)
        if fault.rule["times"] < 0:
            time.sleep(fault.lasts)
            self.fake.clear_faults()

    def run(self, faults: List[Fault], seconds: float) -> List[str]:
        """Everything that the script has for so long. Answers what could not be done."""
        begin, threads, errors = time.monotonic(), [], []

        def suffer(fault: Fault) -> None:
            try:
                self.suffer(fault)
            except Exception as error:  # one that fails must not end the others
                errors.append(f"{fault}: {type(error).__name__}: {error}")

        for fault in faults:
            time.sleep(max(0.0, begin + fault.at - time.monotonic()))
            threads.append(threading.Thread(target=suffer, args=(fault,)))
            threads[-1].start()
        for thread in threads:
            thread.join()
        time.sleep(max(0.0, begin + seconds - time.monotonic()))
        self.fake.clear_faults()
        return errors

    # ---- Afterwards ----

    def note_metrics(self) -> None:
        """Of each life of each program the newest numbers are kept."""
        for name, program in self.programs.items():
            try:
                with harness.http() as http:
                    text = http.get(f"http://{program.env['TOLLGATE_ADMIN_LISTEN']}/metrics", timeout=0.5).text
            except requests.RequestException:
                continue
            samples = (line.rsplit(" ", 1) for line in text.splitlines() if line and line[0] != "#")
            self.metrics[f"{name}/{program.pid}"] = {metric: float(value) for metric, value in samples}

    def metric(self, name: str) -> float:
        """Its sum over all lives of all programs."""
        return sum(numbers.get(name, 0) for numbers in self.metrics.values())

    def living(self, name: str) -> float:
        """Its sum over the programs that run."""
        return sum(self.metrics.get(f"{who}/{program.pid}", {}).get(name, 0) for who, program in self.programs.items())

    def names_left(self) -> int:
        """How many bookings still wait or are in hand."""
        key = f"{{{NAMESPACE}}}:".__add__
        lists = list(self.client.scan_iter(match=key("active:*"), count=10000))
        return (self.client.llen(key("queue")) + self.client.zcard(key("retry"))
                + sum(self.client.llen(name) for name in lists))

    def close(self) -> List[str]:
        complaints = self.house.close()
        self.relay.close()
        for disk in self.disks.values():
            subprocess.run(["umount", str(disk)], check=False)
        return complaints
