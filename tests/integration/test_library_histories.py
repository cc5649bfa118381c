"""Random histories against the real library: events of all kinds, repeated, reordered and dropped, two workers
of which one leaves or dies, Cal.com answering anything. After every step the books balance, records and ledgers agree, names are in one
place, and no decision changes; in the end nothing is open but what is listed under dead, and nothing is held
for what is over.

TOLLGATE_HISTORIES=5000 runs so many instead of a few.
"""

import itertools
import os
import random
import time
from typing import Any, Dict, Iterator, List, NamedTuple

from hypothesis import HealthCheck, given, settings, strategies

from conftest import NAMESPACES
from library import DAY_S, DEFAULT_POLICY, KEEP_MS, Job, Library, now_ms

ACCOUNTS = ("ann@example.com", "bob@example.com")
HISTORIES = int(os.environ.get("TOLLGATE_HISTORIES", "60"))
OPEN = ("waiting", "accepting", "rejecting")

# What Cal.com may say to each goal; the likely answer more often.
OUTCOMES = {
    "accept": ["accepted"] * 5 + ["cancelled", "gone", "rejected", "refused"],
    "reject": ["rejected"] * 4 + ["cancelled", "accepted", "refused"],
    "withdraw": ["cancelled", "cancelled", "rejected", "gone"],
    "look": ["accepted", "cancelled", "rejected"],
    "identify": ["cancelled", "gone", "rejected"],
}


class Event(NamedTuple):
    id: str
    kind: str
    created_ms: int
    fields: Dict[str, Any]


class Town:
    """Members who book, and what becomes of it: the events in the order in which Cal.com has them."""

    def __init__(self, chance: random.Random) -> None:
        self.chance = chance
        self.clock = itertools.count(now_ms() - 50000, 137)
        self.ids = itertools.count(1)
        self.first_start = int(time.time()) + 10 * DAY_S
        self.events: List[Event] = []

    def emit(self, id_: Any, kind: str, **fields: Any) -> None:
        self.events.append(Event(str(id_), kind, next(self.clock), {k: v for k, v in fields.items() if v is not None}))

    def request(self, kind: str = "requested", **fields: Any) -> int:
        id_ = next(self.ids)
        self.emit(id_, kind, uid=f"u{id_}", **{"requires_confirmation": "yes", **self.slot, **fields})
        for later, likely in (("cancelled", .3), ("rejected", .1), ("created", .3)):
            if self.chance.random() < likely:
                by = self.chance.choice([self.slot["email"], "host@example.com"]) if later == "cancelled" else None
                self.emit(id_, later, cancelled_by=by)
        return id_

    def move_to_a_slot(self, account: str) -> None:
        self.slot = {"account": account, "email": account, "event_type": self.chance.choice("123"),
                     "start": self.first_start + self.chance.randint(0, 3) * DAY_S}

    def book(self) -> None:
        """One member does one thing."""
        self.move_to_a_slot(self.chance.choice(ACCOUNTS))
        getattr(self, self.chance.choice(["single", "single", "guide", "paid", "twins", "series", "seats", "chain", "chain"]))()

    def single(self) -> None:
        self.request()

    def guide(self) -> None:
        self.request("created", requires_confirmation=None)

    def paid(self) -> None:
        id_ = self.request(paid="yes")
        self.emit(id_, "payment", event_type=self.slot["event_type"])

    def twins(self) -> None:
        for _ in range(3):
            self.request()

    def series(self) -> None:
        count = self.chance.randint(2, 4)
        for week in range(count):
            self.slot["start"] = self.first_start + week * 7 * DAY_S
            self.request(occurrences=count)

    def seats(self) -> None:
        slot = next(self.ids)
        for name in "xyz"[:self.chance.randint(1, 3)]:
            account = self.chance.choice(ACCOUNTS)
            self.emit(f"{slot}:{name}", self.chance.choice(["requested", "created"]), uid=f"u{slot}", seat=name, seats="yes",
                      requires_confirmation="yes", **{**self.slot, "account": account, "email": account})
            if self.chance.random() < .4:
                self.emit(slot, "cancelled", attendees=account, seats="yes")

    def chain(self) -> None:
        """Rescheduled once or twice, perhaps to another event type or by another member."""
        id_ = self.request()
        for _ in range(self.chance.randint(1, 2)):
            if self.chance.random() < .15:
                self.move_to_a_slot(self.chance.choice(ACCOUNTS))
            if self.chance.random() < .3:
                self.slot["event_type"] = self.chance.choice("123")
            self.slot["start"] += self.chance.randint(1, 5) * 3600
            id_ = self.request(self.chance.choice(["requested", "requested", "rescheduled"]), reschedule_uid=f"u{id_}")

    def delivered(self) -> Iterator[Event]:
        """What arrives: some twice, some late, some never."""
        order = []
        for i, event in enumerate(self.events):
            if self.chance.random() < .07:
                continue
            for _ in range(1 + (self.chance.random() < .25)):
                order.append((i + (self.chance.random() * 6 if self.chance.random() < .3 else 0), event))
        return (event for _, event in sorted(order, key=lambda one: one[0]))


