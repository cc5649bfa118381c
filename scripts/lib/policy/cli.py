"""The commands of scripts/policy."""

import argparse
import json
import os
import sys
from typing import Any, Dict

from policy import again, sample, texts
from policy.link import STATUSES, Output, Trouble, WrongUse, common_options, connect, local_time, printable, run
from tollgate.link import WRONG, login

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

def check(args: argparse.Namespace, out: Output) -> int:
    store, text = connect(args), texts.read(args.file)
    try:
        checked = texts.check(store, args.file, text)
    except texts.Refused as refused:
        out.json({"ok": False, "file": args.file, "line": refused.line, "error": refused.message})
        show_refusal(refused)
        return 1
    out.json({"ok": True, "file": args.file, "sha": checked.sha, "reads": checked.reads})
    reads = f"; beside the usual it reads {', '.join(checked.reads)}" if checked.reads else ""
    out.say(f"{args.file}: loads, SHA {short(checked.sha)}{reads}")
    return 0


def show_refusal(refused: texts.Refused) -> None:
    """As a compiler shows it, with the line."""
    print(printable(str(refused)), file=sys.stderr)
    if refused.source is not None:
        print(f"{refused.line:>5} | {printable(refused.source)}", file=sys.stderr)


def load(store: Any, path: str) -> Any:
    """(text, Checked) of a file that must load."""
    text = texts.read(path)
    try:
        return text, texts.check(store, path, text)
    except texts.Refused as refused:
        show_refusal(refused)
        raise Trouble(f"{path} does not load; nothing was done") from None


def try_samples(args: argparse.Namespace, out: Output) -> int:
    account_field = os.environ.get("TOLLGATE_ACCOUNT_FIELD", "")
    store = connect(args)
    text, _ = load(store, args.file)
    results = []
    for path in args.samples:
        try:
            view = sample.read(path, account_field)
            [answer] = store.bulk([store.call_command("policy_try", text, json.dumps(view), "", "", "")])
            if isinstance(answer, Exception):
                raise texts.refusal(store, args.file, text, answer)
            results.append((path, view.get("account", ""), json.loads(answer)))
        except Trouble as trouble:
            if trouble.code != WRONG:
                raise
            results.append((path, "", {"error": str(trouble)}))
    out.json([{"sample": path, "account": account, **answer} for path, account, answer in results])
    out.table(["Sample", "Account", "Decision", "Because"],
              [[path, account, words(answer), because(answer)] for path, account, answer in results])
    return 1 if any("error" in answer for *_, answer in results) else 0


def show_differences(out: Output, comparison: again.Comparison) -> None:
    if comparison.different:
        out.table(["Booking", "Account", "Decided", "Was", "Would be", "Because"],
                  [[row.booking, row.account, local_time(row.decided_ms), words(row.before), words(row.after),
                    because(row.after)] for row in comparison.different])


def diff(args: argparse.Namespace, out: Output) -> int:
    store = connect(args)
    text, checked = load(store, args.file)
    comparison = again.compare(store, args.file, text, checked, texts.ever(store), args.number)
    out.json(comparison.as_json())
    show_differences(out, comparison)
    out.say(comparison.summary())
    return 1 if comparison.different else 0


def install(args: argparse.Namespace, out: Output) -> int:
    if not args.yes and not out.is_interactive():
        raise WrongUse("nobody is here to say yes: give --yes")
    store = connect(args)
    text, checked = load(store, args.file)
    before = texts.in_force(store)
    comparison = again.compare(store, args.file, text, checked, texts.ever(store), args.number)
    out.say(f"{args.file}, SHA {short(checked.sha)}, would take the place of "
            f"{short(before['sha']) if before else 'nothing'}")
    out.say(f"of the last decisions: {comparison.summary()}")
    if not args.yes and not out.confirm("Install it?"):
        out.say("not installed")
        return 1
    sha = texts.install(store, args.file, text, args.by)
    out.json({"sha": sha, "before": before.get("sha"), "by": args.by, **comparison.as_json()})
    out.say(f"installed {short(sha)}; every booking is decided by it from now on")
    if before and before["sha"] != sha:
        out.say(f"the one before: scripts/policy show {short(before['sha'])}")
    return 0


