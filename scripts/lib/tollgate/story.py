"""scripts/explain: everything known of one booking, as a story. The library tells it (common/redis/view_story.lua), and
the console the same."""

import argparse
import json
from typing import Any, Dict, List, Optional

from tollgate import terminal
from tollgate.link import DONE, Link, Parser, Problem, add_options, script


def read(link: Link, name: str) -> Dict[str, Any]:
    told: Dict[str, Any] = json.loads(link.call("story", name))
    if told.get("missing"):
        raise Problem(told["text"])
    return told


def timed(rows: List[Dict[str, Any]]) -> List[Dict[str, Any]]:
    """With the time named as in every output of the scripts."""
    return [{"ms": row["at_ms"], **{name: value for name, value in row.items() if name != "at_ms"}} for row in rows]


def explain(link: Link, options: argparse.Namespace) -> int:
    told = read(link, options.booking)
    b, paused = told["record"], told["pauses"]
    if options.json:
        terminal.print_json({"id": told["id"], "record": b, "movements": timed(told["movements"]), "calls": timed(told["calls"]),
                             "mended": timed(told["mended"]),
                             "pauses": [{**one, "until_ms": one.get("until_ms")} for one in paused]})
        return DONE
    terminal.say(f"Booking {told['id']} ({b.get('uid', 'no uid')}) of {b.get('account', 'nobody')}")
    terminal.say(f"  event type {b.get('event_type', '?')}, {terminal.when(int(b.get('start', 0)) * 1000)}")
    for line in told["lines"]:
        terminal.say(f"{terminal.when(line['at_ms'])}.{line['at_ms'] % 1000:03d}  {line['text']}")
        for text in line["more"]:
            terminal.say("    " + text)
    terminal.say(f"Now: {told['now_text']}")
    if paused and "until_ms" not in paused[0] and b.get("place") in ("queue", "retry"):
        terminal.say(f"  the queue is paused; {script('queue')} resume ends that")
    if b.get("place") in ("retry", "dead") and b.get("last_error"):
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
