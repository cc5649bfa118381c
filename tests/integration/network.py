"""A Redis at the end of a cable that can be pulled: it lives in a network namespace of its own. Needs root."""

import itertools
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any, Optional

from harness import House, RedisServer

NUMBERS = itertools.count(1)


def missing() -> Optional[str]:
    """Why there can be no such cable here, or None."""
    if shutil.which("ip") is None:
        return "ip is not installed (package iproute2)"
    if os.geteuid() != 0:
        return "network namespaces need root"
    tried = subprocess.run(["unshare", "--net", "true"], capture_output=True, text=True)
    return f"no network namespace can be made: {tried.stderr.strip()}" if tried.returncode != 0 else None


def ip(*arguments: str) -> str:
    return subprocess.run(["ip", *arguments], check=True, capture_output=True, text=True).stdout


class Cable:
    """A namespace, and a cable to it. Both ends know each other's address for good, so that a pulled cable is
    silent: no error from the kernel that it found nobody."""

    def __init__(self) -> None:
        number = next(NUMBERS)
        self.space = f"tollgate-{os.getpid()}-{number}"
        self.near, self.far = f"tg{os.getpid()}n{number}"[:15], f"tg{os.getpid()}f{number}"[:15]
        net = f"10.{200 + number % 50}.{os.getpid() // 64 % 256}.{os.getpid() % 64 * 4}".rsplit(".", 1)
        self.near_address, self.far_address = (f"{net[0]}.{int(net[1]) + i}" for i in (1, 2))
        ip("netns", "add", self.space)
        try:
            ip("link", "add", self.near, "type", "veth", "peer", "name", self.far, "netns", self.space)
            ip("address", "add", self.near_address + "/30", "dev", self.near)
            ip("-n", self.space, "address", "add", self.far_address + "/30", "dev", self.far)
            ip("link", "set", self.near, "up")
            ip("-n", self.space, "link", "set", "lo", "up")
            self.plug_in()
            self._introduce()
        except subprocess.CalledProcessError:
            self.close()
            raise

    def _introduce(self) -> None:
        for there, device, address, peer in ((["-n", self.space], self.far, self.near_address, []),
                                             ([], self.near, self.far_address, ["-n", self.space])):
            other = self.near if there else self.far
            mac = ip(*peer, "-o", "link", "show", other).split("link/ether ")[1].split()[0]
            ip(*there, "neighbour", "replace", address, "lladdr", mac, "dev", device, "nud", "permanent")

    def pull(self) -> None:
        ip("-n", self.space, "link", "set", self.far, "down")

    def plug_in(self) -> None:
        ip("-n", self.space, "link", "set", self.far, "up")

    def close(self) -> None:
        subprocess.run(["ip", "netns", "delete", self.space], check=False)  # its end of the cable goes with it


class FarRedis(RedisServer):
    """Keeps what it was told; `with` ends the namespace, after the Redis in it."""

    def __init__(self, folder: Path, **options: Any) -> None:
        self.cable = Cable()
        self.host = self.cable.far_address
        self.prefix = ["ip", "netns", "exec", self.cable.space]
        super().__init__(folder, appendonly=True, **{"arguments": ["--protected-mode", "no"], **options})

    def stop(self) -> None:
        self.cable.plug_in()
        super().stop()
        self.cable.close()


def far_redis(house: House) -> FarRedis:
    server = FarRedis(house.room("far-redis"))
    house.servers.append(server)
    server.start()
    return server
