"""tollgate_rule: a person accepts or rejects by hand what was given up. (Random histories have it as well.)"""

import pytest

from library import now_ms
from test_library_operate import mended, park, park_undecided, refuse_one
from test_library_record import GARBAGE, refuses
from test_library_seats import gather

ANN, BOB = "ann@example.com", "bob@example.com"


def park_rejecting(library, id_=1, **fields):
    """To be rejected, for there is no credit; and given up."""
    library.record(id_, **fields)
    job = library.take_one()
    assert job.goal == "reject"
    library.retry(job, why="a 502")
    library.client.zadd(library.key("dead"), {id_: now_ms()})
    library.client.zrem(library.key("retry"), id_)
    library.set_booking(id_, place="dead", last_error="gave up: a 502")


def stays(library, what, text, id_=1):
    """It is refused, and nothing changes."""
    before = library.snapshot()
    [answer] = library.rule(what, id_)
    assert text in answer and library.snapshot() == before, answer


# ---- Undecided ----

def test_an_undecided_one_is_accepted(library):
    library.credit(balance=5)
    library.terms(**{"cost:1207": 3})
    park_undecided(library)
    assert library.rule("accept", 1, reason="a friend", by="otto", note="asked by phone") == ["accepted"]
    b = library.booking()
    assert (b["state"], b["decision"], b["cost"], b["held"], b["reason"], b["ruled_by"], b["policy"]) == (
        "accepting", "accept", "3", "3", "a friend", "otto", "")
    assert (b["place"], library.queue(), library.purses(), library.dead()) == ("queue", ["1"], (2, 3, 0), [])
    entry = library.ledger()[-1]
    assert (entry["kind"], entry["by"], entry["booking"], entry["note"]) == ("hold", "otto", "1", "a friend")
    assert mended(library)[0][:3] == ("accepted", "otto", "asked by phone") and "out of order" in mended(library)[0][3]
    job = library.take_one()
    assert (job.goal, job.cost) == ("accept", 3)
    library.settle(job, "accepted")
    assert (library.state(), library.purses(), library.stat("ruled:accept")) == ("accepted", (2, 0, 3), 1)


def test_an_undecided_one_is_rejected(library):
    library.credit(balance=5)
    park_undecided(library)
    assert library.rule("reject", 1, reason="we are closed") == ["rejected"]
    b = library.booking()
    assert (b["state"], b["decision"], b["held"], b["reason"]) == ("rejecting", "reject", "0", "we are closed")
    job = library.take_one()
    assert (job.goal, job.reason) == ("reject", "we are closed")
    library.settle(job, "rejected")
    assert (library.state(), library.purses(), library.ledger()) == ("rejected", (5, 0, 0), [])


def test_a_decision_by_hand_is_among_the_decisions(library):
    library.credit(balance=1)
    park_undecided(library)
    library.rule("accept", 1, reason="", by="otto")
    [row] = library.listed("decisions")["rows"]
    assert (row["by"], row["decision"], row["reason"], row["cost"]) == ("otto", "accept", "accepted by otto", 1)
    told = library.ask("story", "1")
    [line] = [line for line in told["lines"] if line["kind"] == "decision"]
    assert line["text"] == "decided by otto: accept, cost 1: accepted by otto"
    assert line["more"][0] == "the account was balance=1 held=0 spent=0" and line["more"][1].startswith("terms ")


@pytest.mark.parametrize("balance, text", [
    (None, "there is no account ann@example.com"), (2, "it costs 3, and the balance of ann@example.com is 2"),
    ("many", "not a whole number"),
])
def test_only_what_can_be_paid_is_accepted(library, balance, text):
    library.terms(cost=3)
    if balance is not None:
        library.credit(balance=balance)
    park_undecided(library)
    stays(library, "accept", text)
    library.credit(balance=5)


def test_of_nobody_only_what_costs_nothing(library):
    park_undecided(library, account=None)
    stays(library, "accept", "it names no account that could pay")
    library.terms(cost=0)
    assert library.rule("accept", 1) == ["accepted"]
    library.settle(library.take_one(), "accepted")
    assert library.state() == "accepted"


def test_what_costs_nothing_is_accepted_whatever_the_balance(library):
    library.terms(cost=0)
    library.credit(balance=-3)
    park_undecided(library)
    assert library.rule("accept", 1) == ["accepted"] and library.booking()["held"] == "0"


def test_terms_that_tell_no_cost(library):
    library.credit(balance=5)
    library.terms(cost="a lot")
    park_undecided(library)
    for what in ("accept", "reject"):
        stays(library, what, 'cost is "a lot", not a whole number')


