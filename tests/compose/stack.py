"""docker-compose.yml as a user runs it, with a project of its own, and people who book meanwhile."""

import collections
import json
import os
import re
import subprocess
import threading
import time
from pathlib import Path
from typing import Any, Dict, List, Optional, Sequence

import redis

from engine import ROOT, composer, run
from harness import API_KEY, FINAL, SECRET, FakeCalcom, free_port, wait_for

EXAMPLE = ROOT / ".env.example"
SERVICES = ("redis", "ingest", "worker")
TAG = f"test-{os.getpid()}"  # of the images that are built for the tests; a user's own stay as they are

# What is set in the shell goes before .env, so nothing else is handed on.
SHELL = {name: value for name, value in os.environ.items()
         if name in ("PATH", "HOME", "LANG") or name.startswith("DOCKER_")}
PENDING_S = 120  # a row is left to its webhook for 30 s before the sweep takes it
MEMBERS = 20


class Project:
    """`values` stand in .env; the rest is as in .env.example. `files`: further ones for docker-compose, with paths as
    seen from `root`."""

    def __init__(self, name: str, folder: Path, root: Path = ROOT, files: Sequence[str] = (), override: str = "",
                 **values: str) -> None:
        self.name, self.root = name, root
        self.env_file = folder / "env"
        lines = EXAMPLE.read_text() + "".join(f"{key}={value}\n" for key, value in {"TOLLGATE_TAG": TAG, **values}.items())
        self.env_file.write_text(lines)
        self.files: List[Any] = [part for file in ("docker-compose.yml", *files) for part in ("-f", root / file)]
        if override:
            (folder / "override.yml").write_text(override)
            self.files += ["-f", folder / "override.yml"]

    def compose(self, *arguments: Any, check: bool = True, **values: str) -> Any:
        return run(*composer(), "-p", self.name, "--env-file", self.env_file, *self.files, *arguments, check=check,
                   cwd=self.root, env={**SHELL, **values}, timeout=600)

    def up(self, *arguments: Any, **values: str) -> None:
        self.compose("up", "-d", *arguments, **values)

    def down(self) -> None:
        self.compose("--profile", "demo", "--profile", "tools", "down", "-v", "--remove-orphans", "-t", "5", check=False)

    def tools(self, *arguments: Any, check: bool = True) -> Any:
        return self.compose("run", "--rm", "-T", "tools", *arguments, check=check)

    def containers(self, service: str) -> List[str]:
        return self.compose("ps", "-q", service).stdout.split()

    def inspect(self, service: str) -> List[Dict[str, Any]]:
        ids = self.containers(service)
        return json.loads(run("docker", "inspect", *ids).stdout) if ids else []

    def health(self, service: str) -> List[str]:
        return [c["State"].get("Health", {}).get("Status", "none") for c in self.inspect(service)]

    def wait_healthy(self, *services: str) -> None:
        for service in services or SERVICES:
            wait_for(lambda: (found := self.health(service)) and set(found) == {"healthy"}, 90, f"a healthy {service}",
                     every=0.2)

    def logs(self, *services: str) -> str:
        done = self.compose("logs", "--no-color", *services)
        return done.stdout + done.stderr

    def redis(self) -> redis.Redis:
        """Nothing is published: it is reached as only the engine's own host can."""
        networks = self.inspect("redis")[0]["NetworkSettings"]["Networks"]
        return redis.Redis(networks[f"{self.name}_books"]["IPAddress"], decode_responses=True, socket_timeout=10)


class Nginx:
    """On the host, with these servers; ended by stop()."""

    AROUND = "daemon off; master_process off; pid nginx.pid; error_log nginx.log;\nevents {}\nhttp {\naccess_log off;\n%s}\n"

    def __init__(self, folder: Path, port: int, servers: str) -> None:
        self.port = port
        folder.mkdir()
        (folder / "nginx.conf").write_text(self.AROUND % servers)
        self.process = subprocess.Popen(["nginx", "-p", folder, "-c", folder / "nginx.conf"])

    def stop(self) -> None:
        self.process.terminate()
        self.process.wait()


def before_two(folder: Path, ports: List[int]) -> Nginx:
    """scripts/deploy/compose/nginx.conf before these ports of this machine, without TLS."""
    port = free_port()
    file = ROOT / "scripts/deploy/compose/nginx.conf"
    text = re.sub(r"^ *(ssl_certificate|server_name).*\n", "", file.read_text(), flags=re.M)
    for old, new in {"443 ssl": f"127.0.0.1:{port}", "127.0.0.1:8080": f"127.0.0.1:{ports[0]}",
                     "127.0.0.1:8081": f"127.0.0.1:{ports[1]}"}.items():
        assert old in text
        text = text.replace(old, new)
    return Nginx(folder, port, text)


def before_calcom(folder: Path, url: str, certificate: Path, key: Path) -> Nginx:
    """TLS for the fake Cal.com."""
    port = free_port()
    return Nginx(folder, port, f"server {{ listen {port} ssl; ssl_certificate {certificate}; ssl_certificate_key {key};\n"
                               f"location / {{ proxy_pass {url}; }} }}\n")


