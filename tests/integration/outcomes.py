"""What became of a booking, for tests of the whole gate."""

from typing import Any, Dict, List, Optional

from harness import Gate, now_iso, sample, wait_for

ANN, BOB = "ann@example.com", "bob@example.com"
BOTH = ("v1", "v2")
CONFIRM = {"v1": "patch", "v2": "confirm"}  # what an API call of this kind is named in the fake's log
DECLINE = {"v1": "cancel", "v2": "decline"}
DECLINED = {"v1": "CANCELLED", "v2": "REJECTED"}  # how Cal.com has a booking after our "no"


def acts(gate: Gate, id: int) -> List[str]:
    """The calls that ask Cal.com to change the booking, in order."""
    return [call["action"] for call in gate.fake.calls(id) if call["action"] != "get"]


def looks(gate: Gate, id: int) -> int:
    return len(gate.fake.calls(id, "get"))


def purses(gate: Gate, account: str = ANN) -> Any:
    fields = gate.account(account)
    return fields["balance"], fields["held"], fields["spent"]


def movements(gate: Gate, account: str = ANN) -> List[Any]:
    """(kind, amount) of each entry in the ledger but what the test gave the account by hand."""
    return [(entry["kind"], int(entry["amount"])) for entry in gate.ledger(account) if entry["kind"] != "adjust"]


def unknown_booking(id: int, email: str = ANN, trigger: str = "BOOKING_REQUESTED") -> bytes:
    """A webhook of this moment about a booking in a week that the fake does not know."""
    return sample(trigger, createdAt=now_iso(), **{
        "payload.bookingId": id, "payload.uid": f"uid-{id}", "payload.responses.email.value": email,
        "payload.startTime": now_iso(7 * 86400), "payload.endTime": now_iso(7 * 86400 + 3600)})


def wait_place(gate: Gate, id: int, place: str) -> Dict[str, str]:
    """The booking's record as soon as its name is there."""
    def look() -> Optional[Dict[str, str]]:
        b = gate.booking(id)
        return b if b.get("place") == place else None
    return wait_for(look, what=f"booking {id} to be in {place}")
