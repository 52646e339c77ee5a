"""docs/metrics.md names all that can be watched, and nothing else."""

import re
from collections.abc import Iterator
from pathlib import Path

from prometheus_client import CollectorRegistry
from prometheus_client.metrics import MetricWrapperBase

from app.telemetry.logs import FIELDS, LogSettings
from app.telemetry.metrics import ApiMetrics
from app.telemetry.queue_metrics import QueueMetrics
from app.webhooks.courier import Outcome
from tests.workers.tiny_jobs import a_tiny_job
from workers.jobs.admission import Quotas
from workers.jobs.depths import Depths, StageDepth
from workers.jobs.job import Task
from workers.jobs.log_fields import about
from workers.metrics import WorkerMetrics

PAGE = (Path(__file__).parent.parent / "docs/metrics.md").read_text("utf-8")

ROW = re.compile(r"^\| `(imagen_\w+)` \| (\w+) \|([^|]*)\|", re.MULTILINE)
NAME = re.compile(r"\bimagen_\w+")
SAMPLE = re.compile("_(bucket|count|sum)$")

Told = tuple[str, str, tuple[str, ...]]
"""Name, kind and labels."""


def exposed() -> Iterator[Told]:
    for registry in (ApiMetrics()._registry, WorkerMetrics().registry):
        yield from exposed_by(registry)


def exposed_by(registry: CollectorRegistry) -> Iterator[Told]:
    for collector in registry._collector_to_names:
        if isinstance(collector, MetricWrapperBase):
            suffix = "_total" if collector._type == "counter" else ""
            yield collector._name + suffix, str(collector._type), tuple(collector._labelnames)
        else:
            assert isinstance(collector, QueueMetrics)
            collector.depths = Depths(images=0, webhooks=0, stages=(StageDepth(stage="8"),))
            for family in collector.collect():
                yield family.name, str(family.type), tuple(family.samples[0].labels)


def on_the_page() -> Iterator[Told]:
    for name, kind, labels in ROW.findall(PAGE):
        yield name, kind, tuple(re.findall(r"`(\w+)`", labels))


def test_every_metric_is_on_the_page_with_its_labels_and_no_other() -> None:
    assert sorted(on_the_page()) == sorted(exposed())


def test_alerts_are_on_metrics_that_there_are() -> None:
    named = {SAMPLE.sub("", name) for name in NAME.findall(PAGE)}
    assert named == {name for name, *_ in exposed()}


def test_what_a_label_may_be_is_on_the_page() -> None:
    values = {*Outcome, *Quotas.model_fields}
    assert {value for value in values if f"`{value}`" not in PAGE} == set()


def test_every_setting_and_every_field_of_a_line_is_on_the_page() -> None:
    settings = [f"IMAGEN_{name.upper()}" for name in (*LogSettings.model_fields, "metrics_port")]
    task = Task(
        stage="8",
        name="12ab:0",
        token="w1/1",
        deliveries=1,
        parameters=a_tiny_job().parameters,
        traceparent="00-1-2-01",
    )
    for name in (*settings, *FIELDS.values(), *about(task)):
        assert f"`{name}`" in PAGE
