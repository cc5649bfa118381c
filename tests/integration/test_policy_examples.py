"""The example policies, and the default one where accounts are member numbers."""

import calendar
import time

import pytest

from harness import ROOT
from library import DEFAULT_POLICY
from policies import check, try_policy

FOLDER = ROOT / "common" / "redis" / "examples"
EXAMPLES = {path.stem: path.read_text() for path in sorted(FOLDER.glob("*.lua"))}
ALL = {"default": DEFAULT_POLICY, **EXAMPLES}
NOW = 1700000000


def at(text):
    return calendar.timegm(time.strptime(text, "%Y-%m-%d %H:%M"))


def test_there_are_four():
    assert set(EXAMPLES) == {"tiers", "peak_hours", "open_bookings", "waiting_list"}


# ---- What all of them do ----

@pytest.fixture(params=ALL)
def text(request):
    return ALL[request.param]


def answer(library, text, member, terms=None, **booking):
    shown = None if member is None else {"balance": 5, **member}
    return try_policy(library, text, booking, account=shown, terms=terms or {}, now=NOW)


def test_it_compiles_and_needs_no_answers(library, text):
    """The head's words about answers are no reason to keep them."""
    ok, _, reads = check(library, text)
    assert (ok, reads) == ("ok", "reschedule open" if text == EXAMPLES["open_bookings"] else "")


def test_it_accepts_what_there_is_credit_for(library, text):
    told = answer(library, text, {"balance": 1}, start=at("2023-11-19 10:00"))
    assert (told["accept"], told["cost"]) == (True, 1) and "1" in told["reason"]


@pytest.mark.parametrize("account, booking, reason", [
    ({}, {"account": None}, "This booking names no member account."),
    (None, {"account": "bc-0042"}, "There is no member account for bc-0042."),
    ({"blocked": "yes"}, {}, "Your account is blocked; please contact us."),
    ({"expires": "2023-11-13"}, {}, "Your membership has expired."),
    ({"expires": str(NOW)}, {}, "Your membership has expired."),
    ({"email": "bob@example.com"}, {"account": "bc-0042"},
     "The member number does not belong to this e-mail address."),
    ({"balance": 0}, {"start": NOW + 3600}, "your balance is 0 credits."),
])
def test_it_refuses(library, text, account, booking, reason):
    told = answer(library, text, account, **booking)
    assert told["accept"] is False and reason in told["reason"]


@pytest.mark.parametrize("account", [{"blocked": "no"}, {"expires": "2023-11-14"}, {"expires": ""},
                                     {"expires": str(NOW + 1)}])
def test_it_does_not_refuse(library, text, account):
    assert answer(library, text, account)["accept"] is True


@pytest.mark.parametrize("terms", [{"cost": "much"}, {"cost": "-1"}, {"cost": "0.5"}])
def test_terms_that_cannot_be_read_are_an_error(library, text, terms):
    assert 'cost is "' in answer(library, text, {}, terms)["error"]


def test_an_expiry_that_cannot_be_read_is_an_error(library, text):
    assert answer(library, text, {"expires": "soon"})["error"] == \
        'expires is "soon", neither YYYY-MM-DD nor epoch seconds'


# ---- Identity ----

@pytest.mark.parametrize("emails, booker, theirs", [
    ("ann@example.com", "ann@example.com", True),
    ("Ann@Example.com", "ann@example.com", True),
    ("bob@example.com", "ann@example.com", False),
    ("bob@example.com, ann@example.com", "ann@example.com", True),
    ("bob@example.com;ann@example.com", "ann@example.com", True),
    ("bob@example.com ann@example.com", "ann@example.com", True),
    ("joann@example.com", "ann@example.com", False),
    ("ann@example.com.evil", "ann@example.com", False),
    ("", "ann@example.com", True),
    (" ,;", "ann@example.com", True),
    (None, "ann@example.com", True),
    ("ann@example.com", None, False),
    ("ann@example.com", "", False),
])
def test_who_may_use_a_member_number(library, emails, booker, theirs):
    told = answer(library, DEFAULT_POLICY, {"email": emails} if emails is not None else {},
                  account="bc-0042", email=booker)
    assert told["accept"] == theirs
    if not theirs:
        assert told["reason"] == "The member number does not belong to this e-mail address."


def test_where_the_account_is_the_address_its_field_does_not_matter(library):
    assert answer(library, DEFAULT_POLICY, {"email": "other@example.com"})["accept"]


# ---- Tiers ----

TIERS = {"cost": "4", "cost:77": "3", "cost:gold": "2", "cost:gold:77": "1", "cost:standard:88": "closed"}


@pytest.mark.parametrize("tier, event_type, cost", [
    ("gold", "77", 1), ("gold", "78", 2), ("silver", "77", 3), ("silver", "78", 4), (None, "77", 3), ("", "78", 4),
    ("gold", "88", 2),
])
def test_tiers(library, tier, event_type, cost):
    account = {"tier": tier} if tier is not None else {}
    told = answer(library, EXAMPLES["tiers"], account, TIERS, event_type=event_type)
    assert (told["accept"], told["cost"]) == (True, cost)
    assert told["reason"].startswith(f"{tier or 'standard'}: {cost} credit")


