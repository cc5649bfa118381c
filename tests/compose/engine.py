"""A real Docker engine: one that runs, or one that is started for the tests, with the base images that the
Dockerfile and docker-compose.yml name. Where no registry can be reached these are made of Debian's packages."""

import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import List, Optional

ROOT = Path(__file__).resolve().parents[2]
COMPOSE = (ROOT / "docker-compose.yml").read_text()
BASE = "debian:trixie-slim"
REDIS = re.search(r"image: (redis:\S+)", COMPOSE).group(1)
PULL_S = 60


def run(*command: object, check: bool = True, **options: object) -> "subprocess.CompletedProcess[str]":
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True, **options)
    assert not check or done.returncode == 0, f"{command}: {done.returncode}\n{done.stdout[-4000:]}\n{done.stderr[-4000:]}"
    return done


def composer() -> Optional[List[str]]:
    """docker-compose 1.29 or today's `docker compose`, whichever there is."""
    for command in (["docker-compose"], ["docker", "compose"]):
        if shutil.which(command[0]) and run(*command, "version", check=False).returncode == 0:
            return command
    return None


def answers() -> bool:
    return run("docker", "version", check=False).returncode == 0


class Engine:
    """`trouble`: why there is none, else None. What was started here is ended by close()."""

    def __init__(self) -> None:
        self.daemon: Optional[subprocess.Popen] = None
        self.trouble = self._open()

    def _open(self) -> Optional[str]:
        if shutil.which("docker") is None or composer() is None:
            return "docker or docker-compose is not installed (scripts/install-deps compose)"
        if not answers() and (error := self._start()):
            return error
        for image, make in ((BASE, make_debian), (REDIS, make_redis)):
            if not has(image) and not pull(image):
                try:
                    make(image)
                except (AssertionError, OSError) as error:  # it fails, or is not there
                    return f"{image} can be neither pulled nor made: {error}"
        return None

    def _start(self) -> Optional[str]:
        if shutil.which("dockerd") is None or os.geteuid() != 0:
            return "no Docker engine answers, and none can be started (that takes dockerd and root)"
        log = tempfile.NamedTemporaryFile("w+", prefix="dockerd-", suffix=".log", delete=False)
        self.daemon = subprocess.Popen(["dockerd"], stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline and self.daemon.poll() is None:
            if answers():
                return None
            time.sleep(0.2)
        lines = Path(log.name).read_text().splitlines()
        return "dockerd does not start: " + (lines[-1] if lines else "it says nothing")

    def close(self) -> None:
        if self.daemon is not None:
            self.daemon.terminate()
            self.daemon.wait()


def reaches_packages() -> bool:
    """apt-get in a container, which every image is built with."""
    return run("docker", "run", "--rm", BASE, "apt-get", "update", "--error-on=any", check=False).returncode == 0


# ---- Base images ----

def has(image: str) -> bool:
    return run("docker", "image", "inspect", image, check=False).returncode == 0


def pull(image: str) -> bool:
    try:
        return run("docker", "pull", image, check=False, timeout=PULL_S).returncode == 0
    except subprocess.TimeoutExpired:
        return False


def make_debian(image: str) -> None:
    """The smallest Debian, as the image of that name is."""
    release = re.search(r":(\w+)", image).group(1)
    with tempfile.TemporaryDirectory() as folder:
        run("debootstrap", "--variant=minbase", release, folder)
        run("chroot", folder, "apt-get", "clean")
        tree = subprocess.Popen(["tar", "-C", folder, "-c", "."], stdout=subprocess.PIPE)
        run("docker", "import", "-", image, stdin=tree.stdout)
        assert tree.wait() == 0, "tar failed"


def make_redis(image: str) -> None:
    """Debian's Redis, with the user and the folder that the image of that name has."""
    run("docker", "build", "-t", image, "-", input=f"""\
FROM {BASE}
RUN apt-get update && DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends redis-server redis-tools \\
    && rm -rf /var/lib/apt/lists/* && install -d -o redis -g redis /data
VOLUME /data
WORKDIR /data
CMD ["redis-server"]
""")


if __name__ == "__main__":  # only makes the images
    sys.exit(Engine().trouble)
