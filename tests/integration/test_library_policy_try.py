"""Checking, trying and installing a policy, and what it is shown."""

import json
import time

import pytest
import redis

from library import DEFAULT_POLICY
from policies import answering, check, try_policy, try_raw
from test_library_record import refuses

YES = answering("{ accept = true, cost = 1, reason = 'yes' }")
NO = answering("{ accept = false, cost = 1, reason = 'no' }")
# Answers its arguments, sorted, as its reason.
SHOW = """
local function show(value)
  if type(value) ~= 'table' then return type(value):sub(1, 1) .. ':' .. tostring(value) end
  local keys = {}
  for key in pairs(value) do keys[#keys + 1] = tostring(key) end
  table.sort(keys)
  for i, key in ipairs(keys) do
    local part = value[key]
    if part == nil then part = value[tonumber(key)] end
    keys[i] = key .. '=' .. show(part)
  end
  return '{' .. table.concat(keys, ' ') .. '}'
end
return function(booking, account, terms, now)
  return { accept = true, cost = 0, reason = show(%s) }
end
"""


def sha_of(library, text):
    return library.client.eval("return redis.sha1hex(ARGV[1])", 0, text)


def policy_hash(library):
    return library.client.hgetall(library.key("policy"))


# ---- Check ----

def test_check_installs_nothing(library):
    before = library.snapshot()
    assert check(library, YES) == ["ok", sha_of(library, YES), ""]
    assert library.snapshot() == before


@pytest.mark.parametrize("text, message", [
    ("return 5", "^POLICY .*must return function"),
    ("\n\nreturn function() end end", "^POLICY policy:3:"),
    ("\x1bLua", "^POLICY policy:1:"),
])
def test_check_refuses_as_install_does(library, text, message):
    refuses(library, message, lambda: check(library, text))
    refuses(library, message, lambda: library.install(text, "operator"))


@pytest.mark.parametrize("text, reads", [
    ("", ""),
    ("local a = function(booking) return booking.open + booking['occurrence'], booking.metadata end\n",
     "metadata occurrence open"),
    ("local a = function(booking) return booking.answers.name end\n", "answers"),
    ("local a = function(booking) return booking['metadata'] end\n", "metadata"),
    ("local a = function(booking) return booking.metadata or booking.answers end\n", "answers metadata"),
    ("-- answers\n--[[ metadata ]]\n", ""),
    ("local my_answers = 5\n", ""),
])
def test_what_a_policy_reads(library, text, reads):
    """And what has to be kept for it: only the booker's own words are left out otherwise."""
    assert check(library, text + YES)[2] == reads
    library.install(text + YES, "operator")
    assert policy_hash(library)["needs"].split() == [word for word in reads.split() if word in ("answers", "metadata")]


# ---- Install ----

def test_an_operators_policy_is_always_installed(library):
    assert library.call("policy", YES, "operator", "nora")[0] == "installed"
    fields = policy_hash(library)
    assert (fields["source"], fields["installed_by"], fields["text"]) == ("operator", "nora", YES)
    assert abs(int(fields["installed_ms"]) / 1000 - time.time()) < 5
    assert library.call("policy", NO, "operator")[0] == "installed"
    assert library.call("policy", YES, "operator", "nora")[0] == "installed"


def test_an_operators_policy_stands_until_the_file_changes(library):
    _, from_file = library.install(YES, "file")
    library.call("policy", NO, "operator", "nora")
    assert library.install(YES, "file") == ["kept", sha_of(library, NO)], "a restart does not undo it"
    assert library.install(DEFAULT_POLICY, "default") == ["kept", sha_of(library, NO)]
    other = YES.replace("yes", "really")
    assert library.install(other, "file") == ["installed", sha_of(library, other)]
    assert (policy_hash(library)["installed_by"], policy_hash(library)["source"]) == ("", "file")
    assert from_file == sha_of(library, YES)


def test_every_text_ever_installed_is_kept(library):
    library.install(YES, "file")
    library.call("policy", NO, "operator")
    with pytest.raises(redis.ResponseError):
        library.install("return 1", "operator")
    texts = library.client.hgetall(library.key("policies"))
    assert texts == {sha_of(library, text): text for text in (DEFAULT_POLICY, YES, NO)}


def test_installed_and_tried_policies_do_not_mix(library):
    """The library keeps what it compiled; only so many of them."""
    library.install(YES)
    library.credit(balance=50)
    for i in range(40):
        text = answering(f"{{ accept = true, cost = 1, reason = 'number {i}' }}")
        assert try_policy(library, text)["reason"] == f"number {i}"
        assert try_policy(library, "")["reason"] == "yes"
    library.record(1)
    assert library.take_one().reason == "yes"


