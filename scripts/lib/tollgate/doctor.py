"""scripts/doctor: what a new user gets wrong, each with the remedy. It changes nothing."""

import argparse
from typing import Callable, List, Optional, Sequence, Tuple

import redis

from tollgate import doctor_books, doctor_calcom, doctor_ping, doctor_redis, doctor_web, terminal
from tollgate.findings import FAIL, WARN, Finding
from tollgate.link import DONE, WRONG, Link, Parser, Problem, add_options, count_of, script

DESCRIPTION = """Looks for what is set up wrong, and says what to do about it. It changes nothing. Run it where the programs run
or with their environment: it reads REDIS_URL, WEBHOOK_SECRET, CALCOM_API_URL, CALCOM_API_KEY and TOLLGATE_… as they
do, …_FILE included."""

Check = Callable[[Optional[Link], argparse.Namespace], List[Finding]]

# In the order in which one depends on the other.
OF_REDIS: Sequence[Tuple[str, Check]] = (
    ("redis", doctor_redis.version), ("redis", doctor_redis.durability), ("redis", doctor_redis.eviction),
    ("redis", doctor_redis.speed), ("redis", doctor_redis.clock), ("redis", doctor_redis.rights),
    ("library", doctor_redis.library), ("workers", doctor_books.workers), ("queue", doctor_books.queue),
    ("dead", doctor_books.dead), ("books", doctor_books.books), ("drift", doctor_books.drift),
    ("gate", doctor_books.gate), ("budget", doctor_books.budget), ("event types", doctor_books.event_types),
    ("secrets", doctor_books.secrets),
)
OF_THE_WEB: Sequence[Tuple[str, Check]] = (
    ("secret", doctor_web.secret), ("webhook", doctor_web.webhook), ("api", doctor_web.api),
    ("subscription", doctor_calcom.subscription), ("event types", doctor_calcom.event_types), ("ping", doctor_ping.ping),
)


def examine(link: Optional[Link], options: argparse.Namespace) -> List[Tuple[str, Finding]]:
    found: List[Tuple[str, Finding]] = []
    for name, check in (OF_REDIS if link else ()) + tuple(OF_THE_WEB):
        try:
            findings = check(link, options)
        except redis.ResponseError as error:
            findings = [Finding(WARN, f"Redis refuses to tell: {error}",
                                "check maxmemory-policy noeviction, appendonly yes and appendfsync always by hand")]
        found += [(name, finding) for finding in findings]
    return found


def build_parser() -> Parser:
    parser = Parser(prog=script("doctor"), description=DESCRIPTION)
    add_options(parser)
    parser.add_argument("--url", metavar="URL", help="the webhook's address as Cal.com has it: it is sent signed PINGs")
    parser.add_argument("--offline", action="store_true", help="do not ask Cal.com")
    parser.add_argument("--await-ping", type=count_of(3600), nargs="?", const=60, metavar="SECONDS",
                        help="wait until somebody presses \"Ping test\" in Cal.com, and see what ingest makes of it (60)")
    parser.add_argument("--admin", metavar="HOST:PORT", help="ingest's admin address, for --await-ping (127.0.0.1:9464)")
    return parser


def main(arguments: Optional[List[str]]) -> int:
    options = build_parser().parse_args(arguments)
    link, away = None, None
    try:
        link = Link(options)
    except Problem as problem:
        away = problem
    found = examine(link, options)
    if away:
        found.insert(0, ("redis", Finding(FAIL, str(away), "start Redis, or mend REDIS_URL")))
    if options.json:
        terminal.print_json([{"about": name, **finding._asdict()} for name, finding in found])
    else:
        for name, finding in found:
            terminal.say(f"{finding.verdict:4}  {name}: {finding.text}")
            if finding.remedy:
                terminal.say(f"      → {finding.remedy}")
    if away:
        return away.code
    return WRONG if any(finding.verdict == FAIL for _, finding in found) else DONE
