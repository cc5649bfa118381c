"""The checker of `make chaos` against histories written by hand: a good one passes, and each way to be
wrong is seen. tests/chaos/plants.py does the same with whole programs."""

import sys

import pytest

from harness import ROOT, wait_for

sys.path.insert(0, str(ROOT / "tests" / "chaos"))

import checker
import script
from history import History
from recorder import mend_torn, redis_ms
from stage import NAMESPACE

ANN = "ann@chaos.example"
URL = "http://127.0.0.1:8080/webhook"
T = 1795572514000


def sent(booking, trigger, at, status=202, url=URL):
    return {"n": at, "trigger": trigger, "booking": booking, "seat": None, "url": url, "status": status, "ms": 1.5,
            "sent_ms": T + at}


def call(booking, action, at, status=200, took=5, **fields):
    return {"n": at, "t_ms": T + at, "end_ms": T + at + took, "booking": booking, "action": action, "status": status,
            "fault": None, "after": False, **fields}


def entry(number, kind, amount, booking, *purses):
    balance, held, spent = map(str, purses)
    return [f"{T + number}-0", {"kind": kind, "amount": str(amount), "booking": booking, "balance": balance,
                                "held": held, "spent": spent, "by": "tollgate", "note": ""}]


def at_calcom(id, status, *changes):
    return {"id": id, "uid": f"uid-{id}", "status": status, "rescheduledTo": None,
            "history": [{"ms": T + at, "status": to} for at, to in changes]}


def record(state, decision="accept", charged=0, cost=1, **fields):
    return {"state": state, "decision": decision, "charged": str(charged), "held": "0", "cost": str(cost),
            "account": ANN, "place": "none", "requested_ms": str(T), **{k: str(v) for k, v in fields.items()}}


@pytest.fixture
def run():
    """1: accepted. 2: rejected, the credit is gone. 3: accepted, cancelled by the member, refunded. 4: not heard of.
    Ann had credit for two."""
    return History(
        settings={"seed": 1, "fresh_ms": 1000, "sweep": False},
        granted={ANN: 2},
        orders=[{"what": "cancel", "id": 3, "by": "member", "begin_ms": T + 500, "end_ms": T + 501}],
        webhooks=[sent(1, "BOOKING_REQUESTED", 10), sent(1, "BOOKING_CREATED", 21, 200),
                  sent(3, "BOOKING_REQUESTED", 30), sent(3, "BOOKING_CREATED", 41, 200),
                  sent(2, "BOOKING_REQUESTED", 50), sent(2, "BOOKING_REJECTED", 61, 200),
                  sent(3, "BOOKING_CANCELLED", 500), sent(4, "BOOKING_REQUESTED", 600, 0)],
        calls=[call(1, "confirm", 20), call(3, "confirm", 40), call(2, "decline", 60)],
        calcom={"1": at_calcom(1, "ACCEPTED", (21, "ACCEPTED")), "2": at_calcom(2, "REJECTED", (61, "REJECTED")),
                "3": at_calcom(3, "CANCELLED", (41, "ACCEPTED"), (501, "CANCELLED")), "4": at_calcom(4, "PENDING")},
        bookings={"1": record("accepted", charged=1, created_ms=T), "2": record("rejected", "reject", rejected_ms=T),
                  "3": record("cancelled", created_ms=T, cancelled_ms=T)},
        accounts={ANN: {"balance": "1", "held": "0", "spent": "1"}},
        ledgers={ANN: [entry(0, "grant", 2, "", 2, 0, 0),
                       entry(11, "hold", 1, "1", 1, 1, 0), entry(22, "capture", 1, "1", 1, 0, 1),
                       entry(31, "hold", 1, "3", 0, 1, 1), entry(42, "capture", 1, "3", 0, 0, 2),
                       entry(502, "refund", 1, "3", 1, 0, 1)]},
        places={"queue": [], "retry": [], "dead": []})


def found(history):
    return sorted({(violation.rule, violation.booking) for violation in checker.check(history)})


def test_a_good_run_passes(run):
    assert checker.check(run) == []


def test_a_run_can_be_kept_and_checked_again(run, tmp_path):
    run.save(tmp_path)
    assert History.load(tmp_path) == run


# ---- Lost ----

def test_an_acknowledged_booking_that_nobody_knows(run):
    run.webhooks[-1]["status"] = 202
    assert found(run) == [("lost", "4")]


def test_an_acknowledged_event_that_is_not_on_record(run):
    del run.bookings["3"]["cancelled_ms"]
    assert found(run) == [("lost", "3")]


@pytest.mark.parametrize("status", [0, 503])
def test_what_was_not_acknowledged_may_be_unknown(run, status):
    run.webhooks[-1]["status"] = status
    assert found(run) == []


