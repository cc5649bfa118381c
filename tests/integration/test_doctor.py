"""scripts/doctor, as a user types it: against the real programs, a fault at a time."""

import hashlib
import http.server
import json
import os
import subprocess
import sys
import threading

import pytest

from harness import API_KEY, ROOT, SECRET, free_port, wait_for
from library import now_ms
from outcomes import ANN

sys.path.insert(0, str(ROOT / "scripts" / "lib"))
from tollgate import doctor_web  # noqa: E402

DURABLE = ["--appendfsync", "always", "--maxmemory-policy", "noeviction"]


class Club:
    """A gate that is set up well, and the doctor with its environment."""

    def __init__(self, gate):
        self.gate = gate
        self.env = {"REDIS_URL": gate.redis.url, "TOLLGATE_NAMESPACE": gate.namespace, "WEBHOOK_SECRET": SECRET,
                    "CALCOM_API_URL": f"{gate.fake.url}/{gate.dialect}", "CALCOM_API_KEY": API_KEY}
        self.url = gate.ingest.url

    def doctor(self, *arguments, **env):
        """Its exit status and what it finds: {about: [[verdict, text, remedy], …]}."""
        done = subprocess.run([ROOT / "scripts" / "doctor", "--json", "--url", self.url, *arguments],
                              env={"PATH": os.environ["PATH"], **self.env, **env}, capture_output=True, text=True, timeout=60,
                              check=False)
        assert done.stderr == "" and SECRET not in done.stdout and API_KEY not in done.stdout
        found = {}
        for row in json.loads(done.stdout):
            found.setdefault(row["about"], []).append([row["verdict"], row["text"], row["remedy"]])
        return done.returncode, found

    def finds(self, about, verdict, text, *arguments, **env):
        """Just this one is wrong."""
        code, found = self.doctor(*arguments, **env)
        [(how, said, remedy)] = [row for row in found[about] if row[0] == verdict]
        assert text in said and remedy, found
        assert code == (1 if verdict == "FAIL" else 0)
        assert [row for row in sum(found.values(), []) if row[0] == "FAIL"] == ([[how, said, remedy]] if how == "FAIL" else [])


@pytest.fixture
def club(make_gate):
    return lambda **options: Club(make_gate(appendonly=True, arguments=DURABLE, **options))


# ---- All is well ----

@pytest.mark.parametrize("dialect", ["v1", "v2"])
def test_nothing_is_wrong_with_what_is_set_up_well(club, dialect):
    c = club(dialect=dialect)
    c.gate.credit(ANN, balance=1)
    c.gate.wait_settled(c.gate.fake.book(ANN)["id"])
    before = set(c.gate.client.keys())
    code, found = c.doctor()
    wrong = [(about, row) for about, rows in found.items() for row in rows if row[0] != "ok"]
    assert code == 0 and {about for about, _ in wrong} <= {"webhook", "api"}, wrong
    assert all("http" in text for _, (_, text, _) in wrong), "only that nothing here is encrypted"
    made = set(c.gate.client.keys()) - before - {c.gate.key("audit"), c.gate.key("sweep")}  # which the worker makes
    assert len(found) >= 11 and not made


def test_people_read_a_line_and_its_remedy(club):
    c = club(workers=0)
    done = subprocess.run([ROOT / "scripts" / "doctor"], env={"PATH": os.environ["PATH"], **c.env}, capture_output=True,
                          text=True, check=False)
    assert done.returncode == 1
    assert "FAIL  workers: no worker is running: bookings are recorded, and nobody decides them\n      → " in done.stdout


# ---- Redis ----

@pytest.mark.parametrize("name, value, verdict, text", [
    ("appendonly", "no", "FAIL", "appendonly is no"),
    ("appendfsync", "everysec", "WARN", "1 s (2 s under load)"),
    ("maxmemory-policy", "allkeys-lru", "FAIL", "dropped without a trace"),
])
def test_a_redis_that_loses_things(club, name, value, verdict, text):
    c = club()
    c.gate.client.config_set(name, value)
    c.finds("redis", verdict.lower() if verdict == "WARN" else verdict, text)


