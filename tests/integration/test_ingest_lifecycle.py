"""Ingest from its command line to its last breath: options, settings, ports, signals, logs, numbers."""

import json
import os
import re
import signal
import socket
import subprocess
import threading
import time

import pytest

from harness import BUILD, SECRET, TIMEOUT, Ingest, free_port, sample, sign, wait_for
from wire import Door, Wire, request, webhook

PROGRAM = str(BUILD / "tollgate-ingest")
SETTINGS = ["REDIS_URL", "TOLLGATE_NAMESPACE", "TOLLGATE_LISTEN", "TOLLGATE_ADMIN_LISTEN", "WEBHOOK_SECRET",
            "TOLLGATE_ALLOW_UNSIGNED", "TOLLGATE_EVENT_TYPES", "TOLLGATE_ACCOUNT_FIELD", "TOLLGATE_THREADS",
            "TOLLGATE_SPOOL_DIR", "TOLLGATE_SPOOL_MAX", "TOLLGATE_SPOOL_AFTER_MS", "TOLLGATE_WAIT_REPLICAS",
            "TOLLGATE_STRICT", "TOLLGATE_KEEP_DAYS", "TOLLGATE_LOG_FORMAT", "TOLLGATE_LOG_LEVEL", "TOLLGATE_LOG_FILE"]


@pytest.fixture
def door(house):
    return Door(house)


def run(*arguments, **env):
    """The program until it ends by itself."""
    passed_on = {name: os.environ[name] for name in ("PATH", "ASAN_OPTIONS", "UBSAN_OPTIONS") if name in os.environ}
    return subprocess.run([PROGRAM, *arguments], env={**passed_on, "WEBHOOK_SECRET": SECRET, **env}, text=True,
                          capture_output=True, stdin=subprocess.DEVNULL, timeout=TIMEOUT)


# ---- Command line and settings ----

def test_help_names_every_setting():
    done = run("--help", WEBHOOK_SECRET="")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("Usage: tollgate-ingest")
    for name in [*SETTINGS, "WEBHOOK_SECRET_FILE", "REDIS_URL_FILE", "SIGTERM", "SIGHUP", "--check", "--health",
                 "--version"]:
        assert name in done.stdout, name
    assert "CALCOM_API_KEY" not in done.stdout, "a setting of the worker"


def test_version():
    done = run("--version", WEBHOOK_SECRET="")
    assert (done.returncode, done.stderr) == (0, "")
    assert re.fullmatch(r"tollgate-ingest \d+\.\d+\.\d+\n", done.stdout)


@pytest.mark.parametrize("arguments", [["--what"], ["start"], ["--check", "--check"], ["-h", "x"], [""]], ids=str)
def test_an_unknown_option_is_2(arguments):
    done = run(*arguments)
    assert done.returncode == 2
    assert "--help" in done.stderr and done.stdout == ""


@pytest.mark.parametrize("env", [
    {}, {"TOLLGATE_LISTEN": "[::]:0"}, {"TOLLGATE_LISTEN": "127.0.0.1:8080"}, {"REDIS_URL": "redis://[::1]:6379/3"},
    {"REDIS_URL": "unix:///run/redis.sock?db=1"}, {"WEBHOOK_SECRET": "", "TOLLGATE_ALLOW_UNSIGNED": "yes"},
    {"TOLLGATE_EVENT_TYPES": "7,1208", "TOLLGATE_THREADS": "256", "TOLLGATE_KEEP_DAYS": "1"},
    {"TOLLGATE_ACCOUNT_FIELD": "responses.member_number.value"}, {"TOLLGATE_ACCOUNT_FIELD": "a.b-c.d_E.f.g.h.i.9"},
    {"TOLLGATE_LOG_FORMAT": "json", "TOLLGATE_LOG_LEVEL": "error", "TOLLGATE_NAMESPACE": "book-club_2.eu"},
    {name: "" for name in SETTINGS if name != "WEBHOOK_SECRET"},
], ids=str)
def test_check_says_that_settings_are_fine(env):
    done = run("--check", **env)
    assert (done.returncode, done.stdout, done.stderr) == (0, "tollgate-ingest: the settings are fine\n", "")


