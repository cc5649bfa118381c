"""Chromium, as a member of staff uses it, and what it has to say about a page."""

import tempfile
import time
from html.parser import HTMLParser
from pathlib import Path
from typing import Any, Callable, Dict, List, Optional

from selenium import webdriver
from selenium.webdriver.chrome.options import Options
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.remote.webelement import WebElement

from harness import ROOT, TIMEOUT, wait_for

SHOTS = ROOT / "build" / "console"
AXE = Path(__file__).parent / "axe" / "node_modules" / "axe-core" / "axe.min.js"
TOKEN = "a-token-for-tests-only"
DESKTOP, PHONE = (1280, 900), (360, 740)
PAGES = ("overview", "decisions", "members", "attention", "policy", "system")

FLAGS = ("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--disable-dev-shm-usage", "--no-first-run",
         "--disable-background-networking", "--disable-component-update", "--disable-sync", "--no-proxy-server",
         "--force-color-profile=srgb", "--hide-scrollbars", "--lang=en-GB")


def start(scripts: bool = True) -> webdriver.Chrome:
    options = Options()
    options.binary_location = "/usr/bin/chromium"
    for flag in (*FLAGS, "--user-data-dir=" + tempfile.mkdtemp(prefix="console-")):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    if not scripts:
        options.add_experimental_option("prefs", {"profile.managed_default_content_settings.javascript": 2})
    driver = webdriver.Chrome(options=options, service=Service("/usr/bin/chromedriver"))
    driver.set_page_load_timeout(60)
    return driver