def test_the_sweep_finds_what_was_not_acknowledged(run):
    run.settings["sweep"] = True
    assert found(run) == [("unfound", "4")]


@pytest.mark.parametrize("fields", [{"state": "accepting"}, {"place": "queue"}, {"state": None}])
def test_a_booking_that_is_not_settled(run, fields):
    run.bookings["2"].update(fields)
    assert ("open", "2") in found(run)


@pytest.mark.parametrize("place", ["queue", "retry", "active:w1"])
def test_a_name_that_is_left_behind(run, place):
    run.places[place] = ["2"]
    assert found(run) == [("open", "2")]


def test_what_was_given_up_needs_a_reason(run):
    run.places["dead"] = ["2"]
    run.bookings["2"].update(place="dead", last_error="no such calendar")
    assert found(run) == [("dead", "2")]
    run.settings["explained_dead"] = ["no such calendar"]
    assert found(run) == []


# ---- Otherwise than Cal.com ----

@pytest.mark.parametrize("booking, status", [("1", "REJECTED"), ("1", "PENDING"), ("2", "ACCEPTED"), ("3", "ACCEPTED"),
                                             ("2", "PENDING")])
def test_cal_com_says_otherwise(run, booking, status):
    run.calcom[booking]["status"] = status
    assert found(run) == [("disagrees", booking)]


def test_only_a_sweep_learns_what_no_webhook_told(run):
    run.webhooks[-1]["status"] = 200  # of 4
    run.bookings["4"] = record("rejected", "reject")
    run.calcom["4"]["status"] = "REJECTED"
    run.calcom["1"]["status"] = "CANCELLED"
    run.webhooks.append(sent(1, "BOOKING_CANCELLED", 700, 0))
    assert found(run) == []
    run.settings["sweep"] = True
    assert found(run) == []
    run.known["1"] = T + 600
    assert found(run) == []
    run.known["1"] = T + 800
    assert found(run) == [("disagrees", "1")]


def test_a_copy_was_heard(run):
    run.webhooks.append(sent(1, "BOOKING_CREATED", 25, 0))
    run.calcom["1"]["status"] = "CANCELLED"
    assert found(run) == [("disagrees", "1")]


def test_the_new_one_of_a_reschedule_was_not_heard_of(run):
    run.calcom["1"].update(status="CANCELLED", rescheduledTo="uid-4")
    assert found(run) == []


def test_the_new_one_of_a_reschedule_is_known(run):
    run.calcom["1"].update(status="CANCELLED", rescheduledTo="uid-2")
    assert found(run) == [("disagrees", "1")]


def test_a_booking_that_cal_com_does_not_have(run):
    del run.calcom["2"]
    assert ("disagrees", "2") in found(run)


# ---- The book ----

def test_the_ledger_does_not_explain_the_account(run):
    run.accounts[ANN]["balance"] = "2"
    assert found(run) == [("book", "")]


def test_more_was_granted_than_anybody_gave(run):
    run.granted[ANN] = 1
    assert found(run) == [("book", "")]


def test_a_ledger_is_gone(run):
    run.granted["bob@chaos.example"] = 5
    assert found(run) == [("book", "")]


def test_a_hold_that_is_never_released(run):
    run.ledgers[ANN] = run.ledgers[ANN][:-2]
    run.accounts[ANN] = {"balance": "0", "held": "1", "spent": "1"}
    run.bookings["3"]["held"] = "1"
    assert found(run) == [("held", "")]


def test_a_balance_below_nothing(run):
    run.ledgers[ANN].append(entry(600, "hold", 2, "2", -1, 2, 1))
    run.ledgers[ANN].append(entry(601, "capture", 2, "2", -1, 0, 3))
    run.accounts[ANN] = {"balance": "-1", "held": "0", "spent": "3"}
    assert ("book", "") in found(run)


def test_charged_twice(run):
    run.ledgers[ANN] += [entry(600, "hold", 1, "1", 0, 1, 1), entry(601, "capture", 1, "1", 0, 0, 2)]
    run.accounts[ANN] = {"balance": "0", "held": "0", "spent": "2"}
    run.bookings["1"]["charged"] = "2"
    assert {("doubled", "1"), ("charge", "1")} <= set(found(run))


def test_held_twice(run):
    run.ledgers[ANN].insert(2, entry(12, "hold", 1, "1", 0, 2, 0))
    assert ("doubled", "1") in found(run)


def test_refunded_twice(run):
    run.ledgers[ANN].append(entry(600, "refund", 1, "3", 2, 0, 0))
    run.accounts[ANN] = {"balance": "2", "held": "0", "spent": "0"}
    assert ("doubled", "3") in found(run)


