"""--health: what Docker's HEALTHCHECK and scripts ask a program that runs."""

import socket
import subprocess

import pytest

from harness import BUILD, wait_for


def ask(daemon, address=None):
    """As an image does: the same program with the same settings, but for the port that it found."""
    settings = {**daemon.env, "TOLLGATE_ADMIN_LISTEN": address or daemon.admin[len("http://"):]}
    return subprocess.run([BUILD / daemon.name, "--health"], env=settings, timeout=20, capture_output=True,
                          encoding="utf-8")


def test_both_are_ready_and_say_so(make_gate):
    gate = make_gate()
    for daemon in (gate.ingest, gate.worker):
        asked = ask(daemon)
        assert (asked.returncode, asked.stdout, asked.stderr) == (0, f"{daemon.name}: ready\n", "")


def test_without_redis_ingest_has_its_spool_and_a_worker_nothing(make_gate):
    gate = make_gate()
    gate.redis.kill9()
    wait_for(lambda: ask(gate.worker).returncode == 1, what="the worker to be not ready")
    assert "redis" in ask(gate.worker).stdout
    wait_for(lambda: "spool" in ask(gate.ingest).stdout, what="ingest to use its spool")
    assert ask(gate.ingest).returncode == 0
    gate.redis.restart()
    wait_for(lambda: ask(gate.worker).returncode == 0, what="the worker to be ready again")


def test_one_that_does_not_run(make_gate):
    gate = make_gate()
    address = gate.worker.admin[len("http://"):]
    gate.worker.stop()
    asked = ask(gate.worker, address)
    assert (asked.returncode, asked.stderr) == (1, "")
    assert f"nothing answers at the admin address {address}" in asked.stdout


def test_any_port_cannot_be_asked(make_gate):
    asked = ask(make_gate().worker, "127.0.0.1:0")
    assert asked.returncode == 1 and "port 0" in asked.stdout


def test_one_that_hangs_is_not_waited_for(make_gate):
    gate = make_gate()
    gate.worker.send_signal(19)
    try:
        assert "within 2 s" in ask(gate.worker).stdout
    finally:
        gate.worker.send_signal(18)


@pytest.mark.parametrize("host, asked_at", [("0.0.0.0", "127.0.0.1"), ("[::]", "::1")])
def test_an_address_for_all_is_asked_at_loopback(make_gate, host, asked_at):
    gate = make_gate()
    family = socket.AF_INET6 if ":" in asked_at else socket.AF_INET
    with socket.create_server((asked_at, 0), family=family) as server:
        server.settimeout(10)
        address = f"{host}:{server.getsockname()[1]}"
        asking = subprocess.Popen([BUILD / "tollgate-worker", "--health"], stdout=subprocess.PIPE, encoding="utf-8",
                                  env={**gate.worker.env, "TOLLGATE_ADMIN_LISTEN": address})
        with server.accept()[0] as connection:
            assert connection.recv(1000).startswith(b"GET /readyz ")
            connection.sendall(b"HTTP/1.1 503 Unavailable\r\nContent-Length: 8\r\n\r\nbusy\nno\n")
            assert asking.communicate(timeout=10) == ("tollgate-worker: busy\n", None)
            assert asking.returncode == 1


def test_a_wrong_setting_is_2(make_gate):
    asked = ask(make_gate().worker, "localhost")
    assert asked.returncode == 2 and "TOLLGATE_ADMIN_LISTEN" in asked.stderr
