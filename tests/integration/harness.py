"""Starts the real programs, a real Redis and the fake Cal.com on free ports, and reads their logs.

Nothing here sleeps until something "should be ready": wait_for asks until it is. Programs are ended
by their own process ID, and House.close reads what they left behind.
"""

import datetime
import hashlib
import hmac
import json
import os
import re
import shlex
import shutil
import signal
import socket
import subprocess
import time
from pathlib import Path
from typing import Any, Callable, Dict, List, Optional, TypeVar

import redis
import requests

from logfmt import parse_logfmt

ROOT = Path(__file__).resolve().parents[2]
SAMPLES = ROOT / "tests" / "samples"
BUILD = ROOT / os.environ.get("TOLLGATE_BUILD", "build/release")
SECRET = "s3cr3t-example"
API_KEY = "cal_test_key"
FINAL = {"accepted", "rejected", "cancelled", "failed", "observed"}

# Sanitizers and valgrind slow programs down; a busy machine does too. Only a failing test waits so long.
TIMEOUT = float(os.environ.get("TOLLGATE_TEST_TIMEOUT", "20"))

# A Redis library that every Redis gets at its start. The programs leave one that is newer than their own alone.
LIBRARY = os.environ.get("TOLLGATE_TEST_LIBRARY")

T = TypeVar("T")


def wait_for(condition: Callable[[], T], timeout: float = TIMEOUT, what: str = "a condition",
             every: float = 0.01) -> T:
    """Asks until the answer is true, and returns it."""
    deadline = time.monotonic() + timeout
    while True:
        answer = condition()
        if answer:
            return answer
        if time.monotonic() > deadline:
            raise AssertionError(f"waited {timeout:g} s in vain for {what}")
        time.sleep(every)


