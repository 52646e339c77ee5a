"""deploy/monitoring: what it names is there, and each alert fires when it should."""

import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from tests.deploy.kubernetes import COMPONENTS, CRDS
from tests.deploy.kubernetes import FOLDER as KUBERNETES
from tests.test_metrics_page import SAMPLE, exposed

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "deploy/monitoring"

METRIC = re.compile(r"\bimagen_\w+")
BY = re.compile(r"\bby \(([\w, ]+)\)")
RULE = re.compile(r"- alert: (\w+)\n(.*?)(?=- alert:|\Z)", re.DOTALL)


def read(name: str) -> str:
    return (FOLDER / name).read_text("utf-8")


DASHBOARD: dict[str, Any] = json.loads(read("grafana/dashboards/imagen.json"))
PANELS = [panel for panel in DASHBOARD["panels"] if panel["type"] != "row"]
RULES: list[tuple[str, str]] = RULE.findall(read("alerts.yml"))
"""Name and text of each alert."""


def queries() -> Iterator[tuple[str, str, str]]:
    """Title of the panel, query and legend."""
    for panel in PANELS:
        for target in panel["targets"]:
            yield panel["title"], target["expr"], target["legendFormat"]


def labels_left(query: str) -> set[str]:
    return {label.strip() for group in BY.findall(query) for label in group.split(",")}


def promtool(*arguments: str | Path) -> None:
    program = shutil.which("promtool")
    if program is None:
        pytest.skip("there is no promtool: make system-packages, as root, installs it")
    done = subprocess.run([program, *arguments], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stdout + done.stderr


def test_what_is_asked_for_is_measured() -> None:
    measured = {name: {*labels} for name, _, labels in exposed()}
    asked = [(title, query) for title, query, _ in queries()]
    for where, query in asked + RULES:
        named = {SAMPLE.sub("", name) for name in METRIC.findall(query)}
        assert named <= measured.keys(), where
        assert labels_left(query) <= {"le"}.union(*(measured[name] for name in named)), where


def test_legends_name_the_labels_that_the_query_leaves() -> None:
    for title, query, legend in queries():
        assert {*re.findall(r"{{(\w+)}}", legend)} == labels_left(query) - {"le"}, title


def test_every_panel_says_what_it_shows_and_in_which_unit() -> None:
    source = re.search(r"uid: (\w+)", read("grafana/provisioning/datasources/prometheus.yml"))
    assert source is not None
    for panel in PANELS:
        assert panel["description"], panel["title"]
        assert panel["fieldConfig"]["defaults"]["unit"], panel["title"]
        assert panel["datasource"]["uid"] == source[1], panel["title"]
    assert len({panel["id"] for panel in DASHBOARD["panels"]}) == len(DASHBOARD["panels"])


def test_every_alert_says_what_is_wrong_and_where_to_read_on() -> None:
    page = (ROOT / "docs/operations.md").read_text("utf-8")
    headings = re.findall(r"^### (Imagen\w+)$", page, re.MULTILINE)
    assert headings == [name for name, _ in RULES]
    for name, rule in RULES:
        assert re.search(r"severity: (critical|warning)}", rule), name
        for part in ("summary: ", "description: ", f"runbook: docs/operations.md#{name.lower()}\n"):
            assert f"          {part}" in rule, name


def test_every_alert_is_seen_to_fire() -> None:
    fired = set(re.findall(r'{alertname="(\w+)"}', read("alerts_test.yml")))
    assert fired == {name for name, _ in RULES}


def test_alerts_fire_when_they_should_and_no_other_does() -> None:
    promtool("test", "rules", FOLDER / "alerts_test.yml")


def test_whoever_scrapes_gives_the_jobs_that_alerts_ask_for() -> None:
    asked = {*re.findall(r'job="([^"]+)"', read("alerts.yml"))}
    assert asked == {*re.findall(r"job_name: (\S+)", read("prometheus.yml"))}
    page = (ROOT / "docs/metrics.md").read_text("utf-8")
    assert asked == {*re.findall(r"job_name: (\S+)", page)}
    monitors = (COMPONENTS / "monitoring/monitors.yaml").read_text("utf-8")
    assert asked == {*re.findall(r"targetLabel: job, replacement: ([\w-]+)", monitors)}


def test_the_page_on_kubernetes_makes_an_object_of_the_alerts() -> None:
    page = (KUBERNETES / "README.md").read_text("utf-8")
    (document,) = re.findall(r"kubectl -n imagen apply -f - (<<EOF\n.*?\nEOF)\n", page, re.DOTALL)
    made = subprocess.run(
        ["bash", "-c", f"cat {document}"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    rule = yaml.safe_load(made.stdout)
    jsonschema.validate(rule, CRDS["PrometheusRule"])
    assert rule["spec"] == yaml.safe_load(read("alerts.yml"))


def test_prometheus_can_read_its_files() -> None:
    promtool("check", "config", "--syntax-only", FOLDER / "prometheus.yml")
    promtool("check", "rules", FOLDER / "alerts.yml")


def test_prometheus_can_read_every_query_of_the_dashboard(tmp_path: Path) -> None:
    """As rules that record them."""
    asked = [re.sub(r"\$__(rate_interval|range)", "5m", query) for _, query, _ in queries()]
    rules = [{"record": f"panel:{i}", "expr": query} for i, query in enumerate(asked)]
    file = tmp_path / "queries.yml"
    file.write_text(json.dumps({"groups": [{"name": "panels", "rules": rules}]}), "utf-8")
    promtool("check", "rules", file)


def test_docker_compose_hands_over_what_the_files_name() -> None:
    compose = (ROOT / "docker-compose.yml").read_text("utf-8")
    image = (ROOT / "Dockerfile").read_text("utf-8")
    told = read("prometheus.yml")
    scraped = dict(re.findall(r"names: \[(\w+)], type: A, port: (\d+)", told))
    assert scraped.keys() == {"api", "worker"}
    assert all(f"\n  {name}:\n" in compose for name in scraped)
    assert re.findall(r"IMAGEN_METRICS_PORT=(\d+)", image) == [scraped["worker"]]
    for name in ("prometheus.yml", "alerts.yml", "grafana/provisioning", "grafana/dashboards"):
        assert f"./deploy/monitoring/{name}:" in compose
    (key,) = re.findall(r"credentials_file: ([^}]+)", told)
    assert f"target: {key}}}" in compose