WRONG = {
    "REDIS_URL": ["127.0.0.1:6379", "http://127.0.0.1", "redis://", "redis://h:0", "redis://h:99999", "redis://h:6379/x",
                  "unix://run/redis.sock", "unix:///s?database=1", "redis://u:%zz@h"],
    "REDIS_URL_FILE": ["/nowhere/url"],
    "TOLLGATE_NAMESPACE": ["a b", "{a}", "a:b", "ä", "n" * 65],
    "TOLLGATE_LISTEN": ["8080", ":8080", "localhost:8080", "127.0.0.1", "127.0.0.1:", "127.0.0.1:65536",
                        "127.0.0.1:80x", "::1:8080x", "1.2.3:80"],
    "TOLLGATE_ADMIN_LISTEN": ["9464", "localhost:9464", "127.0.0.1:-1"],
    "WEBHOOK_SECRET": ["", " secret", "secret ", "a,,b", ",a", "a,", "a, b", "secret\n"],
    "WEBHOOK_SECRET_FILE": ["/nowhere/secret", "/"],
    "TOLLGATE_ALLOW_UNSIGNED": ["true", "1", "YES", "y"],
    "TOLLGATE_EVENT_TYPES": ["abc", "1,,2", ",1", "1,", "1 2", "-1"],
    "TOLLGATE_ACCOUNT_FIELD": [".", "metadata.", "a..b", "a b", "a.b.c.d.e.f.g.h.i", "x" * 201, "ä", "a/b",
                               "oneTimePassword"],
    "TOLLGATE_THREADS": ["-1", "257", "two", "1.5", "2 ", "99999999999999999999"],
    "TOLLGATE_SPOOL_MAX": ["0", "1048575", "1G"],
    "TOLLGATE_SPOOL_AFTER_MS": ["9", "1001", "0.25"],
    "TOLLGATE_WAIT_REPLICAS": ["-1", "10", "all"],
    "TOLLGATE_STRICT": ["true", "1"],
    "TOLLGATE_KEEP_DAYS": ["0", "3651", "30d"],
    "TOLLGATE_LOG_FORMAT": ["xml", "JSON", "logfmt|json"],
    "TOLLGATE_LOG_LEVEL": ["loud", "warning", "INFO"],
    "TOLLGATE_LOG_FILE": ["/nowhere/ingest.log", "/"],
}


@pytest.mark.parametrize("name", WRONG)
def test_a_wrong_setting_stops_the_start_and_is_named(name):
    for value in WRONG[name]:
        env = {name: value, **({"WEBHOOK_SECRET": ""} if name == "WEBHOOK_SECRET_FILE" else {})}
        checked = run("--check", **env)
        assert checked.returncode == 2, f"{name}={value!r} was taken"
        assert name in checked.stderr and checked.stdout == ""
        assert len(checked.stderr.splitlines()) == 1 and checked.stderr.startswith("tollgate-ingest: ")
    started = run(**env)
    assert (started.returncode, started.stderr) == (2, checked.stderr)


def test_a_secret_given_twice_stops_the_start(tmp_path):
    (tmp_path / "secret").write_text("fr0m-file")
    done = run("--check", WEBHOOK_SECRET="fr0m-env", WEBHOOK_SECRET_FILE=str(tmp_path / "secret"))
    assert done.returncode == 2
    assert "WEBHOOK_SECRET_FILE" in done.stderr
    assert "fr0m" not in done.stderr


def test_a_wrong_secret_is_not_shown():
    done = run("--check", WEBHOOK_SECRET="t0psecret ,b")
    assert done.returncode == 2
    assert "t0psecret" not in done.stderr


def test_tls_without_support_is_refused_by_name():
    done = run("--check", REDIS_URL="rediss://:t0psecret@127.0.0.1:6380")
    assert done.returncode in (0, 2), "it depends on hiredis"
    assert done.returncode == 0 or "REDIS_URL" in done.stderr and "TLS" in done.stderr
    assert "t0psecret" not in done.stderr


