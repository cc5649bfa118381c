"""The console in a real Chromium, over a real Redis with 100 000 bookings, a real ingest and worker, and the fake
Cal.com. `console` is signed in; `club` is what stands behind it."""

import os
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "integration"))

import browser as browsers  # noqa: E402
import club as clubs  # noqa: E402
import harness  # noqa: E402
import houses  # noqa: E402
import tally  # noqa: E402
from library import Library  # noqa: E402

pytest_unconfigure = tally.pytest_unconfigure

CONSOLE = {"TOLLGATE_CONSOLE": "on", "TOLLGATE_CONSOLE_TOKEN": browsers.TOKEN}


def pytest_configure(config):
    missing = harness.missing()
    for program in ("/usr/bin/chromium", "/usr/bin/chromedriver"):
        if not os.path.exists(program):
            missing = f"{program} is missing: run scripts/install-deps console"
    if not browsers.AXE.exists():
        missing = "axe-core is missing: run scripts/install-deps console, and make console-test or npm ci in tests/console/axe"
    if missing:
        pytest.exit(missing, returncode=2)


class Club(harness.Gate):
    """A gate whose store has a past."""

    def __init__(self, house, server):
        super().__init__(house, server=server, ingest_env=CONSOLE,
                         # The fake Cal.com knows nothing of the past: a sweep would find drift everywhere.
                         worker_env={"TOLLGATE_SWEEP_INTERVAL": "0"})
        self.library = Library(self.client, self.namespace)

    def another_ingest(self, **env):
        """A console over the same store."""
        return self.house.ingest(self.redis.url, self.namespace, **{**CONSOLE, **env}).wait_ready()

    def dead_of(self, why):
        """The IDs of those that are dead for a reason that contains this, the newest first."""
        ids = self.client.zrevrange(self.key("dead"), 0, -1)
        return [id_ for id_ in ids if why in (self.client.hget(self.key(f"booking:{id_}"), "last_error") or "")]


@pytest.fixture(scope="session")
def long_house(tmp_path_factory):
    """Programs that live as long as the run."""
    yield from houses.kept(tmp_path_factory.mktemp("club"))


@pytest.fixture(scope="session")
def club(long_house):
    server = clubs.store(long_house.room("redis"))
    long_house.servers.append(server)
    return Club(long_house, server)


@pytest.fixture
def house(tmp_path):
    yield from houses.kept(tmp_path)


@pytest.fixture(scope="session")
def driver():
    driver = browsers.start()
    yield driver
    driver.quit()


@pytest.fixture(scope="session")
def driver_without_scripts():
    driver = browsers.start(scripts=False)
    yield driver
    driver.quit()


@pytest.fixture
def open_console(driver):
    """open_console(ingest) → a browser.Browser on it. Nothing may stand in Chromium's console afterwards."""
    opened = []

    def make(ingest, **options):
        made = browsers.Browser(driver, ingest.admin, **options)
        made.size(*browsers.DESKTOP)
        made.scheme("light")
        opened.append(made)
        return made

    driver.get("about:blank")
    driver.get_log("browser")
    yield make
    complaints = [line for one in opened[-1:] for line in one.complaints()]
    driver.get("about:blank")
    assert not complaints, "\n".join(complaints)


@pytest.fixture(scope="session")
def session_cookie():
    """Signing in once is enough: the cookie is used again."""
    return {}


@pytest.fixture
def console(open_console, club, session_cookie):
    made = open_console(club.ingest)
    made.open("login")
    if session_cookie:
        made.forget()
        made.driver.add_cookie(session_cookie)
    else:
        made.sign_in()
        session_cookie.update(made.driver.get_cookie("tollgate_session"))
    return made
