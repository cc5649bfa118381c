"""What the console is told: decisions, stories, accounts, what needs a person, how everything stands."""

import time

import pytest

from gates import NAME
from library import DEFAULT_POLICY, now_ms
from test_library_operate import park, park_undecided, refuse_one
from test_library_record import GARBAGE, refuses
from test_library_seats import gather

ANN, BOB = "ann@example.com", "bob@example.com"
GATE = {"gate": NAME, "limit": 100}
QUADRILLION = 10 ** 15 + 1

# Quotes, a line feed, NUL, a lone byte, half a character, an overlong NUL, a surrogate, and what is fine.
HOSTILE = b'"\\\n\x00\xff\xe2\x82\xc0\x80\xed\xa0\x80\xf5\xe2\x82\xac\xf0\x9f\x98\x80</script>'
READABLE = '"\\\n\ufffd\ufffd\ufffd\ufffd\ufffd\ufffd\ufffd\ufffd\ufffd\ufffd€😀</script>'


def settle_one(library, id_=1, outcome="accepted", **fields):
    library.record(id_, **fields)
    library.settle(library.take_one(), outcome, calls=f"{now_ms()} 12 confirm 200 done ok")


def wait_a_ms():
    time.sleep(0.002)


def ids(rows):
    return [row["booking"] for row in rows]


# ---- What holds for all of them ----

READS = [("overview",), ("graph", "hour"), ("decisions", "", 50), ("story", "1"), ("members", "", 50, ""),
         ("account", ANN, "", 50, "", ""), ("attention", "dead", "", 50), ("attention", "drift", "", 50),
         ("attention", "waived", "", 50), ("attention", "unbalanced", "", 50), ("policy_show",), ("changes", "", 50),
         ("system",)]
IDS = [" ".join(map(str, call[:2])) for call in READS]


@pytest.mark.parametrize("call", READS, ids=IDS)
def test_they_change_nothing(library, call):
    library.grant(ANN, 1)
    park(library)
    library.watch(**GATE)
    before = library.snapshot()
    library.client.execute_command("FCALL_RO", "tollgate_" + call[0], 1, library.key("queue"), *call[1:])
    assert library.ask(*call) and library.snapshot() == before


@pytest.mark.parametrize("call", READS, ids=IDS)
def test_they_answer_where_there_is_nothing(bare_library, call):
    told = bare_library.ask(*call)
    assert told.get("rows", []) == [] and "next" not in told


@pytest.mark.parametrize("call", READS, ids=IDS)
def test_nothing_breaks_the_json(bare_library, call):
    """Whatever somebody wrote into Redis, it is read, and what is no text is told as such a sign."""
    library = bare_library
    library.install(DEFAULT_POLICY, "default")
    park(library)
    key, client = library.key, library.client
    for name, field in (("booking:1", "last_error"), ("booking:1", "reason"), ("booking:1", "mended"), ("booking:1", "calls"),
                        ("booking:1", "answers"), ("booking:1", "account_was"), ("credit:" + ANN, "name"), ("stats", HOSTILE),
                        ("credit:" + ANN, HOSTILE), ("credit:" + ANN, "balance"), ("paused", "note"), ("terms", HOSTILE),
                        ("policy", "text"), ("drift", "1"), ("unbalanced", HOSTILE), ("gates", HOSTILE), ("audit", "done_ms")):
        client.hset(key(name), field, HOSTILE)
    for stream in ("decisions", "changes", "ledger:" + ANN, "pauses"):
        client.xadd(key(stream), {"booking": "1", "by": HOSTILE, "reason": HOSTILE, "what": HOSTILE, "amount": HOSTILE,
                                  "balance": HOSTILE, HOSTILE: HOSTILE})
    client.zadd(key("accounts"), {HOSTILE: 0, ANN: 0})
    client.zadd(key("waived"), {"1": 5, HOSTILE: 4})
    client.zadd(key("workers"), {HOSTILE: 1})
    assert library.ask(*call)