class Workers:
    def __init__(self, library: Library, chance: random.Random) -> None:
        self.library = library
        self.chance = chance
        self.jobs: List[Job] = []
        self.decided: Dict[str, Any] = {}

    def check(self) -> None:
        self.library.check()
        for id_, b in self.library.bookings().items():
            decision = b.get("decision"), b.get("decided_ms")
            assert self.decided.get(id_) in (None, (None, None), decision), f"booking {id_} was decided twice"
            self.decided[id_] = decision

    def take(self, count: int) -> None:
        self.jobs += self.library.take(worker=self.chance.choice(["w1", "w2"]), count=count).jobs
        self.check()

    def act(self, fail: bool = True) -> None:
        """Does one thing with one job."""
        job = self.jobs.pop(self.chance.randrange(len(self.jobs)))
        luck = self.chance.random()
        if fail and luck < .15:
            self.library.retry(job)
        elif fail and luck < .2:
            self.library.give_back(job)
        elif job.goal == "identify" and luck < .9:
            self.library.join(job, self.chance.choice([f"series-of-{job.account}"] * 5 + [""]))
        else:
            covers = "series" if job.series and self.chance.random() < .7 else "booking"
            if self.library.settle(job, self.chance.choice(OUTCOMES[job.goal]), covers=covers) == ["look"]:
                self.library.settle(job, "cancelled")
        self.check()

    def work(self) -> None:
        while self.chance.random() < .55:
            if self.jobs and self.chance.random() < .6:
                self.act()
            else:
                self.take(self.chance.choice([1, 2, 100]))
        if self.chance.random() < .05:
            self.chance.choice([self.library.leave, self.library.die])("w1")
            self.jobs = [job for job in self.jobs if not job.token.startswith("w1/")]
            self.check()

    def finish(self) -> None:
        """Goes on until there is nothing to do; nobody waits for a due time."""
        client, key = self.library.client, self.library.key
        for _ in range(200):
            for name in self.library.retries():
                client.zadd(key("retry"), {name: 0})
            for series in self.library.keys("series:"):
                client.hset(series, "first_ms", 0)
            self.take(100)
            while self.jobs:
                self.act(fail=False)
            if not self.library.queue() and not self.library.retries():
                return
        raise AssertionError(f"it never ends: {self.library.queue()} {self.library.retries()}")


def check_end(library: Library) -> None:
    bookings, dead = library.bookings(), library.dead()
    still_open = {id_ for id_, b in bookings.items() if b["state"] in OPEN and b.get("first_seen")}
    assert still_open <= set(dead), "open, and in nobody's hands"
    if not still_open:
        assert [library.purses(account)[1] for account in ACCOUNTS] == [0, 0], "held, and nothing is open"
    for id_, b in bookings.items():
        assert b["state"] == "accepting" or int(b.get("held", 0)) == 0, f"booking {id_} is over and holds"


@settings(max_examples=HISTORIES, deadline=None, derandomize=True, database=None,
          suppress_health_check=list(HealthCheck))
@given(seed=strategies.integers(0, 2**32))
def test_random_histories(shared_client, seed):
    chance = random.Random(seed)
    library = Library(shared_client, f"h{next(NAMESPACES)}")
    library.install(DEFAULT_POLICY, "default")
    library.terms(**{"cost:1": 1, "cost:2": 3, "cost:3": 0})
    for account in ACCOUNTS:
        library.grant(account, chance.randint(1, 12))
    town, workers = Town(chance), Workers(library, chance)
    for _ in range(chance.randint(1, 5)):
        town.book()
    for event in town.delivered():
        flat = [part for pair in event.fields.items() for part in pair]
        library.call("record", event.id, event.kind, event.created_ms, KEEP_MS, *flat)
        workers.check()
        workers.work()
    workers.finish()
    check_end(library)
    shared_client.delete(*library.keys())