def test_a_redis_that_is_almost_full(club):
    c = club()

    def is_seen():
        """What a Redis this small uses is a third more or less from one moment to the next."""
        c.gate.client.config_set("maxmemory", int(c.gate.client.info("memory")["used_memory"] * 1.05))
        return [row for row in c.doctor()[1]["redis"] if row[0] == "warn" and "% of maxmemory is used" in row[1]]
    wait_for(is_seen, what="the doctor to see it")


def test_a_redis_that_cannot_be_reached(club):
    code, found = club().doctor(REDIS_URL=f"redis://127.0.0.1:{free_port()}")
    assert code == 3 and found["redis"][0][0] == "FAIL" and found["api"][0][0] == "ok", "the rest is looked at"


def test_a_user_of_redis_with_too_few_rights(club):
    c = club()
    c.gate.client.execute_command("ACL", "SETUSER", "poor", "on", ">pw", "~*", "+@all", "-@scripting")
    code, found = c.doctor(REDIS_URL=c.gate.redis.url.replace("://", "://poor:pw@"))
    [(_, text, remedy)] = [row for row in found["redis"] if row[0] == "FAIL"]
    assert code == 1 and "may not FUNCTION LIST, FCALL_RO tollgate_version" in text
    c.gate.client.execute_command(*remedy.split())
    _, found = c.doctor(REDIS_URL=c.gate.redis.url.replace("://", "://poor:pw@"))
    assert {row[0] for row in found["redis"]} == {"ok"}
    c.gate.worker.stop()
    c.gate.add_worker(REDIS_URL=c.gate.redis.url.replace("://", "://poor:pw@")).wait_ready()
    c.gate.credit(ANN, balance=1)
    assert c.gate.wait_settled(c.gate.fake.book(ANN)["id"])["state"] == "accepted", "the remedy is enough for a worker"


def test_a_redis_that_does_not_tell_its_settings(club):
    c = club()
    c.gate.client.execute_command("ACL", "SETUSER", "quiet", "on", ">pw", "~*", "+@all", "-config")
    code, found = c.doctor(REDIS_URL=c.gate.redis.url.replace("://", "://quiet:pw@"))
    [row, _] = [row for row in found["redis"] if row[0] != "ok"]
    assert code == 0 and row[0] == "warn" and "refuses to tell" in row[1] and "by hand" in row[2]


def test_a_library_that_is_not_loaded(club):
    c = club(workers=0)
    c.gate.ingest.stop()
    c.gate.client.execute_command("FUNCTION", "FLUSH")
    _, found = c.doctor()
    assert found["library"][0][0] == "FAIL" and "tollgate-ingest" in found["library"][0][2]


# ---- The books ----

def test_no_worker(club):
    c = club()
    c.gate.worker.stop()
    c.finds("workers", "FAIL", "no worker is running")


def test_a_booking_that_waits(club):
    c = club()
    c.gate.client.fcall("tollgate_pause", 1, c.gate.key("queue"), "ann", "moving")
    c.finds("queue", "warn", "paused by ann: moving")
    id = c.gate.fake.book(ANN)["id"]
    c.gate.client.hincrby(c.gate.key(f"booking:{id}"), "received_ms", -100000)
    c.gate.worker.send_signal(19)
    c.gate.client.delete(c.gate.key("paused"))
    _, found = c.doctor()
    c.gate.worker.send_signal(18)
    assert found["queue"][0][0] == "FAIL" and f"booking {id} has waited for 1" in found["queue"][0][1]