def test_what_is_no_text_is_told_as_such(bare_library):
    bare_library.client.hset(bare_library.key("credit:" + ANN), mapping={"name": HOSTILE, "balance": QUADRILLION})
    told = bare_library.ask("account", ANN, "", 1, "", "")
    assert told["fields"] == [{"name": "name", "value": READABLE}] and told["balance"] == QUADRILLION


@pytest.mark.parametrize("call, text", [
    (("decisions", "", 0), "from 1 to 500"), (("decisions", "", 501), "from 1 to 500"), (("decisions", "x", 1), "no cursor"),
    (("decisions", "99999999999999999999999-0", 1), "no cursor"),
    (("decisions", "", 1, "price", "1"), "nothing to choose by"), (("decisions", "", 1, "member"), "no value"),
    (("decisions", "", 1, "outcome", "maybe"), "accept or reject"), (("decisions", "", 1, "from_ms", "soon"), "from_ms must be"),
    (("members", "x", 1, ""), "no cursor"), (("account", ANN, "x", 1, "", ""), "no cursor"),
    (("account", ANN, "", 1, "soon", ""), "from_ms must be"), (("attention", "elsewhere", "", 1), "the places are"),
    (("attention", "dead", "x", 1), "no cursor"), (("attention", "dead", "nan:1", 1), "no cursor"),
    (("attention", "dead", "", 1, "price", "1"), "nothing to choose by"), (("changes", "x", 1), "no cursor"),
    (("graph", "year"), "of the hour and of the day"), (("graph",), "of the hour and of the day"),
])
def test_what_makes_no_sense_is_refused(library, call, text):
    library.grant(ANN, 1)
    park(library)
    refuses(library, text, lambda: library.ask(*call))


@pytest.mark.parametrize("garbage", GARBAGE)
def test_the_number_of_rows_is_one(library, garbage):
    refuses(library, "the number of rows must be", lambda: library.ask("decisions", "", garbage))


# ---- Overview ----

def test_an_overview(library):
    library.grant(ANN, 2)
    settle_one(library, 1)
    library.record(2, account=BOB)
    library.record(3)
    library.take_one(count=1)
    library.set_booking(3, queued_ms=now_ms() - 100000)
    library.pause("otto", "lunch")
    library.watch(**GATE)
    library.audit()
    told = library.ask("overview")
    assert told["queue"]["length"] == 1 and 99 < told["queue"]["oldest_s"] < 110
    assert (told["paused"]["by"], told["paused"]["note"]) == ("otto", "lunch") and told["paused"]["since_ms"] > 10 ** 12
    assert [told[name] for name in ("dead", "drift", "unbalanced", "waived")] == [0, 0, 0, 0]
    assert told["retry"] == {"count": 0, "overdue_s": 0} and told["audit_age_s"] >= 0
    [worker] = told["workers"]
    assert (worker["worker"], worker["in_hand"], told["workers_count"]) == ("w", 1, 1) and 0 < worker["lease_ms"] <= 10000
    assert ids(told["decisions"]) == ["2", "1"] and told["decisions"][1]["state"] == "accepted"
    assert told["settle"]["count"] == 1 and 0 <= told["settle"]["p50_ms"] == told["settle"]["max_ms"]
    assert told["stats"]["decided:accept"] == 1 and told["stats"]["recorded:requested"] == 3


def test_how_long_it_takes_is_told_of_those_that_cal_com_answered(library):
    """Not of one that was cancelled weeks later."""
    library.grant(ANN, 50)
    for id_, ms in enumerate((10, 20, 30, 40, 1000), 1):
        settle_one(library, id_)
        library.set_booking(id_, received_ms=5000, settled_ms=5000 + ms)
    library.set_booking(5, state="cancelled", settled_ms=10 ** 12)
    assert library.ask("overview")["settle"] == {"count": 4, "p50_ms": 20, "p95_ms": 40, "max_ms": 40}


