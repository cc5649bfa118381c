"""The Redis library (common/redis) as Python calls, and what must hold after every test."""

import itertools
import json
import re
import time
import zlib
from typing import Any, Dict, List, NamedTuple, Optional

import redis

import invariants
from harness import ROOT

DAY_S = 86400
KEEP_MS = 30 * DAY_S * 1000
LUA = ROOT / "common" / "redis"
# In the order of overview.lua.
DECISIONS = re.findall(r"'decided:(\w+:\w+)'", (LUA / "overview.lua").read_text())
DEFAULT_POLICY = (LUA / "policy.lua").read_text()


def library_parts() -> Dict[str, str]:
    """File name → text, in the order in which the Makefile joins them."""
    makefile = (ROOT / "Makefile").read_text().replace("\\\n", " ")
    parts = re.search(r"^REDIS_LIBRARY = (.*)$", makefile, re.M).group(1).split()
    return {part: (LUA / part).read_text() for part in parts}


def library_text() -> str:
    """The whole library, so that no build is needed."""
    return "".join(library_parts().values())


def load_library(client: redis.Redis) -> None:
    client.execute_command("FUNCTION", "LOAD", "REPLACE", library_text())


def now_ms() -> int:
    return int(time.time() * 1000)


class Job(NamedTuple):
    """The fields of job_of in take.lua, in its order; `alone` shares one with `series`."""

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
    alone: bool  # others of it wait at Cal.com for another answer
    paid: bool
    solo: bool  # taken alone, because workers died with it in hand
    traceparent: str  # '': none, or the take did not ask for it

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


class Watched(NamedTuple):
    """What tollgate_watch answered; ages in seconds."""

    gate: List[str]
    waiting: int
    waiting_age: int
    paused: int
    retries: int
    retry_age: int
    dead: int
    workers: int
    drift: int
    unbalanced: int
    audit_age: int  # -1: not all accounts were looked at yet
    news: Dict[str, str]  # account -> what is wrong with it
    decisions: Dict[str, int]  # outcome:class -> how many; those that are 0 left out


class Batch(NamedTuple):
    left: int
    next_due: int
    jobs: List[Job]
    hold: str  # why no more can be taken now
    hold_ms: int
    gate: List[str]  # see View

    @property
    def ids(self) -> List[str]:
        return [job.id for job in self.jobs]


def read_job(fields: List[str]) -> Job:
    *fields, traceparent = fields if len(fields) == len(Job._fields) - 1 else [*fields, ""]
    assert len(fields) == len(Job._fields) - 2, f"a job with holes: {fields}"
    id_, token, goal, uid, account, reason, cost, attempts, fresh, guide, busy, seat, series, paid, solo = fields
    return Job(id_, token, goal, uid, account, reason, int(cost), int(attempts), int(fresh), guide == "1",
               int(busy), seat, series != "0", series == "2", paid == "1", solo == "1", traceparent)


