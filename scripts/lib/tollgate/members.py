"""A file of members, as scripts/credit exports and imports it: CSV with a header, or a JSON list of objects.

Both name the same columns: account (or email), credits, key, note; balance, held and spent, which only an
export has; and any field of the account. A field whose name means something else here, or that must be taken
as it stands, is in a column field:NAME. So what was exported can be imported, whatever the operator's fields
are called.
"""

import csv
import hashlib
import io
import json
import re
import sys
from typing import Any, Dict, Iterable, Iterator, List, NamedTuple, Optional, Sequence, Tuple, Union

from tollgate.link import USAGE, Problem, account_of, normalise

PURSES = ("balance", "held", "spent")
MOST = 2**53 - 1
LITERAL = "field:"
IMPORT_KEY = "import-"  # begins the keys that are made from a file's content
EACH_KEY = "each-"  # those that are made from a list and an amount

SPECIAL = {"account", "credits", "key", "note", *PURSES}
RESERVED = SPECIAL | {"bookings"}  # scripts/credit show


class Member(NamedTuple):
    line: int  # where it begins; of a JSON list the number of the entry
    account: str
    credits: int
    key: str
    note: str
    fields: Dict[str, str]
    had: Optional[str]  # of an export: balance + held, or what cannot be added up; else None


class Bad(NamedTuple):
    line: int
    reason: str


class Column(NamedTuple):
    name: str
    literal: bool = False  # a field, whatever its name, and its cells are not trimmed


class File(NamedTuple):
    members: List[Member]
    bad: List[Bad]
    key: str  # stands for the file's content
    unit: str  # what is counted: line, or entry of a JSON list


def column_of(field: str) -> str:
    """The column that a field of an account is in."""
    plain = field not in RESERVED and field == field.strip() and field and not field.startswith(LITERAL)
    return field if plain else LITERAL + field


def _column(title: str) -> Column:
    title = title.lstrip()
    return Column(title[len(LITERAL):], True) if title.startswith(LITERAL) else Column(title.strip())


# ---- Out ----

def csv_lines(rows: Sequence[Dict[str, Any]]) -> Iterator[str]:
    """Rows of columns, the first line being the header. A line has line feeds where a field has some."""
    columns = sorted({name for row in rows for name in row} - {"account", *PURSES})
    # What begins or ends with a space would be trimmed.
    titles = {name: LITERAL + name if not name.startswith(LITERAL) and any(
        row.get(name, "") != row.get(name, "").strip() for row in rows) else name for name in columns}
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\r\n")  # so that both signs are quoted where they are in a field
    for cells in [["account", *PURSES, *titles.values()],
                  *([row.get(name, "") for name in ("account", *PURSES, *columns)] for row in rows)]:
        text.seek(0)
        text.truncate()
        writer.writerow(cells)
        yield text.getvalue()[:-2]


# ---- In ----

def check_amount(text: str, other: str) -> None:
    """Raises Problem for what cannot be granted or debited. `other`: what does the opposite."""
    if not (text.isascii() and text.isdigit()) or not text.strip("0"):
        raise Problem(f"CREDITS must be a whole number from 1 up, not {text!r} (the other way is {other})", USAGE)


def read_list(path: str, credits: int, key: str, note: str) -> File:
    """A list of accounts, one on a line, empty lines and those that begin with # left out; or any file that import
    reads, of which only the accounts are taken. `-`: standard input."""
    try:
        raw = sys.stdin.buffer.read() if path == "-" else open(path, "rb").read()
    except OSError as error:
        raise Problem(f"{path} cannot be read: {error.strerror}", USAGE) from None
    text = raw.decode("utf-8-sig", "surrogateescape")
    members: List[Member] = []
    bad: List[Bad] = []
    seen: Dict[str, int] = {}
    if text.lstrip()[:1] in ("[", "{"):
        unit, rows = "entry", _json_rows(text)
    elif _has_header(text):
        unit, rows = "line", _csv_rows(text)
    else:
        unit, rows = "line", ((number, Row({"account": line}, {})) for number, line in enumerate(text.splitlines(), 1)
                              if line.strip() and not line.lstrip().startswith("#"))
    for line, row in rows:
        try:
            if isinstance(row, str):
                raise ValueError(row)
            account = normalise(row.special["account"])
            if account in seen:
                raise ValueError(f"{account} stands in {unit} {seen[account]} already")
            seen[account] = line
            members.append(Member(line, account, credits, key, note, {}, None))
        except (ValueError, Problem) as error:
            bad.append(Bad(line, str(error)))
    # Made from who is granted how much: a comment or the order makes no other list.
    same = "\n".join([str(credits), *sorted(seen)]).encode("utf-8", "surrogateescape")
    made = key or EACH_KEY + hashlib.sha256(same).hexdigest()[:16]
    return File([member._replace(key=made) for member in members], bad, made, unit)


