"""scripts/policy, as a user types it."""

import json
import os
import subprocess
import sys
import time

import pytest

from harness import ROOT, SAMPLES, http, sign
from library import DEFAULT_POLICY
from policies import answering

sys.path.insert(0, str(ROOT / "scripts" / "lib"))
from policy import sample  # noqa: E402

SCRIPT = ROOT / "scripts" / "policy"
YES = answering("{ accept = true, cost = 1, reason = 'yes' }")
NO = answering("{ accept = false, cost = 1, reason = 'closed' }")
ANN = "ann@example.com"


@pytest.fixture
def file(tmp_path):
    return tmp_path / "mine.lua"


@pytest.fixture
def policy(shared_redis, library, tmp_path):
    """policy("check", path, …) → the finished process"""
    def run(*arguments, stdin="", **env):
        settings = {"PATH": os.environ["PATH"], "LANG": "C.UTF-8", "REDIS_URL": shared_redis.url,
                    "TOLLGATE_NAMESPACE": library.namespace, **env}
        return subprocess.run([str(SCRIPT), *map(str, arguments)], env=settings, input=stdin, text=True,
                              capture_output=True, timeout=60, cwd=tmp_path)
    return run


def told(process, status=0):
    assert process.returncode == status, process.stdout + process.stderr
    return json.loads(process.stdout)


def said(process, status=0):
    assert process.returncode == status, process.stdout + process.stderr
    assert "Traceback" not in process.stderr
    return process.stdout + process.stderr


def in_force(library):
    return library.client.hgetall(library.key("policy"))


# ---- check ----

def test_check(policy, library, file):
    file.write_text(YES)
    before = library.snapshot()
    assert "mine.lua: loads, SHA " in said(policy("check", file))
    assert told(policy("check", file, "--json"))["ok"] is True
    assert library.snapshot() == before


def test_check_shows_the_line(policy, file):
    file.write_text("return function()\n\n  return { accept = = true }\nend\n")
    process = policy("check", file)
    text = said(process, 1)
    assert f"{file}:3: unexpected symbol near '='" in text
    assert "    3 |   return { accept = = true }" in text
    document = told(policy("check", file, "--json"), 1)
    assert (document["ok"], document["line"]) == (False, 3) and document["error"].startswith("unexpected symbol")


@pytest.mark.parametrize("text, error", [
    ("return 5", "must return function"),
    ("local x = nil .. 'a'\n", ":1: attempt to concatenate a nil value"),
    ("nothing.at.all()", ":1: Script attempted to access nonexistent global variable 'nothing'\n"),
    ("while true do end", ":1: stopped after 100000 steps"),
])
def test_check_refuses(policy, file, text, error):
    file.write_text(text)
    assert error in said(policy("check", file), 1)
    assert "user_function" not in said(policy("check", file), 1)


@pytest.mark.parametrize("arguments", [
    [], ["chek"], ["check"], ["check", "nothing.lua"], ["check", "a", "b"], ["try", "mine.lua"],
    ["diff", "mine.lua", "-n", "0"], ["diff", "mine.lua", "-n", "x"], ["install", "mine.lua"],
    ["install", "mine.lua", "--yes", "--by", "a\nb"], ["--nothing"],
])
def test_wrong_use(policy, file, arguments):
    file.write_text(YES)
    assert said(policy(*arguments), 2)


def test_a_file_that_cannot_be_a_policy(policy, file):
    file.write_text("")
    assert "1 to 65536 bytes" in said(policy("check", file), 2)
    file.write_text("-" * 65537)
    assert "1 to 65536 bytes" in said(policy("check", file), 2)


def test_no_redis(policy, file):
    file.write_text(YES)
    process = policy("check", file, REDIS_URL="redis://user:secret@127.0.0.1:1/0")
    assert "127.0.0.1:1" in said(process, 3) and "secret" not in said(process, 3)
    assert said(policy("check", file, REDIS_URL="http://x"), 2)


def test_help(policy):
    for arguments in (["--help"], ["check", "--help"], ["install", "--help"]):
        assert "usage: scripts/policy" in said(policy(*arguments))


