"""The console over HTTP: who gets in, what is refused, and what an operator's forms do. tests/console has the browser."""

import hashlib
import re
import signal
import socket
import subprocess
import threading
import time
from typing import Any, Dict, Optional

import pytest
import requests

from harness import sample, sign, wait_for
from library import Library

TOKEN = "a-token-for-tests"
OWN = {"Sec-Fetch-Site": "same-origin"}
CHANGES = ["grant", "debit", "fields", "grant-list", "requeue", "discard", "accept", "reject", "terms", "policy-install", "pause",
           "resume"]
PAGES = ["overview", "decisions", "booking?name=1", "members", "member?account=ann@example.com", "attention", "policy", "system"]


class Staff:
    """A person with a browser."""

    def __init__(self, base: str) -> None:
        self.base = base + "/console/"
        self.http = requests.Session()

    def get(self, page: str, **options: Any) -> requests.Response:
        return self.http.get(self.base + page, timeout=10, **options)

    def post(self, page: str, headers: Optional[Dict[str, str]] = None, **form: Any) -> requests.Response:
        """Without following where it leads to."""
        return self.http.post(self.base + page, data=form, headers=OWN if headers is None else headers, timeout=20,
                              allow_redirects=False)

    def sign_in(self, name: str = "ann", secret: str = TOKEN, **form: str) -> requests.Response:
        return self.post("sign-in", name=name, secret=secret, **form)

    def do(self, page: str, **form: Any) -> str:
        """Sends a form; what the next page says of it."""
        answer = self.post(page, **form)
        assert answer.status_code == 303, answer.text
        found = re.search(r'data-testid="flash-(?:good|bad)">([^<]*)<', self.get(answer.headers["Location"]).text)
        assert found, answer.headers
        return found.group(1)


@pytest.fixture
def gate(house):
    """A console, and the Redis behind it."""
    def start(server: Any = None, **env: str) -> Any:
        server = server or house.redis()
        ingest = house.ingest(server.url, TOLLGATE_CONSOLE=env.pop("TOLLGATE_CONSOLE", "on"),
                              **{"TOLLGATE_CONSOLE_TOKEN": TOKEN, **env}).wait_ready()
        return ingest, Library(server.client(), "tollgate")
    return start


@pytest.fixture
def staff(gate):
    ingest, library = gate()
    person = Staff(ingest.admin)
    assert person.sign_in().status_code == 303
    person.library = library
    person.ingest = ingest
    return person


# ---- Who gets in ----

@pytest.mark.parametrize("page", PAGES)
def test_nobody_sees_a_page_without_signing_in(gate, page):
    stranger = Staff(gate()[0].admin)
    answer = stranger.get(page, allow_redirects=False)
    assert (answer.status_code, answer.headers["Location"].split("?")[0]) == (303, "login")
    assert "Sign in" in stranger.get(page).text
    assert stranger.get("overview.json").status_code == 401


def test_no_form_does_anything_without_signing_in(gate):
    ingest, library = gate()
    stranger = Staff(ingest.admin)
    for page in CHANGES:
        answer = stranger.post(page, account="ann@example.com", credits="5", note="x", confirm="yes", which="all")
        assert (answer.status_code, answer.headers["Location"]) == (303, "login"), page
    assert not library.client.exists(library.key("credit:ann@example.com"), library.key("paused"))


def test_one_signs_in_and_goes_on_where_one_wanted_to(gate):
    person = Staff(gate()[0].admin)
    wanted = person.get("decisions?member=a%2Bb%40c.d&outcome=reject", allow_redirects=False).headers["Location"]
    to = re.search(r'name="to" value="([^"]*)"', person.get(wanted).text).group(1).replace("&amp;", "&")
    answer = person.sign_in(to=to)
    assert answer.headers["Location"] == "decisions?member=a%2Bb%40c.d&outcome=reject"
    assert 'value="a+b@c.d"' in person.get(answer.headers["Location"]).text


