"""scripts/tollgate status: how everything stands, what is stuck and what to do, and who is slow."""

import argparse
import itertools
from typing import Any, Dict, Iterator, List, Optional

from tollgate import decisions, gates, period, picture, places, spans, terminal
from tollgate.link import DONE, WRONG, Link, Parser, add_options, script
from tollgate.picture import ALARM, HEAD, PLAIN, Line

DESCRIPTION = """How everything stands: what waits, what was decided lately, how the calls to Cal.com go, where the time of
bookings went, and what is stuck, with the command that helps. It changes nothing."""

LOOKED_AT = 200   # of the newest decisions: whose time is looked at
SETTLED = 50      # of them the newest that are settled
HOUR_MS = 3600000
OLD_MS = 60000    # a booking is decided within a second as a rule
GROUPED = 1000    # of the dead: whose reasons are counted

START = "docker-compose up -d worker, or systemctl start tollgate-worker@1; its log says why it stopped"


# ---- Reading ----

def speed(link: Link, newest: List[Dict[str, Any]]) -> Dict[str, Any]:
    """Where the time of the newest settled bookings went."""
    outages = spans.outages_of(link.client.lrange(link.key("outages"), 0, 100))
    told = link.bulk([("HMGET", link.key(f"booking:{row['booking']}"), *spans.FIELDS) for row in newest])
    found = [parts for parts in (spans.of_record(values, outages) for values in told) if parts]
    return spans.summary(found[:SETTLED])


def last_hour(link: Link, now: int) -> Dict[str, int]:
    counts = {"accept": 0, "reject": 0}
    for row in decisions.newest(link, period.Period(now - HOUR_MS, None)):
        counts[row["decision"]] = counts.get(row["decision"], 0) + 1
    return counts


def numbers(link: Link) -> Dict[str, int]:
    names = ("drift", "unbalanced", "waived")
    answers = link.bulk([("HLEN", link.key("drift")), ("HLEN", link.key("unbalanced")), ("ZCARD", link.key("waived"))])
    return {name: answer if isinstance(answer, int) else 0 for name, answer in zip(names, answers)}


def read(link: Link, orphans: places.Orphans, all_gates: gates.Gates, newest: int = LOOKED_AT) -> Dict[str, Any]:
    state = {"namespace": link.key("")[:-1], **places.status(link, orphans, GROUPED), **numbers(link)}
    now = state["now_ms"]
    rows = list(itertools.islice(decisions.newest(link, period.Period(None, None)), newest))
    version = link.bulk([("FCALL", "tollgate_version", 0)])[0]
    known = gates.secrets(link, now)
    state.update(library=None if isinstance(version, Exception) else str(version), decisions=rows,
                 speed=speed(link, rows), gates=all_gates.rows(now),
                 secrets=None if known is None else [one._asdict() for one in known])
    state["stuck"] = list(stuck(state))
    return state


# ---- What is stuck ----

def _gate(gate: Dict[str, Any], now: int) -> Iterator[Dict[str, str]]:
    note = f": {gate['note']}" if gate["note"] else ""
    if gate["cause"] in gates.MENDED_BY_A_PERSON:
        yield {"what": f"no call to Cal.com goes out ({gate['cause']}){note}", "do": gates.MENDED_BY_A_PERSON[gate["cause"]]}
    elif gate["cause"]:
        yield {"what": f"no call to Cal.com goes out, they failed{note}",
               "do": f"nothing: it is tried again {picture.due(gate['probe_ms'] or now, now)}; see Cal.com's own status"}
    if gate["throttled_until_ms"]:
        yield {"what": f"Cal.com has had enough calls (429), until {picture.due(gate['throttled_until_ms'], now)}",
               "do": "nothing: it passes; if it comes often, CALCOM_RATE_LIMIT is too high or somebody else uses the key"}


def _quoted(reason: str) -> str:
    """A part of it that finds it again; see places.general, which takes out what differs."""
    part = max(reason.split("…"), key=len).strip(" :;,")
    return "'" + part.replace("'", "'\\''") + "'"


def stuck(state: Dict[str, Any]) -> Iterator[Dict[str, str]]:
    """[{what, do}], what holds up most first."""
    now, waiting, retry, dead = state["now_ms"], state["waiting"], state["retry"], state["dead"]
    if state["library"] is None:
        yield {"what": "the library of functions is not loaded", "do": "start tollgate-ingest or tollgate-worker: either loads it"}
    if state["paused"]:
        yield {"what": picture.pause(state["paused"], now), "do": f"{script('queue')} resume"}
    alive = [one for one in state["workers"] if one["lease_ends_ms"] >= now]
    if not alive and (waiting["count"] or retry["count"]):
        yield {"what": "no worker is running, and bookings wait", "do": START}
    for gate in state["gates"]:
        yield from _gate(gate, now)
    for one in state["workers"]:
        if one["lease_ends_ms"] < now and one["in_hand"]:
            yield {"what": f"worker {one['worker']} is gone with {one['in_hand']} booking(s) in hand",
                   "do": "nothing while another one runs: that takes them over within 20 s" if alive else START}
    following = waiting["next"]
    if following and following["received_ms"] and now - following["received_ms"] > OLD_MS and not state["paused"] and alive:
        yield {"what": f"booking {following['booking']} has waited for {picture.span(now - following['received_ms'])}",
               "do": f"see what holds it: {script('explain')} {following['booking']}, and the workers' logs"}
    for one in places.reasons(retry["next"])[:3]:
        yield {"what": f"{retry['count']} to be tried again, the next for: {one['reason'] or 'no reason known'}",
               "do": "nothing: they are tried until a day has passed or the event begins"}
    for one in dead["reasons"][:5]:
        yield {"what": f"{one['count']} dead: {one['reason'] or 'no reason known'}",
               "do": f"mend the cause, then {script('queue')} requeue "
                     + (f"--reason {_quoted(one['reason'])}" if one["reason"] else "--all")}
    if state["unbalanced"]:
        yield {"what": f"{state['unbalanced']} accounts and their ledgers differ", "do": f"{script('credit')} verify says how"}
    if state["drift"]:
        yield {"what": f"{state['drift']} bookings stand otherwise at Cal.com than here",
               "do": f"redis-cli HGETALL '{state['namespace']}:drift'"}