# ---- try ----

def test_try_samples_against_real_accounts(policy, library, file, tmp_path):
    file.write_text(DEFAULT_POLICY)
    library.credit("jonas.weber@example.com", balance=3)
    library.terms(cost="2")
    plain = tmp_path / "plain.json"
    plain.write_text(json.dumps({"account": "Bob@Example.com ", "event_type": 1207, "start": "2026-03-12T14:00:00Z"}))
    before = library.snapshot()
    webhook = SAMPLES / "BOOKING_REQUESTED.json"
    first, second = told(policy("try", file, webhook, plain, "--json"))
    assert first == {"sample": str(webhook), "account": "jonas.weber@example.com", "accept": True, "cost": 2,
                     "reason": "2 of 3 credits"}
    assert second["account"] == "bob@example.com" and second["accept"] is False
    text = said(policy("try", file, webhook, plain))
    assert "accept, 2" in text and "There is no member account for bob@example.com." in text
    assert library.snapshot() == before


def test_try_with_an_account_field(policy, library, file):
    file.write_text(DEFAULT_POLICY)
    library.credit("bc-0042", balance=3, email="somebody.else@example.com")
    [answer] = told(policy("try", file, SAMPLES / "BOOKING_REQUESTED.json", "--json",
                           TOLLGATE_ACCOUNT_FIELD="metadata.memberId"))
    assert (answer["account"], answer["reason"]) == \
        ("bc-0042", "The member number does not belong to this e-mail address.")
    [answer] = told(policy("try", file, SAMPLES / "BOOKING_REQUESTED.json", "--json",
                           TOLLGATE_ACCOUNT_FIELD="metadata.nothing"))
    assert answer["reason"] == "This booking names no member account."


def test_try_shows_what_a_sample_says(policy, file, tmp_path):
    file.write_text(answering("{ defer = 60, reason = booking.answers.name .. ' ' .. booking.start }"))
    path = tmp_path / "s.json"
    path.write_text(json.dumps({"account": ANN, "start": 1900000000, "answers": {"name": "\x1b[31mAnn"}}))
    text = said(policy("try", file, path))
    assert "ask again in 60 s" in text and "\\x1b[31mAnn 1900000000" in text and "\x1b" not in text


@pytest.mark.parametrize("content, error", [
    ("no JSON", "is not JSON"), ("[]", "neither"), ('{"acount": "x"}', "no field acount"),
    ('{"start": "soon"}', "start is neither"), ('{"open": "3"}', "open is"), ('{"open": true}', "open is"),
    ('{"triggerEvent": "PING"}', "PING makes no booking"),
    ('{"triggerEvent": "BOOKING_REQUESTED", "payload": {}}', "payload.bookingId is missing"),
])
def test_try_a_sample_that_cannot_be_read(policy, file, tmp_path, content, error):
    file.write_text(YES)
    path = tmp_path / "s.json"
    path.write_text(content)
    assert error in said(policy("try", file, path, SAMPLES / "BOOKING_REQUESTED.json"), 1)


def test_try_a_policy_that_fails_on_a_sample(policy, file):
    file.write_text(answering("booking.nothing.at.all"))
    [answer] = told(policy("try", file, SAMPLES / "BOOKING_REQUESTED.json", "--json"), 1)
    assert answer["error"].startswith("policy:2:")


# ---- Samples mean what ingest reads in them ----

