#!/usr/bin/python3
"""Plants a fault in a copy of the sources, builds that, and demands that a run with it fails: a checker that
never cried cannot be believed when it is silent.

    plants.py [NAME …]      all, or these
"""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any, Dict, List, NamedTuple, Set

ROOT = Path(__file__).resolve().parents[2]
PLANTS = ROOT / "build" / "plants"


class Edit(NamedTuple):
    file: str
    text: str  # must occur exactly once
    planted: str  # what stands there instead


class Plant(NamedTuple):
    name: str
    edits: List[Edit]
    cries: Set[str]  # one of these rules must be violated
    arguments: List[str]  # of chaos.py
    faults: List[Dict[str, Any]]  # the script


def api(at: float, **rule: Any) -> Dict[str, Any]:
    return {"at": at, "kind": "api", "who": "calcom", "lasts": 0, "rule": rule}


def on(at: float, kind: str, who: str, lasts: float) -> Dict[str, Any]:
    return {"at": at, "kind": kind, "who": who, "lasts": lasts}


SHORT = ["--minutes", "0.3", "--sweep", "0", "--calm", "60"]

TABLE = [
    # What Redis does not take goes into the spool a little later: the ingest dies before that, and then Redis.
    Plant("acknowledge-before-redis",
          [Edit("ingest/delivery.c", "    store_record(", "    parcel_answer(parcel, DELIVERED_QUEUED);\n    store_record(")],
          {"lost"}, [*SHORT, "--rate", "200"],
          [fault for at in (3, 8, 13) for fault in
           (on(at, "stop-redis", "redis", 0.6), on(at + 0.15, "kill-ingest", "ingest1", 0.2),
            on(at + 0.2, "kill-ingest", "ingest2", 0.2), on(at + 0.4, "kill-redis", "redis", 0.5))]),
    Plant("no-look-after-a-timeout",
          [Edit("worker/settle.c", """    job->unanswered = true;
    job->unfinished = answer->timed_out;
    job_call(job, CALCOM_LOOK);""", "    (void)answer;\n    job_call(job, job->call);")],
          {"repeat", "overlap"}, SHORT,
          [api(at, kind="reset_after", action="act", times=20) for at in (3, 7, 11)]),
    Plant("hold-not-released",
          [Edit("common/redis/settle.lua",
                "cancelled = { state = 'cancelled', move = 'release', reason = 'cancelled in Cal.com; nothing is charged' },",
                "cancelled = { state = 'cancelled', reason = 'cancelled in Cal.com; nothing is charged' },")],
          {"held"}, SHORT, [{**api(3, kind="status", status=500, action="any", times=-1), "lasts": 10}]),
    # A worker stands still with looks under way that fail, and goes on while others have its bookings in hand:
    # they need four seconds for one, and are found to have them six to twelve seconds after it stopped. Few looks
    # fail in a row, for the breaker's sake.
    Plant("settle-without-fencing",
          [Edit("common/redis/settle.lua", "  if b and b.place == 'active' and b.token == token then",
                "  if b and b.place == 'active' then")],
          {"overlap"}, ["--minutes", "0.9", "--sweep", "0", "--calm", "100", "--latency", "2000",
                        "--env", "TOLLGATE_FRESH_MS=0", "--env", "CALCOM_TIMEOUT_MS=4000"],
          [fault for at, who, lasts in ((3, "worker1", 7.5), (15, "worker2", 8.5), (28, "worker3", 9.5), (42, "worker1", 10.5))
           for fault in [on(at, "stop-worker", who, lasts),
                         *(api(at - early / 4, kind="status", status=500, action="get", times=3)
                           for early in range(1, 9))]]),
    Plant("reap-that-drops-a-job",
          [Edit("common/redis/leases.lua", "  for i = #taken, 1, -1 do", "  for i = #taken, 2, -1 do")],
          {"open"}, [*SHORT, "--latency", "300"],
          [on(at, "kill-worker", who, 1) for at, who in ((4, "worker1"), (8, "worker2"), (12, "worker3"))]),
]


def plant(what: Plant, folder: Path) -> None:
    """A copy of the sources with the fault in it, built."""
    tracked = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, check=True, capture_output=True, text=True).stdout
    for name in filter(None, tracked.split("\0")):
        target = folder / "source" / name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(ROOT / name, target)
    for edit in what.edits:
        path = folder / "source" / edit.file
        text = path.read_text()
        found = text.count(edit.text)
        if found != 1:
            sys.exit(f"plants: {what.name}: a text stands {found} times in {edit.file}; mend the table")
        path.write_text(text.replace(edit.text, edit.planted))
    subprocess.run(["make", "-s", "-j2", "all"], cwd=folder / "source", check=True, stdout=subprocess.DEVNULL)


def run(what: Plant) -> bool:
    """Whether the checker cries as it must."""
    folder = PLANTS / what.name
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    plant(what, folder)
    (folder / "faults.json").write_text(json.dumps(what.faults))
    arguments = ["--seed", "1", "--rate", "50", "--folder", str(folder / "run"), *what.arguments,
                 "--script", str(folder / "faults.json")]
    with open(folder / "chaos.log", "w") as log:
        subprocess.run([sys.executable, str(Path(__file__).parent / "chaos.py"), *arguments], stdout=log, stderr=log,
                       env={**os.environ, "TOLLGATE_BUILD": str(folder / "source" / "build" / "release")})
    told = folder / "run" / "violations.json"
    cried = {violation["rule"] for violation in json.loads(told.read_text())} if told.exists() else set()
    print(f"plants: {what.name}: {'seen' if cried & what.cries else 'NOT SEEN'} "
          f"({', '.join(sorted(cried)) or 'nothing was violated'}; {folder / 'chaos.log'})", flush=True)
    return bool(cried & what.cries)


def main() -> int:
    names = sys.argv[1:] or [what.name for what in TABLE]
    unknown = set(names) - {what.name for what in TABLE}
    if unknown:
        sys.exit(f"plants: there is no {', '.join(unknown)}: {', '.join(what.name for what in TABLE)}")
    results = [run(what) for what in TABLE if what.name in names]
    print(f"plants: {sum(results)} of {len(results)} were seen")
    return 0 if all(results) else 1


if __name__ == "__main__":
    sys.exit(main())
