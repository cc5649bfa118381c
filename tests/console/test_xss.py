"""Whatever a booker types stays a text, on every page. So does what staff type."""

import json
import re
from urllib.parse import quote

import pytest

import browser as browsers
from club import NAMESPACE
from conftest import CONSOLE
from harness import Gate, now_iso, sample, wait_for
from library import Library

# Each field has a mark of its own, so that one that breaks out says where.
ATTACKS = ('<img src=x onerror="window.broken=\'{0}\'">', '"><script>window.broken="{0}"</script>', "' autofocus onfocus='window.broken=`{0}`'",
           "</textarea></title><svg onload=window.broken='{0}'>", "javascript:window.broken='{0}'//", "{{{{user}}}}{{{{{{version}}}}}}{0}",
           "\u202e\u2028{0}&lt;b&gt;&#x3c;")

POLICY = """return function(booking, account, terms, now)
  if not account then
    return { accept = false, cost = 1, reason = 'No account, ' .. tostring(booking.answers.name) }
  end
  return { accept = true, cost = 1, reason = 'welcome, ' .. tostring(booking.answers.name) .. tostring(booking.metadata.memberId) }
end"""


def attack(number, mark):
    return ATTACKS[number].format(f"{mark}{number}")


def account_of(number, mark):
    """What may be an account: lower case, no spaces."""
    return re.sub(r"\s", "/", attack(number, mark).lower()) + "@x.example"


class Stage:
    """A gate of its own that has seen every attack in every field."""

    def __init__(self, house):
        self.gate = Gate(house, ingest_env=CONSOLE, worker_env={"TOLLGATE_SWEEP_INTERVAL": "0"})
        self.library = Library(self.gate.client, NAMESPACE)
        self.library.install(POLICY, "file")
        self.accounts, self.names, self.uids = [], [], []
        for number in range(len(ATTACKS)):
            self._book(number)
        self.gate.wait_idle()
        self._by_hand()

    def _book(self, number):
        """As a booker may: everything in the payload, even what Cal.com would not let through."""
        def bad(mark):
            return attack(number, mark)
        account, id_, uid = account_of(number, "mail"), 7000 + number, bad("uid")
        if number % 2 == 0:
            self.library.grant(account, 5, by=bad("by"), note=bad("note"))
        body = sample("BOOKING_REQUESTED", createdAt=now_iso(), **{
            "payload.bookingId": id_, "payload.uid": uid, "payload.startTime": now_iso(90000 + number * 3600),
            "payload.endTime": now_iso(93600 + number * 3600), "payload.responses.email.value": account,
            "payload.responses.name.value": bad("name"), "payload.responses.notes.value": bad("notes"),
            "payload.title": bad("title"), "payload.metadata": {"memberId": bad("member"), bad("key"): bad("value")},
            "payload.attendees": [{"name": bad("name"), "email": account, "timeZone": bad("zone")}], "payload.location": bad("place"),
            "payload.type": bad("type")})
        reply = self.gate.post(body)
        if reply.status_code != 202:  # an uid may be refused; then the rest is tried without
            reply = self.gate.post(body.replace(bytes(quote_json(uid), "utf-8"), b'"uid-%d"' % id_))
        assert reply.status_code == 202, f"{bad('')}: {reply.status_code} {reply.text}"
        self.accounts.append(account)
        self.names.append(str(id_))

    def _by_hand(self):
        """What programs and people write where the page shows it."""
        client, key = self.gate.client, self.gate.key
        for number in range(len(ATTACKS)):
            id_ = f"{8000 + number}"
            why = attack(number, "why")
            self.library.record(id_, account=account_of(number, "dead"), email="a@x.example", event_type=attack(number, "event"),
                                uid=attack(number, "uid"))
            # The worker is at it meanwhile; it ends dead, whatever it made of it.
            client.hset(key("drift"), id_, why)
            client.hset(key("unbalanced"), account_of(number, "unbalanced"), why)
        self.gate.wait_idle()
        for number in range(len(ATTACKS)):
            id_ = f"{8000 + number}"
            client.hset(key("booking:" + id_), mapping={"place": "dead", "last_error": attack(number, "error")})
            client.zadd(key("dead"), {id_: 1795000000000 + number})
            client.hset(key("credit:" + self.accounts[0]), attack(number, "field"), attack(number, "text"))
            client.hset(key("terms"), attack(number, "term"), attack(number, "worth"))
        self.library.pause(by=attack(0, "by"), note=attack(1, "pause"))

    def pages(self):
        yield from browsers.PAGES
        yield from (f"attention?place={place}" for place in ("drift", "unbalanced", "waived"))
        yield from (f"booking?name={name}" for name in self.names)
        yield from (f"booking?name={8000 + number}" for number in range(len(ATTACKS)))
        yield from (f"member?account={quote(account, safe='')}" for account in self.accounts)
        for number in range(len(ATTACKS)):
            bad = quote(attack(number, "query"), safe="")
            yield from (f"decisions?member={bad}&event_type={bad}&outcome={bad}&from={bad}&cursor={bad}", f"members?text={bad}&cursor={bad}",
                        f"attention?place=dead&text={bad}&account={bad}", f"attention?place={bad}", f"booking?name={bad}",
                        f"member?account={bad}&from={bad}&cursor={bad}", f"system?cursor={bad}", f"login?to={bad}", f"{bad}?x={bad}")


