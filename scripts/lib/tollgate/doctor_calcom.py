"""What scripts/doctor asks Cal.com about its own settings: who is told of bookings, and which wait for a yes. API v2
tells; v1 and older installations tell less, and what is not told is not complained of."""

import argparse
import json
from typing import Any, Dict, List, Optional

from tollgate.doctor_web import call
from tollgate.findings import FAIL, OK, WARN, Finding, given
from tollgate.link import Link

EVENT_TYPES_VERSION = "2024-06-14"  # of the header cal-api-version, from which confirmationPolicy is told

NEEDED = ("BOOKING_REQUESTED", "BOOKING_CREATED", "BOOKING_REJECTED", "BOOKING_CANCELLED", "BOOKING_RESCHEDULED",
          "BOOKING_PAYMENT_INITIATED")

HOOKS = "in Cal.com: Settings, Developer, Webhooks"


def _rows(options: argparse.Namespace, path: str, version: str = "") -> Optional[List[Dict[str, Any]]]:
    """What a list of API v2 holds; None when that cannot be had."""
    url, key = given("CALCOM_API_URL")[0].rstrip("/"), given("CALCOM_API_KEY")[0]
    if options.offline or not key or not url.startswith(("http://", "https://")) or not url.endswith("/v2"):
        return None
    try:
        status, body, _ = call(url, key, path, "", version)
        rows = json.loads(body)["data"] if status == 200 else None
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return rows if isinstance(rows, list) and all(isinstance(row, dict) for row in rows) else None


def subscription(_: Optional[Link], options: argparse.Namespace) -> List[Finding]:
    """The webhook as Cal.com has it, against the address and the secret here."""
    hooks = _rows(options, "/webhooks") if options.url else None
    if hooks is None:
        return []
    mine = [hook for hook in hooks if str(hook.get("subscriberUrl", "")).rstrip("/") == options.url.rstrip("/")]
    if not mine:
        return [Finding(WARN, f"none of the {len(hooks)} webhooks of this key's user leads to {options.url}",
                        f"{HOOKS}; nothing to do if it is an event type's, a team's or an organization's")]
    return [finding for hook in mine for finding in _hook(hook)] or [Finding(OK, "Cal.com's webhook has this address, and all triggers")]


def _hook(hook: Dict[str, Any]) -> List[Finding]:
    found = []
    missing = [name for name in NEEDED if name not in (hook.get("triggers") or ())]
    secrets = [part for part in given("WEBHOOK_SECRET")[0].split(",") if part]
    if hook.get("active") is False:
        found.append(Finding(FAIL, "Cal.com's webhook is switched off", f"switch it on, {HOOKS}"))
    if NEEDED[0] in missing:
        found.append(Finding(FAIL, "Cal.com does not tell of requests: BOOKING_REQUESTED is no trigger of its webhook",
                             f"add {', '.join(missing)}, {HOOKS}"))
    elif missing:
        found.append(Finding(WARN, f"Cal.com's webhook lacks {', '.join(missing)}: the sweep finds such news minutes later",
                             f"add them, {HOOKS}"))
    if hook.get("payloadTemplate"):
        found.append(Finding(FAIL, "Cal.com's webhook has a payload template of its own: ingest does not know it", f"remove it, {HOOKS}"))
    if secrets and hook.get("secret") and hook["secret"] not in secrets:
        found.append(Finding(FAIL, "Cal.com signs with another secret than WEBHOOK_SECRET", f"type the same one into both, {HOOKS}"))
    return found


def event_types(_: Optional[Link], options: argparse.Namespace) -> List[Finding]:
    """Those that this gate decides, before anybody books one."""
    rows = _rows(options, "/event-types", EVENT_TYPES_VERSION)
    if rows is None:
        return []
    only = {part.strip() for part in given("TOLLGATE_EVENT_TYPES")[0].split(",") if part.strip()}
    rows = [row for row in rows if not only or str(row.get("id")) in only]
    unasked = [f"{row.get('id')} ({row.get('title')})" for row in rows if (row.get("confirmationPolicy") or {}).get("disabled") is True]
    timed = [f"{row.get('id')} ({row.get('title')})" for row in rows if (row.get("confirmationPolicy") or {}).get("type") == "time"]
    which = "" if only else "; TOLLGATE_EVENT_TYPES names those that this gate is for"
    found = []
    if unasked:
        found.append(Finding(WARN, f"Cal.com accepts bookings of {len(unasked)} event type(s) by itself: {', '.join(unasked[:5])}"
                             + (" …" if len(unasked) > 5 else ""),
                             "tick \"Requires confirmation\" in the event type's settings, Advanced" + which))
    if timed:
        found.append(Finding(WARN, f"only some bookings of event type {', '.join(timed[:5])} wait for a confirmation: those at short notice",
                             "choose \"Always\" beside \"Requires confirmation\"" + which))
    return found or [Finding(OK, f"all {len(rows)} event types of this key's user require confirmation")]
