"""The commands of scripts/policy."""

import argparse
import json
import os
import sys
from typing import Any, Dict, List, Optional, Tuple

from policy import again, sample, texts
from tollgate import terminal
from tollgate.link import (
    DONE, FILES, STATUSES, USAGE, WRONG, Link, Parser, Problem, add_author, add_commands, author, count_of, script)

DESCRIPTION = "The policy that decides bookings: a Lua file that returns function(booking, account, terms, now)."

EXAMPLES = """\
examples:
  scripts/policy check mine.lua                   does it load?
  scripts/policy try mine.lua booking.json        what would it decide? Nothing is changed
  scripts/policy diff mine.lua -n 500             which of the last 500 decisions would change?
  scripts/policy install mine.lua --by nora       put it in force, for all workers at once
  scripts/policy show > now.lua                   the one in force

A sample is the body of a webhook, or a booking as a policy sees it:
  {"account": "ann@example.com", "event_type": "1207", "start": "2026-03-12T14:00:00Z"}
TOLLGATE_ACCOUNT_FIELD says where in a webhook the account stands, as it does for tollgate-ingest.

"""


def short(sha: str) -> str:
    return sha[:12]


def words(answer: Dict[str, Any]) -> str:
    """accept, cost … as one or two words."""
    if "error" in answer:
        return "error"
    if "defer" in answer:
        return f"ask again in {answer['defer']} s"
    return f"accept, {answer['cost']}" if answer["accept"] else "reject"


def because(answer: Dict[str, Any]) -> str:
    return answer.get("error") or answer.get("reason", "")


# ---- The commands ----

def check(link: Link, options: argparse.Namespace) -> int:
    text = texts.read(options.file)
    try:
        checked = texts.check(link, options.file, text)
    except texts.Refused as refused:
        if options.json:
            terminal.print_json({"ok": False, "file": options.file, "line": refused.line, "error": refused.message})
        show_refusal(refused)
        return WRONG
    if options.json:
        terminal.print_json({"ok": True, "file": options.file, "sha": checked.sha, "reads": checked.reads})
        return DONE
    reads = f"; beside the usual it reads {', '.join(checked.reads)}" if checked.reads else ""
    terminal.say(f"{options.file}: loads, SHA {short(checked.sha)}{reads}")
    return DONE


def show_refusal(refused: texts.Refused) -> None:
    """As a compiler shows it, with the line."""
    terminal.complain(refused)
    if refused.source is not None:
        terminal.complain(f"{refused.line:>5} | {refused.source}")


def load(link: Link, path: str) -> Tuple[str, texts.Checked]:
    """A file that must load: its text, and what is known of it."""
    text = texts.read(path)
    try:
        return text, texts.check(link, path, text)
    except texts.Refused as refused:
        show_refusal(refused)
        raise Problem(f"{path} does not load; nothing was done") from None


def try_samples(link: Link, options: argparse.Namespace) -> int:
    account_field = os.environ.get("TOLLGATE_ACCOUNT_FIELD", "")
    text, _ = load(link, options.file)
    results = []
    for path in options.samples:
        try:
            view = sample.read(path, account_field)
            [answer] = link.bulk([link.command("policy_try", text, json.dumps(view), "", "", "")])
            if isinstance(answer, Exception):
                raise texts.refusal(options.file, text, answer)
            results.append((path, view.get("account", ""), json.loads(answer)))
        except Problem as problem:
            if problem.code != WRONG:
                raise
            results.append((path, "", {"error": str(problem)}))
    if options.json:
        terminal.print_json([{"sample": path, "account": account, **answer} for path, account, answer in results])
    else:
        terminal.table(("sample", "account", "decision", "because"),
                       [(path, account, words(answer), because(answer)) for path, account, answer in results])
    return WRONG if any("error" in answer for *_, answer in results) else DONE


def diff(link: Link, options: argparse.Namespace) -> int:
    text, checked = load(link, options.file)
    comparison = again.compare(link, options.file, text, checked, texts.ever(link), options.number)
    if options.json:
        terminal.print_json(comparison.as_json())
    else:
        if comparison.different:
            terminal.table(("booking", "account", "decided", "was", "would be", "because"),
                           [(row.booking, row.account, terminal.when(row.decided_ms), words(row.before), words(row.after),
                             because(row.after)) for row in comparison.different])
        terminal.say(comparison.summary())
    return WRONG if comparison.different else DONE