def test_the_gates_in_use(library):
    other = "fedcba9876543210"
    library.watch(**GATE)
    library.watch(gate=other, limit=0)
    library.call("report", "credentials", "gate", other, "limit", 0, "note", "401: no such key")
    gates = {gate["gate"]: gate for gate in library.ask("overview")["gates"]}
    assert (gates[NAME]["limit"], gates[NAME]["used"], gates[NAME]["left"]) == (100, 0, 100) and "cause" not in gates[NAME]
    assert (gates[other]["cause"], gates[other]["note"]) == ("credentials", "401: no such key") and "left" not in gates[other]


def test_gates_that_nobody_uses_any_more_are_forgotten(library):
    library.client.hset(library.key("gates"), mapping={f"{n:016x}": f"{n} 5" for n in range(100)})
    library.watch(**GATE)
    assert [gate["gate"] for gate in library.ask("overview")["gates"]] == [NAME]
    assert library.client.hlen(library.key("gates")) == 20


# ---- Decisions ----

def test_decisions_the_newest_first(library):
    library.grant(ANN, 1)
    settle_one(library, 1)
    library.record(2, event_type="77")
    library.take()
    second, first = library.listed("decisions")["rows"]
    assert {name: first[name] for name in ("booking", "account", "event_type", "decision", "cost", "state")} == {
        "booking": "1", "account": ANN, "event_type": "1207", "decision": "accept", "cost": 1, "state": "accepted"}
    assert first["settled_ms"] >= int(library.booking(1)["received_ms"]) and "place" not in first
    assert (second["booking"], second["decision"], second["place"]) == ("2", "reject", "active")
    assert "Not enough credit" in second["reason"]


def test_decisions_of_a_record_that_has_expired(library):
    library.record(1)
    library.take()
    library.client.delete(library.key("booking:1"), library.key("active:w"))
    [row] = library.listed("decisions")["rows"]
    assert row["booking"] == "1" and "state" not in row


@pytest.mark.parametrize("wanted, found", [
    ({}, "54321"), ({"member": BOB}, "42"), ({"outcome": "accept"}, "31"), ({"outcome": "reject", "event_type": "7"}, "5"),
    ({"member": ""}, "54321"), ({"member": "nobody"}, ""), ({"member": ANN, "outcome": "accept", "event_type": "1207"}, "31"),
])
def test_some_of_the_decisions(library, wanted, found):
    library.grant(ANN, 2)
    for id_ in range(1, 6):
        library.record(id_, account=BOB if id_ % 2 == 0 else ANN, event_type="7" if id_ == 5 else "1207")
        library.take()
    assert "".join(ids(library.listed("decisions", **wanted)["rows"])) == found
    assert "".join(ids(library.all_rows("decisions", count=1, **wanted))) == found


def test_decisions_of_a_time(library):
    library.install_answer("{ accept = false, cost = 0, reason = 'no' }")
    for id_ in range(1, 4):
        library.record(id_)
        library.take()
        wait_a_ms()
    at = [row["at_ms"] for row in library.listed("decisions")["rows"]]
    assert ids(library.listed("decisions", from_ms=at[1])["rows"]) == ["3", "2"]
    assert ids(library.listed("decisions", to_ms=at[1])["rows"]) == ["2", "1"]
    assert ids(library.all_rows("decisions", from_ms=at[1], to_ms=at[1], count=1)) == ["2"]
    assert library.listed("decisions", to_ms=1)["rows"] == library.listed("decisions", from_ms=at[0] + 10 ** 6)["rows"] == []


