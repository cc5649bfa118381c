"""scripts/credit import and export: files of members."""

import json
import os
import pty
import subprocess
import sys
import time

import pytest
from hypothesis import HealthCheck, example, given, settings, strategies as st

import harness
from library import Library

sys.path.insert(0, str(harness.ROOT / "scripts" / "lib"))
from tollgate import members, terminal  # noqa: E402

ANN, BOB, CARL = "ann@example.com", "bob@example.com", "carl@example.com"
MOST = 2**53 - 1


def as_json(done):
    return json.loads(done.stdout)


@pytest.fixture
def file(tmp_path):
    return tmp_path / "members.csv"


def fields(library, account=ANN):
    return library.client.hgetall(library.key("credit:" + account))


# ---- Import ----

def test_import(credit, library, file):
    file.write_text("\ufeffemail;credits;tier\nAnn@example.com;5;gold\n\nbob@example.com;;\n"
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
    assert fields(library)["tier"] == "gold"


@pytest.mark.parametrize("header", ["name,credits", "email,email", "email,balance", "email,", "", "email,tier,field:tier",
                                    "email,field:balance", "email,field:", '"email'])
def test_headers_that_cannot_be_used(credit, library, file, header):
    file.write_text(header + "\nann@example.com,1\n")
    credit("import", file, "--yes", code=2)
    assert library.keys("credit:") == []


@pytest.mark.parametrize("credits", [str(2**53), "9" * 5000, "-1", "1.5", "1e3", "٣", "+1"])
def test_credits_that_are_none(credit, library, file, credits):
    file.write_text(f"email,credits\nann@example.com,{credits}\nbob@example.com,{MOST}\n", encoding="utf-8")
    assert [bad["line"] for bad in as_json(credit("import", file, "--yes", "--json", code=1))["bad"]] == [2]
    assert library.purses(ANN) is None and library.purses(BOB) == (MOST, 0, 0)


def test_what_the_library_refuses_is_listed(credit, library, file):
    library.grant(ANN, MOST)
    file.write_text("email,credits,tier\nann@example.com,1,gold\nbob@example.com,1,gold\n")
    [bad] = as_json(credit("import", file, "--yes", "--json", code=1))["bad"]
    assert bad["line"] == 2 and "beyond what a number can hold" in bad["reason"]
    assert "tier" not in fields(library) and fields(library, BOB)["tier"] == "gold"


@pytest.mark.parametrize("broken", [
    b'"bob@example.com"x,7,gold',        # a sign behind a quote
    b'"bob@example.com,7,gold',          # a quote that never ends
    b'bob@example.com,7,"gold',          # the same in the last cell
    b'bob@example.com,7,"gold\ndan@example.com,7,"silver"',  # one that ends in another member's line
    b'bob@example.com,7,"gold\ndan@example.com,7,"',
    b'bob@example.com,7,g\xf6ld',        # Latin-1
    b'bob@example.com,7,gold,more', b"bob@example.com", b"bob@exam ple.com,7,gold",
])
def test_a_broken_line_spoils_only_itself(credit, library, file, broken):
    file.write_bytes(b"email,credits,tier\nann@example.com,5,gold\n" + broken + b"\ncarl@example.com,3,silver\n")
    report = as_json(credit("import", file, "--yes", "--json", code=1))
    assert [bad["line"] for bad in report["bad"]][0] == 3
    assert library.purses(BOB) is None
    assert library.purses(ANN) == (5, 0, 0) and library.purses(CARL) == (3, 0, 0)
    assert fields(library)["tier"] == "gold" and fields(library, CARL)["tier"] == "silver"


def test_a_cell_of_several_lines_is_none_of_them(credit, library, file):
    file.write_text('email,credits,about\nann@example.com,5,"first\nsecond, and more\n\nlast"\nbob@example,com\n'
                    "carl@example.com,3,\n")
    report = as_json(credit("import", file, "--yes", "--json", code=1))
    assert [bad["line"] for bad in report["bad"]] == [6]
    assert fields(library)["about"] == "first\nsecond, and more\n\nlast"
    assert library.purses(CARL) == (3, 0, 0)


# ---- A file that was corrected ----

def test_a_corrected_file_does_not_grant_twice(credit, library, file):
    file.write_text("email,credits\nann@example.com,5\nbob@example.com,4\ncarl@example.com,x\n")
    key = as_json(credit("import", file, "--yes", "--json", code=1))["key"]
    file.write_text("email,credits\nann@example.com,5\nbob@example.com,3\ncarl@example.com,2\n")
    earlier = as_json(credit("import", file, "--dry-run", "--json"))["earlier"]
    granted_ms = {int(library.client.xrange(library.key("ledger:" + who))[0][0].split("-")[0]) for who in (ANN, BOB)}
    assert earlier.pop("ms") in granted_ms and earlier == {"members": 2, "same": 1, "key": key}
    assert "2 of them were granted credits by an import before, 1 just as much" in credit("import", file, "--dry-run").stdout
    refused = credit("import", file, "--yes", code=2)
    assert f"--key {key}" in refused.stderr and "nothing was changed" in refused.stderr
    assert [library.purses(account) for account in (ANN, BOB, CARL)] == [(5, 0, 0), (4, 0, 0), None]
    [bad] = as_json(credit("import", file, "--yes", "--key", key, "--json", code=1))["bad"]
    assert bad["line"] == 3 and "was used for this account already" in bad["reason"]
    assert [library.purses(account) for account in (ANN, BOB, CARL)] == [(5, 0, 0), (4, 0, 0), (2, 0, 0)]
    credit("import", file, "--yes", "--key", "dues-2026-07")
    assert library.purses(ANN) == (10, 0, 0)


@pytest.mark.parametrize("answer, credits", [("y", 10), ("n", 5)])
def test_at_a_terminal_the_warning_comes_before_the_question(credit, library, shared_redis, file, answer, credits):
    file.write_text("email,credits\nann@example.com,5\n")
    credit("import", file, "--yes")
    file.write_text("email,credits\nann@example.com,5\n\n")
    ours, theirs = pty.openpty()
    env = {**os.environ, "REDIS_URL": shared_redis.url, "TOLLGATE_NAMESPACE": library.namespace}
    process = subprocess.Popen([harness.ROOT / "scripts" / "credit", "import", file], env=env, stdin=theirs, stdout=theirs,
                               stderr=theirs)
    os.close(theirs)
    os.write(ours, (answer + "\n").encode())
    seen = b""
    try:
        while True:
            seen += os.read(ours, 65536)
    except OSError:  # the other side is closed
        pass
    os.close(ours)
    assert process.wait(30) == 0, seen
    assert seen.index(b"1 of them were granted") < seen.index(b"Import? [y/N]")
    assert library.purses() == (credits, 0, 0)


@pytest.mark.parametrize("rows", ["ann@example.com,0\nbob@example.com,5", "ann@example.com,\nbob@example.com,5"])
def test_who_is_granted_nothing_is_no_reason_to_warn(credit, file, rows):
    file.write_text("email,credits\nann@example.com,5\n")
    credit("import", file, "--yes")
    file.write_text(f"email,credits\n{rows}\n")
    credit("import", file, "--yes")


# ---- Export and back ----

AWKWARD = {
    "credits": "7", "note": "owes a book", "key": "k", "account": BOB, "email": "ann@work.example", "bookings": "3",
    "field:x": "1", " spaced ": "  both sides ", "lines": "one\ntwo\r\nthree\rfour", "quote": 'say "yes", or; no\tthen',
    "with,comma": "=1+1", "with;;;;;;;;;semicolon": "0012", "with\nline": "x", "tier": "gold", "umlaut ä": "ö", "flag": "1e3",
    "control": "\x1b[2J\x9b",
}


@pytest.fixture
def elsewhere(shared_client, library):
    """An empty namespace."""
    other = Library(shared_client, library.namespace + "-other")
    yield other
    other.check()


@pytest.mark.parametrize("form", ["csv", "json"])
@pytest.mark.parametrize("to", ["pipe", "file"])
def test_export_and_import_is_a_round_trip(credit, library, shared_redis, elsewhere, tmp_path, form, to):
    """Whatever an operator called the fields; into the same accounts, and into an empty Redis."""
    library.call("member", ANN, 5, "", "nora", "", *(part for pair in AWKWARD.items() for part in pair))
    library.member(BOB, 0, tier=" ", nothing="x")
    library.member(CARL, 2)
    path = tmp_path / ("out." + form)
    if to == "file":
        credit("export", "--format", form, "-o", path)
    else:
        with path.open("wb") as out:
            subprocess.run([harness.ROOT / "scripts" / "credit", "export", "--format", form, "--redis", shared_redis.url,
                            "--namespace", library.namespace], stdout=out, check=True, timeout=60)
    before = library.snapshot(stats=False)
    report = as_json(credit("import", path, "--yes", "--json"))
    assert (report["members"], report["known"], report["credits"], report["bad"]) == (3, 3, 0, [])
    assert library.snapshot(stats=False) == before
    report = as_json(credit("import", path, "--yes", "--json", "--namespace", elsewhere.namespace))
    assert (report["new"], report["credits"], report["bad"]) == (3, 0, [])
    for account in (ANN, BOB, CARL):
        assert elsewhere.purses(account) == (0, 0, 0)
        assert elsewhere.ledger(account) == []
        assert {**fields(elsewhere, account), "balance": None} == {**fields(library, account), "balance": None}


TEXTS = st.text(st.characters(blacklist_categories=("Cs",)), max_size=12) | st.text("a,;\t\"\n\r @", max_size=12)


@settings(max_examples=300, deadline=None, suppress_health_check=list(HealthCheck))
@example(accounts={ANN: {}, "bc-0042": {"0": ",,,", ";": ",", ",": "\r"}})  # a cell that looks like another member's line
@given(st.dictionaries(st.sampled_from([ANN, BOB, CARL, "bc-0042"]), st.dictionaries(TEXTS.filter(bool), TEXTS, max_size=5),
                       min_size=1))
def test_any_fields_come_back_as_they_were(tmp_path, accounts):
    """All but those that are empty, in CSV."""
    accounts = {account: {name: value for name, value in told.items() if name not in members.PURSES}
                for account, told in accounts.items()}
    rows = [{"account": account, "balance": 1, "held": 0, "spent": 0,
             **{members.column_of(name): value for name, value in told.items()}} for account, told in accounts.items()]
    path = tmp_path / "out"
    as_csv, as_json_text = "".join(line + "\n" for line in members.csv_lines(rows)), terminal.json_text(rows)
    for text, kept in ((as_csv, bool), (as_json_text, lambda _: True)):
        path.write_bytes(text.encode())
        file = members.read(str(path), "", "")
        assert file.bad == []
        assert {member.account: (member.credits, member.had, member.fields) for member in file.members} == {
            account: (0, "1", {name: value for name, value in told.items() if kept(value)}) for account, told in accounts.items()}


@pytest.mark.parametrize("form", ["csv", "json"])
def test_balances_go_to_accounts_that_are_new(credit, library, elsewhere, tmp_path, form):
    """What was held comes along: the booking that held it is not there to give it back."""
    library.grant(ANN, 5)
    library.grant(BOB, 4)
    library.record(1)
    job = library.take_one()
    library.debit(BOB, 6, overdraw=True)
    library.grant(CARL, 3)
    path = tmp_path / "out"
    credit("export", "--format", form, "-o", path)
    other = ("--namespace", elsewhere.namespace)
    elsewhere.grant(CARL, 1)
    assert "--balances" in credit("import", path, "--dry-run", *other).stdout
    report = as_json(credit("import", path, "--yes", "--balances", "--json", *other, code=1))
    assert (report["members"], report["credits"], report["applied"]) == (2, 5, 2)
    [bad] = report["bad"]
    assert "bob@example.com had -2" in bad["reason"]
    assert [elsewhere.purses(account) for account in (ANN, BOB, CARL)] == [(5, 0, 0), None, (1, 0, 0)]
    again = as_json(credit("import", path, "--yes", "--balances", "--json", *other, code=1))
    assert again["credits"] == 0 and elsewhere.purses(ANN) == (5, 0, 0)
    library.settle(job, "accepted")


def test_credits_added_to_an_export_are_granted(credit, library, file):
    library.grant(ANN, 5)
    file.write_text("account,balance,held,spent,credits\nann@example.com,5,0,0,2\n")
    assert "on top" in credit("import", file, "--yes", "--balances", code=2).stderr
    credit("import", file, "--yes")
    assert library.purses() == (7, 0, 0)


def test_bytes_that_are_no_text(credit, library, elsewhere, tmp_path):
    """JSON brings them back; a line of CSV that has them is named."""
    library.member(ANN, tier="gold")
    library.client.hset(library.key("credit:" + ANN), b"raw", b"go\xffld")
    for form, status in (("json", 0), ("csv", 1)):
        path = tmp_path / form
        credit("export", "--format", form, "-o", path)
        report = as_json(credit("import", path, "--yes", "--json", "--namespace", elsewhere.namespace, code=status))
        assert [bad["reason"] for bad in report["bad"]] == ["it is not UTF-8 text"] * status
    raw = elsewhere.client.connection_pool.connection_kwargs
    with type(elsewhere.client)(**{**raw, "decode_responses": False}) as client:
        assert client.hget(elsewhere.key("credit:" + ANN), "raw") == b"go\xffld"


# ---- JSON ----

def test_import_json(credit, library, tmp_path):
    path = tmp_path / "members.json"
    path.write_text(json.dumps([
        {"email": "Ann@example.com", "credits": 5, "tier": "gold", "empty": "", "none": None, "rate": 1.50}, {"email": "a b"},
        {"credits": 1}, 7, {"email": BOB, "credits": True}, {"email": BOB, "tier": ["gold"]}, {"email": BOB, "balance": 3},
        {"email": BOB, "tier": "\ud800"}, {"email": ANN}]).replace("1.5", "1.50")[:-1]
        + ', {"email": "bob@example.com", "credits": 1, "credits": 2}]')
    report = as_json(credit("import", path, "--yes", "--json", code=1))
    assert [bad["line"] for bad in report["bad"]] == [2, 3, 4, 5, 6, 7, 8, 9, 10]
    assert library.keys("credit:") == [library.key("credit:" + ANN)]
    assert fields(library) == {"balance": "5", "held": "0", "spent": "0", "tier": "gold", "empty": "", "rate": "1.50"}
    assert "entry 2: " in credit("import", path, "--dry-run", code=1).stdout


@pytest.mark.parametrize("text", ['{"email": "ann@example.com"}', "[", '[{"email": 1}', "[" * 100000])
def test_json_that_is_no_list_of_members(credit, library, tmp_path, text):
    path = tmp_path / "members.json"
    path.write_text(text)
    assert "JSON" in credit("import", path, "--yes", code=2).stderr
    assert library.keys("credit:") == []


# ---- Much ----

def test_many_members_are_imported_fast(credit, bare_library, file):
    """100 000 in less than 20 seconds: the same with range(100000)."""
    file.write_text("email,credits,tier\n" + "".join(f"m{number}@example.com,5,gold\n" for number in range(5000)))
    began = time.monotonic()
    assert as_json(credit("import", file, "--yes", "--json"))["applied"] == 5000
    assert time.monotonic() - began < 10
