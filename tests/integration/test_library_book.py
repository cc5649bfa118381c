"""Grants, debits and the fields of an account, each a step of the library."""

import pytest
import redis

ANN = "ann@example.com"
MOST = 2**53 - 1


def test_a_grant_makes_an_account(library):
    assert library.grant(ANN, 5, note="June dues") == ["granted", "5", "0", "0", "new"]
    assert library.grant(ANN, 2) == ["granted", "7", "0", "0", "old"]
    entry = library.ledger()[0]
    assert (entry["kind"], entry["amount"], entry["by"], entry["note"]) == ("grant", "5", "nora", "June dues")


def test_the_same_key_grants_once(library):
    assert library.grant(ANN, 5, key="invoice-2026-11")[0] == "granted"
    assert library.grant(ANN, 5, key="invoice-2026-11") == ["known", "5", "0", "0", "old"]
    assert library.grant("bob@example.com", 5, key="invoice-2026-11")[0] == "granted"
    assert library.ledger()[0]["key"] == "invoice-2026-11"
    with pytest.raises(redis.ResponseError, match="invoice-2026-11.*grant 5"):
        library.grant(ANN, 6, key="invoice-2026-11")
    assert library.purses() == (5, 0, 0)


def test_a_debit_is_an_adjustment(library):
    library.grant(ANN, 5)
    assert library.debit(ANN, 2, key="k") == ["granted", "3", "0", "0", "old"]
    assert library.debit(ANN, 2, key="k")[0] == "known"
    assert library.movements() == [("grant", 5), ("adjust", -2)]
    with pytest.raises(redis.ResponseError, match="is 3, less than 4"):
        library.debit(ANN, 4)
    assert library.debit(ANN, 4, overdraw=True)[1] == "-1"
    with pytest.raises(redis.ResponseError, match="no account bob"):
        library.debit("bob@example.com", 1)


def test_what_was_set_by_hand_is_booked_first(library):
    library.credit(balance=5)
    library.grant(ANN, 1)
    assert library.movements() == [("adjust", 5), ("grant", 1)]
    library.credit(balance=2)
    library.member(ANN)
    assert library.movements()[-1] == ("adjust", -4)


def test_purses_that_were_exchanged_by_hand_are_booked(library):
    """The sum stays, the ledger must tell it all the same."""
    library.grant(ANN, 5)
    library.credit(balance=2, held=3)
    library.member(ANN)
    assert library.movements() == [("grant", 5), ("adjust", 0)]
    assert [library.ledger()[-1][purse] for purse in ("balance", "held", "spent")] == ["2", "3", "0"]
    library.member(ANN)
    assert len(library.ledger()) == 2


def test_an_account_whose_hash_was_deleted(library):
    """What it had is gone, and the ledger says so; the hash alone being back would not balance."""
    library.grant(ANN, 5)
    library.client.delete(library.key("credit:" + ANN))
    assert library.member(ANN) == ["granted", "0", "0", "0", "new"]
    assert library.movements() == [("grant", 5), ("adjust", -5)]
    library.client.delete(library.key("credit:" + ANN))
    library.grant(ANN, 2)
    assert library.movements()[2:] == [("grant", 2)]


def test_a_member_with_fields(library):
    assert library.member(ANN, 3, key="import-1", tier="gold", expires="2026-12-31")[4] == "new"
    assert library.member(ANN, 3, key="import-1", tier="silver")[0] == "known"
    fields = library.client.hgetall(library.key("credit:" + ANN))
    assert fields == {"balance": "3", "held": "0", "spent": "0", "tier": "silver", "expires": "2026-12-31"}


@pytest.mark.parametrize("amount, says", [(0, "positive"), (-5, "use debit"), ("1.5", "whole number"), ("much", "whole number"),
                                          ("1e3", "whole number"), (" 5", "whole number"), (2**53, "whole number"),
                                          ("", "whole number"), ("nan", "whole number")])
def test_wrong_grants_change_nothing(library, amount, says):
    library.grant(ANN, 1)
    before = library.snapshot()
    with pytest.raises(redis.ResponseError, match=says):
        library.grant(ANN, amount)
    assert library.snapshot() == before


def test_a_grant_beyond_what_a_number_holds(library):
    library.grant(ANN, MOST)
    with pytest.raises(redis.ResponseError, match="beyond what a number can hold"):
        library.grant(ANN, 1)
    assert library.purses() == (MOST, 0, 0)


@pytest.mark.parametrize("account", ["", "Ann@example.com", "a b", "a\n", "a" * 321])
def test_wrong_accounts(library, account):
    with pytest.raises(redis.ResponseError, match="an account is"):
        library.grant(account, 1)


@pytest.mark.parametrize("fields, says", [
    ({str(i): "x" for i in range(101)}, "at most 100 fields"), ({str(i): "x" for i in range(8000)}, "at most 100 fields"),
    ({"a": "x" * 65536}, "at most 65536"), ({"a" * 65536: "x"}, "at most 65536"),
])
def test_too_many_fields_change_nothing(library, fields, says):
    before = library.snapshot()
    with pytest.raises(redis.ResponseError, match=says):
        library.member(ANN, 1, **fields)
    assert library.snapshot() == before


def test_as_many_fields_as_can_be(library):
    fields = {f"{i:03d}": "x" * 652 for i in range(100)}
    assert library.member(ANN, 1, **fields)[0] == "granted"
    assert len(library.client.hgetall(library.key("credit:" + ANN))) == 103


def test_a_field_without_a_value(library):
    with pytest.raises(redis.ResponseError, match="tier.*no value"):
        library.call("member", ANN, 1, "", "nora", "", "tier")
    assert library.purses() is None


@pytest.mark.parametrize("function", ["debit", "member"])
@pytest.mark.parametrize("amount, says", [(-5, "negative|positive"), (2**53, "whole number"), (-2**53, "whole number"),
                                          ("9" * 400, "whole number"), ("-0x1", "whole number")])
def test_amounts_that_are_none(library, function, amount, says):
    library.grant(ANN, 1)
    before = library.snapshot()
    with pytest.raises(redis.ResponseError, match=says):
        library.call(function, ANN, amount, "", "nora", "")
    assert library.snapshot() == before


def test_a_debit_beyond_what_a_number_holds(library):
    library.grant(ANN, 1)
    assert library.debit(ANN, MOST, overdraw=True)[1] == str(1 - MOST)
    library.debit(ANN, 1, overdraw=True)
    with pytest.raises(redis.ResponseError, match="beyond what a number can hold"):
        library.debit(ANN, 1, overdraw=True)
    assert library.purses() == (-MOST, 0, 0)


@pytest.mark.parametrize("field", ["balance", "held", "spent", ""])
def test_purses_are_no_fields(library, field):
    with pytest.raises(redis.ResponseError, match="no field"):
        library.member(ANN, 1, **{field: "9"})
    assert library.purses() is None