@pytest.mark.parametrize("account_field", ["", "metadata.memberId", "responses.location", "responses.name.value"])
def test_a_sample_means_what_ingest_reads(house, account_field):
    """All bodies through the real ingest, which records what a policy will see."""
    redis_server = house.redis()
    client = redis_server.client()
    env = {"TOLLGATE_ACCOUNT_FIELD": account_field} if account_field else {}
    ingest = house.ingest(redis_server.url, **env).wait_ready()
    client.fcall("tollgate_policy", 1, "{tollgate}:queue", answering("booking.answers or booking.metadata"), "operator")
    compared = 0
    for path in sorted(SAMPLES.glob("*.json")):
        body = path.read_bytes()
        client.delete(*[key for key in client.keys("*") if key != "{tollgate}:policy"] or ["x"])
        http().post(ingest.url, data=body, headers={"X-Cal-Signature-256": sign(body)}, timeout=10)
        records = [client.hgetall(key) for key in client.keys("{tollgate}:booking:*")]
        try:
            view = sample.from_webhook(json.loads(body), account_field)
        except ValueError:
            assert not [record for record in records if "first_seen" in record], path.name
            continue
        [record] = records
        for name in ("uid", "account", "email", "event_type", "first_seen"):
            assert view.get(name) == record.get(name), (path.name, name)
        for name in ("start", "end"):
            assert str(view[name]) == record[name], (path.name, name)
        for name in ("answers", "metadata"):
            assert view[name] == json.loads(record.get(name, "{}")), (path.name, name)
        assert str(view.get("occurrences", "")) == record.get("occurrences", ""), path.name
        compared += 1
    assert compared >= 4


@pytest.mark.parametrize("text, seconds", [
    ("2026-03-12T14:00:00Z", 1773324000), ("2026-03-12T14:00:00.999Z", 1773324000),
    ("2026-03-12T14:00:00+01:00", 1773320400), ("2026-03-12T14:00:00-01:30", 1773329400),
    ("2026-02-29T14:00:00Z", None), ("2026-03-12T24:00:00Z", None), ("2026-03-12 14:00:00Z", None),
    ("2026-03-12T14:00:00", None), ("2026-03-12T14:00:00+24:00", None), ("1969-12-31T23:00:00Z", None),
    (5, None), (None, None),
])
def test_times(text, seconds):
    assert sample.epoch_seconds(text) == seconds


# ---- diff ----

def decide_some(library, count=4, **fields):
    """Bookings 0 to count - 1, accepted while there is credit."""
    for id_ in range(count):
        library.record(id_, **fields)
    for job in library.take().jobs:
        library.settle(job, "accepted" if job.goal == "accept" else "rejected")


def test_diff_with_the_policy_in_force_shows_nothing(policy, library, file):
    """The account and the terms are another's by now; what counts is what they were."""
    library.credit(balance=2)
    library.terms(cost="1")
    decide_some(library)
    library.credit(balance=100, blocked="yes")
    library.terms(cost="50")
    file.write_text(DEFAULT_POLICY)
    before = library.snapshot()
    assert told(policy("diff", file, "--json")) == {"same": 4, "different": [], "not_comparable": {}}
    assert "4 decided: 4 the same, 0 different" in said(policy("diff", file))
    assert library.snapshot() == before
    library.client.hset(library.key("credit:" + ANN), "balance", 0)  # as the book has it


def test_diff_shows_where_it_decides_otherwise(policy, library, file):
    library.credit(balance=2)
    decide_some(library)
    file.write_text(NO)
    document = told(policy("diff", file, "--json"), 1)
    assert (document["same"], document["not_comparable"]) == (2, {})
    assert sorted(row["booking"] for row in document["different"]) == ["0", "1"]
    row = document["different"][0]
    assert row["before"]["accept"] is True and row["after"] == {"accept": False, "cost": 1, "reason": "closed"}
    text = said(policy("diff", file), 1)
    assert "4 decided: 2 the same, 2 different" in text and "accept, 1" in text and "closed" in text


@pytest.mark.parametrize("answer, different", [
    ("{ accept = account.balance >= 1, cost = 1, reason = 'other words' }", 0),
    ("{ accept = account.balance >= 1, cost = 2, reason = 'dearer' }", 2),
    ("{ defer = 60, reason = 'later' }", 4),
    ("booking.nothing.at.all", 4),
    ("{ accept = now >= %d and account.balance >= 1, cost = 1, reason = 'then' }", 0),
    ("{ accept = booking.received >= %d and booking.uid == 'uid-' .. booking.id and account.balance >= 1, "
     "cost = 1, reason = 'x' }", 0),
])
def test_what_counts_as_different(policy, library, file, answer, different):
    began = int(time.time())
    library.credit(balance=2)
    decide_some(library)
    file.write_text(answering(answer % began if "%d" in answer else answer))
    assert len(told(policy("diff", file, "--json"), 1 if different else 0)["different"]) == different


