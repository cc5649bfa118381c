"""scripts/doctor --await-ping: a person presses "Ping test" in Cal.com, and we see what ingest makes of it. That is
the one way to learn whether Cal.com's secret and address are right without a booking."""

import argparse
import re
import sys
import time
from typing import Dict, List, Optional

from tollgate import terminal
from tollgate.doctor_web import ask, why
from tollgate.findings import FAIL, OK, Finding, given
from tollgate.link import Link

DEFAULT = "127.0.0.1:9464"
EVERY_S = 0.5

SECRET = "give ingest and Cal.com's webhook the same secret; then restart ingest, or send it SIGHUP"

# What ingest counts a webhook under (ingest/ingest_metrics.c), and what that says. The first that grew is told.
HEARD = (("ping", OK, "a PING of Cal.com came, and its secret fits", ""),
         ("wrong_signature", FAIL, "a webhook came that is signed with another secret", SECRET),
         ("unsigned", FAIL, "a webhook came without a signature: Cal.com has no secret", SECRET))


def counts(address: str) -> Dict[str, float]:
    """Raises OSError."""
    status, body, _ = ask(f"http://{address}/metrics", {})
    if status != 200:
        raise OSError(f"/metrics answers {status}")
    return {result: float(number) for result, number in re.findall(
        r'^tollgate_ingest_webhooks_total\{result="(\w+)"\} (\S+)$', body.decode(errors="replace"), re.M)}


def ping(_: Optional[Link], options: argparse.Namespace) -> List[Finding]:
    if options.await_ping is None:
        return []
    address = options.admin or given("TOLLGATE_ADMIN_LISTEN")[0] or DEFAULT
    try:
        before = counts(address)
        print(f"Press \"Ping test\" in Cal.com (Settings, Developer, Webhooks) within {options.await_ping} s …", file=sys.stderr)
        end = time.monotonic() + options.await_ping
        while time.monotonic() < end:
            time.sleep(EVERY_S)
            now = counts(address)
            for result, verdict, text, remedy in HEARD:
                if now.get(result, 0) > before.get(result, 0):
                    return [Finding(verdict, text, remedy)]
    except (OSError, ValueError) as error:
        return [Finding(FAIL, f"ingest's admin address {terminal.printable(address)} cannot be asked: {why(error)}",
                        "--admin HOST:PORT, as TOLLGATE_ADMIN_LISTEN of ingest has it; with Docker ingest:9464")]
    return [Finding(FAIL, f"no PING came within {options.await_ping} s",
                    "is the webhook's address in Cal.com this ingest's, and can Cal.com reach it? --url tries it from here")]
