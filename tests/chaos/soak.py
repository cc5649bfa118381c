#!/usr/bin/python3
"""The memory of ingests and workers under faults that they live through: it has to stay flat. Takes what
chaos.py takes; programs are not killed, as only a long life shows a leak, and one minute of faults comes again
and again, as a new one may need more memory than any before."""

import argparse
import json
import re
import statistics
import sys
import threading
from pathlib import Path
from typing import Dict, List

import chaos
import script
from stage import Stage

DEADLY = ["kill-ingest", "kill-worker", "restart-ingest", "restart-worker"]
EVERY_S = 1.0
CYCLE_S = 60
ALLOWED = 0.05  # of what it was when everything had been used once


def resident_kib(pid: int) -> int:
    return int(re.search(r"^VmRSS:\s+(\d+)", Path(f"/proc/{pid}/status").read_text(), re.M).group(1))


def part(samples: List[int], begin: float, end: float) -> float:
    """The median of a part of them."""
    return statistics.median(samples[int(len(samples) * begin):max(int(len(samples) * end), 1)])


class Soak(chaos.Run):
    def __init__(self, given: argparse.Namespace) -> None:
        super().__init__(given)
        self.samples: Dict[str, List[int]] = {}
        minute = script.make_faults(given.seed, CYCLE_S, chaos.CAST, self.switches)
        self.faults = [fault._replace(at=fault.at + begin) for begin in range(0, int(self.seconds), CYCLE_S)
                       for fault in minute if fault.at + begin + fault.lasts < self.seconds]

    def _chaos(self, stage: Stage) -> None:
        is_over = threading.Event()

        def measure() -> None:
            while not is_over.wait(EVERY_S):
                for name, program in stage.programs.items():
                    self.samples.setdefault(name, []).append(resident_kib(program.pid))

        thread = threading.Thread(target=measure)
        thread.start()
        try:
            super()._chaos(stage)
        finally:
            is_over.set()
            thread.join()

    def judge_memory(self) -> int:
        """After the first third nothing may grow or shrink."""
        (self.given.folder / "memory.json").write_text(json.dumps(self.samples))
        print(f"\n{'program':<10}{'begin KiB':>11}{'end KiB':>11}{'most KiB':>11}{'change':>9}")
        worst = 0.0
        for name, samples in self.samples.items():
            begin, end = part(samples, 0.3, 0.45), part(samples, 0.85, 1.0)
            change = end / begin - 1
            worst = max(worst, abs(change))
            print(f"{name:<10}{begin:>11.0f}{end:>11.0f}{max(samples):>11}{change:>+9.1%}")
        print(f"soak: {'flat' if worst <= ALLOWED else 'NOT FLAT'}: at most {worst:.1%}, allowed {ALLOWED:.0%}")
        return 0 if worst <= ALLOWED else 1


def main() -> int:
    given = chaos.arguments()
    given.without += "," + ",".join(DEADLY)
    chaos.raise_limits()
    run = Soak(given)
    run.play()
    return max(run.judge(), run.judge_memory())


if __name__ == "__main__":
    sys.exit(main())
