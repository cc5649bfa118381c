"""What a member of staff reads: who may, each page, filters and what leads on, numbers that move by themselves."""

import re

import pytest

import browser as browsers
from club import BOOKINGS, FIRST, MEMBERS, member
from harness import wait_for

ALL = [*browsers.PAGES, f"booking?name={FIRST + 5}", f"member?account={member(5)}", "attention?place=drift",
       "attention?place=unbalanced", "attention?place=waived"]


# ---- Who may ----

def test_nobody_reads_without_signing_in_and_comes_where_they_wanted(open_console, club):
    console = open_console(club.ingest)
    console.forget()
    for page in browsers.PAGES:
        console.open(page)
        assert console.path.startswith("login"), console.path
        assert not console.css("nav"), "navigation for nobody"
    console.sign_in(to="decisions?outcome=reject")
    assert console.path == "decisions?outcome=reject"
    assert console.text("user") == "nora"


def test_a_wrong_token_is_told_and_lets_nobody_in(open_console, club):
    console = open_console(club.ingest, token="not-it")
    console.allowed.append("login")  # 401 or 403 is a failed load to Chromium
    console.allowed.append("sign-in")
    console.forget()
    console.open("login")
    console.fill("name", "mallory")
    console.fill("secret", "not-it")
    console.press("sign-in", "Sign in")
    assert console.has("flash-bad") and console.has("sign-in")
    console.open("members")
    assert console.path.startswith("login")


def test_signing_out_ends_it(open_console, club):
    console = open_console(club.ingest).sign_in("olga")
    cookie = console.driver.get_cookie("tollgate_session")
    assert cookie["httpOnly"] and cookie["sameSite"] == "Strict"
    console.click("sign-out")
    console.forget()
    console.driver.add_cookie(cookie)
    console.open("overview")
    assert console.path.startswith("login"), "the old cookie is still good"


# ---- Each page ----

@pytest.mark.parametrize("page", ALL)
def test_each_page_has_a_heading_a_title_and_is_marked_where_one_is(console, page):
    console.open(page)
    assert len(console.css("h1")) == 1
    assert console.driver.title.endswith("· Tollgate") and not console.driver.title.startswith("·")
    assert len(console.css("nav[aria-label=Pages] [aria-current]")) == 1
    assert "{{" not in console.driver.page_source
    name = re.sub(r"\W+", "-", page.replace(member(5), "").replace(str(FIRST + 5), "")).strip("-")
    console.shot(name)


def test_overview_says_how_it_stands(console, club):
    console.open("overview")
    assert int(console.text("dead")) == len(club.dead()) > 0 and console.text("drift") == "1"
    for number in ("queue", "retry", "spool"):
        assert re.fullmatch(r"\d+", console.text(number)), number
    assert re.match(r"[\d.]+$", console.text("webhooks-rate")) and re.match(r"[\d.]+$", console.text("decisions-rate"))
    [worker] = console.rows("workers")
    assert worker["In hand"] == "0" and worker["Lease"]
    assert len(console.rows("newest-decisions")) == 8
    assert len(console.css("figure")) == 4
    assert "given up" in console.text("needs")


def test_numbers_move_by_themselves(console, club):
    console.open("overview")
    first = console.rows("newest-decisions")[0]["Booking"]
    booked = club.fake.book(email=member(7))
    wait_for(lambda: console.rows("newest-decisions")[0]["Booking"] == str(booked["id"]), what="the new booking to be shown")
    assert first != str(booked["id"])
    assert console.text("live") == "Live"
    link = console.css('[data-testid="newest-decisions"] tbody a')[0].get_attribute("href")
    assert link.endswith(f"booking?name={booked['id']}")
    club.wait_settled(booked["id"])


def asked(console):
    return console.driver.execute_script(
        "return performance.getEntriesByType('resource').filter(one => one.name.includes('overview.json')).length")


def hide(console, hidden):
    console.driver.execute_script("""
        Object.defineProperty(document, 'hidden', { configurable: true, get: () => arguments[0] });
        document.dispatchEvent(new Event('visibilitychange'));""".replace("arguments[0]", "true" if hidden else "false"))


