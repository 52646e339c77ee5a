"""What is reckoned from a load."""

from typing import Any

import pytest

from benchmarks.load.tally import Tally, phase_row


def job(pictures: int, **seconds: tuple[float, float]) -> dict[str, Any]:
    """As the service answers it. seconds: queued and taken, by stage."""
    return {
        "images": [{}] * pictures,
        "timings": [
            {"stage": stage, "queued_s": queued_s, "took_s": took_s}
            for stage, (queued_s, took_s) in seconds.items()
        ],
    }


def test_percentiles_of_a_thousand_evenly_spread() -> None:
    row = phase_row("submit", [number / 1000 for number in range(1000, 0, -1)])
    assert row == {
        "phase": "submit",
        "times": 1000,
        "p50 ms": 500.0,
        "p95 ms": 950.0,
        "p99 ms": 990.0,
        "max ms": 1000.0,
    }


def test_rates_are_of_what_succeeded() -> None:
    tally = Tally()
    for pictures in (1, 4, 1):
        tally.success(job(pictures))
    tally.error("job failed")
    figures = tally.figures(took_s=1.5, busy_s=0.3)
    assert (figures["requests"], figures["succeeded"], figures["pictures"]) == (4, 3, 6)
    assert (figures["requests/s"], figures["pictures/s"]) == (2.0, 4.0)
    assert figures["client busy"] == 0.2


def test_what_the_service_refuses_is_an_error_and_no_failure() -> None:
    tally = Tally()
    for kind in ("status 429", "job failed", "status 429", "transport ReadError", "status 429"):
        tally.error(kind)
    assert tally.failed == 2
    errors = tally.figures(took_s=1, busy_s=0)["errors"]
    assert errors == {"status 429": 3, "job failed": 1, "transport ReadError": 1}


def test_a_load_without_an_end_has_no_phases() -> None:
    assert Tally().figures(took_s=1, busy_s=0)["phases"] == []


def test_phases_are_shown_in_the_order_of_a_request() -> None:
    """Also where the first job that ended was one of fewer stages."""
    tally = Tally()
    tally.took("submit", 0.01)
    for stages in ({"text": (0.1, 0.2), "8": (0.3, 0.4)}, {"text": (0.5, 0.6), "16": (0.7, 0.8)}):
        tally.took("whole", 2.0)
        tally.success(job(1, **stages))
    tally.took("late", 0.0)
    phases = {row["phase"]: row for row in tally.figures(took_s=1, busy_s=0)["phases"]}
    between = ["queue text", "stage text", "queue 8", "stage 8", "queue 16", "stage 16"]
    assert list(phases) == ["late", "submit", *between, "whole"]
    assert phases["stage text"]["times"] == 2
    assert phases["stage text"]["max ms"] == pytest.approx(600)
    assert phases["queue 16"]["max ms"] == pytest.approx(700)