class Library:
    """One namespace. Arguments that a test does not care about have defaults that make sense."""

    def __init__(self, client: redis.Redis, namespace: str) -> None:
        self.client = client
        self.namespace = namespace
        self.numbers: Dict[str, Any] = {}
        self.settled: List[Any] = []  # see settle
        self.by_hand: Dict[str, Optional[str]] = {}  # account -> newest ledger entry when it was set

    def key(self, name: str) -> str:
        return f"{{{self.namespace}}}:{name}"

    def call(self, function: str, *args: Any) -> Any:
        return self.client.fcall("tollgate_" + function, 1, self.key("queue"), *args)

    # ---- The functions ----

    @staticmethod
    def told(id_: Any) -> Dict[str, Any]:
        """What every event about this booking tells. A slot of its own: two requests for one slot are twins."""
        start = int(time.time()) + 7 * DAY_S + zlib.crc32(str(id_).encode()) % 100000 * 60
        return {"uid": f"uid-{id_}", "account": "ann@example.com", "email": "ann@example.com",
                "event_type": "1207", "start": start, "end": start + 3600}

    def record(self, id_: Any = 1, kind: str = "requested", created: Optional[int] = None,
               keep_ms: int = KEEP_MS, **fields: Any) -> str:
        """An event as ingest hands it over. A field given as None is left out."""
        created = now_ms() if created is None else created
        told = self.told(id_)
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
        left, next_due, jobs, hold, hold_ms, gate = self.call(
            "take", worker, number, count, fresh_ms, lease_ms, keep_ms, mode, *flat)
        return Batch(left, next_due, [read_job(job) for job in jobs], hold, int(hold_ms), gate)

    def take_one(self, **args: Any) -> Job:
        batch = self.take(**args)
        assert len(batch.jobs) == 1, batch
        return batch.jobs[0]

    def begin(self, job: Job, call: str = "confirm", keep_ms: Any = KEEP_MS, **options: Any) -> List[Any]:
        flat = [part for pair in options.items() for part in pair]
        return self.call("begin", job.id, job.token, call, keep_ms, *flat)

    def settle(self, job: Job, outcome: str, note: str = "", keep_ms: Any = KEEP_MS, covers: str = "booking",
               calls: str = "", members: str = "", unfinished: bool = False, **told: Any) -> List[Any]:
        """The step and its detail; what is told of a settled booking beside that is in `settled`."""
        flat = [part for pair in told.items() for part in pair]
        answer = self.call("settle", job.id, job.token, outcome, keep_ms, note, covers, calls, int(unfinished), members, *flat)
        self.settled = answer[2:]
        return answer[:2]

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

    def pause(self, by: str = "nora", note: str = "") -> List[str]:
        return self.call("pause", by, note)

    def resume(self, by: str = "nora") -> List[str]:
        return self.call("resume", by)

    def requeue(self, *ids: Any, by: str = "nora", note: str = "", keep_ms: Any = KEEP_MS) -> List[str]:
        return self.call("requeue", by, note, keep_ms, *ids)

    def discard(self, *ids: Any, by: str = "nora", note: str = "", keep_ms: Any = KEEP_MS) -> List[str]:
        return self.call("discard", by, note, keep_ms, *ids)

    def found(self, id_: Any = 1, status: str = "pending", created: Optional[int] = None, aside: str = "",
              **fields: Any) -> List[str]:
        """A row of a list, as the sweep hands it over; made a minute ago."""
        created = now_ms() - 60000 if created is None else created
        told = {**self.told(id_), "requires_confirmation": "yes", **fields}
        flat = [part for name, value in told.items() if value is not None for part in (name, value)]
        return self.call("found", id_, status, created, KEEP_MS, aside, *flat)

    def sweep(self, step: str, worker: str = "w", interval_ms: int = 1000, lease_ms: int = 10000, **gate: Any) -> List[str]:
        flat = [part for pair in gate.items() for part in pair]
        return self.call("sweep", worker, step, interval_ms, lease_ms, KEEP_MS, *flat)

    def watch(self, **gate: Any) -> Watched:
        flat = [part for pair in gate.items() for part in pair]
        gate_view, numbers, news, counts = self.call("watch", *flat)
        decisions = {name: int(count) for name, count in zip(DECISIONS, counts) if count}
        assert len(counts) == len(DECISIONS)
        return Watched(gate_view, *numbers, dict(zip(news[::2], news[1::2])), decisions)

    def secret(self, name: str, used_ms: Any) -> int:
        return self.call("secret", name, used_ms)

    def audit(self) -> Dict[str, str]:
        """All accounts are looked at once. Answers what is wrong."""
        self.client.delete(self.key("audit"))
        while not self.client.hexists(self.key("audit"), "done_ms"):
            self.client.hdel(self.key("audit"), "next_ms")
            self.watch()
        return self.client.hgetall(self.key("unbalanced"))

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

    def rule(self, what: str, *ids: Any, reason: str = "by hand", by: str = "nora", note: str = "",
             keep_ms: Any = KEEP_MS) -> List[str]:
        return self.call("rule", by, note, keep_ms, what, reason, *ids)

    def set_terms(self, sha: str = "", by: str = "nora", note: str = "", **terms: Any) -> str:
        flat = [part for pair in terms.items() for part in pair]
        return self.ask("terms", by, note, sha, *flat)["sha"]

    # ---- What the console shows ----

    def ask(self, function: str, *args: Any) -> Any:
        """What a function answers as JSON, which must be such to the letter."""
        raw = redis.Redis(connection_pool=redis.ConnectionPool(
            **{**self.client.connection_pool.connection_kwargs, "decode_responses": False}))
        with raw:
            return json.loads(raw.fcall("tollgate_" + function, 1, self.key("queue"), *args).decode("utf-8"))

    def listed(self, function: str, *args: Any, count: int = 50, cursor: str = "", tail: Any = (), **wanted: Any) -> Any:
        """A page of a list; args stand before the cursor, `tail` behind the count."""
        flat = [part for pair in wanted.items() for part in pair]
        return self.ask(function, *args, cursor, count, *tail, *flat)

    def all_rows(self, function: str, *args: Any, rows: str = "rows", **how: Any) -> List[Dict[str, Any]]:
        """All pages of a list."""
        page = self.listed(function, *args, **how)
        found = page[rows]
        while "next" in page:
            page = self.listed(function, *args, cursor=page["next"], **how)
            found += page[rows]
        return found

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
        keys = [key for key in self.keys() if stats or key != self.key("stats")]
        with raw, raw.pipeline(transaction=False) as pipeline:
            for key in keys:
                pipeline.dump(key).execute_command("PEXPIRETIME", key)
            told = pipeline.execute()
        return dict(zip(keys, zip(told[::2], told[1::2])))

    # ---- What must hold after every test ----

    def view(self) -> invariants.View:
        return invariants.read_view(self.client, self.key(""))

    def check_holds(self) -> None:
        invariants.check_holds(self.view())

    def check_places(self) -> None:
        invariants.check_places(self.view())

    def check(self) -> None:
        view = self.view()
        invariants.check_books(view, self.by_hand)
        invariants.check_holds(view)
        invariants.check_places(view)
