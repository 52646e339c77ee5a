"""The load that both servers get is Poisson, within its ranges, and always the same."""

import statistics
from dataclasses import replace
from itertools import pairwise

import pytest

from benchmarks.arrivals import Arrival, poisson_arrivals

PROMPTS = ("a cat", "a dog", "a red apple")


def arrive(requests: int, per_s: float) -> tuple[Arrival, ...]:
    return poisson_arrivals(requests, per_s, PROMPTS)


def test_the_same_requests_come_each_time() -> None:
    assert arrive(40, 0.5) == arrive(40, 0.5)


def test_another_rate_changes_only_when_they_come() -> None:
    slow, fast = arrive(40, 0.5), arrive(40, 2.0)
    for one, other in zip(slow, fast, strict=True):
        assert one.at_s == pytest.approx(4 * other.at_s)
        assert replace(one, at_s=0.0) == replace(other, at_s=0.0)


def test_requests_fill_their_ranges() -> None:
    arrivals = arrive(2000, 1.0)
    assert {arrival.n for arrival in arrivals} == {1, 2, 3, 4}
    assert {arrival.steps for arrival in arrivals} == set(range(10, 51))
    assert {arrival.prompt for arrival in arrivals} == set(PROMPTS)
    scales = [arrival.guidance_scale for arrival in arrivals]
    assert (min(scales), max(scales)) == (1.0, 9.0)


def test_no_two_pictures_have_the_same_seed() -> None:
    seeds = [arrival.seed + index for arrival in arrive(40, 1.0) for index in range(arrival.n)]
    assert len(set(seeds)) == len(seeds)


def test_gaps_are_exponential() -> None:
    """Their mean is the inverse of the rate, and so is their standard deviation."""
    times = [0.0, *(arrival.at_s for arrival in arrive(20_000, 4.0))]
    gaps = [after - before for before, after in pairwise(times)]
    assert min(gaps) > 0
    assert statistics.mean(gaps) == pytest.approx(0.25, rel=0.05)
    assert statistics.stdev(gaps) == pytest.approx(0.25, rel=0.05)