def test_tiers_closed(library):
    told = answer(library, EXAMPLES["tiers"], {}, TIERS, event_type="88")
    assert told == {"accept": False, "cost": 0, "reason": "This cannot be booked with a standard membership."}


def test_tiers_not_enough(library):
    told = answer(library, EXAMPLES["tiers"], {"tier": "gold", "balance": 1}, TIERS)
    assert told["reason"] == \
        "Not enough credit: with a gold membership this booking costs 2 credits, your balance is 1 credit."


# ---- Peak hours ----

@pytest.mark.parametrize("start, terms, cost", [
    ("2023-11-13 16:59", {}, 1), ("2023-11-13 17:00", {}, 2),          # a Monday
    ("2023-11-13 19:59", {}, 2), ("2023-11-13 20:00", {}, 1),
    ("2023-11-17 18:00", {}, 2), ("2023-11-18 18:00", {}, 1), ("2023-11-19 18:00", {}, 1),
    ("2023-11-19 18:00", {"peak_days": "67"}, 2), ("2023-11-17 18:00", {"peak_days": "67"}, 1),
    ("2023-11-13 16:00", {"utc_offset_minutes": "60"}, 2), ("2023-11-13 19:00", {"utc_offset_minutes": "60"}, 1),
    ("2023-11-13 22:00", {"utc_offset_minutes": "-300"}, 2),
    ("2023-11-12 23:30", {"utc_offset_minutes": "60", "peak_hours": "0-1"}, 2),   # Monday there
    ("2023-11-13 23:00", {"peak_hours": "22-6"}, 2), ("2023-11-13 05:59", {"peak_hours": "22-6"}, 2),
    ("2023-11-13 06:00", {"peak_hours": "22-6"}, 1), ("2023-11-13 23:59", {"peak_hours": "20-24"}, 2),
    ("2023-11-13 18:00", {"cost": "2"}, 4), ("2023-11-13 18:00", {"cost": "2", "cost_peak": "3"}, 3),
])
def test_peak_hours(library, start, terms, cost):
    told = answer(library, EXAMPLES["peak_hours"], {}, terms, start=at(start))
    assert (told["accept"], told["cost"]) == (True, cost), told
    assert told["reason"].startswith("peak hours: ") == (cost > int(terms.get("cost", 1)))


@pytest.mark.parametrize("terms", [{"peak_hours": "evening"}, {"peak_hours": "17-25"}, {"peak_hours": "24-5"},
                                   {"utc_offset_minutes": "CET"}, {"utc_offset_minutes": "6000"}])
def test_peak_hours_that_cannot_be_read(library, terms):
    [name] = terms
    assert f'{name} is "{terms[name]}"' in answer(library, EXAMPLES["peak_hours"], {}, terms)["error"]


# ---- Open bookings ----

@pytest.mark.parametrize("account, terms, open_, accepted", [
    ({}, {}, 2, True), ({}, {}, 3, False), ({}, {"max_open": "1"}, 0, True), ({}, {"max_open": "1"}, 1, False),
    ({"max_open": "5"}, {"max_open": "1"}, 4, True), ({"max_open": "5"}, {"max_open": "1"}, 5, False),
    ({"max_open": "0"}, {}, 0, False),
])
def test_open_bookings(library, account, terms, open_, accepted):
    told = answer(library, EXAMPLES["open_bookings"], account, terms, open=open_)
    most = account.get("max_open") or terms.get("max_open", "3")
    assert told["accept"] == accepted
    assert told["reason"] == (f"{open_ + 1} of {most} open bookings, 1 credit" if accepted else
                              f"You have {open_} open bookings, and {most} is the most at a time.")


def test_a_reschedule_needs_no_more_room(library):
    assert answer(library, EXAMPLES["open_bookings"], {}, open=3, reschedule=True)["accept"]


# ---- Waiting list ----

@pytest.mark.parametrize("terms, until_start, defer", [
    ({}, 48 * 3600, 900),
    ({}, 24 * 3600 + 60, 60),
    ({"wait_minutes": "60"}, 48 * 3600, 3600),
    ({"wait_hours": "2", "wait_minutes": "0"}, 3 * 3600, 1),
    ({"wait_minutes": "999999"}, 365 * 86400, 30 * 86400),
])
def test_waiting_list_waits(library, terms, until_start, defer):
    told = answer(library, EXAMPLES["waiting_list"], {"balance": 0}, terms, start=NOW + until_start)
    assert told == {"defer": defer,
                    "reason": "Waiting for credit: this booking costs 1 credit, your balance is 0 credits."}


@pytest.mark.parametrize("terms, until_start", [({}, 24 * 3600), ({}, 60), ({"wait_hours": "72"}, 48 * 3600)])
def test_waiting_list_ends(library, terms, until_start):
    told = answer(library, EXAMPLES["waiting_list"], {"balance": 0}, terms, start=NOW + until_start)
    assert told["accept"] is False
    assert told["reason"] == "Not enough credit: this booking costs 1 credit, your balance is 0 credits."


def test_waiting_list_accepts_as_soon_as_there_is_credit(library):
    assert answer(library, EXAMPLES["waiting_list"], {"balance": 1}, start=NOW + 60)["accept"]
