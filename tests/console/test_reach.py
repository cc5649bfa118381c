"""For everybody: with a keyboard, without scripts, on a phone, in the dark, behind a proxy."""

import re

import pytest

from browser import PAGES, PHONE, Browser
from club import FIRST, member
from harness import wait_for
from selenium.webdriver.common.keys import Keys

DETAIL = [f"booking?name={FIRST + 5}", f"member?account={member(5)}"]
ALL = [*PAGES, *DETAIL, "attention?place=unbalanced"]


def short(page):
    return re.sub(r"\?.*", "", page)


# ---- The keyboard ----

def test_a_grant_with_the_keyboard_alone(open_console, club):
    console = open_console(club.ingest)
    console.forget()
    console.open("members")
    console.tab_to(lambda element: element.get_attribute("id") == "name")
    console.keys("kim", Keys.TAB, console.token)
    console.go(lambda: console.keys(Keys.ENTER))
    assert console.path == "members"

    console.keys(Keys.TAB)
    assert console.driver.switch_to.active_element.text.startswith("Skip"), "the first stop leads past the navigation"
    console.keys(Keys.ENTER)
    console.tab_to(lambda element: element.get_attribute("id") == "text", most=2)
    console.keys("member0150")
    console.go(lambda: console.keys(Keys.ENTER))
    console.tab_to(lambda element: element.text == member(150))
    console.go(lambda: console.keys(Keys.ENTER))
    console.tab_to(lambda element: element.get_attribute("id") == "grant-credits")
    console.keys("7", Keys.TAB, "by keyboard")
    console.tab_to(lambda element: element.text == "Grant", most=2)
    console.go(lambda: console.keys(Keys.SPACE))
    console.good()
    newest = club.ledger(member(150))[-1]
    assert (newest["amount"], newest["by"], newest["note"]) == ("7", "kim", "by keyboard")


@pytest.mark.parametrize("page", ALL)
def test_everything_can_be_reached_by_tab(console, page):
    console.open(page)
    if page == "overview":  # its rows are made anew once, with the first numbers that come
        wait_for(lambda: not console.text("live").startswith("As of"), what="live numbers")
    last = console.css("a[href], button, input:not([type=hidden]), select, textarea, summary")
    last = [element for element in last if element.is_displayed()][-1]
    console.tab_to(lambda element: element == last, most=260)


# ---- Without scripts ----

def test_it_is_read_and_used_without_scripts(driver_without_scripts, club):
    console = Browser(driver_without_scripts, club.ingest.admin)
    console.sign_in("olga")
    for page in ALL:
        console.open(page)
        assert console.css("h1"), page
    console.open("overview")
    assert re.fullmatch(r"\d+", console.text("dead")) and console.text("live").startswith("As of")
    console.open(f"member?account={member(151)}")
    before = int(console.text("balance"))
    console.fill("grant-credits", "2")
    console.press("grant", "Grant")
    console.good()
    assert int(console.text("balance")) == before + 2
    console.open("attention?text=gave up")
    assert not console.css("[data-pick-all]")[0].is_displayed(), "a box that would do nothing"
    console.css("[data-pick]")[0].click()
    console.press("act", "Discard…")
    assert "1" in console.text("confirm-text")
    console.click("confirm-yes")
    console.good()


# ---- A phone, the dark ----

@pytest.mark.parametrize("page", ALL)
def test_a_phone_shows_it_without_moving_sideways(console, page):
    console.size(*PHONE)
    console.open(page)
    assert console.overflows() <= 0, f"{console.overflows()} px too wide"
    small = console.driver.execute_script("""
        return [...document.querySelectorAll('button, .button, nav a, input:not([type=hidden]):not([type=checkbox]):not([type=radio]), select')]
            .filter(one => one.offsetParent !== null && one.getBoundingClientRect().height < 24)
            .map(one => one.outerHTML.slice(0, 100));""")
    assert not small, f"too small for a thumb: {small}"
    console.shot(f"phone-{short(page)}", PHONE[0])


def brightness(console, selector):
    rgb = console.driver.execute_script("return getComputedStyle(document.querySelector(arguments[0])).backgroundColor", selector)
    return sum(map(int, re.findall(r"\d+", rgb)[:3])) / 3


@pytest.mark.parametrize("page", ["overview", "attention", DETAIL[0]])
def test_in_the_dark_it_is_dark(console, page):
    console.open(page)
    assert brightness(console, "body") > 200
    console.scheme("dark")
    assert brightness(console, "body") < 60
    console.shot(f"dark-{short(page)}")


# ---- For who does not see it ----

@pytest.mark.parametrize("look", ["light", "dark", "phone"])
def test_axe_finds_nothing_serious(console, club, look):
    if look == "phone":
        console.size(*PHONE)
    console.scheme("dark" if look == "dark" else "light")
    found = {}
    [dead, *_] = club.dead()
    for page in [*ALL, f"booking?name={dead}", "attention?place=drift", "decisions?from=2001-01-01&to=2001-01-02"]:
        console.open(page)
        found[page] = console.axe()
    console.open("attention")
    console.css("[data-pick]")[0].click()
    console.press("act", "Requeue…")
    found["confirm"] = console.axe()
    console.open("policy")
    console.set("policy-text", "return 1")
    console.press("policy", "Check and compare")
    found["policy, refused"] = console.axe()
    assert not {page: lines for page, lines in found.items() if lines}, "\n".join(
        f"{page}: {line}" for page, lines in found.items() for line in lines)


def test_axe_finds_nothing_serious_where_one_signs_in(open_console, club):
    console = open_console(club.ingest)
    console.forget()
    console.open("login")
    assert console.axe() == []
    console.shot("login")
