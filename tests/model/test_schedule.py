"""Schedules against diffusers' schedulers, which are an independent implementation."""

import math
from typing import Any

import pytest
import torch
from diffusers import DDIMScheduler

from model.errors import InvalidCascade
from model.schedule import CLEAN, Schedule


@pytest.mark.parametrize("beta_schedule", ["linear", "scaled_linear", "squaredcos_cap_v2"])
def test_alpha_bar_is_the_one_that_diffusers_has(beta_schedule: str) -> None:
    theirs: Any = DDIMScheduler(beta_schedule=beta_schedule)
    ours = Schedule.from_config(theirs.config)
    torch.testing.assert_close(ours.alpha_bar.float(), theirs.alphas_cumprod, rtol=2e-4, atol=1e-6)


@pytest.mark.parametrize("spacing", ["leading", "linspace", "trailing"])
@pytest.mark.parametrize("steps", [2, 8, 20, 50])
def test_timesteps_are_those_that_diffusers_picks(spacing: str, steps: int) -> None:
    theirs: Any = DDIMScheduler(timestep_spacing=spacing)
    theirs.set_timesteps(steps)
    assert Schedule.from_config(theirs.config).timesteps(steps) == theirs.timesteps.tolist()


def test_a_level_preserves_variance() -> None:
    schedule = Schedule("squaredcos_cap_v2")
    for timestep in (0, 250, 999):
        level = schedule.level(timestep)
        assert math.isclose(level.alpha**2 + level.sigma**2, 1)
    assert schedule.level(CLEAN).sigma == 0


@pytest.mark.parametrize("steps", [0, 1001])
def test_step_counts_outside_the_table_are_refused(steps: int) -> None:
    with pytest.raises(ValueError, match="1 to 1000"):
        Schedule().timesteps(steps)


@pytest.mark.parametrize("field", ["beta_schedule", "timestep_spacing"])
def test_an_unknown_name_is_refused_with_the_known_ones(field: str) -> None:
    with pytest.raises(InvalidCascade, match=f"{field} 'odd' is not one of"):
        Schedule.from_config({field: "odd"})
