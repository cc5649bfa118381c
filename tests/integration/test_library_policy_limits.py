"""A policy that never ends, takes all memory or answers nonsense stops one booking and nothing else."""

import re
import time

import pytest

from library import DEFAULT_POLICY
from policies import answering, check, try_policy
from test_library_record import refuses

YES = answering("{ accept = true, cost = 1, reason = 'fine' }")
STOPPED = r"policy:\d+: stopped after 100000 steps, does it ever end\?"


def body(code):
    return f"return function(booking, account, terms, now)\n  {code}\n  return {{ accept = true, cost = 1, reason = 'fine' }}\nend"


def asked(library, code):
    return try_policy(library, body(code), account={"balance": 5})


# ---- Without end ----

ENDLESS = [
    "while true do end",
    "while true do local x = 1 end",
    "while true do while true do end end",
    "repeat until false",
    "repeat local x = 1 until x == 2",
    "for i = 1, math.huge do end",
    "for i = 1, 0, 0 do end",
    "for _ in function() return 1 end do end",
    "local function f() return f() end f()",
    "local t = {} function t.f() return t:g() end function t:g() return t.f() end t.f()",
    "local f f = function(...) return f(...) end f(1)",
    "string.gsub(('x'):rep(1000), '', function() while true do end end)",
    "table.sort({3, 2, 1}, function() while true do end end)",
    "while true do pcall(error, 'x') end",
    "while true do pcall(function() while true do end end) end",
    "while true do xpcall(function() while true do end end, function() while true do end end) end",
    "local function f() pcall(f) pcall(f) pcall(f) end f() f()",
    "local s = 'do' --[[ do ]] while--[==[ ]] ]==]true--\ndo--[[x]]end",
    "local s = '\\'' while true do end s = \"\\\"\"",
    "local s = '\\\\' while true do end s = '\\\\'",
    "local s = [[ ' ]] while true do end s = [==[ ]] ' ]==]",
    "local s = 'a\\\r\nb' while true do end s = ''",
    "local s = 1e+5 while 0x1F do end s = 3.",
    "local a = {1} while a[a[1]] do end",
    "local a = 5-3 --1\n while true do end",
]


@pytest.mark.parametrize("code", ENDLESS)
def test_a_policy_without_end_is_stopped(library, code):
    began = time.monotonic()
    answer = asked(library, code)
    assert "stopped after 100000 steps, does it ever end?" in answer["error"], answer
    assert answer["error"].startswith("policy:")
    assert time.monotonic() - began < 5


def test_only_its_own_booking_suffers(library):
    library.install("""return function(booking)
      if booking.id == 'bad' then
        while true do end
      end
      return { accept = true, cost = 1, reason = 'fine' }
    end""")
    library.credit(balance=5)
    for id_ in ("a", "bad", "b"):
        library.record(id_)
    assert library.take().ids == ["a", "b"]
    assert library.dead() == ["bad"]
    assert library.booking("bad")["last_error"] == \
        "policy:3: stopped after 100000 steps, does it ever end?"
    assert library.purses() == (3, 2, 0)


def test_each_booking_has_all_steps(library):
    """30 times 90 000 would be too many for one."""
    library.install(body("for i = 1, 90000 do end"))
    library.credit(balance=100)
    for id_ in range(30):
        library.record(id_)
    assert len(library.take().jobs) == 30


@pytest.mark.parametrize("count, stopped", [(99000, False), (101000, True)])
def test_the_limit_is_100000_steps(library, count, stopped):
    assert ("error" in asked(library, f"for i = 1, {count} do end")) == stopped


def test_a_pcall_does_not_give_new_steps(library):
    """What it caught once it meets again at the next step."""
    answer = asked(library, "pcall(function() while true do end end)\n  for i = 1, 1 do end")
    assert answer["error"].startswith("policy:3: stopped")


def test_without_end_at_load(bare_library):
    refuses(bare_library, "POLICY " + STOPPED, lambda: bare_library.install("while true do end\n" + YES))
    refuses(bare_library, "POLICY policy:2: stopped",
            lambda: bare_library.install("local x\nrepeat x = 1 until false\n" + YES))


@pytest.mark.parametrize("text", [
    "local function tollgate_step() end\n",
    "local x = 1\nfor tollgate_step in pairs({}) do end\n",
    "tollgate_times = 5\n",
    "local a = { tollgate_step = 1 }\n",
])
def test_our_own_names_are_refused(bare_library, text):
    lines = text.count("\n") if "\nfor" in text else 1
    refuses(bare_library, f"POLICY policy:{lines}: the name tollgate_",
            lambda: bare_library.install(text + YES))


def test_our_own_names_in_texts_and_comments_are_fine(bare_library):
    assert check(bare_library, "-- tollgate_step\nlocal s = 'tollgate_step()' --[[ tollgate_x ]]\n" + YES)[0] == "ok"


