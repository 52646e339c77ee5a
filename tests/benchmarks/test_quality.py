"""Rates with their confidence, and what a way of sampling costs."""

from dataclasses import replace

import pytest

from benchmarks.quality import Rate, rows, variants
from model.guidance import Prediction
from model.plan import StageSettings
from model.schedule import Schedule
from model.stage import StageSpec

SHIPPED = StageSettings(steps=10, sampler="dpmpp", guidance_scale=3.0)
SPEC = StageSpec("32", 32, 8, Schedule(), Prediction.V, SHIPPED)


@pytest.mark.parametrize(
    ("right", "of", "low", "high"),
    [(81, 263, 0.2553, 0.3662), (15, 148, 0.0624, 0.1605), (1, 29, 0.0061, 0.1718)],
)
def test_a_rate_has_the_interval_of_the_literature(
    right: int, of: int, low: float, high: float
) -> None:
    """Newcombe 1998, table I, method 3."""
    rate = Rate.of([True] * right + [False] * (of - right))
    assert rate.rate == pytest.approx(right / of, abs=1e-4)
    assert (rate.low, rate.high) == pytest.approx((low, high), abs=1e-4)


def test_what_is_shipped_is_tried_once_and_first() -> None:
    shipped = replace(SHIPPED, steps=16)
    tried = variants(shipped)
    assert tried[0] == shipped
    assert tried.count(shipped) == 1
    assert {each.guidance_scale for each in tried} == {3.0}


def test_steps_are_compared_with_full_guidance_whatever_is_shipped() -> None:
    tried = variants(replace(SHIPPED, guidance_interval=(0.1, 0.9)))
    ddpm = [each for each in tried if each.sampler == "ddpm"]
    assert [(each.steps, each.guidance_interval) for each in ddpm] == [(100, (0.0, 1.0))]


@pytest.mark.parametrize(
    ("interval", "expected"), [((0.0, 1.0), 20), ((0.0, 0.75), 17), ((1.0, 1.0), 11)]
)
def test_a_guided_step_costs_two_rows(interval: tuple[float, float], expected: int) -> None:
    """Ten steps with trailing spacing start at the times 1.0, 0.9, ... 0.1."""
    assert rows(SPEC, replace(SHIPPED, guidance_interval=interval)) == expected
