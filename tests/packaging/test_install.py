"""What `make install` puts down works from there, and is described."""

import os
import re
import subprocess

import pytest

import harness
from conftest import ROOT

PROGRAMS = ["tollgate-ingest", "tollgate-worker"]
SCRIPTS = ["tollgate", "tollgate-credit", "tollgate-doctor", "tollgate-explain", "tollgate-policy", "tollgate-queue"]
PAGES = {**{name: 8 for name in PROGRAMS}, **{name: 1 for name in SCRIPTS}}


def page(installed, name):
    return installed.root / f"usr/share/man/man{PAGES[name]}/{name}.{PAGES[name]}"


def page_text(installed, name):
    return page(installed, name).read_text().replace("\\-", "-")


def settings_of(installed, program):
    return set(re.findall(r"^  ([A-Z_]+) \(", installed.run(program, "--help").stdout, re.M))


def test_nothing_else_is_installed_as_a_command(installed):
    assert {path.name for path in (installed.root / "usr/bin").iterdir()} == set(PAGES)


def test_the_version_is_the_makefiles(installed):
    version = re.search(r"^VERSION = (\S+)$", (ROOT / "Makefile").read_text(), re.M).group(1)
    for program in PROGRAMS:
        assert installed.run(program, "--version").stdout == f"{program} {version}\n"
        assert f"Tollgate {version}" in page_text(installed, program)


def test_scripts_call_themselves_by_the_name_that_they_are_installed_under(installed, redis_server):
    for script in SCRIPTS:
        assert installed.run(script, "--help").stdout.startswith(f"usage: {script} ")
    away = installed.run("tollgate-credit", "list", "--redis", "redis://127.0.0.1:1", code=3).stderr
    assert away.startswith("tollgate-credit: cannot reach Redis")
    nobody = installed.run("tollgate-credit", "history", "ann@example.com", "--redis", redis_server.url, code=1).stderr
    assert "tollgate-credit grant makes one" in nobody
    for script in SCRIPTS:
        assert "scripts/" not in installed.run(script, "--help").stdout
    joined = installed.run("tollgate", "credit", "history", "ann@example.com", "--redis", redis_server.url, code=1).stderr
    assert joined == "tollgate: there is no account ann@example.com; tollgate credit grant makes one\n"
    assert "; tollgate decisions --member" in installed.run("tollgate-explain", "ann@example.com", code=1).stderr


def test_programs_and_scripts_work_together(installed, redis_server, tmp_path):
    environment = {"REDIS_URL": redis_server.url, "TOLLGATE_NAMESPACE": "installed"}
    log = tmp_path / "ingest.log"
    with open(log, "w") as stream:
        ingest = subprocess.Popen([installed.program("tollgate-ingest")], stderr=stream, env={
            **environment, "WEBHOOK_SECRET": harness.SECRET, "TOLLGATE_LISTEN": "127.0.0.1:0",
            "TOLLGATE_ADMIN_LISTEN": "127.0.0.1:0", "TOLLGATE_SPOOL_DIR": str(tmp_path / "spool")})
    try:
        client = redis_server.client()
        harness.wait_for(lambda: client.function_list(library="tollgate"), what="the Redis library")
        installed.run("tollgate-credit", "grant", "ann@example.com", "5", **environment)
        assert "ann@example.com" in installed.run("tollgate-credit", "list", **environment).stdout
        assert "waiting" in installed.run("tollgate-queue", **environment).stdout
        policies = installed.root / "usr/share/doc/tollgate/examples"
        for policy in policies.glob("*.lua"):
            installed.run("tollgate-policy", "check", str(policy), **environment)
    finally:
        ingest.terminate()
        ingest.wait(20)
    assert ingest.returncode == 0, log.read_text()


def test_the_example_of_settings_needs_only_what_it_leaves_empty(installed):
    text = (installed.root / "etc/tollgate/tollgate.env").read_text()
    given = dict(re.findall(r"^([A-Z_]+)=(.*)$", text, re.M))
    assert [name for name, value in given.items() if not value] == ["WEBHOOK_SECRET", "CALCOM_API_KEY"]
    for program, missing in (("tollgate-ingest", "WEBHOOK_SECRET"), ("tollgate-worker", "CALCOM_API_KEY")):
        assert missing in installed.run(program, "--check", code=2, **given).stderr
        installed.run(program, "--check", **{**given, missing: "something"})


def test_the_example_names_only_settings_that_there_are(installed):
    known = set().union(*(settings_of(installed, program) for program in PROGRAMS))
    text = (installed.root / "etc/tollgate/tollgate.env").read_text()
    named = set(re.findall(r"^(?:# *)?([A-Z_]+)=", text, re.M))
    secrets = {f"{name}_FILE" for name in ("REDIS_URL", "WEBHOOK_SECRET", "CALCOM_API_KEY")}
    assert named >= {"WEBHOOK_SECRET", "REDIS_URL", "TOLLGATE_POLICY_FILE"} and named <= known | secrets


@pytest.mark.parametrize("name", PAGES)
def test_the_man_page_is_well_formed_and_complete(installed, name):
    done = subprocess.run(["groff", "-man", "-ww", "-Tutf8", "-z", page(installed, name)], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    done = subprocess.run(["man", "--warnings", "--local-file", page(installed, name)], capture_output=True, text=True,
                          env={"PATH": os.environ["PATH"], "LANG": "C.UTF-8", "MANWIDTH": "80"})
    assert (done.returncode, done.stderr) == (0, "") and "NAME" in done.stdout
    if name in SCRIPTS:  # two builds of a commit are the same, so the pages have no date
        done = subprocess.run(["mandoc", "-T", "lint", "-W", "warning", page(installed, name)], capture_output=True, text=True)
        assert [line for line in done.stdout.splitlines() if "missing date" not in line] == []
    text = page_text(installed, name)
    assert not re.search(r"@[A-Z]+@", text)
    says = installed.run(name, "--help").stdout
    if name in PROGRAMS:
        assert set(re.findall(r"^\.B ([A-Z]+_[A-Z_]+)$", text, re.M)) >= settings_of(installed, name)
        wanted = set(re.findall(r"^  (--[a-z]+)", says, re.M))
    else:
        indented = "  " if name == "tollgate" else "    "
        wanted = set(re.findall(rf"^{indented}([a-z-]+) +[a-z]", says, re.M)) | set(re.findall(r"^  (--[a-z]+)", says, re.M))
    assert wanted and {word for word in wanted if not re.search(rf"^\.(B|BI|BR) {word}\b", text, re.M)} == set()


def test_uninstall_leaves_the_settings_only(installed, tmp_path):
    tree = type(installed)(tmp_path)
    tree.make("install")
    settings = tmp_path / "etc/tollgate/tollgate.env"
    settings.write_text("WEBHOOK_SECRET=mine\n")
    tree.make("install")
    assert settings.read_text() == "WEBHOOK_SECRET=mine\n"
    tree.make("uninstall")
    assert [path for path in tmp_path.rglob("*") if not path.is_dir()] == [settings]