def test_a_hidden_page_does_not_ask(console):
    console.open("overview")
    wait_for(lambda: asked(console) >= 1, what="the first question")
    hide(console, True)
    browsers.settle_down(1)  # one may be under way
    before = asked(console)
    browsers.settle_down(4.5)
    assert asked(console) == before
    hide(console, False)
    wait_for(lambda: asked(console) > before, what="it to ask again")


def test_a_server_that_is_gone_is_told(open_console, club):
    ingest = club.another_ingest()
    console = open_console(ingest).sign_in()
    console.allowed += ["overview.json", "ERR_CONNECTION_REFUSED"]
    wait_for(lambda: console.text("live") == "Live", what="the first numbers")
    ingest.stop()
    wait_for(lambda: "does not answer" in console.text("live"), what="it to be told")
    console.shot("overview-away")


# ---- Decisions ----

def test_decisions_are_there_newest_first_and_lead_on(console):
    console.open("decisions")
    seen, times = [], []
    for _ in range(3):
        rows = console.rows("decisions")
        assert len(rows) == 50
        seen += [(row["Booking"], row["When"][:19], row["Decision"], row["Why"]) for row in rows]  # some are decided twice
        times += [row["When"][:19] for row in rows]
        console.click("next")
    assert len(set(seen)) == len(seen) and times == sorted(times, reverse=True)
    console.click("newest")
    assert console.rows("decisions")[0]["When"][:19] >= times[0]
    assert "cursor" not in console.path


def test_decisions_are_filtered(console):
    console.open("decisions")
    console.fill("member", member(10))
    console.press("filter", "Show")
    rows = console.rows("decisions")
    assert rows and {row["Member"] for row in rows} == {member(10)}
    assert {row["Decision"] for row in rows} <= {"accept", "reject"}

    console.open("decisions")
    console.one("#outcome option[value=reject]").click()
    console.press("filter", "Show")
    rows = console.rows("decisions")
    assert rows and {row["Decision"] for row in rows} == {"reject"}
    assert any("Not enough credit" in row["Why"] for row in rows)
    console.fill("event_type", "1310")
    console.press("filter", "Show")
    rows = console.rows("decisions")
    assert rows and {(row["Decision"], row["Event type"]) for row in rows} == {("reject", "1310")}
    console.click("next") if console.has("next") else None
    assert {row["Decision"] for row in console.rows("decisions")} <= {"reject"}, "the filter stays with the next page"
    console.shot("decisions-filtered")

    console.open("decisions?from=2001-01-01&to=2001-01-31")
    assert console.text("none").startswith("No such decision")
    console.open("decisions")
    day = console.rows("decisions")[0]["When"][:10]
    console.set("from", day)
    console.set("to", day)
    console.press("filter", "Show")
    assert f"from={day}" in console.path and console.rows("decisions")[0]["When"].startswith(day)


# ---- One booking: why? ----

def test_why_was_it_refused(console):
    console.open(f"decisions?outcome=reject&member={member(1990)}")  # none of whom is dead
    row = console.rows("decisions")[0]
    console.follow(row["Booking"])
    assert row["Booking"] in console.text("answer") + console.driver.title
    assert "Not enough credit" in console.text("reason") and "rejected" in console.text("now")
    assert re.search(r"balance \d+, held \d+, spent \d+", console.text("credit-before"))
    story = console.text("story")
    assert story.index("requested") < story.index("decided") < story.index("settled")
    [call] = console.rows("calls")
    assert (call["Call"], call["Status"], call["Took"]) == ("decline", "200", "120 ms")
    assert "account" in console.text("inputs") and "policy" in console.text("inputs")
    console.shot("booking-refused")


def test_an_accepted_one_shows_credit_before_and_after(console):
    console.open("decisions?outcome=accept")
    console.follow(console.rows("decisions")[0]["Booking"])
    before, after = (tuple(map(int, re.findall(r"\d+", console.text(f"credit-{which}")))) for which in ("before", "after"))
    assert sum(before) == sum(after) and before[0] > after[0]
    kinds = [row["What"] for row in console.rows("movements")]
    assert kinds[:1] == ["hold"] and "capture" in kinds


def test_a_booking_is_found_by_id_and_by_uid_from_any_page(console):
    for name in (str(FIRST + 50), f"u{FIRST + 50:021d}"):
        console.open("members")
        console.fill("find", name)
        console.go(lambda: console.one(".find button").click())
        assert str(FIRST + 50) in console.text("facts") + console.text("story") + console.one("h1").text


