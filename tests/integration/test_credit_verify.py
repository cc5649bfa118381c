"""scripts/credit verify: what it names, what it must not name, and what it books."""

import argparse
import itertools
import json
import sys
import time

import pytest

from harness import ROOT
from library import DEFAULT_POLICY, now_ms

sys.path.insert(0, str(ROOT / "scripts" / "lib"))
from tollgate import verify  # noqa: E402
from tollgate.link import Link  # noqa: E402

ANN, BOB, EVE = "ann@example.com", "bob@example.com", "eve@example.com"


def make_busy(library):
    """Two members with all kinds of movements; 5 is held, 4 charged."""
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


@pytest.fixture
def busy(library):
    return make_busy(library)


@pytest.fixture
def spoilt(bare_library):
    """The same, to be spoilt: nothing is checked after the test."""
    bare_library.install(DEFAULT_POLICY, "default")
    return make_busy(bare_library)


@pytest.fixture
def link(bare_library, shared_redis):
    return Link(argparse.Namespace(redis=shared_redis.url, namespace=bare_library.namespace))


def differences(done):
    return json.loads(done.stdout)["differences"]


def test_good_books_verify(credit, busy):
    assert "2 accounts verified, 0 differences" in credit("verify").stdout
    assert "1 accounts verified, 0 differences" in credit("verify", ANN).stdout


@pytest.mark.parametrize("tamper, says", [
    (lambda lib: lib.credit(ANN, balance=100), "set it by hand"),
    (lambda lib: lib.credit(ANN, held=100), "held is 100"),
    (lambda lib: lib.set_booking(5, held=0), "the ledger says 1 and 0"),
    (lambda lib: lib.set_booking(4, charged=7), "was charged 7"),
    (lambda lib: lib.set_booking(4, charged="much"), "was charged much"),
    (lambda lib: lib.client.delete(lib.key("booking:5")), "no such booking"),
    (lambda lib: lib.client.xtrim(lib.key("ledger:" + ANN), maxlen=3, approximate=False), "does not follow"),
    (lambda lib: lib.client.xadd(lib.key("ledger:" + BOB), {"kind": "gift", "amount": "1"}), "cannot be read"),
    (lambda lib: lib.client.delete(lib.key("credit:" + BOB)), "balance is 0"),
    (lambda lib: lib.credit(ANN, balance="much"), "no whole number"),
    (lambda lib: lib.client.set(lib.key("credit:" + EVE), "5"), "cannot be read: WRONGTYPE"),
])
def test_what_was_tampered_with_is_named(credit, spoilt, tamper, says):
    tamper(spoilt)
    assert says in credit("verify", code=1).stdout
    assert differences(credit("verify", "--json", code=1))


@pytest.mark.parametrize("account", [ANN, EVE, ""])
@pytest.mark.parametrize("fields", [{"held": 1}, {"charged": 1}, {"held": 1, "state": "accepting"}])
def test_a_record_with_credit_that_its_ledger_never_moved(credit, spoilt, account, fields):
    """Also of somebody who has no account at all."""
    spoilt.set_booking(99, **({"account": account} if account else {}), **fields)
    [found] = differences(credit("verify", "--json", code=1))
    assert (found["account"], found["booking"]) == (account, "99")
    credit("verify", "--book", code=1)
    assert not spoilt.client.exists(spoilt.key("credit:" + EVE)), "it is not theirs to be booked"


@pytest.mark.parametrize("book", [lambda lib, credit: lib.grant(ANN, 1), lambda lib, credit: credit("verify", "--book", code=1)])
def test_held_credit_that_no_booking_holds(credit, spoilt, book):
    """Set by hand and booked as such, it is in order with the ledger."""
    spoilt.credit(ANN, held=4)
    book(spoilt, credit)
    [found] = differences(credit("verify", "--json", code=1))
    assert found["account"] == ANN and "held is 4, but its bookings hold 1" in found["text"]
    balance, held, _ = spoilt.purses(ANN)
    spoilt.credit(ANN, held=1, balance=balance + held - 1)
    credit("verify", "--book")
    credit("verify")


def test_verify_books_what_was_set_by_hand(credit, busy):
    busy.credit(ANN, balance=100)
    credit("verify", code=1)
    credit("verify", "--book", "--by", "nora")
    credit("verify")
    assert busy.ledger(ANN)[-1]["by"] == "redis-cli"


@pytest.mark.parametrize("arguments", [["--book"], ["--book", BOB]])
def test_verify_books_an_account_whose_hash_was_deleted(credit, busy, arguments):
    busy.client.delete(busy.key("credit:" + BOB))
    credit("verify", *arguments)
    assert busy.movements(BOB)[-1] == ("adjust", -2)
    assert busy.purses(BOB) == (0, 0, 0)


def test_what_cannot_be_booked_is_named_and_the_others_are_booked(credit, spoilt):
    spoilt.credit(ANN, balance=100)
    spoilt.credit("Eve@example.com", balance=3)
    found = differences(credit("verify", "--book", "--json", code=1))
    assert {one["account"] for one in found} == {"Eve@example.com"}
    assert any("cannot be booked: an account is a name" in one["text"] for one in found)


# ---- While bookings are being decided ----

class BusyLink(Link):
    """Something moves after every answer."""

    def __init__(self, options, move):
        super().__init__(options)
        self.move = move

    def bulk(self, commands, atomic=False):
        answers = super().bulk(commands, atomic)
        self.move()
        return answers


@pytest.mark.parametrize("share", [1, 3, 10000])
def test_movements_while_it_reads_are_no_differences(library, shared_redis, monkeypatch, share):
    """Of one account, and with pages so small that each needs many: every page meets a newer state."""
    monkeypatch.setattr(verify, "SHARE", share)
    library.grant(ANN, 1000)
    ids = itertools.count()
    held = []

    def move():
        if next(ids) < 60:
            library.record(next(ids))
            held.extend(library.take().jobs)
            if len(held) > 2:
                library.settle(held.pop(0), "accepted" if next(ids) % 3 else "cancelled")

    for _ in range(10):
        move()
    link = BusyLink(argparse.Namespace(redis=shared_redis.url, namespace=library.namespace), move)
    assert verify.verify(link) == (1, [])
    assert next(ids) > 40, "nothing moved"


def test_a_long_ledger_is_read_in_pages(link, spoilt, monkeypatch):
    monkeypatch.setattr(verify, "SHARE", 2)
    assert verify.verify(link) == (2, [])
    spoilt.set_booking(5, held=0)
    assert [(one.account, one.booking) for one in verify.verify(link)[1]] == [(ANN, "5")]


def test_many_accounts_are_verified_fast(credit, bare_library):
    """Eight entries each. 100 000 of them are verified in less than half a minute: scripts/credit verify,
    after this with range(100000)."""
    bare_library.install(DEFAULT_POLICY, "default")
    pipe = bare_library.client.pipeline(transaction=False)
    for number in range(2000):
        for _ in range(8):
            pipe.fcall("tollgate_grant", 1, bare_library.key("queue"), f"m{number}@example.com", 1, "", "nora", "")
        if number % 500 == 499:
            pipe.execute()
    began = time.monotonic()
    assert "2000 accounts verified, 0 differences" in credit("verify").stdout
    assert time.monotonic() - began < 10
