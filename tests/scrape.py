"""Reads what GET /metrics answers, as Prometheus does."""

from collections.abc import Iterable

from prometheus_client import Metric
from prometheus_client.parser import text_string_to_metric_families


def series(exposition: str) -> dict[str, dict[str, float]]:
    """By the name of a sample: its labels, as in `stage=32 code=not_finite`, and its value."""
    return of_families(text_string_to_metric_families(exposition))


def of_families(families: Iterable[Metric]) -> dict[str, dict[str, float]]:
    found: dict[str, dict[str, float]] = {}
    for family in families:
        for sample in family.samples:
            labels = " ".join(f"{name}={value}" for name, value in sample.labels.items())
            found.setdefault(sample.name, {})[labels] = sample.value
    return found


def not_zero(samples: dict[str, float]) -> dict[str, float]:
    """Those that something has happened to."""
    return {labels: value for labels, value in samples.items() if value}