def test_the_counting_cannot_be_got_at_by_the_chunks_arguments(library):
    text = "local step = ...\nstep = function() end\n" + body("while true do end")
    assert "stopped after" in try_policy(library, text)["error"]


def test_line_numbers_and_meaning_stay(library):
    text = """local function add(a, b) return a + b end
local t = { f = function() return 1 end, ['do'] = 2, 'function', "do repeat", [[
do ]] }
-- do repeat function(
local n = 0
for i = 1, 3 do n = add(n, i) end
repeat n = n + 1 until n >= 10 do local n = 5 end
function t.g(...) return ... end function t:h(a) return self.f() + a end
local x = (function(y) return y * 2 end)(n), 1
return function(booking)
  if booking.id == 'bad' then error('line twelve' .. ('-'):rep(3, 'x') .. string.rep('!', (2))) end

  error('line 13: ' .. n .. ' ' .. x .. ' ' .. t:h(4) .. ' ' .. t[1] .. ' ' .. t.g('z') .. #t[2] .. t['do'])
end"""
    assert try_policy(library, text)["error"] == "policy:13: line 13: 10 20 5 function z92"
    assert try_policy(library, text, {"id": "bad"})["error"] == "policy:11: line twelve---!!"


def test_an_error_of_syntax_is_about_what_was_written(bare_library):
    refuses(bare_library, "POLICY policy:2: .* near '\\)'", lambda: bare_library.install("\nfor x in ) do end"))


# ---- Memory ----

@pytest.mark.parametrize("code", [
    "local s = 'x' for i = 1, 100 do s = s .. s end",
    "local s = 'x' while true do s = s:rep(10000) end",
    "local t = {} while true do t[#t + 1] = ('x'):rep(9000) .. #t end",
    "local s = '0123456789' while true do s = string.gsub(s, '.', '%0%0%0%0') end",
])
def test_memory_has_a_limit(library, code):
    assert "stopped after taking 16 MiB" in asked(library, code)["error"]


@pytest.mark.parametrize("code", [
    "local s = string.rep('x', 2^31)",
    "local s = string.rep('x', now)",
    "local s = string.rep('x', '9999999999')",
    "local rep = string.rep local s = rep('xx', 1000000)",
    "local s = ('x'):rep(1e9)",
    "local s = ('x'):rep((now))",
    "local n = now local s = booking.account:rep((n + 1) * (2))",
    "local s = ('x') : rep (now)",
])
def test_a_text_is_not_repeated_for_ever(library, code):
    answer = asked(library, code)
    assert "rep: " in answer["error"] and answer["error"].startswith("policy:2: "), answer


@pytest.mark.parametrize("expression, result", [
    ("string.rep('ab', 3)", "ababab"), ("('ab'):rep(3)", "ababab"), ("('ab'):rep(-1) .. '.'", "."),
    ("('a'):rep(('b'):rep(3):len())", "aaa"), ("#string.rep('x', 1048576)", "1048576"),
    ("#('x'):rep(10000)", "10000"), ("('%d'):format(3) .. string.upper('x')", "3X"),
])
def test_texts_are_repeated_as_ever(library, expression, result):
    answer = try_policy(library, answering(f"{{ accept = true, cost = 1, reason = '' .. {expression} }}"))
    assert answer["reason"] == result


def test_a_long_policy_is_refused(bare_library):
    refuses(bare_library, "POLICY policy: it is longer than 65536 bytes",
            lambda: bare_library.install(YES + "-" * 65536))


# ---- Nothing stays from one booking to the next ----

@pytest.mark.parametrize("attack", [
    "string.format = nil",
    "string.escaped = 1",
    "tollgate.is_set = nil",
    "tollgate.escaped = 1",
    "table.insert(tollgate, 1) error('refused')",
    "table.insert(table, 1)",
    "tollgate.expiry = function() return 0 end",
])
@pytest.mark.parametrize("guarded", [False, True])
def test_nothing_can_be_poisoned(library, attack, guarded):
    code = f"pcall(function() {attack} end)" if guarded else attack
    library.install(body(code))
    library.record(1)
    assert library.take().ids == (["1"] if guarded else [])
    answer = asked(library, "if tollgate.escaped or string.escaped or #tollgate > 0 or #table > 0 then error('poisoned') end")
    assert answer["reason"] == "fine"
    library.install(DEFAULT_POLICY)
    library.credit(balance=5, expires="2999-01-01", blocked="no")
    library.record("after")
    job = library.take_one()
    assert (job.goal, job.cost) == ("accept", 1) and "credits" in job.reason


def test_a_policy_remembers_nothing(library):
    """Else the same booking could be decided otherwise when it is decided again."""
    library.install("local count = 0\nreturn function()\n  count = count + 1\n"
                    "  return { accept = true, cost = 0, reason = 'number ' .. count }\nend")
    for id_ in range(3):
        library.record(id_)
    assert [job.reason for job in library.take().jobs] == ["number 1"] * 3


