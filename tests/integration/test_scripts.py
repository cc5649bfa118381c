"""The operator's scripts, as processes against a real Redis."""

import csv
import io
import json
import os
import subprocess

import pytest

from harness import ROOT
from library import now_ms

ANN, BOB = "ann@example.com", "bob@example.com"


@pytest.fixture
def script(library, shared_redis):
    """script("credit", "show", …) → the finished process."""
    def run(name, *arguments, code=0, **options):
        env = {**os.environ, "REDIS_URL": shared_redis.url, "TOLLGATE_NAMESPACE": library.namespace}
        done = subprocess.run([ROOT / "scripts" / name, *map(str, arguments)], env=env, capture_output=True, text=True,
                              timeout=60, stdin=subprocess.DEVNULL, check=False, **options)
        assert done.returncode == code, (done.stdout, done.stderr)
        return done
    return run


@pytest.fixture
def credit(script):
    return lambda *arguments, code=0: script("credit", *arguments, code=code)


def as_json(done):
    return json.loads(done.stdout)


# ---- One account ----

def test_grant_debit_show_history(credit, library):
    credit("grant", " Ann@Example.com", 5, "--note", "June dues", "--by", "nora")
    assert "used before" not in credit("grant", ANN, 2, "--key", "k").stdout
    assert "used before" in credit("grant", ANN, 2, "--key", "k").stdout
    credit("debit", ANN, 1)
    assert as_json(credit("show", ANN, "--json")) == {
        "account": ANN, "balance": 6, "held": 0, "spent": 0, "bookings": []}
    entries = as_json(credit("history", ANN, "--json"))
    assert [(e["kind"], e["amount"]) for e in entries] == [("adjust", "-1"), ("grant", "2"), ("grant", "5")]
    assert (entries[2]["by"], entries[2]["note"]) == ("nora", "June dues")
    assert "June dues" in credit("history", ANN).stdout


@pytest.mark.parametrize("arguments, code, says", [
    (("grant", ANN, "-5"), 2, "debit"), (("grant", ANN, "0"), 2, "from 1 up"), (("grant", ANN, "1.5"), 2, "whole number"),
    (("grant", "a b", "1"), 2, "no account"), (("debit", ANN, "1"), 1, "no account ann"), (("show", ANN), 1, "no account"),
    (("history", ANN), 1, "no account"), (("nonsense",), 2, "invalid choice"), (("grant", ANN, 2**53), 1, "whole number"),
    (("import", "/nowhere.csv", "--yes"), 2, "cannot be read"), (("verify", ANN), 1, "no account"),
])
def test_errors_say_what_to_do(credit, library, arguments, code, says):
    assert says in credit(*arguments, code=code).stderr
    assert library.keys("credit:") == []


def test_a_debit_beyond_the_balance(credit):
    credit("grant", ANN, 1)
    assert "less than 2" in credit("debit", ANN, 2, code=1).stderr
    credit("debit", ANN, 2, "--overdraw")


def test_no_redis(script):
    done = script("credit", "list", "--redis", "redis://:hush@127.0.0.1:1", code=3)
    assert "cannot reach Redis" in done.stderr and "hush" not in done.stderr


@pytest.mark.parametrize("address", [" A@B.c\t", "Ä@B.C", "x@y\n"])
def test_accounts_are_written_as_ingest_writes_them(credit, library, address):
    credit("grant", address, 1)
    raw = address.strip()
    assert library.keys("credit:") == [library.key("credit:" + "".join(c.lower() if c.isascii() else c for c in raw))]


# ---- All accounts ----

def test_list_and_export(credit, library):
    library.credit(ANN, balance=3, tier="gold")
    library.credit(BOB, balance=1)
    assert [row["account"] for row in as_json(credit("list", "--json"))] == [BOB, ANN]
    assert [row["account"] for row in as_json(credit("list", "--below", 3, "--json"))] == [BOB]
    assert [row["account"] for row in as_json(credit("list", "--sort", "account", "--limit", 1, "--json"))] == [ANN]
    rows = list(csv.DictReader(io.StringIO(credit("export").stdout)))
    assert rows[0] == {"account": ANN, "balance": "3", "held": "0", "spent": "0", "tier": "gold"}
    assert as_json(credit("export", "--format", "json"))[1]["balance"] == 1


def test_import(credit, library, tmp_path):
    file = tmp_path / "members.csv"
    file.write_text("\ufeffEmail;credits;tier\n".replace("Email", "email") + "Ann@example.com;5;gold\n\nbob@example.com;;\n"
                    "no address here;1;\nann@example.com;1;x\ncarl@example.com;many;\ndan@example.com;1\n", encoding="utf-8")
    report = as_json(credit("import", file, "--json", "--dry-run", code=1))
    assert (report["members"], report["new"], report["credits"], report["applied"]) == (2, 2, 5, 0)
    assert [bad["line"] for bad in report["bad"]] == [5, 6, 7, 8]
    assert library.keys("credit:") == []
    assert "--yes" in credit("import", file, code=2).stderr
    credit("import", file, "--yes", code=1)
    again = as_json(credit("import", file, "--yes", "--json", code=1))
    assert (again["applied"], again["granted_before"]) == (2, 1)
    assert library.purses(ANN) == (5, 0, 0) and library.purses(BOB) == (0, 0, 0)
    assert library.client.hget(library.key("credit:" + ANN), "tier") == "gold"