@pytest.mark.parametrize("to", ["//evil.example", "https://evil.example/", "/x", "overview.json", "grant", "nothing", "login\r\nX: y"])
def test_signing_in_leads_to_no_other_place(gate, to):
    assert Staff(gate()[0].admin).sign_in(to=to).headers["Location"] == "overview"


def test_a_session_ends_when_one_signs_out(staff):
    cookie = staff.http.cookies.get_dict()["tollgate_session"]
    assert staff.get("overview", allow_redirects=False).status_code == 200
    assert staff.post("sign-out").headers["Location"] == "login"
    staff.http.cookies.set("tollgate_session", cookie)
    assert staff.get("overview", allow_redirects=False).status_code == 303


def test_a_copy_of_redis_lets_nobody_in(staff):
    cookie = staff.http.cookies.get_dict()["tollgate_session"]
    client = staff.library.client
    kept = [key for key in client.scan_iter(match="*:console:*")]
    assert len([key for key in kept if ":session:" in key]) == 1
    assert all(cookie not in key and TOKEN not in key for key in kept)
    assert 0 < client.ttl([key for key in kept if ":session:" in key][0]) <= 43200


def test_the_cookie_is_for_nobody_else(gate):
    person = Staff(gate()[0].admin)
    plain = person.sign_in().headers["Set-Cookie"]
    assert "HttpOnly" in plain and "SameSite=Strict" in plain and "Secure" not in plain and "Path" not in plain
    assert "; Secure" in person.post("sign-in", {**OWN, "X-Forwarded-Proto": "https"}, name="ann", secret=TOKEN).headers["Set-Cookie"]


@pytest.mark.parametrize("secret", ["", "wrong", TOKEN + "x", TOKEN[:-1], "x" * 2000])
def test_a_wrong_token_lets_nobody_in(gate, secret):
    person = Staff(gate()[0].admin)
    answer = person.sign_in(secret=secret)
    assert answer.status_code in (400, 403) and "Set-Cookie" not in answer.headers


@pytest.mark.parametrize("name", ["", "   ", "x" * 101, "a\nb", "a\tb"])
def test_whoever_signs_in_has_a_name(gate, name):
    answer = Staff(gate()[0].admin).sign_in(name=name)
    assert answer.status_code == 400 and "Set-Cookie" not in answer.headers


def test_after_five_wrong_tries_even_the_right_token_waits(gate):
    ingest, library = gate()
    person = Staff(ingest.admin)
    for _ in range(5):
        assert person.sign_in(secret="guess").status_code == 403
    assert person.sign_in().status_code == 429
    for _ in range(7):
        assert person.sign_in(name="bob").status_code == 303  # somebody else is not locked out, and right ones do not count
    waits = [library.client.ttl(key) for key in library.client.scan_iter(match="*:console:tries:*")]
    assert waits and all(0 < wait <= 60 for wait in waits)


def test_guessing_with_many_names_ends_as_well(gate):
    person = Staff(gate()[0].admin)
    codes = [person.sign_in(name=f"guest {n}", secret="guess").status_code for n in range(31)]
    assert codes == [403] * 30 + [429]


# ---- The token that is made ----

def test_a_token_is_made_once_and_told_once(house, gate):
    server = house.redis()
    first, library = gate(server, TOLLGATE_CONSOLE_TOKEN="")
    token = wait_for(lambda: [line["token"] for line in first.log_lines() if "token" in line], what="the token")[0]
    assert len(token) == 64
    second, _ = gate(server, TOLLGATE_CONSOLE_TOKEN="")
    first.restart()
    for ingest in (first, second):
        assert Staff(ingest.admin).sign_in(secret=token).status_code == 303
        assert Staff(ingest.admin).sign_in(name="bob", secret="guess").status_code == 403
    assert sum("token" in line for ingest in (first, second) for line in ingest.log_lines()) == 1
    assert token not in library.client.get(library.key("console:token"))


# ---- Passwords ----

