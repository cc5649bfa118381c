"""rediss://: what is encrypted is of use only to the Redis that was meant. Debian 12's hiredis has no TLS; there
the programs say so, and only the scripts are tested."""

import os
import subprocess

import pytest

from certificates import Authority
from harness import BUILD, ROOT, SECRET, Gate, free_port
from library import load_library
from outcomes import ANN

def has_tls():
    program = BUILD / "tollgate-ingest"
    return program.exists() and subprocess.run([program, "--check"], env={"REDIS_URL": "rediss://127.0.0.1", "WEBHOOK_SECRET": SECRET},
                                               capture_output=True, check=False).returncode == 0


programs = pytest.mark.skipif(not has_tls(), reason="this hiredis has no TLS")

REFUSALS = {
    "stranger": "certificate",
    "expired": "expired",
    "elsewhere": "mismatch",
    "plain": "is that port one for TLS?",
}


@pytest.fixture(scope="module")
def authority(tmp_path_factory):
    return Authority(tmp_path_factory.mktemp("certificates"))


@pytest.fixture
def secure(house, authority):
    """secure(certificate and key) → a Redis whose `secure_url` is TLS; None: it speaks none on that port."""
    def make(pair):
        port = free_port()
        certificate, key = pair
        server = house.redis(arguments=["--tls-port", str(port), "--tls-cert-file", str(certificate), "--tls-key-file", str(key),
                                        "--tls-auth-clients", "no"])
        server.secure_url = f"rediss://localhost:{port}/0"
        return server
    return make


@pytest.fixture
def wrong(request, house, authority, secure, tmp_path):
    """A URL of a Redis that is not to be spoken to."""
    if request.param == "stranger":
        return secure(Authority(tmp_path, "stranger").issue("redis", "DNS:localhost")).secure_url
    if request.param == "expired":
        return secure(authority.issue("expired", "DNS:localhost", days=0)).secure_url
    if request.param == "elsewhere":
        return secure(authority.issue("elsewhere", "DNS:redis.example.com,IP:127.0.0.2")).secure_url
    return f"rediss://localhost:{house.redis().port}/0"


every_wrong = pytest.mark.parametrize("wrong", REFUSALS, indirect=True)


def script(url, authority, *command):
    env = {**os.environ, "REDIS_URL": url, "SSL_CERT_FILE": str(authority.certificate)}
    return subprocess.run([ROOT / "scripts" / command[0], *command[1:]], env=env, capture_output=True, text=True, timeout=60,
                          stdin=subprocess.DEVNULL, check=False)


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1"])
def test_scripts_speak_tls(secure, authority, host):
    server = secure(authority.issue("redis", "DNS:localhost,IP:127.0.0.1"))
    load_library(server.client())
    done = script(server.secure_url.replace("localhost", host), authority, "credit", "grant", ANN, "5")
    assert done.returncode == 0 and "balance 5" in done.stdout, done.stderr


@pytest.mark.parametrize("wrong", sorted({*REFUSALS} - {"plain"}), indirect=True)  # redis-py waits for a minute there
def test_scripts_refuse_another_redis(wrong, authority):
    done = script(wrong, authority, "credit", "grant", ANN, "5")
    assert done.returncode == 3 and "cannot reach Redis" in done.stderr and "Traceback" not in done.stderr


@programs
@pytest.mark.parametrize("host", ["localhost", "127.0.0.1"])
def test_bookings_are_decided_over_tls(house, secure, authority, host):
    server = secure(authority.issue("redis", "DNS:localhost,IP:127.0.0.1"))
    url = server.secure_url.replace("localhost", host)
    trust = {"REDIS_URL": url, "SSL_CERT_FILE": str(authority.certificate)}
    gate = Gate(house, server=server, ingest_env=trust, worker_env=trust)
    gate.credit(ANN, balance=100)
    for booking in gate.fake.book(ANN, count=50)["bookings"]:
        assert gate.wait_settled(booking["id"])["state"] == "accepted"
    server.kill9()
    server.restart()
    gate.credit(ANN, balance=1)
    assert gate.wait_settled(gate.fake.book(ANN)["id"])["state"] == "accepted"


@programs
@every_wrong
@pytest.mark.parametrize("program", ["ingest", "worker"])
def test_programs_refuse_another_redis_and_say_why(house, authority, wrong, program, request):
    trust = {"SSL_CERT_FILE": str(authority.certificate)}
    started = house.ingest(wrong, **trust) if program == "ingest" else house.worker(wrong, "http://127.0.0.1:9/v2", **trust)
    reason = started.wait_log("redis is not reachable")["reason"]
    kind = request.node.callspec.params["wrong"]
    assert REFUSALS[kind] in reason, reason
    assert kind == "plain" or "localhost is refused" in reason and "SSL_CERT_FILE" in reason
    assert not started.is_ready()


@programs
def test_an_authority_that_nobody_named_is_not_trusted(house, secure, authority):
    server = secure(authority.issue("redis", "DNS:localhost"))
    assert "certificate" in house.ingest(server.secure_url).wait_log("redis is not reachable")["reason"]