def test_an_unknown_booking_is_told(console):
    console.allowed.append("404")
    console.open("booking?name=nobody-knows")
    assert console.has("missing")


# ---- Members ----

def test_members_are_found(console, club):
    console.open("members")
    known = club.client.zcard(club.key("accounts"))
    assert known >= MEMBERS and f"{known} members" in console.text() and len(console.rows("members")) == 50
    first = [row["Account"] for row in console.rows("members")]
    console.click("next")
    assert not set(first) & {row["Account"] for row in console.rows("members")}
    console.fill("text", "member0042")
    console.press("filter", "Search")
    assert console.rows("members")[0]["Account"] == member(42)
    console.fill("text", "1999@club")  # contained in the middle
    console.press("filter", "Search")
    while not console.rows("members") and console.has("next"):
        console.click("next")
    assert console.rows("members")[0]["Account"] == member(1999)


def test_a_member_has_a_ledger_that_adds_up(console, club):
    console.open(f"members?text={member(12)}")
    console.follow(member(12))
    balance, held, spent = (int(console.text(purse)) for purse in ("balance", "held", "spent"))
    assert club.account(member(12)) | {"balance": balance, "held": held, "spent": spent} == club.account(member(12))
    rows = console.rows("ledger")
    assert len(rows) == 50 and (int(rows[0]["Balance"]), int(rows[0]["Held"])) == (balance, held)
    kinds = [row["What"] for row in rows]
    while console.has("next"):
        console.click("next")
        kinds += [row["What"] for row in console.rows("ledger")]
    assert kinds[-1] == "grant" and "capture" in kinds
    assert len(kinds) == club.client.xlen(club.key("ledger:" + member(12)))
    console.open(f"member?account={member(12)}&from=2001-01-01&to=2001-12-31")
    assert console.has("none") and "granted 0" in console.text("totals")


def test_an_unknown_member_is_told(console):
    console.allowed.append("404")
    console.open("member?account=nobody@example.com")
    assert console.has("no-account")


# ---- Attention ----

def test_attention_lists_filters_and_leads_on(console, club):
    console.open("attention")
    assert len(console.rows("attention")) == 50 and int(console.text("total")) == len(club.dead())
    first = {row["Booking"] for row in console.rows("attention")}
    console.click("next")
    assert not first & {row["Booking"] for row in console.rows("attention")}
    console.open("attention")
    console.fill("text", "ANSWERED 502")
    console.press("filter", "Show")
    rows = console.rows("attention")
    assert rows and all("answered 502" in row["Why"] for row in rows)
    console.open(f"attention?account={rows[0]['Member']}")
    assert {row["Member"] for row in console.rows("attention")} == {rows[0]["Member"]}
    console.click("tab-drift")
    [drift] = console.rows("attention")
    assert drift["Booking"] == str(FIRST + 7) and "Cal.com says cancelled" in drift["Why"]
    assert not console.css("[data-pick]"), "nothing can be done to drift here"
    console.click("tab-waived")
    assert console.has("none")


# ---- Policy and system ----

def test_the_policy_and_its_terms_are_shown(console):
    console.open("policy")
    assert "return function" in console.one("#policy-text").get_attribute("value")
    assert console.one('[name="term:cost:1310"]').get_attribute("value") == "2"
    assert re.search(r"SHA [0-9a-f]{40}", console.text("policy-in-force"))


def test_the_system_shows_settings_without_secrets(console):
    console.open("system")
    settings = {row["Setting"]: row["Value"] for row in console.rows("settings")}
    assert settings["TOLLGATE_CONSOLE"] == "on" and settings["REDIS_URL"].startswith("redis://")
    for secret in (browsers.TOKEN, "s3cr3t-example"):
        assert secret not in console.driver.page_source
    assert console.text("checks") and console.text("versions") and console.text("redis")
    assert "entries" not in console.text("spool") and "0" in console.text("spool")
    assert int(console.css('[data-testid="keys"] td')[0].text) >= 0


def test_the_store_is_as_large_as_we_say(club):
    assert int(club.client.hget(club.key("stats"), "recorded:requested")) >= BOOKINGS