def test_the_start_line_shows_every_setting_but_no_secret(house):
    redis = house.redis()
    ingest = house.ingest(redis.url, WEBHOOK_SECRET="t0psecret,other", TOLLGATE_KEEP_DAYS="12")
    line = ingest.wait_log("settings")
    assert {name: line[name] for name in ("TOLLGATE_KEEP_DAYS", "TOLLGATE_NAMESPACE", "TOLLGATE_LOG_LEVEL")} == {
        "TOLLGATE_KEEP_DAYS": "12", "TOLLGATE_NAMESPACE": "tollgate", "TOLLGATE_LOG_LEVEL": "info"}
    assert set(SETTINGS) <= set(line)
    assert line["WEBHOOK_SECRET"] == "(set)"
    assert "t0psecret" not in ingest.log_text()


# ---- Addresses ----

def listener(address=("127.0.0.1", 0)):
    taken = socket.socket()
    taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    taken.bind(address)
    taken.listen()
    return taken


def test_a_busy_address_is_1(house):
    house.allow_errors.append("TOLLGATE_LISTEN cannot be used")
    with listener() as taken:
        address = "127.0.0.1:%d" % taken.getsockname()[1]
        ingest = house.ingest(house.redis().url, TOLLGATE_LISTEN=address)
        assert ingest.wait_exit() == 1
        line = ingest.log_lines("TOLLGATE_LISTEN cannot be used")[0]
        assert line["address"] == address and "in use" in line["reason"]


def test_another_ingest_on_the_address_is_noticed(house, door):
    """Its threads share the address; strangers must not."""
    house.allow_errors.append("TOLLGATE_LISTEN cannot be used")
    second = house.ingest(door.redis.url, TOLLGATE_LISTEN=door.ingest.address("listening"))
    assert second.wait_exit() == 1
    assert [door.ask(webhook(id)).status for id in range(1, 20)] == [202] * 19


def test_an_address_that_is_not_ours_is_1(house):
    house.allow_errors.append("TOLLGATE_LISTEN cannot be used")
    ingest = house.ingest(house.redis().url, TOLLGATE_LISTEN="192.0.2.1:8080")
    assert ingest.wait_exit() == 1


def test_a_busy_default_admin_port_is_replaced_by_a_free_one(house):
    try:
        taken = listener(("127.0.0.1", 9464))
    except OSError:
        taken = listener()  # somebody else has it, and it is busy all the same
    with taken:
        door = Door(house, TOLLGATE_ADMIN_LISTEN="")
        line = door.ingest.wait_log("the default admin address is busy; taking a free port")
        assert line["address"] == "127.0.0.1:9464"
        host, port = door.ingest.address("admin listening").split(":")
        assert host == "127.0.0.1" and port not in ("9464", "0")
        assert door.ask(webhook(1)).status == 202


def test_a_busy_admin_address_that_was_asked_for_is_1(house):
    house.allow_errors.append("TOLLGATE_ADMIN_LISTEN cannot be used")
    with listener() as taken:
        address = "127.0.0.1:%d" % taken.getsockname()[1]
        ingest = house.ingest(house.redis().url, TOLLGATE_ADMIN_LISTEN=address)
        assert ingest.wait_exit() == 1
        assert ingest.log_lines("TOLLGATE_ADMIN_LISTEN cannot be used")[0]["address"] == address


def test_ipv6(house):
    try:
        listener = socket.create_server(("::1", 0), family=socket.AF_INET6)
        listener.close()
    except OSError:
        pytest.skip("no IPv6 here")
    ingest = house.ingest(house.redis().url, TOLLGATE_LISTEN="[::1]:0", TOLLGATE_ADMIN_LISTEN="[::1]:0")
    ingest.wait_ready()
    assert ingest.address("listening").startswith("[::1]:")
    answer = ingest.http.post(ingest.url, data=b"{}", timeout=5)
    assert answer.status_code == 401


def test_all_threads_serve_and_one_per_core_is_the_default(house):
    door = Door(house, TOLLGATE_THREADS="0")
    assert door.ingest.wait_log("listening")["threads"] == str(os.sysconf("SC_NPROCESSORS_ONLN"))
    many = Door(house, TOLLGATE_THREADS="16")
    assert [many.ask(webhook(id)).status for id in range(1, 101)] == [202] * 100


