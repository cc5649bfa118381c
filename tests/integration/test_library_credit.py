"""Accounts and ledgers: every change has an entry, and the entries explain every balance."""

import pytest

from library import now_ms

ANN = "ann@example.com"
MOST = 2**53 - 1


def hold(library, id_=1):
    library.record(id_)
    return library.take_one()


# ---- Entries ----

def test_each_movement_is_an_entry(library):
    library.credit(balance=5)
    library.settle(hold(library, 1), "accepted")
    library.settle(hold(library, 2), "gone")
    library.record(1, "cancelled", now_ms() + 5)
    library.take()
    told = [(e["kind"], e["amount"], e["booking"], e["balance"], e["held"], e["spent"]) for e in library.ledger()]
    assert told == [
        ("adjust", "5", "", "5", "0", "0"),
        ("hold", "1", "1", "4", "1", "0"),
        ("capture", "1", "1", "4", "0", "1"),
        ("hold", "1", "2", "3", "1", "1"),
        ("release", "1", "2", "4", "0", "1"),
        ("refund", "1", "1", "5", "0", "0"),
    ]
    assert all(set(e) == {"kind", "amount", "booking", "balance", "held", "spent", "by", "note"}
               for e in library.ledger())
    assert [e["by"] for e in library.ledger()] == ["redis-cli"] + ["tollgate"] * 5


def test_the_operators_fields_stay(library):
    library.credit(balance=5, tier="gold", note="10^15 is 1000000000000000")
    library.settle(hold(library), "accepted")
    fields = library.client.hgetall(library.key("credit:" + ANN))
    assert (fields["tier"], fields["note"]) == ("gold", "10^15 is 1000000000000000")


def test_a_policy_may_give_credit_to_somebody_unknown(library):
    library.install_answer("{ accept = true, cost = 2, reason = 'on the house' }")
    library.record(1)
    library.record(2)
    jobs = library.take().jobs
    assert library.purses() == (-4, 4, 0)
    library.settle(jobs[0], "accepted")
    library.settle(jobs[1], "cancelled")
    assert library.purses() == (-2, 0, 2)


def test_odd_names_of_accounts(library):
    names = ["o'hara+x@example.com", "{x}@example.com", "a:b*c?[d]@example.com", "köln@example.com"]
    for number, name in enumerate(names):
        library.credit(name, balance=1)
        library.record(number, account=name)
    assert [job.account for job in library.take().jobs] == names
    assert [library.purses(name) for name in names] == [(0, 1, 0)] * 4


# ---- Changed by hand ----

def test_what_was_changed_by_hand_becomes_an_entry(library):
    library.credit(balance=5)
    job = hold(library)
    library.client.hincrby(library.key("credit:" + ANN), "balance", 3)
    library.settle(job, "accepted")
    assert library.movements() == [("adjust", 5), ("hold", 1), ("adjust", 3), ("capture", 1)]
    library.credit(balance=2)
    hold(library, 2)
    assert library.movements()[-2:] == [("adjust", -5), ("hold", 1)]
    assert library.purses() == (1, 1, 1)


def test_an_account_made_with_all_purses_by_hand(library):
    library.credit(balance=5, held=2, spent=7)
    hold(library)
    assert library.movements() == [("adjust", 14), ("hold", 1)]


def test_a_balance_moved_between_purses_by_hand_is_an_entry_of_nothing(library):
    library.credit(balance=5)
    job = hold(library)
    library.credit(balance=3, spent=1)
    library.settle(job, "accepted")
    assert library.purses() == (3, 0, 2)
    assert library.movements() == [("adjust", 5), ("hold", 1), ("adjust", 0), ("capture", 1)]


def test_an_account_deleted_while_it_holds(library):
    library.credit(balance=5)
    job = hold(library)
    library.client.delete(library.key("credit:" + ANN))
    assert library.settle(job, "cancelled") == ["settled", "cancelled"]
    assert library.movements() == [("adjust", 5), ("hold", 1), ("adjust", -5), ("release", 1)]


def test_a_hand_made_negative_balance_is_a_number(library):
    library.credit(balance=-3)
    assert hold(library).goal == "reject"


# ---- Unreadable ----

