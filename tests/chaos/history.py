"""What a run left behind, as plain data. The checker reads this and nothing else, so that a test can
write a history by hand, and so that an old run can be checked again.

Times are milliseconds since the epoch, all of one machine's clock.
"""

import dataclasses
import json
from pathlib import Path
from typing import Any, Dict, List

Row = Dict[str, Any]


@dataclasses.dataclass
class History:
    settings: Row = dataclasses.field(default_factory=dict)  # see chaos.py: seed, fresh_ms, sweep, costs …
    granted: Dict[str, int] = dataclasses.field(default_factory=dict)  # account -> credits
    faults: List[Row] = dataclasses.field(default_factory=list)  # kind who begin_ms end_ms, as they happened
    orders: List[Row] = dataclasses.field(default_factory=list)  # what people did: what id begin_ms end_ms …
    webhooks: List[Row] = dataclasses.field(default_factory=list)  # the fake's log of deliveries
    calls: List[Row] = dataclasses.field(default_factory=list)  # the fake's log of API calls
    calcom: Dict[str, Row] = dataclasses.field(default_factory=dict)  # ID -> the booking at Cal.com
    bookings: Dict[str, Dict[str, str]] = dataclasses.field(default_factory=dict)  # ID -> our record
    accounts: Dict[str, Dict[str, str]] = dataclasses.field(default_factory=dict)
    ledgers: Dict[str, List[Any]] = dataclasses.field(default_factory=dict)  # account -> [[entry ID, entry]]
    places: Dict[str, List[str]] = dataclasses.field(default_factory=dict)  # queue, retry, dead, active:… -> IDs
    known: Dict[str, float] = dataclasses.field(default_factory=dict)  # ID -> when the sweep looked at it last
    stats: Dict[str, str] = dataclasses.field(default_factory=dict)  # the library's counters
    metrics: Dict[str, float] = dataclasses.field(default_factory=dict)  # summed over all lives of all programs
    complaints: List[str] = dataclasses.field(default_factory=list)  # what the programs' logs should not hold
    verify: Row = dataclasses.field(default_factory=dict)  # scripts/credit verify: status, output

    def save(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        for field in dataclasses.fields(self):
            with open(folder / f"{field.name}.json", "w") as file:
                json.dump(getattr(self, field.name), file)

    @classmethod
    def load(cls, folder: Path) -> "History":
        return cls(**{field.name: json.loads((folder / f"{field.name}.json").read_text())
                      for field in dataclasses.fields(cls)})