# ---- The end ----

def assert_ended(ingest, status, within_s):
    since = time.monotonic()
    assert ingest.wait_exit() == status
    assert time.monotonic() - since < within_s


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_it_in_good_order(door, number):
    with door.wire() as idle, door.wire() as served:
        assert served.ask(request(webhook(1))).status == 202
        door.ingest.send_signal(number)
        assert_ended(door.ingest, 0, 2)
        assert idle.rest() == served.rest() == b""
    messages = [line["msg"] for line in door.ingest.log_lines()]
    assert "draining" in messages and messages[-1] == "stopped"


def test_sigterm_answers_a_request_that_waits_for_redis(door):
    assert door.ask(webhook(1)).status == 202
    door.redis.sigstop()
    with door.wire() as waiting, door.wire() as idle:
        waiting.send(request(webhook(2)))
        wait_for(lambda: door.count('events_total{trigger="requested"}') == 2, what="the webhook to wait for Redis")
        door.ingest.sigterm()
        assert idle.rest(1) == b""
        answer = waiting.answer()
        assert (answer.status, answer.headers["connection"]) == (202, "close")
    assert_ended(door.ingest, 0, 2)


def test_sigterm_answers_who_had_connected(house):
    """The kernel had taken the connection, and ingest was still to."""
    door = Door(house, TOLLGATE_THREADS="2")
    address = door.ingest.address("listening")
    door.ingest.send_signal(signal.SIGSTOP)
    wires = [Wire(address) for _ in range(100)]
    for id, wire in enumerate(wires, 1):
        wire.send(request(webhook(id)))
    door.ingest.sigterm()
    door.ingest.send_signal(signal.SIGCONT)
    answers = [wire.answer() for wire in wires]
    assert [answer.status for answer in answers] == [202] * 100
    assert_ended(door.ingest, 0, 2)
    assert len(door.queue()) == 100


def test_sigterm_leaves_a_moment_to_who_has_a_connection(door):
    """A proxy sends its next request on a connection that it believes to be open."""
    with door.wire() as served, door.wire() as new:
        assert served.ask(request(webhook(1))).status == 202
        door.ingest.sigterm()
        door.ingest.wait_log("draining")
        for id, wire in ((2, served), (3, new)):
            answer = wire.ask(request(webhook(id)))
            assert (answer.status, answer.headers["connection"]) == (202, "close")
    assert_ended(door.ingest, 0, 1)


def test_sigterm_lets_a_request_come_in_whole(door):
    data = request(webhook(1))
    with door.wire() as slow:
        slow.send(data[:200])
        with door.wire() as other:
            assert other.ask(request(webhook(2))).status == 202, "by now the first part was read"
        wait_for(lambda: door.count("connections") == 1, what="the other to be gone")
        door.ingest.sigterm()
        door.ingest.wait_log("draining")
        assert door.ingest.get("/readyz").status_code == 503
        refused = wait_for(lambda: is_refused(door.ingest), what="new connections to be refused")
        answer = slow.ask(data[200:])
        assert refused and (answer.status, answer.headers["connection"], slow.rest()) == (202, "close", b"")
    assert_ended(door.ingest, 0, 2)
    assert door.queue() == ["2", "1"]


def is_refused(ingest):
    host, port = ingest.known_address().split(":")
    try:
        socket.create_connection((host, int(port)), 1).close()
    except OSError:
        return True
    return False


def test_a_second_sigterm_ends_it_at_once(door):
    with door.wire() as half:
        half.send(request(webhook(1))[:100])
        wait_for(lambda: door.count("connections") == 1, what="half a request")
        door.ingest.sigterm()
        door.ingest.wait_log("draining")
        door.ingest.sigterm()
        assert_ended(door.ingest, 1, 1)
    assert door.ingest.log_lines("second signal: exiting at once", level="warn")


def test_it_ends_with_redis_away(house):
    server = house.redis()
    server.kill9()
    ingest = house.ingest(server.url)
    ingest.wait_log("redis is not reachable")
    ingest.sigterm()
    assert_ended(ingest, 0, 2)