def test_what_it_replaces_pays_for_it(library):
    library.credit(balance=1)
    library.record(1)
    library.settle(library.take_one(), "accepted")
    park_undecided(library, 2, reschedule_uid="uid-1")
    assert library.rule("accept", 2) == ["accepted"]
    assert library.movements()[-1] == ("move", 1) and library.purses() == (0, 1, 0) and library.state(1) == "cancelled"
    library.settle(library.take_one(), "accepted")
    assert library.purses() == (0, 0, 1)


def test_rejected_what_it_replaces_is_refunded(library):
    library.credit(balance=1)
    library.record(1)
    library.settle(library.take_one(), "accepted")
    park_undecided(library, 2, reschedule_uid="uid-1")
    assert library.rule("reject", 2) == ["rejected"]
    assert library.movements()[-1] == ("refund", 1) and library.purses() == (1, 0, 0)


def test_what_another_account_replaces_is_refunded(library):
    library.credit(balance=1)
    library.credit(BOB, balance=1)
    library.record(1)
    library.settle(library.take_one(), "accepted")
    park_undecided(library, 2, reschedule_uid="uid-1", account=BOB)
    assert library.rule("accept", 2) == ["accepted"]
    assert library.purses() == (1, 0, 0) and library.purses(BOB) == (0, 1, 0)


def test_what_it_replaces_may_be_in_hand(library):
    library.credit(balance=5)
    library.record(1)
    job = library.take_one()
    library.install_answer("error('out of order')")
    library.record(2, reschedule_uid="uid-1")
    library.take()
    library.client.zrem(library.key("retry"), 2)
    library.client.zadd(library.key("dead"), {2: 1})
    library.set_booking(2, place="dead")
    stays(library, "accept", "in flight", 2)
    library.settle(job, "accepted")


def test_one_click_pays_once(library):
    library.credit(balance=5)
    slot = {"start": 1900000000, "end": 1900003600}
    library.record(1, **slot)
    library.take_one()
    park_undecided(library, 2, start=1900000000 + 60, end=1900003600)
    library.set_booking(2, start=1900000000)
    stays(library, "accept", "it asks for the same as 1", 2)
    assert library.rule("reject", 2) == ["rejected"]


# ---- Decided, and given up ----

def test_one_that_was_to_be_accepted_is_rejected(library):
    library.credit(balance=1)
    park(library)
    assert library.purses() == (0, 1, 0)
    assert library.rule("reject", 1, reason="we are closed", by="otto") == ["rejected"]
    assert library.purses() == (1, 0, 0) and library.ledger()[-1]["by"] == "otto" and library.keys("open:") == []
    job = library.take_one()
    assert (job.goal, job.reason, job.fresh) == ("reject", "we are closed", False)
    library.settle(job, "rejected")
    assert library.purses() == (1, 0, 0) and library.state() == "rejected"


def test_if_our_confirm_had_won_it_is_cancelled(library):
    """As in the guide's flow; else the host would seem to have let it in, and it would be free."""
    library.credit(balance=1)
    library.record(1)
    job = library.take_one()
    library.begin(job)
    library.retry(job, why="a 502")
    library.client.zadd(library.key("dead"), {1: 1})
    library.client.zrem(library.key("retry"), 1)
    library.set_booking(1, place="dead")
    library.rule("reject", 1)
    job = library.take_one()
    assert (job.goal, job.guide) == ("reject", True)
    library.retry(job)
    library.client.zadd(library.key("dead"), {1: 1})
    library.client.zrem(library.key("retry"), 1)
    library.set_booking(1, place="dead")
    assert library.rule("accept", 1) == ["accepted"]
    assert library.take_one().guide is False


def test_one_that_was_to_be_accepted_stays_so(library):
    library.credit(balance=1)
    park(library)
    assert library.rule("accept", 1, reason="yes, yes") == ["accepted"]
    b = library.booking()
    assert (b["state"], b["held"], b["attempts"], library.movements()[-1]) == ("accepting", "1", "0", ("hold", 1))
    assert b["reason"] != "yes, yes" and "ruled_by" not in b and len(library.listed("decisions")["rows"]) == 1
    assert mended(library)[0][0] == "accepted"


def test_one_that_was_to_be_rejected_is_accepted(library):
    library.credit(balance=0)
    park_rejecting(library)
    stays(library, "accept", "it costs 1, and the balance of ann@example.com is 0")
    library.grant(ANN, 1)
    assert library.rule("accept", 1) == ["accepted"]
    assert library.purses() == (0, 1, 0)
    library.settle(library.take_one(), "accepted")
    assert library.purses() == (0, 0, 1)


def test_what_we_had_declined_before_is_released(library):
    """Nobody knew, and Cal.com says so."""
    library.credit(balance=0)
    park_rejecting(library)
    library.grant(ANN, 1)
    library.rule("accept", 1)
    library.settle(library.take_one(), "rejected")
    assert (library.state(), library.purses()) == ("rejected", (1, 0, 0))


