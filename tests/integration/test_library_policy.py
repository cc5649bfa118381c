"""The policy: the default one's answers, how one is installed, and what one cannot do."""

import time

import pytest
import redis

from library import DAY_S, DEFAULT_POLICY, load_library, Library
from test_library_record import refuses

ANN = "ann@example.com"
YES = "return function(booking, account, terms, now)\n  return { accept = true, cost = 1, reason = 'yes' }\nend\n"
NO = YES.replace("true", "false").replace("'yes'", "'no'")


def decide(library, id_=1, **fields):
    """Answers the job, or the error that it was parked with."""
    library.record(id_, **fields)
    jobs = library.take().jobs
    return jobs[0] if jobs else library.booking(id_)["last_error"]


# ---- The default policy ----

def test_default_somebody_unknown(library):
    job = decide(library)
    assert (job.goal, job.reason) == ("reject", f"There is no member account for {ANN}.")
    assert library.purses() is None, "a question makes no account"


def test_default_enough_credit(library):
    library.credit(balance=5)
    job = decide(library)
    assert (job.goal, job.cost, job.reason) == ("accept", 1, "1 of 5 credits")


def test_default_exactly_enough(library):
    library.credit(balance=1)
    assert decide(library).reason == "1 of 1 credit"


def test_default_not_enough(library):
    library.credit(balance=0)
    job = decide(library)
    assert job.goal == "reject"
    assert job.reason == "Not enough credit: this booking costs 1 credit, your balance is 0 credits."


def test_default_account_without_a_balance(library):
    library.credit(tier="gold")
    assert decide(library).goal == "reject"


@pytest.mark.parametrize("value, blocked", [
    ("1", True), ("yes", True), ("true", True), ("unpaid bill", True), (" ", True), ("No", True),
    ("", False), ("0", False), ("no", False), ("false", False),
])
def test_default_blocked(library, value, blocked):
    library.credit(balance=5, blocked=value)
    job = decide(library)
    assert job.goal == ("reject" if blocked else "accept")
    assert ("blocked" in job.reason) == blocked


def day(offset):
    return time.strftime("%Y-%m-%d", time.gmtime(time.time() + offset * DAY_S))


@pytest.mark.parametrize("expires, expired", [
    (lambda: day(-1), True), (lambda: day(0), False), (lambda: day(1), False), (lambda: "2000-02-29", True),
    (lambda: "9999-12-31", False), (lambda: str(int(time.time()) + 60), False),
    (lambda: str(int(time.time()) - 1), True), (lambda: "0", True), (lambda: "", False),
])
def test_default_expires(library, expires, expired):
    library.credit(balance=5, expires=expires())
    job = decide(library)
    assert job.goal == ("reject" if expired else "accept")
    assert ("expired" in job.reason) == expired


@pytest.mark.parametrize("text", ["soon", "2026-13-01", "2026-00-10", "2026-01-32", "2026-1-1", "01.02.2026", "-5",
                                  "2026-01-01T00:00:00Z", "1.5", "2026-02-30", "2025-02-29"])
def test_default_unreadable_expires_parks(library, text):
    library.credit(balance=5, expires=text)
    error = decide(library)
    assert isinstance(error, str) and "expires" in error and text in error
    assert (library.state(), library.dead(), library.ledger()) == ("waiting", ["1"], [])


def test_default_cost_of_an_event_type(library):
    library.terms(**{"cost": "2", "cost:77": "3", "cost:78": "0"})
    library.credit(balance=5)
    assert decide(library, 1, event_type="1207").cost == 2
    assert decide(library, 2, event_type="77").cost == 3
    assert decide(library, 3, event_type="78").goal == "accept"
    assert library.purses() == (0, 5, 0)


def test_default_booking_without_an_event_type(library):
    library.terms(cost="2")
    library.credit(balance=5)
    assert decide(library, event_type=None).cost == 2


@pytest.mark.parametrize("term", ["cost", "cost:1207"])
@pytest.mark.parametrize("text", ["much", "", "-1", "0.5", "1,5"])
def test_default_unreadable_terms_park(library, term, text):
    library.terms(**{term: text})
    library.credit(balance=5)
    error = decide(library)
    assert isinstance(error, str) and term in error and f'"{text}"' in error
    assert library.purses() == (5, 0, 0)