UNREADABLE = ["many", "", "1.5", "5 credits", "nan", "inf", "1e300", str(2**53), "-" + str(2**53)]


@pytest.mark.parametrize("purse", ["balance", "held", "spent"])
@pytest.mark.parametrize("text", UNREADABLE)
def test_an_unreadable_purse_parks_the_decision(bare_library, purse, text):
    library = bare_library
    library.install_answer("{ accept = true, cost = 1, reason = 'fine' }")
    library.credit(**{"balance": 5, purse: text})
    library.credit("bob@example.com", balance=5)
    library.record(1)
    library.record(2, account="bob@example.com")
    assert library.take().ids == ["2"]
    error = library.booking()["last_error"]
    assert ANN in error and purse in error and f'"{text}"' in error, "says who, which and what"
    assert (library.state(), library.dead(), library.ledger()) == ("waiting", ["1"], [])
    library.credit(**{"balance": 5, "held": 0, "spent": 0})
    library.push("1")
    assert library.take_one().goal == "accept"
    library.check()


@pytest.mark.parametrize("outcome, purses", [("accepted", (4, 0, 1)), ("cancelled", (5, 0, 0)), ("refused", (5, 0, 0))])
def test_an_unreadable_purse_parks_the_settle_and_loses_nothing(library, outcome, purses):
    library.credit(balance=5)
    job = hold(library)
    library.credit(balance="4 credits")
    answer, reason = library.settle(job, outcome)
    assert answer == "parked"
    assert ANN in reason and '"4 credits"' in reason
    b = library.booking()
    assert (b["state"], b["held"], b["place"], b["last_error"]) == ("accepting", "1", "dead", reason)
    assert library.pttl("booking:1") == -1
    library.credit(balance=4)
    library.push("1")
    assert library.settle(library.take_one(), outcome)[0] == "settled"
    assert library.purses() == purses


def test_an_unreadable_purse_parks_the_refund(library):
    library.credit(balance=5)
    library.settle(hold(library), "accepted")
    library.credit(balance="lots")
    library.record(1, "cancelled", now_ms() + 5)
    library.take()
    b = library.booking()
    assert (b["state"], b["charged"], b["place"]) == ("accepted", "1", "dead")
    library.credit(balance=4)
    library.push("1")
    library.take()
    assert (library.state(), library.purses()) == ("cancelled", (5, 0, 0))


def test_a_no_about_an_unreadable_account_can_be_settled(library):
    """Nothing moves, so nothing needs to be read."""
    library.credit(balance=0)
    job = hold(library)
    library.credit(balance="?")
    assert library.settle(job, "rejected") == ["settled", "rejected"]
    library.credit(balance=0)


# ---- Large numbers ----

@pytest.mark.parametrize("balance", [10**14, 10**15, 10**15 + 1, 10**16 // 2 + 1, MOST])
def test_large_amounts_stay_exact(library, balance):
    library.credit(balance=balance)
    job = hold(library)
    assert library.purses() == (balance - 1, 1, 0)
    library.settle(job, "accepted")
    assert library.purses() == (balance - 1, 0, 1)
    assert library.movements() == [("adjust", balance), ("hold", 1), ("capture", 1)]
    library.record(1, "cancelled", now_ms() + 5)
    library.take()
    assert library.client.hget(library.key("credit:" + ANN), "balance") == str(balance)


def test_a_large_cost_stays_exact(library):
    library.terms(cost=MOST)
    library.credit(balance=MOST)
    library.settle(hold(library), "accepted")
    assert library.purses() == (0, 0, MOST)
    assert library.ledger()[-1]["amount"] == str(MOST)


def test_a_movement_beyond_the_exact_range_is_not_rounded(library):
    """Two credits come back to a balance that is as large as a Lua number can be: 2^53 + 1 is none."""
    library.terms(cost=2)
    library.credit(balance=5)
    job = hold(library)
    library.credit(balance=MOST)
    answer = library.settle(job, "cancelled")
    if answer[0] == "parked":
        assert library.purses() == (MOST, 2, 0)
        assert library.booking()["held"] == "2"
    else:
        assert library.purses() == (MOST + 2, 0, 0)
