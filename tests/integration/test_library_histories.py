"""Random histories against the real library: members book in every way, events come twice, late, in any order or
never, workers fail, leave and come back, Cal.com answers anything, and an operator has his hands in it. After
every call the invariants hold (see invariants.py); in the end nothing is open, and nothing is held.

A new function of the library gets a rule here. A rule draws all it does from its arguments, so that hypothesis
can shrink what it found to a few steps; what is found is kept as a test of its own, beside those it resembles.

TOLLGATE_HISTORIES=5000 runs so many, other ones each time; without it the same few are run always.
"""

import argparse
import itertools
import os
import sys
import time
from collections import Counter
from typing import Any, Callable, Dict, List, NamedTuple, Optional, Set, Tuple

import pytest
import redis
from hypothesis import HealthCheck, settings
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule, run_state_machine_as_test
from hypothesis.strategies import booleans, fixed_dictionaries, integers, lists, sampled_from

import invariants
from harness import ROOT
from library import DAY_S, DEFAULT_POLICY, KEEP_MS, Job, Library, now_ms

sys.path.insert(0, str(ROOT / "scripts" / "lib"))
from tollgate import verify  # noqa: E402
from tollgate.link import Link  # noqa: E402

ANN, BOB, EVE = "ann@example.com", "bob@example.com", "eve@example.com"  # nobody made Eve's account
HOST = "host@example.com"
HISTORIES = os.environ.get("TOLLGATE_HISTORIES")
STEPS = 80

# What Cal.com may say to each goal; the likely answer more often.
OUTCOMES = {
    "accept": ["accepted"] * 5 + ["cancelled", "gone", "rejected", "refused"],
    "reject": ["rejected"] * 4 + ["cancelled", "accepted", "refused"],
    "withdraw": ["cancelled", "cancelled", "rejected", "gone"],
    "look": ["accepted", "cancelled", "rejected"],
    "identify": ["cancelled", "gone", "rejected"],
}

POLICIES = {
    "default": DEFAULT_POLICY,
    "puts off": """return function(booking, account)
  if not account or account.balance < 2 then return { defer = 1, reason = 'on the waiting list' } end
  return { accept = true, cost = 2, reason = 'there is room' }
end""",
    "fails for bob": """return function(booking, account)
  if booking.account == 'bob@example.com' then error('no bob') end
  return { accept = booking.open < 2, cost = 1, reason = 'so many at a time' }
end""",
}

# Draws. Numbers are places in lists that are as long as the history made them.
WHICH = integers(0, 11)
ACCOUNT = sampled_from([ANN, BOB, EVE])
EVENT_TYPE = sampled_from("123")
START = sampled_from([0, 1, 2])
WORKER = integers(0, 1)
WANTED = fixed_dictionaries({
    "how": sampled_from(["requested", "requested", "click", "series", "seats", "seat again", "guide", "paid", "payment",
                         "nobody's", "by hand"]),
    "account": ACCOUNT, "other": ACCOUNT, "event_type": EVENT_TYPE, "start": START, "count": integers(2, 4)})


class Event(NamedTuple):
    id: str
    kind: str
    created_ms: int
    fields: Dict[str, Any]


class Made(NamedTuple):
    """A booking at Cal.com."""

    id: str
    fields: Dict[str, Any]
    after: Set[str]  # what happened to it since

    @property
    def slot(self) -> Optional[str]:
        return self.id.split(":")[0] if "seat" in self.fields else None


