"""The gate to Cal.com as tests of the library see it: reports, and time that passes at once."""

import hashlib
from typing import Any, Dict, List, NamedTuple

from harness import API_KEY
from library import Library

NAME = "0123456789abcdef"
REAL = hashlib.sha256(API_KEY.encode()).hexdigest()[:16]  # of the key that the harness gives
WINDOW_MS = 63000  # of gate.lua: 60 s and the way to Cal.com


class View(NamedTuple):
    """What gate.view answers."""

    cause: str
    note: str
    troubled: bool
    used: int
    left: int
    throttled: int


def view(fields: List[str]) -> View:
    cause, note, troubled, used, left, throttled = fields
    return View(cause, note, troubled == "1", int(used), int(left), int(throttled))


class Heard(NamedTuple):
    gate: View
    wait_ms: int


def pass_time(of: Any, key: str, ms: int) -> None:
    """As if that much time had passed since whatever the gate under this key remembers. of: a Library or Gate."""
    client = of.client
    for name in ("calls", "flight", "hits"):
        for member, score in client.zrange(f"{key}:{name}", 0, -1, withscores=True):
            client.zadd(f"{key}:{name}", {member: score - ms})
    for field, value in client.hgetall(key).items():
        if field.endswith("_ms"):
            client.hset(key, field, max(0, int(value) - ms))
    outages = of.key("outages")
    for i, entry in enumerate(client.lrange(outages, 0, -1)):
        began, seen, name = entry.split()
        client.lset(outages, i, f"{int(began) - ms} {int(seen) - ms} {name}")


class GateOf:
    """One gate of a namespace."""

    def __init__(self, library: Library, limit: int = 0, guard: bool = False, name: str = NAME) -> None:
        self.library = library
        self.options: Dict[str, Any] = {"gate": name, "limit": limit, "call_ms": 13000}
        if guard:
            self.options["guard"] = "yes"
        self.key = library.key("gate:" + name)

    def take(self, **args: Any) -> Any:
        return self.library.take(**args, **self.options)

    def begin(self, job: Any, call: str = "look") -> List[Any]:
        return self.library.begin(job, call, **self.options)

    def reserve(self, worker: str = "w") -> List[Any]:
        return self.library.call("reserve", worker, *self.flat())

    def report(self, heard: str, **told: Any) -> Heard:
        told = {name: value for name, value in told.items() if value is not None}
        *fields, wait_ms = self.library.call("report", heard, *self.flat(), *[p for pair in told.items() for p in pair])
        return Heard(view(fields), int(wait_ms))

    def flat(self) -> List[Any]:
        return [part for pair in self.options.items() for part in pair]

    def hash(self) -> Dict[str, str]:
        return self.library.client.hgetall(self.key)

    def calls(self) -> int:
        return self.library.client.zcard(self.key + ":calls")

    def pass_time(self, ms: int) -> None:
        pass_time(self.library, self.key, ms)