def test_a_rare_one_is_looked_for_a_while_at_a_time(bare_library):
    library = bare_library
    with library.client.pipeline(transaction=False) as pipe:
        for number in range(1200):
            pipe.xadd(library.key("decisions"), {"booking": number, "account": ANN if number == 5 else BOB})
        pipe.execute()
    page = library.listed("decisions", member=ANN)
    assert (page["rows"], page["looked"]) == ([], 500) and page["next"]
    assert ids(library.all_rows("decisions", member=ANN)) == ["5"]
    assert len(library.all_rows("decisions", count=7)) == 1200


# ---- Members ----

def names(rows):
    return [row["account"] for row in rows]


def test_every_way_to_make_an_account_lists_it(library):
    library.grant("granted@x", 1)
    library.member("enrolled@x", 0, tier="gold")
    library.credit("charged@x", balance=1)
    library.record(1, account="charged@x")
    library.take()
    told = library.ask("members", "", 50, "")
    assert names(told["rows"]) == ["charged@x", "enrolled@x", "granted@x"] and told["total"] == 3
    assert told["rows"][0] == {"account": "charged@x", "balance": 0, "held": 1, "spent": 0, "fields": []}
    assert told["rows"][1]["fields"] == [{"name": "tier", "value": "gold"}]


def test_accounts_of_an_older_library_or_of_hset_are_found(library):
    """And those that somebody deleted are forgotten."""
    library.grant("old@x", 1)
    library.credit("set@x", balance=1)
    library.grant("gone@x", 1)
    library.client.delete(library.key("accounts"), library.key("credit:gone@x"), library.key("ledger:gone@x"))
    library.client.zadd(library.key("accounts"), {"gone@x": 0})
    assert library.audit() == {}
    assert library.client.zrange(library.key("accounts"), 0, -1) == ["old@x", "set@x"]


def test_a_waived_booking_makes_no_account(library):
    library.record(1, "created", requires_confirmation="yes")
    library.take()
    assert library.movements() == [("waive", 1)] and library.ask("members", "", 50, "")["rows"] == []
    library.grant(ANN, 1)
    assert names(library.ask("members", "", 50, "")["rows"]) == [ANN]


@pytest.mark.parametrize("text, found", [
    ("", "abc ann@x bann@x hanna@y zoe@x"), ("an", "ann@x bann@x hanna@y"), ("  ANN ", "ann@x bann@x hanna@y"), ("@y", "hanna@y"),
    ("zoe@x", "zoe@x"), ("zoe@xx", ""), ("%", ""), ("[", ""),
])
def test_members_by_a_part_of_the_name(library, text, found):
    """Those that begin with it first."""
    for account in ("zoe@x", "hanna@y", "bann@x", "ann@x", "abc"):
        library.grant(account, 1)
    assert " ".join(names(library.ask("members", "", 50, text)["rows"])) == found
    for count in (1, 2, 3):
        assert " ".join(names(library.all_rows("members", count=count, tail=[text]))) == found


def test_names_of_any_sign_can_be_gone_on_behind(bare_library):
    accounts = sorted("%x a:b é ünal@x ~ p: c:".split())
    for account in accounts:
        bare_library.grant(account, 1)
    assert sorted(names(bare_library.all_rows("members", count=1, tail=[""]))) == accounts


def test_among_many_members(bare_library):
    library = bare_library
    with library.client.pipeline(transaction=False) as pipe:
        for number in range(6000):
            pipe.hset(library.key(f"credit:m{number:05}@x"), "balance", number)
            pipe.zadd(library.key("accounts"), {f"m{number:05}@x": 0})
        pipe.execute()
    page = library.listed("members", tail=["5999"])
    assert page["looked"] == 2500 and page["rows"] == [] and page["total"] == 6000
    assert names(library.all_rows("members", tail=["5999"])) == ["m05999@x"]
    assert len(library.all_rows("members", count=500, tail=["m"])) == 6000


def test_a_list_of_members_stays_small(bare_library):
    bare_library.member(ANN, 0, **{f"field{n:03}": "x" * 600 for n in range(100)})
    [row] = bare_library.ask("members", "", 50, "")["rows"]
    assert len(row["fields"]) == 20 and row["fields"][0] == {"name": "field000", "value": "x" * 200}
    assert len(bare_library.ask("account", ANN, "", 1, "", "")["fields"]) == 100