@pytest.fixture
def passwords(tmp_path):
    path = tmp_path / "passwords"
    hashes = {name: subprocess.run(["openssl", "passwd", "-6", secret], check=True, capture_output=True, text=True).stdout.strip()
              for name, secret in (("ann", "one of hers"), ("bob", "his"))}
    path.write_text("# who may\n" + "".join(f"{name}:{made}\n" for name, made in hashes.items()))
    return path


def test_with_a_file_of_passwords_a_name_is_ones_own(gate, passwords):
    ingest, _ = gate(TOLLGATE_CONSOLE_PASSWORDS=str(passwords))
    person = Staff(ingest.admin)
    assert "Password" in person.get("login").text
    for name, secret in (("ann", "his"), ("carl", "his"), ("ann", ""), ("ann", TOKEN), ("# who may", "x")):
        assert person.sign_in(name, secret).status_code == 403, (name, secret)
    assert person.sign_in("ann", "one of hers").status_code == 303
    assert 'data-testid="user">ann' in person.get("overview").text
    passwords.write_text("bob:*\n")  # read anew each time
    assert Staff(ingest.admin).sign_in("bob", "his").status_code == 403


def test_hashing_a_password_holds_nobody_up(house, gate, passwords):
    house.allow_errors.append("TOLLGATE_CONSOLE_PASSWORDS cannot be read")
    ingest, _ = gate(TOLLGATE_CONSOLE_PASSWORDS=str(passwords))
    codes = []
    together = [threading.Thread(target=lambda n=n: codes.append(Staff(ingest.admin).sign_in(f"ann{n}", "x").status_code))
                for n in range(6)]
    for thread in together:
        thread.start()
    for thread in together:
        thread.join()
    assert set(codes) <= {403, 429} and 403 in codes
    passwords.unlink()
    assert Staff(ingest.admin).sign_in("ann", "one of hers").status_code == 403


# ---- What is refused ----

@pytest.mark.parametrize("headers", [
    {}, {"Sec-Fetch-Site": "cross-site"}, {"Sec-Fetch-Site": "same-site"}, {"Sec-Fetch-Site": "none"}, {"Origin": "null"},
    {"Origin": "http://evil.example"}, {"Origin": "http://evil.example", "X-Forwarded-Host": "gate.example"},
])
def test_forms_of_other_pages_are_refused(staff, headers):
    for page in ["sign-in", "sign-out", *CHANGES]:
        assert staff.post(page, headers, account="ann@example.com", credits="5", key="k").status_code == 403, page
    assert not staff.library.client.exists(staff.library.key("credit:ann@example.com"))
    assert staff.get("overview", allow_redirects=False).status_code == 200  # and nobody was signed out


def test_forms_by_way_of_a_proxy_are_taken(staff):
    proxy = {"Origin": "https://gate.example", "X-Forwarded-Host": "gate.example"}
    assert staff.post("grant", proxy, account="ann@example.com", credits="5", key="k").status_code == 303
    assert staff.library.client.hget(staff.library.key("credit:ann@example.com"), "balance") == "5"


def test_read_only_is_read_only(gate):
    ingest, library = gate(TOLLGATE_CONSOLE="read-only")
    person = Staff(ingest.admin)
    person.sign_in()
    for page in CHANGES:
        assert person.post(page, account="ann@example.com", credits="5", note="x", confirm="yes", which="all").status_code == 403, page
    for page in PAGES[:2] + PAGES[3:]:
        text = person.get(page).text
        forms = set(re.findall(r'action="([a-z-]+)" method="post"', text)) | set(re.findall(r'method="post" action="([a-z-]+)"', text))
        assert forms == {"sign-out"}, page
    assert not library.client.exists(library.key("credit:ann@example.com"), library.key("paused"))


def test_off_is_off(gate):
    ingest, _ = gate(TOLLGATE_CONSOLE="off")
    assert requests.get(ingest.admin + "/console/overview", timeout=5).status_code == 404
    assert requests.post(ingest.admin + "/console/sign-in", timeout=5).status_code >= 400
    assert requests.get(ingest.admin + "/healthz", timeout=5).text == "ok\n"


