"""Ingest without Redis: what is in its spool, and a steady stream of webhooks, each sent when it is due."""

import socket
import sqlite3
import threading
import time
from pathlib import Path
from typing import Iterable, List, Set, Tuple

from harness import TIMEOUT, wait_for
from wire import Door, Wire, request, webhook

LANES = 64  # connections: so many may wait for an answer at a time
PLACE = 900000000001
BODY = webhook(PLACE, **{"payload.uid": f"uid-{PLACE}"})


def request_of(id: int) -> bytes:
    """webhook(id) without reading the sample anew each time."""
    return request(BODY.replace(str(PLACE).encode(), str(id).encode()))


def spool_folder(door: Door) -> Path:
    return door.ingest.folder / "spool"


def wait_away(door: Door) -> None:
    wait_for(lambda: "redis is away" in door.ingest.get("/readyz").text, what="/readyz to say so")


def ask_all(door: Door, ids: Iterable[int], status: int = 202) -> None:
    """One after the other, each on a connection of its own and so on any thread."""
    for id in ids:
        assert door.ask(webhook(id)).status == status, id


def spool_up(door: Door, ids: Iterable[int]) -> None:
    """Redis dies, and these are in the spool."""
    ids = list(ids)
    door.redis.kill9()
    wait_away(door)
    ask_all(door, ids)
    assert door.count("spool_entries") == len(ids)


def rows(door: Door, table: str = "events") -> List[Tuple]:
    with sqlite3.connect(f"file:{spool_folder(door)}/spool.db?mode=ro", uri=True) as db:
        return db.execute(f"SELECT * FROM {table} ORDER BY seq").fetchall()


class Stream:
    """with Stream(address, rate=1000) as stream: …; everything was answered when the block ends.

    A webhook's time runs from when it was due, so that a stall is counted for all who came in meanwhile."""

    def __init__(self, address: str, rate: float, lanes: int = LANES, first_id: int = 1) -> None:
        self.address = address
        self.rate = rate
        self.first_id = first_id
        self.answers: List[Tuple[int, int, float]] = []  # id, status, seconds
        self.errors: List[BaseException] = []
        self.lock = threading.Lock()
        self.sent = 0
        self.over = False
        self.threads = [threading.Thread(target=self._lane, daemon=True) for _ in range(lanes)]

    def __enter__(self) -> "Stream":
        self.since = time.monotonic()
        for thread in self.threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.over = True
        for thread in self.threads:
            thread.join(TIMEOUT)
        assert not any(thread.is_alive() for thread in self.threads), "unanswered"
        if self.errors:
            raise self.errors[0]

    def run_for(self, seconds: float) -> None:
        time.sleep(seconds)

    def _next(self) -> Tuple[int, float]:
        with self.lock:
            number = self.sent
            self.sent += 1
        return number, self.since + number / self.rate

    def _lane(self) -> None:
        try:
            with Wire(self.address) as wire:
                while True:
                    number, due = self._next()
                    while time.monotonic() < due and not self.over:
                        time.sleep(min(0.05, max(due - time.monotonic(), 0)))
                    if self.over:
                        return
                    id = self.first_id + number
                    answer = wire.ask(request_of(id))
                    self.answers.append((id, answer.status, time.monotonic() - due))
        except (AssertionError, OSError, socket.timeout) as error:
            self.errors.append(error)

    @property
    def statuses(self) -> List[int]:
        return [status for _, status, _ in self.answers]

    def acknowledged(self) -> Set[int]:
        return {id for id, status, _ in self.answers if 200 <= status < 300}

    def percentile(self, share: float) -> float:
        times = sorted(seconds for _, _, seconds in self.answers)
        return times[min(int(len(times) * share), len(times) - 1)]

    def summary(self) -> str:
        numbers = ", ".join(f"p{share * 100:g} {self.percentile(share) * 1000:.1f} ms" for share in (0.5, 0.9, 0.99, 1))
        return f"{len(self.answers)} webhooks, {numbers}"
