"""What scripts/doctor asks Cal.com, and the webhook's own address, as Cal.com would."""

import argparse
import datetime
import hashlib
import hmac
import json
import secrets
import urllib.error
import urllib.parse
import urllib.request
from typing import Any, Dict, List, Optional, Tuple

from tollgate.findings import FAIL, OK, WARN, Finding, given
from tollgate.link import Link, without_password

TIMEOUT_S = 5
SHORT = 12  # characters
API_VERSION = "2024-08-13"
MADE = "openssl rand -hex 24 makes one; type it into Cal.com's webhook as well"

KEY = "make a new key in Cal.com (Settings, Developer, API keys) as the host whose bookings these are"
ROUTE = "CALCOM_API_URL ends in /v2 (today's API) or /v1, for instance https://api.cal.com/v2"


class _Stay(urllib.request.HTTPRedirectHandler):
    """Cal.com follows no redirect with a webhook, and a key must not follow one either."""

    def redirect_request(self, *_: Any) -> None:
        return None


def ask(url: str, headers: Dict[str, str], body: Optional[bytes] = None) -> Tuple[int, bytes, str]:
    """The answer's status, body, and where it redirects to. Raises OSError with what went wrong."""
    opener = urllib.request.build_opener(_Stay)
    try:
        with opener.open(urllib.request.Request(url, body, headers), timeout=TIMEOUT_S) as answer:
            return answer.status, answer.read(1 << 20), ""
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read(1 << 20), error.headers.get("Location", "")


def why(error: Exception) -> str:
    return str(getattr(error, "reason", error))


# ---- The webhook ----

def secret(_: Optional[Link], options: argparse.Namespace) -> List[Finding]:
    text, trouble = given("WEBHOOK_SECRET")
    if trouble:
        return [Finding(FAIL, trouble, "mend it")]
    if not text:
        return [Finding(WARN, "WEBHOOK_SECRET is not set here: ingest needs it, unless TOLLGATE_ALLOW_UNSIGNED=yes", MADE)]
    if any(len(part) < SHORT for part in text.split(",")):
        return [Finding(WARN, f"WEBHOOK_SECRET is shorter than {SHORT} characters: it can be guessed", MADE)]
    return [Finding(OK, "WEBHOOK_SECRET is set" + (", several for the time of a change" if "," in text else ""))]


def ping(url: str, key: Optional[str]) -> Tuple[int, str]:
    """Sends what Cal.com's button "Ping test" sends."""
    now = datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%dT%H:%M:%S.000Z")
    body = json.dumps({"triggerEvent": "PING", "createdAt": now, "payload": {"type": "Test"}}).encode()
    headers = {"Content-Type": "application/json"}
    if key is not None:
        headers["X-Cal-Signature-256"] = hmac.new(key.encode(), body, hashlib.sha256).hexdigest()
    status, _, location = ask(url, headers, body)
    return status, location


STATUS = {
    401: ("its ingest has another WEBHOOK_SECRET", "give ingest and Cal.com's webhook the same secret; then restart ingest"),
    404: ("there is nothing at that path", "the path is /webhook"),
    405: ("it takes no POST there", "the path is /webhook"),
    502: ("a proxy answers, and finds no ingest behind it", "start ingest, or mend the proxy's upstream"),
    503: ("ingest can keep nothing: its spool is full or cannot be written", "see ingest's log"),
}


