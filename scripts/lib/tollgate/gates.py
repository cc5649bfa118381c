"""The gates to Cal.com, one for each API key (common/redis/gate.lua), and the webhook's secrets."""

import hashlib
import re
from typing import Any, Dict, List, NamedTuple, Optional

from tollgate.findings import given
from tollgate.link import PAGE, Link

WINDOW_MS = 63000  # gate.lua: what was reserved within it counts

MENDED_BY_A_PERSON = {  # of the breaker's causes, see worker/governor.c
    "credentials": "give the workers a CALCOM_API_KEY that Cal.com takes",
    "url": "CALCOM_API_URL or CALCOM_API_VERSION is not the API's: mend it",
    "rights": "the key is another host's, or lacks rights: give the workers one of the host whose bookings these are",
}


FIELDS = ("cause", "note", "opened_ms", "probe_ms", "throttled", "throttled_until_ms", "api_left", "api_until_ms")


def number(text: Optional[str]) -> int:
    return int(text) if text and text.isascii() and text.isdigit() else 0


def name_of(key: str) -> str:
    return hashlib.sha256(key.encode("utf-8", "surrogateescape")).hexdigest()[:16]


def limit_here() -> Optional[int]:
    """Of the key that is in the environment: calls a minute, 0 without a limit. None: it cannot be read."""
    text = given("CALCOM_RATE_LIMIT")[0]
    if not text:
        return 25 if given("CALCOM_API_URL")[0].rstrip("/").endswith("/v1") else 100
    return int(text) if text.isascii() and text.isdigit() else None


class Gates:
    """The one whose key is in the environment. Where none is, one goes through the names of all keys, some at a time."""

    def __init__(self, link: Link) -> None:
        self.link = link
        key = given("CALCOM_API_KEY")[0]
        self.mine = name_of(key) if key else None
        self.names = {self.mine} if self.mine else set()
        self.cursor = 0
        self.turns = 1 if self.mine else 0

    def look(self, pages: int) -> None:
        if self.mine:
            return
        prefix = self.link.key("gate:")
        for _ in range(pages):
            self.cursor, keys = self.link.client.scan(self.cursor, count=PAGE, _type="hash")
            self.names.update(key[len(prefix):] for key in keys if key.startswith(prefix))
            if self.cursor == 0:
                self.turns += 1
                return

    def look_everywhere(self) -> "Gates":
        while self.turns == 0:
            self.look(1)
        return self

    def rows(self, now: int) -> List[Dict[str, Any]]:
        names = sorted(name for name in self.names if name and re.fullmatch("[0-9a-f]{16}", name))
        told = self.link.bulk([command for name in names for command in (
            ("HMGET", self.link.key("gate:" + name), *FIELDS),
            ("ZCOUNT", self.link.key(f"gate:{name}:calls"), f"({now - WINDOW_MS}", "+inf"))])
        pairs = zip(names, told[::2], told[1::2])
        return [row(name, values, used, now, limit_here() if name == self.mine else None)
                for name, values, used in pairs if isinstance(values, list) and isinstance(used, int)]


def row(name: str, values: List[Optional[str]], used: int, now: int, limit: Optional[int]) -> Dict[str, Any]:
    g = dict(zip(FIELDS, values))
    told = number(g["api_left"]) if number(g["api_until_ms"]) > now else None
    left = None if not limit else max(0, limit - used)
    if told is not None:
        left = told if left is None else min(left, told)
    return {"gate": name, "cause": g["cause"] or None, "note": g["note"] or None,
            "opened_ms": number(g["opened_ms"]) or None if g["cause"] else None,
            "probe_ms": number(g["probe_ms"]) or None if g["cause"] else None, "throttled": number(g["throttled"]),
            "throttled_until_ms": number(g["throttled_until_ms"]) if number(g["throttled_until_ms"]) > now else None,
            "used": used, "limit": limit, "left": left}


# ---- The webhook's secrets ----

UNUSED_MS = 86400000  # a club that books nothing for a day is no reason to remove a secret; see may_go


class Secret(NamedTuple):
    """`name`: the first 8 hex digits of its SHA-256, by which ingest counts its use."""

    name: str
    place: Optional[int]  # in WEBHOOK_SECRET, from 1; None: it is not there
    used_ms: Optional[int]
    may_go: bool


def secrets(link: Link, now: int) -> Optional[List[Secret]]:
    """Those of WEBHOOK_SECRET and those that ingest has seen used; None when no ingest counts that."""
    used = {name: number(ms) for name, ms in link.client.hgetall(link.key("secrets")).items()}
    if not used:
        return None
    listed = [hashlib.sha256(part.strip().encode("utf-8", "surrogateescape")).hexdigest()[:8]
              for part in given("WEBHOOK_SECRET")[0].split(",") if part.strip()]
    newest = max(used.values())
    names = [*listed, *sorted(set(used) - set(listed))]
    # A secret may go when another one has been used a day later than it: webhooks come, and not with this one.
    return [Secret(name, listed.index(name) + 1 if name in listed else None, used.get(name),
                   name in listed and len(listed) > 1 and name in used and used[name] < newest - UNUSED_MS)
            for name in names]
