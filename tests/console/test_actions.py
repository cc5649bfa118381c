"""What a member of staff does, and what it leaves behind."""

import pytest

from browser import TOKEN
from club import member
from harness import http, wait_for


def changes(club):
    """What operators did, the newest first."""
    return [entry for _, entry in club.client.xrevrange(club.key("changes"), count=20)]


# ---- Members ----

def test_grant_and_debit_with_a_note(console, club):
    who = member(101)
    before = club.account(who)["balance"]
    console.open(f"member?account={who}")
    console.fill("grant-credits", "5")
    console.fill("grant-note", "June dues")
    console.press("grant", "Grant")
    assert "5" in console.good() and console.path.startswith("member?account=")
    assert console.text("balance") == str(before + 5)
    row = console.rows("ledger")[0]
    assert (row["What"], row["Amount"], row["By"], row["Note"]) == ("grant", "5", "nora", "June dues")
    console.shot("member-granted")
    console.open(f"member?account={who}")
    assert not console.has("flash-good"), "said twice"

    console.fill("debit-credits", "2")
    console.fill("debit-note", "lost book")
    console.press("debit", "Debit")
    console.good()
    assert club.account(who)["balance"] == before + 3
    assert [(entry["what"], entry["by"], entry["note"]) for entry in changes(club)[:2]] == [
        ("debited 2", "nora", "lost book"), ("granted 5", "nora", "June dues")]


def test_a_form_that_is_sent_twice_grants_once(console, club):
    who = member(102)
    before = club.account(who)["balance"]
    console.open(f"member?account={who}")
    console.fill("grant-credits", "3")
    form = console.driver.execute_script(
        "return Object.fromEntries(new FormData(document.querySelector('[data-testid=grant]')))")
    cookie = console.driver.get_cookie("tollgate_session")
    console.press("grant", "Grant")
    again = http().post(f"{console.base}/console/grant", data=form, cookies={cookie["name"]: cookie["value"]},
                        headers={"Sec-Fetch-Site": "same-origin", "Connection": "close"}, allow_redirects=False, timeout=10)
    assert again.status_code == 303
    assert club.account(who)["balance"] == before + 3


def test_a_debit_of_more_than_there_is_is_refused(console, club):
    who = member(103)
    before = club.account(who)
    console.allowed.append("debit")
    console.open(f"member?account={who}")
    console.fill("debit-credits", str(before["balance"] + 1))
    console.fill("debit-note", "too much")
    console.press("debit", "Debit")
    assert console.has("flash-bad") or console.has("remedy"), console.text()
    assert club.account(who) == before


def test_a_new_member_is_made_by_a_grant(console, club):
    console.open("members")
    console.fill("grant-account", "New.Member@Club.example")
    console.fill("grant-credits", "4")
    console.press("grant", "Grant")
    console.good()
    assert club.account("new.member@club.example")["balance"] == 4
    console.open("members?text=new.member")
    assert console.rows("members")[0]["Balance"] == "4"


def test_a_list_is_shown_first_and_granted_once(console, club):
    before = {who: club.account(who)["balance"] for who in (member(110), member(111))}
    for turn in range(2):
        console.open("members")
        console.set("list", f"{member(110)}, 2\n{member(111)}, 3\n")
        console.fill("list-key", "dues-2026-07")
        console.fill("list-note", "July dues")
        console.press("grant-list", "Look at it first")
        assert "2" in console.text("confirm-text") and member(111) in console.text("confirm-items")
        if turn == 0:
            assert club.account(member(110))["balance"] == before[member(110)], "done before it was confirmed"
            console.shot("grant-list-confirm")
        console.click("confirm-yes")
        console.good()
    assert club.account(member(110))["balance"] == before[member(110)] + 2
    assert club.account(member(111))["balance"] == before[member(111)] + 3


def test_a_list_with_a_line_that_makes_no_sense_grants_nobody(console, club):
    before = club.account(member(112))
    console.allowed.append("grant-list")
    console.open("members")
    console.set("list", f"{member(112)}, 2\nwhat is this\n")
    console.fill("list-key", "dues-wrong")
    console.press("grant-list", "Look at it first")
    assert "2" in console.text("flash-bad" if console.has("flash-bad") else None)
    assert club.account(member(112)) == before


