"""Occurrences of a series that are moved, and wait again: API v2 confirms and declines whatever waits in the
series, so one answer must not be given to another booking. In the end Cal.com and the account agree."""

import pytest

from harness import wait_for
from outcomes import ANN, BOTH, acts, purses

# `series`, and what the booker calls a moved one, are terms: yes, no, later or broken.
POLICY = """
return function(booking, account, terms, now)
  local word = terms[booking.metadata.name or 'series'] or 'yes'
  if word == 'later' then
    return { defer = 1, reason = 'later' }
  end
  if word == 'broken' then
    error('no such price')
  end
  return { accept = word == 'yes', cost = 1, reason = 'it is ' .. word }
end
"""


@pytest.fixture
def make_ruled(make_gate):
    def make(**options):
        gate = make_gate(**options)
        gate.client.fcall("tollgate_policy", 1, gate.key("queue"), POLICY, "operator")
        gate.credit(ANN, balance=3)
        return gate
    return make


def book_series(gate):
    made = gate.fake.book(ANN, occurrences=3)["bookings"]
    return [one["id"] for one in made], [one["uid"] for one in made]


def book_accepted(gate):
    ids, uids = book_series(gate)
    assert [gate.wait_settled(id)["state"] for id in ids] == ["accepted"] * 3
    return ids, uids


def move(gate, uid, name):
    return gate.fake.book(ANN, rescheduleUid=uid, metadata={"name": name})["id"]


def check_agreement(gate, words):
    """id → yes or no. What was accepted is charged once, the rest of the three credits is there."""
    for id, word in words.items():
        state, status = gate.wait_settled(id)["state"], gate.fake.booking(id)["status"]
        assert (state, status == "ACCEPTED") == (("accepted", True) if word == "yes" else ("rejected", False)), id
    spent = list(words.values()).count("yes")
    wait_for(lambda: purses(gate) == (3 - spent, 0, spent), what=f"{spent} spent, not {purses(gate)}")
    assert gate.client.zcard(gate.key("waived")) == 0
    assert gate.dead() == []


@pytest.mark.parametrize("dialect", BOTH)
@pytest.mark.parametrize("one, other", [("yes", "no"), ("no", "yes"), ("yes", "yes"), ("no", "no")])
def test_two_are_moved_at_once(make_ruled, dialect, one, other):
    gate = make_ruled(dialect=dialect)
    gate.terms(one=one, other=other)
    ids, uids = book_accepted(gate)
    gate.worker.stop()
    moved = [move(gate, uids[1], "one"), move(gate, uids[2], "other")]
    gate.worker.start()
    check_agreement(gate, {ids[0]: "yes", moved[0]: one, moved[1]: other})


@pytest.mark.parametrize("dialect", BOTH)
@pytest.mark.parametrize("series", ["yes", "no"])
@pytest.mark.parametrize("one", ["yes", "no"])
def test_one_is_moved_while_the_others_wait(make_ruled, dialect, one, series):
    gate = make_ruled(dialect=dialect)
    gate.terms(series="later", one=one)
    ids, uids = book_series(gate)
    wait_for(lambda: gate.booking(ids[0]).get("deferred"), what="the series to be put off")
    moved = move(gate, uids[1], "one")
    if one == "yes":
        blocker = wait_for(lambda: gate.booking(moved).get("waited_for"), what="the moved one to wait")
        assert blocker in map(str, ids)
        assert purses(gate) == (2, 1, 0)
    else:
        assert gate.wait_settled(moved)["state"] == "rejected"
    assert [gate.fake.booking(id)["status"] for id in (ids[0], ids[2])] == ["PENDING"] * 2
    gate.terms(series=series)
    check_agreement(gate, {ids[0]: series, ids[2]: series, moved: one})


@pytest.mark.parametrize("other", ["yes", "no"])
def test_another_is_moved_while_the_first_is_confirmed(make_ruled, other):
    """The confirm that is on its way lets it in as well: that is no host's word."""
    gate = make_ruled()
    gate.terms(other=other)
    ids, uids = book_accepted(gate)
    gate.fake.fault("latency", "confirm", ms=500, between=True)
    first = move(gate, uids[1], "one")
    wait_for(lambda: gate.fake.calls(first, "confirm"), what="the confirm")
    second = move(gate, uids[2], "other")
    check_agreement(gate, {ids[0]: "yes", first: "yes", second: other})
    assert acts(gate, first) == ["confirm"]
    assert acts(gate, second) == ([] if other == "yes" else ["cancel"])


@pytest.mark.parametrize("which", ["lead", "follower"])
def test_one_is_cancelled_unheard_while_the_series_is_confirmed(make_ruled, which):
    """The answer names each booking of the series: each has the outcome of its own."""
    gate = make_ruled()
    gate.fake.fault("latency", "confirm", ms=500, between=True)
    ids, _ = book_series(gate)
    confirms = wait_for(lambda: [call for id in ids for call in gate.fake.calls(id, "confirm")], what="the confirm")
    (lead,) = {call["booking"] for call in confirms}
    gone = lead if which == "lead" else next(id for id in ids if id != lead)
    gate.fake.cancel(gone, by="host", webhook="lost")
    states = {id: gate.wait_settled(id)["state"] for id in ids}
    assert states == {id: "cancelled" if id == gone else "accepted" for id in ids}
    assert purses(gate) == (1, 0, 2)
    assert [call["action"] for id in ids for call in gate.fake.calls(id)].count("confirm") == 1


def test_a_person_who_has_the_others_has_the_moved_one_too(make_ruled):
    """Its confirm would accept what nobody decided; with the others it goes on."""
    gate = make_ruled()
    gate.terms(series="broken")
    ids, uids = book_series(gate)
    wait_for(lambda: all(gate.booking(id).get("place") == "dead" for id in ids), what="the series to be a person's")
    moved = move(gate, uids[1], "one")
    b = wait_for(lambda: (b := gate.booking(moved)).get("place") == "dead" and b, what="the moved one to be so too")
    assert b["waited_for"] in b["last_error"] and gate.fake.booking(moved)["status"] == "PENDING"
    gate.terms(series="yes")
    gate.client.lpush(gate.key("queue"), ids[0], ids[2])
    check_agreement(gate, {ids[0]: "yes", ids[2]: "yes", moved: "yes"})
