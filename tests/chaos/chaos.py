#!/usr/bin/python3
"""Nothing acknowledged is lost, nothing is charged twice, Cal.com is asked once: shown by a run in which
everything goes wrong. README.md says what happens; `make chaos` starts it.

Exit status 0: nothing of it was violated; 1: something was; 2: wrong use.
"""

import argparse
import asyncio
import json
import os
import random
import resource
import shutil
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any, Dict, List

import script
from checker import check, count, story
from history import History, Row
from members import Members
from recorder import Recorder
from stage import NAMESPACE, ROOT, Stage

CAST = {"ingest": 2, "worker": 3}
STORIES = 5  # told in full on the terminal

# Error lines that the faults explain.
ANNOUNCED = ["redis cannot be prepared", "the spool fails"]


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seed", type=int, default=None, help="default: a random one, which is printed")
    parser.add_argument("--minutes", type=float, default=3, help="for how long there are bookings and faults")
    parser.add_argument("--rate", type=float, default=50, help="bookings per second")
    parser.add_argument("--only", default="", help="these kinds of faults, by comma: " + " ".join(script.SWITCHES))
    parser.add_argument("--without", default="", help="all but these")
    parser.add_argument("--script", type=Path, help="faults from this file instead of the seed's")
    parser.add_argument("--dialect", default="v2", choices=["v1", "v2"])
    parser.add_argument("--rate-limit", type=int, default=0, help="calls per minute that Cal.com allows; 0: no limit")
    parser.add_argument("--latency", type=int, default=0, help="milliseconds that every call to Cal.com takes")
    parser.add_argument("--sweep", type=int, default=10, help="seconds between sweeps; 0: none")
    parser.add_argument("--calm", type=float, default=240, help="seconds in which all must be settled afterwards")
    parser.add_argument("--env", action="append", default=[], metavar="NAME=VALUE", help="for both programs")
    parser.add_argument("--folder", type=Path, help="default: build/chaos/SEED")
    given = parser.parse_args()
    known = set(script.SWITCHES)
    for name in filter(None, (given.only + "," + given.without).split(",")):
        if name not in known:
            parser.error(f"{name} is none of {' '.join(script.SWITCHES)}")
    if given.seed is None:
        given.seed = random.SystemRandom().randrange(1, 1000000)
    given.folder = given.folder or ROOT / "build" / "chaos" / str(given.seed)
    return given


def settings_of(given: argparse.Namespace) -> Row:
    env = {"CALCOM_TIMEOUT_MS": "1500", "TOLLGATE_LEASE_MS": "2000", "TOLLGATE_FRESH_MS": "1000",
           "TOLLGATE_SWEEP_INTERVAL": str(given.sweep), "CALCOM_RATE_LIMIT": str(given.rate_limit),
           **dict(pair.split("=", 1) for pair in given.env)}
    return {"seed": given.seed, "minutes": given.minutes, "rate": given.rate, "dialect": given.dialect,
            "fresh_ms": int(env["TOLLGATE_FRESH_MS"]), "rate_limit": given.rate_limit, "sweep": given.sweep > 0, "latency": given.latency,
            "explained_dead": [], "env": env}


def switches_of(given: argparse.Namespace) -> List[str]:
    only = given.only.split(",") if given.only else script.SWITCHES
    without = given.without.split(",")
    if os.geteuid() != 0 and "disk" in only:
        print("chaos: not root: the spool's disk cannot be filled")
        without.append("disk")
    return [name for name in only if name not in without]