def test_diff_looks_back_only_so_far(policy, library, file):
    library.credit(balance=10)
    decide_some(library, 8)
    file.write_text(NO)
    assert len(told(policy("diff", file, "-n", "3", "--json"), 1)["different"]) == 3


def test_diff_leaves_out_what_a_person_decided(policy, library, file):
    library.credit(balance=10)
    library.install_answer("error('out of order')")
    library.record(1)
    library.take()
    library.rule("accept", 1)
    file.write_text(DEFAULT_POLICY)
    assert told(policy("diff", file, "--json"))["not_comparable"] == {"no policy decided it": 1}


def test_diff_counts_what_cannot_be_compared(policy, library, file):
    library.credit(balance=10)
    decide_some(library, 5)
    library.client.delete(library.key("booking:0"))
    library.client.hdel(library.key("booking:1"), "account_was")
    library.client.hset(library.key("booking:2"), "terms", "0" * 40)
    file.write_text(DEFAULT_POLICY)
    try:
        document = told(policy("diff", file, "--json"))
        assert document["same"] == 2 and sorted(document["not_comparable"].values()) == [1, 1, 1]
        assert "3 not comparable (1 because its record lacks what the policy reads, 1 because no policy decided it, " \
               "1 because the record has expired)" in said(policy("diff", file))
    finally:
        library.client.delete(*library.keys())


def test_diff_needs_the_answers_that_the_policy_reads(policy, library, file):
    library.credit(balance=10)
    decide_some(library, 1, answers='{"name":"Ann"}')
    file.write_text(answering("{ accept = booking.answers.name == 'Ann', cost = 1, reason = 'by name' }"))
    assert list(told(policy("diff", file, "--json"))["not_comparable"].values()) == [1], "they were not kept"
    assert said(policy("install", file, "--yes"))
    library.record("kept", answers='{"name":"Ann"}')
    library.record("none")
    for job in library.take().jobs:
        library.settle(job, "accepted" if job.goal == "accept" else "rejected")
    document = told(policy("diff", file, "--json"))
    assert (document["same"], sum(document["not_comparable"].values())) == (2, 1)


def test_diff_needs_the_circumstances_that_the_policy_reads(policy, library, file):
    """How many bookings were open then is known only where the record tells."""
    library.credit(balance=10)
    decide_some(library, 3)
    for id_ in range(3):
        library.client.hdel(library.key(f"booking:{id_}"), "circumstances")
    library.set_booking(1, circumstances='{"reschedule":false,"occurrence":1,"occurrences":1,"open":3}')
    library.set_booking(2, circumstances='{"reschedule":false,"occurrence":1,"occurrences":1,"open":2}')
    file.write_text((ROOT / "common" / "redis" / "examples" / "open_bookings.lua").read_text())
    document = told(policy("diff", file, "--json"), 1)
    assert (document["same"], document["not_comparable"]) == (1, {"its record lacks what the policy reads": 1})
    assert [row["booking"] for row in document["different"]] == ["1"]


def test_diff_of_many_decisions_is_fast(policy, library, file):
    library.credit(balance=1000)
    for start in range(0, 1000, 100):
        for id_ in range(start, start + 100):
            library.record(id_, start=1900000000 + id_ * 3600, end=1900003600 + id_ * 3600)
        for job in library.take().jobs:
            library.settle(job, "accepted")
    file.write_text(DEFAULT_POLICY)
    began = time.monotonic()
    assert told(policy("diff", file, "--json"))["same"] == 1000
    assert time.monotonic() - began < 15


# ---- install, show, list ----

def test_install(policy, library, file):
    old = in_force(library)["sha"]
    library.credit(balance=5)
    decide_some(library, 2)
    file.write_text(NO)
    text = said(policy("install", file, "--by", "nora", "--yes"))
    assert "2 decided: 0 the same, 2 different" in text and f"scripts/policy show {old[:12]}" in text
    fields = in_force(library)
    assert (fields["text"], fields["source"], fields["installed_by"]) == (NO, "operator", "nora")
    library.record("next")
    assert library.take_one().reason == "closed"


