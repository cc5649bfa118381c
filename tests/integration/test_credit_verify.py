"""scripts/credit verify."""

import json

import pytest

from library import now_ms

ANN, BOB = "ann@example.com", "bob@example.com"


def as_json(done):
    return json.loads(done.stdout)


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
