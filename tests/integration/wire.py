"""Ingest alone, and a client that sends what it likes."""

import socket
import time
from typing import Any, Callable, Dict, Optional

from harness import Gate, House, Ingest, RedisServer, SECRET, TIMEOUT, http, sample, sign


class Door(Gate):
    """A gate without Cal.com and workers: what ingest took in stays to be looked at. env: of ingest."""

    def __init__(self, house: House, server: Optional[RedisServer] = None, ingest: Optional[Ingest] = None,
                 namespace: str = "tollgate", ready: bool = True, **env: str) -> None:
        self.house = house
        self.namespace = namespace
        self.redis = server or house.redis()
        self.client = self.redis.client()
        self.workers = []
        self.http = http()
        self.ingest = ingest or house.ingest(self.redis.url, namespace, **env)
        if ready:
            self.ingest.wait_ready()

    def wire(self) -> "Wire":
        return Wire(self.ingest.address("listening"))

    def ask(self, body: bytes, **options: Any) -> "Answer":
        """One webhook on a connection of its own."""
        with self.wire() as wire:
            return wire.ask(request(body, **options))

    def count(self, metric: str) -> float:
        return self.ingest.metrics()["tollgate_ingest_" + metric]


def webhook(id: int, **fields: Any) -> bytes:
    """A request for a booking of its own."""
    return sample("BOOKING_REQUESTED", **{"payload.bookingId": id, "payload.uid": f"uid-{id}", **fields})


def request(body: bytes = b"", headers: Optional[Dict[str, Any]] = None, method: str = "POST",
            path: str = "/webhook", secret: Optional[str] = SECRET) -> bytes:
    """The bytes of a webhook. A header whose value is None is left out."""
    lines = {"Host": "tollgate.example", "Content-Type": "application/json", "Content-Length": len(body),
             "X-Cal-Signature-256": None if secret is None else sign(body, secret), **(headers or {})}
    head = [f"{method} {path} HTTP/1.1"] + [f"{k}: {v}" for k, v in lines.items() if v is not None]
    return "\r\n".join(head).encode() + b"\r\n\r\n" + body


class Answer:
    """What came back. headers: by their names in lower case."""

    def __init__(self, head: bytes) -> None:
        first, *lines = head.decode("latin-1").split("\r\n")
        self.status = int(first.split()[1])
        self.headers = {name.lower(): value for name, value in (line.split(": ", 1) for line in lines)}
        self.body = b""
        # Cal.com takes a redirect for a failure and switches a webhook off after a 410.
        assert not 300 <= self.status < 400 and self.status != 410, head


class Wire:
    """One connection, byte for byte."""

    def __init__(self, address: str) -> None:
        host, port = address.rsplit(":", 1)
        self.socket = socket.create_connection((host, int(port)), TIMEOUT)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.received = b""

    def __enter__(self) -> "Wire":
        return self

    def __exit__(self, *_: Any) -> None:
        self.close()

    def close(self) -> None:
        self.socket.close()

    def send(self, data: bytes) -> "Wire":
        self.socket.sendall(data)
        return self

    def ask(self, data: bytes) -> Answer:
        return self.send(data).answer()

    def answer(self, has_body: bool = True) -> Answer:
        """The next one."""
        head_size = self._receive_until(lambda: self.received.find(b"\r\n\r\n") + 4, 4)
        answer = Answer(self.received[:head_size - 4])
        size = head_size + (int(answer.headers.get("content-length", 0)) if has_body else 0)
        self._receive_until(lambda: len(self.received), size)
        answer.body, self.received = self.received[head_size:size], self.received[size:]
        return answer

    def rest(self, timeout: float = TIMEOUT) -> bytes:
        """Waits until the other side closes; what it said until then."""
        deadline = time.monotonic() + timeout
        while True:
            self.socket.settimeout(max(deadline - time.monotonic(), 0.001))
            try:
                more = self._receive()
            except socket.timeout:
                raise AssertionError(f"not closed within {timeout:g} s; received {self.received!r}") from None
            if not more:
                return self.received
            self.received += more

    def _receive(self) -> bytes:
        try:
            return self.socket.recv(65536)
        except ConnectionError:
            return b""

    def _receive_until(self, size: Callable[[], int], enough: int) -> int:
        while size() < enough:
            more = self._receive()
            assert more, f"closed before the end of an answer: {self.received!r}"
            self.received += more
        return size()
