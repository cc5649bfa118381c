"""Gathers the histories while a run goes on, and the rest of them when it is over."""

import threading
from typing import Any, Callable, Dict, List

from history import History, Row
from stage import NAMESPACE, Stage

EVERY_S = 1.0
PAGE = 5000


class Recorder:
    """Reads the fake's logs before they run over: they keep 200 000 lines."""

    def __init__(self, stage: Stage) -> None:
        self.stage = stage
        self.calls: Dict[int, Row] = {}
        self.open_calls: List[int] = []
        self.webhooks: Dict[int, Row] = {}
        self.lock = threading.Lock()  # its thread reads, and who writes the history
        self.is_over = threading.Event()
        self.thread = threading.Thread(target=self._run)
        self.thread.start()

    def _run(self) -> None:
        while not self.is_over.wait(EVERY_S):
            self.read_logs()
            self.stage.note_metrics()

    def read_logs(self) -> None:
        with self.lock:
            self._read_logs()

    def _read_logs(self) -> None:
        newest = max(self.calls, default=0)
        since = min(self.open_calls, default=newest + 1) - 1  # an open one is asked for until it has ended
        for call in self.stage.fake.control("GET", "calls", since=since):
            self.calls[call["n"]] = call
        self.open_calls = [n for n, call in self.calls.items() if n > since and call["end_ms"] == 0]
        for sent in self.stage.fake.control("GET", "webhooks", since=max(self.webhooks, default=0)):
            self.webhooks[sent["n"]] = sent

    def stop(self) -> None:
        self.is_over.set()
        self.thread.join()

    def write(self, history: History) -> None:
        """Brings the history up to date."""
        self.read_logs()
        history.calls = list(self.calls.values())
        history.webhooks = list(self.webhooks.values())
        history.calcom = read_calcom(self.stage.fake)
        history.faults = list(self.stage.happened)
        read_redis(self.stage.client, history)


def read_calcom(fake: Any) -> Dict[str, Row]:
    """In pages: while the fake tells of bookings it answers nobody else."""
    found: Dict[str, Row] = {}
    page = None
    while page is None or page:
        page = fake.control("GET", "bookings", skip=len(found), take=PAGE)
        found.update((str(booking["id"]), booking) for booking in page)
    return found


def redis_ms(client: Any) -> int:
    seconds, us = client.time()
    return seconds * 1000 + us // 1000


def entry_ms(entry_id: str) -> int:
    return int(entry_id.split("-")[0])


def mend_torn(client: Any, history: History, since_ms: int) -> None:
    """A sweep may have moved credit between the reading of a record and of its ledger: what has an entry that is not
    older than the reading is read again."""
    prefix = f"{{{NAMESPACE}}}:"
    while torn := [account for account, entries in history.ledgers.items() if entries and entry_ms(entries[-1][0]) >= since_ms]:
        again_ms = redis_ms(client)
        for account in torn:
            history.accounts[account] = client.hgetall(f"{prefix}credit:{account}")
            history.ledgers[account] = client.xrange(f"{prefix}ledger:{account}")
            for id_, entry in history.ledgers[account]:
                for booking in {entry.get("booking"), entry.get("from")} - {None, ""}:
                    if entry_ms(id_) >= since_ms:
                        history.bookings[booking] = client.hgetall(f"{prefix}booking:{booking}")
        since_ms = again_ms


def read_redis(client: Any, history: History) -> None:
    prefix = f"{{{NAMESPACE}}}:"
    since_ms = redis_ms(client)

    def read(kind: str, ask: Callable[[Any, str], Any]) -> Dict[str, Any]:
        """Name -> answer, for all keys that begin so."""
        found: Dict[str, Any] = {}
        keys = list(client.scan_iter(match=f"{prefix}{kind}:*", count=10000))
        for i in range(0, len(keys), PAGE):
            page = keys[i:i + PAGE]
            with client.pipeline(transaction=False) as pipe:
                for key in page:
                    ask(pipe, key)
                found.update(zip((key[len(prefix) + len(kind) + 1:] for key in page), pipe.execute()))
        return found

    history.bookings = read("booking", lambda pipe, key: pipe.hgetall(key))
    history.accounts = read("credit", lambda pipe, key: pipe.hgetall(key))
    history.ledgers = read("ledger", lambda pipe, key: pipe.xrange(key))
    mend_torn(client, history, since_ms)
    history.known = dict(client.zrange(prefix + "known", 0, -1, withscores=True))
    history.stats = client.hgetall(prefix + "stats")
    history.places = {"queue": client.lrange(prefix + "queue", 0, -1), "retry": client.zrange(prefix + "retry", 0, -1),
                      "dead": client.zrange(prefix + "dead", 0, -1)}
    for worker, names in read("active", lambda pipe, key: pipe.lrange(key, 0, -1)).items():
        history.places["active:" + worker] = names
