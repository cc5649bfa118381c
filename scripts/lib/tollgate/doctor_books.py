"""What scripts/doctor looks at in the books: who works, what waits too long, what does not fit."""

import argparse
from typing import Any, Dict, List

from tollgate import gates, picture, places
from tollgate.findings import FAIL, OK, WARN, Finding, given
from tollgate.link import Link, script

OLD_S = 60        # a booking is decided within a second as a rule
LOOKED_AT = 500   # of the newest decisions

AWAY = "docker-compose up -d worker, or systemctl start tollgate-worker@1; its log says why it stopped"


def workers(link: Link, _: argparse.Namespace) -> List[Finding]:
    alive = link.client.zcount(link.key("workers"), places.now_ms(link), "+inf")
    if alive == 0:
        return [Finding(FAIL, "no worker is running: bookings are recorded, and nobody decides them", AWAY)]
    return [Finding(OK, f"{alive} at work")]


def age_s(row: Dict[str, Any], now: int) -> float:
    return (now - int(row["received_ms"] or now)) / 1000


def queue(link: Link, _: argparse.Namespace) -> List[Finding]:
    now = places.now_ms(link)
    paused = link.client.hgetall(link.key("paused"))
    if paused:
        return [Finding(WARN, f"paused by {paused.get('by')}: {paused.get('note') or 'no reason given'}",
                        f"{script('queue')} resume")]
    waiting = places.listed(link, "waiting", 1)
    late = link.client.zcount(link.key("retry"), "-inf", now - OLD_S * 1000)
    if waiting and age_s(waiting[0], now) > OLD_S:
        return [Finding(FAIL, f"booking {waiting[0]['booking']} has waited for {age_s(waiting[0], now):.0f} s",
                        f"see what holds it: {script('queue')} and the workers' logs")]
    if late:
        return [Finding(FAIL, f"{late} bookings should have been tried again a minute ago", AWAY)]
    return [Finding(OK, "nothing has waited for long")]


def dead(link: Link, _: argparse.Namespace) -> List[Finding]:
    count = link.client.zcard(link.key("dead"))
    if not count:
        return [Finding(OK, "nothing was given up")]
    reasons = places.reasons(list(places.dead(link, LOOKED_AT)))
    return [Finding(WARN, f"{count} bookings were given up, most of all: {reasons[0]['reason'] if reasons else '-'}",
                    f"mend the cause, then {script('queue')} requeue --all")]


def books(link: Link, _: argparse.Namespace) -> List[Finding]:
    wrong = link.client.hlen(link.key("unbalanced"))
    if wrong:
        return [Finding(FAIL, f"{wrong} accounts and their ledgers differ", f"{script('credit')} verify says how")]
    return [Finding(OK, "accounts and ledgers agree")]


def drift(link: Link, _: argparse.Namespace) -> List[Finding]:
    found = link.client.hlen(link.key("drift"))
    if found:
        booking, text = next(link.client.hscan_iter(link.key("drift")))
        return [Finding(WARN, f"{found} bookings stand otherwise at Cal.com than here; {booking}: {text}",
                        f"redis-cli HGETALL '{link.key('drift')}', and {script('explain')} {booking}")]
    return [Finding(OK, "Cal.com and the record agree, as far as the sweep has looked")]


def gate(link: Link, _: argparse.Namespace) -> List[Finding]:
    """Whether calls to Cal.com may go out. The workers share what they know in a hash that the key names."""
    key, trouble = given("CALCOM_API_KEY")
    if trouble or not key:
        return []  # see api
    cause, note = link.client.hmget(link.key("gate:" + gates.name_of(key)), "cause", "note")
    if cause in gates.MENDED_BY_A_PERSON:
        return [Finding(FAIL, f"no call to Cal.com goes out ({cause}): {note or ''}", gates.MENDED_BY_A_PERSON[cause])]
    if cause:
        return [Finding(WARN, f"no call to Cal.com goes out for now ({cause}): {note or ''}", "it passes by itself")]
    return [Finding(OK, "calls to Cal.com may go out")]


def budget(link: Link, _: argparse.Namespace) -> List[Finding]:
    key = given("CALCOM_API_KEY")[0]
    if not key:
        return []
    now = places.now_ms(link)
    found = [row for row in gates.Gates(link).rows(now) if row["gate"] == gates.name_of(key)]
    if not found or gates.limit_here() == 0:
        return [Finding(OK, "no limit of calls is set")] if found else []
    gate = found[0]
    many = f"{gate['used']} of {gate['limit']} calls to Cal.com were used in the last minute"
    if gate["throttled_until_ms"]:
        return [Finding(WARN, f"Cal.com has had enough calls (429), {gate['throttled']} times so far; {many}",
                        "it passes; if it comes often, lower CALCOM_RATE_LIMIT, and see who else uses the key")]
    if gate["left"] == 0:
        return [Finding(WARN, f"{many}: bookings wait for the next",
                        "raise CALCOM_RATE_LIMIT if Cal.com allows you more; else it works off what waits as fast as Cal.com lets it")]
    return [Finding(OK, many)]


def secrets(link: Link, _: argparse.Namespace) -> List[Finding]:
    """Whether one that is being changed may be removed; ingest writes down when each was used last."""
    now = places.now_ms(link)
    found = []
    known = gates.secrets(link, now) or []
    for one in known:
        name = f"secret {one.place} of WEBHOOK_SECRET ({one.name}…)" if one.place else f"a secret {one.name}…"
        since = picture.ago(one.used_ms, now)
        if one.may_go:
            found.append(Finding(WARN, f"{name} was used last {since}, and others since: it may be removed",
                                 "take it out of WEBHOOK_SECRET, then restart ingest or send it SIGHUP"))
        elif one.place is None:
            if given("WEBHOOK_SECRET")[0] and one.used_ms == max(other.used_ms or 0 for other in known):
                found.append(Finding(WARN, f"{name} that is not in WEBHOOK_SECRET here was used last, {since}",
                                     "run the doctor with the environment of ingest"))
        elif one.used_ms is None:
            found.append(Finding(OK, f"no webhook came with {name} so far"))
        else:
            found.append(Finding(OK, f"{name} was used last {since}"))
    return found


def event_types(link: Link, _: argparse.Namespace) -> List[Finding]:
    """Those that Cal.com accepts by itself: a booking without credit is then cancelled, not rejected."""
    newest = link.client.xrevrange(link.key("decisions"), count=LOOKED_AT)
    asked = [("HMGET", link.key("booking:" + fields["booking"]), "first_seen", "requires_confirmation", "event_type",
              "seat") for _, fields in newest]
    unasked = {event_type or "?" for first, requires, event_type, seat in link.bulk(asked)
               if first == "created" and requires != "yes" and not seat}
    if unasked:
        return [Finding(WARN, f"Cal.com accepts bookings of event type {', '.join(sorted(unasked))} by itself: who lacks "
                        "credit is cancelled afterwards", "tick \"Requires confirmation\" in the event type's settings")]
    return [Finding(OK, "all that were decided lately had waited for confirmation" if newest else "none was decided yet")]
