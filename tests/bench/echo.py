"""How long an idle gate takes from a webhook to the confirm that Cal.com gets."""

import socket
import threading
import time
from pathlib import Path
from typing import Dict, List

import webhooks
from harness import House

ANSWER = b'{"status":"success","data":{"id":1,"status":"accepted"}}'
REPLY = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s" % (len(ANSWER), ANSWER)


class Listener:
    """Stands for Cal.com's API: answers everything with a yes, and notes when a confirm came in."""

    def __init__(self) -> None:
        self.socket = socket.create_server(("127.0.0.1", 0))
        self.heard: Dict[str, float] = {}
        threading.Thread(target=self._accept, daemon=True).start()

    @property
    def url(self) -> str:
        return "http://127.0.0.1:%d/v2" % self.socket.getsockname()[1]

    def _accept(self) -> None:
        while True:
            connection = self.socket.accept()[0]
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        while True:
            request = connection.recv(65536)
            now = time.perf_counter()
            if not request:
                return
            path = request.split(b" ", 2)[1].decode()
            if path.endswith("/confirm"):
                self.heard[path.split("/")[-2]] = now
            connection.sendall(REPLY)


def answer_times(house: House, folder: Path, count: int) -> List[float]:
    """Milliseconds of `count` bookings, one at a time."""
    folder.mkdir()
    server = house.redis()
    client = server.client()
    for member in range(webhooks.MEMBERS):
        client.hset("{tollgate}:credit:" + webhooks.email(member), "balance", 1000)
    listener = Listener()
    ingest = house.ingest(server.url).wait_ready()
    house.worker(server.url, listener.url, CALCOM_RATE_LIMIT="0", TOLLGATE_FRESH_MS="60000").wait_ready()
    host, port = ingest.address("listening").rsplit(":", 1)
    times = []
    with socket.create_connection((host, int(port))) as line:
        line.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for number, request in enumerate(webhooks.requests(1, count), 1):
            line.sendall(request)
            sent = time.perf_counter()
            assert line.recv(4096).startswith(b"HTTP/1.1 202 ")
            uid, until = f"u{number:021d}", sent + 10
            while uid not in listener.heard and time.perf_counter() < until:
                time.sleep(0.0005)
            times.append((listener.heard[uid] - sent) * 1000)
            time.sleep(0.003)  # the worker goes back to its wait
    return times