def free_port() -> int:
    """A port that was free a moment ago; whoever uses it must be ready to ask for another."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def http() -> requests.Session:
    """A client that heeds no proxy settings."""
    session = requests.Session()
    session.trust_env = False
    return session


# ---- Redis ----

class RedisServer:
    """A private Redis. It forgets everything when it ends, unless `appendonly`."""

    host = "127.0.0.1"
    prefix: List[str] = []  # of the command

    def __init__(self, folder: Path, appendonly: bool = False, arguments: Optional[List[str]] = None) -> None:
        self.folder = folder
        self.appendonly = appendonly
        self.arguments = arguments or []
        self.port = 0
        self.process: Optional[subprocess.Popen] = None
        self.clients: List[redis.Redis] = []

    @property
    def url(self) -> str:
        return f"redis://{self.host}:{self.port}/0"

    def start(self, port: int = 0) -> "RedisServer":
        """On a port that is free, or on this one."""
        for _ in range(20):  # somebody else may take the port before redis-server does
            self.port = port or free_port()
            if self._launch():
                return self
        raise AssertionError("redis-server does not start: " + self.log())

    def _launch(self) -> bool:
        durable = ["yes", "--appendfsync", "always"] if self.appendonly else ["no"]
        command = [*self.prefix, "redis-server", "--port", str(self.port), "--bind", self.host, "--save", "",
                   "--appendonly", *durable, "--dir", str(self.folder), "--daemonize", "no",
                   *self.arguments]
        with open(self.folder / "redis.log", "ab") as log:
            self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        is_up = wait_for(self._has_started, 6 * TIMEOUT, "redis-server") == "up"  # it may have a long log to read
        if is_up and LIBRARY:
            with redis.Redis(port=self.port) as client:
                client.function_load(Path(LIBRARY).read_text(), replace=True)
        return is_up

    def _has_started(self) -> Optional[str]:
        if self.process.poll() is not None:
            return "ended"
        try:
            with redis.Redis(self.host, self.port, socket_timeout=1) as client:
                client.ping()  # an error as long as it loads its data
                # A stranger's Redis on this port would answer as well.
                return "up" if client.info("server")["process_id"] == self.process.pid else None
        except redis.RedisError:
            return None

    def client(self, **options: Any) -> redis.Redis:
        client = redis.Redis(self.host, self.port, **{"decode_responses": True,
                                                            "encoding_errors": "surrogateescape", **options})
        self.clients.append(client)
        return client

    def log(self) -> str:
        return (self.folder / "redis.log").read_text(errors="replace")

    def kill9(self) -> None:
        self.process.kill()
        self.process.wait()

    def sigstop(self) -> None:
        self.process.send_signal(signal.SIGSTOP)

    def sigcont(self) -> None:
        self.process.send_signal(signal.SIGCONT)

    def restart(self) -> None:
        """On the same port, after kill9 or stop."""
        if self.process.poll() is None:
            self.stop()
        wait_for(self._launch, what="redis-server on its old port")

    def stop(self) -> None:
        for client in self.clients:
            client.close()
        if self.process is None or self.process.poll() is not None:
            return
        self.sigcont()
        self.process.terminate()
        try:
            self.process.wait(TIMEOUT)
        except subprocess.TimeoutExpired:
            self.kill9()


# ---- Programs ----

SANITIZER = re.compile(r"ERROR: \w*Sanitizer|runtime error:|==\d+==\s*ERROR|Assertion .* failed")


class Program:
    """A program that runs with the environment given here and nothing else of ours."""

    name = "program"

    def __init__(self, folder: Path, arguments: List[str], env: Dict[str, str]) -> None:
        self.folder = folder
        self.arguments = arguments
        self.env = env
        self.process: Optional[subprocess.Popen] = None
        self.killed = False  # by a test, so that a negative exit code is no crash
        self.log_path = folder / f"{self.name}.log"
        self.out_path = folder / f"{self.name}.out"

    def start(self) -> None:
        passed_on = ("PATH", "ASAN_OPTIONS", "UBSAN_OPTIONS", "LSAN_OPTIONS", "GCOV_PREFIX", "TMPDIR")
        env = {name: os.environ[name] for name in passed_on if name in os.environ}
        # TOLLGATE_TEST_WRAPPER=valgrind… runs the programs under something else.
        command = shlex.split(os.environ.get("TOLLGATE_TEST_WRAPPER", "")) + self.arguments
        self.killed = False
        with open(self.log_path, "ab") as log, open(self.out_path, "ab") as out:
            self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=out, stderr=log,
                                            cwd=self.folder, env={**env, **self.env})

    @property
    def pid(self) -> int:
        return self.process.pid

    def is_running(self) -> bool:
        return self.process is not None and self.process.poll() is None

    def log_text(self) -> str:
        return self.log_path.read_text(errors="replace") if self.log_path.exists() else ""

    def log_lines(self, msg: Optional[str] = None, **fields: Any) -> List[Dict[str, str]]:
        """The lines as dicts; only those that have this message and these fields."""
        wanted = {name: str(value) for name, value in fields.items()}
        if msg is not None:
            wanted["msg"] = msg
        lines = (parse_logfmt(line) for line in self.log_text().splitlines())
        return [line for line in lines if wanted.items() <= line.items()]

    def wait_log(self, msg: Optional[str] = None, timeout: float = TIMEOUT, **fields: Any) -> Dict[str, str]:
        """The newest line of this kind, as soon as there is one."""
        def look() -> Any:
            found = self.log_lines(msg, **fields)
            if not found and not self.is_running():
                raise AssertionError(f"{self.name} ended ({self.process.returncode}):\n{self.log_text()}")
            return found
        return wait_for(look, timeout, f"{self.name} to log {msg or ''} {fields or ''}")[-1]

    def send_signal(self, number: int) -> None:
        self.process.send_signal(number)

    def sigterm(self) -> None:
        self.send_signal(signal.SIGTERM)

    def kill9(self) -> None:
        self.killed = True
        self.process.kill()
        self.process.wait()

    def wait_exit(self, timeout: float = TIMEOUT) -> int:
        try:
            return self.process.wait(timeout)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"{self.name} did not end within {timeout:g} s:\n{self.log_text()}") from None

    def stop(self) -> None:
        """Ends it in good order, which takes a drain. One that a test stopped is let go on."""
        if not self.is_running():
            return
        self.send_signal(signal.SIGCONT)
        self.sigterm()
        try:
            self.wait_exit()
        except AssertionError:
            self.kill9()
            raise

    def complaints(self, allowed: List[str]) -> List[str]:
        """What is wrong with what it left behind."""
        found = []
        text = self.log_text()
        if self.process is not None and not self.killed and (self.process.poll() or 0) < 0:
            found.append(f"{self.name} died of signal {-self.process.returncode}")
        if SANITIZER.search(text):
            found.append(f"{self.name}: a sanitizer reports:\n{text[SANITIZER.search(text).start():][:4000]}")
        for line in text.splitlines():
            if parse_logfmt(line).get("level") == "error" and not any(a in line for a in allowed):
                found.append(f"{self.name} logged an error that the test did not announce: {line}")
        return found


# A kept connection may be closed by the program just as the next request goes into it.
NOT_KEPT = {"Connection": "close"}


class Daemon(Program):
    """One of the two programs: it tells its addresses in its log."""

    port_setting = "TOLLGATE_ADMIN_LISTEN"

    def __init__(self, folder: Path, env: Dict[str, str]) -> None:
        super().__init__(folder, [str(BUILD / self.name)], {"TOLLGATE_ADMIN_LISTEN": "127.0.0.1:0", **env})
        self.http = http()
        self.since = 0  # lines of an earlier run, before a restart

    def start(self) -> None:
        self.since = len(self.log_lines())
        super().start()

    def address(self, msg: str) -> str:
        def look() -> Any:
            if not self.is_running():
                raise AssertionError(f"{self.name} ended ({self.process.returncode}):\n{self.log_text()}")
            return [line for line in self.log_lines()[self.since:] if line.get("msg") == msg]
        return wait_for(look, what=f"{self.name} to log its address")[-1]["address"]

    @property
    def admin(self) -> str:
        return "http://" + self.address("admin listening")

    def get(self, path: str, timeout: float = 5) -> requests.Response:
        return self.http.get(self.admin + path, timeout=timeout, headers=NOT_KEPT)

    def is_ready(self) -> bool:
        """With Redis: an ingest that only spools says so."""
        try:
            answer = self.get("/readyz")
            return (answer.status_code, answer.text) == (200, "ready\n")
        except requests.RequestException:
            return False

    def wait_ready(self) -> "Daemon":
        wait_for(self.is_ready, what=f"{self.name} to be ready")
        return self

    def metrics(self) -> Dict[str, float]:
        """`name{labels}` → value."""
        lines = self.get("/metrics").text.splitlines()
        samples = (line.rsplit(" ", 1) for line in lines if line and not line.startswith("#"))
        return {name: float(value) for name, value in samples}

    def restart(self) -> "Daemon":
        """Once more with the same settings, after kill9 or stop."""
        self.stop()
        self.start()
        return self.wait_ready()


class Ingest(Daemon):
    """Without the console, which has a connection and keys of its own; its tests ask for it."""

    name = "tollgate-ingest"

    def __init__(self, folder: Path, redis_url: str, namespace: str, env: Dict[str, str]) -> None:
        super().__init__(folder, {
            "REDIS_URL": redis_url, "TOLLGATE_NAMESPACE": namespace, "TOLLGATE_LISTEN": "127.0.0.1:0",
            "WEBHOOK_SECRET": SECRET, "TOLLGATE_THREADS": "2", "TOLLGATE_CONSOLE": "off", **env})

    @property
    def url(self) -> str:
        return f"http://{self.address('listening')}/webhook"

    def restart(self) -> Daemon:
        """On the port it had: Cal.com was told that one."""
        self.env["TOLLGATE_LISTEN"] = self.address("listening") if self.is_running() else self.known_address()
        return super().restart()

    def known_address(self) -> str:
        return self.log_lines("listening")[-1]["address"]


class Worker(Daemon):
    name = "tollgate-worker"

    def __init__(self, folder: Path, redis_url: str, namespace: str, api_url: str, env: Dict[str, str]) -> None:
        super().__init__(folder, {
            "REDIS_URL": redis_url, "TOLLGATE_NAMESPACE": namespace, "CALCOM_API_URL": api_url,
            "CALCOM_API_KEY": API_KEY, **env})


class FakeCalcom(Program):
    """The stand-in for Cal.com and the people around it; tests/fake_calcom/README.md says more."""

    name = "fake-calcom"
    GREETING = re.compile(r"listening on (http://\S+)")

    def __init__(self, folder: Path, webhook_url: str, *arguments: str) -> None:
        super().__init__(folder, [str(BUILD / "fake-calcom"), "--listen", "127.0.0.1:0", "--webhook-url",
                                  webhook_url, "--secret", SECRET, "--api-key", API_KEY, *arguments], {})
        self.http = http()
        self.url = ""

    def start(self) -> None:
        super().start()
        self.url = wait_for(self._greeting, what="fake-calcom")

    def _greeting(self) -> Optional[str]:
        assert self.is_running(), self.log_text()
        found = self.GREETING.search(self.out_path.read_text())
        return found.group(1) if found else None

    def control(self, method: str, name: str, **body: Any) -> Any:
        reply = self.http.request(method, f"{self.url}/control/{name}", timeout=60,
                                  **({"json": body} if method == "POST" else {"params": body}))
        assert reply.status_code == 200, f"fake-calcom: {name} {body}: {reply.status_code} {reply.text}"
        return reply.json()

    def book(self, email: str = "ann@example.com", **fields: Any) -> Any:
        """{"id", "uid", "status", "webhooks"}; with count=: {"count", "bookings": […]}."""
        return self.control("POST", "book", email=email, **fields)

    def confirm(self, id: int, **fields: Any) -> Any:
        return self.control("POST", "confirm", id=id, **fields)

    def decline(self, id: int, **fields: Any) -> Any:
        return self.control("POST", "decline", id=id, **fields)

    def cancel(self, id: int, by: str = "member", **fields: Any) -> Any:
        return self.control("POST", "cancel", id=id, by=by, **fields)

    def pay(self, id: int, **fields: Any) -> Any:
        return self.control("POST", "pay", id=id, **fields)

    def send(self, id: int, trigger: str, **fields: Any) -> Any:
        """Sends a webhook about a booking (again)."""
        return self.control("POST", "send", id=id, trigger=trigger, **fields)

    def ping(self) -> Any:
        return self.control("POST", "ping")

    def fault(self, kind: str, action: str = "any", times: int = 1, **fields: Any) -> None:
        """kind: status, hang, reset_before, reset_after, latency, throttle."""
        self.control("POST", "fault", kind=kind, action=action, times=times, **fields)

    def clear_faults(self) -> None:
        self.control("DELETE", "faults")

    def calls(self, booking: int = 0, action: Optional[str] = None) -> List[Dict[str, Any]]:
        calls = self.control("GET", "calls", booking=booking)
        return [call for call in calls if action is None or call["action"] == action]

    def webhooks(self) -> List[Dict[str, Any]]:
        return self.control("GET", "webhooks")

    def stats(self) -> Dict[str, Any]:
        return self.control("GET", "stats")

    def booking(self, id: int) -> Dict[str, Any]:
        return self.control("GET", "bookings", id=id)

    def bookings(self) -> List[Dict[str, Any]]:
        return self.control("GET", "bookings")

    def config(self, **settings: Any) -> None:
        """webhookUrl, secret, latencyMs, rateLimit."""
        self.control("POST", "config", **settings)

    def reset(self) -> None:
        self.control("POST", "reset")


class House:
    """Everything that one test started, and what of its errors the test announced."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.programs: List[Program] = []
        self.servers: List[RedisServer] = []
        self.allow_errors: List[str] = []  # parts of level=error lines

    def room(self, name: str) -> Path:
        room = self.folder / f"{len(self.programs) + len(self.servers)}-{name}"
        room.mkdir(parents=True)
        return room

    def redis(self, **options: Any) -> RedisServer:
        server = RedisServer(self.room("redis"), **options)
        self.servers.append(server)
        return server.start()

    def add(self, program: T) -> T:
        self.programs.append(program)
        program.start()
        return program

    def ingest(self, redis_url: str, namespace: str = "tollgate", **env: str) -> Ingest:
        return self.add(Ingest(self.room("ingest"), redis_url, namespace, env))

    def worker(self, redis_url: str, api_url: str, namespace: str = "tollgate", **env: str) -> Worker:
        return self.add(Worker(self.room("worker"), redis_url, namespace, api_url, env))

    def fake(self, webhook_url: str = "http://127.0.0.1:9/webhook", *arguments: str) -> FakeCalcom:
        return self.add(FakeCalcom(self.room("fake"), webhook_url, *arguments))

    def close(self) -> List[str]:
        """Ends everything, who uses before who is used. Answers every complaint."""
        found = []
        order = {Worker: 0, Ingest: 1}
        for program in sorted(self.programs, key=lambda p: order.get(type(p), 2)):
            try:
                program.stop()
            except AssertionError as error:
                found.append(str(error))
            found += program.complaints(self.allow_errors)
        for server in self.servers:
            server.stop()
        return found


