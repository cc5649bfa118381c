"""Policies as texts: from a file, checked by the library, in force, ever installed."""

import re
from typing import Any, Dict, List, NamedTuple

from tollgate.link import USAGE, Link, Problem, explain, script

LONGEST = 65536
# What Redis adds to an error that Lua raised: lines of the library, which say nothing to an operator.
ADDED = re.compile(r" script: tollgate_\w+, on @user_function:\d+\.$")


class Checked(NamedTuple):
    sha: str
    reads: List[str]  # what it reads of the booking beyond what is always known


class Refused(Problem):
    """The library does not load the text."""

    def __init__(self, path: str, text: str, message: str) -> None:
        match = re.match(r"policy:(\d+): ", message)
        self.line = int(match.group(1)) if match else None
        self.message = message[match.end():] if match else re.sub(r"^policy: ", "", message)
        lines = text.splitlines()
        self.source = lines[self.line - 1] if self.line and self.line <= len(lines) else None
        where = f"{path}:{self.line}" if self.line else path
        super().__init__(f"{where}: {self.message}")
        self.path = path


def read(path: str) -> str:
    try:
        with open(path, "rb") as file:
            raw = file.read(LONGEST + 1)
    except OSError as error:
        raise Problem(f"cannot read {path}: {error.strerror}", USAGE) from None
    if not raw or len(raw) > LONGEST:
        raise Problem(f"{path} must be a Lua file of 1 to {LONGEST} bytes", USAGE)
    return raw.decode("utf-8", "surrogateescape")


def refusal(path: str, text: str, error: Exception) -> Problem:
    message = str(error)
    if not message.startswith("POLICY "):
        return explain(error)
    return Refused(path, text, ADDED.sub("", message[len("POLICY "):]))


def check(link: Link, path: str, text: str) -> Checked:
    """Raises Refused."""
    [answer] = link.bulk([link.command("policy_check", text)])
    if isinstance(answer, Exception):
        raise refusal(path, text, answer)
    return Checked(answer[1], answer[2].split())


def install(link: Link, path: str, text: str, by: str) -> str:
    [answer] = link.bulk([link.command("policy", text, "operator", by)])
    if isinstance(answer, Exception):
        raise refusal(path, text, answer)
    return answer[1]


def in_force(link: Link) -> Dict[str, str]:
    """The fields of the installed policy; {} when there is none."""
    return link.client.hgetall(link.key("policy"))


def ever(link: Link) -> Dict[str, str]:
    """Every text ever installed, by SHA."""
    texts = link.client.hgetall(link.key("policies"))
    current = in_force(link)
    if current:  # one that was installed before texts were kept
        texts.setdefault(current["sha"], current["text"])
    return texts


def find(link: Link, start: str) -> Any:
    """(SHA, text) of the one that begins so."""
    texts = ever(link)
    found = [sha for sha in texts if sha.startswith(start.lower())]
    if len(found) != 1:
        raise Problem(f"{'no' if not found else 'more than one'} policy's SHA begins with {start}; "
                      f"{script('policy')} list shows all")
    return found[0], texts[found[0]]


def title(text: str) -> str:
    """The first line of its head comment."""
    for line in text.splitlines():
        words = line.strip().lstrip("-").strip()
        if words:
            return words
    return ""
