"""scripts/tollgate watch: how everything stands, every second, on the whole screen."""

import argparse
from typing import Any, Dict, Iterator, List, Optional

from tollgate import decisions, gates, picture, places, spans, status, terminal
from tollgate.link import DONE, Link, Parser, add_options, script
from tollgate.picture import ALARM, HEAD, PLAIN, Line

DESCRIPTION = """How everything stands, every second, on the whole screen: queue, workers, calls to Cal.com, who is slow, what
is stuck, and decisions as they come. q ends it. In a pipe it is printed each time; with --json one line each time."""

NEWEST = 50      # decisions that are read each second
ANSWER_S = 5     # after that Redis is said not to answer
PAGES = 20       # of the names of all keys, each second: to find gates and lists of workers that are gone


def numbers(state: Dict[str, Any]) -> Iterator[Line]:
    now, following = state["now_ms"], state["waiting"]["next"]
    alive = [one for one in state["workers"] if one["lease_ends_ms"] >= now]
    since = f" for {picture.span(now - following['received_ms'])}" if following and following["received_ms"] else ""
    yield Line(HEAD, f"{state['namespace']}, {terminal.when(now)}" + (", PAUSED" if state["paused"] else ""))
    yield Line(HEAD, f"waiting {state['waiting']['count']}{since}   in hand {sum(one['in_hand'] for one in state['workers'])}   "
                     f"retry {state['retry']['count']}   dead {state['dead']['count']}   workers {len(alive)}")
    for gate in state["gates"]:
        line = status.gate_line(gate, now)
        yield line._replace(text="Cal.com " + line.text.strip())


def speed(told: Dict[str, Any]) -> Iterator[Line]:
    yield Line(HEAD if told["slow"] in (None, "nobody") else ALARM, f"time    {told['text'].split(':')[0]}")
    if told["count"]:
        yield Line(PLAIN, "        half, 95 in 100: " + "; ".join(
            f"{text} {spans.seconds(told[name]['p50_ms'])}, {spans.seconds(told[name]['p95_ms'])}"
            for name, text in (("ours", "us"), ("calcom", "Cal.com"), ("held_back", "its failures"))))


def rows(found: List[Dict[str, Any]]) -> Iterator[Line]:
    for row in found:
        yield Line(PLAIN, f"{terminal.when(row['ms'])[11:]} {row['booking']:>9} {row['decision']:<6} {decisions.now(row):<10} "
                          f"{row['account'] or '-'}: {row['reason']}")


def lines(state: Dict[str, Any], height: int) -> Iterator[Line]:
    """What fits: the numbers, then what is stuck in up to a third of the screen, then decisions."""
    head = [*numbers(state), *speed(state["speed"])]
    found = state["stuck"]
    most = max(1, height // 3)
    tail = [Line(ALARM, f"stuck   {one['what']} → {one['do']}") for one in found[:most - 1 if len(found) > most else most]]
    if len(found) > len(tail):
        tail.append(Line(ALARM, f"        and {len(found) - len(tail)} more: {script('status')}"))
    yield from [*head, *tail, Line(HEAD, "decisions"), *rows(state["decisions"])][:max(1, height)]


def watch(link: Link, options: argparse.Namespace) -> int:
    orphans, all_gates = places.Orphans(link), gates.Gates(link)

    def read() -> Dict[str, Any]:
        orphans.look(PAGES)
        all_gates.look(PAGES)
        state = status.read(link, orphans, all_gates, NEWEST)
        return {**state, "decisions": decisions.with_states(link, state["decisions"])}

    picture.watch(read, options.json, lines)
    return DONE


def build_parser() -> Parser:
    parser = Parser(prog=script("watch"), description=DESCRIPTION)
    add_options(parser)
    return parser


def main(arguments: Optional[List[str]]) -> int:
    options = build_parser().parse_args(arguments)
    return watch(Link(options, ANSWER_S), options)
