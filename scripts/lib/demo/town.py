"""The programs of the demo, on free ports in a folder of their own: starting, asking, ending them."""

import os
import re
import secrets
import signal
import socket
import subprocess
import tempfile
from pathlib import Path

from asking import Asking
from waiting import Trouble, wait_for

ROOT = Path(__file__).resolve().parents[3]
BUILD = ROOT / "build" / "release"
END_SECONDS = 15  # the programs finish what is in flight within 10


def free_port() -> int:
    """A port that was free a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Program:
    """A process with the environment given here and nothing else, and its log."""

    def __init__(self, name: str, folder: Path, command: list[str], env: dict[str, str]) -> None:
        self.name = name
        self.log = folder / f"{name}.log"
        with open(self.log, "ab") as log:
            # In a session of its own: Ctrl-C is for us alone, we end the others in good order.
            self.process = subprocess.Popen(command, cwd=folder, start_new_session=True,
                                            env={"PATH": os.environ.get("PATH", os.defpath), **env},
                                            stdin=subprocess.DEVNULL, stdout=log, stderr=log)

    def is_running(self) -> bool:
        return self.process.poll() is None

    def said(self, pattern: str) -> str:
        """What the pattern's group matches in the log, as soon as it does."""
        def look() -> str | None:
            found = re.search(pattern, self.log.read_text(errors="replace"))
            if found is None and not self.is_running():
                raise Trouble(f"{self.name} ended with exit status {self.process.returncode}")
            return found and found.group(1)
        return wait_for(look, 20, f"{self.name} to start")

    def end(self) -> None:
        """With all that it started: its session is a process group as well."""
        if self.is_running():
            os.killpg(self.process.pid, signal.SIGTERM)
            try:
                self.process.wait(END_SECONDS)
            except subprocess.TimeoutExpired:
                os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()

    def tail(self, lines: int) -> list[str]:
        return self.log.read_text(errors="replace").splitlines()[-lines:]


CONSOLE_TOKEN = "demo"


class Town(Asking):
    """A private Redis, one ingest, a fake Cal.com and workers. Use with `with`: it leaves nothing."""

    def __init__(self) -> None:
        super().__init__("127.0.0.1", 0, "", "cal_" + secrets.token_hex(16))
        self.home = tempfile.TemporaryDirectory(prefix="tollgate-demo-")
        self.folder = Path(self.home.name)
        self.programs: list[Program] = []
        self.secret = secrets.token_hex(16)
        self.webhook_url = ""
        self.admin: dict[str, str] = {}  # program → URL

    def __enter__(self) -> "Town":
        return self

    def __exit__(self, *exc: object) -> None:
        for program in reversed(self.programs):
            program.end()
        self.home.cleanup()

    # ---- Starting ----

    def run(self, name: str, command: list[str], env: dict[str, str]) -> Program:
        program = Program(name, self.folder, command, env)
        self.programs.append(program)
        return program

    def build(self) -> None:
        jobs = len(os.sched_getaffinity(0))
        env = {name: os.environ[name] for name in ("HOME", "LANG", "TMPDIR") if name in os.environ}
        make = self.run("make", ["make", "--no-print-directory", f"-j{jobs}", "-C", str(ROOT), "all"], env)
        wait_for(lambda: not make.is_running(), 1800, "the build")
        if make.process.returncode != 0:
            raise Trouble("the build failed")
        self.programs.remove(make)

    def start(self, workers: int) -> None:
        self._start_redis()
        redis_url = f"redis://127.0.0.1:{self.redis_port}/0"
        ingest = self._start_daemon("ingest", {
            "REDIS_URL": redis_url, "TOLLGATE_LISTEN": "127.0.0.1:0", "TOLLGATE_THREADS": "2",
            "WEBHOOK_SECRET": self.secret, "TOLLGATE_SPOOL_DIR": str(self.folder / "spool"),
            "TOLLGATE_CONSOLE_TOKEN": CONSOLE_TOKEN})
        self.webhook_url = "http://" + ingest.said(r"msg=listening address=(\S+)") + "/webhook"
        self._start_calcom()
        for number in range(1, workers + 1):
            self._start_daemon(f"worker-{number}", {
                "REDIS_URL": redis_url, "CALCOM_API_URL": f"{self.calcom_url}/v2",
                "CALCOM_API_KEY": self.api_key, "CALCOM_RATE_LIMIT": "0"})

    def _start_redis(self) -> None:
        for _ in range(10):  # somebody else may take the port before redis-server does
            self.redis_port = free_port()
            redis = self.run("redis", ["redis-server", "--port", str(self.redis_port), "--bind", "127.0.0.1",
                                       "--save", "", "--appendonly", "no", "--daemonize", "no",
                                       "--dir", str(self.folder)], {})
            if wait_for(lambda: self._has_redis_started(redis), 20, "redis-server to start") == "up":
                return
            self.programs.remove(redis)
        raise Trouble("redis-server found no free port")

    def _has_redis_started(self, redis: Program) -> str | None:
        if not redis.is_running():
            return "ended"
        info = subprocess.run(self._cli("INFO", "server"), capture_output=True, text=True)
        # A stranger's Redis on this port would answer as well.
        return "up" if f"process_id:{redis.process.pid}\n" in info.stdout else None

    def _start_calcom(self) -> None:
        calcom = self.run("fake-calcom", [str(BUILD / "fake-calcom"), "--listen", "127.0.0.1:0",
                                          "--webhook-url", self.webhook_url, "--secret", self.secret,
                                          "--api-key", self.api_key], {})
        self.calcom_url = calcom.said(r"listening on (http://\S+)")

    def _start_daemon(self, name: str, settings: dict[str, str]) -> Program:
        command = [str(BUILD / f"tollgate-{name.partition('-')[0]}")]
        daemon = self.run(name, command, {"TOLLGATE_ADMIN_LISTEN": "127.0.0.1:0", **settings})
        admin = "http://" + daemon.said(r'msg="admin listening" address=(\S+)')
        self.admin[name] = admin

        def is_ready() -> bool:
            if not daemon.is_running():
                raise Trouble(f"{name} ended with exit status {daemon.process.returncode}")
            try:
                return self.opener.open(f"{admin}/readyz", timeout=5).status == 200
            except OSError:
                return False
        wait_for(is_ready, 20, f"{name} to be ready")
        return daemon
