"""The three pictures of the README, into build/console/readme-*.png. Who changes how the pages look copies them to
tests/console/pictures, with `tests/console/pictures/keep`."""

from browser import DESKTOP, PHONE
from club import member
from harness import wait_for


def picture(console, name, width, height):
    console.size(width, height)
    console.driver.save_screenshot(str(console.folder() / f"readme-{name}.png"))


def test_an_overview_of_a_busy_minute(console, club):
    console.open("overview")
    wait_for(lambda: console.text("live") == "Live", what="live numbers")
    for id_ in [club.fake.book(email=member(200 + i))["id"] for i in range(60)]:
        club.wait_settled(id_)
    wait_for(lambda: console.text("webhooks-rate") != "0.0" and console.text("decisions-rate") != "0.0", what="rates")
    assert console.text("calcom")
    picture(console, "overview", DESKTOP[0], 1000)


def test_why_was_she_refused(console, club):
    club.library.member("alice@example.com", 1, tier="gold")
    club.library.terms(**{"cost:1310": 2})
    refused = club.fake.book(email="alice@example.com", eventTypeId=1310)["id"]
    assert club.wait_settled(refused)["state"] == "rejected"
    console.open(f"booking?name={refused}")
    assert "Not enough credit" in console.text("reason")
    picture(console, "why", DESKTOP[0], 1000)


def test_what_needs_a_person_on_a_phone_in_the_dark(console):
    console.scheme("dark")
    console.size(*PHONE)
    console.open("attention")
    picture(console, "attention", PHONE[0], 1000)
