"""Where the time of bookings went, from a webhook's receipt until the booking was settled: into answers of Cal.com,
into waiting because Cal.com failed, or into us. What decides this reads no clock and no Redis."""

import statistics
from typing import Any, Dict, Iterable, List, NamedTuple, Optional, Sequence, Tuple

Span = Tuple[int, int]  # from, to; ms

FAILED = {"unknown", "transient", "throttled", "credentials", "no_route"}  # of worker/calcom.c's classes

FIELDS = ("received_ms", "requested_ms", "decided_ms", "settled_ms", "calls")

FAST_MS = 2000  # nobody asks who is slow below that


class Call(NamedTuple):
    began: int
    ended: int
    failed: bool


class Parts(NamedTuple):
    """Of one booking, in ms. total = calcom + held_back + ours."""

    total: int
    calcom: int     # a call was on its way
    held_back: int  # none was, because one had failed or the breaker was open
    ours: int
    delivery: Optional[int]  # before that: from the event at Cal.com to the webhook's receipt, if the clocks agree


def merged(spans: Iterable[Span], within: Span) -> List[Span]:
    """The same time, in order and without overlaps, cut at both ends."""
    found: List[Span] = []
    for begin, end in sorted((max(a, within[0]), min(b, within[1])) for a, b in spans):
        if end <= begin:
            continue
        if found and begin <= found[-1][1]:
            found[-1] = (found[-1][0], max(end, found[-1][1]))
        else:
            found.append((begin, end))
    return found


def length(spans: Iterable[Span]) -> int:
    return sum(end - begin for begin, end in spans)


def calls_of(text: str) -> List[Call]:
    """See common/redis/booking.lua: began took call status class detail."""
    read = []
    for line in text.splitlines():
        words = line.split(" ", 5)
        if len(words) >= 5 and words[0].isdigit() and words[1].isdigit():
            read.append(Call(int(words[0]), int(words[0]) + int(words[1]), words[4] in FAILED))
    return sorted(read)


def parts(received: int, settled: int, calls: Sequence[Call], outages: Sequence[Span], requested: Optional[int]) -> Parts:
    life = (received, max(received, settled))
    asked = [(call.began, call.ended) for call in calls]
    after = [(call.ended, following.began) for call, following in zip(calls, calls[1:]) if call.failed]
    calcom = length(merged(asked, life))
    held_back = length(merged([*asked, *after, *outages], life)) - calcom
    total = life[1] - life[0]
    is_known = requested is not None and 0 <= received - requested < 3600000
    return Parts(total, calcom, held_back, total - calcom - held_back, received - requested if is_known else None)


def of_record(values: Any, outages: Sequence[Span]) -> Optional[Parts]:
    """FIELDS of a booking's record; None when it is not settled, or tells too little."""
    if not isinstance(values, list):
        return None
    told = dict(zip(FIELDS, values))
    times = [int(told[name]) if (told[name] or "").isdigit() else None for name in FIELDS[:4]]
    received, requested, decided, settled = times
    if received is None or decided is None or settled is None:
        return None
    return parts(received, settled, calls_of(told["calls"] or ""), outages, requested)


def outages_of(lines: Iterable[str]) -> List[Span]:
    """See common/redis/gate.lua: from, last seen, gate."""
    words = [line.split(" ") for line in lines]
    return [(int(one[0]), int(one[1])) for one in words if len(one) > 1 and one[0].isdigit() and one[1].isdigit()]


def _quantile(values: Sequence[int], share: float) -> int:
    return sorted(values)[min(len(values) - 1, int(len(values) * share))]


def summary(found: Sequence[Parts]) -> Dict[str, Any]:
    """Per part median, 95th percentile and the most, in ms; who took most of the time; and that as a sentence."""
    told: Dict[str, Any] = {"count": len(found)}
    if not found:
        return {**told, "slow": None, "text": "nothing was settled lately"}
    for name in Parts._fields:
        values = [value for value in (getattr(one, name) for one in found) if value is not None]
        told[name] = {"p50_ms": round(statistics.median(values)), "p95_ms": _quantile(values, 0.95), "max_ms": max(values),
                      "sum_ms": sum(values)} if values else None
    whole, calcom, back = (told[name]["sum_ms"] for name in ("total", "calcom", "held_back"))
    theirs = round(100 * (calcom + back) / whole) if whole else 0
    many = f"of the newest {len(found)} settled bookings half took {seconds(told['total']['p50_ms'])} at most"
    if told["total"]["p95_ms"] <= FAST_MS:
        return {**told, "slow": "nobody", "text": f"nobody is slow: {many}, and 95 in 100 {seconds(told['total']['p95_ms'])}"}
    if theirs < 50:
        return {**told, "slow": "us", "text": f"we are the slow one: {many}, and {100 - theirs} % of all their time was with us"}
    why = "its answers" if calcom >= back else "waiting because its calls failed"
    return {**told, "slow": "calcom", "text": f"Cal.com is the slow one: {many}, and {theirs} % of all their time was "
            f"Cal.com's, most of it {why}"}


def seconds(ms: int) -> str:
    """A length of time as people compare it."""
    return f"{ms} ms" if ms < 1000 else f"{ms / 1000:.1f} s" if ms < 100000 else f"{ms // 60000} min"