# ---- One account ----

def account(library, name=ANN, count=50, cursor="", from_ms="", to_ms=""):
    return library.ask("account", name, cursor, count, from_ms, to_ms)


def test_an_account_with_its_ledger(library):
    library.grant(ANN, 5, by="otto", note="dues", key="k1")
    library.debit(ANN, 1)
    library.member(ANN, 0, tier="gold")
    settle_one(library, 1)
    settle_one(library, 2)
    library.record(2, "cancelled", now_ms() + 5)
    library.take()
    library.record(3)
    library.take()
    told = account(library)
    assert [told[name] for name in ("account", "exists", "balance", "held", "spent")] == [ANN, True, 2, 1, 1]
    assert told["fields"] == [{"name": "tier", "value": "gold"}] and "waived" not in told and "wrong" not in told
    assert [(row["kind"], row["amount"]) for row in told["ledger"]] == library.movements()[::-1]
    granted = told["ledger"][-1]
    assert (granted["by"], granted["note"], granted["key"], granted["balance"]) == ("otto", "dues", "k1", 5)
    assert told["totals"] == {"granted": 5, "adjusted": -1, "captured": 2, "refunded": 1, "waived": 0, "spent": 1}
    assert {one["booking"] for one in told["open"]} == {"1", "3"}
    assert told["open"][0]["ends_ms"] == 1000 * min(int(library.booking(id_)["end"]) for id_ in (1, 3))
    assert account(library, count=2)["next"] and library.all_rows("account", ANN, rows="ledger", count=2) == told["ledger"]


def test_what_was_spent_in_a_time(library):
    library.grant(ANN, 9)
    for id_ in (1, 2, 3):
        settle_one(library, id_)
        wait_a_ms()
    at = [row["at_ms"] for row in account(library)["ledger"] if row["kind"] == "capture"]
    told = account(library, from_ms=at[1] - 1, to_ms=at[1])
    assert (told["totals"]["spent"], told["totals"]["granted"]) == (1, 0)
    assert {row["booking"] for row in told["ledger"]} == {"2"}
    assert account(library, from_ms=at[0] + 10 ** 6)["totals"]["spent"] == account(library, to_ms=1)["totals"]["spent"] == 0


def test_what_a_reschedule_moves_is_spent_once(library):
    library.grant(ANN, 5)
    settle_one(library, 1)
    library.record(2, reschedule_uid="uid-1")
    library.settle(library.take_one(), "accepted")
    totals = account(library)["totals"]
    assert (totals["captured"], totals["spent"]) == (2, 1)


def test_an_account_that_nobody_made(library):
    told = account(library, "nobody@x")
    assert (told["exists"], told["balance"], told["ledger"], told["fields"]) == (False, 0, [], [])
    library.record(1, "created", requires_confirmation="yes")
    library.take()
    told = account(library)
    assert (told["exists"], told["waived"], told["ledger"][0]["kind"]) == (False, 1, "waive")


def test_an_account_that_cannot_be_read(bare_library):
    library = bare_library
    library.client.hset(library.key("credit:" + ANN), mapping={"balance": "many", "tier": "gold"})
    told = account(library)
    assert told["balance"] == "many" and 'balance is "many"' in told["wrong"]
    library.client.set(library.key("credit:" + BOB), "x")
    library.client.set(library.key("ledger:" + BOB), "x")
    told = account(library, BOB)
    assert "cannot be read" in told["wrong"] and told["ledger"] == [] and told["exists"]


