"""What people and programs read: tables on a terminal, plain columns in a pipe, JSON where asked for."""

import json
import sys
import time
from typing import Any, Iterable, List, Sequence

from rich.console import Console
from rich.table import Table


def print_json(document: Any) -> None:
    print(json.dumps(document, ensure_ascii=False, indent=2))


def table(columns: Sequence[str], rows: Iterable[Sequence[Any]], right: Sequence[str] = ()) -> None:
    """Rows under headings; the columns named in `right` hold numbers."""
    texts: List[List[str]] = [[str(cell) for cell in row] for row in rows]
    if not sys.stdout.isatty():
        for row in [list(columns), *texts]:
            print("\t".join(row))
        return
    drawn = Table(box=None, pad_edge=False)
    for column in columns:
        drawn.add_column(column, justify="right" if column in right else "left", overflow="fold")
    for row in texts:
        drawn.add_row(*row)
    Console(markup=False, highlight=False).print(drawn)


def when(ms: Any) -> str:
    """A time in ms as people read it, in their own time zone; - for none."""
    return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(int(ms) / 1000)) if ms else "-"


def signed(amount: int) -> str:
    return f"{amount:+d}" if amount else "0"