class Club:
    """A project, the Cal.com that it serves (on the host, as Cal.com is elsewhere), and members with credit."""

    OVERRIDE = "services:\n" + "".join(f"  {service}:\n    extra_hosts: [\"calcom:host-gateway\"]\n" for service in ("tools", "worker"))

    def __init__(self, name: str, folder: Path, proxy: bool = False, override: str = "", **options: Any) -> None:
        """override: goes on with the worker's section."""
        port, second = free_port(), free_port()
        self.proxy = before_two(folder / "proxy", [port, second]) if proxy else None
        (folder / "fake").mkdir()
        self.fake = FakeCalcom(folder / "fake", f"http://127.0.0.1:{self.proxy.port if self.proxy else port}/webhook",
                               "--listen", "0.0.0.0:0")
        self.fake.start()
        self.project = Project(name, folder, override=self.OVERRIDE + override, **{
            "WEBHOOK_SECRET": SECRET, "CALCOM_API_KEY": API_KEY,
            "CALCOM_API_URL": f"http://calcom:{self.fake.url.rsplit(':', 1)[1]}/v2",
            "CALCOM_RATE_LIMIT": "0", "TOLLGATE_SWEEP_INTERVAL": "5", "TOLLGATE_EVENT_TYPES": "1207",
            "TOLLGATE_PORT": str(port), "TOLLGATE_SECOND_PORT": f"127.0.0.1:{second}", **options})

    def open(self, **values: str) -> None:
        self.project.up(**values)
        self.project.wait_healthy()
        client = self.project.redis()
        for account in map(self.member, range(MEMBERS)):
            client.hset("{tollgate}:credit:" + account, "balance", 10 ** 6)

    @staticmethod
    def member(number: int) -> str:
        return f"member{number % MEMBERS}@example.com"

    def close(self) -> None:
        self.fake.stop()
        if self.proxy:
            self.proxy.stop()
        self.project.down()

    def at_calcom(self) -> Dict[str, str]:
        found: Dict[str, str] = {}
        page = None
        while page is None or page:
            page = self.fake.control("GET", "bookings", skip=len(found), take=5000)
            found.update((str(b["id"]), b["status"].lower()) for b in page)
        return found

    def wait_settled(self) -> Dict[str, str]:
        """Every booking that anybody made at Cal.com is decided there. Answers them."""
        wait_for(lambda: "pending" not in self.at_calcom().values(), PENDING_S, "all bookings to be decided at Cal.com")
        client, calcom = self.project.redis(), self.at_calcom()

        def ours() -> bool:
            if client.hlen("{tollgate}:done") < len(calcom):
                return False
            with client.pipeline(transaction=False) as pipe:
                for id in calcom:
                    pipe.hget("{tollgate}:booking:" + id, "state")
                self.states = dict(zip(calcom, pipe.execute()))
            return set(self.states.values()) <= FINAL
        wait_for(ours, 60, "all bookings to be settled here")
        return calcom

    def judge(self) -> Dict[str, int]:
        """Nothing is lost, nothing is charged twice, and the books balance."""
        calcom = self.wait_settled()
        assert {id: state for id, state in self.states.items() if state != calcom[id]} == {}
        client = self.project.redis()
        purses = [client.hgetall("{tollgate}:credit:" + self.member(i)) for i in range(MEMBERS)]
        accepted = list(calcom.values()).count("accepted")
        assert sum(int(purse.get("spent", 0)) for purse in purses) == accepted
        assert all(int(purse.get("held", 0)) == 0 for purse in purses)
        assert client.zcard("{tollgate}:dead") == 0
        self.project.tools("credit", "verify")
        sent = [row for row in self.fake.control("GET", "webhooks") if row["trigger"] == "BOOKING_REQUESTED"]
        acknowledged = {str(row["booking"]) for row in sent if 200 <= row["status"] < 300}
        stats = client.hgetall("{tollgate}:stats")
        told = {"bookings": len(calcom), "accepted": accepted, "acknowledged": len(acknowledged),
                "not acknowledged": len(set(calcom) - acknowledged), "found by the sweep": int(stats.get("found", 0))}
        # Of those that were not acknowledged some had been recorded all the same.
        assert told["found by the sweep"] <= told["not acknowledged"], told
        confirms = collections.Counter(call["booking"] for call in self.fake.control("GET", "calls")
                                       if call["action"] == "confirm" and call["status"] == 200)
        assert max(confirms.values(), default=0) <= 1, "no booking was confirmed twice"
        return told


class Bookers:
    """Book at a steady rate while the block runs, whether earlier bookings are answered or not."""

    def __init__(self, club: Club, rate: float) -> None:
        self.club, self.rate = club, rate
        self.enough = threading.Event()
        self.failure: Optional[BaseException] = None
        self.threads = [threading.Thread(target=self._book, args=(i,)) for i in range(4)]
        self.since = 0.0

    def _book(self, lane: int) -> None:
        fake = FakeCalcom.__new__(FakeCalcom)  # a session for each thread
        fake.url, fake.http = self.club.fake.url, type(self.club.fake.http)()
        number = lane
        try:
            while not self.enough.is_set():
                due = self.since + number / self.rate
                if self.enough.wait(max(0.0, due - time.monotonic())):
                    return
                fake.book(self.club.member(number))
                number += len(self.threads)
        except BaseException as failure:  # told where the block ends
            self.failure = failure

    def __enter__(self) -> "Bookers":
        self.since = time.monotonic()
        for thread in self.threads:
            thread.start()
        return self

    def __exit__(self, *_: Any) -> None:
        self.enough.set()
        for thread in self.threads:
            thread.join()
        if self.failure:
            raise self.failure
