"""tollgate_changes: what operators did; tollgate_terms; and tollgate_graph: how busy it was."""

import hashlib
import json
import time

import pytest
import redis

from gates import NAME
from library import DEFAULT_POLICY, now_ms
from test_library_operate import park, park_undecided
from test_library_record import refuses

ANN = "ann@example.com"
GATE = {"gate": NAME, "limit": 100}


def changes(library):
    """[(by, what, about, note, count)], the newest first."""
    return [(row["by"], row["what"], row["about"], row["note"], row.get("count")) for row in library.all_rows("changes", count=3)]


# ---- Changes ----

def test_all_that_an_operator_does_is_on_record(library):
    library.grant(ANN, 5, by="a", note="dues")
    library.debit(ANN, 2, by="b")
    library.member(ANN, 3, by="c", tier="gold", blocked="no")
    library.pause("d", "lunch")
    library.resume("e")
    park(library, 1)
    park_undecided(library, 2)
    library.requeue(1, 2, by="f", note="mended")
    library.client.delete(library.key("queue"))
    for id_ in (1, 2):
        library.set_booking(id_, place="dead")
        library.client.zadd(library.key("dead"), {id_: 1})
    library.rule("reject", 1, by="g")
    library.discard(2, by="h")
    library.set_terms(by="i", note="new year", cost=2)
    library.call("policy", DEFAULT_POLICY + " ", "operator", "j")
    sha = hashlib.sha1((DEFAULT_POLICY + " ").encode()).hexdigest()
    assert [one for one in changes(library) if one[0] != "file"] == [
        ("j", "installed a policy", sha, "", None), ("i", "set the terms", "cost=2", "new year", None),
        ("h", "discarded", "2", "", 1), ("g", "rejected", "1", "", 1), ("f", "requeued", "1 2", "mended", 2),
        ("e", "resumed", "", "", None), ("d", "paused", "", "lunch", None),
        ("c", "granted 3; set tier, blocked", ANN, "", None), ("b", "debited 2", ANN, "", None),
        ("a", "granted 5", ANN, "dues", None)]
    assert all(now_ms() - 60000 < row["at_ms"] <= now_ms() + 1000 for row in library.listed("changes")["rows"])


def test_what_changes_nothing_is_none(library):
    library.grant(ANN, 5, key="k")
    park_undecided(library)
    library.pause("nora")
    library.set_terms(cost=2)
    before = changes(library)
    library.grant(ANN, 5, key="k")
    library.member(ANN, 0)
    library.pause("otto")
    library.requeue(7, 8)
    library.rule("accept", 9)
    library.set_terms(cost=2)
    library.call("policy", library.ask("policy_show")["text"], "file")
    library.install(DEFAULT_POLICY, "default")
    assert [one for one in changes(library) if one[1] != "installed a policy"] == [
        one for one in before if one[1] != "installed a policy"]
    library.resume("nora")
    newest = changes(library)[0]
    library.resume("nora")
    assert changes(library)[0] == newest


def test_a_policy_out_of_a_file_was_installed_by_it(library):
    library.install(DEFAULT_POLICY + " ", "file")
    assert changes(library)[0][:2] == ("file", "installed a policy")


def test_of_many_bookings_the_first_are_named(library):
    for id_ in range(1, 12):
        park_undecided(library, id_)
    library.requeue(*range(1, 12))
    assert changes(library)[0][1:] == ("requeued", "1 2 3 4 5 …", "", 11)


def test_what_was_forgotten_counts(library):
    library.client.zadd(library.key("dead"), {"77": 1})
    library.discard(77, by="h")
    assert changes(library)[0] == ("h", "discarded", "77", "", 1)


def test_long_words_are_cut(library):
    library.grant(ANN, 5, by="é" * 300, note="n" * 500)
    [row] = library.listed("changes")["rows"]
    assert row["by"] == "é" * 50 and row["note"] == "n" * 500
    with pytest.raises(redis.ResponseError, match="a note has at most 500 bytes"):
        library.grant(ANN, 5, note="n" * 501)


def test_so_many_are_kept(library):
    with library.client.pipeline(transaction=False) as pipe:
        for _ in range(10500):
            pipe.xadd(library.key("changes"), {"by": "x"})
        pipe.execute()
    library.pause()
    assert 10000 <= library.client.xlen(library.key("changes")) < 10200


# ---- Terms ----

def in_force(library):
    return library.client.hgetall(library.key("terms"))


def test_terms_are_set_and_removed(library):
    sha = library.set_terms(**{"cost": 2, "cost:7": 3, "refund_notice_hours": "1.5", "open_most": "many"})
    assert in_force(library) == {"cost": "2", "cost:7": "3", "refund_notice_hours": "1.5", "open_most": "many"}
    assert library.ask("policy_show")["terms_sha"] == sha
    sha = library.set_terms(sha, **{"cost:7": "", "open_most": "", "gone": ""})
    assert in_force(library) == {"cost": "2", "refund_notice_hours": "1.5"}
    assert changes(library)[0][2] in ("cost:7 removed, open_most removed",)
    library.set_terms(sha, cost="", refund_notice_hours="")
    assert in_force(library) == {} and library.keys("terms") == []