def test_a_record_that_its_ledger_does_not_explain(run):
    run.bookings["1"]["charged"] = "0"
    assert {("book", "1"), ("charge", "1")} <= set(found(run))


def test_a_reschedule_takes_the_charge_along(run):
    """2 replaces 1, and costs 2."""
    run.ledgers[ANN] += [entry(600, "move", 1, "2", 1, 1, 0), entry(601, "hold", 1, "2", 0, 2, 0),
                         entry(602, "capture", 2, "2", 0, 0, 2)]
    run.ledgers[ANN][-3][1]["from"] = "1"
    run.accounts[ANN] = {"balance": "0", "held": "0", "spent": "2"}
    run.bookings["1"].update(state="cancelled", charged="0")
    run.bookings["2"].update(state="accepted", decision="accept", charged="2", cost="2")
    run.calcom["1"]["status"], run.calcom["2"]["status"] = "CANCELLED", "ACCEPTED"
    assert found(run) == []


def test_a_cancelled_booking_that_is_not_refunded(run):
    run.ledgers[ANN].pop()
    run.accounts[ANN] = {"balance": "0", "held": "0", "spent": "2"}
    run.bookings["3"]["charged"] = "1"
    assert found(run) == [("charge", "3")]
    run.orders[0]["late"] = True
    assert found(run) == []


def test_accepted_by_hand_costs_nothing_but_is_on_record(run):
    run.bookings["2"]["state"], run.calcom["2"]["status"] = "accepted", "ACCEPTED"
    assert found(run) == [("charge", "2")]
    run.ledgers[ANN].append(entry(700, "waive", 1, "2", 1, 0, 1))
    assert found(run) == []


def test_credit_verify_fails(run):
    run.verify = {"status": 1, "output": "ann: off by one"}
    assert found(run) == [("book", "")]


# ---- Calls ----

def test_two_acts_at_once(run):
    run.calls[0]["end_ms"] += 100
    run.calls.append(call(1, "confirm", 50, status=400))
    assert ("overlap", "1") in found(run)


def test_an_act_that_never_ends_is_outlived_after_half_a_minute(run):
    run.calls[0].update(end_ms=0, status=0)
    run.calls.append(call(1, "confirm", 29000))
    assert found(run) == []
    run.calls[-1]["t_ms"] -= 2000
    assert found(run) == [("overlap", "1")]


def test_an_act_again_after_it_was_done(run):
    run.calls.append(call(2, "decline", 5000))
    assert found(run) == [("repeat", "2")]


def test_an_act_again_after_it_was_done_without_a_word(run):
    run.calls[2].update(status=0, fault="hang", after=True)
    run.calls.append(call(2, "decline", 40000))
    assert found(run) == [("repeat", "2")]


def test_an_act_again_after_it_failed(run):
    run.calls.insert(0, call(2, "decline", 1, status=500))
    assert found(run) == []


def test_cancelled_again_after_a_late_confirm_won(run):
    run.calcom["3"]["history"] += [{"ms": T + 600, "status": "ACCEPTED"}, {"ms": T + 700, "status": "CANCELLED"}]
    run.calls += [call(3, "cancel", 500), call(3, "cancel", 700)]
    assert found(run) == []


def test_a_confirm_of_what_was_cancelled(run):
    run.calls.append(call(3, "confirm", 501 + 1400, status=400))
    assert found(run) == []
    run.calls[-1]["t_ms"] += 200
    assert ("withdrawn", "3") in found(run)


def test_a_confirm_that_was_sent_in_time_and_held_up(run):
    run.calls.append(call(3, "confirm", 4000, status=400))
    assert ("withdrawn", "3") in found(run)
    run.faults.append({"kind": "cut-calcom", "who": "worker1", "begin_ms": T + 1400, "end_ms": T + 3990})
    assert found(run) == []


def test_more_calls_than_are_allowed_in_a_minute(run):
    run.settings["rate_limit"] = 3
    assert found(run) == []
    run.calls.append(call(None, "list", 59000))
    assert found(run) == [("flooded", "")]


# ---- Order, and the programs ----

@pytest.fixture
def pair(run):
    """5 and 6: Bob has credit for one, and 5 came first."""
    run.granted["bob"] = 1
    run.orders += [{"what": "book", "id": id, "pair": 1, "role": role, "begin_ms": T, "end_ms": T + 1}
                   for id, role in ((5, "first"), (6, "second"))]
    run.webhooks += [sent(5, "BOOKING_REQUESTED", 800), sent(6, "BOOKING_REQUESTED", 810)]
    run.calcom.update({"5": at_calcom(5, "REJECTED"), "6": at_calcom(6, "ACCEPTED")})
    run.bookings.update({"5": record("rejected", "reject", account="bob", decided_ms=T + 900),
                         "6": record("accepted", charged=1, account="bob", decided_ms=T + 850)})
    run.accounts["bob"] = {"balance": "0", "held": "0", "spent": "1"}
    run.ledgers["bob"] = [entry(0, "grant", 1, "", 1, 0, 0), entry(811, "hold", 1, "6", 0, 1, 0),
                          entry(812, "capture", 1, "6", 0, 0, 1)]
    return run