def webhook(_: Optional[Link], options: argparse.Namespace) -> List[Finding]:
    url, key = options.url, given("WEBHOOK_SECRET")[0]
    if not url:
        return [Finding(WARN, "the webhook's address was not tried", "--url https://…/webhook")]
    parts = urllib.parse.urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.netloc:
        return [Finding(FAIL, f"{url} is no address", "it begins with https://")]
    found = []
    if parts.scheme == "http":
        found.append(Finding(WARN, "its address is http: whoever is on the way reads names and addresses",
                             "put a proxy with TLS before it"))
    try:
        status, location = ping(url, key.split(",")[0] if key else None)
        forged, _ = ping(url, secrets.token_hex(16)) if status == 200 else (0, "")
    except (OSError, ValueError) as error:
        return found + [Finding(FAIL, f"{without_password(url)} cannot be reached: {why(error)}",
                                "is ingest running, is the port open, does the name lead to it?")]
    if 300 <= status < 400:
        found.append(Finding(FAIL, f"it redirects to {location or 'nowhere'}: Cal.com does not follow",
                             "give Cal.com the address where it ends"))
    elif status != 200:
        text, remedy = STATUS.get(status, ("that is not ingest's answer", "does the address lead to ingest?"))
        found.append(Finding(FAIL, f"it answers a PING with {status}: {text}", remedy))
    elif forged == 200:
        found.append(Finding(WARN, "it takes webhooks with any signature: anybody who can reach it can book",
                             "set WEBHOOK_SECRET, and TOLLGATE_ALLOW_UNSIGNED to no"))
    else:
        found.append(Finding(OK, "a PING with this secret is taken, and one with another is refused"))
    return found


# ---- The API ----

def call(url: str, key: str, path: str, query: str, version: str = "") -> Tuple[int, bytes, str]:
    if url.endswith("/v1"):  # the key is part of the address there
        return ask(f"{url}{path}?apiKey={urllib.parse.quote(key, safe='')}{query and '&' + query}", {})
    version = version or given("CALCOM_API_VERSION")[0] or API_VERSION
    return ask(f"{url}{path}{query and '?' + query}", {"Authorization": f"Bearer {key}", "cal-api-version": version})


def judge(what: str, status: int, location: str) -> List[Finding]:
    if status == 200:
        return []
    if status in (401, 403):
        return [Finding(FAIL, f"Cal.com refuses CALCOM_API_KEY ({what} answers {status})", KEY)]
    if status == 429:
        return [Finding(WARN, f"Cal.com has had enough calls for now ({what} answers 429)", "ask again in a minute")]
    if 300 <= status < 400:
        return [Finding(FAIL, f"CALCOM_API_URL redirects to {location.split('?')[0] or 'nowhere'}", ROUTE)]
    if status >= 500:
        return [Finding(FAIL, f"Cal.com fails ({what} answers {status})", "see its status page; bookings wait meanwhile")]
    return [Finding(FAIL, f"there is no API at CALCOM_API_URL ({what} answers {status})",
                    ROUTE)]


def api(_: Optional[Link], options: argparse.Namespace) -> List[Finding]:
    (url, trouble), (key, its_trouble) = given("CALCOM_API_URL"), given("CALCOM_API_KEY")
    if trouble or its_trouble:
        return [Finding(FAIL, trouble or its_trouble, "mend it")]
    if not url or not key:
        name = "CALCOM_API_KEY" if url else "CALCOM_API_URL"
        return [Finding(FAIL, f"{name} is not set here: a worker does not start without it", KEY if url else ROUTE)]
    url = url.rstrip("/")
    if not url.startswith(("http://", "https://")) or not url.endswith(("/v1", "/v2")):
        return [Finding(FAIL, f"CALCOM_API_URL is {without_password(url)}", ROUTE)]
    version = given("CALCOM_API_VERSION")[0] or API_VERSION
    if version < API_VERSION:  # dates; an older one has no route that confirms or declines
        return [Finding(FAIL, f"CALCOM_API_VERSION is {version}, which cannot confirm a booking", f"leave it at {API_VERSION}")]
    if options.offline:
        return [Finding(WARN, "Cal.com was not asked", "leave --offline out")]
    try:
        for path, query in (("/me", ""), ("/bookings", "take=1")):
            status, body, location = call(url, key, path, query)
            found = judge(path, status, location)
            if found:
                return found
            json.loads(body)
    except ValueError:
        return [Finding(FAIL, "what answers at CALCOM_API_URL is not Cal.com's API", ROUTE)]
    except OSError as error:
        return [Finding(FAIL, f"Cal.com cannot be reached: {why(error)}", "is CALCOM_API_URL right, and may this host reach it?")]
    found = [Finding(OK, "the key is taken, and may read bookings")]
    if url.startswith("http://"):
        found.append(Finding(WARN, "CALCOM_API_URL is http: the key is sent in clear", "use https unless it is on this host"))
    return found