def quote_json(text):
    return json.dumps(text, ensure_ascii=False)


@pytest.fixture(scope="module")
def stage(long_house):
    return Stage(long_house)


def check(console, where):
    """Nothing of it runs, and nothing of it became an element."""
    found = console.driver.execute_script("""
        const odd = [...document.querySelectorAll('script:not([src="console.js"]), img, iframe, object, embed, base, svg:not(.chart), b b')]
            .concat([...document.querySelectorAll('*')].filter(one => [...one.attributes].some(a => a.name.startsWith('on') || a.name === 'style' || a.name === 'autofocus')
                || ['href', 'action', 'formaction', 'src'].some(name => /^\\s*javascript:/i.test(one.getAttribute(name) || ''))));
        return [window.broken || '', ...odd.map(one => one.outerHTML.slice(0, 200))].filter(Boolean);""")
    assert not found, f"{where}: {found}"
    source = console.driver.page_source
    assert not browsers.Inline(source).found, where
    assert "0.1.0{" not in source and "nora{{" not in source, f"{where}: a template was rendered twice"


def test_no_attack_breaks_out_on_any_page(open_console, stage):
    console = open_console(stage.gate.ingest).sign_in()
    console.allowed += ["400", "404", "414"]  # told about nonsense in an address
    shown = ""
    for page in stage.pages():
        console.open(page)
        check(console, page)
        shown += console.driver.execute_script("return document.body.innerText + [...document.querySelectorAll('input')].map(one => one.value)")
    # They were there: else this would tell nothing.
    for mark in ("mail", "name", "note", "member", "error", "why", "unbalanced", "field", "text", "term", "worth", "pause", "by"):
        assert re.search(mark + r"\d", shown), f"nothing of {mark} was shown"


def test_live_numbers_are_texts_too(open_console, stage):
    console = open_console(stage.gate.ingest).sign_in()
    wait_for(lambda: console.text("live") == "Live", what="the first numbers")
    check(console, "overview, live")
    assert "name" in console.text("newest-decisions")


def test_what_staff_type_is_a_text(open_console, stage):
    console = open_console(stage.gate.ingest)
    bad = attack(1, "staff")
    console.sign_in(attack(0, "who")[:100])
    console.open(f"member?account={quote(stage.accounts[0], safe='')}")
    console.fill("grant-credits", "1")
    console.fill("grant-note", bad)
    console.press("grant", "Grant")
    check(console, "a note")
    assert bad in console.text("ledger")
    console.open("attention")
    console.css("[data-pick]")[0].click()
    console.fill("reason", bad)
    console.fill("note", bad)
    console.press("act", "Discard…")
    check(console, "the question")
    console.click("confirm-yes")
    check(console, "the answer")
    console.allowed += ["policy-check", "policy-try", "grant-list"]
    console.open("members")
    console.set("list", f"{account_of(1, 'staff')}, 1\n{bad}, 2")
    console.fill("list-key", "staff")
    console.press("grant-list", "Look at it first")
    check(console, "a list")
    for text in (bad, "</textarea>" + bad):
        console.open("policy")
        console.set("policy-text", text)
        console.set("sample", text)
        console.press("policy", "Check and compare")
        check(console, "a policy")
        assert console.one("#policy-text").get_attribute("value") == text
    console.open("system")
    check(console, "what was done")