@pytest.mark.parametrize("key, about, verdict, text", [
    ("dead", "dead", "warn", "1 bookings were given up"), ("unbalanced", "books", "FAIL", "1 accounts"),
    ("drift", "drift", "warn", "1 bookings stand otherwise"), ("retry", "queue", "FAIL", "1 bookings should have been tried"),
])
def test_what_does_not_fit(club, key, about, verdict, text):
    c = club()
    c.gate.worker.send_signal(19)  # it would see to it
    if key in ("dead", "retry"):
        c.gate.client.zadd(c.gate.key(key), {"48213": now_ms() - 100000})
    else:
        c.gate.client.hset(c.gate.key(key), "48213", "something")
    _, found = c.doctor()
    c.gate.worker.send_signal(18)
    assert found[about][0][0] == verdict and text in found[about][0][1] and found[about][0][2]


def test_an_event_type_that_waits_for_nobody(club):
    c = club(fake_arguments=["--event-type", "77:auto"])
    c.gate.credit(ANN, balance=1)
    c.gate.wait_settled(c.gate.fake.book(ANN, eventTypeId=77)["id"])
    c.finds("event types", "warn", "event type 77 by itself")


# ---- Cal.com ----

@pytest.mark.parametrize("dialect", ["v1", "v2"])
def test_a_key_that_is_not_taken(club, dialect):
    c = club(dialect=dialect, workers=0)
    code, found = c.doctor(CALCOM_API_KEY="cal_wrong")
    assert code == 1 and found["api"][0][0] == "FAIL" and "refuses CALCOM_API_KEY" in found["api"][0][1]


def test_a_breaker_that_only_a_person_closes(club):
    c = club(worker_env={"CALCOM_API_KEY": "cal_wrong"})
    c.gate.allow_errors.append("Cal.com refuses the key")
    c.gate.credit(ANN, balance=1)
    c.gate.fake.book(ANN)
    c.gate.worker.wait_log("Cal.com refuses the key: no booking can be settled; check CALCOM_API_KEY")
    _, found = c.doctor(CALCOM_API_KEY="cal_wrong")
    assert found["gate"][0][0] == "FAIL" and "(credentials)" in found["gate"][0][1] and "CALCOM_API_KEY" in found["gate"][0][2]


@pytest.mark.parametrize("env, text", [
    ({"CALCOM_API_URL": "https://api.cal.com"}, "CALCOM_API_URL is https://api.cal.com"),
    ({"CALCOM_API_URL": ""}, "CALCOM_API_URL is not set"),
    ({"CALCOM_API_KEY": ""}, "CALCOM_API_KEY is not set"),
    ({"CALCOM_API_KEY_FILE": "/nowhere", "CALCOM_API_KEY": ""}, "cannot read /nowhere"),
    ({"CALCOM_API_KEY_FILE": "/nowhere"}, "both set"),
    ({"CALCOM_API_VERSION": "2024-04-15"}, "cannot confirm a booking"),
    ({"CALCOM_API_URL": "http://127.0.0.1:1/v2"}, "cannot be reached"),
])
def test_an_api_that_is_set_up_wrong(club, env, text):
    code, found = club().doctor(**env)
    assert code == 1 and [row[0] for row in found["api"]] == ["FAIL"] and text in found["api"][0][1] and found["api"][0][2]


# ---- The webhook ----

def test_a_secret_that_is_another_one(club):
    club().finds("webhook", "FAIL", "another WEBHOOK_SECRET", WEBHOOK_SECRET="0123456789abcdef0123")


def test_a_short_secret(club):
    club(ingest_env={"WEBHOOK_SECRET": "short"}).finds("secret", "warn", "can be guessed", WEBHOOK_SECRET="short")


def test_an_ingest_that_takes_everything(club):
    c = club(ingest_env={"WEBHOOK_SECRET": "", "TOLLGATE_ALLOW_UNSIGNED": "yes"})
    code, found = c.doctor(WEBHOOK_SECRET="")
    assert code == 0 and ["warn", "any signature"] in [[row[0], row[1][23:36]] for row in found["webhook"]], found
    assert found["secret"][0][0] == "warn"


def test_a_wrong_path_and_a_wrong_port(club):
    c = club()
    right, c.url = c.url, c.url + "s"
    c.finds("webhook", "FAIL", "answers a PING with 404")
    c.url = f"http://127.0.0.1:{free_port()}/webhook"
    c.finds("webhook", "FAIL", "cannot be reached")
    c.url = right[len("http://"):]
    c.finds("webhook", "FAIL", "is no address")


