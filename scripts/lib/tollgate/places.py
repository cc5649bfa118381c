"""Where bookings' names are: waiting, in a worker's hands, to be tried again, dead. Reads little at a time, however
many there are. Times are Redis's own, in ms."""

import collections
import re
from typing import Any, Dict, Iterator, List, Optional, Sequence, Tuple

from tollgate.link import PAGE, Link

SHOWN = 10  # of those to be tried again, of the dead and of their reasons
GROUPED = 10000  # of the dead, the newest: whose reasons are counted

EXPIRED = "its record has expired"

FIELDS = ("state", "place", "account", "event_type", "received_ms", "taken_ms", "attempts", "last_error")


def now_ms(link: Link) -> int:
    seconds, micros = link.client.time()
    return seconds * 1000 + micros // 1000


def number(text: Optional[str]) -> Optional[int]:
    return int(text) if text and text.isascii() and text.isdigit() else None


def records(link: Link, names: Sequence[str]) -> List[Dict[str, Any]]:
    """What lists show of these bookings, in order. One without a record has `state` None."""
    rows = []
    told: List[Any] = []
    for start in range(0, len(names), PAGE):
        told += link.bulk([("HMGET", link.key("booking:" + name), *FIELDS) for name in names[start:start + PAGE]])
    for name, values in zip(names, told):
        b = dict(zip(FIELDS, values if isinstance(values, list) else [None] * len(FIELDS)))
        rows.append({"booking": name, "state": b["state"], "account": b["account"], "event_type": b["event_type"],
                     "received_ms": number(b["received_ms"]), "attempts": number(b["attempts"]) or 0,
                     "taken_ms": number(b["taken_ms"]) if b["place"] == "active" else None,
                     "why": b["last_error"] or "" if b["state"] else EXPIRED})
    return rows


# ---- In somebody's hands ----

def active(link: Link, workers: Sequence[Tuple[str, float]]) -> List[Dict[str, Any]]:
    """What each worker has in hand."""
    keys = [link.key("active:" + worker) for worker, _ in workers]
    counts = link.bulk([("LLEN", key) for key in keys])
    oldest = link.bulk([("LINDEX", key, 0) for key in keys])  # taken on the right; a name on the left was laid there last
    taken = {row["booking"]: row["taken_ms"] for row in records(link, [name for name in oldest if isinstance(name, str)])}
    return [{"worker": worker, "in_hand": count if isinstance(count, int) else 0, "oldest_taken_ms": taken.get(name),
             "lease_ends_ms": int(ends)}
            for (worker, ends), count, name in zip(workers, counts, oldest)]


class Orphans:
    """Lists of workers that nobody knows any more. To find them one goes through the names of all keys, some at
    a time."""

    def __init__(self, link: Link) -> None:
        self.link = link
        self.cursor = 0
        self.found: Dict[str, int] = {}  # worker → names on its list, as of the last whole turn
        self.seen: Dict[str, int] = {}
        self.turns = 0

    def look(self, pages: int) -> None:
        for _ in range(pages):
            self.cursor, keys = self.link.client.scan(self.cursor, count=PAGE, _type="list")
            prefix = self.link.key("active:")
            workers = [key[len(prefix):] for key in keys if key.startswith(prefix)]
            known = self.link.bulk([("ZSCORE", self.link.key("workers"), worker) for worker in workers])
            left = self.link.bulk([("LLEN", prefix + worker) for worker in workers])
            self.seen.update({worker: count for worker, score, count in zip(workers, known, left)
                              if score is None and isinstance(count, int) and count > 0})
            if self.cursor == 0:
                self.found, self.seen = self.seen, {}
                self.turns += 1
                return

    def look_everywhere(self) -> "Orphans":
        while self.turns == 0:
            self.look(1)
        return self

    def rows(self) -> Optional[List[Dict[str, Any]]]:
        """None as long as not everything was looked at."""
        if self.turns == 0:
            return None
        return [{"worker": worker, "in_hand": count} for worker, count in sorted(self.found.items())]