class History(RuleBasedStateMachine):
    def __init__(self, client: redis.Redis, link: Link) -> None:
        super().__init__()
        client.flushdb()
        self.library = Library(client, "h")
        self.link = link
        self.clock = itertools.count(now_ms() - 50000, 137)
        self.ids = itertools.count(1)
        self.starts = [int(time.time()) + s for s in (10 * DAY_S, 11 * DAY_S, 7200)]
        self.made: List[Made] = []
        self.freed: Counter[Tuple[str, str]] = Counter()  # slot, member -> how many seats were freed
        self.series_of: Dict[str, str] = {}  # booking -> what Cal.com names its series
        self.coming: List[Event] = []  # webhooks on their way
        self.heard: List[Event] = []
        self.names = (f"w{n}" for n in itertools.count(1))  # a worker that starts anew has a new one
        self.workers = [next(self.names), next(self.names)]
        self.jobs: List[Job] = []
        self.past: List[Job] = []  # put down, or of workers that are gone
        self.mode = "decide"
        self.pushed: Set[str] = set()
        self.decided: Dict[str, Any] = {}
        self.reopened: Counter[str] = Counter()

    def check(self) -> None:
        view = self.library.view()
        found = view.found()
        # One that was taken again is where it should be.
        self.pushed = {id_ for id_ in self.pushed if len(found.get(id_, ())) != (view.bookings[id_]["place"] != "none")}
        invariants.check_all(view, self.library.by_hand, self.pushed, self.decided, self.reopened)
        freed = Counter((id_.split(":")[0], b["email"]) for id_, b in view.bookings.items()
                        if ":" in id_ and {"cancelled_ms", "rejected_ms"} & b.keys())
        assert not freed - self.freed, f"Cal.com did not free these seats: {freed - self.freed}"

    @initialize(first=lists(WANTED, min_size=1, max_size=3), settled=booleans(), whole_series=booleans(),
                ann=integers(0, 12), bob=integers(0, 12),
                endings=fixed_dictionaries({goal: sampled_from(outcomes) for goal, outcomes in OUTCOMES.items()}))
    def begin(self, first: List[Dict[str, Any]], settled: bool, whole_series: bool, ann: int, bob: int,
              endings: Dict[str, str]) -> None:
        self.library.install(DEFAULT_POLICY, "default")
        self.library.terms(**{"cost:1": 1, "cost:2": 3, "cost:3": 0})
        for account, amount in ((ANN, ann), (BOB, bob)):
            self.library.member(account, amount)
        self.whole_series = whole_series  # whether the API acts on all of a series at once: v2 does
        self.endings = endings
        for wanted in first:
            self.book(wanted)
        if settled:
            self.deliver(len(self.coming), 0)
            self.work(0, 0, 0)
            self.work(1, 0, 0)

    # ---- Members and hosts at Cal.com ----

    def emit(self, id_: str, kind: str, **fields: Any) -> None:
        told = {name: value for name, value in fields.items() if value is not None}
        self.coming.append(Event(id_, kind, next(self.clock), told))

    def request(self, fields: Dict[str, Any], kind: str = "requested", id_: str = "", **more: Any) -> Made:
        id_ = id_ or str(next(self.ids))
        made = Made(id_, {"uid": f"u{id_}", "requires_confirmation": "yes", **fields, **more}, set())
        self.made.append(made)
        self.emit(id_, kind, **made.fields)
        return made

    def slot(self, account: Optional[str], event_type: str, start: int) -> Dict[str, Any]:
        return {"account": account, "email": account or ANN, "event_type": event_type,
                "start": self.starts[start], "end": self.starts[start] + 3600}

    def book_one(self, how: str, account: str, **slot: Any) -> None:
        fields = self.slot(None if how == "nobody's" else account, **slot)
        if how == "guide":
            self.request(fields, "created", requires_confirmation=None)
        elif how == "by hand":
            self.request(fields, "created")
        elif how == "payment":
            made = self.request(fields, "payment")
            self.emit(made.id, "requested", paid="yes", **made.fields)
        else:
            self.request(fields, paid="yes" if how == "paid" else None)

    def click_thrice(self, account: str, **slot: Any) -> None:
        for _ in range(3):
            self.request(self.slot(account, **slot))

    def book_series(self, account: str, count: int, **slot: Any) -> None:
        name = f"series-{len(self.series_of)}"
        for week in range(count):
            fields = self.slot(account, **slot)
            later = {time: fields[time] + week * 7 * DAY_S for time in ("start", "end")}
            self.series_of[self.request({**fields, **later}, occurrences=count).id] = name

    def take_seats(self, parent: Any, accounts: List[str], bypassed: bool, **slot: Any) -> None:
        for account in dict.fromkeys(accounts):  # nobody sits twice in a slot
            name = f"s{next(self.ids)}"
            self.request({**self.slot(account, **slot), "uid": f"u{parent}", "seat": name, "seats": "yes"},
                         "created" if bypassed and account != accounts[0] else "requested", f"{parent}:{name}")

    def take_a_seat_again(self) -> None:
        """Who was freed last, or left, sits down in the same slot."""
        free = [made for made in self.made if made.slot and {"cancelled", "rejected"} & made.after]
        made = free.pop() if free else None
        if made and "again" not in made.after:
            made.after.add("again")
            self.take_seats(made.slot, [made.fields["email"]], False, event_type=made.fields["event_type"], start=0)

    @rule(wanted=WANTED)
    def book(self, wanted: Dict[str, Any]) -> None:
        how, account, other, count = (wanted[name] for name in ("how", "account", "other", "count"))
        slot = {name: wanted[name] for name in ("event_type", "start")}
        if how == "click":
            self.click_thrice(account, **slot)
        elif how == "series":
            self.book_series(account, count, **slot)
        elif how == "seats":
            self.take_seats(next(self.ids), [account, other, EVE][:count - 1], count == 4, **slot)
        elif how == "seat again":
            self.take_a_seat_again()
        else:
            self.book_one(how, account, **slot)

    @precondition(lambda self: self.made)
    @rule(which=WHICH, account=sampled_from([None, None, ANN, BOB]), event_type=sampled_from([None, "1", "2", "3"]),
          start=START, kind=sampled_from(["requested", "requested", "rescheduled"]))
    def reschedule(self, which: int, account: Optional[str], event_type: Optional[str], start: int, kind: str) -> None:
        old = self.made[which % len(self.made)]
        if "rescheduled" in old.after:
            return
        old.after.add("rescheduled")
        fields = {name: value for name, value in old.fields.items() if name != "occurrences"}
        fields.update(start=self.starts[start] + 3600, end=self.starts[start] + 7200, reschedule_uid=old.fields["uid"])
        fields.update({"account": account, "email": account} if account and not old.slot else {})
        fields.update({"event_type": event_type} if event_type else {})
        id_ = str(next(self.ids))
        if old.id in self.series_of:  # it stays in its series, and its webhook may tell so or not
            self.series_of[id_] = self.series_of[old.id]
            fields.update({"occurrences": old.fields.get("occurrences")} if start == 0 else {})
        self.request({**fields, "uid": f"u{id_}"}, kind, f"{id_}:{fields['seat']}" if old.slot else id_)

    @precondition(lambda self: self.made)
    @rule(which=WHICH, what=sampled_from(["cancelled by the member", "cancelled by the host", "rejected", "created"]))
    def go_on(self, which: int, what: str) -> None:
        """The host or the member does something by hand, or Cal.com tells what we did."""
        made = self.made[which % len(self.made)]
        kind, _, by = what.partition(" by the ")
        if kind in made.after:
            return
        made.after.add(kind)
        fields = {name: value for name, value in made.fields.items() if name not in ("reschedule_uid", "seat")}
        if by:
            fields["cancelled_by"] = fields["email"] if by == "member" else HOST
        if made.slot:
            fields["attendees"] = fields["email"]
            self.freed[made.slot, fields["email"]] += kind in ("cancelled", "rejected")
        self.emit(made.slot or made.id, kind, **fields)

    # ---- Webhooks ----

    def record(self, event: Event) -> None:
        flat = [part for pair in event.fields.items() for part in pair]
        self.library.call("record", event.id, event.kind, event.created_ms, KEEP_MS, *flat)
        self.check()

    def deliver(self, count: int, late: int) -> None:
        for _ in range(min(count, len(self.coming))):
            event = self.coming.pop(min(late, len(self.coming) - 1))
            self.heard.append(event)
            self.record(event)

    @precondition(lambda self: self.coming)
    @rule(count=integers(1, 4), late=sampled_from([0, 0, 0, 1, 2, 5]))
    def hear(self, count: int, late: int) -> None:
        self.deliver(count, late)

    @precondition(lambda self: self.heard)
    @rule(which=WHICH, subscribed_twice=booleans())
    def hear_again(self, which: int, subscribed_twice: bool) -> None:
        event = self.heard[-1 - which % len(self.heard)]
        # Each subscription has a createdAt of its own, next to the other's.
        self.record(event._replace(created_ms=event.created_ms + 1) if subscribed_twice else event)

    @precondition(lambda self: self.coming)
    @rule(late=sampled_from([0, 1, 2]))
    def hear_never(self, late: int) -> None:
        self.coming.pop(min(late, len(self.coming) - 1))

    # ---- Workers ----

    def take_jobs(self, worker: int, count: int) -> None:
        taken = self.library.take(self.workers[worker], count=count, mode=self.mode).jobs
        self.jobs += taken
        self.check()
        for job in taken:
            assert job.goal != "accept" or not self.is_withdrawn(job), f"{job} is to be confirmed, and is withdrawn"

    def is_withdrawn(self, job: Job) -> bool:
        """As booking.is_withdrawn."""
        return not {"cancelled_ms", "rejected_ms", "successor"}.isdisjoint(self.library.booking(job.id))

    def put_down(self, job: Job, answer: List[Any]) -> None:
        assert answer != ["stale"], f"{job} was in hand, and was somebody else's"
        self.past.append(job)
        self.check()

    def settle(self, job: Job, outcome: str, members: str = "") -> None:
        covers = "series" if job.series and self.whole_series else "booking"
        must_look = job.goal == "accept" and outcome == "accepted" and self.is_withdrawn(job)
        answer = self.library.settle(job, outcome, covers=covers, members=members if covers == "series" else "")
        assert answer == ["look"] or not must_look, f"{job} was withdrawn while it was confirmed"
        if answer == ["look"]:
            self.jobs.append(job._replace(goal="withdraw"))
            self.check()
        else:
            self.put_down(job, answer)

    def finish(self, job: Job, answer: int) -> None:
        outcomes = OUTCOMES[job.goal]
        if job.goal == "identify" and answer < 10:
            self.put_down(job, self.library.join(job, self.series_of[job.id] if answer < 8 else ""))
        else:
            self.settle(job, outcomes[answer % len(outcomes)], self.members(answer))

    def members(self, answer: int) -> str:
        """How each booking of the series stands, as far as Cal.com's answer tells."""
        words = ["accepted", "rejected", "cancelled", "pending"]
        told = [made.fields["uid"] for made in self.made if made.id in self.series_of][answer % 3:]
        return " ".join(f"{uid} {words[(answer + i) % 4]}" for i, uid in enumerate(told)) if answer % 2 else ""

    def pick(self, which: int) -> Job:
        return self.jobs.pop(which % len(self.jobs))

    @rule(worker=WORKER, count=sampled_from([1, 2, 100]))
    def take(self, worker: int, count: int) -> None:
        self.take_jobs(worker, count)

    @rule(worker=WORKER, answer=WHICH, left=sampled_from([0, 0, 1, 2]))
    def work(self, worker: int, answer: int, left: int) -> None:
        """Takes what is there, and acts on all in hand but some."""
        self.take_jobs(worker, 100)
        for _ in range(len(self.jobs) - left):
            self.finish(self.pick(0), answer)

    @rule(late=sampled_from([0, 0, 1]), worker=WORKER, answer=WHICH, left=sampled_from([0, 1]))
    def hear_and_work(self, late: int, worker: int, answer: int, left: int) -> None:
        self.deliver(1, late)
        self.work(worker, answer, left)

    @precondition(lambda self: self.jobs)
    @rule(which=WHICH, answer=WHICH)
    def act(self, which: int, answer: int) -> None:
        self.finish(self.pick(which), answer)

    @precondition(lambda self: self.jobs)
    @rule(which=WHICH, how=sampled_from(["at once", "later", "uncounted", "given back"]))
    def fail(self, which: int, how: str) -> None:
        job = self.pick(which)
        if how == "given back":
            self.put_down(job, self.library.give_back(job))
        else:
            self.put_down(job, self.library.retry(job, 60000 if how == "later" else 0, burn=how != "uncounted"))

    @precondition(lambda self: self.past)
    @rule(which=WHICH, outcome=sampled_from(["accepted", "rejected", "cancelled", "refused"]))
    def be_too_late(self, which: int, outcome: str) -> None:
        """Steps of a take that is over: of one that was settled, or of a worker that is gone."""
        job = self.past[-1 - which % len(self.past)]
        before = self.library.snapshot(stats=False)
        assert self.library.settle(job, outcome) == self.library.retry(job) == self.library.give_back(job) == ["stale"]
        assert self.library.join(job, "s") == ["stale"] and self.library.snapshot(stats=False) == before

    def ask_again(self, worker: int) -> None:
        """The answer of the newest take was lost on its way: the same number gives what is still in hand of it."""
        name = self.workers[worker]
        number = self.library.client.hget(self.library.key(f"worker:{name}"), "seq")
        if int(number or 0):  # nothing is taken in a pause
            again = self.library.take(name, number, 2, mode=self.mode)
            assert sorted(again.ids) == sorted(job.id for job in self.jobs if job.token == f"{name}/{number}")
            self.check()

    def lie_down(self, worker: int) -> None:
        """What a blocking pop does; it never begins without a lease."""
        key = self.library.key
        self.library.lease(self.workers[worker])
        self.library.client.lmove(key("queue"), key("active:" + self.workers[worker]), "RIGHT", "LEFT")
        self.check()

    def leave(self, worker: int) -> None:
        name, self.workers[worker] = self.workers[worker], next(self.names)
        self.library.leave(name)
        self.forget(name)

    def die(self, worker: int) -> None:
        """It ended without a word, and others found out."""
        name, self.workers[worker] = self.workers[worker], next(self.names)
        if self.library.client.zscore(self.library.key("workers"), name):  # it took something once
            self.library.die(name)
        self.forget(name)

    def forget(self, name: str) -> None:
        mine = [job for job in self.jobs if job.worker == name]
        self.jobs = [job for job in self.jobs if job not in mine]
        self.past += mine
        self.check()

    @rule(worker=WORKER, how=sampled_from(["ask again", "lie down", "leave", "die", "die"]))
    def stumble(self, worker: int, how: str) -> None:
        getattr(self, how.replace(" ", "_"))(worker)

    @rule()
    def wait(self) -> None:
        """Until all that waits is due, and no series is gathered any longer."""
        client, key = self.library.client, self.library.key
        waiting = self.library.retries()
        if waiting:
            client.zadd(key("retry"), {name: 0 for name in waiting})
        for series in self.library.keys("series:"):
            client.hset(series, "first_ms", 0)

    # ---- Operators ----

    def refused(self, call: Callable[..., Any], *args: Any, **fields: Any) -> None:
        """A call that the library may refuse, but only for what is the operator's own."""
        try:
            call(*args, **fields)
        except redis.ResponseError as error:
            parts = ("less than", "no account", "not a whole number", "used for this")
            assert any(part in str(error) for part in parts), error

    def change_account(self, what: str, account: str, amount: int) -> None:
        library = self.library
        if what.startswith("grant"):
            self.refused(library.grant, account, amount, key="dues" if what == "grant once" else "")
        elif what in ("debit", "overdraw"):
            self.refused(library.debit, account, amount, overdraw=what == "overdraw")
        elif what in ("set", "spoil"):
            library.credit(account, balance=amount if what == "set" else "many")
        else:
            self.refused(library.member, account, blocked="yes" if what == "block" else "no")
        self.check()

    def push(self, id_: str) -> None:
        """At redis-cli; any booking."""
        self.pushed.add(id_)
        self.library.push(id_)
        self.check()

    @rule(what=sampled_from(["grant", "grant once", "debit", "overdraw", "set", "spoil", "block", "unblock", "cost",
                             "notice", "push", "push", "push", "pause", "resume", *POLICIES, "observe", "decide"]),
          account=ACCOUNT, amount=integers(1, 9), which=WHICH)
    def operate(self, what: str, account: str, amount: int, which: int) -> None:
        if what in POLICIES:
            self.library.install(POLICIES[what], "operator")
        elif what in ("observe", "decide"):
            self.mode = what
        elif what in ("pause", "resume"):
            getattr(self.library, what)()
        elif what in ("cost", "notice"):
            self.library.terms(**({"cost:1": amount} if what == "cost" else {"refund_notice_hours": amount}))
        elif what != "push":
            self.change_account(what, account, amount)
        elif self.decided:
            self.push(list(self.decided)[which % len(self.decided)])

    def rule_dead(self, id_: str, what: str) -> None:
        """A person's decision is one more; what is refused changes nothing."""
        before = self.library.view()
        [answer] = self.library.rule(what, id_)
        if answer not in ("accepted", "rejected"):
            assert self.library.view() == before, answer
            return
        self.decided.pop(id_, None)
        self.reopened[id_] += 1
        assert self.library.state(id_) == ("accepting" if what == "accept" else "rejecting")
        assert self.library.place(id_) == "queue"

    @precondition(lambda self: self.library.dead())
    @rule(which=WHICH, what=sampled_from(["requeue", "requeue", "discard", "accept", "reject"]))
    def decide_about_dead(self, which: int, what: str) -> None:
        dead = self.library.dead()
        id_ = dead[which % len(dead)]
        if what == "discard":
            self.library.discard(id_)
        elif what != "requeue":
            self.rule_dead(id_, what)
        else:
            failed = [one for one, b in self.library.view().bookings.items() if b["state"] == "failed"]
            assert self.library.requeue(id_) == ["requeued"]
            for one in failed:  # what Cal.com refused is decided anew
                if self.library.state(one) != "failed":
                    self.decided.pop(one, None)
                    self.reopened[one] += 1
        self.check()

    # ---- The end ----

    def mend(self) -> None:
        """An operator puts right what the history left wrong."""
        self.library.resume()
        self.mode = "decide"
        self.library.install(DEFAULT_POLICY, "operator")
        for account, fields in self.library.view().accounts.items():
            if fields["balance"] == "many":
                self.library.credit(account, balance=5)

    def go_home(self) -> None:
        """Until there is nothing to do; Cal.com answers each goal in one way."""
        for _ in range(60):
            self.wait()
            self.take_jobs(0, 100)
            while self.jobs:
                job = self.pick(0)
                if job.goal == "identify":
                    self.finish(job, 0)
                else:
                    self.settle(job, self.endings[job.goal])
            if not self.library.queue() and not self.library.retries():
                return
        raise AssertionError(f"it never ends: {self.library.queue()} {self.library.retries()}")

    def teardown(self) -> None:
        # What failed is told as it is, and not what comes of going on.
        if sys.exc_info()[0] is not None or not hasattr(self, "endings"):
            return
        self.deliver(len(self.coming), 0)
        self.leave(1)
        self.mend()
        # Twice: what is parked keeps those waiting that replace it.
        for _ in range(2):
            for id_ in self.library.dead():
                self.push(id_)
            self.go_home()
        view = self.library.view()
        assert not view.places.get("queue") and not view.places.get("retry")
        for id_, b in view.bookings.items():
            assert b["state"] not in invariants.OPEN or "first_seen" not in b, f"booking {id_} is open: {b}"
            assert invariants.amount(b, "held") == 0, f"booking {id_} is over and holds: {b}"
        assert all(invariants.amount(fields, "held") == 0 for fields in view.accounts.values())
        named = [one for one in verify.verify(self.link)[1] if not one.by_hand]
        assert not named, "scripts/credit verify has something to name"


@pytest.fixture
def own_client(shared_redis):
    """A database of its own, emptied for each history."""
    return shared_redis.client(db=1)


def test_random_histories(shared_redis, own_client):
    link = Link(argparse.Namespace(redis=shared_redis.url[:-1] + "1", namespace="h"))
    run_state_machine_as_test(lambda: History(own_client, link), settings=settings(
        max_examples=int(HISTORIES or 150), stateful_step_count=STEPS, deadline=None, derandomize=HISTORIES is None,
        database=None, suppress_health_check=list(HealthCheck)))
