"""The connection to Tollgate's Redis, and how a script ends: 0 done, 1 found something wrong, 2 wrong
use, 3 cannot reach Redis."""

import argparse
import getpass
import os
import sys
from typing import Any, Callable, Iterator, List, Optional
from urllib.parse import urlsplit, urlunsplit

import redis

DONE, WRONG, USAGE, UNREACHABLE = 0, 1, 2, 3

DEFAULT_URL = "redis://127.0.0.1:6379/0"

PAGE = 1000  # commands per pipeline, names per SCAN


class Problem(Exception):
    """Ends the script with a sentence and an exit code."""

    def __init__(self, text: str, code: int = WRONG) -> None:
        super().__init__(text)
        self.code = code


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


def add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--redis", metavar="URL", help="default: REDIS_URL, REDIS_URL_FILE, redis://127.0.0.1:6379/0")
    parser.add_argument("--namespace", metavar="NS", help="default: TOLLGATE_NAMESPACE, tollgate")
    parser.add_argument("--json", action="store_true", help="print JSON for programs")


def add_author(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--by", default=None, metavar="NAME", help="who does it, for the ledger (default: your login)")


def login() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return f"uid {os.getuid()}"


def author(options: argparse.Namespace) -> str:
    return login() if options.by is None else options.by


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


class Link:
    """One namespace of one Redis."""

    def __init__(self, options: argparse.Namespace) -> None:
        self.url = redis_url(options)
        self.namespace = namespace(options)
        try:
            self.client = redis.Redis.from_url(self.url, decode_responses=True, socket_connect_timeout=5)
            self.client.ping()
        except (redis.RedisError, ValueError, OSError) as error:
            raise Problem(f"cannot reach Redis at {without_password(self.url)}: {error}; is REDIS_URL right, and is "
                          "Redis running?", UNREACHABLE) from None

    def key(self, name: str) -> str:
        return f"{{{self.namespace}}}:{name}"

    def call(self, function: str, *args: Any) -> Any:
        """A function of the library; what it refuses is a Problem."""
        try:
            return self.client.fcall("tollgate_" + function, 1, self.key("queue"), *args)
        except redis.ResponseError as error:
            raise Problem(explain(error)) from None

    def names(self, prefix: str) -> Iterator[List[str]]:
        """Pages of what stands behind this prefix in keys' names."""
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


def explain(error: redis.ResponseError) -> str:
    text = str(error)
    if "Function not found" in text:
        return "this Redis has no Tollgate library yet: start tollgate-ingest or tollgate-worker, they load it"
    text = text.split(" script: ")[0]
    return text[len("tollgate: "):] if text.startswith("tollgate: ") else text


def run(main: Callable[[Optional[List[str]]], int]) -> None:
    """Runs a script's main and ends the process."""
    try:
        code = main(None)
        sys.stdout.flush()
    except Problem as problem:
        print(f"{os.path.basename(sys.argv[0])}: {problem}", file=sys.stderr)
        code = problem.code
    except redis.ConnectionError as error:
        print(f"{os.path.basename(sys.argv[0])}: Redis went away: {error}", file=sys.stderr)
        code = UNREACHABLE
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        code = DONE
    except KeyboardInterrupt:
        code = 130
    sys.exit(code)