class Run:
    def __init__(self, given: argparse.Namespace) -> None:
        self.given = given
        self.seconds = given.minutes * 60
        self.settings = settings_of(given)
        self.switches = switches_of(given)
        self.plots, self.credit = script.make_plots(given.seed, self.seconds, given.rate)
        self.faults = script.make_faults(given.seed, self.seconds, CAST, self.switches)
        if given.script:
            rows = json.loads(given.script.read_text())
            self.faults = sorted((script.Fault(**row) for row in rows), key=lambda fault: fault.at)
        shutil.rmtree(given.folder, ignore_errors=True)
        given.folder.mkdir(parents=True)
        (given.folder / "settings.json").write_text(json.dumps({**self.settings, "switches": self.switches}, indent=1))
        (given.folder / "script.json").write_text(json.dumps([fault.row() for fault in self.faults], indent=1))
        self.history = History(settings=self.settings, granted=self.credit)

    def play(self) -> None:
        way = {**script.WAY, "seed": self.given.seed} if "webhooks" in self.switches else {}
        stage = Stage(self.given.folder, CAST, self.settings)
        stage.house.allow_errors += ANNOUNCED
        recorder = None
        try:
            stage.fake.config(rateLimit=self.given.rate_limit, latencyMs=self.given.latency)
            stage.open(self.credit, way)
            recorder = Recorder(stage)
            self._chaos(stage)
            self._calm(stage, recorder)
            self._verify(stage)
        finally:
            if recorder is not None:
                recorder.stop()
            self.history.complaints += stage.close()

    def _chaos(self, stage: Stage) -> None:
        members = Members(stage.fake.url, CAST["ingest"])
        self.history.orders = members.orders
        people = threading.Thread(target=lambda: asyncio.run(members.play(self.plots)))
        people.start()
        self.history.complaints += stage.run(self.faults, self.seconds)
        people.join()

    def _calm(self, stage: Stage, recorder: Recorder) -> None:
        """Everything runs again; all must be settled within the time that is given, and stay so."""
        self._say("calm")
        stage.fake.config(webhookWay={"spread": True})
        awaited = {"open", "disagrees", "unfound"} if self.settings["sweep"] else {"open"}
        begin = time.monotonic()
        time.sleep(script.WAY["delayMs"] / 1000)  # the last of those that are late
        while True:
            while time.monotonic() - begin < self.given.calm and self._is_at_work(stage):
                time.sleep(0.2)
            recorder.write(self.history)
            is_late = time.monotonic() - begin >= self.given.calm
            if is_late or not any(v.rule in awaited for v in check(self.history)):
                break
            time.sleep(5)
        stage.note_metrics()
        self.history.metrics = {"spooled": stage.metric("tollgate_ingest_spool_kept_total")}
        self._say(f"{'not settled' if is_late else 'settled'} after {time.monotonic() - begin:.0f} s")

    @staticmethod
    def _is_at_work(stage: Stage) -> bool:
        stage.note_metrics()
        return stage.names_left() > 0 or stage.living("tollgate_ingest_spool_entries") > 0

    def _verify(self, stage: Stage) -> None:
        answer = subprocess.run([ROOT / "scripts" / "credit", "verify"], capture_output=True, text=True,
                                env={**os.environ, "REDIS_URL": stage.redis.url, "TOLLGATE_NAMESPACE": NAMESPACE})
        self.history.verify = {"status": answer.returncode, "output": (answer.stdout + answer.stderr)[-4000:]}

    def judge(self) -> int:
        """Writes and prints what came out of it."""
        self.history.save(self.given.folder / "history")
        violations = check(self.history)
        counts: Dict[str, Any] = {"seed": self.given.seed, **count(self.history, violations)}
        (self.given.folder / "counts.json").write_text(json.dumps(counts, indent=1))
        (self.given.folder / "violations.json").write_text(json.dumps([v._asdict() for v in violations], indent=1))
        with open(self.given.folder / "violations.txt", "w") as file:
            for violation in violations:
                file.write(f"{violation.rule}: {violation.text}\n")
                if violation.booking:
                    file.write(story(self.history, violation.booking) + "\n\n")
        for name, number in counts.items():
            print(f"{number:>10}  {name}")
        for violation in violations[:STORIES]:
            print(f"\nVIOLATION {violation.rule}: {violation.text}")
            if violation.booking:
                print(story(self.history, violation.booking))
        verdict = f"{len(violations)} violations" if violations else "nothing was violated"
        print(f"\nchaos: seed {self.given.seed}: {verdict}; see {self.given.folder}")
        return 1 if violations else 0

    def _say(self, what: str) -> None:
        print(f"chaos: {what}", flush=True)


def raise_limits() -> None:
    """Every webhook that waits for a stopped ingest keeps a member's connection open."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


def main() -> int:
    given = arguments()
    raise_limits()
    run = Run(given)
    print(f"chaos: seed {given.seed}, {given.minutes:g} min at {given.rate:g} bookings/s, {len(run.faults)} faults "
          f"({' '.join(run.switches)})", flush=True)
    run.play()
    return run.judge()


if __name__ == "__main__":
    sys.exit(main())
