"""How the demo waits, is told to stop, and says what went wrong."""

import signal
import time
from typing import Callable, TypeVar

T = TypeVar("T")


class Trouble(Exception):
    """Something went wrong; the text is for people."""


class Stopped(Exception):
    """Somebody wants the demo to end."""

    def __init__(self, number: int) -> None:
        super().__init__(signal.Signals(number).name)
        self.number = number


# Signals are noted when they come and heeded where we wait, so that nothing is half started.
caught: list[int] = []


def note_signals() -> None:
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        if number == signal.SIGHUP and signal.getsignal(number) == signal.SIG_IGN:
            continue  # nohup
        signal.signal(number, lambda number, frame: caught.append(number))


def wait_for(condition: Callable[[], T], seconds: float, what: str) -> T:
    """Asks until the answer is true, and returns it."""
    deadline = time.monotonic() + seconds
    while True:
        if caught:
            raise Stopped(caught[0])
        answer = condition()
        if answer:
            return answer
        if time.monotonic() > deadline:
            raise Trouble(f"waited {seconds:g} s in vain for {what}")
        time.sleep(0.01)


def pause(seconds: float) -> None:
    end = time.monotonic() + seconds
    wait_for(lambda: time.monotonic() >= end, seconds + 60, "the time to pass")
