"""The members and the host at Cal.com: everybody acts at his time, whether others still wait or not."""

import asyncio
import datetime
import json
import time
from typing import Any, Dict, List, Optional, Tuple

from script import Plot

Row = Dict[str, Any]


def now_ms() -> int:
    return int(time.time() * 1000)


class Refused(Exception):
    """The fake Cal.com says no."""


class Client:
    """JSON over HTTP, as many requests at once as there are people, connections used again."""

    def __init__(self, url: str) -> None:
        self.host, port = url.split("//")[1].split(":")
        self.port = int(port)
        self.idle: List[Tuple[asyncio.StreamReader, asyncio.StreamWriter]] = []

    async def post(self, path: str, body: Row) -> Row:
        reader, writer = self.idle.pop() if self.idle else await asyncio.open_connection(self.host, self.port)
        raw = json.dumps(body).encode()
        writer.write(b"POST /control/%s HTTP/1.1\r\nHost: fake\r\nContent-Length: %d\r\n\r\n%s"
                     % (path.encode(), len(raw), raw))
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").lower()
        size = int(head.split("content-length:")[1].split("\r\n")[0])
        answer = json.loads(await reader.readexactly(size))
        self.idle.append((reader, writer))
        if " 200 " not in head.split("\r\n")[0]:
            raise Refused(answer.get("error"))
        return answer

    def close(self) -> None:
        for _, writer in self.idle:
            writer.close()


class Members:
    """Plays the plots. `orders` is what everybody did, see History."""

    def __init__(self, fake_url: str, ingests: int) -> None:
        self.client = Client(fake_url)
        self.ingests = ingests
        self.orders: List[Row] = []

    async def play(self, plots: List[Plot]) -> None:
        begin = time.monotonic()
        tasks = set()
        for i, plot in enumerate(sorted(plots)):
            delay = begin + plot.at - time.monotonic()
            if delay > 0:
                await asyncio.sleep(delay)
            task = asyncio.ensure_future(self._play_one(i, plot))
            tasks.add(task)
            task.add_done_callback(tasks.discard)
        await asyncio.gather(*tasks)
        self.client.close()

    async def _play_one(self, i: int, plot: Plot) -> None:
        if plot.what == "pair":
            await self._play_pair(i, plot)
            return
        fields: Row = {"twins": 2} if plot.what == "twins" else {}
        if plot.what == "cancel-late":
            hours = datetime.timedelta(hours=12, minutes=i % 300)
            fields["start"] = (datetime.datetime.now(datetime.timezone.utc) + hours).strftime("%Y-%m-%dT%H:%M:00Z")
        made = await self._book(plot, **fields)
        if made is None or plot.what in ("book", "twins"):
            return
        await asyncio.sleep(plot.waits[0])
        if plot.what in ("move", "move-twice"):
            made = await self._book(plot, rescheduleUid=made["uid"])
            if made is not None and plot.what == "move-twice":
                await asyncio.sleep(plot.waits[1])
                await self._book(plot, rescheduleUid=made["uid"])
        elif plot.what in ("cancel", "cancel-late"):
            await self._order("cancel", made["id"], by="member", late=plot.what == "cancel-late")
        else:
            await self._order(plot.what.split("-")[1], made["id"], by="host")

    async def _play_pair(self, i: int, plot: Plot) -> None:
        """Both by way of one ingest, the second after the first is answered."""
        for role in ("first", "second"):
            if await self._book(plot, pair=i, role=role, to=i % self.ingests + 1) is None:
                return

    async def _book(self, plot: Plot, pair: Optional[int] = None, role: str = "", **fields: Any) -> Optional[Row]:
        made = await self._order("book", None, pair=pair, role=role, email=plot.member,
                                 eventTypeId=int(plot.event_type), **fields)
        return made if made is None or "bookings" not in made else made["bookings"][0]

    async def _order(self, what: str, id: Optional[int], pair: Optional[int] = None, role: str = "",
                     late: bool = False, **fields: Any) -> Optional[Row]:
        row: Row = {"what": what, "id": id, "begin_ms": now_ms(), "end_ms": 0, **fields}
        if pair is not None:
            row.update(pair=pair, role=role)
        if late:
            row["late"] = True
        self.orders.append(row)
        answer: Optional[Row] = None
        try:
            answer = await self.client.post(what, {**fields, **({"id": id} if id is not None else {})})
            row["id"] = answer.get("id", id)
        except Refused as error:  # the host and the gate decide at the same time, or it is over already
            row["error"] = str(error)
        row["end_ms"] = now_ms()
        return answer