def test_a_long_ledger(bare_library):
    library = bare_library
    with library.client.pipeline(transaction=False) as pipe:
        for number in range(1, 1001):
            pipe.xadd(library.key("ledger:" + ANN), {"kind": "grant", "amount": 1, "balance": number, "held": 0, "spent": 0})
        pipe.execute()
    told = account(library)
    assert told["totals"]["granted"] == 500 and told["totals"]["partial"] is True and len(told["ledger"]) == 50
    assert len(library.all_rows("account", ANN, rows="ledger", count=300)) == 1000


# ---- What needs a person ----

CANNOT = {"accept": False, "reject": False, "requeue": False, "discard": False}


def test_dead_bookings(library):
    library.grant(ANN, 5)
    park(library, 1)
    park_undecided(library, 2, event_type="7")
    refuse_one(library, 3, account=ANN)
    rows = {row["booking"]: row for row in library.listed("attention", "dead")["rows"]}
    assert (rows["1"]["why"], rows["1"]["state"], rows["1"]["decision"], rows["1"]["place"]) == (
        "gave up: a 502", "accepting", "accept", "dead")
    assert (rows["1"]["account"], rows["1"]["event_type"], rows["1"]["held"], rows["1"]["attempts"]) == (ANN, "1207", 1, 1)
    assert rows["1"]["start_ms"] == 1000 * int(library.booking(1)["start"]) and rows["1"]["at_ms"] > 10 ** 12
    assert "out of order" in rows["2"]["why"] and rows["2"]["state"] == "waiting" and "decision" not in rows["2"]
    assert rows["3"]["state"] == "failed"
    assert all(row["can"] == dict.fromkeys(CANNOT, True) for row in rows.values())