def show(args: argparse.Namespace, out: Output) -> int:
    store = connect(args)
    current = texts.in_force(store)
    if args.sha is None and not current:
        raise Trouble("no policy is installed; a worker brings one along when it starts")
    sha, text = texts.find(store, args.sha) if args.sha is not None else (current["sha"], current["text"])
    told: Dict[str, Any] = {"sha": sha, "in_force": sha == current.get("sha"), "text": text}
    heads = [f"SHA {sha}"]
    if told["in_force"]:
        told.update(source=current.get("source"), installed_ms=int(current.get("installed_ms", 0)),
                    installed_by=current.get("installed_by") or None)
        by = f" by {told['installed_by']}" if told["installed_by"] else ""
        heads.append(f"in force since {local_time(told['installed_ms'])}, source: {told['source']}{by}")
    out.json(told)
    if not out.as_json:
        # Apart from the text: that can be written to a file, and its lines keep their numbers.
        print("\n".join(map(printable, heads)), file=sys.stderr)
        if sys.stdout.isatty():
            text = "".join(printable(line.expandtabs()) + "\n" for line in text.splitlines())
        sys.stdout.write(text)
    return 0


def list_all(args: argparse.Namespace, out: Output) -> int:
    store = connect(args)
    current = texts.in_force(store).get("sha")
    known = [(sha, sha == current, texts.title(text), len(text.splitlines()))
             for sha, text in texts.ever(store).items()]
    known.sort(key=lambda row: (not row[1], row[0]))
    out.json([{"sha": sha, "in_force": in_force, "title": title, "lines": lines}
              for sha, in_force, title, lines in known])
    out.table(["SHA", "In force", "Lines", "Begins with"],
              [[short(sha), "yes" if in_force else "", lines, title] for sha, in_force, title, lines in known],
              right=["Lines"])
    return 0


# ---- The command line ----

def count(text: str) -> int:
    number = int(text)
    if not 1 <= number <= 1000000:
        raise ValueError
    return number


def name(text: str) -> str:
    if not text or len(text.encode()) > 100 or printable(text) != text:
        raise ValueError
    return text


def make_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="scripts/policy", description=DESCRIPTION, epilog=EXAMPLES + STATUSES,
                                     formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False)
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    common = common_options()

    def add(word: str, act: Any, told: str) -> argparse.ArgumentParser:
        command = commands.add_parser(word, help=told, description=told, parents=[common], allow_abbrev=False)
        command.set_defaults(act=act)
        return command

    add("check", check, "load a policy in Redis without installing it").add_argument("file", metavar="FILE")
    command = add("try", try_samples, "decide samples with the real accounts and terms; changes nothing")
    command.add_argument("file", metavar="FILE")
    command.add_argument("samples", metavar="SAMPLE.json", nargs="+")
    for command in (add("diff", diff, "decide the last decided bookings again, and show what would change"),
                    add("install", install, "check a policy, say what would have changed, and put it in force")):
        command.add_argument("file", metavar="FILE")
        command.add_argument("-n", dest="number", metavar="N", type=count, default=1000,
                             help="how many decisions to look back on (1000)")
    command.add_argument("--by", metavar="NAME", type=name, default=login(), help="who installs it (%(default)s)")
    command.add_argument("--yes", action="store_true", help="do not ask")
    add("show", show, "the policy in force, or one that was").add_argument("sha", metavar="SHA", nargs="?")
    add("list", list_all, "every policy that was ever installed")
    return parser


def main() -> int:
    return run(make_parser(), lambda args, out: args.act(args, out))
