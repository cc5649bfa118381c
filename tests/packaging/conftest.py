"""What tests of the installation ask for: `installed`, a tree that `make install` made."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests" / "integration"))

import harness  # noqa: E402
import tally  # noqa: E402

PREFIX = Path("usr")

pytest_unconfigure = tally.pytest_unconfigure


class Tree:
    """A DESTDIR with everything below /usr and /etc."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def make(self, target: str) -> None:
        """Below `make packaging` MAKEFLAGS says how everything was built, so that nothing is built anew."""
        subprocess.run(["make", "-s", target, f"V={harness.BUILD.name.split('-')[0]}", f"DESTDIR={self.root}", "PREFIX=/usr"],
                       cwd=ROOT, check=True)

    def program(self, name: str) -> Path:
        return self.root / PREFIX / "bin" / name

    def unit(self, name: str) -> Path:
        return self.root / PREFIX / "lib/systemd/system" / name

    def run(self, name: str, *arguments: str, code: int = 0, **environment: str) -> subprocess.CompletedProcess:
        done = subprocess.run([self.program(name), *arguments], env={"PATH": os.environ["PATH"], **environment}, text=True,
                              capture_output=True, stdin=subprocess.DEVNULL, timeout=60)
        assert done.returncode == code, done.stdout + done.stderr
        return done


@pytest.fixture(scope="session")
def installed(tmp_path_factory):
    tree = Tree(tmp_path_factory.mktemp("installed"))
    tree.make("install")
    return tree


@pytest.fixture(scope="session")
def redis_server(tmp_path_factory):
    server = harness.RedisServer(tmp_path_factory.mktemp("redis"))
    server.start()
    yield server
    server.stop()
