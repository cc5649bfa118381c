"""What an operator asks of the accounts: what did Alice spend in October, and 3 credits for everybody in this list."""

import datetime
import json
import os
import pty
import subprocess

import pytest

import harness
from outcomes import ANN, BOB
from test_scripts import as_json

ZOE = "zoe@example.com"


# ---- What somebody spent ----

def at(text):
    return int(datetime.datetime.fromisoformat(text).timestamp() * 1000)


@pytest.fixture
def ledger(bare_library):
    """Ann's of some months, as the library writes it."""
    purses = [0, 0, 0]
    moves = {"grant": (1, 0, 0), "adjust": (1, 0, 0), "hold": (-1, 1, 0), "capture": (0, -1, 1), "refund": (1, 0, -1), "release": (1, -1, 0)}
    for moment, kind, amount in (
            ("2026-09-30T23:59:59.999", "grant", 10), ("2026-10-01T00:00:00", "hold", 2), ("2026-10-01T00:00:01", "capture", 2),
            ("2026-10-15T12:00:00", "grant", 5), ("2026-10-16T12:00:00", "hold", 3), ("2026-10-16T12:00:01", "release", 3),
            ("2026-10-20T12:00:00", "refund", 1), ("2026-10-31T23:59:59.999", "adjust", -2), ("2026-11-01T00:00:00", "hold", 4),
            ("2026-11-01T00:00:01", "capture", 4)):
        purses = [purse + amount * change for purse, change in zip(purses, moves[kind])]
        bare_library.client.xadd(bare_library.key("ledger:" + ANN), {
            "kind": kind, "amount": amount, "balance": purses[0], "held": purses[1], "spent": purses[2], "by": "x"}, id=f"{at(moment)}-1")
    bare_library.client.hset(bare_library.key("credit:" + ANN), mapping=dict(zip(("balance", "held", "spent"), purses)))
    return bare_library


@pytest.mark.parametrize("words", [("--month", "2026-10"), ("--from", "2026-10-01", "--to", "2026-10-31"),
                                   ("--from", "2026-10-01T00:00", "--to", "2026-11-01T00:00:00"), ("--month", "2026-10", "-n", 1)])
def test_what_somebody_spent_in_october(credit, ledger, words):
    told = as_json(credit("history", ANN, *words, "--json"))
    assert {name: told[name] for name in ("granted", "adjusted", "captured", "refunded", "spent", "balance_before", "balance_after")} == {
        "granted": 5, "adjusted": -2, "captured": 2, "refunded": 1, "spent": 1, "balance_before": 10, "balance_after": 12}
    assert told["movements"] == 7 and len(told["entries"]) == (1 if "-n" in words else 7)
    text = credit("history", ANN, *words).stdout
    assert "granted 5, adjusted -2, captured 2, refunded 1; spent 1; balance 10 → 12" in text
    assert ("the newest 1 of them above" in text) == ("-n" in words)


@pytest.mark.parametrize("words, spent, movements", [
    (("--from", "2026-11-01"), 4, 2), (("--to", "2026-09-30"), 0, 1), (("--month", "2026-12"), 0, 0), (("--month", "2020-02"), 0, 0)])
def test_other_times(credit, ledger, words, spent, movements):
    told = as_json(credit("history", ANN, *words, "--json"))
    assert (told["spent"], told["movements"]) == (spent, movements)


def test_a_history_without_a_time_is_the_list_that_it_was(credit, ledger):
    assert len(as_json(credit("history", ANN, "--json"))) == 10
    assert "granted" not in credit("history", ANN).stdout
    assert "no account" in credit("history", BOB, "--month", "2026-10", code=1).stderr


# ---- Credit for everybody in a list ----

@pytest.fixture
def members(tmp_path):
    def write(text):
        path = tmp_path / "members.txt"
        path.write_text(text)
        return path
    return write


LISTS = [f"{ANN}\n\n# the new ones\n  Bob@Example.com \n", f"name,email\nAnn,{ANN}\nBob,{BOB}\n", f"account;credits\n{ANN};9\n{BOB};\n",
         json.dumps([{"email": ANN}, {"account": BOB}]), f"\ufeff{ANN}\r\n{BOB}\r\n"]