def test_a_field_is_set_and_emptied(console, club):
    who = member(120)
    console.open(f"member?account={who}")
    console.fill("field-name", "blocked")
    console.fill("field-value", "yes")
    console.fill("field-note", "see mail")
    console.press("set-field", "Set")
    console.good()
    assert "blocked" in console.text("fields") and club.account(who)["blocked"] == "yes"
    refused = club.fake.book(email=who)
    assert club.wait_settled(refused["id"])["state"] == "rejected"
    console.fill("field-name", "blocked")
    console.press("set-field", "Set")
    console.good()
    assert not club.account(who)["blocked"]
    club.library.grant(who, 5)
    assert club.wait_settled(club.fake.book(email=who)["id"])["state"] == "accepted"


# ---- Attention ----

def choose(console, count):
    for box in console.css("[data-pick]")[:count]:
        box.click()


def test_one_is_discarded_after_a_question(console, club):
    [one, *_] = club.dead_of("gave up")
    who = club.booking(one)["account"]
    before = club.account(who)
    console.open("attention?text=gave up")
    choose(console, 1)
    console.fill("note", "by phone")
    console.press("act", "Discard…")
    assert "1" in console.text("confirm-text") and one in console.text("confirm-items")
    assert club.booking(one)["place"] == "dead"
    console.shot("discard-confirm")
    console.go(console.at("confirm-no").click)
    assert console.path.startswith("attention") and club.booking(one)["place"] == "dead"
    choose(console, 1)
    console.fill("note", "by phone")
    console.press("act", "Discard…")
    console.click("confirm-yes")
    assert "1" in console.good()
    assert club.booking(one)["state"] == "failed" and "by phone" in club.booking(one)["mended"]
    after = club.account(who)
    assert (after["held"], after["balance"]) == (before["held"] - 1, before["balance"] + 1) or after["held"] < before["held"]
    console.open(f"booking?name={one}")
    assert "discarded by nora" in console.text("story") and "by phone" in console.text("story")


def test_selected_ones_are_requeued(console, club):
    chosen = club.dead_of("answered 403")[:3]
    console.open("attention?text=answered 403")
    choose(console, 3)
    console.press("act", "Requeue…")
    assert "3" in console.text("confirm-text")
    for id_ in chosen:
        assert id_ in console.text("confirm-items")
    console.click("confirm-yes")
    assert "3" in console.good()
    for id_ in chosen:
        wait_for(lambda: "requeued" in club.booking(id_).get("mended", ""), what="the record to say so")


def test_all_that_match_are_counted_and_then_discarded(console, club):
    who = club.booking(club.dead_of("answered 403")[0])["account"]
    matching = [id_ for id_ in club.dead_of("answered 403") if club.booking(id_)["account"] == who]
    dead = len(club.dead())
    console.open(f"attention?text=answered 403&account={who}")
    console.one("input[name=which][value=all]").click()
    console.press("act", "Discard…")
    assert str(len(matching)) in console.text("confirm-text")
    console.click("confirm-yes")
    assert str(len(matching)) in console.good()
    assert len(club.dead()) == dead - len(matching)


def test_more_than_one_call_takes_are_requeued(console, club):
    """All that match, over several pages of the list."""
    matching = club.dead_of("answered 403")
    assert len(matching) > 100
    console.open("attention?text=answered 403")
    console.one("input[name=which][value=all]").click()
    console.fill("note", "key renewed")
    console.press("act", "Requeue…")
    assert str(len(matching)) in console.text("confirm-text")
    console.click("confirm-yes")
    assert str(len(matching)) in console.good()
    wait_for(lambda: not [id_ for id_ in matching if "key renewed" not in club.booking(id_).get("mended", "")],
             what="all to be requeued")
    club.wait_idle()


def test_the_box_at_the_top_chooses_the_page(console):
    console.open("attention")
    box = console.one("[data-pick-all]")
    box.click()
    assert all(one.is_selected() for one in console.css("[data-pick]"))
    console.css("[data-pick]")[0].click()
    assert console.driver.execute_script("return arguments[0].indeterminate", box)


