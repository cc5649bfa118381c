"""A policy without end, one that puts a decision off, and what a policy is shown."""

import json

import pytest

ANN = "ann@example.com"

ENDLESS = {
    "while": "while true do end",
    "repeat": "repeat until false",
    "for": "for i = 1, math.huge do end",
    "recursion": "local function again() return again() end again()",
    "pcall in a loop": "while true do pcall(function() while true do end end) end",
    "hidden in a string's neighbour": 'local s = "do" --[[ repeat ]] while true do s = [[do]] end',
    "gsub with a function": "while true do string.gsub('aaaa', 'a', function() end) end",
}


@pytest.mark.parametrize("body", ENDLESS.values(), ids=ENDLESS.keys())
def test_a_policy_without_end_parks_only_its_booking(library, body):
    library.credit(balance=5)
    library.install(f"""return function(booking, account, terms, now)
  if booking.id == '2' then {body} end
  return {{ accept = true, cost = 1, reason = 'fine' }}
end""")
    for id_ in (1, 2, 3):
        library.record(id_)
    assert library.take().ids == ["1", "3"]
    assert library.dead() == ["2"]
    assert "does it ever end" in library.booking(2)["last_error"] or "overflow" in library.booking(2)["last_error"]
    assert library.purses() == (3, 2, 0)


def test_a_policy_whose_file_does_not_end_does_not_load(library):
    with pytest.raises(Exception, match="does it ever end"):
        library.install("while true do end return function() end")


def test_the_steps_of_one_booking_do_not_count_for_the_next(library):
    library.credit(balance=100)
    library.install("""return function(booking)
  for i = 1, 60000 do end
  return { accept = true, cost = 1, reason = 'fine' }
end""")
    for id_ in range(1, 6):
        library.record(id_)
    assert len(library.take().jobs) == 5


def test_steps_leave_line_numbers_and_texts_alone(library):
    library.install("""-- do not repeat this function(x)
local long = [==[ do repeat function() ]] ]==]
local quoted = 'it\\'s "do" function()' .. "do \\" repeat"
return function(booking)
  for _ = 1, 2 do
    local f = function(a, b) return a end
  end
  error(long .. '|' .. quoted)
end""")
    library.record(1)
    library.take()
    error = library.booking()["last_error"]
    assert error.startswith("policy:8:")
    assert ' do repeat function() ]] |it\'s "do" function()do " repeat' in error


def test_the_steps_name_is_taken(library):
    with pytest.raises(Exception, match="tollgate_step"):
        library.install("local tollgate_step = 1 return function() end")


# ---- Deferring ----

def test_defer_asks_again_when_it_is_due(library):
    library.credit(balance=0)
    library.install("""return function(booking, account)
  if account.balance < 1 then return { defer = 1, reason = 'waiting for credit' } end
  return { accept = true, cost = 1, reason = 'now there is' }
end""")
    library.record(1)
    assert library.take().jobs == []
    b = library.booking()
    assert (b["state"], b["place"], b["reason"], b["deferred"]) == ("waiting", "retry", "waiting for credit", "1")
    library.credit(balance=1)
    library.client.zadd(library.key("retry"), {"1": 0})
    job = library.take_one()
    assert (job.id, job.goal) == ("1", "accept")


@pytest.mark.parametrize("seconds", ["0", "-1", "0.5", "1/0", "'60'", "30 * 86400 + 1"])
def test_a_wrong_defer_parks(library, seconds):
    library.install_answer(f"{{ defer = {seconds}, reason = 'later' }}")
    library.record(1)
    assert library.take().jobs == []
    assert library.dead() == ["1"]
    assert "defer must be a whole number of seconds" in library.booking()["last_error"]


# ---- What a policy is shown ----

def test_answers_and_metadata_are_shown_and_kept_if_the_policy_reads_them(library):
    library.credit(balance=5)
    told = {"answers": json.dumps({"topic": "chess", "guests": ["a", "b"], "blank": None}),
            "metadata": json.dumps({"memberId": "BC-1"})}
    library.record(1, **told)
    assert "answers" not in library.booking(1)  # the default policy reads none
    library.install("""return function(booking)
  local a, m = booking.answers, booking.metadata
  return { accept = true, cost = 0, reason = a.topic .. #a.guests .. tostring(a.blank) .. m.memberId }
end""")
    library.record(2, **told)
    library.take()
    assert library.booking(2)["reason"] == "chess2nilBC-1"
    assert library.state(1) is not None


def test_open_counts_what_the_account_holds_or_has(library):
    library.credit(balance=5)
    library.install("return function(b) return { accept = true, cost = 0, reason = 'open ' .. b.open } end")
    for id_ in (1, 2, 3):
        library.record(id_)
    jobs = library.take().jobs
    assert [library.booking(i)["reason"] for i in (1, 2, 3)] == ["open 0", "open 1", "open 2"]
    library.settle(jobs[0], "accepted")
    library.settle(jobs[1], "cancelled")
    library.record(4)
    library.take()
    assert library.booking(4)["reason"] == "open 2"


# ---- Identity ----

@pytest.mark.parametrize("email, accepted", [("ann@example.com", True), ("bea@example.com", True),
                                             ("eve@example.com", False)])
def test_a_member_number_belongs_to_its_addresses(library, email, accepted):
    library.credit("bc-0042", balance=5, email="Ann@example.com; bea@example.com")
    library.record(1, account="bc-0042", email=email)
    assert (library.take_one().goal == "accept") == accepted
    if not accepted:
        assert "does not belong" in library.booking()["reason"]


def test_a_booking_without_an_account_is_rejected(library):
    library.record(1, account=None)
    job = library.take_one()
    assert (job.goal, job.reason) == ("reject", "This booking names no member account.")


# ---- Observing ----

def test_observing_touches_neither_credit_nor_calcom(library):
    library.credit(balance=1)
    library.record(1)
    library.record(2, account="nobody@example.com")
    assert library.take(mode="observe").jobs == []
    assert (library.state(1), library.booking(1)["decision"], library.booking(1)["cost"]) == ("observed", "accept", "1")
    assert (library.state(2), library.booking(2)["decision"]) == ("observed", "reject")
    assert library.purses() == (1, 0, 0)
    assert library.ledger() == []
    library.record(1, "cancelled")
    library.record(1, "created")
    assert library.take().jobs == []