def _has_header(text: str) -> bool:
    titles = [cell.strip().strip('"') for cell in re.split("[,;\t]", text.split("\n", 1)[0])]
    return "account" in titles or "email" in titles


def read(path: str, key: str, note: str) -> File:
    """key and note are for those members that have none of their own; key is "" for the file's. A file that
    is not one of members at all raises Problem."""
    try:
        with open(path, "rb") as file:
            raw = file.read()
    except OSError as error:
        raise Problem(f"{path} cannot be read: {error.strerror}", USAGE) from None
    key = key or IMPORT_KEY + hashlib.sha256(raw).hexdigest()[:16]
    text = raw.decode("utf-8-sig", "surrogateescape")
    is_json = text.lstrip()[:1] in ("[", "{")
    unit = "entry" if is_json else "line"
    members: List[Member] = []
    bad: List[Bad] = []
    seen: Dict[str, int] = {}
    for line, row in _json_rows(text) if is_json else _csv_rows(text):
        try:
            if isinstance(row, str):
                raise ValueError(row)
            member = _member(line, row, key, note)
            if member.account in seen:
                raise ValueError(f"{member.account} stands in {unit} {seen[member.account]} already")
            seen[member.account] = line
            members.append(member)
        except (ValueError, Problem) as error:
            bad.append(Bad(line, str(error)))
    return File(members, bad, key, unit)


class Row(NamedTuple):
    special: Dict[str, str]
    fields: Dict[str, str]


# Where a row begins, and the row or what is wrong with it.
Rows = Iterable[Tuple[int, Union[Row, str]]]


def _member(line: int, row: Row, key: str, note: str) -> Member:
    special = row.special
    account = normalise(special["account"])
    credits = special.get("credits") or "0"
    if not (credits.isascii() and credits.isdigit()) or int(credits) > MOST:
        raise ValueError(f"credits is {credits!r}, not a whole number from 0 up to {MOST}")
    had = None
    if "balance" in special:
        try:
            had = str(int(special["balance"]) + int(special["held"]))
        except ValueError:
            had = f"{special['balance']!r} + {special['held']!r}"
    return Member(line, account, int(credits), special.get("key") or key, special.get("note") or note, row.fields, had)


def _account_column(columns: Sequence[Column]) -> Column:
    """Beside a column account, email is a field: it says whose addresses may use a member number."""
    return Column("account") if Column("account") in columns else Column("email")


def _is_special(column: Column, columns: Sequence[Column]) -> bool:
    return column == _account_column(columns) or not column.literal and column.name in SPECIAL


def _check_columns(columns: Sequence[Column]) -> None:
    """Raises ValueError when they cannot be those of a member."""
    special = [column.name for column in columns if _is_special(column, columns)]
    fields = [column.name for column in columns if not _is_special(column, columns)]
    for names in (special, fields):
        if len(set(names)) != len(names) or "" in names:
            raise ValueError("a column is named twice, or has no name")
    if not _account_column(columns) in columns:
        raise ValueError("one of the columns must be account or email")
    for purse in PURSES:
        if purse in fields:
            raise ValueError(f"{purse} is no field that can be set")
    purses = set(special) & set(PURSES)
    if purses and "credits" not in special and len(purses) < len(PURSES):
        raise ValueError(f"column {sorted(purses)[0]}: balances are not set, they follow from the ledger; call what is to "
                         "be granted credits")


