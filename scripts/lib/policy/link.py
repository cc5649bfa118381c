"""Commands in bulk, errors that name a policy's line, and output. Where Redis is and how scripts end stands
in tollgate.link."""

import argparse
import contextlib
import datetime
import json
import os
import re
import sys
from typing import Any, Callable, Iterator, List, Sequence

import redis

from tollgate.link import DEFAULT_URL, UNREACHABLE, USAGE, Problem as Trouble, namespace, redis_url

CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069]")
STATUSES = "exit status: 0 done, 1 something is wrong or differs, 2 wrong use, 3 Redis cannot be reached"


class WrongUse(Trouble):
    def __init__(self, text: str) -> None:
        super().__init__(text, USAGE)


class Unreachable(Trouble):
    def __init__(self, text: str) -> None:
        super().__init__(text, UNREACHABLE)


def printable(value: Any) -> str:
    """A text on one line, without what would steer a terminal."""
    return CONTROL.sub(lambda sign: " " if sign.group() in "\n\t" else f"\\x{ord(sign.group()):02x}", str(value))


def local_time(ms: int) -> str:
    return datetime.datetime.fromtimestamp(ms / 1000).strftime("%Y-%m-%d %H:%M:%S")


class Output:
    def __init__(self, as_json: bool) -> None:
        self.as_json = as_json
        for stream in (sys.stdout, sys.stderr):
            stream.reconfigure(errors="backslashreplace")

    def say(self, text: str = "") -> None:
        if not self.as_json:
            print(printable(text))

    def table(self, heads: Sequence[str], rows: Sequence[Sequence[Any]], right: Sequence[str] = ()) -> None:
        """Columns named in `right` are numbers and stand to the right."""
        if self.as_json:
            return
        cells = [[printable(cell) for cell in row] for row in rows]
        if sys.stdout.isatty():
            from rich import box, console, table, text  # only here: it takes a tenth of a second to load
            drawn = table.Table(box=box.ROUNDED)
            for head in heads:
                drawn.add_column(head, justify="right" if head in right else "left", overflow="fold")
            for row in cells:
                drawn.add_row(*map(text.Text, row))
            console.Console(highlight=False).print(drawn)
            return
        widths = [max(map(len, column)) for column in zip(heads, *cells)]
        for row in [list(heads), *cells]:
            print("  ".join(cell.rjust(width) if head in right else cell.ljust(width)
                            for cell, width, head in zip(row, widths, heads)).rstrip())

    def json(self, value: Any) -> None:
        if self.as_json:
            print(json.dumps(value))

    @staticmethod
    def is_interactive() -> bool:
        return sys.stdin.isatty() and sys.stdout.isatty()

    @staticmethod
    def confirm(question: str) -> bool:
        try:
            return input(f"{question} [y/N] ").strip().lower() in ("y", "yes")
        except EOFError:
            return False


class Store:
    def __init__(self, url: str, namespace: str) -> None:
        self.url = re.sub(r"//[^@/]*@", "//", url)  # without the password
        self.prefix = f"{{{namespace}}}:"
        try:
            self.client = redis.Redis.from_url(url, decode_responses=True, encoding_errors="surrogateescape",
                                               socket_connect_timeout=5, socket_timeout=60)
        except ValueError:
            raise WrongUse("REDIS_URL must begin with redis://, rediss:// or unix://") from None
        with self.errors():
            self.client.ping()

    def key(self, name: str) -> str:
        return self.prefix + name

    @contextlib.contextmanager
    def errors(self) -> Iterator[None]:
        """Around everything that talks to Redis."""
        try:
            yield
        except (redis.RedisError, OSError) as error:
            raise Unreachable(f"cannot use Redis at {self.url}: {error}; set REDIS_URL (or --redis) to the one "
                              "that the programs use") from None

    def refusal(self, error: Exception) -> Trouble:
        """What an error that Redis answered means."""
        text = str(error)
        if text.startswith("tollgate: "):
            return Trouble(text[len("tollgate: "):])
        if "Function not found" in text:
            return Unreachable(f"the library is missing in Redis at {self.url}, or is an older one: start "
                               "tollgate-ingest or tollgate-worker of this version once, either loads it")
        return Unreachable(f"Redis at {self.url} answered: {text}")

    def call_command(self, function: str, *arguments: Any) -> Sequence[Any]:
        """One of the library's functions as a command for bulk()."""
        return ("FCALL", "tollgate_" + function, 1, self.key("queue"), *arguments)

    def bulk(self, commands: Sequence[Sequence[Any]]) -> List[Any]:
        """The answers, in order. One that is an error is an exception in the list."""
        with self.errors():
            pipeline = self.client.pipeline(transaction=False)
            for command in commands:
                pipeline.execute_command(*command)
            return pipeline.execute(raise_on_error=False)


def common_options(json_help: str = "one JSON document instead of text") -> argparse.ArgumentParser:
    options = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    group = options.add_argument_group("common options")
    group.add_argument("--json", action="store_true", help=json_help)
    group.add_argument("--redis", metavar="URL", help=f"where Redis is; else REDIS_URL or REDIS_URL_FILE, else {DEFAULT_URL}")
    group.add_argument("--namespace", metavar="NS", help="else TOLLGATE_NAMESPACE, else tollgate")
    return options


def connect(args: argparse.Namespace) -> Store:
    return Store(redis_url(args), namespace(args))


def run(parser: argparse.ArgumentParser, act: Callable[[argparse.Namespace, Output], int]) -> int:
    """Parses the command line, lets `act` do it, and answers the exit status."""
    args = parser.parse_args()
    try:
        status = act(args, Output(args.json))
        sys.stdout.flush()
        return status
    except Trouble as trouble:
        print(printable(f"{parser.prog}: {trouble}"), file=sys.stderr)
        return trouble.code
    except BrokenPipeError:  # nobody reads on
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except KeyboardInterrupt:
        print(file=sys.stderr)
        return 130
