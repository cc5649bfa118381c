"""scripts/tollgate decisions: the newest decisions, for a person who does not know the booking's ID."""

import argparse
from typing import Any, Dict, Iterator, List, Optional

from tollgate import period, terminal
from tollgate.link import DONE, PAGE, Link, Parser, add_options, count_of, normalise, script

DESCRIPTION = """The newest decisions, the newest first: whose booking, what was decided and why. The stream keeps about
10 000 of them. What became of a booking tells explain."""

FIELDS = ("state", "place", "received_ms", "decided_ms", "settled_ms")


def newest(link: Link, within: period.Period) -> Iterator[Dict[str, Any]]:
    """The entries of the stream, newest first."""
    bounds = within.entries()
    while True:
        page = link.client.xrevrange(link.key("decisions"), count=PAGE, **bounds)
        for entry_id, entry in page:
            yield {"ms": int(entry_id.split("-")[0]), "booking": entry.get("booking"), "account": entry.get("account") or None,
                   "event_type": entry.get("event_type") or None, "decision": entry.get("decision"),
                   "cost": int(entry.get("cost") or 0), "reason": entry.get("reason", "")}
        if len(page) < PAGE:
            return
        bounds["max"] = "(" + page[-1][0]


def matches(row: Dict[str, Any], options: argparse.Namespace) -> bool:
    return ((options.member is None or row["account"] == options.member)
            and (options.outcome is None or row["decision"] == options.outcome)
            and (options.event_type is None or row["event_type"] == options.event_type)
            and (options.reason is None or options.reason.lower() in row["reason"].lower()))


def with_states(link: Link, rows: List[Dict[str, Any]]) -> List[Dict[str, Any]]:
    """What has become of them; state None: the record has expired."""
    told = link.bulk([("HMGET", link.key(f"booking:{row['booking']}"), "state", "place") for row in rows])
    return [{**row, "state": state, "place": place} for row, (state, place) in
            zip(rows, (one if isinstance(one, list) else (None, None) for one in told))]


def show(link: Link, options: argparse.Namespace) -> int:
    options.member = options.member and normalise(options.member)
    found: List[Dict[str, Any]] = []
    for row in newest(link, period.given(options) or period.Period(None, None)):
        if matches(row, options):
            found.append(row)
            if len(found) >= options.number:
                break
    found = with_states(link, found)
    if options.json:
        terminal.print_json(found)
        return DONE
    terminal.table(("time", "booking", "account", "event type", "decided", "cost", "now", "because"),
                   [(terminal.when(row["ms"]), row["booking"], row["account"] or "-", row["event_type"] or "-", row["decision"],
                     row["cost"], now(row), row["reason"]) for row in found], ("cost",))
    return DONE


def now(row: Dict[str, Any]) -> str:
    return f"{row['state'] or 'expired'}" + (", dead" if row["place"] == "dead" else "")


def build_parser() -> Parser:
    parser = Parser(prog=script("decisions"), description=DESCRIPTION)
    add_options(parser)
    parser.add_argument("--member", metavar="ACCOUNT", help="only this member's")
    parser.add_argument("--outcome", choices=("accept", "reject"), help="only these")
    parser.add_argument("--event-type", metavar="ID", help="only of this event type")
    parser.add_argument("--reason", metavar="TEXT", help="only those whose reason contains this, in any case")
    period.add_options(parser)
    parser.add_argument("-n", "--number", type=count_of(1000000), default=20, help="at most so many (20)")
    return parser


def main(arguments: Optional[List[str]]) -> int:
    options = build_parser().parse_args(arguments)
    return show(Link(options), options)
