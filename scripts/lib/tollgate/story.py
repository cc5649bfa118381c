"""scripts/explain: everything known of one booking, as a story."""

import argparse
import json
from typing import Any, Dict, Iterator, List, NamedTuple, Optional, Tuple

from tollgate import terminal
from tollgate.link import DONE, Link, Parser, Problem, add_options, script

EVENTS = {"requested": "requested", "created": "accepted in Cal.com (BOOKING_CREATED)",
          "rescheduled": "rescheduled in Cal.com", "payment": "a payment began", "cancelled": "cancelled in Cal.com",
          "rejected": "declined in Cal.com"}

STATES = {"waiting": "waits to be decided", "accepting": "is to be confirmed in Cal.com",
          "rejecting": "is to be declined in Cal.com"}


class Line(NamedTuple):
    ms: int
    order: int  # of what happened in the same millisecond
    text: str
    more: Tuple[str, ...] = ()  # lines below it


def find(link: Link, name: str) -> str:
    """The booking's ID; a uid of Cal.com's will do."""
    for booking in (name, link.client.get(link.key("uid:" + name))):
        if booking and link.client.exists(link.key("booking:" + booking)):
            return booking
    final = link.client.hget(link.key("done"), name)
    if final:
        raise Problem(f"booking {name} was {final} long ago; its record has expired")
    seats = link.client.hkeys(link.key("seats:" + name))
    if seats:
        raise Problem(f"{name} is a slot with seats; ask for one of: {' '.join(sorted(seats))}")
    raise Problem(f"there is no booking {name} (an ID like 48213, or Cal.com's uid)")


def movements(link: Link, booking: str, account: str) -> List[Dict[str, Any]]:
    if not account:
        return []
    return [{"ms": int(entry_id.split("-")[0]), **entry}
            for entry_id, entry in link.client.xrange(link.key("ledger:" + account))
            if booking in (entry.get("booking"), entry.get("from"))]


def calls(b: Dict[str, str]) -> List[Dict[str, Any]]:
    """See common/redis/booking.lua: began took call status class detail."""
    read = []
    for line in b.get("calls", "").splitlines():
        began, took, call, status, answer, detail = (line.split(" ", 5) + [""] * 6)[:6]
        read.append({"ms": int(began), "took_ms": int(took), "call": call, "status": int(status), "class": answer,
                     "detail": detail})
    return read


def mendings(b: Dict[str, str]) -> List[Dict[str, Any]]:
    """What a person did when it was dead. See common/redis/booking.lua."""
    read = []
    for line in b.get("mended", "").splitlines():
        ms, what, by, note, why = (line.split("\t", 4) + [""] * 5)[:5]
        read.append({"ms": int(ms), "what": what, "by": by, "note": note, "why": why})
    return read


def pauses(link: Link, b: Dict[str, str]) -> List[Dict[str, Any]]:
    """Those that fell into the booking's life, the newest first; `until_ms` None: it is in force."""
    until_ms = int(b.get("settled_ms") or 2**53) if b["place"] == "none" else 2**53
    paused = link.client.hgetall(link.key("paused"))
    found = [{**paused, "until_ms": None}] if paused else []
    found += [{**entry, "until_ms": int(entry_id.split("-")[0])}
              for entry_id, entry in link.client.xrevrange(link.key("pauses"), min=b.get("received_ms", "-"))]
    return [one for one in found if (one.get("since_ms") or "").isdigit() and int(one["since_ms"]) < until_ms]


def _pause_lines(found: List[Dict[str, Any]]) -> Iterator[Line]:
    for one in found:
        note = f": {one['note']}" if one.get("note") else ""
        yield Line(int(one["since_ms"]), 6, f"the queue was paused by {one.get('by')}{note}")
        if one["until_ms"]:
            yield Line(one["until_ms"], 6, f"the queue was resumed by {one.get('resumed_by')}")


