"""A real Prometheus with the configuration and the rules of scripts/deploy/prometheus, only faster: what takes
minutes there takes seconds here."""

import re
import shutil
from pathlib import Path
from typing import Any, Dict, List, Set

import harness
from harness import wait_for

FILES = harness.ROOT / "scripts" / "deploy" / "prometheus"

# In this test, minutes are seconds, and days too few to wait for.
FASTER = [(r"\[2d\]", "[6s]"), (r"\[7d\]", "[60s]"), (r"\[\d+[mh]\]", "[6s]"), (r"for: \d+m", "for: 1s"),
          (r"_seconds\) > 60\b", "_seconds) > 3"), (r"_seconds > 600\b", "_seconds > 6"), (r"\)\) > 30\b", ")) > 6"),
          (r"interval: 15s", "interval: 500ms")]

# Fires whenever a test takes some seconds after its last webhook.
IMPATIENT = {"TollgateNoWebhooks"}


def faster(text: str) -> str:
    for pattern, by in FASTER:
        text = re.sub(pattern, by, text)
    return text


def missing() -> List[str]:
    return [name for name in ("prometheus", "promtool") if shutil.which(name) is None]


class Prometheus(harness.Program):
    name = "prometheus"

    def __init__(self, folder: Path, gate: harness.Gate) -> None:
        assert not missing(), f"{missing()}: run scripts/install-deps monitoring"
        config = faster((FILES / "prometheus.yml").read_text())
        for job, daemons in (("ingest", [gate.ingest]), ("worker", gate.workers)):
            targets = ", ".join(f'"{daemon.address("admin listening")}"' for daemon in daemons)
            config, count = re.subn(rf"dns_sd_configs: \[{{names: \[{job}\].*", f"static_configs: [{{targets: [{targets}]}}]",
                                    config)
            assert count == 1, config
        (folder / "prometheus.yml").write_text(config)
        (folder / "alerts.yml").write_text(faster((FILES / "alerts.yml").read_text()))
        self.port = harness.free_port()
        super().__init__(folder, ["prometheus", "--config.file=prometheus.yml", "--storage.tsdb.path=data",
                                  f"--web.listen-address=127.0.0.1:{self.port}", "--log.level=warn"], {})
        self.http = harness.http()

    def ask(self, path: str) -> Any:
        answer = self.http.get(f"http://127.0.0.1:{self.port}/api/v1/{path}", timeout=5)
        answer.raise_for_status()
        return answer.json()["data"]

    def wait_ready(self) -> "Prometheus":
        """All targets have been read once, and the rules looked at."""
        def look() -> bool:
            assert self.is_running(), self.log_text()
            try:
                targets = self.ask("targets?state=active")["activeTargets"]
            except OSError:
                return False
            return bool(targets) and all(target["health"] == "up" for target in targets)
        wait_for(look, what="prometheus to read all targets")
        self.expect()
        return self

    def firing(self) -> Dict[str, Dict[str, str]]:
        """Alert → its annotations, of those that fire."""
        return {alert["labels"]["alertname"]: alert["annotations"] for alert in self.ask("alerts")["alerts"]
                if alert["state"] == "firing" and alert["labels"]["alertname"] not in IMPATIENT}

    def expect(self, *names: str, among: Set[str] = frozenset(), timeout: float = 40) -> None:
        """Waits until these fire, and nothing else but what is `among` these."""
        wanted = {"Tollgate" + name for name in names}
        allowed = wanted | {"Tollgate" + name for name in among}
        wait_for(lambda: wanted <= set(self.firing()) <= allowed, timeout, f"{wanted} to fire ({self.firing()})", every=0.2)
        for annotations in self.firing().values():
            text = " ".join(annotations.values())
            assert "error" not in text and "no value" not in text, annotations