# ---- Dead ----

def general(reason: str) -> str:
    """A reason without what is different for each booking."""
    return re.sub(r"\d{4,}", "…", re.sub(r"[^\s:;,]+@[^\s:;,]+", "…", reason))[:120]


def dead_names(link: Link, most: Optional[int] = None) -> Iterator[List[Tuple[str, int]]]:
    """Pages of dead bookings and when they were given up, the newest first; each once."""
    seen = set()
    start = 0
    while most is None or start < most:
        size = PAGE if most is None else min(PAGE, most - start)
        page = link.client.zrevrange(link.key("dead"), start, start + size - 1, withscores=True)
        if not page:
            return
        yield [(name, int(ms)) for name, ms in page if name not in seen]
        seen.update(name for name, _ in page)
        start += size


def dead(link: Link, most: Optional[int] = None) -> Iterator[Dict[str, Any]]:
    for page in dead_names(link, most):
        for (_, ms), row in zip(page, records(link, [name for name, _ in page])):
            yield {**row, "dead_ms": ms}


def reasons(rows: Sequence[Dict[str, Any]]) -> List[Dict[str, Any]]:
    """[{reason, count}], the most frequent first."""
    counted = collections.Counter(general(row["why"]) for row in rows)
    return [{"reason": reason, "count": count} for reason, count in counted.most_common()]


# ---- All of it ----

def to_retry(link: Link, most: int) -> List[Dict[str, Any]]:
    listed = link.client.zrange(link.key("retry"), 0, most - 1, withscores=True)
    return [{**row, "due_ms": int(due)} for (_, due), row in zip(listed, records(link, [name for name, _ in listed]))]


def status(link: Link, orphans: Orphans, grouped: int = GROUPED) -> Dict[str, Any]:
    now = now_ms(link)
    with link.client.pipeline(transaction=True) as pipe:
        pipe.hgetall(link.key("paused"))
        pipe.llen(link.key("queue"))
        pipe.lindex(link.key("queue"), -1)
        pipe.zrange(link.key("workers"), 0, -1, withscores=True)
        pipe.zcard(link.key("retry"))
        pipe.zcount(link.key("retry"), "-inf", now)
        pipe.zcard(link.key("dead"))
        pipe.zrange(link.key("dead"), 0, 0, withscores=True)
        paused, waiting, following, workers, retries, due, dead_count, oldest = pipe.execute()
    given_up = list(dead(link, grouped))
    return {
        "now_ms": now,
        "paused": {"by": paused.get("by"), "note": paused.get("note"), "since_ms": number(paused.get("since_ms"))}
                  if paused else None,
        "waiting": {"count": waiting, "next": records(link, [following])[0] if following else None},
        "workers": active(link, workers),
        "orphans": orphans.rows(),
        "retry": {"count": retries, "due": due, "next": to_retry(link, SHOWN)},
        "dead": {"count": dead_count, "oldest_ms": int(oldest[0][1]) if oldest else None, "grouped": len(given_up),
                 "reasons": reasons(given_up), "newest": given_up[:SHOWN]},
    }


def listed(link: Link, place: str, most: int) -> List[Dict[str, Any]]:
    """What is in one place: the next to be taken, or due, first; of the dead the newest."""
    if place == "waiting":
        return records(link, link.client.lrange(link.key("queue"), -most, -1)[::-1])
    if place == "retry":
        return to_retry(link, most)
    if place == "dead":
        return list(dead(link, most))
    rows = []
    workers = link.client.zrange(link.key("workers"), 0, -1)
    for worker in workers + [row["worker"] for row in Orphans(link).look_everywhere().rows() or []]:
        names = link.client.lrange(link.key("active:" + worker), 0, most - 1 - len(rows)) if len(rows) < most else []
        rows += [{**row, "worker": worker} for row in records(link, names)]
    return rows
