"""`engine`: a real Docker engine and the images, built as a user builds them; `club`: the gate with people who use
it; `project`: docker-compose.yml with other settings. Without an engine every test is skipped, and the summary
says so."""

import itertools
import os
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "tests" / "compose"), str(ROOT / "tests" / "integration")]

from engine import Engine, reaches_packages, run  # noqa: E402
from stack import TAG, Club, Project  # noqa: E402
import tally  # noqa: E402

NAMES = itertools.count(1)
TROUBLE = pytest.StashKey()

pytest_unconfigure = tally.pytest_unconfigure


def name():
    return f"tollgate-test-{os.getpid()}-{next(NAMES)}"


@pytest.fixture(scope="session")
def engine(pytestconfig, tmp_path_factory):
    engine = Engine()
    try:
        if engine.trouble:
            pytestconfig.stash[TROUBLE] = engine.trouble
            pytest.skip(engine.trouble)
        built = Project("tollgate-test-build", tmp_path_factory.mktemp("build")).compose(
            "--profile", "gate", "--profile", "demo", "--profile", "tools", "build", check=False)
        if built.returncode != 0 and not reaches_packages():
            pytestconfig.stash[TROUBLE] = "containers cannot reach Debian's packages, so no image can be built"
            pytest.skip(pytestconfig.stash[TROUBLE])
        assert built.returncode == 0, built.stdout[-4000:] + built.stderr[-4000:]
        yield engine
        images = run("docker", "images", "--format", "{{.Repository}}:{{.Tag}}", "--filter",
                     f"reference=tollgate-*:{TAG}").stdout.split()
        run("docker", "image", "rm", *images, check=False)
    finally:  # one that was started may be of no use
        engine.close()


@pytest.fixture
def project(engine, tmp_path):
    """project(**values of .env) → a Project."""
    made = []

    def make(**options):
        made.append(Project(name(), tmp_path, **options))
        return made[-1]
    yield make
    for project in made:
        project.down()


@pytest.fixture(scope="session")
def open_club(engine, tmp_path_factory):
    """One that is open already, for tests that leave it as they found it."""
    club = Club(name(), tmp_path_factory.mktemp("club"))
    try:
        club.open()
        yield club
    finally:
        club.close()


@pytest.fixture
def club(engine, tmp_path):
    """club(**values of .env) → a Club."""
    made = []

    def make(**options):
        made.append(Club(name(), tmp_path, **options))
        return made[-1]
    yield make
    for club in made:
        club.close()


def pytest_addoption(parser):
    parser.addoption("--full", action="store_true", help="the long runs: 60 s of 200 bookings/s through an upgrade")


@pytest.fixture
def full(pytestconfig):
    return pytestconfig.getoption("full")


def pytest_terminal_summary(terminalreporter, config):
    trouble = config.stash.get(TROUBLE, None)
    if trouble:
        terminalreporter.section("NOT TESTED: docker-compose.yml and the images", sep="!", red=True)
        terminalreporter.line(trouble)