@pytest.mark.parametrize("text", LISTS)
def test_each_is_granted_once(credit, library, members, text):
    told = as_json(credit("grant-each", members(text), 3, "--yes", "--by", "nora", "--note", "November", "--json"))
    assert (told["members"], told["new"], told["credits"], told["applied"], told["granted_before"]) == (2, 2, 6, 2, 0)
    assert library.purses(ANN) == library.purses(BOB) == (3, 0, 0)
    assert set(library.client.hgetall(library.key("credit:" + ANN))) <= {"balance", "held", "spent"}, "no other column is a field"
    told = as_json(credit("grant-each", members(text), 3, "--yes", "--json"))
    assert (told["credits"], told["granted_before"]) == (0, 2)
    assert library.purses(ANN) == (3, 0, 0)
    [entry] = as_json(credit("history", ANN, "--json"))
    assert (entry["kind"], entry["by"], entry["note"]) == ("grant", "nora", "November")


def test_the_same_members_in_another_order_are_the_same_list(credit, library, members):
    credit("grant-each", members(f"{ANN}\n{BOB}"), 3, "--yes")
    assert "2 had it already" in credit("grant-each", members(f"# once more\n{BOB}\n{ANN}\n"), 3, "--yes").stdout
    credit("grant-each", members(f"{ANN}\n{BOB}"), 2, "--yes")
    credit("grant-each", members(f"{ANN}\n{BOB}"), 2, "--yes", "--key", "dues")
    assert library.purses(ANN) == (7, 0, 0)


def test_what_was_broken_off_is_finished(credit, library, members):
    credit("grant", ANN, 3, "--key", "dues-2026-11")
    text = credit("grant-each", members(f"{ANN}\n{BOB}\n{ZOE}"), 3, "--key", "dues-2026-11", "--yes").stdout
    assert "3 credit(s) to each of 3 members, of whom 1 had them already: 6 in all" in text and "2 granted, 1 had it already" in text
    assert [library.purses(name) for name in (ANN, BOB, ZOE)] == [(3, 0, 0)] * 3


def test_only_those_who_have_an_account(credit, library, members):
    credit("grant", ANN, 1)
    text = credit("grant-each", members(f"{ANN}\nbbo@example.com"), 3, "--yes").stdout
    assert "1 would be new accounts: bbo@example.com" in text
    done = credit("grant-each", members(f"{ANN}\n{BOB}"), 3, "--known", "--yes", code=1)
    assert "line 2: bob@example.com has no account" in done.stdout
    assert library.purses(ANN) == (7, 0, 0) and not library.client.exists(library.key("credit:" + BOB))


@pytest.mark.parametrize("words, code, says", [
    (("0", "--yes"), 2, "from 1 up"), (("-3", "--yes"), 2, ""), (("x", "--yes"), 2, "from 1 up"), (("3",), 2, "--yes"),
    ((2**60, "--yes"), 2, "at most")])
def test_what_is_refused(credit, library, members, words, code, says):
    assert says in credit("grant-each", members(ANN), *words, code=code).stderr
    assert library.keys("credit:") == []
    assert "cannot be read" in credit("grant-each", "/nowhere", 3, "--yes", code=2).stderr


def test_lines_that_cannot_be_used_are_named_and_the_others_granted(credit, library, members):
    text = credit("grant-each", members(f"{ANN}\na b\n{ANN}\n{BOB}\n"), 3, "--yes", code=1).stdout
    assert "2 cannot be used" in text and "line 2: " in text and f"line 3: {ANN} stands in line 1 already" in text
    assert library.purses(ANN) == library.purses(BOB) == (3, 0, 0)


def test_only_looking(credit, library, members):
    assert "nothing was changed" in credit("grant-each", members(ANN), 3, "--dry-run").stdout
    assert library.keys("credit:") == []


@pytest.mark.parametrize("answer, balance", [("y\n", (3, 0, 0)), ("\n", None)])
def test_a_person_is_asked(library, shared_redis, members, answer, balance):
    ours, theirs = pty.openpty()
    env = {**os.environ, "REDIS_URL": shared_redis.url, "TOLLGATE_NAMESPACE": library.namespace, "TERM": "xterm"}
    process = subprocess.Popen([harness.ROOT / "scripts" / "tollgate", "credit", "grant-each", members(ANN), "3"], env=env,
                               stdin=theirs, stdout=theirs, stderr=theirs)
    os.close(theirs)
    os.write(ours, answer.encode())
    assert process.wait(30) == 0
    assert b"Grant? [y/N]" in os.read(ours, 65536)
    os.close(ours)
    assert (library.purses(ANN) if library.client.exists(library.key("credit:" + ANN)) else None) == balance