# ---- All of it, wired together ----

def now_iso(offset_s: float = 0) -> str:
    when = datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(seconds=offset_s)
    return when.strftime("%Y-%m-%dT%H:%M:%S.") + f"{when.microsecond // 1000:03d}Z"


def to_bytes(body: Any) -> bytes:
    """As JSON.stringify writes it."""
    return json.dumps(body, separators=(",", ":"), ensure_ascii=False).encode()


def sample(name: str, **fields: Any) -> bytes:
    """A body of tests/samples, byte for byte; or with fields replaced. A name with dots leads inside:
    sample("BOOKING_REQUESTED", createdAt=now_iso(), **{"payload.bookingId": 5})."""
    raw = (SAMPLES / f"{name}.json").read_bytes()
    if not fields:
        return raw
    body = json.loads(raw)
    for path, value in fields.items():
        *way, last = path.split(".")
        target = body
        for step in way:
            target = target[step]
        target[last] = value
    return to_bytes(body)


def sign(body: bytes, secret: str = SECRET) -> str:
    return hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()


class Gate:
    """Redis, ingest, the fake Cal.com and workers, and short ways to ask them."""

    def __init__(self, house: House, workers: int = 1, dialect: str = "v2", namespace: str = "tollgate",
                 ingest_env: Optional[Dict[str, str]] = None, worker_env: Optional[Dict[str, str]] = None,
                 fake_arguments: Optional[List[str]] = None, server: Optional[RedisServer] = None,
                 **redis_options: Any) -> None:
        self.house = house
        self.namespace = namespace
        self.dialect = dialect
        self.worker_env = {"CALCOM_RATE_LIMIT": "0", **(worker_env or {})}
        self.redis = server or house.redis(**redis_options)
        self.client = self.redis.client()
        self.ingest = house.ingest(self.redis.url, namespace, **(ingest_env or {}))
        self.fake = house.fake(self.ingest.url, *(fake_arguments or []))
        self.workers = [self.add_worker() for _ in range(workers)]
        for daemon in [self.ingest, *self.workers]:
            daemon.wait_ready()
        self.http = http()

    @property
    def allow_errors(self) -> List[str]:
        return self.house.allow_errors

    def add_worker(self, **env: str) -> Worker:
        api_url = f"{self.fake.url}/{self.dialect}"
        return self.house.worker(self.redis.url, api_url, self.namespace, **{**self.worker_env, **env})

    @property
    def worker(self) -> Worker:
        return self.workers[0]

    def key(self, name: str) -> str:
        return f"{{{self.namespace}}}:{name}"

    def credit(self, account: str, **fields: Any) -> None:
        self.client.hset(self.key("credit:" + account), mapping=fields)

    def terms(self, **fields: Any) -> None:
        self.client.hset(self.key("terms"), mapping=fields)

    def booking(self, id: Any) -> Dict[str, str]:
        return self.client.hgetall(self.key(f"booking:{id}"))

    def account(self, email: str) -> Dict[str, Any]:
        """The account's hash with its purses as numbers; {} for somebody unknown."""
        fields = self.client.hgetall(self.key("credit:" + email))
        return {**fields, **{p: int(fields.get(p, 0)) for p in ("balance", "held", "spent")}} if fields else {}

    def ledger(self, email: str) -> List[Dict[str, str]]:
        return [entry for _, entry in self.client.xrange(self.key("ledger:" + email))]

    def queue(self) -> List[str]:
        """The names that wait, the next to be taken first."""
        return self.client.lrange(self.key("queue"), 0, -1)[::-1]

    def dead(self) -> List[str]:
        return self.client.zrange(self.key("dead"), 0, -1)

    def wait_settled(self, id: Any, timeout: float = TIMEOUT) -> Dict[str, str]:
        """The booking's record as soon as it is final and nobody has it in hand."""
        def look() -> Optional[Dict[str, str]]:
            b = self.booking(id)
            return b if b.get("state") in FINAL and b.get("place") in ("none", "dead") else None
        return wait_for(look, timeout, f"booking {id} to be settled (it is {self.booking(id)})")

    def wait_idle(self, timeout: float = TIMEOUT) -> None:
        """Nothing waits, and nothing is in anybody's hands."""
        def look() -> bool:
            lists = list(self.client.scan_iter(match=self.key("active:*")))
            return not self.client.exists(self.key("queue"), self.key("retry"), *lists)
        wait_for(look, timeout, "an empty queue")

    def post(self, body: bytes, secret: Optional[str] = SECRET, headers: Optional[Dict[str, str]] = None,
             timeout: float = 10) -> requests.Response:
        """A webhook; secret=None sends no signature."""
        sent = {"Content-Type": "application/json"}
        if secret is not None:
            sent["X-Cal-Signature-256"] = sign(body, secret)
        sent.update(headers or {})
        return self.http.post(self.ingest.url, data=body, headers=sent, timeout=timeout, allow_redirects=False)

    sample = staticmethod(sample)


def missing() -> Optional[str]:
    """Why the programs cannot be tested here, or None."""
    for name in ("tollgate-ingest", "tollgate-worker", "fake-calcom"):
        if not (BUILD / name).exists():
            return f"{BUILD / name} is not built"
    return None if shutil.which("redis-server") else "redis-server is not installed"