# ---- Installing ----

def sha(library):
    return library.client.hget(library.key("policy"), "sha")


def test_default_goes_into_an_empty_namespace_only(bare_library):
    library = bare_library
    answer, first = library.install(YES, "default")
    assert (answer, first) == ("installed", sha(library))
    assert library.install(NO, "default") == ["kept", first]
    fields = library.client.hgetall(library.key("policy"))
    assert (fields["text"], fields["source"]) == (YES, "default")


def test_a_newer_versions_default_replaces_an_older_default(bare_library):
    library = bare_library
    library.install(YES, "default")
    library.client.hset(library.key("policy"), "version", 0)
    assert library.install(NO, "default") == ["installed", sha(library)]
    assert decide(library).reason == "no"


def test_a_newer_versions_default_does_not_replace_what_somebody_chose(bare_library):
    library = bare_library
    _, chosen = library.install(YES, "file")
    library.client.hset(library.key("policy"), "version", 0)
    assert library.install(NO, "default") == ["kept", chosen]


def test_a_file_replaces_the_default(bare_library):
    library = bare_library
    library.install(YES, "default")
    assert library.install(NO, "file") == ["installed", sha(library)]
    assert library.install(NO, "file") == ["kept", sha(library)]
    assert decide(library).reason == "no"


def test_what_an_operator_installed_stands_until_the_file_changes(bare_library):
    library = bare_library
    _, from_file = library.install(YES, "file")
    operators = NO.replace("'no'", "'by hand'")
    own_sha = library.client.execute_command("EVAL", "return redis.sha1hex(ARGV[1])", 0, operators)
    library.client.hset(library.key("policy"), mapping={"text": operators, "sha": own_sha, "source": "operator"})
    assert library.install(YES, "file") == ["kept", own_sha]
    assert library.install(YES, "default") == ["kept", own_sha]
    assert decide(library).reason == "by hand"
    assert library.install(NO, "file")[0] == "installed"
    assert decide(library, 2).reason == "no"
    assert from_file != sha(library)


@pytest.mark.parametrize("source", ["", "fiel", "DEFAULT"])
def test_an_unknown_source_is_refused(bare_library, source):
    refuses(bare_library, "", lambda: bare_library.install(YES, source))


def test_missing_arguments_are_refused(bare_library):
    refuses(bare_library, "", lambda: bare_library.call("policy"))
    refuses(bare_library, "", lambda: bare_library.call("policy", YES))


@pytest.mark.parametrize("text, message", [
    ("local a = 1\n\nlocal b = = 2\nreturn function() end", r"POLICY policy:3:"),
    ("\n\nerror('at load')", r"POLICY policy:3: at load"),
    ("\n\nlocal x = nil .. 'a'", r"POLICY policy:3:"),
    ("return 5", "POLICY .*must return function"),
    ("", "POLICY .*must return function"),
    ("return {}", "POLICY .*must return function"),
    ("return function(", r"POLICY policy:1:"),
    ("\x1bLua\x51\x00\x01\x04", "POLICY "),
])
@pytest.mark.parametrize("source", ["file", "default"])
def test_a_text_that_does_not_compile_is_refused_with_its_line(bare_library, text, message, source):
    refuses(bare_library, message, lambda: bare_library.install(text, source))


def test_a_refused_text_leaves_the_old_one_in_force(library):
    before = sha(library)
    with pytest.raises(redis.ResponseError):
        library.install("return 1", "file")
    assert sha(library) == before
    assert decide(library).goal == "reject"


def test_bytecode_is_refused(bare_library, shared_client):
    code = shared_client.execute_command("EVAL", "return string.dump(loadstring(ARGV[1]))", 0, YES,
                                         **{"NEVER_DECODE": True})
    assert code.startswith(b"\x1bLua"), "the test has bytecode in its hands"
    refuses(bare_library, "^POLICY ", lambda: bare_library.install(code))


def test_the_policy_survives_a_restart_of_the_library(library):
    """Compiled policies live in Lua; the text in the namespace is what counts."""
    library.install(NO, "file")
    load_library(library.client)
    assert decide(library).reason == "no"


def test_an_error_names_its_line(library):
    library.install("return function(booking)\n\n  error('no idea')\nend")
    assert decide(library).startswith("policy:3: no idea")