# ---- Answers ----

@pytest.mark.parametrize("answer, error", [
    ("{ accept = true, cost = 0.5, reason = 'r' }", "cost must be a whole number of credits from 0 up, not 0.5"),
    ("{ accept = true, cost = -5, reason = 'r' }", "cost must be a whole number of credits from 0 up, not -5"),
    ("{ accept = true, cost = 'much', reason = 'r' }", 'from 0 up, not "much"'),
    ("{ accept = true, cost = 0/0, reason = 'r' }", "from 0 up, not -?nan"),
    ("{ accept = true, cost = 1/0, reason = 'r' }", "from 0 up, not inf"),
    ("{ accept = true, cost = 2^53, reason = 'r' }", "from 0 up, not 9.007"),
    ("{ accept = true, cost = {}, reason = 'r' }", "from 0 up, not a table"),
    ("{ accept = true, reason = 'r' }", "from 0 up, not nil"),
    ("{ accept = 'yes', cost = 1, reason = 'r' }", 'accept must be true or false, not "yes"'),
    ("{ cost = 1, reason = 'r' }", "accept must be true or false, not nil"),
    ("{ accept = true, cost = 1 }", "reason must be a text, not nil"),
    ("{ accept = true, cost = 1, reason = '' }", 'reason must be a text, not ""'),
    ("{ accept = true, cost = 1, reason = 5 }", "reason must be a text, not 5"),
    ("{ accept = true, cost = 1, reason = '\\255' }", "reason must be UTF-8 text without NUL"),
    ("{ accept = true, cost = 1, reason = 'a\\0b' }", "reason must be UTF-8 text without NUL"),
    ("{ defer = 0, reason = 'r' }", r"defer must be a whole number of seconds from 1 to 2592000 \(30 days\), not 0"),
    ("{ defer = -1, reason = 'r' }", "defer must be"),
    ("{ defer = 1.5, reason = 'r' }", "defer must be .* not 1.5"),
    ("{ defer = 2592001, reason = 'r' }", "defer must be .* not 2592001"),
    ("{ defer = 1/0, reason = 'r' }", "defer must be"),
    ("{ defer = '60', reason = 'r' }", 'defer must be .* not "60"'),
    ("{ defer = true, reason = 'r' }", "defer must be .* not true"),
    ("{ defer = 60 }", "reason must be a text, not nil"),
    ("nil", "the answer must be a table, not nil"),
    ("'yes'", 'the answer must be a table, not "yes"'),
    ("function() end", "the answer must be a table, not a function"),
    ("error({ 'x' })", "it raised a table instead of a text"),
    ("error()", "it raised nil instead of a text"),
])
def test_what_is_wrong_with_an_answer(library, answer, error):
    told = try_policy(library, answering(answer))
    assert list(told) == ["error"] and re.match("policy: .*" + error, told["error"]), told


@pytest.mark.parametrize("answer, meant", [
    ("{ accept = true, cost = 0, reason = 'r' }", {"accept": True, "cost": 0, "reason": "r"}),
    ("{ accept = true, cost = 9007199254740991, reason = 'r' }",
     {"accept": True, "cost": 9007199254740991, "reason": "r"}),
    ("{ accept = true, cost = 1, reason = 'Grüße: 5 €, 🂡 \"x\"\\n' }",
     {"accept": True, "cost": 1, "reason": 'Grüße: 5 €, 🂡 "x"\n'}),
    ("{ defer = 1, reason = 'r' }", {"defer": 1, "reason": "r"}),
    ("{ defer = 2592000, accept = 'ignored', cost = -1, reason = 'r' }", {"defer": 2592000, "reason": "r"}),
    ("{ defer = false, accept = true, cost = 1, reason = 'r' }", {"accept": True, "cost": 1, "reason": "r"}),
    ("(function() local t = { accept = true, cost = 1, reason = 'r' } t.t = t return t end)()",
     {"accept": True, "cost": 1, "reason": "r"}),
])
def test_right_answers(library, answer, meant):
    assert try_policy(library, answering(answer)) == meant


def test_a_cost_of_minus_nothing_is_nothing(library):
    library.install(answering("{ accept = false, cost = -1 * (account and 1 or 0), reason = 'r' }"))
    library.record(1)
    library.take()
    assert library.booking()["cost"] == "0"


def test_a_reason_or_error_of_many_megabytes_is_cut(library):
    told = asked(library, "error(string.rep('x', 1000000))")
    assert 400 < len(told["error"]) <= 500
    told = try_policy(library, answering("{ accept = true, cost = 1, reason = string.rep('ü', 500000) }"))
    assert set(told["reason"]) == {"ü"} and len(told["reason"]) == 250
