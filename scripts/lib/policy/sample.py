"""A booking as the policy sees it, out of a sample: a webhook's body, or the booking written down.

What a webhook means is what ingest/webhook.c reads in it; a test holds the two together.
"""

import datetime
import json
import re
from typing import Any, Dict, Optional

from tollgate.link import Problem, account_of

WORD_BYTES = {"uid": 64, "attendeeSeatId": 80, "rescheduleUid": 64}
ANSWERS_BYTES = 8192
LARGEST_NUMBER = 2**53 - 1
MAKING = {"BOOKING_REQUESTED": "requested", "BOOKING_CREATED": "created", "BOOKING_RESCHEDULED": "rescheduled"}
TIME = re.compile(r"(\d{4})-(\d\d)-(\d\d)T(\d\d):(\d\d):(\d\d)(?:\.\d+)?(?:Z|([+-])(\d\d):(\d\d))", re.ASCII)

# The fields of a booking that is written down, and what each must be.
PLAIN = {
    "id": (str, int), "uid": (str,), "account": (str,), "email": (str,), "event_type": (str, int), "start": (int, str),
    "end": (int, str), "received": (int, str), "first_seen": (str,), "answers": (dict,), "metadata": (dict,),
    "reschedule": (bool,), "occurrence": (int,), "occurrences": (int,), "open": (int,),
}
TIMES = ("start", "end", "received")


def read(path: str, account_field: str) -> Dict[str, Any]:
    """The booking's view. Raises Problem where nothing in the file can be decided."""
    try:
        with open(path, encoding="utf-8") as file:
            body = json.load(file)
    except OSError as error:
        raise Problem(f"{path}: {error.strerror}") from None
    except (ValueError, RecursionError) as error:
        raise Problem(f"{path} is not JSON: {error}") from None
    try:
        if isinstance(body, dict) and "triggerEvent" not in body:
            return plain(body)
        return from_webhook(body, account_field)
    except ValueError as error:
        raise Problem(f"{path}: {error}") from None


def plain(body: Dict[str, Any]) -> Dict[str, Any]:
    view = {}
    for name, value in body.items():
        if name not in PLAIN:
            raise ValueError(f"a booking has no field {name}; it has {', '.join(PLAIN)}, or is a webhook's body "
                             "with triggerEvent and payload")
        if value is None:
            continue
        if not isinstance(value, PLAIN[name]) or (isinstance(value, bool) and PLAIN[name] != (bool,)):
            raise ValueError(f"{name} is {json.dumps(value)[:60]}, which it cannot be")
        if name in TIMES and isinstance(value, str):
            value = epoch_seconds(value)
            if value is None:
                raise ValueError(f"{name} is neither epoch seconds nor a time like 2026-03-12T14:00:00Z")
        view[name] = value
    for name in ("account", "email"):
        if name in view:
            view[name] = account_of(view[name])
    if "account" not in view and "email" in view and "account" not in body:
        view["account"] = view["email"]
    return {name: value for name, value in view.items() if value is not None}


# ---- A webhook's body ----

def member(value: Any, name: str) -> Any:
    return value.get(name) if isinstance(value, dict) else None


def text_of(value: Any) -> Optional[str]:
    return value if isinstance(value, str) and "\0" not in value else None


def is_number(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def word(payload: Dict[str, Any], name: str) -> Optional[str]:
    value = payload.get(name)
    if value is None or value == "":
        return None
    text = text_of(value)
    if text is None or len(text) > WORD_BYTES[name] or not all("!" <= sign <= "~" for sign in text):
        raise ValueError(f"payload.{name} is no word of at most {WORD_BYTES[name]} characters")
    return text


def number(payload: Dict[str, Any], name: str) -> Optional[str]:
    value = payload.get(name)
    return str(value) if is_number(value) and 0 < value <= LARGEST_NUMBER else None


def epoch_seconds(text: Any) -> Optional[int]:
    match = TIME.fullmatch(text) if isinstance(text, str) else None
    if not match:
        return None
    *parts, sign, hours, minutes = match.groups()
    try:
        when = datetime.datetime(*map(int, parts), tzinfo=datetime.timezone.utc)
        offset = datetime.timedelta(hours=int(hours or 0), minutes=int(minutes or 0))
        if int(hours or 0) > 23 or int(minutes or 0) > 59:
            return None
        when = when + offset if sign == "-" else when - offset
    except (ValueError, OverflowError):
        return None
    return int(when.timestamp()) if when.year >= 1970 else None


def find_email(payload: Dict[str, Any]) -> Optional[str]:
    email = text_of(member(member(member(payload, "responses"), "email"), "value"))
    attendees = payload.get("attendees")
    if email is None and isinstance(attendees, list) and attendees:
        email = text_of(member(attendees[0], "email"))
    return account_of(email)


def find_account(payload: Dict[str, Any], email: Optional[str], account_field: str) -> Optional[str]:
    if not account_field:
        return email
    value: Any = payload
    for name in account_field.split("."):
        value = member(value, name)
    if isinstance(value, dict):
        value = value.get("value")
    return account_of(str(value) if is_number(value) else text_of(value))


def small(value: Any) -> Dict[str, Any]:
    """An object as it is kept: without a one-time password, and none that is too large."""
    if not isinstance(value, dict):
        return {}
    kept = {name: part for name, part in value.items() if name != "oneTimePassword"}
    written = json.dumps(kept, ensure_ascii=False, separators=(",", ":"))
    return kept if len(written.encode("utf-8", "surrogatepass")) <= ANSWERS_BYTES else {}


def find_answers(payload: Dict[str, Any]) -> Dict[str, Any]:
    responses = payload.get("responses")
    if not isinstance(responses, dict):
        return {}
    told = {name: member(response, "value") for name, response in responses.items()}
    return small({name: value for name, value in told.items() if value is not None})


def from_webhook(body: Any, account_field: str = "") -> Dict[str, Any]:
    """Raises ValueError where ingest would not record a booking."""
    trigger = text_of(member(body, "triggerEvent"))
    if trigger is None:
        raise ValueError("neither a webhook's body nor a booking")
    if trigger not in MAKING:
        raise ValueError(f"{trigger} makes no booking, so there is nothing to decide")
    payload = member(body, "payload")
    payload = body if payload is None else payload
    if not isinstance(payload, dict):
        payload = {}
    id_, seat = number(payload, "bookingId"), word(payload, "attendeeSeatId")
    if id_ is None:
        raise ValueError("payload.bookingId is missing or no positive number")
    email = find_email(payload)
    view = {
        "id": id_ + (f":{seat}" if seat else ""),
        "uid": word(payload, "uid"),
        "email": email,
        "account": find_account(payload, email, account_field),
        "event_type": number(payload, "eventTypeId"),
        "start": epoch_seconds(payload.get("startTime")),
        "end": epoch_seconds(payload.get("endTime")),
        "first_seen": MAKING[trigger],
        "answers": find_answers(payload),
        "metadata": small(payload.get("metadata")),
        "reschedule": word(payload, "rescheduleUid") is not None,
    }
    for name, where in (("uid", "payload.uid"), ("event_type", "payload.eventTypeId"),
                        ("email", "payload.responses.email.value"), ("start", "payload.startTime")):
        if not view[name]:
            raise ValueError(f"{where} is missing or cannot be read")
    recurring = payload.get("recurringEvent")
    if isinstance(recurring, dict):
        count = recurring.get("count")
        view["occurrences"] = count if is_number(count) and 1 <= count <= LARGEST_NUMBER else 2
    return {name: value for name, value in view.items() if value is not None}
