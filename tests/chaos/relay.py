#!/usr/bin/python3
"""Passes TCP connections on, over links that can be cut.

    relay.py NAME=HOST:PORT …

prints `NAME PORT` for each link: connect there. Reads orders, one a line, and answers each with `ok`:

    cut NAME      nothing goes through any more and nobody is told: what is sent waits, as it does when a
                  cable is pulled; a new connection is taken and hears nothing
    heal NAME     what waited goes through, late
    break NAME    every connection is reset

Ends with its input.
"""

import asyncio
import sys
from typing import Dict, Optional, Set


class Link:
    def __init__(self, host: str, port: int) -> None:
        self.host, self.port = host, port
        self.sides: Set["Side"] = set()
        self.is_whole = asyncio.Event()
        self.is_whole.set()

    def cut(self) -> None:
        self.is_whole.clear()
        for side in self.sides:
            side.heed_link()

    def heal(self) -> None:
        self.is_whole.set()
        for side in self.sides:
            side.heed_link()

    def break_all(self) -> None:
        for side in list(self.sides):
            side.transport.abort()


class Side(asyncio.Protocol):
    """One end of a connection; `peer` is the other one."""

    def __init__(self, link: Link, peer: Optional["Side"] = None) -> None:
        self.link = link
        self.peer = peer
        self.early = bytearray()  # came before there was somebody to give it to
        self.transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        self.link.sides.add(self)
        if self.peer is None:
            asyncio.ensure_future(self._call_on())
        # asyncio begins to read after this, whatever is said here.
        asyncio.get_running_loop().call_soon(self.heed_link)

    def heed_link(self) -> None:
        if self.link.is_whole.is_set():
            self.transport.resume_reading()
        else:
            self.transport.pause_reading()

    async def _call_on(self) -> None:
        """The caller's side: finds the other one."""
        await self.link.is_whole.wait()
        try:
            _, peer = await asyncio.get_running_loop().create_connection(
                lambda: Side(self.link, self), self.link.host, self.link.port)
        except OSError:
            self.transport.abort()
            return
        self.peer = peer
        peer.transport.write(bytes(self.early))
        if self.transport.is_closing():
            peer.transport.close()

    def data_received(self, data: bytes) -> None:
        if self.peer is None:
            self.early += data
        else:
            self.peer.transport.write(data)

    def connection_lost(self, error: Optional[Exception]) -> None:
        self.link.sides.discard(self)
        if self.peer is not None:
            if error is None:
                self.peer.transport.close()  # what was given to it is still delivered
            else:
                self.peer.transport.abort()


async def read_orders(links: Dict[str, Link]) -> None:
    reader = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    while True:
        line = (await reader.readline()).decode().split()
        if not line:
            return
        order, name = line
        {"cut": Link.cut, "heal": Link.heal, "break": Link.break_all}[order](links[name])
        print("ok", flush=True)


async def main() -> None:
    links = {}
    for argument in sys.argv[1:]:
        name, address = argument.split("=")
        host, port = address.rsplit(":", 1)
        link = links[name] = Link(host, int(port))
        server = await asyncio.get_running_loop().create_server(lambda link=link: Side(link), "127.0.0.1", 0)
        print(name, server.sockets[0].getsockname()[1], flush=True)
    await read_orders(links)


if __name__ == "__main__":
    asyncio.run(main())
