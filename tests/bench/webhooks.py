"""Signed webhooks about bookings of their own, as Cal.com sends them."""

import datetime
import json
import sys
from pathlib import Path
from typing import Iterator

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "integration"))

from harness import SAMPLES, sign  # noqa: E402

MEMBERS = 1000
HEADERS = b"Host: tollgate.example\r\nContent-Type: application/json\r\n"


def email(member: int) -> str:
    return f"member{member:04d}@example.com"


def _iso(when: datetime.datetime) -> str:
    return when.strftime("%Y-%m-%dT%H:%M:%SZ")


def bodies(first: int, count: int) -> Iterator[bytes]:
    """BOOKING_REQUESTED of bookings `first` and on, by MEMBERS members in turn, each at a time of its own: several
    of one member for the same time would be one click."""
    raw = json.loads((SAMPLES / "BOOKING_REQUESTED.json").read_bytes())
    payload = raw["payload"]
    now = datetime.datetime.now(datetime.timezone.utc)
    address = payload["responses"]["email"]["value"]
    raw["createdAt"] = now.strftime("%Y-%m-%dT%H:%M:%S.000Z")
    payload["bookingId"] = 707070707
    payload.update(uid="<uid>", startTime="<start>", endTime="<end>")
    text = json.dumps(raw, separators=(",", ":"), ensure_ascii=False)
    for i in range(first, first + count):
        start = now.replace(second=0, microsecond=0) + datetime.timedelta(days=2, minutes=i % 500000)
        yield (text.replace("707070707", str(i)).replace("<uid>", f"u{i:021d}").replace("<start>", _iso(start))
               .replace("<end>", _iso(start + datetime.timedelta(hours=1)))
               .replace(address, email(i % MEMBERS))).encode()


def requests(first: int, count: int) -> Iterator[bytes]:
    """The same as HTTP requests to /webhook, ready to be written to a connection."""
    for body in bodies(first, count):
        yield (b"POST /webhook HTTP/1.1\r\n" + HEADERS + b"X-Cal-Signature-256: " + sign(body).encode()
               + b"\r\nContent-Length: %d\r\n\r\n" % len(body) + body)


def write(path: Path, count: int) -> None:
    """A file for load.lua: of each webhook its size in 8 digits, its signature, and itself."""
    with open(path, "wb") as file:
        for body in bodies(1, count):
            file.write(b"%08d%s%s" % (len(body), sign(body).encode(), body))
