"""scripts/tollgate: one name for all that an operator does."""

import json
import re
import subprocess

import pytest

import harness
from outcomes import ANN, BOB

COMMANDS = ["status", "watch", "decisions", "explain", "credit", "queue", "policy", "doctor"]


@pytest.fixture
def tollgate(script):
    return lambda *arguments, code=0: script("tollgate", *arguments, code=code)


def told(done):
    return json.loads(done.stdout)


# ---- Help ----

@pytest.mark.parametrize("words", [(), ("--help",), ("-h",), ("help",), ("help", "help")])
def test_help_lists_the_commands(tollgate, words):
    text = tollgate(*words).stdout
    assert re.findall(r"^  ([a-z]+) +\S", text, re.M) == [*COMMANDS, "help"]
    for status in ("0  done", "1  refused", "2  wrong use", "3  Redis cannot be reached"):
        assert status in text


@pytest.mark.parametrize("name", COMMANDS)
def test_each_command_explains_itself_alike(tollgate, name):
    text = tollgate("help", name).stdout
    assert text == tollgate(name, "--help").stdout and text.startswith(f"usage: scripts/tollgate {name} ")
    assert "Exit status: 0 done, 1 refused, or something is wrong or differs, 2 wrong use, 3 Redis cannot be" in \
        " ".join(text.split())
    if "COMMAND" not in text:
        assert "--json" in text


def test_help_on_a_command_of_a_command(tollgate):
    assert tollgate("help", "queue", "requeue").stdout == tollgate("queue", "requeue", "--help").stdout


def test_a_script_of_its_own_says_how_it_is_called(script, tollgate):
    assert script("credit", "--help").stdout.startswith("usage: scripts/credit ")
    assert "scripts/credit grant makes one" in script("credit", "show", ANN, code=1).stderr
    done = tollgate("credit", "show", ANN, code=1)
    assert done.stderr == "scripts/tollgate: there is no account ann@example.com; scripts/tollgate credit grant makes one\n"


@pytest.mark.parametrize("words, says", [
    (("quee",), "did you mean queue?"), (("zzz",), "scripts/tollgate help lists them"),
    (("credit", "gratn"), "did you mean grant?"), (("queue", "list", "daed"), "did you mean dead?"),
    (("--json", "status"), "options stand behind the command"), (("help", "quee"), "did you mean queue?"),
])
def test_a_wrong_word(tollgate, words, says):
    done = tollgate(*words, code=2)
    assert says in done.stderr and done.stdout == ""


@pytest.mark.parametrize("words", [("status",), ("watch",), ("decisions",), ("explain", 1), ("credit", "list"), ("queue",),
                                   ("policy", "list"), ("doctor", "--offline")])
def test_no_redis(tollgate, words):
    done = tollgate(*words, "--redis", "redis://:hush@127.0.0.1:1", code=3)
    assert "cannot reach Redis" in done.stdout + done.stderr and "hush" not in done.stdout + done.stderr


def test_only_what_is_used_is_loaded():
    """A command is there at once: nothing of the others, and rich only for who sees it."""
    names = subprocess.run(["/usr/bin/python3", "-X", "importtime", harness.ROOT / "scripts" / "tollgate", "credit", "--help"],
                           capture_output=True, text=True, check=True).stderr
    loaded = set(re.findall(r"\| +(\S+)$", names, re.M))
    assert "tollgate.verify" in loaded and not loaded & {"rich", "tollgate.doctor", "policy.cli", "tollgate.watch"}


# ---- Decisions ----

@pytest.fixture
def decided(library):
    """Ann has credit for one, Bob for none."""
    library.grant(ANN, 1)
    library.record(1, account=ANN)
    library.settle(library.take_one(), "accepted")
    library.record(2, account=ANN, event_type="77")
    library.take()
    library.record(3, account=BOB)
    library.take()
    return library


@pytest.mark.parametrize("words, ids", [
    ((), ["3", "2", "1"]), (("--member", " Ann@Example.com"), ["2", "1"]), (("--outcome", "reject"), ["3", "2"]),
    (("--member", ANN, "--outcome", "accept"), ["1"]), (("--event-type", "77"), ["2"]), (("--reason", "NO MEMBER account"), ["3"]),
    (("-n", 1), ["3"]), (("--from", "1h"), ["3", "2", "1"]), (("--to", "1h"), []), (("--month", "2020-01"), []),
])
def test_decisions_are_found_without_an_id(tollgate, decided, words, ids):
    rows = told(tollgate("decisions", *words, "--json"))
    assert [row["booking"] for row in rows] == ids
    lines = tollgate("decisions", *words).stdout.splitlines()
    assert len(lines) == len(ids) + 1


def test_why_was_this_booking_refused(tollgate, decided):
    [row] = told(tollgate("decisions", "--member", ANN, "--outcome", "reject", "--json"))
    assert row["reason"].startswith("Not enough credit") and (row["state"], row["cost"]) == ("rejecting", 1)
    assert row["reason"] in tollgate("explain", row["booking"]).stdout
    assert f"scripts/tollgate decisions --member {ANN}" in tollgate("explain", ANN, code=1).stderr


def test_decisions_beyond_a_page(tollgate, library):
    with library.client.pipeline(transaction=False) as pipe:
        for number in range(2500):
            pipe.xadd(library.key("decisions"), {"booking": number, "account": ANN if number % 1000 == 7 else BOB,
                                                 "event_type": "1", "decision": "reject", "cost": 1, "reason": "-"})
        pipe.execute()
    assert [row["booking"] for row in told(tollgate("decisions", "--member", ANN, "--json"))] == ["2007", "1007", "7"]
    assert len(told(tollgate("decisions", "-n", 2400, "--json"))) == 2400


@pytest.mark.parametrize("words", [("--month", "2026-13"), ("--from", "yesterday"), ("--month", "2026-10", "--to", "1d"),
                                   ("-n", 0), ("--outcome", "acept")])
def test_decisions_of_a_wrong_time(tollgate, words):
    assert tollgate("decisions", *words, code=2).stderr