@pytest.mark.parametrize("header", ["name,credits", "email,email", "email,balance", "email,"])
def test_headers_that_cannot_be_used(credit, tmp_path, header):
    file = tmp_path / "members.csv"
    file.write_text(header + "\nann@example.com,1\n")
    credit("import", file, "--yes", code=2)


# ---- Verify ----

@pytest.fixture
def busy(library):
    """Two members with all kinds of movements."""
    library.grant(ANN, 9)
    library.grant(BOB, 2)
    for id_, account in ((1, ANN), (2, ANN), (3, BOB)):
        library.record(id_, account=account, email=account)
    for job in library.take().jobs:
        library.settle(job, "cancelled" if job.id == "2" else "accepted")
    library.record(4, reschedule_uid="uid-1")
    library.record(5)
    jobs = library.take().jobs
    library.settle(jobs[0], "accepted")
    library.record(3, "cancelled", now_ms() + 1)
    library.take()
    return library


def test_good_books_verify(credit, busy):
    assert "2 accounts verified, 0 differences" in credit("verify").stdout


@pytest.mark.parametrize("tamper, says", [
    (lambda lib: lib.credit(ANN, balance=100), "set it by hand"),
    (lambda lib: lib.credit(ANN, held=100), "held is 100"),
    (lambda lib: lib.set_booking(5, held=0), "the ledger says 1 and 0"),
    (lambda lib: lib.set_booking(4, charged=7), "was charged 7"),
    (lambda lib: lib.client.delete(lib.key("booking:5")), "no such booking"),
    (lambda lib: lib.client.xtrim(lib.key("ledger:" + ANN), maxlen=3, approximate=False), "does not follow"),
    (lambda lib: lib.client.xadd(lib.key("ledger:" + BOB), {"kind": "gift", "amount": "1"}), "cannot be read"),
    (lambda lib: lib.client.delete(lib.key("credit:" + BOB)), "balance is 0"),
    (lambda lib: lib.credit(ANN, balance="much"), "no whole number"),
])
def test_what_was_tampered_with_is_named(credit, busy, tamper, says):
    keys = [busy.key(name) for name in ("credit:" + ANN, "credit:" + BOB, "ledger:" + ANN, "ledger:" + BOB, "booking:4", "booking:5")]
    kept = {key: busy.client.hgetall(key) for key in keys if "ledger" not in key}
    ledgers = {key: busy.client.xrange(key) for key in keys if "ledger" in key}
    tamper(busy)
    done = credit("verify", code=1)
    assert says in done.stdout
    assert as_json(credit("verify", "--json", code=1))["differences"]
    for key, fields in kept.items():  # for the checks after the test
        busy.client.delete(key)
        busy.client.hset(key, mapping=fields)
    for key, entries in ledgers.items():
        busy.client.delete(key)
        for entry_id, fields in entries:
            busy.client.xadd(key, fields, id=entry_id)


def test_verify_books_what_was_set_by_hand(credit, busy):
    busy.credit(ANN, balance=100)
    credit("verify", code=1)
    credit("verify", "--book")
    credit("verify")
    assert busy.ledger(ANN)[-1]["by"] == "redis-cli"


def test_waived(credit, library):
    library.record(1, "created", requires_confirmation="yes")
    library.take()
    assert as_json(credit("waived", "--json"))[0]["booking"] == "1"


# ---- Explain ----

def test_the_story_of_a_booking(script, library):
    library.grant(ANN, 1)
    library.record(1)
    library.settle(library.take_one(), "accepted", calls=f"{now_ms()} 12 confirm 200 done ok")
    told = script("explain", 1).stdout
    for part in ("Booking 1 (uid-1) of ann@example.com", "event: requested", "decided: accept, cost 1", "balance=1",
                 "credit: hold 1", "Cal.com was asked: confirm; answer 200", "credit: capture 1", "Now: accepted, charged 1"):
        assert part in told, told
    assert script("explain", "uid-1").stdout == told
    assert as_json(script("explain", 1, "--json"))["calls"][0]["call"] == "confirm"
    assert "no booking 7" in script("explain", 7, code=1).stderr


def test_two_places_for_the_url_are_one_too_many(script, tmp_path, shared_redis, monkeypatch):
    """As the programs have it."""
    file = tmp_path / "url"
    file.write_text(shared_redis.url + "\n")
    monkeypatch.setenv("REDIS_URL_FILE", str(file))
    for name, command in (("credit", "list"), ("policy", "list")):
        assert "keep one" in script(name, command, code=2).stderr
        script(name, command, "--redis", shared_redis.url)