def test_the_public_address_has_no_console(staff):
    for path in ("/console/overview", "/console/login", "/console/console.css", "/"):
        assert requests.get(staff.ingest.url.replace("/webhook", path), timeout=5).status_code == 404


def test_each_answer_forbids_what_no_page_needs(staff):
    for page in (*PAGES, "nothing", "overview.json", "console.css", "login"):
        headers = staff.get(page).headers
        policy = headers["Content-Security-Policy"]
        assert "default-src 'none'" in policy and "unsafe" not in policy and "frame-ancestors 'none'" in policy
        assert (headers["X-Content-Type-Options"], headers["Cache-Control"]) == ("nosniff", "no-store")
    for page in PAGES:
        text = staff.get(page).text
        assert not re.search(r"<script>|<style|\son\w+=|\sstyle=|javascript:", text), page
        assert not re.search(r'(?:href|src|action)="(?:/|[a-z]+://)', text), page  # all relative: any prefix will do


@pytest.mark.parametrize("page", ["nothing", "", "../metrics", "overview/", "%2e%2e/healthz", "console.css.html", "templates/overview.html"])
def test_there_is_nothing_else(staff, page):
    answer = requests.Request("GET", staff.base, cookies=staff.http.cookies).prepare()
    answer.url = staff.base + page
    status = staff.http.send(answer, timeout=5, allow_redirects=False).status_code
    assert status == (303 if page == "" else 404)


def test_wrong_numbers_and_hostile_texts_are_answered_and_change_nothing(staff):
    for query in ("decisions?cursor=x", "decisions?outcome=%00", "decisions?from=2026-99-99&to=x&month=1", "members?cursor=%ff&text=%ff",
                  "member?account=", "member?account=%s" % ("x" * 1500), "attention?place=nowhere&cursor=9", "booking?name=%0d%0aX:%20y",
                  "system?cursor=%27", "decisions?" + "&".join(f"a{n}=1" for n in range(300)), "decisions?=", "decisions?%zz"):
        answer = staff.get(query)
        assert answer.status_code in (200, 400, 404), query
        assert "X" not in answer.headers and "Traceback" not in answer.text
    assert staff.get("decisions?member=" + "x" * 5000).status_code == 414
    for form in ({"account": "ann@example.com", "credits": amount} for amount in ("", "0", "-1", "1.5", "1e3", "x", "9" * 30)):
        assert "whole number" in staff.do("grant", **form) or "positive" in staff.do("grant", **form), form
    assert "no account" in staff.do("grant", account="two words", credits="1")
    assert not [key for key in staff.library.client.scan_iter(match="*:credit:*")]


def test_bodies_that_are_no_form_are_refused(staff):
    for body, kind in ((b"{}", "application/json"), (b"a=1\0b=2", "application/x-www-form-urlencoded"), (b"a=1", "text/plain")):
        answer = staff.http.post(staff.base + "grant", data=body, headers={**OWN, "Content-Type": kind}, timeout=5)
        assert answer.status_code == 400
    answer = staff.http.post(staff.base + "policy-check", data=b"text=" + b"x" * (2 << 20),
                             headers={**OWN, "Content-Type": "application/x-www-form-urlencoded"}, timeout=5)
    assert answer.status_code == 413
    assert staff.get("grant", allow_redirects=False).headers["Location"] == "overview"
    assert staff.http.put(staff.base + "grant", timeout=5).status_code in (405, 501)