def test_no_acknowledged_booking_is_lost_by_a_restart(door):
    """Somebody sends all the time while ingest is restarted."""
    acknowledged, enough = [], threading.Event()
    address = door.ingest.address("listening")

    def send():
        id = 0
        while not enough.is_set():
            id += 1
            try:
                reply = door.http.post(f"http://{address}/webhook", data=webhook(id), timeout=5, headers={
                    "X-Cal-Signature-256": sign(webhook(id))})
                if reply.status_code == 202:
                    acknowledged.append(str(id))
            except OSError:
                time.sleep(0.01)

    sender = threading.Thread(target=send)
    sender.start()
    for _ in range(3):
        before = len(acknowledged)
        wait_for(lambda: len(acknowledged) > before + 20, what="bookings to be acknowledged")
        door.ingest.restart()
    before = len(acknowledged)
    wait_for(lambda: len(acknowledged) > before + 20, what="bookings to be acknowledged")
    enough.set()
    sender.join()
    assert set(acknowledged) <= set(door.queue())


# ---- SIGHUP ----

def logging_ingest(house, server, path, **env):
    """Ingest with a log file of its own."""
    program = Ingest(house.room("ingest"), server.url, "tollgate", {"TOLLGATE_LOG_FILE": str(path), **env})
    program.log_path = path
    return house.add(program)


def test_sighup_reopens_the_log(house, tmp_path):
    path = tmp_path / "ingest.log"
    door = Door(house, server=house.redis(), ingest=logging_ingest(house, house.servers[-1], path))
    refused = request(webhook(1), secret="wrong")
    with door.wire() as wire:
        assert wire.ask(refused).status == 401
        old = path.rename(tmp_path / "ingest.log.1")
        assert wire.ask(refused).status == 401
        assert old.read_text().count("webhook refused") == 2, "until the signal it writes on"
        before = old.read_text()
        door.ingest.send_signal(signal.SIGHUP)
        wait_for(lambda: path.exists() and "SIGHUP" in path.read_text(), what="a new log file")
        assert wire.ask(refused).status == 401
    assert path.read_text().count("webhook refused") == 1
    assert old.read_text() == before
    assert path.stat().st_mode & 0o007 == 0, "others may not read it"


def test_a_log_that_cannot_be_reopened_stays_in_use(house, tmp_path):
    house.allow_errors.append("the log file cannot be opened again")
    folder = tmp_path / "logs"
    folder.mkdir()
    door = Door(house, server=house.redis(), ingest=logging_ingest(house, house.servers[-1], folder / "ingest.log"))
    moved = folder.rename(tmp_path / "moved")
    door.ingest.log_path = moved / "ingest.log"
    door.ingest.send_signal(signal.SIGHUP)
    door.ingest.wait_log("the log file cannot be opened again; the old one stays in use")
    assert door.ask(webhook(1)).status == 202


def test_sighup_reloads_the_secret_file(house, tmp_path):
    house.allow_errors.append("the settings stay as they are")
    path = tmp_path / "secret"
    path.write_text("first\n")
    door = Door(house, WEBHOOK_SECRET="", WEBHOOK_SECRET_FILE=str(path), TOLLGATE_THREADS="4")

    def status_with(secret):
        """Of every thread."""
        return {door.ask(sample("PING"), secret=secret).status for _ in range(40)}

    def reload():
        before = len(door.ingest.log_lines("SIGHUP: log reopened, reloading"))
        door.ingest.send_signal(signal.SIGHUP)
        wait_for(lambda: len(door.ingest.log_lines("SIGHUP: log reopened, reloading")) > before, what="SIGHUP")

    assert status_with("first") == {200} and status_with("second") == {401}
    path.write_text("second,first\n")
    assert status_with("second") == {401}, "only the signal makes it read again"
    reload()
    wait_for(lambda: status_with("second") == {200}, what="the second secret to be taken")
    assert status_with("first") == {200}
    path.write_text("second")
    reload()
    wait_for(lambda: status_with("first") == {401}, what="the first secret to be refused")
    assert status_with("second") == {200}
    for broken in ["", "a,,b", " x"]:
        path.write_text(broken)
        reload()
        door.ingest.wait_log("the settings stay as they are", level="error")
        assert status_with("second") == {200}
    path.unlink()
    reload()
    wait_for(lambda: len(door.ingest.log_lines("the settings stay as they are")) == 4, what="the error")
    assert status_with("second") == {200}
    for secret in ("first", "second"):
        assert f"{secret}," not in door.ingest.log_text()