def test_the_last_credit_goes_to_who_came_first(pair):
    assert found(pair) == [("order", "5")]
    assert checker.pairs(checker.Books(pair)) == [("5", "6", "broken")]


@pytest.mark.parametrize("change", [{"sent_ms": T + 801}, {"url": "http://127.0.0.1:8081/webhook"}, {"status": 0}],
                         ids=["not answered yet", "another ingest", "not acknowledged"])
def test_no_order_was_promised(pair, change):
    pair.webhooks[-1].update(change)
    assert found(pair) == []


def test_who_is_in_the_hands_of_a_worker_that_stands_still_is_overtaken(pair):
    pair.faults.append({"kind": "stop", "who": "worker2", "begin_ms": T + 805, "end_ms": T + 5000})
    assert found(pair) == []
    assert checker.pairs(checker.Books(pair))[0].verdict == "unclear"


def test_what_a_program_complained_of(run):
    run.complaints.append("tollgate-worker died of signal 11")
    assert found(run) == [("program", "")]


def test_the_story_tells_everything(run):
    run.faults.append({"kind": "kill", "who": "worker1", "begin_ms": T + 45, "end_ms": T + 90})
    told = checker.story(run, "3")
    for part in ("webhook BOOKING_REQUESTED", "call 40 confirm: 200", "hold 1", "refund 1", "cancel by member",
                 "Cal.com has it as CANCELLED", "kill worker1", "'state': 'cancelled'"):
        assert part in told


def test_the_counts_add_up(run):
    counts = checker.count(run, checker.check(run))
    assert (counts["bookings"], counts["acknowledged"], counts["known"]) == (4, 3, 3)
    assert (counts["webhooks"], counts["webhooks not answered"], counts["lost"]) == (8, 1, 0)


# ---- The script ----

CAST = {"ingest": 2, "worker": 3}


def test_a_seed_gives_the_same_script_again():
    faults = script.make_faults(7, 180, CAST, script.SWITCHES)
    assert faults == script.make_faults(7, 180, CAST, script.SWITCHES)
    assert faults != script.make_faults(8, 180, CAST, script.SWITCHES)
    assert script.make_plots(7, 10, 50) == script.make_plots(7, 10, 50)


def test_a_quarter_of_an_hour_has_what_was_promised():
    kills = {"ingest": 0, "worker": 0, "redis": 0}
    for fault in script.make_faults(7, 900, CAST, script.SWITCHES):
        if fault.kind.startswith("kill-"):
            kills[fault.kind[5:]] += 1
    assert kills["ingest"] >= 100 and kills["worker"] >= 100 and kills["redis"] >= 10


def test_nobody_suffers_two_things_at_a_time():
    busy_until = {}
    for fault in script.make_faults(7, 900, CAST, script.SWITCHES):
        if fault.kind != "api":
            assert fault.at >= busy_until.get(fault.who, 0)
            busy_until[fault.who] = fault.at + fault.lasts


def test_only_the_faults_that_were_asked_for():
    kinds = {fault.kind for fault in script.make_faults(7, 180, CAST, ["api", "kill-redis", "webhooks"])}
    assert kinds == {"api", "kill-redis"}


def test_what_moved_while_it_was_read_is_read_again(house):
    """Else a sweep that refunds between the two would look like a book that does not balance."""
    client = house.redis().client()
    before_ms = redis_ms(client)
    history = History(settings={}, granted={})
    history.bookings = {"1": {"charged": "1"}, "2": {"charged": "1"}}
    for id, ms, kind in ((2, before_ms - 5000, "capture"), (1, before_ms - 4000, "capture"), (1, before_ms + 1, "refund")):
        client.xadd(f"{{{NAMESPACE}}}:ledger:{ANN}", {"booking": id, "kind": kind, "amount": 1}, id=f"{ms}-0")
    history.ledgers = {ANN: client.xrange(f"{{{NAMESPACE}}}:ledger:{ANN}")}
    client.hset(f"{{{NAMESPACE}}}:booking:1", "charged", 0)
    wait_for(lambda: redis_ms(client) > before_ms + 1, what="a later time")
    mend_torn(client, history, before_ms)
    assert history.bookings == {"1": {"charged": "0"}, "2": {"charged": "1"}}
