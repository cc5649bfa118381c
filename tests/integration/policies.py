"""What the tests of policies share: a policy from an expression, and trying one without a booking."""

import json
import time
from typing import Any, Dict, Optional

from library import Library


def answering(table: str) -> str:
    """A policy that always answers this Lua expression."""
    return f"return function(booking, account, terms, now)\n  return {table}\nend\n"


def check(library: Library, text: str) -> Any:
    return library.client.execute_command("FCALL_RO", "tollgate_policy_check", 1, library.key("queue"), text)


def try_raw(library: Library, text: str, booking: str, account: str = "", terms: str = "", now: str = "") -> Any:
    return json.loads(library.client.execute_command(
        "FCALL_RO", "tollgate_policy_try", 1, library.key("queue"), text, booking, account, terms, now))


def try_policy(library: Library, text: str, booking: Optional[Dict[str, Any]] = None, account: Any = "",
               terms: Any = "", now: Any = "") -> Dict[str, Any]:
    """account and terms: a dict, None (nobody), or '' for the real ones."""
    told = {"account": "ann@example.com", "email": "ann@example.com", "event_type": "1207",
            "start": int(time.time()) + 7 * 86400, **(booking or {})}
    return try_raw(library, text, json.dumps(told), "" if account == "" else json.dumps(account),
                   "" if terms == "" else json.dumps(terms), str(now))
