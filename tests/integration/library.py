"""The Redis library (common/redis) as Python calls, and what must hold after every test."""

import itertools
import re
import time
import zlib
from typing import Any, Dict, List, NamedTuple, Optional

import redis

from harness import ROOT

DAY_S = 86400
KEEP_MS = 30 * DAY_S * 1000
LUA = ROOT / "common" / "redis"
DEFAULT_POLICY = (LUA / "policy.lua").read_text()


def library_text() -> str:
    """The parts joined as the Makefile joins them, so that no build is needed."""
    makefile = (ROOT / "Makefile").read_text().replace("\\\n", " ")
    parts = re.search(r"^REDIS_LIBRARY = (.*)$", makefile, re.M).group(1).split()
    return "".join((LUA / part).read_text() for part in parts)


def load_library(client: redis.Redis) -> None:
    client.execute_command("FUNCTION", "LOAD", "REPLACE", library_text())


def now_ms() -> int:
    return int(time.time() * 1000)


class Job(NamedTuple):
    """The fields of job_of in take.lua, in its order."""

    id: str
    token: str
    goal: str
    uid: str
    account: str
    reason: str
    cost: int
    attempts: int
    fresh_ms: int  # for how long it may be acted on without a look
    guide: bool
    busy_ms: int  # for how long a call that nobody heard the answer of may still run
    seat: str
    series: bool  # one of several of an identified series
    paid: bool
    solo: bool  # taken alone, because workers died with it in hand

    @property
    def fresh(self) -> bool:
        return self.fresh_ms > 0

    @property
    def worker(self) -> str:
        return self.token.rsplit("/", 1)[0]


class Sweep(NamedTuple):
    """What tollgate_reap answered; nothing when another one sweeps."""

    swept: bool
    cursor: str
    buried: Dict[str, int]  # dead worker -> names that went back
    overdue: List[str]
    more: bool


class Batch(NamedTuple):
    left: int
    next_due: int
    jobs: List[Job]
    hold: str  # why no more can be taken now
    hold_ms: int

    @property
    def ids(self) -> List[str]:
        return [job.id for job in self.jobs]


def read_job(fields: List[str]) -> Job:
    assert len(fields) == len(Job._fields), f"a job with holes: {fields}"
    id_, token, goal, uid, account, reason, cost, attempts, fresh, guide, busy, seat, series, paid, solo = fields
    return Job(id_, token, goal, uid, account, reason, int(cost), int(attempts), int(fresh), guide == "1",
               int(busy), seat, series == "1", paid == "1", solo == "1")