# ---- Try ----

def test_try_changes_nothing_and_sees_the_real_account(library):
    library.credit(balance=5, held=2, spent=1, tier="gold")
    library.terms(cost="3")
    before = library.snapshot()
    assert try_policy(library, "") == {"accept": True, "cost": 3, "reason": "3 of 5 credits"}
    told = try_policy(library, SHOW % "account")["reason"]
    assert told == "{balance=n:5 held=n:2 spent=n:1 tier=s:gold}"
    assert try_policy(library, SHOW % "account", {"account": "bob@example.com"})["reason"] == "n:nil"
    assert library.snapshot() == before


def test_try_with_an_account_and_terms_of_ones_own(library):
    library.credit(balance=5)
    library.terms(cost="3")
    account = {"balance": "9007199254740991", "held": "0", "tier": "gold"}
    told = try_policy(library, SHOW % "account", account=account)["reason"]
    assert told == "{balance=n:9.007199254741e+15 held=n:0 spent=n:0 tier=s:gold}"
    whole = answering("{ accept = true, cost = account.balance, reason = 'all' }")
    assert try_policy(library, whole, account=account)["cost"] == 9007199254740991
    assert try_policy(library, "", account=None)["reason"].startswith("There is no member account")
    assert try_policy(library, "", terms={"cost": "7"})["cost"] == 7
    assert try_policy(library, "", terms={})["cost"] == 1


def test_try_at_another_time(library):
    assert try_policy(library, SHOW % "now", now=1700000000)["reason"] == "n:1700000000"
    real = int(try_policy(library, SHOW % "now")["reason"][2:])
    assert abs(real - time.time()) < 5


def test_what_a_sample_leaves_out_is_ordinary(library):
    told = try_raw(library, SHOW % "booking", '{"event_type": 1207, "uid": null}', now="1700000000")
    assert told["reason"] == ("{answers={} event_type=s:1207 first_seen=s:requested id=s:0 metadata={} occurrence=n:1 "
                              "occurrences=n:1 open=n:0 received=n:1700000000 reschedule=b:false}")


@pytest.mark.parametrize("arguments", [
    ["", "no JSON", "", "", ""], ["", "5", "", "", ""], ["", "", "", "", ""], ["", "{}", "5", "", ""],
    ["", "{}", "", "x", ""], ["", "{}", "", "null", ""], ["", "{}", "", "", "soon"],
])
def test_try_refuses_wrong_arguments(library, arguments):
    refuses(library, "^ERR tollgate: |must be", lambda: library.call("policy_try", *arguments))


def test_try_refuses_a_text_that_does_not_load(library):
    refuses(library, "^POLICY policy:1:", lambda: try_policy(library, "x ="))


def test_try_without_any_policy(bare_library):
    refuses(bare_library, "^POLICY no policy is installed", lambda: try_policy(bare_library, ""))


def test_try_on_an_account_that_cannot_be_read(library):
    library.credit(balance="many")
    assert "whole number of credits" in try_policy(library, "")["error"]
    library.client.delete(library.key("credit:ann@example.com"))


# ---- What a policy sees of a booking ----

def shown(library, what, **fields):
    """`what` as a policy that decides a recorded booking sees it."""
    library.install(SHOW % what)
    library.record(1, **fields)
    return library.take_one().reason


def test_answers_and_metadata(library):
    answers = {"name": "Jonas \"J\" Weber", "topics": ["a", "b"], "size": 3, "really": True, "gone": None,
               "location": {"value": "integrations:daily", "optionValue": ""}}
    assert shown(library, "booking.answers", answers=json.dumps(answers)) == (
        '{location={optionValue=s: value=s:integrations:daily} name=s:Jonas "J" Weber really=b:true size=n:3 '
        'topics={1=s:a 2=s:b}}')


def test_metadata(library):
    metadata = {"memberId": "BC-0042", "nothing": None, "deep": {"none": None, "list": []}}
    assert shown(library, "booking.metadata", metadata=json.dumps(metadata)) == "{deep={list={}} memberId=s:BC-0042}"


@pytest.mark.parametrize("text", [None, "", "no JSON", "5", "null", "[]", "{}", '"x"', "[" * 8000, '{"a":'])
def test_answers_that_cannot_be_read_are_none(library, text):
    assert shown(library, "{ booking.answers, booking.metadata }", answers=text, metadata=text) == "{1={} 2={}}"


def test_an_ordinary_booking(library):
    told = shown(library, "{ booking.reschedule, booking.occurrence, booking.occurrences, booking.open }")
    assert told == "{1=b:false 2=n:1 3=n:1 4=n:0}"
