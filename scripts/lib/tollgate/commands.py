"""scripts/tollgate: all that the operator's scripts do, under one name."""

import importlib
import sys
from typing import List, NamedTuple, Optional

from tollgate import terminal
from tollgate.link import DONE, USAGE, Parser, joined, nearest


class Command(NamedTuple):
    name: str
    module: str  # has build_parser() and main(arguments); imported only when it is used
    text: str


COMMANDS = (
    Command("status", "tollgate.status", "how everything stands, what is stuck, and who is slow"),
    Command("watch", "tollgate.watch", "the same, live on the whole screen"),
    Command("decisions", "tollgate.decisions", "the newest decisions: whose, which, why"),
    Command("explain", "tollgate.story", "the story of one booking"),
    Command("credit", "tollgate.credit", "the members' accounts: grant, history, import, verify …"),
    Command("queue", "tollgate.queue", "what waits and what was given up; requeue, discard, pause, resume"),
    Command("policy", "policy.cli", "check, try, compare and install what decides"),
    Command("doctor", "tollgate.doctor", "what is set up wrong, and what to do about it"),
)

DESCRIPTION = """Tollgate's operator's commands. They find Redis by REDIS_URL and TOLLGATE_NAMESPACE, as the programs do."""

MORE = """{name} help COMMAND, or {name} COMMAND --help, says more.

All have --json for programs, --redis URL and --namespace NS. Exit status, the same for all:
  0  done
  1  refused, or something is wrong or differs
  2  wrong use
  3  Redis cannot be reached"""

HELP = ("help", "-h", "--help")


def usage() -> str:
    name = joined()
    lines = [f"  {one.name:<11}{one.text}" for one in COMMANDS] + [f"  {'help':<11}help on a command"]
    return "\n".join([f"usage: {name} COMMAND [ARGUMENT ...]", "", DESCRIPTION, "", *lines, "", MORE.format(name=name)])


def whole() -> Parser:
    """All commands' parsers as one, which completion is made from."""
    parser = Parser(prog=joined(), description=DESCRIPTION)
    commands = parser.add_subparsers(metavar="COMMAND", title="commands")
    for one in COMMANDS:
        parent = importlib.import_module(one.module).build_parser()
        commands.add_parser(one.name, help=one.text, description=parent.description, parents=[parent], add_help=False)
    commands.add_parser("help", help="help on a command").add_argument(
        "command", nargs="?", choices=[one.name for one in COMMANDS])
    return parser


def main(arguments: Optional[List[str]]) -> int:
    words = sys.argv[1:] if arguments is None else arguments
    if words[:1] == ["help"] and len(words) > 1 and words[1] not in HELP:
        words = [*words[1:], "--help"]  # tollgate help queue requeue
    if not words or words[0] in HELP:
        print(usage())
        return DONE
    for one in COMMANDS:
        if one.name == words[0]:
            return importlib.import_module(one.module).main(words[1:])
    if words[0].startswith("-"):
        terminal.complain(f"{joined()}: options stand behind the command, as in {joined()} status --json")
    else:
        near = nearest(words[0], [one.name for one in COMMANDS])
        terminal.complain(f"{joined()}: there is no command {words[0]}{near or f'; {joined()} help lists them'}")
    return USAGE
