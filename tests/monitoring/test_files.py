"""What is handed to Prometheus and Grafana fits the programs, and each other."""

import json
import re
import subprocess

import pytest

from harness import ROOT, BUILD
from prometheus import FILES

GRAFANA = ROOT / "scripts" / "deploy" / "grafana"
ALERTS = (FILES / "alerts.yml").read_text()
RUNBOOK = (FILES / "RUNBOOK.md").read_text()
DASHBOARD = json.loads((GRAFANA / "dashboards" / "tollgate.json").read_text())
NAMES = re.findall(r"- alert: (\w+)", ALERTS)

# Prometheus makes these by itself.
BUILT_IN = {"up", "ALERTS"}


def promtool(*arguments, **options):
    done = subprocess.run(["promtool", *map(str, arguments)], capture_output=True, text=True, timeout=120, **options)
    assert done.returncode == 0 and done.stderr == "", done.stdout + done.stderr
    return done.stdout


@pytest.fixture
def exposed(make_gate):
    """What both programs expose: job → text."""
    gate = make_gate()
    gate.credit("ann@example.com", balance=1)
    gate.wait_settled(gate.fake.book("ann@example.com")["id"])
    return {"ingest": gate.ingest.get("/metrics").text, "worker": gate.worker.get("/metrics").text}


def metrics_in(expr):
    """The names of metrics in an expression."""
    bare = re.sub(r"\{[^}]*\}|\[[^]]*\]|\"[^\"]*\"", " ", expr)
    return set(re.findall(r"\b(?:tollgate_\w+|up|ALERTS)\b", bare))


def queries():
    found = [target["expr"] for panel in DASHBOARD["panels"] for target in panel.get("targets", [])]
    return found + [one["expr"] for one in DASHBOARD["annotations"]["list"]]


def test_metrics_are_in_prometheus_form(exposed):
    for text in exposed.values():
        promtool("check", "metrics", input=text)


def test_configuration_and_rules():
    promtool("check", "config", FILES / "prometheus.yml")
    for name in ("alerts_test.yml", "alerts_days_test.yml"):
        promtool("test", "rules", FILES / name)


def test_every_alert_is_tested_explained_and_complete():
    tested = (FILES / "alerts_test.yml").read_text() + (FILES / "alerts_days_test.yml").read_text()
    assert set(re.findall(r'alertname="(\w+)"', tested)) == set(NAMES)
    assert re.findall(r"^## (\w+)$", RUNBOOK, re.M) == NAMES, "in the order of the rules"
    for rule in ALERTS.split("- alert: ")[1:]:
        name = rule.split("\n", 1)[0]
        assert re.search(r"labels: \{severity: (critical|warning|info)\}", rule), name
        assert re.search(r"summary: \S", rule) and re.search(r"description: \S", rule), name
        assert f"runbook: RUNBOOK.md#{name.lower()}\n" in rule + "\n", name


def test_rules_and_dashboard_know_only_metrics_that_there_are(exposed):
    text = exposed["ingest"] + exposed["worker"]
    known = set(re.findall(r"^([a-z_]+)(?:\{| )", text, re.M)) | BUILT_IN
    used = metrics_in(ALERTS.replace("\n", " ")) | {name for expr in queries() for name in metrics_in(expr)}
    assert len(used) > 20 and used - known == set()


def test_labels_that_rules_choose_by_exist(exposed):
    text = exposed["ingest"] + exposed["worker"]
    chosen = re.findall(r'(tollgate_\w+)\{(\w+)(=~?)"([^"]+)"', ALERTS)
    assert chosen
    for metric, label, _, values in chosen:
        for value in values.split("|"):
            assert re.search(rf'^{metric}\{{{label}="{value}"', text, re.M), (metric, label, value)


def test_every_query_of_the_dashboard_can_be_read(tmp_path):
    rules = [{"record": f"panel:{i}", "expr": expr.replace("$__rate_interval", "1m")} for i, expr in enumerate(queries())]
    assert len(rules) > 30
    (tmp_path / "rules.yml").write_text(json.dumps({"groups": [{"name": "dashboard", "rules": rules}]}))
    promtool("check", "rules", tmp_path / "rules.yml")


def test_the_dashboards_panels_have_their_place():
    taken = set()
    for panel in DASHBOARD["panels"]:
        place = panel["gridPos"]
        cells = {(x, y) for x in range(place["x"], place["x"] + place["w"]) for y in range(place["y"], place["y"] + place["h"])}
        assert place["x"] + place["w"] <= 24 and not cells & taken, panel["title"]
        taken |= cells
    assert len({panel["id"] for panel in DASHBOARD["panels"]}) == len(DASHBOARD["panels"])


def test_the_dashboard_asks_the_source_that_is_provisioned():
    source = (GRAFANA / "provisioning" / "datasources" / "prometheus.yml").read_text()
    uid = re.search(r"uid: (\S+)", source).group(1)
    assert set(re.findall(r'"datasource": \{"type": "prometheus", "uid": "([^"]+)"', json.dumps(DASHBOARD))) == {uid}


def test_the_ports_are_the_programs_own():
    config = (FILES / "prometheus.yml").read_text()
    ports = {job: port for job, port in re.findall(r"names: \[(\w+)\].*port: (\d+)", config)}
    listed = subprocess.run([BUILD / "tollgate-ingest", "--help=markdown"], capture_output=True, text=True, check=True).stdout
    for job in ("ingest", "worker"):
        assert f"127.0.0.1:{ports[job]} ({job})" in listed