def test_sighup_does_not_disturb_requests(door):
    with door.wire() as half:
        data = request(webhook(1))
        half.send(data[:100])
        for id in range(2, 30):
            door.ingest.send_signal(signal.SIGHUP)
            assert door.ask(webhook(id)).status == 202
        assert half.ask(data[100:]).status == 202


# ---- Logs ----

class JsonIngest(Ingest):
    """Every line is JSON, strictly."""

    def log_lines(self, msg=None, **fields):
        text = self.log_path.read_bytes().decode("utf-8") if self.log_path.exists() else ""
        lines = [json.loads(line) for line in text.splitlines()]
        wanted = {**({} if msg is None else {"msg": msg}), **fields}
        return [line for line in lines if wanted.items() <= line.items()]


def json_door(house, **env):
    server = house.redis()
    env = {"TOLLGATE_LOG_FORMAT": "json", "TOLLGATE_LOG_LEVEL": "debug", **env}
    return Door(house, server=server, ingest=house.add(JsonIngest(house.room("json"), server.url, "tollgate", env)))


TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z")


def test_json_log_lines_are_json(house):
    door = json_door(house)
    triggers = ['a"b\\c', "line\nbreak\r\t\x01\x7f", "ключ", "é" * 40, "x" + "é" * 40, "😀" * 20, "{}", "=", "x" * 99]
    for trigger in triggers:
        assert door.ask(sample("PING", triggerEvent=trigger)).status == 200
    assert door.ask(webhook(1)).status == 202
    assert door.ask(b"false").status == 400
    assert door.ask(webhook(1), secret="wrong").status == 401
    lines = door.ingest.log_lines()
    for line in lines:
        assert TIME.fullmatch(line["time"])
        assert line["level"] in ("debug", "info", "warn", "error")
        assert line["program"] == "tollgate-ingest"
        assert line["msg"]
    logged = [line["trigger"] for line in lines if line["msg"] == "webhook ignored"]
    assert len(logged) == len(triggers)
    for seen, sent in zip(logged, triggers):  # a long one is cut, perhaps within a letter
        assert seen == sent or len(seen) > 10 and sent.startswith(seen.rstrip("\N{REPLACEMENT CHARACTER}"))
    assert door.ingest.log_lines("webhook not understood")[0]["size"] == 5, "a number is a number"


