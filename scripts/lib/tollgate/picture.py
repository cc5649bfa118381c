"""The state of the queue as people read it, line by line, and the screen that watches it."""

import contextlib
import json
import os
import select
import sys
import time
from typing import Any, Callable, Dict, Iterable, Iterator, List, NamedTuple, Optional

import redis

from tollgate import terminal

EVERY_S = 1

PLAIN, HEAD, ALARM = "", "bold", "bold red"

CUT = {"no_wrap": True, "overflow": "ellipsis"}  # what a terminal is too narrow for


class Line(NamedTuple):
    style: str  # one of the three
    text: str


def span(ms: int) -> str:
    """A length of time, roughly."""
    seconds = max(0, ms) // 1000
    for size, unit, smaller, below in ((86400, "d", 3600, "h"), (3600, "h", 60, "min")):
        if seconds >= size:
            rest = seconds % size // smaller
            return f"{seconds // size} {unit}" + (f" {rest} {below}" if rest else "")
    return f"{seconds // 60} min" if seconds >= 60 else f"{seconds} s"


def ago(then_ms: Optional[int], now: int) -> str:
    return f"{span(now - then_ms)} ago" if then_ms else "-"


def due(due_ms: int, now: int) -> str:
    return f"in {span(due_ms - now)}" if due_ms > now else "now"


def pause(paused: Dict[str, Any], now: int) -> str:
    since = f" since {terminal.when(paused['since_ms'])} ({span(now - paused['since_ms'])})" if paused["since_ms"] else ""
    note = f": {paused['note']}" if paused["note"] else ""
    return f"paused{since} by {paused['by'] or 'somebody'}{note}"


def _workers(status: Dict[str, Any]) -> Iterator[Line]:
    now = status["now_ms"]
    count = sum(one["in_hand"] for one in status["workers"])
    yield Line(HEAD, f"active     {count:>8}   in the hands of {len(status['workers'])} worker(s)")
    for one in status["workers"]:
        lost = one["lease_ends_ms"] < now
        lease = f"LEASE LOST {ago(one['lease_ends_ms'], now)}" if lost else f"lease for {span(one['lease_ends_ms'] - now)}"
        oldest = f"   the oldest taken {ago(one['oldest_taken_ms'], now)}" if one["oldest_taken_ms"] else ""
        yield Line(ALARM if lost else PLAIN, f"             {one['in_hand']:>6}   {one['worker']}   {lease}{oldest}")
    if status["orphans"]:
        yield Line(ALARM, f"orphaned   {sum(one['in_hand'] for one in status['orphans']):>8}   on lists of workers that are gone")
        for one in status["orphans"]:
            yield Line(ALARM, f"             {one['in_hand']:>6}   {one['worker']}")


def _retry(status: Dict[str, Any]) -> Iterator[Line]:
    retry, now = status["retry"], status["now_ms"]
    yield Line(HEAD, f"retry      {retry['count']:>8}" + (f"   {retry['due']} due" if retry["count"] else ""))
    for row in retry["next"]:
        yield Line(PLAIN, f"             {row['booking']}   {due(row['due_ms'], now)}   {row['state'] or '-'}, failed "
                          f"{row['attempts']} time(s)   {row['why']}")


def _dead(status: Dict[str, Any]) -> Iterator[Line]:
    dead, now = status["dead"], status["now_ms"]
    yield Line(ALARM if dead["count"] else HEAD, f"dead       {dead['count']:>8}"
               + (f"   the oldest for {span(now - dead['oldest_ms'])}" if dead["count"] else ""))
    shown = dead["reasons"][:10]
    for one in shown:
        yield Line(PLAIN, f"             {one['count']:>6} × {one['reason'] or 'no reason known'}")
    rest = sum(one["count"] for one in dead["reasons"]) - sum(one["count"] for one in shown)
    if rest:
        yield Line(PLAIN, f"             {rest:>6} × another reason")
    if dead["count"] > dead["grouped"]:
        yield Line(PLAIN, f"             reasons are those of the newest {dead['grouped']}")
    for row in dead["newest"]:
        yield Line(PLAIN, f"             {row['booking']}   {ago(row['dead_ms'], now)}   {row['state'] or '-'}   "
                          f"{row['account'] or '-'}   {row['why']}")


def lines(status: Dict[str, Any]) -> Iterator[Line]:
    now, waiting = status["now_ms"], status["waiting"]
    yield Line(HEAD, f"{status['namespace']}, {terminal.when(now)}")
    if status["paused"]:
        yield Line(ALARM, f"{pause(status['paused'], now)}; webhooks are recorded, nothing is acted on")
    following = waiting["next"]
    yield Line(HEAD, f"waiting    {waiting['count']:>8}" + (
        f"   the next is {following['booking']}, received {ago(following['received_ms'], now)}" if following else ""))
    yield from _workers(status)
    yield from _retry(status)
    yield from _dead(status)


def print_lines(shown: Iterable[Line], **how: Any) -> None:
    if not sys.stdout.isatty():
        for line in shown:
            terminal.say(line.text)
        return
    from rich import console  # only here: it takes a tenth of a second to load
    console.Console(highlight=False).print(drawn(shown, **how))


def show(status: Dict[str, Any]) -> None:
    print_lines(lines(status), **CUT)


# ---- Watch ----

def drawn(shown: Iterable[Line], **how: Any) -> Any:
    from rich import text
    return text.Text("\n", **how).join(
        text.Text(terminal.printable(line.text), style=line.style) for line in shown)


@contextlib.contextmanager
def keys() -> Iterator[Callable[[float], bool]]:
    """Gives a function that waits so many seconds, or until q is pressed; then it answers true."""
    if not sys.stdin.isatty():
        yield lambda seconds: bool(time.sleep(seconds))
        return
    import termios
    import tty
    fd = sys.stdin.fileno()
    before = termios.tcgetattr(fd)

    def wait(seconds: float) -> bool:
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0:
            if select.select([fd], [], [], left)[0]:
                pressed = os.read(fd, 64)
                if pressed == b"" or b"q" in pressed.lower():
                    return True
        return False

    try:
        tty.setcbreak(fd)
        yield wait
    finally:
        termios.tcsetattr(fd, termios.TCSADRAIN, before)


def _watch_screen(read: Callable[[], Any], draw: Callable[[Any, int], Iterable[Line]]) -> None:
    from rich import live
    state: Any = None
    with keys() as wait, live.Live(screen=True, auto_refresh=False) as screen:
        while True:
            trouble: List[Line] = []
            try:
                state = read()
            except redis.RedisError as error:
                trouble = [Line(ALARM, f"Redis does not answer: {error}"), Line(PLAIN, "What was seen before:")]
            height = screen.console.size.height - 1 - len(trouble)
            shown = [] if state is None else draw(state, height)
            screen.update(drawn([Line(PLAIN, "q ends"), *trouble, *shown], **CUT), refresh=True)
            if wait(EVERY_S):
                return


def watch(read: Callable[[], Any], as_json: bool, draw: Callable[[Any, int], Iterable[Line]] = lambda state, _: lines(state)) -> None:
    """Shows the state every second, until somebody ends it. `draw` is told how many lines there are."""
    try:
        if sys.stdout.isatty() and not as_json:
            _watch_screen(read, draw)
            return
        while True:
            if as_json:
                print(json.dumps(read()), flush=True)
            else:
                print_lines(draw(read(), 1000))
                print(flush=True)
            time.sleep(EVERY_S)
    except KeyboardInterrupt:
        return
