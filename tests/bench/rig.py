"""Servers of a measurement, what they cost, and the load that is put on them."""

import os
import re
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, Dict, List, NamedTuple, Optional

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "integration"))

from harness import free_port, wait_for  # noqa: E402

HERE = Path(__file__).resolve().parent
TICKS = os.sysconf("SC_CLK_TCK")


def _stat(pid: int) -> Optional[List[str]]:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    except OSError:
        return None


def family(pid: int) -> List[int]:
    """The process and all below it."""
    parents = {int(entry): stat for entry in os.listdir("/proc") if entry.isdigit() for stat in [_stat(int(entry))] if stat}
    found = [pid]
    for one in found:
        found += [child for child, stat in parents.items() if int(stat[1]) == one]
    return found


def cpu_s(pid: int) -> float:
    """Seconds of processor time that it and its children have used, the kernel's for them included."""
    stats = [stat for one in family(pid) for stat in [_stat(one)] if stat]
    return sum(int(stat[11]) + int(stat[12]) for stat in stats) / TICKS


def most_memory_mib(pid: int) -> float:
    """The most that it and its children ever had resident."""
    found = (re.search(r"VmHWM:\s+(\d+)", Path(f"/proc/{one}/status").read_text()) for one in family(pid))
    return sum(int(match.group(1)) for match in found if match) / 1024


class Server:
    """A program in the foreground, ended by its own process ID."""

    def __init__(self, folder: Path, command: List[str], env: Optional[Dict[str, str]] = None) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.log = folder / "output.log"
        with open(self.log, "wb") as log:
            self.process = subprocess.Popen(command, cwd=folder, stdin=subprocess.PIPE, stdout=log, stderr=log,
                                            env={**os.environ, **(env or {})})

    @property
    def pid(self) -> int:
        return self.process.pid

    def stop(self) -> None:
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(15)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


def fill_in(name: str, folder: Path, **values: Any) -> Path:
    """A file of peers/ with its @NAMES@ filled in."""
    text = (HERE / "peers" / name).read_text()
    for key, value in values.items():
        text = text.replace(f"@{key.upper()}@", str(value))
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / name
    path.write_text(text)
    return path


def nginx(name: str, folder: Path, **values: Any) -> Server:
    port = values["port"]
    config = fill_in(name, folder, **values)
    server = Server(folder, ["nginx", "-p", str(folder), "-e", "error.log", "-c", str(config)])
    wait_port(port, server)
    return server


def wait_port(port: int, server: Server) -> None:
    def is_open() -> bool:
        assert server.process.poll() is None, server.log.read_text(errors="replace")
        with socket.socket() as probe:
            probe.settimeout(0.2)
            return probe.connect_ex(("127.0.0.1", port)) == 0
    wait_for(is_open, 30, f"port {port}")


class Load(NamedTuple):
    requests: int
    seconds: float
    bad: int
    p50_ms: float
    p99_ms: float

    @property
    def rate(self) -> float:
        return self.requests / self.seconds


UNITS = {"us": 0.001, "ms": 1, "s": 1000}


def wrk(url: str, seconds: float, connections: int, script: str = "", env: Optional[Dict[str, str]] = None) -> Load:
    """All connections as fast as they are answered."""
    command = ["wrk", "-t1", f"-c{connections}", f"-d{seconds:.0f}s", "--latency", "--timeout", "10s"]
    command += ["-s", str(HERE / script)] if script else []
    text = subprocess.run([*command, url], check=True, stdout=subprocess.PIPE, universal_newlines=True,
                          env={**os.environ, **(env or {})}).stdout
    count, took, unit = re.search(r"(\d+) requests in ([\d.]+)(us|ms|s)", text).groups()
    times = {share: float(value) * UNITS[kind] for share, value, kind in re.findall(r"(\d+)%\s+([\d.]+)(us|ms|s)", text)}
    bad = sum(int(number) for number in re.findall(r"Non-2xx or 3xx responses: (\d+)", text))
    return Load(int(count), float(took) * UNITS[unit] / 1000, bad, times["50"], times["99"])


class Meter:
    """What processes spent between two moments."""

    def __init__(self, *pids: int) -> None:
        self.pids = pids
        self.since = [cpu_s(pid) for pid in pids]
        self.began = time.monotonic()

    def read(self) -> List[float]:
        return [cpu_s(pid) - since for pid, since in zip(self.pids, self.since)]


def ports(count: int) -> List[int]:
    return [free_port() for _ in range(count)]