def test_which_secret_is_still_used_is_seen(gate):
    ingest, _ = gate(WEBHOOK_SECRET="the-new-one,the-old-one")
    person = Staff(ingest.admin)
    person.sign_in()
    body = sample("PING")
    assert requests.post(ingest.url, data=body, headers={"X-Cal-Signature-256": sign(body, "the-old-one")}, timeout=5).status_code == 200
    cells = wait_for(lambda: (found := re.findall(r"number (\d)</th><td class=\"mono\">(\w{8})</td><td>(never seen|[-0-9]{10})",
                                                  person.get("system").text)) and found[1][2] != "never seen" and found, what="its use")
    assert [cell[0] for cell in cells] == ["1", "2"] and cells[0][2] == "never seen"
    assert [cell[1] for cell in cells] == [hashlib.sha256(text).hexdigest()[:8] for text in (b"the-new-one", b"the-old-one")]


def test_a_reload_brings_new_secrets(gate, tmp_path):
    path = tmp_path / "secret"
    path.write_text("first")
    ingest, _ = gate(WEBHOOK_SECRET="", WEBHOOK_SECRET_FILE=str(path))
    person = Staff(ingest.admin)
    person.sign_in()
    assert hashlib.sha256(b"first").hexdigest()[:8] in person.get("system").text
    path.write_text("second,first")
    ingest.send_signal(signal.SIGHUP)
    wait_for(lambda: hashlib.sha256(b"second").hexdigest()[:8] in person.get("system").text, what="the new secret")


# ---- Redis away ----

def test_without_redis_each_page_says_so_and_ingest_goes_on(house, staff):
    house.servers[-1].kill9()
    for page in PAGES:
        assert wait_for(lambda: (answer := staff.get(page)).status_code == 503 and answer.text, what=page).count("Redis") >= 1
    assert staff.get("overview.json").status_code == 503
    assert staff.post("grant", account="ann@example.com", credits="1", key="k").status_code == 503
    assert staff.get("console.css").status_code == 200
    assert staff.get("login").status_code == 200
    house.servers[-1].start(house.servers[-1].port)
    wait_for(lambda: staff.sign_in().status_code == 303 and staff.get("overview").status_code == 200, what="the console")


def test_head_brings_no_body_into_the_next_answer(staff):
    for page in ("overview", "login", "console.css"):
        assert staff.http.head(staff.base + page, timeout=5).status_code == 200
        assert staff.get("system").text.startswith("<!DOCTYPE html>")
    for path in ("/healthz", "/readyz", "/metrics"):
        assert requests.head(staff.ingest.admin + path, timeout=5).status_code == 200
        assert requests.post(staff.ingest.admin + path, timeout=5).status_code == 405


def test_strangers_make_little_work(staff):
    big = "a=b&" * 200000
    for page, status in (("sign-in", 413), ("grant", 400), ("nothing", 404)):
        answer = requests.post(staff.base + page, data=big, headers={**OWN, "Content-Type": "application/x-www-form-urlencoded"},
                               timeout=10)
        assert answer.status_code == status
    assert requests.post(staff.base + "grant", data=big, timeout=10).status_code == 403  # before it is read


def test_a_worker_that_died_is_none(staff):
    staff.library.client.zadd(staff.library.key("workers"), {"w1": 1000})
    told = staff.get("overview.json").json()
    assert (told["workers_count"], told["well"]) == (0, False)


def test_who_hangs_up_does_no_harm(staff):
    host, port = staff.ingest.admin.removeprefix("http://").split(":")
    cookie = staff.http.cookies.get_dict()["tollgate_session"]
    for page in PAGES * 20:
        with socket.create_connection((host, int(port))) as stream:
            stream.sendall(f"GET /console/{page} HTTP/1.1\r\nHost: x\r\nCookie: tollgate_session={cookie}\r\n\r\n".encode())
    assert staff.get("overview").status_code == 200


# ---- What forms do ----

