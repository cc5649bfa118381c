"""What docker-compose.yml and .env.example promise about settings, and how programs are built. No engine is needed
here; tests/compose runs one."""

import os
import re
import subprocess

import pytest

from harness import BUILD, ROOT

COMPOSE = (ROOT / "docker-compose.yml").read_text()
EXAMPLE = (ROOT / ".env.example").read_text()

# Where it listens and keeps things is the container's own affair, and its log is the engine's.
FIXED = {"TOLLGATE_LISTEN", "TOLLGATE_ADMIN_LISTEN", "TOLLGATE_SPOOL_DIR", "TOLLGATE_LOG_FILE"}
REQUIRED = {"WEBHOOK_SECRET", "CALCOM_API_URL", "CALCOM_API_KEY"}


def settings():
    """Name → default, as the programs print them."""
    table = subprocess.run([BUILD / "tollgate-ingest", "--help=markdown"], capture_output=True, text=True, check=True)
    return dict(re.findall(r"^\| `(\w+)` \| \w+ \| (.*?) \|", table.stdout, re.M))


def test_each_setting_can_be_given_in_env():
    handed_on = set(re.findall(r"^ +(\w+): \$\{\1:-", COMPOSE, re.M))
    assert set(settings()) - FIXED <= handed_on


def test_a_missing_value_is_the_programs_affair():
    # ${X:?} or ${X} would stop or warn for a service that is not even started.
    assert re.findall(r"\$\{\w+(?!\w*:-)[^}]*\}", COMPOSE) == []


def test_the_example_asks_for_three_values_and_shows_true_defaults():
    assert set(re.findall(r"^(\w+)=$", EXAMPLE, re.M)) == REQUIRED
    known = settings()
    shown = re.findall(r"^#(\w+)=(.*)$", EXAMPLE, re.M)
    assert shown
    for name, value in shown:
        in_compose = re.search(r"\$\{" + name + r":-([^}]*)\}", COMPOSE)
        assert in_compose, f"{name} is not used"
        default = in_compose.group(1) or known[name].replace("empty", "")
        assert value == default, name


@pytest.mark.skipif(os.path.basename(BUILD) != "release", reason="only the release build is hardened")
@pytest.mark.parametrize("program", ["tollgate-ingest", "tollgate-worker"])
def test_release_is_hardened(program):
    def readelf(option):
        return subprocess.run(["readelf", "-W", option, BUILD / program], capture_output=True, text=True,
                              check=True).stdout
    assert "DYN (Position-Independent Executable" in readelf("-h")
    assert re.search(r"FLAGS_1.*NOW.*PIE", readelf("-d"))
    assert "GNU_RELRO" in readelf("-l")
    assert re.search(r"GNU_STACK .* RW  ", readelf("-l"))
    names = readelf("--dyn-syms")
    assert "__stack_chk_fail" in names
    assert re.search(r"__\w+_chk@", names.replace("__stack_chk", ""))
