"""A file of members: CSV in, and out again."""

import csv
import hashlib
import io
from typing import Any, Dict, Iterator, List, NamedTuple, Tuple

from tollgate.link import USAGE, Link, Problem, normalise

PURSES = ("balance", "held", "spent")
MOST = 2**53 - 1


class Member(NamedTuple):
    line: int
    account: str
    credits: int
    key: str
    note: str
    fields: Dict[str, str]


class Bad(NamedTuple):
    line: int
    reason: str


def read(path: str) -> Tuple[str, str]:
    """The file's text, and a key that stands for its content."""
    try:
        with open(path, "rb") as file:
            raw = file.read()
        return raw.decode("utf-8-sig"), "import-" + hashlib.sha256(raw).hexdigest()[:16]
    except (OSError, UnicodeDecodeError) as error:
        raise Problem(f"{path} cannot be read as UTF-8 text: {error}", USAGE) from None


def parse(text: str, key: str, note: str) -> Tuple[List[Member], List[Bad]]:
    """Every line is a member or is bad. A header that cannot be used raises Problem."""
    first = text.split("\n", 1)[0]
    delimiter = max(",;\t", key=first.count)
    rows = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    header = [name.strip() for name in next(rows, [])]
    names = "account" if "account" in header else "email"
    if names not in header:
        raise Problem("the first line must name the columns, and one of them must be account or email", USAGE)
    if len(set(header)) != len(header) or "" in header:
        raise Problem("the first line names a column twice, or one without a name", USAGE)
    taken = [name for name in PURSES if name in header]
    if taken and "credits" not in header:
        raise Problem(f"column {taken[0]}: balances are not set, they follow from the ledger; call what is to be "
                      "granted credits", USAGE)
    members: List[Member] = []
    bad: List[Bad] = []
    seen: Dict[str, int] = {}
    try:
        for row in rows:
            if not row:
                continue
            try:
                member = _member(dict(zip(header, row)), len(row) - len(header), rows.line_num, names, key, note)
                if member.account in seen:
                    raise ValueError(f"{member.account} stands in line {seen[member.account]} already")
                seen[member.account] = member.line
                members.append(member)
            except (ValueError, Problem) as error:
                bad.append(Bad(rows.line_num, str(error)))
    except csv.Error as error:
        bad.append(Bad(rows.line_num, f"{error}; nothing behind it was read"))
    return members, bad


def _member(cells: Dict[str, str], surplus: int, line: int, names: str, key: str, note: str) -> Member:
    if surplus != 0:
        raise ValueError(f"it has {abs(surplus)} cells too {'many' if surplus > 0 else 'few'}")
    cells = {name: cell.strip() for name, cell in cells.items()}
    account = normalise(cells.pop(names))
    credits = cells.pop("credits", "") or "0"
    if not (credits.isascii() and credits.isdigit()) or int(credits) > MOST:
        raise ValueError(f"credits is {credits!r}, not a whole number from 0 up")
    own_key, own_note = cells.pop("key", ""), cells.pop("note", "")
    fields = {name: cell for name, cell in cells.items() if cell != "" and name not in PURSES}
    return Member(line, account, int(credits), own_key or key, own_note or note, fields)


def apply(link: Link, members: List[Member], by: str) -> Iterator[List[Tuple[Member, Any]]]:
    """Applies them, page by page; each with what the library answered: a list, or an error."""
    for start in range(0, len(members), 1000):
        page = members[start:start + 1000]
        yield list(zip(page, link.bulk([
            link.command("member", member.account, member.credits, member.key if member.credits else "", by, member.note,
                         *(part for pair in member.fields.items() for part in pair)) for member in page])))