def test_one_that_was_to_be_rejected_gets_another_reason(library):
    library.credit(balance=0)
    park_rejecting(library)
    assert library.rule("reject", 1, reason="sorry") == ["rejected"]
    assert (library.take_one().reason, library.ledger()) == ("sorry", [])
    assert len(library.listed("decisions")["rows"]) == 1


@pytest.mark.parametrize("what, state, purses", [("accept", "accepting", (0, 1, 0)), ("reject", "rejecting", (1, 0, 0))])
def test_one_that_cal_com_had_refused(library, what, state, purses):
    library.credit(balance=1)
    refuse_one(library)
    assert (library.done(), library.pttl("booking:1") > 0) == ("failed", True)
    assert library.rule(what, 1) == [what + "ed"]
    assert (library.state(), library.purses(), library.done()) == (state, purses, None)
    assert library.pttl("booking:1") == library.pttl("uid:uid-1") == -1
    library.settle(library.take_one(), what + "ed")
    assert library.state() == what + "ed"


def test_the_host_is_the_boss(library):
    """What Cal.com told that is accepted can only be settled as that; a person may have it charged."""
    library.credit(balance=0)
    park_rejecting(library)
    library.record(1, "created", now_ms() + 5)
    library.take_one()
    library.die("w")
    library.set_booking(1, place="dead")
    library.client.lrem(library.key("queue"), 0, 1)
    library.client.zadd(library.key("dead"), {1: 1})
    stays(library, "reject", "Cal.com says that it is accepted")
    library.grant(ANN, 1)
    assert library.rule("accept", 1) == ["accepted"]
    library.settle(library.take_one(), "accepted")
    assert library.purses() == (0, 0, 1)


# ---- What is not for one booking to say ----

@pytest.mark.parametrize("fields, text", [
    ({"cancelled_ms": 5}, "was cancelled"), ({"rejected_ms": 5}, "was cancelled"), ({"successor": 7}, "was cancelled"),
    ({"seat": "s"}, "a seat"), ({"series": "s"}, "a series"), ({"occurrences": 3}, "a series"), ({"lead": "7"}, "a series"),
    ({"state": "accepted"}, "it is accepted"), ({"state": "observed"}, "it is observed"),
    ({"busy_until_ms": 10 ** 15}, "may still be at it"),
])
def test_what_a_person_cannot_decide(library, fields, text):
    library.credit(balance=1)
    park_undecided(library)
    library.set_booking(1, **fields)
    for what in ("accept", "reject"):
        stays(library, what, text)
    assert library.ask("story", "1")["can"] == {"accept": False, "reject": False, "requeue": True, "discard": True}


def test_one_of_a_refused_series(library):
    library.credit(balance=3)
    gather(library, [1, 2, 3])
    lead = library.take_one()
    library.settle(lead, "refused", "403", covers="series")
    stays(library, "accept", "one of a series", lead.id)


def test_each_gets_an_answer(library):
    library.credit(balance=1)
    for id_ in (1, 2):
        park_undecided(library, id_)
    library.record(3)
    assert library.rule("accept", 1, 2, 3, 4) == [
        "accepted", "it costs 1, and the balance of ann@example.com is 0", "not dead", "unknown"]
    [change] = library.listed("changes")["rows"][:1]
    assert (change["what"], change["about"], change["count"]) == ("accepted", "1", 1)


@pytest.mark.parametrize("garbage", GARBAGE)
def test_keep_ms_must_be_a_number(library, garbage):
    refuses(library, "keep_ms must be", lambda: library.rule("accept", 1, keep_ms=garbage))


@pytest.mark.parametrize("what, how, text", [
    ("defer", {}, "by accept or reject"), ("reject", {"reason": ""}, "the reason is what"),
    ("reject", {"reason": "x" * 501}, "the reason is what"), ("accept", {"reason": b"\xff"}, "the reason is what"),
    ("reject", {"reason": "a\0b"}, "the reason is what"), ("accept", {"by": ""}, "must be named"),
])
def test_what_makes_no_sense_is_refused(library, what, how, text):
    library.credit(balance=1)
    park_undecided(library)
    refuses(library, text, lambda: library.rule(what, 1, **how))


def test_a_thousand_at_a_time(library):
    assert library.rule("accept", *range(1000)) == ["unknown"] * 1000
    refuses(library, "at most 1000", lambda: library.rule("accept", *range(1001)))


def test_decided_anew_by_the_policy_it_is_no_longer_by_hand(library):
    library.credit(balance=1)
    park_undecided(library)
    library.rule("accept", 1)
    library.settle(library.take_one(), "refused", "403")
    library.requeue(1)
    library.take_one()
    assert library.booking()["ruled_by"] == "" and "by" not in library.listed("decisions")["rows"][0]