@pytest.mark.parametrize("verdict, button, at_calcom", [("accept", "Accept…", "ACCEPTED"), ("reject", "Reject…", "REJECTED")])
def test_a_person_decides(console, club, verdict, button, at_calcom):
    """A booking that Cal.com knows, and refused once for good."""
    who = member(170)
    club.library.grant(who, 5)
    club.fake.fault("status", action="confirm", status=403)
    one = str(club.fake.book(email=who)["id"])
    wait_for(lambda: club.booking(one).get("place") == "dead", what="it to be dead")
    club.fake.clear_faults()
    before = club.account(who)
    console.open(f"attention?account={who}")
    choose(console, 1)
    console.fill("reason", f"decided by hand: {verdict}")
    console.fill("note", "after a call")
    console.press("act", button)
    assert one in console.text("confirm-items")
    console.click("confirm-yes")
    console.good()
    wait_for(lambda: club.fake.booking(int(one))["status"] == at_calcom, what=f"Cal.com to be told to {verdict}")
    b = club.wait_settled(one)
    assert b["decision"] == verdict and "after a call" in b["mended"], b
    after = club.account(who)
    assert after["spent"] == before["spent"] + (1 if verdict == "accept" else 0) and after["held"] == 0
    console.open(f"booking?name={one}")
    assert "by nora" in console.text("story") and f"decided by hand: {verdict}" in console.text()


def test_nothing_chosen_is_told(console, club):
    dead = club.dead()
    console.allowed.append("discard")
    console.open("attention")
    console.press("act", "Discard…")
    assert not console.has("confirm-yes") and console.css(".flash.bad, [data-testid=remedy]")
    assert club.dead() == dead


def test_from_its_story_a_dead_one_is_requeued(console, club):
    [one, *_] = club.dead_of("gave up")
    console.open(f"booking?name={one}")
    console.shot("booking-dead")
    console.fill("note", "try once more")
    console.press("decide", "Requeue")
    if console.has("confirm-yes"):
        console.click("confirm-yes")
    console.good()
    assert console.path.startswith(f"booking?name={one}")
    assert "try once more" in club.booking(one)["mended"]


# ---- Policy ----

def test_terms_are_edited_in_place(console, club):
    console.open("policy")
    field = console.one('[name="term:cost:1310"]')
    field.clear()
    field.send_keys("3")
    console.fill("new-name", "cost:1400")
    console.fill("new-value", "4")
    console.fill("terms-note", "new prices")
    console.press("terms", "Save the terms")
    console.good()
    terms = club.client.hgetall(club.key("terms"))
    assert (terms["cost:1310"], terms["cost:1400"], terms["cost"]) == ("3", "4", "1")
    for name, value in (("term:cost:1310", "2"), ("term:cost:1400", "")):
        field = console.one(f'[name="{name}"]')
        field.clear()
        field.send_keys(value)
    console.press("terms", "Save the terms")
    console.good()
    assert "cost:1400" not in club.client.hgetall(club.key("terms"))


def test_terms_that_somebody_else_changed_meanwhile_are_not_overwritten(console, club):
    console.allowed.append("terms")
    console.open("policy")
    club.terms(refund_notice_hours=48)
    field = console.one('[name="term:cost"]')
    field.clear()
    field.send_keys("9")
    console.press("terms", "Save the terms")
    assert console.css(".flash.bad, [data-testid=remedy]"), console.text()
    assert club.client.hgetall(club.key("terms"))["cost"] == "1"
    club.terms(refund_notice_hours=24)


def test_a_policy_is_checked_tried_compared_and_installed(console, club):
    before = club.client.hget(club.key("policy"), "text")
    new = before.replace("return function", "-- changed by hand\nreturn function", 1)
    console.open("policy")
    console.set("policy-text", new)
    console.press("policy", "Check and compare")
    assert console.has("check-ok") and "changed by hand" in console.text("diff")
    assert console.one("#policy-text").get_attribute("value").strip() == new.strip()
    console.set("sample", f'{{"account": "{member(130)}", "event_type": "1310", "start": "2030-03-12T14:00:00Z"}}')
    console.press("policy", "Try the sample")
    assert "cost 2" in console.text("tried") and member(130) in console.text("tried")
    console.shot("policy-tried")
    console.press("policy", "Install…")
    assert "changed by hand" in console.text("diff") and club.client.hget(club.key("policy"), "text") == before
    console.shot("policy-confirm")
    console.click("confirm-yes")
    console.good()
    assert club.client.hget(club.key("policy"), "text").replace("\r", "").strip() == new.strip()
    assert "nora" in console.text("policy-in-force")
    assert changes(club)[0]["by"] == "nora"
    club.library.install(before, "default")


