"""What people and programs read: tables on a terminal, columns with tabs in a pipe, JSON where asked for.

What is shown comes from bookers, hosts and files. Whatever could steer a terminal is shown as \\x1b or the like.
"""

import contextlib
import json
import re
import sys
import time
from typing import Any, Callable, Iterable, Iterator, List, Sequence

CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069]")


def set_up() -> None:
    """For text that the terminal's encoding lacks, and bytes that are no text."""
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(errors="backslashreplace")


def printable(value: Any) -> str:
    """A text on one line, without what would steer a terminal."""
    return CONTROL.sub(lambda sign: " " if sign.group() in "\n\t" else f"\\x{ord(sign.group()):02x}", str(value))


def say(text: Any = "") -> None:
    print(printable(text))


def complain(text: Any) -> None:
    print(printable(text), file=sys.stderr)


def json_text(document: Any) -> str:
    """Without control signs; outside of its strings JSON has none but line feeds."""
    text = json.dumps(document, ensure_ascii=False, indent=2)
    return CONTROL.sub(lambda sign: "\n" if sign.group() == "\n" else f"\\u{ord(sign.group()):04x}", text)


def print_json(document: Any) -> None:
    print(json_text(document))


def table(columns: Sequence[str], rows: Iterable[Sequence[Any]], right: Sequence[str] = ()) -> None:
    """Rows under headings; the columns named in `right` hold numbers."""
    texts: List[List[str]] = [[printable(cell) for cell in row] for row in rows]
    if not sys.stdout.isatty():
        for row in [list(columns), *texts]:
            print("\t".join(row))
        return
    from rich import console, table as tables, text  # only here: it takes a tenth of a second to load
    drawn = tables.Table(box=None, pad_edge=False)
    for column in columns:
        drawn.add_column(column, justify="right" if column in right else "left", overflow="fold")
    for row in texts:
        drawn.add_row(*map(text.Text, row))
    console.Console(highlight=False).print(drawn)


def is_interactive() -> bool:
    return sys.stdin.isatty() and sys.stdout.isatty()


def confirm(question: str) -> bool:
    try:
        return input(f"{question} [y/N] ").strip().lower() in ("y", "yes")
    except EOFError:
        return False


@contextlib.contextmanager
def progress(what: str, total: Any = None) -> Iterator[Callable[[int], None]]:
    """Shows on a terminal how far something is. Gives a function that is told how many more are done."""
    if not sys.stderr.isatty():
        yield lambda more: None
        return
    from rich import console, progress as bars
    with bars.Progress(console=console.Console(stderr=True), transient=True) as bar:
        task = bar.add_task(what, total=total)
        yield lambda more: bar.advance(task, more)


def when(ms: Any) -> str:
    """A time in ms as people read it, in their own time zone; - for none."""
    return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(int(ms) / 1000)) if ms else "-"


def signed(amount: int) -> str:
    return f"{amount:+d}" if amount else "0"
