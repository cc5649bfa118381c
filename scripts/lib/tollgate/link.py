"""The connection to Tollgate's Redis, the command line that all scripts share, and how a script ends:
0 done, 1 found something wrong, 2 wrong use, 3 cannot reach Redis."""

import argparse
import difflib
import getpass
import os
import sys
from typing import Any, Callable, Dict, Iterable, Iterator, List, Optional, Sequence, Tuple
from urllib.parse import urlsplit, urlunsplit

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from tollgate import terminal

DONE, WRONG, USAGE, UNREACHABLE = 0, 1, 2, 3

STATUSES = "Exit status: 0 done, 1 refused, or something is wrong or differs, 2 wrong use, 3 Redis cannot be reached."

DEFAULT_URL = "redis://127.0.0.1:6379/0"

PAGE = 1000  # commands per pipeline, names per SCAN

INSTALLED = "tollgate-"  # begins a script's name where `make install` put it

JOINED = "tollgate"  # the script that joins the others

STANDALONE = ("credit", "doctor", "explain", "policy", "queue")  # scripts of their own as well

# For a parser's argument that is a file: what shtab (`make install`) writes into the completion of each shell.
FILES = {"bash": "_shtab_compgen_files", "zsh": "_files", "tcsh": "f"}

REFUSED = "tollgate: "  # begins what the library itself refuses


class Problem(Exception):
    """Ends the script with a sentence and an exit code."""

    def __init__(self, text: str, code: int = WRONG) -> None:
        super().__init__(text)
        self.code = code


# ---- Names ----

def account_of(text: Optional[str]) -> Optional[str]:
    """The account that an e-mail address stands for, as common/booking.c makes it: ASCII white space
    around it dropped, ASCII letters lower-cased, other letters left alone. None where that refuses."""
    raw = (text or "").strip(" \t\r\n\v\f").encode("utf-8", "surrogatepass")
    if not 0 < len(raw) <= 320 or any(byte <= 0x20 or byte == 0x7F for byte in raw):
        return None
    return raw.lower().decode("utf-8", "surrogatepass")


def normalise(text: str) -> str:
    """The same, of what somebody typed. Raises Problem."""
    account = account_of(text)
    if account is None:
        raise Problem(f"{text!r} is no account: 1 to 320 bytes without spaces are", USAGE)
    return account


def without_password(url: str) -> str:
    parts = urlsplit(url)
    if "@" not in parts.netloc:
        return url
    return urlunsplit(parts._replace(netloc="***@" + parts.netloc.rsplit("@", 1)[1]))


def login() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return f"uid {os.getuid()}"


# ---- The command line ----

def script(name: str) -> str:
    """How whoever runs this calls an operator's script. In the repository: scripts/credit, or scripts/tollgate
    credit by who uses that; where it is installed: tollgate-credit, or tollgate credit."""
    called = os.path.basename(sys.argv[0])
    if called == JOINED or name not in STANDALONE:
        return joined(name)
    return (INSTALLED if called.startswith(INSTALLED) else "scripts/") + name


def joined(name: str = "") -> str:
    """How the script that joins the others is called, with a command of it."""
    folder, called = os.path.split(sys.argv[0])
    is_installed = os.path.basename(folder) != "scripts" if called == JOINED else called.startswith(INSTALLED)
    return ("" if is_installed else "scripts/") + JOINED + (" " + name if name else "")


class Parser(argparse.ArgumentParser):
    """Takes no option by half, names the exit statuses, and knows what a word was probably to be."""

    def __init__(self, *args: Any, **more: Any) -> None:
        more.setdefault("allow_abbrev", False)
        more.setdefault("epilog", STATUSES)
        super().__init__(*args, **more)

    def _check_value(self, action: argparse.Action, value: Any) -> None:
        try:
            super()._check_value(action, value)
        except argparse.ArgumentError as error:
            raise argparse.ArgumentError(action, error.message + nearest(str(value), action.choices or ())) from None


def nearest(word: str, known: Iterable[str]) -> str:
    """What somebody who typed this probably meant, as the end of a sentence."""
    found = difflib.get_close_matches(word, list(known), 1, 0.5)
    return f"; did you mean {found[0]}?" if found else ""


def add_options(parser: argparse.ArgumentParser) -> None:
    """What every script understands."""
    parser.add_argument("--redis", metavar="URL", help=f"default: REDIS_URL, REDIS_URL_FILE, {DEFAULT_URL}")
    parser.add_argument("--namespace", metavar="NS", help="default: TOLLGATE_NAMESPACE, tollgate")
    parser.add_argument("--json", action="store_true", help="print JSON for programs")


def _author_name(text: str) -> str:
    if not text or len(text.encode("utf-8", "surrogatepass")) > 100 or terminal.printable(text) != text:
        raise argparse.ArgumentTypeError("it must be 1 to 100 bytes on one line")
    return text