# ---- Showing ----

def gate_line(gate: Dict[str, Any], now: int) -> Line:
    used = f"{gate['used']} calls in the last minute" if gate["limit"] != 0 else "calls without a limit"
    of = f" of {gate['limit']}" if gate["limit"] else ""
    left = f", {gate['left']} left" if gate["left"] is not None else ""
    state = f"BREAKER OPEN ({gate['cause']}) for {picture.span(now - (gate['opened_ms'] or now))}" if gate["cause"] else "open for calls"
    wait = f", 429 until {picture.due(gate['throttled_until_ms'], now)}" if gate["throttled_until_ms"] else ""
    often = f", {gate['throttled']} times 429 so far" if gate["throttled"] else ""
    return Line(ALARM if gate["cause"] or wait else PLAIN, f"  {gate['gate']}   {state}{wait}; {used}{of}{left}{often}")


def speed_lines(speed: Dict[str, Any]) -> Iterator[Line]:
    yield Line(HEAD, f"time       {speed['text']}")
    if not speed["count"]:
        return
    for name, text in (("total", "webhook to settled"), ("ours", "waited with us"), ("calcom", "Cal.com's answers"),
                       ("held_back", "after its failures"), ("delivery", "webhook's way here")):
        part = speed[name]
        if part and (name not in ("held_back",) or part["max_ms"]):
            yield Line(PLAIN, f"  {text:<20}half {spans.seconds(part['p50_ms']):>8}   95 in 100 {spans.seconds(part['p95_ms']):>8}   "
                              f"at most {spans.seconds(part['max_ms']):>8}")


def secret_line(one: Dict[str, Any], now: int) -> Line:
    place = f"secret {one['place']} of WEBHOOK_SECRET" if one["place"] else "a secret that WEBHOOK_SECRET here does not have"
    used = f"used last {picture.ago(one['used_ms'], now)}" if one["used_ms"] else "no webhook came with it so far"
    return Line(PLAIN, f"  {one['name']}   {place}: {used}" + ("; it may be removed" if one["may_go"] else ""))


def stuck_lines(found: List[Dict[str, str]]) -> Iterator[Line]:
    yield Line(ALARM if found else HEAD, "stuck      " + (f"{len(found):>8}" if found else "nothing"))
    for one in found:
        yield Line(PLAIN, f"  {one['what']}")
        yield Line(PLAIN, f"      → {one['do']}")


def lines(state: Dict[str, Any]) -> Iterator[Line]:
    now, following = state["now_ms"], state["waiting"]["next"]
    yield Line(HEAD, f"{state['namespace']}, {terminal.when(now)}, library {state['library'] or 'NOT LOADED'}")
    yield Line(HEAD, f"waiting    {state['waiting']['count']:>8}" + (
        f"   the next is {following['booking']}, received {picture.ago(following['received_ms'], now)}" if following else ""))
    alive = [one for one in state["workers"] if one["lease_ends_ms"] >= now]
    in_hand = sum(one["in_hand"] for one in state["workers"])
    yield Line(HEAD if alive else ALARM, f"active     {in_hand:>8}   in the hands of {len(alive)} worker(s)")
    yield Line(HEAD, f"retry      {state['retry']['count']:>8}" + (f"   {state['retry']['due']} due" if state["retry"]["count"] else ""))
    yield Line(ALARM if state["dead"]["count"] else HEAD, f"dead       {state['dead']['count']:>8}")
    yield Line(HEAD, f"waived     {state['waived']:>8}   let through by a host against a no")
    if "last_hour" in state:
        yield Line(HEAD, f"last hour  {sum(state['last_hour'].values()):>8}   decided: "
                   + ", ".join(f"{count} {name}" for name, count in state["last_hour"].items()))
    yield Line(HEAD, "Cal.com    " + ("" if state["gates"] else "no calls are counted here: none lately, or no limit and no trouble"))
    yield from (gate_line(gate, now) for gate in state["gates"])
    yield from speed_lines(state["speed"])
    if state["secrets"] is not None:
        yield Line(HEAD, "secrets")
        yield from (secret_line(one, now) for one in state["secrets"])
    yield from stuck_lines(state["stuck"])


def show(link: Link, options: argparse.Namespace) -> int:
    state = read(link, places.Orphans(link), gates.Gates(link).look_everywhere())
    state["last_hour"] = last_hour(link, state["now_ms"])
    if options.json:
        terminal.print_json({**state, "decisions": state["decisions"][:20]})
    else:
        picture.print_lines(lines(state))
    return WRONG if state["stuck"] else DONE


def build_parser() -> Parser:
    parser = Parser(prog=script("status"), description=DESCRIPTION)
    add_options(parser)
    return parser


def main(arguments: Optional[List[str]]) -> int:
    options = build_parser().parse_args(arguments)
    return show(Link(options), options)