@pytest.mark.parametrize("wanted, found", [
    ({}, "321"), ({"text": "TEAPOT"}, "2"), ({"text": "gave up"}, "321"), ({"account": BOB}, "2"), ({"event_type": "7"}, "3"),
    ({"account": ANN, "event_type": "1207"}, "1"), ({"text": "%d"}, ""),
])
def test_some_of_the_dead(library, wanted, found):
    library.grant(ANN, 9)
    library.grant(BOB, 9)
    for id_, account_, event_type in ((1, ANN, "1207"), (2, BOB, "1207"), (3, ANN, "7")):
        park(library, id_, account=account_, event_type=event_type)
        library.client.zadd(library.key("dead"), {id_: 1000 + id_ // 2})  # two of one ms
    library.set_booking(2, last_error="gave up: I am a Teapot")
    found_in_order = "".join(sorted(found, key=lambda id_: (1000 + int(id_) // 2, id_), reverse=True))
    page = library.listed("attention", "dead", **wanted)
    assert "".join(ids(page["rows"])) == found_in_order and page["total"] == 3
    assert "".join(ids(library.all_rows("attention", "dead", count=1, **wanted))) == found_in_order


def test_a_page_goes_on_where_it_was_though_that_one_is_gone(library):
    for id_ in range(1, 6):
        park_undecided(library, id_)
        wait_a_ms()
    page = library.listed("attention", "dead", count=2)
    library.discard(4)
    assert ids(library.listed("attention", "dead", count=2, cursor=page["next"])["rows"]) == ["3", "2"]


def test_a_dead_one_whose_record_has_expired(library):
    library.client.zadd(library.key("dead"), {"77": 5})
    [row] = library.listed("attention", "dead")["rows"]
    assert (row["why"], row["can"]) == ("its record has expired", {**CANNOT, "discard": True})


def test_waived_bookings(library):
    library.record(1, "created", requires_confirmation="yes")
    library.take()
    [row] = library.listed("attention", "waived")["rows"]
    assert (row["booking"], row["state"], row["can"]) == ("1", "accepted", CANNOT) and "no member account" in row["why"]


def test_drift_and_the_unbalanced(library):
    library.record(1)
    for name in ("drift", "unbalanced"):
        library.client.hset(library.key(name), mapping={"1": "Gone from Cal.com", ANN: "held is 3", "%": "x"})
    rows = {row["booking"]: row for row in library.all_rows("attention", "drift", count=1)}
    assert (rows["1"]["why"], rows["1"]["state"], rows["1"]["can"], len(rows)) == ("Gone from Cal.com", "waiting", CANNOT, 3)
    assert ids(library.listed("attention", "drift", text="gone")["rows"]) == ["1"]
    rows = {row["account"]: row for row in library.all_rows("attention", "unbalanced", count=1)}
    assert rows[ANN] == {"account": ANN, "why": "held is 3", "can": CANNOT} and len(rows) == 3
    assert library.listed("attention", "unbalanced", account=ANN)["total"] == 3
    library.client.delete(library.key("unbalanced"))


def test_many_dead(bare_library):
    library = bare_library
    with library.client.pipeline(transaction=False) as pipe:
        for id_ in range(1300):
            pipe.hset(library.key(f"booking:{id_}"), mapping={"state": "waiting", "place": "dead", "last_error": f"no {id_}"})
            pipe.zadd(library.key("dead"), {id_: id_})
        pipe.execute()
    page = library.listed("attention", "dead", text="no 7 or so")
    assert (page["rows"], page["looked"], page["total"]) == ([], 500, 1300)
    assert len(set(ids(library.all_rows("attention", "dead", count=300)))) == 1300
    assert ids(library.all_rows("attention", "dead", text="no 123")) == ["1239", "1238", "1237", "1236", "1235", "1234", "1233",
                                                                        "1232", "1231", "1230", "123"]


# ---- A story ----

def kinds(told):
    return [line["kind"] for line in told["lines"]]


def test_a_story(library):
    library.grant(ANN, 5)
    library.set_terms(**{"cost": 2})
    library.pause("otto")
    library.record(1, answers='{"notes":"\\u00e9","guests":["a"]}')
    library.resume("nora")
    settle_one(library, 1)
    told = library.ask("story", "1")
    assert told["id"] == "1" and told["record"] == library.booking(1) and library.ask("story", "uid-1") == told
    assert sorted(kinds(told)) == ["call", "credit", "credit", "decision", "event", "pause", "pause", "settled"]
    assert told["now_text"] == "accepted, charged 2" and told["can"] == CANNOT
    assert [move["kind"] for move in told["movements"]] == ["hold", "capture"]
    assert told["credit"] == {"before": {"balance": 5, "held": 0, "spent": 0}, "after": {"balance": 3, "held": 0, "spent": 2}}
    assert told["calls"][0] | {"at_ms": 0} == {
        "at_ms": 0, "took_ms": 12, "call": "confirm", "status": 200, "class": "done", "detail": "ok"}
    inputs = told["inputs"]
    assert {"name": "balance", "value": "5"} in inputs["account_was"] and inputs["terms"] == [{"name": "cost", "value": "2"}]
    assert {"name": "open", "value": 0} in inputs["circumstances"] and inputs["policy"] == told["record"]["policy"]


def test_the_lines_of_one_millisecond_stand_in_their_order(library):
    library.grant(ANN, 5)
    settle_one(library, 1)
    entries = library.client.xrange(library.key("ledger:" + ANN), min=library.booking(1)["received_ms"])
    library.client.delete(library.key("ledger:" + ANN))
    for number, (_, fields) in enumerate(entries, 1):
        library.client.xadd(library.key("ledger:" + ANN), fields, id=f"5000-{number}")
    library.set_booking(1, calls="5000 1 confirm 200 done ok", settled_ms=5000, decided_ms=5000, received_ms=5000, requested_ms=5000)
    told = library.ask("story", "1")
    assert kinds(told) == ["event", "decision", "credit", "credit", "call", "settled"]
    assert [line["text"].split()[1] for line in told["lines"][2:4]] == ["hold", "capture"]
    library.client.delete(library.key("ledger:" + ANN), library.key("credit:" + ANN), library.key("booking:1"))


def test_what_the_story_has_of_a_rescheduled_one(library):
    library.grant(ANN, 5)
    settle_one(library, 1)
    library.record(2, reschedule_uid="uid-1")
    library.settle(library.take_one(), "accepted")
    assert [move["kind"] for move in library.ask("story", "1")["movements"]] == ["hold", "capture", "move"]
    assert [move["kind"] for move in library.ask("story", "2")["movements"]] == ["move", "capture"]


def test_the_answers_are_told_as_they_were_kept(bare_library):
    library = bare_library
    library.install("return function(booking) return {accept=true,cost=0,reason=booking.answers.a or 'x'} end")
    library.record(1, answers='{"a":"\\u00e9","b":[1,{"c":2}],"d":3}')
    library.take()
    assert library.ask("story", "1")["inputs"]["answers"] == [
        {"name": "a", "value": "é"}, {"name": "b", "value": '[1,{"c":2}]'}, {"name": "d", "value": 3}]


def test_the_story_of_somebody_unknown_to_us(library):
    library.record(1, account="eve@x")
    library.take()
    told = library.ask("story", "1")
    assert told["inputs"]["account_unknown"] is True and "account_was" not in told["inputs"]
    assert told["lines"][1]["more"][0] == "the account was unknown" and told["credit"] == {}


def test_of_a_dead_one_the_story_tells_what_can_be_done(library):
    park_undecided(library)
    assert library.ask("story", "1")["can"] == dict.fromkeys(CANNOT, True)
    assert library.ask("story", "1")["now_text"] == "waits to be decided; listed under dead"


def test_no_such_story(library):
    assert library.ask("story", "7") == {"missing": True, "text": "there is no booking 7 (an ID like 48213, or Cal.com's uid)"}
    library.client.hset(library.key("done"), "8", "accepted")
    assert "was accepted long ago" in library.ask("story", "8")["text"]
    for seat in ("9:b", "9:a"):
        library.record(seat, uid="uid-9", seat=seat[2:], seats="yes", account=seat + "@x", email=seat + "@x")
    told = library.ask("story", "9")
    assert told["missing"] and told["seats"] == ["9:a", "9:b"]


def test_a_story_within_a_long_ledger(library):
    """What lies too deep in it is not looked for, and the story says so."""
    library.grant(ANN, 5000)
    library.record(1)
    job = library.take_one()
    for _ in range(650):
        library.grant(ANN, 1)
    library.settle(job, "accepted")
    for _ in range(250):
        library.grant(ANN, 1)
    told = library.ask("story", "1")
    assert [move["kind"] for move in told["movements"]] == ["hold", "capture"] and told["movements_partial"] is True


# ---- What it stands on ----

def test_the_policy_in_force(library):
    told = library.ask("policy_show")
    assert (told["text"], told["source"], told["terms"]) == (DEFAULT_POLICY, "default", []) and "by" not in told
    library.terms(b=1, a="x")
    library.call("policy", "return function() return {accept=true,cost=0,reason='x'} end", "operator", "nora")
    told = library.ask("policy_show")
    assert (told["by"], told["source"], told["terms"]) == ("nora", "operator", [{"name": "a", "value": "x"}, {"name": "b", "value": "1"}])
    assert told["sha"] == library.client.hget(library.key("policy"), "sha") and len(told["terms_sha"]) == 40


def test_the_system(library):
    library.record(1)
    told = library.ask("system")
    assert told["redis"]["version"] == library.client.info("server")["redis_version"] and told["redis"]["used_memory"] > 0
    assert told["keys"]["queue"] == 1 and told["schema"] == 1 and told["library"] == library.call("version", 99)


def test_a_series_cannot_be_ruled(library):
    library.grant(ANN, 9)
    gather(library, [1, 2, 3])
    lead = library.take_one()
    library.settle(lead, "refused", "403", covers="series")
    [row] = library.listed("attention", "dead")["rows"]
    assert row["can"] == {**CANNOT, "requeue": True, "discard": True}