# ---- What a policy sees ----

def test_what_a_policy_sees(library):
    library.install("""return function(booking, account, terms, now)
      local function dump(name, map)
        local keys = {}
        for key in pairs(map) do keys[#keys + 1] = key end
        table.sort(keys)
        local parts = {}
        for i, key in ipairs(keys) do parts[i] = key .. '=' .. type(map[key]) end
        return name .. '(' .. table.concat(parts, ',') .. ')'
      end
      local reason = dump('booking', booking) .. dump('account', account) .. dump('terms', terms) .. type(now)
      return { accept = true, cost = 1, reason = reason }
    end""")
    library.credit(balance=5, tier="gold")
    library.terms(cost="1")
    reason = decide(library).reason
    for field in ("id=string", "uid=string", "account=string", "email=string", "event_type=string",
                  "start=number", "end=number", "received=number"):
        assert field in reason
    assert "account(balance=number,held=number,spent=number,tier=string)" in reason
    assert "terms(cost=string)number" in reason


def test_a_policys_times_are_epoch_seconds(library):
    library.install_answer("{ accept = true, cost = 0, reason = string.format('%.0f %.0f %.0f %.0f', "
                           "booking.start, booking['end'], booking.received, now) }")
    start, end, received, now = decide(library, start=1900000000, end=1900003600).reason.split()
    assert (start, end) == ("1900000000", "1900003600")
    assert abs(int(received) - time.time()) < 5 and abs(int(now) - time.time()) < 5


def test_a_policy_sees_the_batchs_earlier_holds(library):
    library.install_answer("{ accept = true, cost = 2, reason = account.balance .. '/' .. account.held }")
    library.credit(balance=5)
    for id_ in range(3):
        library.record(id_)
    assert [job.reason for job in library.take().jobs] == ["5/0", "3/2", "1/4"]


def test_a_policy_cannot_change_our_tables(library):
    library.install("""return function(booking, account, terms, now)
      booking.account, booking.id, booking.state = 'bob@example.com', 'x', 'accepted'
      account.balance, account.held, account.spent = 1000, 1000, 1000
      terms.cost, terms.refund_notice_hours = 99, 99
      return { accept = true, cost = 1, reason = tostring(account.balance) }
    end""")
    library.credit(balance=5)
    library.record(1)
    library.record(2)
    assert library.take().ids == ["1", "2"]
    assert library.purses() == (3, 2, 0)
    assert (library.booking(1)["account"], library.booking(2)["balance_before"]) == (ANN, "4")
    assert library.client.hgetall(library.key("terms")) == {}


def test_a_long_reason_stays_a_text(library):
    """It goes to Cal.com as JSON: half a letter at its end would be refused."""
    library.install_answer("{ accept = false, cost = 1, reason = 'x' .. string.rep('\u00e4', 2000) }")
    library.record(1)
    _, _, jobs, *_ = library.client.execute_command(
        "FCALL", "tollgate_take", 1, library.key("queue"), "w", 1, 1, 0, 10000, 1000, **{"NEVER_DECODE": True})
    reason = jobs[0][5]
    assert 400 <= len(reason) <= 1000
    reason.decode()


# ---- Wrong answers park that booking only ----

@pytest.mark.parametrize("answer", [
    "{ accept = true, cost = 0.5, reason = 'r' }",
    "{ accept = true, cost = -5, reason = 'r' }",
    "{ accept = true, cost = 'much', reason = 'r' }",
    "{ accept = true, cost = '1', reason = 'r' }",
    "{ accept = true, cost = 0/0, reason = 'r' }",
    "{ accept = true, cost = 1/0, reason = 'r' }",
    "{ accept = true, cost = 2^60, reason = 'r' }",
    "{ accept = true, reason = 'r' }",
    "{ accept = true, cost = 1 }",
    "{ accept = true, cost = 1, reason = '' }",
    "{ accept = true, cost = 1, reason = 5 }",
    "{ accept = 'yes', cost = 1, reason = 'r' }",
    "{ accept = 1, cost = 1, reason = 'r' }",
    "{ cost = 1, reason = 'r' }",
    "{}",
    "nil",
    "true",
    "'yes'",
    "function() end",
    "error('no idea')",
    "error({})",
    "error(nil)",
    "error()",
    "booking.nothing.at.all",
    "('x'):rep(-1) .. nil",
])
def test_a_wrong_answer_parks_that_booking_only(library, answer):
    library.install(f"""return function(booking, account, terms, now)
      if booking.id == 'good' then return {{ accept = true, cost = 1, reason = 'fine' }} end
      return {answer}
    end""")
    library.credit(balance=5)
    library.record("bad")
    library.record("good")
    assert library.take().ids == ["good"]
    assert library.dead() == ["bad"]
    b = library.booking("bad")
    assert b["state"] == "waiting" and b["last_error"]
    assert library.purses() == (4, 1, 0)