def test_credit_is_granted_and_taken_by_name_and_once(staff):
    assert staff.do("grant", account=" Ann@Example.com ", credits="5", key="a", note="June") == "Granted 5; the balance is 5 now."
    assert staff.do("grant", account="ann@example.com", credits="5", key="a", note="June") == "This was done before; the balance is 5."
    assert staff.do("debit", account="ann@example.com", credits="2", key="b", note="a slip") == "Took 2; the balance is 3 now."
    assert "less than 9" in staff.do("debit", account="ann@example.com", credits="9", key="c", note="x")
    ledger = [entry for _, entry in staff.library.client.xrange(staff.library.key("ledger:ann@example.com"))]
    assert [(e["kind"], e["amount"], e["by"], e["note"]) for e in ledger] == [
        ("grant", "5", "ann", "June"), ("adjust", "-2", "ann", "a slip")]
    assert staff.do("fields", account="ann@example.com", field="tier", value="gold") == "The field is set."
    page = staff.get("member?account=ann@example.com").text
    assert "gold" in page and 'data-testid="balance">3<' in page
    assert "granted 5" in staff.get("system").text and "set tier" in staff.get("system").text


def test_an_account_is_the_same_however_it_is_typed(staff):
    answer = staff.post("grant", account=" Ann@Example.COM ", credits="5", key="a")
    assert answer.headers["Location"] == "member?account=ann%40example.com"
    for query in ("ann@example.com", "ANN@example.com", " Ann@Example.com "):
        assert 'data-testid="balance">5<' in staff.get("member", params={"account": query}).text, query
    staff.library.install("return function() return { accept = true, cost = 1, reason = 'fine' } end")
    staff.library.record(7)
    staff.library.take()
    assert ">7</a>" in staff.get("decisions", params={"member": "ANN@Example.com"}).text


def test_a_note_has_an_end(staff):
    for page in ("grant", "debit", "fields"):
        assert "at most 500 bytes" in staff.do(page, account="ann@example.com", credits="1", key="k", field="x", value="y", note="n" * 501)
    assert not staff.library.client.exists(staff.library.key("credit:ann@example.com"))


def test_a_policy_of_lines_without_end_is_refused_at_once(staff):
    began = time.monotonic()
    for text in ("\n" * 200000, "a\n" * 40000):
        assert "65536 bytes" in staff.do("policy-check", text=text)
    long = staff.post("policy-check", text="--\n" * 20000).text
    assert time.monotonic() - began < 10 and len(long) < 2000000


def test_many_are_granted_to_after_a_look(staff):
    form = {"list": "ann@example.com, 2\r\n\r\n Bob@example.com;3\r\ncarl@example.com\t4\r\n", "key": "june", "note": "dues"}
    staff.library.grant("bob@example.com", 1)
    asked = staff.post("grant-list", **form)
    assert asked.status_code == 200 and "Give 9 credits in all to 3 members?" in asked.text
    assert "2 of them have no account yet" in asked.text
    assert not staff.library.client.exists(staff.library.key("credit:ann@example.com"))
    assert staff.do("grant-list", confirm="yes", **form) == "Granted to 3 members."
    assert staff.do("grant-list", confirm="yes", **form) == "Granted to 0 members. 3 had it already under this name."
    assert staff.library.client.hget(staff.library.key("credit:bob@example.com"), "balance") == "4"


def test_everybody_in_a_list_gets_the_same(staff):
    form = {"list": "ann@example.com\nbob@example.com, 7\ncarl@example.com", "credits": "3", "key": "june", "confirm": "yes"}
    assert staff.do("grant-list", **form) == "Granted to 3 members."
    assert [staff.library.client.hget(staff.library.key(f"credit:{name}@example.com"), "balance") for name in ("ann", "bob", "carl")] == [
        "3", "7", "3"]


@pytest.mark.parametrize("text,why", [
    ("ann@example.com", "Line 1"), ("ann@example.com, 1\nbob@example.com, x", "Line 2"), ("ann@example.com, -1", "Line 1"),
    ("two words, 1", "Line 1"), ("ann@example.com, 1\nANN@example.com, 2", "Line 2"), ("ann@example.com, 0", "Line 1"), ("", "empty"), ("ann@example.com, 99999999999999999999", "Line 1"),
])
def test_a_list_with_a_fault_grants_to_nobody(staff, text, why):
    assert why in staff.do("grant-list", list=text, key="k", confirm="yes")
    assert not [key for key in staff.library.client.scan_iter(match="*:credit:*")]