class Redirect(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        self.send_response(301)
        self.send_header("Location", "https://elsewhere.example/webhook")
        self.end_headers()

    def log_message(self, *_):
        pass


def test_an_address_that_redirects(club):
    c = club()
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Redirect) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        c.url = f"http://127.0.0.1:{server.server_port}/webhook"
        c.finds("webhook", "FAIL", "it redirects to https://elsewhere.example/webhook: Cal.com does not follow")
        server.shutdown()


# ---- Cal.com's own settings ----

class Settings(http.server.BaseHTTPRequestHandler):
    """API v2 of an installation with these settings."""

    answers = {}

    def do_GET(self):
        path = self.path.split("?")[0]
        known = path in self.answers
        self.send_response(200 if known else 404)
        self.end_headers()
        self.wfile.write(json.dumps({"status": "success", "data": self.answers.get(path)}).encode())

    def log_message(self, *_):
        pass


ALL = ["BOOKING_REQUESTED", "BOOKING_CREATED", "BOOKING_REJECTED", "BOOKING_CANCELLED", "BOOKING_RESCHEDULED", "BOOKING_PAYMENT_INITIATED"]
URL = "https://club.example/webhook"


def told_by(script, monkeypatch, hook=None, types=(), offline=False):
    """What the doctor says of these settings: {about: [[verdict, text], …]}."""
    hooks = [] if hook is None else [{"subscriberUrl": URL, "active": True, "triggers": ALL, "payloadTemplate": None, "secret": SECRET, **hook}]
    Settings.answers = {"/v2/me": {}, "/v2/bookings": [], "/v2/webhooks": hooks, "/v2/event-types": list(types)}
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Settings) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        for name, value in (("WEBHOOK_SECRET", SECRET), ("CALCOM_API_KEY", API_KEY), ("CALCOM_API_URL", f"http://127.0.0.1:{server.server_port}/v2")):
            monkeypatch.setenv(name, value)
        done = script("doctor", "--json", "--url", URL, *(["--offline"] if offline else []), code=1)
        server.shutdown()
    found = {}
    for row in json.loads(done.stdout):
        assert row["remedy"] or row["verdict"] == "ok"
        found.setdefault(row["about"], []).append([row["verdict"], row["text"]])
    assert SECRET not in done.stdout
    return found


@pytest.mark.parametrize("hook, verdict, text", [
    ({}, "ok", "all triggers"), ({"subscriberUrl": URL + "/"}, "ok", "all triggers"),
    ({"secret": "another-one-that-is-long"}, "FAIL", "another secret"), ({"secret": None}, "ok", ""),
    ({"active": False}, "FAIL", "switched off"), ({"triggers": ALL[1:]}, "FAIL", "does not tell of requests"),
    ({"triggers": ALL[:-1]}, "warn", "lacks BOOKING_PAYMENT_INITIATED"), ({"payloadTemplate": "{}"}, "FAIL", "template"),
    ({"subscriberUrl": "https://elsewhere.example/"}, "warn", "none of the 1 webhooks"),
])
def test_the_webhook_as_calcom_has_it(script, library, monkeypatch, hook, verdict, text):
    [(how, said)] = told_by(script, monkeypatch, hook)["subscription"]
    assert how == verdict and text in said


@pytest.mark.parametrize("policy, verdict, text", [
    ({"type": "always"}, "ok", "all 1 event types"), ({"disabled": True}, "warn", "1207 (Chess)"), ({"type": "time"}, "warn", "short notice"),
    (None, "ok", ""),
])
def test_event_types_as_calcom_has_them(script, library, monkeypatch, policy, verdict, text):
    types = [{"id": 1207, "title": "Chess", "confirmationPolicy": policy}]
    how, said = told_by(script, monkeypatch, {}, types)["event types"][-1]
    assert how == verdict and text in said
    monkeypatch.setenv("TOLLGATE_EVENT_TYPES", "77")
    assert told_by(script, monkeypatch, {}, types)["event types"][-1] == ["ok", "all 0 event types of this key's user require confirmation"]


