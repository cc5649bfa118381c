"""Which of several webhook secrets is still in use: as a counter of each ingest, and in Redis as all of them know it."""

import hashlib
import signal
import time

import pytest

from harness import SECRET, now_iso, sample, wait_for
from library import now_ms

OLD = "the old one"


def name(secret):
    return hashlib.sha256(secret.encode()).hexdigest()[:8]


def uses(gate):
    return {key: int(value) for key, value in gate.client.hgetall(gate.key("secrets")).items()}


def counts(gate):
    """Position → webhooks."""
    start = 'tollgate_ingest_signatures_total{secret="'
    return {key[len(start):-2]: value for key, value in gate.ingest.metrics().items() if key.startswith(start)}


def ping(gate, secret, times=1):
    for _ in range(times):
        assert gate.post(sample("PING"), secret=secret).status_code == 200


def test_each_secret_is_counted_and_its_last_use_kept(make_gate):
    gate = make_gate(ingest_env={"WEBHOOK_SECRET": f"{SECRET},{OLD},never used"})
    assert counts(gate) == {"1": 0, "2": 0, "3": 0} and uses(gate) == {}
    since = now_ms()
    ping(gate, SECRET, 3)
    ping(gate, OLD)
    assert gate.post(sample("PING"), secret="a stranger's").status_code == 401
    assert counts(gate) == {"1": 3, "2": 1, "3": 0}
    wait_for(lambda: set(uses(gate)) == {name(SECRET), name(OLD)}, what="the uses in Redis")
    assert all(since <= used <= now_ms() for used in uses(gate).values())


def test_it_is_told_once_a_minute_however_much_comes(make_gate):
    gate = make_gate()
    calls = lambda: gate.client.info("commandstats").get("cmdstat_fcall", {})
    ping(gate, SECRET)
    wait_for(lambda: uses(gate), what="the first use")
    first = uses(gate)
    before = calls()["calls"]
    until = time.monotonic() + 2.5
    while time.monotonic() < until:
        ping(gate, SECRET)
    assert uses(gate) == first
    assert calls()["calls"] - before < 15, "the worker's, and none for each webhook"


def test_another_secret_after_sighup(make_gate, tmp_path):
    path = tmp_path / "secret"
    path.write_text(f"{OLD},{SECRET}\n")
    gate = make_gate(ingest_env={"WEBHOOK_SECRET": "", "WEBHOOK_SECRET_FILE": str(path)})
    ping(gate, OLD)
    assert counts(gate) == {"1": 1, "2": 0}
    path.write_text(f"{SECRET}\n")
    gate.ingest.send_signal(signal.SIGHUP)
    wait_for(lambda: set(counts(gate)) == {"1"}, what="the new secrets")
    ping(gate, SECRET)
    wait_for(lambda: set(uses(gate)) == {name(OLD), name(SECRET)}, what="the uses in Redis")


def test_a_use_while_redis_is_away_is_told_later(make_gate):
    gate = make_gate(workers=0, appendonly=True)
    gate.redis.kill9()
    wait_for(lambda: not gate.ingest.is_ready(), what="ingest to notice")
    body = sample("BOOKING_REQUESTED", createdAt=now_iso())
    assert gate.post(body).status_code == 202
    assert counts(gate) == {"1": 1}
    gate.redis.restart()
    gate.client = gate.redis.client()
    wait_for(lambda: set(uses(gate)) == {name(SECRET)}, what="the use in Redis")


def test_many_secrets_share_the_last_number(make_gate):
    secrets = [f"number {i}" for i in range(1, 11)]
    gate = make_gate(workers=0, ingest_env={"WEBHOOK_SECRET": ",".join(secrets)})
    for secret in secrets[7:]:
        ping(gate, secret)
    told = counts(gate)
    assert set(told) == {*"12345678", "more"} and told["8"] == 1 and told["more"] == 2


def test_without_secrets_there_are_no_numbers(make_gate):
    gate = make_gate(workers=0, ingest_env={"WEBHOOK_SECRET": "", "TOLLGATE_ALLOW_UNSIGNED": "yes"})
    ping(gate, None)
    assert counts(gate) == {}


# ---- The library ----

def test_the_newest_use_of_all_counts(library):
    now = now_ms()
    assert library.secret("0123abcd", now - 5000) == now - 5000
    assert library.secret("0123abcd", now - 9000) == now - 5000, "another ingest tells of an older one"
    assert library.client.hgetall(library.key("secrets")) == {"0123abcd": str(now - 5000)}
    assert library.secret("0123abcd", now + 10 ** 6) < now + 10 ** 5, "a clock that is ahead"


def test_secrets_that_are_long_gone_make_room(library):
    for i in range(40):
        library.secret(f"{i:08x}", now_ms() - 10 ** 6 + i)
    kept = library.client.hkeys(library.key("secrets"))
    assert len(kept) == 32 and f"{7:08x}" not in kept and f"{39:08x}" in kept


@pytest.mark.parametrize("bad", ["", "0123abc", "0123abcde", "0123ABCD", "0123abcx", "-123abcd"])
def test_a_name_is_eight_digits(library, bad):
    with pytest.raises(Exception, match="named by 8 hex digits"):
        library.secret(bad, 1)
    assert not library.client.exists(library.key("secrets"))
