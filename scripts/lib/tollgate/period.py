"""A time from … to … as people type it, in their own time zone."""

import argparse
import datetime
import re
from typing import NamedTuple, Optional

from tollgate.link import USAGE, Problem

UNITS = {"s": 1, "min": 60, "h": 3600, "d": 86400}


class Period(NamedTuple):
    from_ms: Optional[int]  # None: from the beginning
    to_ms: Optional[int]    # not part of it any more; None: until now

    def entries(self) -> dict:
        """As the range of a stream, for xrange and xrevrange."""
        return {"min": "-" if self.from_ms is None else str(self.from_ms),
                "max": "+" if self.to_ms is None else f"({self.to_ms}-0"}


def _ms(moment: datetime.datetime) -> int:
    return int(moment.timestamp() * 1000)


def _moment(text: str, ends: bool) -> int:
    """2026-10-03, 2026-10-03T14:30, or 90min, 24h and 7d ago. A day that ends a period belongs to it."""
    ago = re.fullmatch(r"(\d{1,6})(s|min|h|d)", text)
    if ago:
        return _ms(datetime.datetime.now()) - int(ago.group(1)) * UNITS[ago.group(2)] * 1000
    try:
        moment = datetime.datetime.fromisoformat(text)
        if ends and re.fullmatch(r"\d{4}-\d\d-\d\d", text):
            moment += datetime.timedelta(days=1)
        return _ms(moment)
    except (ValueError, OverflowError, OSError):
        raise argparse.ArgumentTypeError(f"{text!r} is no time: 2026-10-03, 2026-10-03T14:30, or 90min, 24h, 7d ago") from None


def _begin(text: str) -> int:
    return _moment(text, False)


def _end(text: str) -> int:
    return _moment(text, True)


def _month(text: str) -> Period:
    found = re.fullmatch(r"(\d{4})-(\d\d)", text)
    try:
        year, month = int(found.group(1)), int(found.group(2))
        return Period(_ms(datetime.datetime(year, month, 1)), _ms(datetime.datetime(year + month // 12, month % 12 + 1, 1)))
    except (AttributeError, ValueError, OverflowError, OSError):
        raise argparse.ArgumentTypeError(f"{text!r} is no month: 2026-10") from None


def add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--month", type=_month, metavar="YYYY-MM", help="only this month")
    parser.add_argument("--from", type=_begin, dest="since", metavar="TIME",
                        help="only from then on: 2026-10-03, 2026-10-03T14:30, or 90min, 24h, 7d ago")
    parser.add_argument("--to", type=_end, dest="until", metavar="TIME", help="only until then, a day included")


def given(options: argparse.Namespace) -> Optional[Period]:
    """None when nothing was said about it."""
    if options.month and (options.since is not None or options.until is not None):
        raise Problem("--month is a time from … to … already", USAGE)
    if options.month or options.since is None and options.until is None:
        return options.month
    return Period(options.since, options.until)