def test_a_policy_that_calls_itself_for_ever_parks(library):
    library.install("local function f() return 1 + f() end\nreturn function() return f() end")
    assert "stack overflow" in decide(library)


# ---- Escapes ----

HIDDEN = ["redis", "server", "_G", "load", "loadstring", "rawget", "rawset", "getmetatable", "setmetatable",
          "getfenv", "setfenv", "debug", "require", "module", "package", "dofile", "loadfile", "newproxy", "io",
          "KEYS", "ARGV", "math.randomseed_", "os.execute", "os.exit", "os.remove", "os.getenv"]


@pytest.mark.parametrize("name", HIDDEN)
def test_a_policy_does_not_get_at(library, name):
    """Nil or an error, at load and when it runs."""
    probe = f"""local ran, found = pcall(function() return {name} end)
      local got = ran and found ~= nil"""
    library.install(f"{probe}\nreturn function() {probe}\n "
                    "return { accept = false, cost = 0, reason = got and 'escaped' or 'safe' } end")
    assert decide(library).reason == "safe"
    library.install(f"{probe}\nreturn function() return {{ accept = false, cost = 0, "
                    "reason = got and 'escaped' or 'safe' } end")
    assert decide(library, 2).reason == "safe"


@pytest.mark.parametrize("attack", [
    "escaped = 1",
    "string.escaped = 1",
    "string.format = function() return 'escaped' end",
    "math.floor = nil",
    "table.concat = nil",
    "pcall = nil",
    "tostring = function() return 'escaped' end",
    "ipairs = nil",
    "getmetatable('').__index = nil",
    "setmetatable({}, {})",
    "rawset(string, 'escaped', 1)",
    "('').format = nil",
    "os.clock = nil",
    "setfenv(1, {})",
    "getfenv(0).redis.call('SET', 'escaped', '1')",
    "getfenv(pcall).redis.call('SET', 'escaped', '1')",
    "loadstring('redis.call(\"SET\", \"escaped\", 1)')()",
    "loadstring(string.dump(function() end))()",
    "redis.call('SET', 'escaped', '1')",
    "server.call('SET', 'escaped', '1')",
    "_G.redis.call('SET', 'escaped', '1')",
    "redis.register_function('escaped', function() end)",
    "redis.setresp(3)",
    "cjson.encode({})",
    "coroutine.wrap(function() end)()",
])
@pytest.mark.parametrize("when", ["at load", "when it decides"])
def test_an_attack_is_an_error_and_leaves_nothing(library, attack, when):
    if when == "at load":
        text = f"{attack}\n" + YES
        refuses(library, "^POLICY ", lambda: library.install(text))
    else:
        library.install(f"return function()\n  {attack}\n"
                        "  return { accept = true, cost = 0, reason = 'escaped' }\nend")
        error = decide(library)
        assert isinstance(error, str), "it must not come to an answer"
    assert library.client.get("escaped") is None
    library.install(DEFAULT_POLICY)
    library.credit(balance=5)
    assert decide(library, "after").reason == "1 of 5 credits", "the next policy is not affected"


def test_a_policy_keeps_nothing_from_one_namespace_to_another(library, shared_client):
    """Namespaces share a library, and so one compiled policy; what it keeps in a local is shared."""
    text = ("local seen = ''\nreturn function(booking)\n  local before = seen\n  seen = seen .. booking.account\n"
            "  return { accept = false, cost = 0, reason = 'seen:' .. before }\nend")
    other = Library(shared_client, library.namespace + "-other")
    other.install(text)
    decide(other, account="secret@example.com")
    library.install(text)
    assert "secret@example.com" not in decide(library).reason