def _decision(b: Dict[str, str]) -> Line:
    more = [f"policy {b.get('policy', '')[:12]}, terms {b.get('terms', '')[:12] or 'none'}"]
    if b.get("account_was"):
        was = json.loads(b["account_was"])
        more.insert(0, "the account was " + (
            " ".join(f"{name}={value}" for name, value in sorted(was.items())) if was else "unknown"))
    return Line(int(b["decided_ms"]), 2, f"decided: {b['decision']}, cost {b.get('cost')}: {b.get('reason', '')}", tuple(more))


def story(b: Dict[str, str], moved: List[Dict[str, Any]], paused: List[Dict[str, Any]]) -> List[Line]:
    lines = [Line(int(b[kind + "_ms"]), 0, f"event: {text}") for kind, text in EVENTS.items() if b.get(kind + "_ms")]
    if b.get("decided_ms"):
        lines.append(_decision(b))
    for entry in moved:
        source = f" from {entry['from']}" if entry.get("from") else ""
        lines.append(Line(entry["ms"], 3, f"credit: {entry['kind']} {entry['amount']}{source} (balance {entry['balance']}, held "
                          f"{entry['held']}, spent {entry['spent']})"))
    for call in calls(b):
        lines.append(Line(call["ms"], 4, f"Cal.com was asked: {call['call']}; answer {call['status'] or 'none'} "
                          f"({call['class']}) after {call['took_ms']} ms"
                          + (f": {call['detail']}" if call["class"] != "done" else "")))
    for one in mendings(b):
        more = tuple(f"{name}: {one[key]}" for name, key in (("note", "note"), ("it was dead because", "why")) if one[key])
        lines.append(Line(one["ms"], 4, f"{one['what']} by {one['by']}", more))
    lines += _pause_lines(paused)
    if b.get("settled_ms"):
        lines.append(Line(int(b["settled_ms"]), 5, f"settled: {b['state']}; {b.get('reason', '')}"))
    return sorted(lines)


def explain(link: Link, options: argparse.Namespace) -> int:
    booking = find(link, options.booking)
    b = link.client.hgetall(link.key("booking:" + booking))
    moved, paused = movements(link, booking, b.get("account", "")), pauses(link, b)
    if options.json:
        terminal.print_json({"id": booking, "record": b, "movements": moved, "calls": calls(b), "mended": mendings(b),
                             "pauses": paused})
        return DONE
    terminal.say(f"Booking {booking} ({b.get('uid', 'no uid')}) of {b.get('account', 'nobody')}")
    terminal.say(f"  event type {b.get('event_type', '?')}, {terminal.when(int(b.get('start', 0)) * 1000)}")
    for line in story(b, moved, paused):
        terminal.say(f"{terminal.when(line.ms)}.{line.ms % 1000:03d}  {line.text}")
        for text in line.more:
            terminal.say("    " + text)
    terminal.say(f"Now: {STATES.get(b['state'], b['state'])}"
                 + (f", held {b['held']}" if b.get("held", "0") != "0" else "")
                 + (f", charged {b['charged']}" if b.get("charged", "0") != "0" else "")
                 + (f"; listed under {b['place']}" if b["place"] not in ("none", "active") else ""))
    if paused and paused[0]["until_ms"] is None and b["place"] in ("queue", "retry"):
        terminal.say(f"  the queue is paused; {script('queue')} resume ends that")
    if b["place"] in ("retry", "dead") and b.get("last_error"):
        terminal.say(f"  {b['last_error']}")
    return DONE


def build_parser() -> Parser:
    parser = Parser(prog=script("explain"), description="Everything that Tollgate knows of a booking, as a story with times.")
    add_options(parser)
    parser.add_argument("booking", help="its ID (48213, or 48213:<seat>), or Cal.com's uid")
    return parser


def main(arguments: Optional[List[str]]) -> int:
    options = build_parser().parse_args(arguments)
    if "@" in options.booking:
        raise Problem(f"{options.booking} is no booking; {script('decisions')} --member {options.booking} lists this member's")
    return explain(Link(options), options)
