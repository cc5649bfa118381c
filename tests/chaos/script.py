"""What will go wrong and what people will do: drawn from the seed before a run begins, so that a seed that
failed can be run again. (The same script is not the same run: programs and kernel keep their own time.)
"""

import random
from typing import Any, Dict, Iterator, List, NamedTuple, Optional, Tuple

# ---- Faults ----

# How often per minute, over the whole cast. In a quarter of an hour: 111 kills of ingests and of workers,
# 15 of Redis.
PER_MINUTE = {
    "kill-ingest": 7.4, "kill-worker": 7.4, "kill-redis": 1.0,
    "stop-ingest": 1.5, "stop-worker": 2.0, "stop-redis": 0.8,
    "restart-ingest": 0.7, "restart-worker": 0.7,
    "cut-ingest": 1.0, "cut-worker": 1.5, "cut-calcom": 0.7, "break-redis": 1.5,
    "disk": 0.7, "library": 0.3, "api": 9.0,
}

# For how long (s, least and most; short ones are likelier). A kill: until it is started again.
LASTS = {
    "kill-ingest": (0.05, 3), "kill-worker": (0.05, 5), "kill-redis": (0.1, 4),
    "stop-ingest": (0.3, 12), "stop-worker": (0.3, 20), "stop-redis": (0.2, 8),
    "cut-ingest": (0.3, 8), "cut-worker": (0.3, 10), "cut-calcom": (0.3, 6), "disk": (2, 8), "api": (0.5, 5),
}

# Webhooks on their way, per 1000.
WAY = {"lost": 15, "copied": 60, "delayed": 60, "delayMs": 3000}

SWITCHES = [*PER_MINUTE, "webhooks"]


class Fault(NamedTuple):
    at: float  # seconds after the beginning
    kind: str  # one of PER_MINUTE
    who: str  # ingest1, worker2, redis, calcom
    lasts: float
    rule: Optional[Dict[str, Any]] = None  # api: what the fake is told

    def row(self) -> Dict[str, Any]:
        return {field: value for field, value in self._asdict().items() if value is not None}


def api_rule(draw: random.Random) -> Dict[str, Any]:
    """A fault of the API, for some calls, or (times -1) for all calls until it ends."""
    times = draw.choice([3, 10, 30, -1])
    action = draw.choice(["any", "any", "act", "get"])
    kind = draw.choice(["throttle", "status", "status", "hang", "reset_before", "reset_after", "latency", "latency"])
    rule: Dict[str, Any] = {"kind": kind, "action": action, "times": times}
    if kind == "throttle":
        rule.update(reset=draw.choice([1, 2, 3]), times=draw.choice([1, 2, 5]))
    elif kind == "status":
        rule.update(status=draw.choice([500, 500, 502, 503]), after=draw.random() < 0.3)
    elif kind == "hang":
        rule.update(after=draw.random() < 0.4)
    elif kind == "latency":
        rule.update(ms=draw.choice([100, 400, 1200]), between=draw.random() < 0.5, times=draw.choice([30, 100]))
    return rule


def _times(draw: random.Random, per_minute: float, seconds: float) -> Iterator[float]:
    """Spread evenly but for some unrest, so that a number that was promised is reached."""
    count = int(per_minute * seconds / 60 + draw.random())
    for i in range(count):
        yield (i + draw.random()) * seconds / count


def _actors(kind: str, cast: Dict[str, int]) -> List[str]:
    what = {"disk": "ingest", "library": "redis", "api": "calcom"}.get(kind, kind.split("-")[-1])
    if kind == "cut-calcom":
        what = "worker"
    return [f"{what}{i + 1}" for i in range(cast[what])] if what in cast else [what]


def make_faults(seed: int, seconds: float, cast: Dict[str, int], switches: List[str]) -> List[Fault]:
    """Nobody suffers two things at a time. Who is busy lets another one go first, or all of it wait."""
    draw = random.Random(f"{seed} faults")
    wanted: List[Tuple[float, str]] = []
    for kind, per_minute in PER_MINUTE.items():
        if kind in switches:
            wanted += [(at, kind) for at in _times(draw, per_minute, seconds)]
    free_at: Dict[str, float] = {}
    faults = []
    for at, kind in sorted(wanted):
        least, most = LASTS.get(kind, (0, 0))
        lasts = least + (most - least) * draw.random() ** 3
        actors = _actors(kind, cast)
        draw.shuffle(actors)
        who = min(actors, key=lambda actor: max(free_at.get(actor, 0), at))
        at = max(at, free_at.get(who, 0))
        rule = api_rule(draw) if kind == "api" else None
        if kind != "api":  # these may overlap as they like
            free_at[who] = at + lasts + 0.5
        if kind == "disk":  # it is written to only while Redis is away
            free_at["redis"] = at + lasts + 0.5
        if at + lasts < seconds:
            faults.append(Fault(round(at, 3), kind, who, round(lasts, 3), rule))
    return sorted(faults, key=lambda fault: fault.at)


# ---- People ----

COSTS = {"1207": 1, "1300": 2, "1301": 1}
TYPES = ["1207:requires-confirmation", "1300:requires-confirmation", "1301:auto"]  # as the fake is told them

# What becomes of a booking, and how often per 1000; what is left is booked and that is all.
PLOTS = {
    "cancel": 80,  # the member changes his mind
    "cancel-late": 20,  # a booking for today, cancelled by the member: too late for a refund
    "host-cancel": 30, "host-confirm": 20, "host-decline": 20,
    "move": 50,  # rescheduled
    "move-twice": 10,
    "twins": 20,  # one click, two bookings
    "pair": 30,  # two bookings, one after the other, and credit for one
}


class Plot(NamedTuple):
    at: float
    what: str  # one of PLOTS, or "book"
    member: str
    event_type: str
    waits: Tuple[float, float]  # seconds before what comes next


def make_plots(seed: int, seconds: float, rate: float) -> Tuple[List[Plot], Dict[str, int]]:
    """Who books when, and what everybody has to begin with."""
    draw = random.Random(f"{seed} people")
    count = int(seconds * rate)
    members = [f"m{i}@chaos.example" for i in range(max(10, count // 25))]
    credit = {member: draw.randint(5, 40) for member in members}
    plots = []
    for i in range(count):
        at = (i + draw.random()) / rate
        dice, what = draw.randrange(1000), "book"
        for name, share in PLOTS.items():
            if dice < share:
                what = name
                break
            dice -= share
        member = draw.choice(members)
        event_type = draw.choices(list(COSTS), [80, 10, 10])[0]
        if what == "pair":
            member, event_type = f"pair{i}@chaos.example", "1207"
            credit[member] = 1
        waits = (draw.random() ** 2 * 5, draw.random() ** 2 * 5)
        plots.append(Plot(at, what, member, event_type, waits))
    return plots, credit
