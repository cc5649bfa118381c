"""The units, as far as they can be judged without a running systemd; `make deb-test` boots one."""

import configparser
import os
import re
import subprocess

import pytest

UNITS = ["tollgate-ingest.service", "tollgate-worker@.service", "tollgate.target"]
SERVICES = UNITS[:2]
SOURCE = "etc/tollgate/tollgate.env"


def of_systemd(*command):
    return subprocess.run(command, capture_output=True, text=True, timeout=60, env={**os.environ, "SYSTEMD_LOG_LEVEL": "notice"})


def unit(installed, name):
    """Its settings; of one that is given several times, the last."""
    parser = configparser.RawConfigParser(strict=False)
    parser.optionxform = str
    parser.read(installed.unit(name))
    return parser


def test_verify(installed, tmp_path):
    """Its complaints name what is unknown, misspelt or missing; the programs stand elsewhere here."""
    for name in UNITS:
        text = installed.unit(name).read_text().replace("=/usr/bin/", f"={installed.root}/usr/bin/")
        (tmp_path / name.replace("@", "@1")).write_text(text)
    done = of_systemd("systemd-analyze", "verify", "--man=no", *map(str, sorted(tmp_path.iterdir())))
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


@pytest.mark.parametrize("name", SERVICES)
def test_exposure_is_two_at_most(installed, name):
    done = of_systemd("systemd-analyze", "security", "--offline=true", "--no-pager", "--threshold=20", str(installed.unit(name)))
    assert done.returncode == 0, done.stdout + done.stderr
    assert float(re.search(r"Overall exposure level.*: ([0-9.]+)", done.stdout).group(1)) <= 2.0


@pytest.mark.parametrize("name", SERVICES)
def test_a_stop_waits_longer_than_the_drain(installed, name):
    assert int(unit(installed, name)["Service"]["TimeoutStopSec"]) > 10


@pytest.mark.parametrize("name", SERVICES)
def test_what_the_unit_names_is_installed(installed, name):
    service = unit(installed, name)["Service"]
    for command in (service["ExecStart"], service["ExecStartPre"]):
        assert (installed.root / command.split()[0].lstrip("/")).exists()
    assert f"EnvironmentFile=/{SOURCE}\n" in installed.unit(name).read_text() and (installed.root / SOURCE).exists()


@pytest.mark.skipif(os.geteuid() != 0, reason="files of another owner are root's to make")
def test_the_group_reads_the_settings(installed, tmp_path):
    """What sysusers.d and tmpfiles.d make of an installation whose files are all root's."""
    for name in ("etc/tollgate", "usr/lib/sysusers.d", "usr/lib/tmpfiles.d"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        subprocess.run(["cp", "-a", installed.root / name, tmp_path / name], check=True)
    for command in (["systemd-sysusers"], ["systemd-tmpfiles", "--create"]):
        done = of_systemd(*command, f"--root={tmp_path}", "tollgate.conf")
        assert done.returncode == 0, done.stderr
    group = int(re.search(r"^tollgate:[^:]*:(\d+):", (tmp_path / "etc/group").read_text(), re.M).group(1))
    for name, mode in (("etc/tollgate", 0o750), (SOURCE, 0o640)):
        status = (tmp_path / name).stat()
        assert (status.st_uid, status.st_gid, status.st_mode & 0o7777) == (0, group, mode)
    assert not re.search(r"^tollgate", (tmp_path / "etc/passwd").read_text() if (tmp_path / "etc/passwd").exists() else "", re.M)
