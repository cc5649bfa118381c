"""scripts/queue: what waits, what was given up, pause and resume."""

import argparse
import collections
import os
import sys
from typing import Any, Dict, List, Optional

from tollgate import picture, places, terminal
from tollgate.link import (DONE, USAGE, WRONG, Link, Parser, Problem, add_author, add_commands, author, count_of,
                           script)

AT_ONCE = 250  # names per call of the library: Redis does nothing else meanwhile

DAY_MS = 86400000

WATCHED = 1000  # of the dead: whose reasons are counted every second

DESCRIPTION = """What waits, what is in hand, what is tried again and what was given up (dead). A dead booking is a person's:
requeue it when its cause is mended, or discard it. Without a command: status."""

DONE_BY = {"requeue": "requeued", "discard": "discarded"}

QUESTIONS = {"requeue": "Requeue", "discard": "Nothing more is done about these, and what they hold is released. Discard"}


def keep_ms() -> int:
    """How long a record is kept when it is over; the programs have the same setting."""
    text = os.environ.get("TOLLGATE_KEEP_DAYS") or "30"
    if not (text.isascii() and text.isdigit() and 1 <= int(text) <= 3650):
        raise Problem("TOLLGATE_KEEP_DAYS must be a whole number from 1 to 3650", USAGE)
    return int(text) * DAY_MS


# ---- Looking ----

def read_status(link: Link, orphans: places.Orphans, grouped: int) -> Dict[str, Any]:
    return {"namespace": link.key("")[:-1], **places.status(link, orphans, grouped)}


def status(link: Link, options: argparse.Namespace) -> int:
    orphans = places.Orphans(link)
    if not options.quick:
        orphans.look_everywhere()
    state = read_status(link, orphans, places.GROUPED)
    if options.json:
        terminal.print_json(state)
    else:
        picture.show(state)
    return DONE


def watch(link: Link, options: argparse.Namespace) -> int:
    orphans = places.Orphans(link)

    def read() -> Dict[str, Any]:
        orphans.look(20)
        return read_status(link, orphans, WATCHED)

    picture.watch(read, options.json)
    return DONE


def list_names(link: Link, options: argparse.Namespace) -> int:
    rows = places.listed(link, options.place, options.number)
    if options.json:
        terminal.print_json(rows)
        return DONE
    now = places.now_ms(link)
    columns = {"waiting": ("received",), "active": ("worker", "taken"), "retry": ("due",), "dead": ("given up",)}
    cells = {"worker": lambda row: row["worker"], "due": lambda row: picture.due(row["due_ms"], now),
             "received": lambda row: picture.ago(row["received_ms"], now),
             "taken": lambda row: picture.ago(row["taken_ms"], now),
             "given up": lambda row: terminal.when(row["dead_ms"])}
    special = columns[options.place]
    terminal.table(("booking", *special, "state", "account", "event type", "attempts", "why"),
                   [(row["booking"], *(cells[column](row) for column in special), row["state"] or "-",
                     row["account"] or "-", row["event_type"] or "-", row["attempts"], row["why"] or "-") for row in rows],
                   ("attempts",))
    return DONE


# ---- What was given up ----

def by_names(link: Link, names: List[str]) -> List[Dict[str, Any]]:
    """What is meant, each booking once: an ID, or Cal.com's uid."""
    known = link.bulk([("EXISTS", link.key("booking:" + name)) for name in names])
    uids = link.bulk([("GET", link.key("uid:" + name)) for name in names])
    ids = [name if is_id or not isinstance(uid, str) else uid for name, is_id, uid in zip(names, known, uids)]
    return places.records(link, list(dict.fromkeys(ids)))


def selected(link: Link, options: argparse.Namespace) -> List[Dict[str, Any]]:
    if sum((bool(options.ids), options.reason is not None, options.all)) != 1:
        raise Problem("say which: booking IDs, --reason TEXT or --all", USAGE)
    if options.ids:
        return by_names(link, options.ids)
    found = []
    with terminal.progress("dead bookings", link.client.zcard(link.key("dead"))) as progress:
        for row in places.dead(link):
            if options.all or options.reason.lower() in row["why"].lower():
                found.append(row)
            progress(1)
    return found


def say_what(rows: List[Dict[str, Any]]) -> None:
    terminal.say(f"{len(rows)} booking(s):")
    shown = places.reasons(rows)
    for one in shown[:10]:
        terminal.say(f"  {one['count']:>6} × {one['reason'] or 'no reason known'}")
    if len(shown) > 10:
        terminal.say(f"  and {len(shown) - 10} more reasons")