def test_install_says_who(policy, library, file):
    file.write_text(NO)
    assert told(policy("install", file, "--yes", "--json"))["by"]
    assert in_force(library)["installed_by"]


def test_install_asks_somebody(policy, library, file):
    """Nobody is at a pipe."""
    before = in_force(library)
    file.write_text(NO)
    assert "--yes" in said(policy("install", file, stdin="y\n"), 2)
    assert in_force(library) == before


@pytest.mark.parametrize("answer, installed", [("y", True), ("n", False), ("", False)])
def test_install_asks_at_a_terminal(shared_redis, library, file, answer, installed):
    file.write_text(NO)
    env = {"PATH": os.environ["PATH"], "REDIS_URL": shared_redis.url, "TOLLGATE_NAMESPACE": library.namespace,
           "TERM": "dumb", "LANG": "C.UTF-8"}
    ours, theirs = os.openpty()
    process = subprocess.Popen([str(SCRIPT), "install", str(file)], env=env, stdin=theirs, stdout=theirs, stderr=theirs)
    os.close(theirs)
    os.write(ours, (answer + "\n").encode())
    seen = b""
    try:
        while True:
            part = os.read(ours, 65536)
            if not part:
                break
            seen += part
    except OSError:  # the other side is closed
        pass
    os.close(ours)
    assert process.wait(30) == (0 if installed else 1), seen
    assert b"Install it? [y/N]" in seen
    assert (in_force(library)["text"] == NO) == installed


def test_install_of_what_does_not_load_changes_nothing(policy, library, file):
    before = in_force(library)
    file.write_text("return")
    assert "nothing was done" in said(policy("install", file, "--yes"), 1)
    assert in_force(library) == before


def test_show(policy, library, file):
    file.write_text(NO)
    said(policy("install", file, "--by", "nora", "--yes"))
    process = policy("show")
    assert process.stdout == NO
    assert f"SHA {in_force(library)['sha']}" in process.stderr and "source: operator by nora" in process.stderr
    document = told(policy("show", "--json"))
    assert (document["installed_by"], document["in_force"], document["text"]) == ("nora", True, NO)


def test_show_one_that_was(policy, library, file):
    old = in_force(library)["sha"]
    file.write_text(NO)
    said(policy("install", file, "--yes"))
    process = policy("show", old[:8])
    assert process.stdout == DEFAULT_POLICY and "in force" not in process.stderr
    assert "no policy's SHA begins with ffff" in said(policy("show", "ffffff"), 1)
    assert "more than one" in said(policy("show", ""), 1)


def test_list(policy, library, file):
    old = in_force(library)["sha"]
    file.write_text("-- Closed for the summer\n" + NO)
    said(policy("install", file, "--yes"))
    now = in_force(library)["sha"]
    first, second = told(policy("list", "--json"))
    assert (first["sha"], first["in_force"], first["title"]) == (now, True, "Closed for the summer")
    assert (second["sha"], second["in_force"]) == (old, False)
    lines = said(policy("list")).splitlines()
    assert lines[1].split()[:2] == [now[:12], "yes"] and lines[1].endswith("Closed for the summer")


def test_show_without_any_policy(policy, library):
    assert "no policy is installed" in said(policy("show", "--namespace", library.namespace + "-none"), 1)


def test_all_workers_decide_by_it_at_once(make_gate, file):
    gate = make_gate(workers=2)
    gate.credit(ANN, balance=100)
    file.write_text(NO)
    env = {"PATH": os.environ["PATH"], "REDIS_URL": gate.redis.url}
    subprocess.run([str(SCRIPT), "install", str(file), "--yes"], env=env, check=True, timeout=60)
    made = gate.fake.book(ANN, count=10)["bookings"]
    assert {gate.wait_settled(booking["id"])["reason"] for booking in made} == {"closed"}
