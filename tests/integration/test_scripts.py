"""The operator's scripts, as processes against a real Redis."""

import csv
import io
import json
import os
import pty
import socket
import subprocess
import threading

import pytest

import harness
from library import load_library, now_ms

ANN, BOB = "ann@example.com", "bob@example.com"


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
    (("grant", ANN, "9" * 5000), 1, "whole number"), (("grant", ANN, "00"), 2, "from 1 up"), (("grant", ANN, "٣"), 2, "whole number"),
    (("debit", ANN, "-5"), 2, "grant"), (("debit", ANN, 2**53), 1, "whole number"),
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


# ---- What hosts let through ----

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


# ---- What all scripts do alike ----

class Forgetful:
    """Stands before Redis and loses the answer to the first call of a function: by closing the connection, or
    by saying nothing any more."""

    def __init__(self, port, closes):
        self.port, self.closes, self.calls = port, closes, 0
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.address = "127.0.0.1:%d" % self.listener.getsockname()[1]
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            try:
                client = self.listener.accept()[0]
            except OSError:
                return
            threading.Thread(target=self.relay, args=(client,), daemon=True).start()

    def relay(self, client):
        with client, socket.create_connection(("127.0.0.1", self.port)) as server:
            while True:
                asked = client.recv(65536)
                if not asked:
                    return
                server.sendall(asked)
                answer = server.recv(65536)
                self.calls += b"FCALL" in asked
                if b"FCALL" in asked and self.calls == 1:
                    if self.closes:
                        return
                    continue
                client.sendall(answer)


@pytest.mark.parametrize("closes", [True, False])
def test_a_grant_whose_answer_was_lost_is_not_made_again(script, library, shared_redis, closes):
    """redis-py would, where its version or the URL says so."""
    between = Forgetful(shared_redis.port, closes)
    done = script("credit", "grant", ANN, 5, "--redis",
                  f"redis://{between.address}?socket_timeout=0.5&retry_on_timeout=yes", code=3)
    between.listener.close()
    assert "may have been done" in done.stderr and "Traceback" not in done.stderr
    assert between.calls == 1
    assert library.purses() == (5, 0, 0)


def test_a_unix_socket(script, library, tmp_path):
    path = tmp_path / "redis.sock"
    server = harness.RedisServer(tmp_path, arguments=["--unixsocket", str(path)]).start()
    try:
        load_library(server.client())
        script("credit", "grant", ANN, 5, "--redis", f"unix://{path}?db=3")
        assert server.client(db=3).hget(library.key("credit:" + ANN), "balance") == "5"
    finally:
        server.stop()


@pytest.mark.parametrize("name", ["credit", "policy"])
def test_a_url_that_is_none(script, name):
    assert "REDIS_URL" in script(name, "list", "--redis", "http://localhost", code=2).stderr


@pytest.mark.parametrize("command", [["credit", "grant", ANN, "1"], ["policy", "check", "/dev/stdin"]])
def test_a_redis_without_the_library(script, tmp_path, command):
    server = harness.RedisServer(tmp_path).start()
    try:
        (tmp_path / "mine.lua").write_text("return 1")
        command = [str(tmp_path / "mine.lua") if part == "/dev/stdin" else part for part in command]
        assert "either loads it" in script(*command, "--redis", server.url, code=3).stderr
    finally:
        server.stop()


STEERING = "gold\x1b[2J\x9b31m\u202e\r\nnext"


def at_a_terminal(library, url, *command):
    """What a script shows there."""
    ours, theirs = pty.openpty()
    env = {**os.environ, "REDIS_URL": url, "TOLLGATE_NAMESPACE": library.namespace, "LANG": "C.UTF-8", "COLUMNS": "200",
           "TERM": "xterm"}
    process = subprocess.Popen([harness.ROOT / "scripts" / command[0], *map(str, command[1:])], env=env, stdin=theirs,
                               stdout=theirs, stderr=theirs)
    os.close(theirs)
    seen = b""
    try:
        while True:
            seen += os.read(ours, 65536)
    except OSError:  # the other side is closed
        pass
    os.close(ours)
    assert process.wait(30) == 0, seen
    return seen.decode()


@pytest.mark.parametrize("command", [
    ("credit", "list"), ("credit", "show", ANN), ("credit", "history", ANN), ("credit", "waived"), ("explain", 1),
    ("credit", "list", "--json"), ("explain", 1, "--json"),
])
def test_nothing_steers_the_terminal(script, library, shared_redis, command):
    library.credit(ANN, balance=0, tier=STEERING)
    library.record(1, "created", requires_confirmation="yes")
    library.take()
    library.client.hset(library.key("booking:1"), mapping={"reason": STEERING, "uid": STEERING})
    library.grant(ANN, 1, note=STEERING)
    piped = script(*command).stdout
    shown = at_a_terminal(library, shared_redis.url, *command)
    assert "gold" in piped and "gold" in shown
    for sign in ("\x1b[2J", "\x9b", "\u202e", "gold\r", "gold\n"):
        assert sign not in piped and sign not in shown


def test_what_is_no_text_is_shown_all_the_same(script, library):
    library.credit(ANN, balance=1)
    library.client.hset(library.key("credit:" + ANN), b"tier", b"go\xffld")
    assert "go\\udcffld" in script("credit", "list").stdout
    assert json.loads(script("credit", "list", "--json").stdout)[0]["tier"] == "go\udcffld"