class Library:
    """One namespace. Arguments that a test does not care about have defaults that make sense."""

    def __init__(self, client: redis.Redis, namespace: str) -> None:
        self.client = client
        self.namespace = namespace
        self.numbers: Dict[str, Any] = {}
        self.by_hand: Dict[str, Optional[str]] = {}  # account -> newest ledger entry when it was set

    def key(self, name: str) -> str:
        return f"{{{self.namespace}}}:{name}"

    def call(self, function: str, *args: Any) -> Any:
        return self.client.fcall("tollgate_" + function, 1, self.key("queue"), *args)

    # ---- The functions ----

    def record(self, id_: Any = 1, kind: str = "requested", created: Optional[int] = None,
               keep_ms: int = KEEP_MS, **fields: Any) -> str:
        """An event as ingest hands it over. A field given as None is left out."""
        created = now_ms() if created is None else created
        # A slot of its own: two requests for one slot are twins.
        start = int(time.time()) + 7 * DAY_S + zlib.crc32(str(id_).encode()) % 100000 * 60
        told = {"uid": f"uid-{id_}", "account": "ann@example.com", "email": "ann@example.com",
                "event_type": "1207", "start": start, "end": start + 3600}
        if kind == "requested":
            told["requires_confirmation"] = "yes"
        told.update(fields)
        flat = [part for name, value in told.items() if value is not None for part in (name, value)]
        return self.call("record", id_, kind, created, keep_ms, *flat)

    def take(self, worker: str = "w", number: Any = None, count: Any = 100, fresh_ms: Any = 1000,
             lease_ms: Any = 10000, keep_ms: Any = KEEP_MS, mode: str = "decide", **options: Any) -> Batch:
        if number is None:
            number = next(self.numbers.setdefault(worker, itertools.count(1)))
        flat = [part for pair in options.items() for part in pair]
        left, next_due, jobs, hold, hold_ms = self.call("take", worker, number, count, fresh_ms, lease_ms, keep_ms, mode, *flat)
        return Batch(left, next_due, [read_job(job) for job in jobs], hold, hold_ms)

    def take_one(self, **args: Any) -> Job:
        batch = self.take(**args)
        assert len(batch.jobs) == 1, batch
        return batch.jobs[0]

    def begin(self, job: Job, call: str = "confirm", keep_ms: Any = KEEP_MS) -> List[Any]:
        return self.call("begin", job.id, job.token, call, keep_ms)

    def settle(self, job: Job, outcome: str, note: str = "", keep_ms: Any = KEEP_MS, covers: str = "booking",
               calls: str = "", unfinished: bool = False) -> List[Any]:
        return self.call("settle", job.id, job.token, outcome, keep_ms, note, covers, calls, int(unfinished))

    def retry(self, job: Job, delay_ms: Any = 0, burn: bool = True, why: str = "a 502",
              keep_ms: Any = KEEP_MS, calls: str = "", unfinished: bool = False) -> List[Any]:
        return self.call("retry", job.id, job.token, delay_ms, int(burn), keep_ms, why, calls, int(unfinished))

    def join(self, job: Job, series: str, keep_ms: Any = KEEP_MS, calls: str = "") -> List[Any]:
        """What a look at an occurrence told: the series it is in, '' for none."""
        return self.call("join", job.id, job.token, series, keep_ms, calls)

    def give_back(self, job: Job, keep_ms: Any = KEEP_MS) -> List[str]:
        return self.call("give_back", job.id, job.token, keep_ms)

    def leave(self, worker: str = "w") -> int:
        return self.call("leave", worker, KEEP_MS)

    def lease(self, worker: str = "w", lease_ms: Any = 10000) -> List[Any]:
        return self.call("lease", worker, lease_ms)

    def reap(self, sweeper: str = "sweeper", epoch: str = "sweeper/1", connected_ms: Any = DAY_S * 1000,
             lease_ms: Any = 10000, hold_ms: Any = 60000, keep_ms: Any = KEEP_MS, cursor: Any = 0) -> Sweep:
        answer = self.call("reap", sweeper, epoch, connected_ms, lease_ms, hold_ms, keep_ms, cursor)
        if answer == ["skipped"]:
            return Sweep(False, "0", {}, [], False)
        _, cursor, buried, overdue, more = answer
        return Sweep(True, cursor, dict(zip(buried[::2], buried[1::2])), overdue, more == 1)

    def reap_again(self, **args: Any) -> Sweep:
        """One sweep, and one long enough after it."""
        self.reap(**args)
        for worker, sighting in self.client.hgetall(self.key("suspects")).items():
            self.client.hset(self.key("suspects"), worker, sighting.rsplit(" ", 1)[0] + " 1")
        return self.reap(**args)

    def die(self, *workers: str) -> Sweep:
        """These workers ended without a word; their leases are over, and another one sweeps twice."""
        self.client.zadd(self.key("workers"), {worker: 1 for worker in workers})
        self.client.delete(self.key("sweeping"))
        return self.reap_again()

    def install(self, text: str, source: str = "file") -> List[str]:
        return self.call("policy", text, source)

    def install_answer(self, table: str) -> None:
        """A policy that always answers this Lua expression."""
        self.install(f"return function(booking, account, terms, now)\n  return {table}\nend")

    def grant(self, account: str = "ann@example.com", amount: Any = 1, key: str = "", by: str = "nora",
              note: str = "") -> List[str]:
        return self.call("grant", account, amount, key, by, note)

    def debit(self, account: str = "ann@example.com", amount: Any = 1, key: str = "", by: str = "nora",
              note: str = "", overdraw: bool = False) -> List[str]:
        return self.call("debit", account, amount, key, by, note, int(overdraw))

    def member(self, account: str = "ann@example.com", amount: Any = 0, key: str = "", by: str = "nora",
               note: str = "", **fields: Any) -> List[str]:
        flat = [part for pair in fields.items() for part in pair]
        return self.call("member", account, amount, key, by, note, *flat)

    # ---- What somebody does at redis-cli ----

    def credit(self, account: str = "ann@example.com", **fields: Any) -> None:
        newest = self.client.xrevrange(self.key("ledger:" + account), count=1)
        self.by_hand[account] = newest[0][0] if newest else None
        self.client.hset(self.key("credit:" + account), mapping=fields)

    def terms(self, **fields: Any) -> None:
        self.client.hset(self.key("terms"), mapping=fields)

    def push(self, *names: str) -> None:
        self.client.lpush(self.key("queue"), *names)

    def set_booking(self, id_: Any = 1, **fields: Any) -> None:
        self.client.hset(self.key(f"booking:{id_}"), mapping=fields)

    def blmove(self, worker: str = "w") -> Optional[str]:
        """What a worker that waits for work does on its second connection."""
        return self.client.blmove(self.key("queue"), self.key("active:" + worker), 1, "RIGHT", "LEFT")

    # ---- What can be read ----

    def booking(self, id_: Any = 1) -> Dict[str, str]:
        return self.client.hgetall(self.key(f"booking:{id_}"))

    def state(self, id_: Any = 1) -> Optional[str]:
        return self.client.hget(self.key(f"booking:{id_}"), "state")

    def place(self, id_: Any = 1) -> Optional[str]:
        return self.client.hget(self.key(f"booking:{id_}"), "place")

    def purses(self, account: str = "ann@example.com") -> Any:
        """(balance, held, spent), or None for an account that nobody made."""
        fields = self.client.hgetall(self.key("credit:" + account))
        return tuple(int(fields.get(p, 0)) for p in ("balance", "held", "spent")) if fields else None

    def ledger(self, account: str = "ann@example.com") -> List[Dict[str, str]]:
        return [fields for _, fields in self.client.xrange(self.key("ledger:" + account))]

    def movements(self, account: str = "ann@example.com") -> List[Any]:
        return [(entry["kind"], int(entry["amount"])) for entry in self.ledger(account)]

    def queue(self) -> List[str]:
        """The names that wait, the next to be taken first."""
        return self.client.lrange(self.key("queue"), 0, -1)[::-1]

    def active(self, worker: str = "w") -> List[str]:
        return self.client.lrange(self.key("active:" + worker), 0, -1)

    def retries(self) -> List[str]:
        return self.client.zrange(self.key("retry"), 0, -1)

    def dead(self) -> List[str]:
        return self.client.zrange(self.key("dead"), 0, -1)

    def done(self, id_: Any = 1) -> Optional[str]:
        return self.client.hget(self.key("done"), id_)

    def stat(self, name: str) -> int:
        return int(self.client.hget(self.key("stats"), name) or 0)

    def pttl(self, name: str) -> int:
        return self.client.pttl(self.key(name))

    def keys(self, prefix: str = "") -> List[str]:
        return sorted(self.client.scan_iter(match=self.key(prefix) + "*", count=1000))

    def snapshot(self, stats: bool = True) -> Dict[str, Any]:
        """Everything in the namespace, to show that a call changed nothing."""
        raw = redis.Redis(connection_pool=redis.ConnectionPool(
            **{**self.client.connection_pool.connection_kwargs, "decode_responses": False}))
        with raw:
            return {key: (raw.dump(key), raw.execute_command("PEXPIRETIME", key))
                    for key in self.keys() if stats or key != self.key("stats")}

    # ---- What must hold after every test ----

    def check_books(self) -> None:
        """granted = Σ adjust = balance + held + spent, after every entry and in the hash."""
        for key in self.keys("ledger:"):
            account = key.split(":ledger:", 1)[1]
            entries = self.client.xrange(key)
            granted = 0
            for entry_id, entry in entries:
                granted += int(entry["amount"]) if entry["kind"] in ("adjust", "grant") else 0
                total = sum(int(entry[purse]) for purse in ("balance", "held", "spent"))
                assert total == granted, f"{account}: the book is off at {entry_id} {entry}"
            changed_since = self.by_hand.get(account) == entries[-1][0]
            if not changed_since and self.client.exists(self.key("credit:" + account)):
                newest = tuple(int(entries[-1][1][p]) for p in ("balance", "held", "spent"))
                assert self.purses(account) == newest, f"{account}: the ledger does not explain it"

    def check_holds(self) -> None:
        """What bookings hold and have been charged is what the ledgers say they do and have."""
        moved: Dict[str, List[int]] = {}
        signs = {"hold": (1, 0), "capture": (-1, 1), "release": (-1, 0), "refund": (0, -1), "move": (1, 0)}
        for key in self.keys("ledger:"):
            spent = 0
            for _, entry in self.client.xrange(key):
                if entry["kind"] == "move":  # out of what the old booking held, or had been charged
                    was_charged = int(entry["spent"]) < spent
                    moved[entry["from"]][1 if was_charged else 0] -= int(entry["amount"])
                spent = int(entry["spent"])
                held, charged = signs.get(entry["kind"], (0, 0))
                sums = moved.setdefault(entry["booking"], [0, 0])
                sums[0] += held * int(entry["amount"])
                sums[1] += charged * int(entry["amount"])
        for id_, b in self.bookings().items():
            told = [int(b.get("held", 0)), int(b.get("charged", 0))]
            assert told == moved.get(id_, [0, 0]), f"booking {id_} and the ledger disagree: {b}"

    def bookings(self) -> Dict[str, Dict[str, str]]:
        return {key.split(":booking:", 1)[1]: self.client.hgetall(key) for key in self.keys("booking:")}

    def check_places(self) -> None:
        """Each name is in one place at most, and its record says which."""
        found: Dict[str, List[str]] = {}
        places = {"queue": self.queue(), "retry": self.retries(), "dead": self.dead()}
        for key in self.keys("active:"):
            places[key.split("}:", 1)[1]] = self.client.lrange(key, 0, -1)
        for place, names in places.items():
            for name in names:
                found.setdefault(name, []).append(place)
        for id_, b in self.bookings().items():
            place = b["place"]
            if place == "active":
                place = "active:" + b["token"].rsplit("/", 1)[0]
            assert found.get(id_, []) == ([] if place == "none" else [place]), f"booking {id_}: {b}"

    def check(self) -> None:
        self.check_books()
        self.check_holds()
        self.check_places()