class Browser:
    """One window on one console."""

    def __init__(self, driver: webdriver.Chrome, base: str, token: str = TOKEN) -> None:
        self.driver = driver
        self.base = base  # http://127.0.0.1:1234
        self.token = token
        self.allowed: List[str] = []  # parts of messages in the console that the test announced

    # ---- Where it is ----

    def open(self, path: str) -> "Browser":
        self.driver.get(f"{self.base}/console/{path}")
        return self

    @property
    def path(self) -> str:
        """Behind console/, with the query."""
        return self.driver.current_url.split("/console/", 1)[1]

    def forget(self) -> None:
        """All cookies, also those of other pages."""
        self.driver.execute_cdp_cmd("Network.clearBrowserCookies", {})

    def sign_in(self, name: str = "nora", to: str = "overview") -> "Browser":
        self.forget()
        self.open(to)
        self.fill("name", name)
        self.fill("secret", self.token)
        self.press("sign-in", "Sign in")
        return self

    # ---- What is there ----

    def css(self, selector: str) -> List[WebElement]:
        return self.driver.find_elements(By.CSS_SELECTOR, selector)

    def one(self, selector: str) -> WebElement:
        found = self.css(selector)
        assert len(found) == 1, f"{len(found)} of {selector} on {self.driver.current_url}:\n{self.text()[:2000]}"
        return found[0]

    def at(self, testid: str) -> WebElement:
        return self.one(f'[data-testid="{testid}"]')

    def has(self, testid: str) -> bool:
        return bool(self.css(f'[data-testid="{testid}"]'))

    def text(self, testid: Optional[str] = None) -> str:
        return self.at(testid).text if testid else self.one("body").text

    def rows(self, testid: str) -> List[Dict[str, str]]:
        """Of a table: column → what the cell says. In one call: a hundred would take long."""
        script = """
            const table = document.querySelector(`[data-testid="${arguments[0]}"]`);
            const heads = [...table.querySelectorAll('thead th')].map(cell => cell.textContent.trim());
            return [...table.querySelectorAll('tbody tr:not(.none)')].map(row => Object.fromEntries(
                [...row.children].map((cell, i) => [heads[i], cell.textContent.replace(/\\s+/g, ' ').trim()])));"""
        return self.driver.execute_script(script, testid)

    def good(self) -> str:
        """What the page says that was done."""
        assert self.has("flash-good"), f"on {self.driver.current_url}:\n{self.text()[:2000]}"
        return self.text("flash-good")

    # ---- What is done ----

    def fill(self, field: str, text: str) -> None:
        """By the field's id."""
        element = self.one(f'[id="{field}"]')
        element.clear()
        element.send_keys(text)

    def set(self, field: str, text: str) -> None:
        """At once, for long texts, and for dates, whose keys depend on the language."""
        self.driver.execute_script("document.getElementById(arguments[0]).value = arguments[1]", field, text)

    def press(self, form: str, words: str) -> "Browser":
        """A button of a form, and waits for the page that comes of it."""
        for button in self.at(form).find_elements(By.CSS_SELECTOR, "button"):
            if button.text == words:
                return self.go(button.click)
        raise AssertionError(f"no button {words} in {form}")

    def click(self, testid: str) -> "Browser":
        return self.go(self.at(testid).click)

    def follow(self, words: str) -> "Browser":
        return self.go(self.driver.find_element(By.LINK_TEXT, words).click)

    def go(self, act: Callable[[], Any]) -> "Browser":
        """Does something that leads to another page, and waits until that is there."""
        before = self.one("html").id
        act()

        def is_there() -> bool:
            found = self.css("html")
            return bool(found) and found[0].id != before and bool(self.css("footer"))
        wait_for(is_there, 2 * TIMEOUT, "another page")
        return self

    def keys(self, *keys: str) -> None:
        webdriver.ActionChains(self.driver).send_keys(*keys).perform()

    def tab_to(self, is_it: Callable[[WebElement], bool], most: int = 120) -> WebElement:
        """Tab by Tab; whatever has the focus must show it."""
        for _ in range(most):
            self.keys(Keys.TAB)
            element = self.driver.switch_to.active_element
            if element.tag_name != "body":
                style = self.driver.execute_script("const s = getComputedStyle(arguments[0]); return s.outlineStyle + s.outlineWidth", element)
                assert style == "solid3px", f"the focus on <{element.tag_name}> {element.text!r} cannot be seen: {style}"
                if is_it(element):
                    return element
        raise AssertionError("Tab does not lead there")

    # ---- How it looks ----

    def size(self, width: int, height: int) -> None:
        """Of what is shown, as on a phone below 600."""
        self.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", {
            "width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 600})

    def scheme(self, scheme: str) -> None:
        self.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {
            "features": [{"name": "prefers-color-scheme", "value": scheme}]})

    @staticmethod
    def folder() -> Path:
        SHOTS.mkdir(parents=True, exist_ok=True)
        return SHOTS

    def shot(self, name: str, width: int = DESKTOP[0]) -> None:
        """The whole page into build/console."""
        height = self.driver.execute_script("return document.documentElement.scrollHeight")
        self.size(width, min(max(height, 400), 3000))
        self.driver.save_screenshot(str(self.folder() / f"{name}.png"))
        self.size(*(DESKTOP if width >= 600 else PHONE))

    def overflows(self) -> int:
        """By how many pixels the page is wider than the window."""
        return self.driver.execute_script(
            "return document.documentElement.scrollWidth - document.documentElement.clientWidth")

    # ---- What is wrong with it ----

    def complaints(self) -> List[str]:
        """What Chromium wrote into its console since it was asked last."""
        lines = [line["message"] for line in self.driver.get_log("browser") if line["level"] in ("SEVERE", "WARNING")]
        return [line for line in lines if not any(part in line for part in self.allowed)]

    def axe(self) -> List[str]:
        """Serious and critical findings of axe-core, one line each."""
        self.driver.execute_script(AXE.read_text() + "; window.axe = axe;")
        found = self.driver.execute_async_script("""
            const done = arguments[arguments.length - 1];
            axe.run(document, { runOnly: ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'best-practice'] })
                .then(found => done(found.violations), error => done([{ id: String(error), impact: 'critical', nodes: [] }]));""")
        return [f"{one['id']} ({one['impact']}): {one.get('help', '')}: {[node['html'][:160] for node in one['nodes'][:4]]}"
                for one in found if one["impact"] in ("serious", "critical")]


class Inline(HTMLParser):
    """Finds scripts and styles that stand in the page itself, which the policy of the page forbids."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.found: List[str] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        names = dict(attrs)
        if tag == "style" or (tag == "script" and not names.get("src")):
            self.found.append(f"<{tag}>")
        self.found += [f"<{tag} {name}>" for name in names if name == "style" or name.startswith("on")]
        for name in ("href", "src", "action", "formaction"):
            value = (names.get(name) or "").strip().lower()
            if value.startswith(("javascript:", "http:", "https:", "//")):
                self.found.append(f"<{tag} {name}={value}>")


def settle_down(seconds: float = 0.3) -> None:
    """Long enough for what must not happen."""
    time.sleep(seconds)