def test_a_policy_that_does_not_load_is_shown_with_its_line(console, club):
    before = club.client.hget(club.key("policy"), "sha")
    console.open("policy")
    console.set("policy-text", "return function(booking)\n  return accept = true\nend\n")
    console.press("policy", "Check and compare")
    assert "accept = true" in console.text("check-bad")
    console.press("policy", "Install…")
    assert not console.has("confirm-yes")
    assert club.client.hget(club.key("policy"), "sha") == before


# ---- Overview ----

def test_pause_and_resume(console, club):
    console.open("overview")
    console.fill("pause-note", "moving house")
    console.press("pause", "Pause")
    console.good()
    assert "moving house" in console.text("paused") and "nora" in console.text("paused")
    assert club.client.hget(club.key("paused"), "by") == "nora"
    console.shot("overview-paused")
    console.press("resume", "Resume")
    console.good()
    assert not console.at("paused").is_displayed() and not club.client.exists(club.key("paused"))


def test_what_was_done_is_listed(console):
    console.open(f"member?account={member(140)}")
    console.fill("grant-credits", "1")
    console.fill("grant-note", "to be listed")
    console.press("grant", "Grant")
    console.open("system")
    row = console.rows("changes")[0]
    assert (row["By"], row["What"], row["About"], row["Note"]) == ("nora", "granted 1", member(140), "to be listed")


# ---- What is not for changing ----

def test_read_only_has_no_forms_and_takes_none(open_console, club):
    ingest = club.another_ingest(TOLLGATE_CONSOLE="read-only")
    console = open_console(ingest).sign_in("reader")
    [dead, *_] = club.dead()
    for page in ("overview", "members", f"member?account={member(1)}", "attention", "policy", f"booking?name={dead}", "system"):
        console.open(page)
        forms = [form.get_attribute("action").rsplit("/", 1)[1] for form in console.css("form[method=post]")]
        assert [name for name in forms if name not in ("sign-out", "requeue")] == [], page
        assert not console.css("form[method=post] button:not([data-testid=sign-out])"), page
    assert "read-only" in console.text("user")
    console.shot("system-read-only")
    cookie = console.driver.get_cookie("tollgate_session")
    before = club.account(member(1))
    for action, form in (("grant", {"account": member(1), "credits": "5"}), ("terms", {"sha": "", "new_name": "x", "new_value": "1"}),
                         ("discard", {"id": dead, "which": "selected", "confirm": "yes"}), ("pause", {"note": ""})):
        reply = http().post(f"{console.base}/console/{action}", data=form, cookies={cookie["name"]: cookie["value"]},
                            headers={"Sec-Fetch-Site": "same-origin", "Connection": "close"}, allow_redirects=False, timeout=10)
        assert reply.status_code == 403, action
    assert club.account(member(1)) == before and dead in club.dead()


def test_another_site_cannot_send_a_form(console, club):
    cookie = console.driver.get_cookie("tollgate_session")
    before = club.account(member(2))
    for headers in ({"Sec-Fetch-Site": "cross-site"}, {"Sec-Fetch-Site": "same-site"}, {"Origin": "https://evil.example"}, {}):
        reply = http().post(f"{console.base}/console/grant", data={"account": member(2), "credits": "5"},
                            cookies={cookie["name"]: cookie["value"]}, headers={**headers, "Connection": "close"},
                            allow_redirects=False, timeout=10)
        assert reply.status_code == 403, headers
    assert club.account(member(2)) == before


def test_off_means_off(club):
    ingest = club.another_ingest(TOLLGATE_CONSOLE="off", TOLLGATE_CONSOLE_TOKEN=TOKEN)
    for path in ("/", "/console/", "/console/overview", "/console/login"):
        assert ingest.get(path).status_code == 404, path