@pytest.mark.parametrize("size", [3300, 3400, 3500, 3600, 3700, 3800, 4200])
def test_a_json_line_that_is_too_long_is_cut_and_still_json(house, size):
    door = json_door(house, TOLLGATE_EVENT_TYPES=",".join(["7"] * (size // 2)))
    assert door.ingest.log_lines("settings")


def test_nobody_can_write_log_lines_of_their_own(door):
    forged = 'x\ntime=2026-01-01T00:00:00.000Z level=error program=tollgate-ingest msg="all is lost"'
    body = sample("PING", triggerEvent=forged[:47])
    assert door.ask(body).status == 200
    assert door.ask(b"false", headers={"X-Cal-Signature-256": "level=error\tmsg=x"}).status == 401
    assert door.ingest.log_lines(level="error") == []
    assert all(line["program"] == "tollgate-ingest" for line in door.ingest.log_lines())


@pytest.mark.parametrize("level, seen", [("debug", "debug info warn"), ("info", "info warn"), ("warn", "warn"),
                                         ("error", "")])
def test_the_log_level(house, level, seen):
    ports = {"TOLLGATE_LISTEN": f"127.0.0.1:{free_port()}", "TOLLGATE_ADMIN_LISTEN": f"127.0.0.1:{free_port()}"}
    ingest = house.ingest(house.redis().url, TOLLGATE_LOG_LEVEL=level, **ports)
    url = f"http://{ports['TOLLGATE_LISTEN']}/webhook"

    def status():
        try:
            return ingest.http.post(url, data=b"{}", timeout=5).status_code
        except OSError:
            assert ingest.is_running(), ingest.log_text()
    wait_for(lambda: status() == 401, what="an answer")
    body = sample("PING", triggerEvent="UNHEARD_OF")
    assert ingest.http.post(url, data=body, headers={"X-Cal-Signature-256": sign(body)}, timeout=5).status_code == 200
    assert {line["level"] for line in ingest.log_lines()} == set(seen.split())


# ---- Numbers ----

SAMPLE_LINE = re.compile(r'([a-z_]+)(\{(?:[a-z_]+="[^"\\]*"(?:,[a-z_]+="[^"\\]*")*)?\})? (\d+(?:\.\d+)?)')


def parse_metrics(text):
    """{family: (type, {sample: value})}, strictly by the text format 0.0.4."""
    assert text.endswith("\n")
    families = {}
    current = None
    for line in text.splitlines():
        if line.startswith("# HELP "):
            current = line.split()[2]
            assert current not in families, "a family is in one piece"
            families[current] = [None, {}]
        elif line.startswith("# TYPE "):
            _, _, name, kind = line.split()
            assert name == current and families[name][0] is None and kind in ("counter", "gauge", "histogram")
            families[name][0] = kind
        else:
            name, labels, value = SAMPLE_LINE.fullmatch(line).groups()
            base = re.sub(r"_(bucket|sum|count)$", "", name) if families[current][0] == "histogram" else name
            assert base == current
            assert name + (labels or "") not in families[current][1], "twice"
            families[current][1][name + (labels or "")] = float(value)
    return families


def test_metrics_parse_and_count(door):
    for body, options in [(webhook(1), {}), (webhook(1), {}), (webhook(2), {}), (sample("PING"), {}), (b"false", {}),
                          (sample("BOOKING_PAID"), {}), (webhook(3), {"secret": None}), (webhook(3), {"secret": "x"}),
                          (sample("BOOKING_CANCELLED"), {}), (webhook(3), {"path": "/other"})]:
        door.ask(body, **options)
    reply = door.ingest.get("/metrics")
    assert reply.headers["content-type"].startswith("text/plain; version=0.0.4")
    families = parse_metrics(reply.text)
    assert families["tollgate_ingest_webhooks_total"] == ["counter", {
        f'tollgate_ingest_webhooks_total{{result="{result}"}}': count for result, count in {
            "queued": 2, "no_work": 2, "spooled": 0, "ping": 1, "ignored_trigger": 1, "other_event_type": 0, "malformed": 1,
            "unsigned": 1, "wrong_signature": 1, "unavailable": 0, "bad_request": 1}.items()}]
    events = families["tollgate_ingest_events_total"][1]
    assert events['tollgate_ingest_events_total{trigger="requested"}'] == 3
    assert events['tollgate_ingest_events_total{trigger="cancelled"}'] == 1
    assert sum(events.values()) == 4
    kind, histogram = families["tollgate_ingest_ack_seconds"]
    buckets = [value for name, value in histogram.items() if "_bucket" in name]
    assert kind == "histogram" and buckets == sorted(buckets) and buckets[-1] == 9
    assert histogram['tollgate_ingest_ack_seconds_bucket{le="+Inf"}'] == 9
    count = next(value for name, value in histogram.items() if "_count" in name)
    total = next(value for name, value in histogram.items() if "_sum" in name)
    assert count == 9 and 0 < total < 9
    assert families["tollgate_ingest_connections"][0] == "gauge"


def test_numbers_of_all_threads_are_added_up(house):
    door = Door(house, TOLLGATE_THREADS="8")
    for id in range(1, 201):
        door.ask(webhook(id))
    assert door.count('webhooks_total{result="queued"}') == 200
    with door.wire() as first, door.wire():
        first.ask(request(webhook(1)))
        wait_for(lambda: door.count("connections") == 2, what="two open connections")
    wait_for(lambda: door.count("connections") == 0, what="no open connections")