def _row(columns: Sequence[Column], cells: Sequence[str], trim: bool) -> Row:
    """`trim`: as a person types it. An empty cell is then no field."""
    account = _account_column(columns)
    special, fields = {}, {}
    for column, cell in zip(columns, cells):
        if column == account:
            special["account"] = cell
        elif not column.literal and column.name in SPECIAL:
            special[column.name] = cell.strip()
        else:
            cell = cell.strip() if trim and not column.literal else cell
            if cell or not trim:
                fields[column.name] = cell
    if not set(PURSES) <= set(special):
        special = {name: cell for name, cell in special.items() if name not in PURSES}
    return Row(special, fields)


def _csv_record(lines: Sequence[str], at: int, delimiter: str) -> Tuple[Union[List[str], str], int]:
    """The cells of the record that begins in this line, or what is wrong, and where the next one begins."""
    reader = csv.reader((lines[i] for i in range(at, len(lines))), delimiter=delimiter, strict=True)
    try:
        return next(reader), at + reader.line_num
    except csv.Error as error:
        return str(error), at + 1


def _csv_header(lines: Sequence[str]) -> Tuple[List[Column], str, int]:
    """The columns, what separates them, and where the records begin."""
    found = []
    for delimiter in ",;\t":
        titles, end = _csv_record(lines, 0, delimiter) if lines else ("", 0)
        columns = [_column(title) for title in titles] if isinstance(titles, list) else []
        if _account_column(columns) in columns:
            found.append((len(columns), columns, delimiter, end))
    if not found:
        raise Problem("the first line must name the columns, and one of them must be account or email", USAGE)
    _, columns, delimiter, end = max(found, key=lambda one: one[0])
    try:
        _check_columns(columns)
    except ValueError as error:
        raise Problem(f"the first line cannot be used: {error}", USAGE) from None
    return columns, delimiter, end


def _csv_rows(text: str) -> Rows:
    """A line with a quote too many spoils itself, not those below. An export's quotes are right, and what its cells
    hold may look like anything."""
    lines = list(io.StringIO(text, newline=""))
    columns, delimiter, at = _csv_header(lines)
    account = columns.index(_account_column(columns))
    is_export = {Column(purse) for purse in PURSES} <= set(columns)

    def is_member(line: str, like: str) -> bool:
        cells = line.split(delimiter)
        return len(cells) >= len(columns) and account_of(cells[account]) is not None \
            and ("@" in cells[account]) == ("@" in like)

    while at < len(lines):
        line, (cells, following) = at + 1, _csv_record(lines, at, delimiter)
        begun, at = at, following
        if isinstance(cells, str):
            yield line, cells
        elif following > begun + 1 and (len(cells) != len(columns) or not is_export and any(
                is_member(lines[i], cells[account]) for i in range(begun + 1, following))):
            at = begun + 1
            yield line, "a quote begins in it that ends in another line, behind what seems to be other members"
        elif cells and len(cells) != len(columns):
            surplus = len(cells) - len(columns)
            yield line, f"it has {abs(surplus)} cells too {'many' if surplus > 0 else 'few'}"
        elif cells and any("\udc80" <= sign <= "\udcff" for cell in cells for sign in cell):
            yield line, "it is not UTF-8 text"
        elif cells:
            yield line, _row(columns, cells, True)


class _Pairs(list):
    """A JSON object, so that a name that comes twice is seen."""


def _json_rows(text: str) -> Rows:
    try:
        document = json.loads(text, parse_int=str, parse_float=str, parse_constant=str, object_pairs_hook=_Pairs)
    except (ValueError, RecursionError) as error:
        raise Problem(f"the file is no JSON: {error}", USAGE) from None
    if isinstance(document, _Pairs) or not isinstance(document, list):
        raise Problem("the file must be a JSON list of objects, one for each member", USAGE)
    return ((number, _json_row(entry)) for number, entry in enumerate(document, 1))


def _json_row(entry: Any) -> Union[Row, str]:
    if not isinstance(entry, _Pairs):
        return "it is no object"
    told = [(_column(name), value) for name, value in entry if value is not None]
    for column, value in told:
        if not isinstance(value, str):
            return f"{column.name} is neither a text nor a number"
        try:
            (column.name + value).encode("utf-8", "surrogateescape")
        except UnicodeEncodeError:
            return f"{column.name} is no text that can be stored"
    columns = [column for column, _ in told]
    try:
        _check_columns(columns)
    except ValueError as error:
        return str(error)
    return _row(columns, [value for _, value in told], False)