def add_author(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--by", type=_author_name, metavar="NAME", help="who does it, for the record (default: your login)")


def author(options: argparse.Namespace) -> str:
    return options.by or login()


def add_commands(parser: argparse.ArgumentParser) -> Callable[..., argparse.ArgumentParser]:
    """Lets a script have commands. Answers a function that adds one: its name, what carries it out (it is
    given a Link and the options, and answers an exit status), and a sentence about it."""
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")

    def add(name: str, act: Callable[["Link", argparse.Namespace], int], text: str) -> argparse.ArgumentParser:
        command = commands.add_parser(name, help=text, description=text)
        command.set_defaults(act=act)
        add_options(command)
        return command

    return add


def count_of(most: int) -> Callable[[str], int]:
    """For add_argument's type: a whole number from 1 up."""
    def count(text: str) -> int:
        number = int(text)
        if not 1 <= number <= most:
            raise argparse.ArgumentTypeError(f"it must be 1 to {most}")
        return number
    return count


def redis_url(options: argparse.Namespace) -> str:
    """--redis, or what the environment says to the programs."""
    path = os.environ.get("REDIS_URL_FILE")
    if options.redis or not path:
        return options.redis or os.environ.get("REDIS_URL") or DEFAULT_URL
    if os.environ.get("REDIS_URL"):
        raise Problem("REDIS_URL and REDIS_URL_FILE are both set; keep one", USAGE)
    try:
        with open(path, encoding="utf-8") as file:
            return file.read().strip()
    except OSError as error:
        raise Problem(f"REDIS_URL_FILE: cannot read {path}: {error.strerror}", USAGE) from None


def namespace(options: argparse.Namespace) -> str:
    return options.namespace or os.environ.get("TOLLGATE_NAMESPACE") or "tollgate"


# ---- Redis ----

class Link:
    """One namespace of one Redis. What is no UTF-8 there comes as lone surrogates and goes back as it was.
    redis.ConnectionError and redis.TimeoutError are left to `run`."""

    def __init__(self, options: argparse.Namespace, timeout_s: float = 60) -> None:
        self.url = redis_url(options)
        self.namespace = namespace(options)
        # To a socket in the file system redis-py connects without a limit, and knows none.
        limits: Dict[str, Any] = {} if self.url.startswith("unix:") else {"socket_connect_timeout": 5}
        if self.url.startswith("rediss:"):
            limits["ssl_check_hostname"] = True  # older redis-py takes any host's certificate
        try:
            # Newer redis-py sends a command again whose answer was lost: a grant without a key would be done twice.
            self.client = redis.Redis.from_url(self.url, decode_responses=True, encoding_errors="surrogateescape",
                                               socket_timeout=timeout_s, retry=Retry(NoBackoff(), 0), **limits)
        except ValueError as error:
            raise Problem(f"REDIS_URL cannot be used: {error}", USAGE) from None
        try:
            self.client.ping()
        except (redis.RedisError, OSError) as error:
            raise Problem(f"cannot reach Redis at {without_password(self.url)}: {error}; is REDIS_URL right, and is "
                          "Redis running?", UNREACHABLE) from None

    def key(self, name: str) -> str:
        return f"{{{self.namespace}}}:{name}"

    def command(self, function: str, *args: Any) -> Tuple[Any, ...]:
        """A function of the library as a command for bulk."""
        return ("FCALL", "tollgate_" + function, 1, self.key("queue"), *args)

    def call(self, function: str, *args: Any) -> Any:
        """A function of the library; what it refuses is a Problem."""
        try:
            return self.client.execute_command(*self.command(function, *args))
        except redis.ResponseError as error:
            raise explain(error) from None

    def bulk(self, commands: Sequence[Sequence[Any]], atomic: bool = False) -> List[Any]:
        """The answers, in order; one that is an error is an exception in the list. `atomic`: nothing else
        happens in Redis between two of them."""
        if not commands:
            return []
        with self.client.pipeline(transaction=atomic) as pipe:
            for command in commands:
                pipe.execute_command(*command)
            return pipe.execute(raise_on_error=False)

    def names(self, prefix: str) -> Iterator[List[str]]:
        """Pages of what stands behind this prefix in keys' names. One may come twice."""
        start = len(self.key(prefix))
        pattern = "".join("\\" + c if c in "*?[]\\" else c for c in self.key(prefix)) + "*"
        page: List[str] = []
        for key in self.client.scan_iter(match=pattern, count=PAGE):
            page.append(key[start:])
            if len(page) >= PAGE:
                yield page
                page = []
        if page:
            yield page


def explain(error: Exception) -> Problem:
    """What an error that Redis answered means."""
    text = str(error)
    if "Function not found" in text:
        return Problem("this Redis has no Tollgate library, or an older one: start tollgate-ingest or tollgate-worker of "
                       "this version once, either loads it", UNREACHABLE)
    text = text.split(" script: ")[0]
    return Problem(text[len(REFUSED):] if text.startswith(REFUSED) else f"Redis answered: {text}")


def run(main: Callable[[Optional[List[str]]], int]) -> None:
    """Runs a script's main and ends the process."""
    terminal.set_up()
    called = os.path.basename(sys.argv[0])
    name = joined() if called == JOINED else script(called.removeprefix(INSTALLED))
    try:
        code = main(None)
        sys.stdout.flush()
    except Problem as problem:
        terminal.complain(f"{name}: {problem}")
        code = problem.code
    except redis.ResponseError as error:
        terminal.complain(f"{name}: {explain(error)}")
        code = WRONG
    except redis.RedisError as error:
        terminal.complain(f"{name}: Redis went away: {error}; what it was asked last may have been done, look before you "
                          "do it again")
        code = UNREACHABLE
    except BrokenPipeError:  # nobody reads on
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        code = DONE
    except KeyboardInterrupt:
        terminal.complain("")
        code = 130
    sys.exit(code)