def test_settings_are_not_asked_for_offline(script, library, monkeypatch):
    assert "subscription" not in told_by(script, monkeypatch, {"active": False}, offline=True)


# ---- A PING of Cal.com, budget, secrets ----

@pytest.mark.parametrize("secret, verdict, text", [(SECRET, "ok", "its secret fits"), ("another-one-that-is-long", "FAIL", "another secret"),
                                                   (None, "FAIL", "no PING came within 2 s")])
def test_a_ping_is_waited_for(club, secret, verdict, text):
    c = club(workers=0)
    process = subprocess.Popen([ROOT / "scripts" / "doctor", "--json", "--offline", "--await-ping", "20" if secret else "2", "--admin",
                                c.gate.ingest.admin.split("//")[-1]], env={"PATH": os.environ["PATH"], **c.env}, stdout=subprocess.PIPE,
                               stderr=subprocess.PIPE, text=True)
    assert "Press" in process.stderr.readline()
    if secret:
        doctor_web.ping(c.url, secret)
    out = process.communicate(timeout=60)[0]
    [row] = [row for row in json.loads(out) if row["about"] == "ping"]
    assert row["verdict"] == verdict and text in row["text"] and (row["remedy"] or verdict == "ok")


def test_an_admin_address_that_is_none(script, library):
    rows = json.loads(script("doctor", "--json", "--offline", "--await-ping", "1", "--admin", "127.0.0.1:1", code=1).stdout)
    [row] = [row for row in rows if row["about"] == "ping"]
    assert "cannot be asked" in row["text"] and "--admin" in row["remedy"]


def findings(script, about):
    return [(row["verdict"], row["text"]) for row in json.loads(script("doctor", "--json", "--offline", code=1).stdout) if row["about"] == about]


def test_the_budget(script, library, monkeypatch):
    monkeypatch.setenv("CALCOM_API_KEY", API_KEY)
    monkeypatch.setenv("CALCOM_RATE_LIMIT", "3")
    gate = library.key("gate:" + hashlib.sha256(API_KEY.encode()).hexdigest()[:16])
    library.client.hset(gate, "reserved", 2)
    library.client.zadd(gate + ":calls", {"1": now_ms(), "2": now_ms()})
    assert findings(script, "budget") == [("ok", "2 of 3 calls to Cal.com were used in the last minute")]
    library.client.zadd(gate + ":calls", {"3": now_ms()})
    assert findings(script, "budget")[0][0] == "warn"
    library.client.hset(gate, mapping={"throttled": 4, "throttled_until_ms": now_ms() + 60000})
    assert "429), 4 times" in findings(script, "budget")[0][1]


def test_which_secret_may_be_removed(script, library, monkeypatch):
    monkeypatch.setenv("WEBHOOK_SECRET", f"{SECRET},older-secret-one,newer-secret-two")
    assert findings(script, "secrets") == []
    names = [hashlib.sha256(secret.encode()).hexdigest()[:8] for secret in (SECRET, "older-secret-one", "newer-secret-two")]
    library.client.hset(library.key("secrets"), mapping={names[0]: now_ms() - 60000, names[1]: now_ms() - 3 * 86400000})
    found = findings(script, "secrets")
    assert [verdict for verdict, _ in found] == ["ok", "warn", "ok"] and "used last 1 min ago" in found[0][1]
    assert found[1][1] == f"secret 2 of WEBHOOK_SECRET ({names[1]}…) was used last 3 d ago, and others since: it may be removed"
    assert found[2][1].startswith("no webhook came with secret 3")
    monkeypatch.setenv("WEBHOOK_SECRET", "newer-secret-two")
    assert any("not in WEBHOOK_SECRET here was used last" in text for _, text in findings(script, "secrets"))
