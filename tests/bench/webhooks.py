"""Signed webhooks about bookings of their own, as Cal.com sends them."""

import sys
from pathlib import Path
from typing import Iterator

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "integration"))

from harness import now_iso, sample, sign  # noqa: E402
from wire import request  # noqa: E402

MEMBERS = 1000
DAY_S = 86400


def email(member: int) -> str:
    return f"member{member:04d}@example.com"


def bodies(first: int, count: int) -> Iterator[bytes]:
    """BOOKING_REQUESTED of bookings `first` and on, by MEMBERS members in turn, each at a time of its own: several
    of one member for the same time would be one click."""
    text = sample("BOOKING_REQUESTED", createdAt=now_iso(), **{
        "payload.bookingId": 707070707, "payload.uid": "<uid>", "payload.startTime": "<start>", "payload.endTime": "<end>",
        "payload.responses.email.value": "<email>"}).decode()
    for i in range(first, first + count):
        start_s = 2 * DAY_S + i % 500000 * 60
        yield (text.replace("707070707", str(i)).replace("<uid>", f"u{i:021d}").replace("<start>", now_iso(start_s))
               .replace("<end>", now_iso(start_s + 3600)).replace("<email>", email(i % MEMBERS))).encode()


def requests(first: int, count: int) -> Iterator[bytes]:
    """The same as HTTP requests to /webhook, ready to be written to a connection."""
    return (request(body) for body in bodies(first, count))


def write(path: Path, count: int) -> None:
    """A file for load.lua: of each webhook its size in 8 digits, its signature, and itself."""
    with open(path, "wb") as file:
        for body in bodies(1, count):
            file.write(b"%08d%s%s" % (len(body), sign(body).encode(), body))