def mend(link: Link, options: argparse.Namespace) -> int:
    """Requeues or discards."""
    if not options.yes and not terminal.is_interactive():
        raise Problem("nobody is here to say yes: give --yes", USAGE)
    keep, rows = keep_ms(), selected(link, options)
    if not options.json:
        say_what(rows)
    if rows and not options.yes and not terminal.confirm(f"{QUESTIONS[options.command]} {len(rows)}?"):
        terminal.say("nothing was changed")
        return DONE
    answers = {}
    with terminal.progress("bookings", len(rows)) as progress:
        for start in range(0, len(rows), AT_ONCE):
            page = [row["booking"] for row in rows[start:start + AT_ONCE]]
            answers.update(zip(page, link.call(options.command, author(options), options.note, keep, *page)))
            progress(len(page))
    return say_answers(options, answers)


def say_answers(options: argparse.Namespace, answers: Dict[str, str]) -> int:
    done = DONE_BY[options.command]
    good = {done, "forgotten"} | (set() if options.ids else {"not dead"})  # somebody else was quicker
    counts = collections.Counter(answers.values())
    if options.json:
        terminal.print_json({"counts": counts, "bookings": answers})
    else:
        terminal.say(f"{counts[done]} {done}")
        for answer, count in sorted(counts.items()):
            if answer != done:
                names = [name for name, one in answers.items() if one == answer]
                terminal.say(f"{count} {answer}: {' '.join(names[:10])}{' …' if count > 10 else ''}")
        if options.command == "requeue" and counts["unknown"]:
            terminal.say("what is unknown cannot be requeued; discard drops it from the list")
    return DONE if set(counts) <= good else WRONG


# ---- Pause ----

def pause(link: Link, options: argparse.Namespace) -> int:
    answer, by, note, since = link.call("pause", author(options), options.note)
    paused = {"by": by, "note": note, "since_ms": places.number(since)}
    in_hand = sum(one["in_hand"] for one in places.active(link, link.client.zrange(link.key("workers"), 0, -1, withscores=True)))
    if options.json:
        terminal.print_json({"done": answer == "paused", "paused": paused, "in_hand": in_hand})
    elif answer == "paused":
        terminal.say(f"paused: webhooks are recorded, nothing is acted on until {script('queue')} resume"
                     + (f"; {in_hand} booking(s) in hand are finished" if in_hand else ""))
    else:
        terminal.say(f"nothing was changed, it is {picture.pause(paused, places.now_ms(link))}")
    return DONE


def resume(link: Link, options: argparse.Namespace) -> int:
    answer, *was = link.call("resume", author(options))
    waiting = link.client.llen(link.key("queue"))
    paused: Optional[Dict[str, Any]] = None
    if was:
        paused = {"by": was[0], "note": was[1], "since_ms": places.number(was[2])}
    if options.json:
        terminal.print_json({"done": answer == "resumed", "was": paused, "waiting": waiting})
    elif paused:
        terminal.say(f"resumed; it was {picture.pause(paused, places.now_ms(link))}; {waiting} booking(s) wait")
    else:
        terminal.say("it was not paused")
    return DONE


# ---- The command line ----

def note(text: str) -> str:
    if len(text.encode("utf-8", "surrogatepass")) > 500:
        raise argparse.ArgumentTypeError("it has at most 500 bytes")
    return text


def build_parser() -> argparse.ArgumentParser:
    parser = Parser(prog=script("queue"), description=DESCRIPTION)
    command = add_commands(parser)
    one = command("status", status, "how many wait, are in hand, are tried again and are dead, and why")
    one.add_argument("--quick", action="store_true", help="do not look for lists of workers that are gone")
    command("watch", watch, "the same, every second; q ends it")
    one = command("list", list_names, "bookings in one place")
    one.add_argument("place", choices=("waiting", "active", "retry", "dead"))
    one.add_argument("-n", "--number", type=count_of(1000000), default=50, help="at most so many (50)")
    for name, text in (("requeue", "have dead bookings tried again, as if they had never failed; decisions and holds stay"),
                       ("discard", "give dead bookings up for good: what they hold is released, Cal.com is not asked")):
        one = command(name, mend, text)
        one.add_argument("ids", nargs="*", metavar="ID", help="a booking's ID, or Cal.com's uid")
        one.add_argument("--reason", metavar="TEXT", help="those whose reason contains this, in any case")
        one.add_argument("--all", action="store_true", help="all that are dead")
        one.add_argument("--yes", action="store_true", help="do not ask")
        one.add_argument("--note", type=note, default="", help="why, for the record")
        add_author(one)
    one = command("pause", pause, "act on nothing; webhooks are acknowledged and recorded as ever")
    one.add_argument("--note", type=note, default="", help="why, for whoever finds it paused")
    add_author(one)
    add_author(command("resume", resume, "act on what waits"))
    return parser


def main(arguments: Optional[List[str]]) -> int:
    words = sys.argv[1:] if arguments is None else arguments
    if not words or (words[0].startswith("-") and words[0] not in ("-h", "--help")):
        words = ["status", *words]
    options = build_parser().parse_args(words)
    return options.act(Link(options), options)
