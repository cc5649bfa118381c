"""One spoiled booking or account stops itself only: everybody else's bookings are still taken."""

import pytest

from library import now_ms

ANN = "ann@example.com"
BOB = "bob@example.com"


@pytest.fixture
def two(library):
    """Somebody unspoiled waits behind; what a test spoils it also mends."""
    library.credit(ANN, balance=5)
    library.credit(BOB, balance=5)
    return library


def assert_bob_is_served(library):
    library.record("bobs", account=BOB)
    assert "bobs" in library.take().ids


@pytest.mark.parametrize("entry", [
    {"kind": "grant", "amount": "5"},
    {"kind": "grant", "amount": "5", "balance": "5 credits", "held": "0", "spent": "0"},
])
def test_a_ledger_entry_that_was_written_by_hand(two, entry):
    """XADD at redis-cli: nobody can know the purses it should have."""
    two.client.xadd(two.key("ledger:" + ANN), entry)
    two.record(1)
    try:
        assert_bob_is_served(two)
        assert two.dead() == ["1"]
        assert ANN in two.booking()["last_error"]
    finally:
        two.client.delete(two.key("ledger:" + ANN))


def test_a_booking_without_an_account_that_the_host_accepted(two):
    """Cancelled before we heard of it, brought back by the host, cancelled again."""
    base, nobody = now_ms(), {"account": None, "email": None}
    two.record(1, "cancelled", base, **nobody)
    two.record(1, "created", base + 1, **nobody)
    two.settle(two.take_one(), "accepted")
    two.record(1, "cancelled", base + 2, **nobody)
    assert_bob_is_served(two)
    assert two.state() == "cancelled"


def test_a_booking_key_of_the_wrong_type(two):
    two.client.set(two.key("booking:1"), "oops")
    two.push("1")
    try:
        assert_bob_is_served(two)
    finally:
        two.client.delete(two.key("booking:1"))