def test_they_are_known_by_what_decisions_rest_on(library):
    library.grant(ANN, 9)
    sha = library.set_terms(cost=2)
    library.record(1)
    library.take()
    assert library.booking()["terms"] == sha
    assert json.loads(library.client.hget(library.key("terms_seen"), sha)) == {"cost": "2"}


def test_two_operators_at_once(library):
    seen = library.ask("policy_show")["terms_sha"]
    library.set_terms(seen, by="otto", cost=2)
    refuses(library, "changed meanwhile", lambda: library.set_terms(seen, cost=3))
    library.set_terms("", cost=4)
    assert in_force(library) == {"cost": "4"}


@pytest.mark.parametrize("terms, text", [
    ({"cost": "-1"}, "cost must be a whole number"), ({"cost": "1.5"}, "cost must be"), ({"cost:7": "one"}, "cost:7 must be"),
    ({"cost": "1e3"}, "cost must be"), ({"cost": "0x10"}, "cost must be"), ({"cost": str(2 ** 53)}, "cost must be"),
    ({"refund_notice_hours": "-1"}, "refund_notice_hours must be"), ({"refund_notice_hours": "a day"}, "refund_notice_hours must be"),
    ({"refund_notice_hours": "inf"}, "refund_notice_hours must be"), ({"refund_notice_hours": "nan"}, "refund_notice_hours must be"),
    ({"": "1"}, "a term is named"), ({"a b": "1"}, "a term is named"), ({"x" * 101: "1"}, "a term is named"),
    ({"x": "y" * 1001}, "more than 1000 bytes"), ({f"t{n}": "1" for n in range(1002)}, "at most 1000 terms"),
])
def test_terms_that_make_no_sense(library, terms, text):
    library.set_terms(cost=1)
    refuses(library, text, lambda: library.set_terms(note="x", **{"good": 5, **terms}))


def test_a_term_without_a_value(library):
    refuses(library, "no value", lambda: library.call("terms", "nora", "", "", "cost"))
    refuses(library, "must be named", lambda: library.set_terms(by="", cost=1))
    assert library.set_terms() == library.ask("policy_show")["terms_sha"]


def test_terms_have_an_end(library):
    library.client.hset(library.key("terms"), mapping={f"t{n}": 1 for n in range(1000)})
    refuses(library, "at most 1000 terms", lambda: library.set_terms(one_more=1))
    library.set_terms(t5="", one_more=1)


def test_something_else_in_the_place_of_the_terms(bare_library):
    bare_library.client.set(bare_library.key("terms"), "x")
    refuses(bare_library, "the terms cannot be read", lambda: bare_library.set_terms(cost=1))


# ---- Graph ----

def go_back(library, minutes):
    """As if all samples had been taken so much earlier."""
    for span, step in (("hour", 60000), ("day", 900000)):
        key = library.key("graph:" + span)
        entries = library.client.xrange(key)
        library.client.delete(key)
        for entry, fields in entries:
            ms, seq = entry.split("-")
            library.client.xadd(key, fields, id=f"{int(ms) - 60000 * minutes}-{seq}")
        at = library.client.hget(library.key("graph"), span)
        if at:
            library.client.hset(library.key("graph"), span, int(at) - max(1, 60000 * minutes // step))


def test_what_came_between_two_samples(library):
    library.grant(ANN, 2)
    library.watch(**GATE)
    go_back(library, 1)
    for id_ in (1, 2, 3, 4):
        library.record(id_)
    library.settle(library.take(count=3).jobs[0], "accepted")
    park_undecided(library, 5)
    library.watch(**GATE)
    told = library.ask("graph", "hour")
    [point] = told["points"]
    assert told["step_s"] == 60 and 60 <= point["over_s"] < 70 and abs(point["at_ms"] - now_ms()) < 5000
    assert {name: point[name] for name in ("webhooks", "accepted", "rejected", "settled", "dead", "queue", "retry")} == {
        "webhooks": 5, "accepted": 2, "rejected": 1, "settled": 1, "dead": 2, "queue": 0, "retry": 0}


def test_one_sample_a_minute_whoever_watches(library):
    while now_ms() % 60000 > 55000:
        time.sleep(0.1)
    for _ in range(3):
        library.watch(**GATE)
    assert library.client.xlen(library.key("graph:hour")) == library.client.xlen(library.key("graph:day")) == 1
    assert library.ask("graph", "hour")["points"] == []


def test_a_gauge_is_as_it_was_then(library):
    library.record(1)
    library.set_booking(1, queued_ms=now_ms() - 7500)
    library.watch()
    go_back(library, 5)
    library.watch()
    [point] = library.ask("graph", "hour")["points"]
    assert (point["queue"], point["oldest_s"], point["webhooks"]) == (1, 7, 0) and 300 <= point["over_s"] < 310


def test_an_hour_and_a_day_are_kept(library):
    for _ in range(100):
        library.watch()
        go_back(library, 15)
    assert len(library.ask("graph", "hour")["points"]) == 60
    day = library.ask("graph", "day")
    assert len(day["points"]) == 96 and day["step_s"] == 900
    assert [point["at_ms"] for point in day["points"]] == sorted(point["at_ms"] for point in day["points"])


def test_counters_that_somebody_deleted(library):
    library.record(1)
    library.watch()
    go_back(library, 1)
    library.client.delete(library.key("stats"))
    library.watch()
    assert library.ask("graph", "hour")["points"][0]["webhooks"] == 0