def test_a_pause_is_by_somebody_and_seen(staff):
    assert staff.do("pause", note="moving house").startswith("Paused")
    assert staff.library.client.hgetall(staff.library.key("paused"))["by"] == "ann"
    assert "moving house" in staff.get("overview").text
    assert staff.get("overview.json").json()["paused"]["by"] == "ann"
    assert staff.do("resume") == "Resumed."
    assert not staff.library.client.exists(staff.library.key("paused"))


def test_terms_are_set_unless_somebody_was_quicker(staff):
    sha = re.search(r'name="sha" value="([^"]*)"', staff.get("policy").text).group(1)
    form = {"sha": sha, "new_name": "cost", "new_value": "2", "note": "dearer"}
    assert staff.do("terms", **form) == "The terms are saved."
    assert "changed meanwhile" in staff.do("terms", **form)
    sha = re.search(r'name="sha" value="([^"]*)"', staff.get("policy").text).group(1)
    assert staff.do("terms", sha=sha, **{"term:cost": "3"}) == "The terms are saved."
    assert staff.library.client.hgetall(staff.library.key("terms")) == {"cost": "3"}


def test_many_terms_and_odd_ones_do_not_stand_in_the_way(staff):
    key = staff.library.key("terms")
    staff.library.client.hset(key, mapping={**{f"cost:{n}": "1" for n in range(400)}, "odd name": "x" * 2000, "cost:x": "free"})
    terms = staff.library.client.hgetall(key)
    sha = re.search(r'name="sha" value="([^"]*)"', staff.get("policy").text).group(1)
    assert staff.do("terms", sha=sha, **{f"term:{name}": value for name, value in {**terms, "cost:7": "2"}.items()}) == "The terms are saved."
    assert staff.library.client.hgetall(key) == {**terms, "cost:7": "2"}


def test_of_two_who_install_a_policy_the_second_looks_again(staff):
    asked = staff.post("policy-install", text=POLICY).text
    seen = re.search(r'name="seen" value="([^"]*)"', asked).group(1)
    staff.library.install("return function() return { accept = false, cost = 0, reason = 'closed' } end", "operator")
    assert "meanwhile" in staff.do("policy-install", text=POLICY, confirm="yes", seen=seen)
    assert "closed" in staff.library.client.hget(staff.library.key("policy"), "text")


POLICY = 'return function(booking)\r\n  return { accept = booking.start > 4102444800, cost = 2, reason = "by\tstart" }\r\nend\r\n'


def test_a_policy_is_checked_tried_and_installed(staff):
    bad = staff.post("policy-check", text="return function()\r\n  x( end", sample="{}").text
    assert "does not load" in bad and "2 |   x( end" in bad
    good = staff.post("policy-check", text=POLICY, sample="{}").text
    assert "It loads" in good and 'class="new"' in good
    sample = '{"account": "ann@example.com", "start": "2100-01-01T00:00:01Z"}'
    assert "<b>accepted, cost 2</b>" in staff.post("policy-try", text=POLICY, sample=sample).text
    assert "<b>rejected, cost 2</b>" in staff.post("policy-try", text=POLICY, sample=sample.replace("2100", "2099")).text
    assert "no JSON object" in staff.post("policy-try", text=POLICY, sample="[").text
    asked = staff.post("policy-install", text=POLICY).text
    assert "Shall this policy decide" in asked
    seen = re.search(r'name="seen" value="([^"]*)"', asked).group(1)
    assert staff.do("policy-install", text=POLICY, confirm="yes", seen=seen).startswith("Installed")
    installed = staff.library.client.hgetall(staff.library.key("policy"))
    assert (installed["text"], installed["installed_by"]) == (POLICY.replace("\r\n", "\n"), "ann")
    assert 'data-testid="same"' in staff.post("policy-check", text=POLICY, sample="{}").text