def install(link: Link, options: argparse.Namespace) -> int:
    if not options.yes and not terminal.is_interactive():
        raise Problem("nobody is here to say yes: give --yes", USAGE)
    text, checked = load(link, options.file)
    before = texts.in_force(link)
    comparison = again.compare(link, options.file, text, checked, texts.ever(link), options.number)

    def say(line: str) -> None:
        if not options.json:
            terminal.say(line)

    say(f"{options.file}, SHA {short(checked.sha)}, would take the place of "
        f"{short(before['sha']) if before else 'nothing'}")
    say(f"of the last decisions: {comparison.summary()}")
    if not options.yes and not terminal.confirm("Install it?"):
        say("not installed")
        return WRONG
    by = author(options)
    sha = texts.install(link, options.file, text, by)
    if options.json:
        terminal.print_json({"sha": sha, "before": before.get("sha"), "by": by, **comparison.as_json()})
    say(f"installed {short(sha)}; every booking is decided by it from now on")
    if before and before["sha"] != sha:
        say(f"the one before: {script('policy')} show {short(before['sha'])}")
    return DONE


def show(link: Link, options: argparse.Namespace) -> int:
    current = texts.in_force(link)
    if options.sha is None and not current:
        raise Problem("no policy is installed; a worker brings one along when it starts")
    sha, text = texts.find(link, options.sha) if options.sha is not None else (current["sha"], current["text"])
    told: Dict[str, Any] = {"sha": sha, "in_force": sha == current.get("sha"), "text": text}
    heads = [f"SHA {sha}"]
    if told["in_force"]:
        told.update(source=current.get("source"), installed_ms=int(current.get("installed_ms", 0)),
                    installed_by=current.get("installed_by") or None)
        by = f" by {told['installed_by']}" if told["installed_by"] else ""
        heads.append(f"in force since {terminal.when(told['installed_ms'])}, source: {told['source']}{by}")
    if options.json:
        terminal.print_json(told)
        return DONE
    # Apart from the text: that can be written to a file, and its lines keep their numbers.
    for line in heads:
        terminal.complain(line)
    if sys.stdout.isatty():
        for line in text.splitlines():
            terminal.say(line.expandtabs())
    else:
        sys.stdout.write(text)
    return DONE


def list_all(link: Link, options: argparse.Namespace) -> int:
    current = texts.in_force(link).get("sha")
    known = [(sha, sha == current, texts.title(text), len(text.splitlines()))
             for sha, text in texts.ever(link).items()]
    known.sort(key=lambda row: (not row[1], row[0]))
    if options.json:
        terminal.print_json([{"sha": sha, "in_force": in_force, "title": title, "lines": lines}
                             for sha, in_force, title, lines in known])
    else:
        terminal.table(("SHA", "in force", "lines", "begins with"),
                       [(short(sha), "yes" if in_force else "-", lines, title) for sha, in_force, title, lines in known],
                       ("lines",))
    return DONE


# ---- The command line ----

def build_parser() -> argparse.ArgumentParser:
    name = script("policy")
    parser = Parser(prog=name, description=DESCRIPTION, epilog=EXAMPLES.replace("scripts/policy", name) + STATUSES,
                    formatter_class=argparse.RawDescriptionHelpFormatter)
    add = add_commands(parser)
    add("check", check, "load a policy in Redis without installing it").add_argument("file", metavar="FILE").complete = FILES
    command = add("try", try_samples, "decide samples with the real accounts and terms; changes nothing")
    command.add_argument("file", metavar="FILE").complete = FILES
    command.add_argument("samples", metavar="SAMPLE.json", nargs="+").complete = FILES
    for command in (add("diff", diff, "decide the last decided bookings again, and show what would change"),
                    add("install", install, "check a policy, say what would have changed, and put it in force")):
        command.add_argument("file", metavar="FILE").complete = FILES
        command.add_argument("-n", dest="number", metavar="N", type=count_of(1000000), default=1000,
                             help="how many decisions to look back on (1000)")
    add_author(command)
    command.add_argument("--yes", action="store_true", help="do not ask")
    add("show", show, "the policy in force, or one that was").add_argument("sha", metavar="SHA", nargs="?")
    add("list", list_all, "every policy that was ever installed")
    return parser


def main(arguments: Optional[List[str]]) -> int:
    options = build_parser().parse_args(arguments)
    return options.act(Link(options), options)
