"""Schedules against diffusers' schedulers, which are an independent implementation."""

import math
from typing import Any

import pytest
import torch
from diffusers import DDIMScheduler, DDPMScheduler, DPMSolverMultistepScheduler
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from model.errors import InvalidCascade
from model.schedule import CLEAN, Schedule
from tests.model.reference import alpha_bar_of, read, schedulers

# diffusers hands tensors to numpy in a way that numpy is about to drop.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")

SPACINGS = ("leading", "linspace", "trailing")


@given(schedulers(DDPMScheduler))
@settings(deadline=None)
def test_alpha_bar_is_the_one_that_diffusers_has(scheduler: Any) -> None:
    ours = read(scheduler).schedule.alpha_bar
    torch.testing.assert_close(ours, alpha_bar_of(scheduler.config), rtol=1e-9, atol=0)
    # Theirs is in float32, so what is left of the image is rounded more, the less it is.
    torch.testing.assert_close(ours.float(), scheduler.alphas_cumprod, rtol=2e-4, atol=1e-6)


@given(schedulers(DDPMScheduler, DDIMScheduler), st.integers(1, 1000))
@settings(deadline=None, max_examples=300)
def test_timesteps_are_those_that_diffusers_picks(scheduler: Any, steps: int) -> None:
    config = scheduler.config
    assume(steps <= config.num_train_timesteps)
    assume(steps > 1 or config.timestep_spacing != "linspace")
    scheduler.set_timesteps(steps)
    _compare(read(scheduler).schedule.timesteps, steps, scheduler)


@given(schedulers(DPMSolverMultistepScheduler), st.integers(1, 1000))
@settings(deadline=None, max_examples=300)
def test_solver_timesteps_are_those_that_diffusers_picks(scheduler: Any, steps: int) -> None:
    log_snr_half = scheduler.lambda_t
    usable = int((log_snr_half >= scheduler.config.lambda_min_clipped).sum())
    assume(steps < usable)
    scheduler.set_timesteps(steps)
    _compare(read(scheduler).schedule.solver_timesteps, steps, scheduler)


def _compare(ours: Any, steps: int, scheduler: Any) -> None:
    """Theirs may end with a timestep of -1, where numpy's arange in floats takes one too many."""
    theirs = scheduler.timesteps.tolist()
    if theirs[0] >= scheduler.config.num_train_timesteps:
        with pytest.raises(ValueError, match="leave the table"):
            ours(steps)
        return
    assert ours(steps) == [timestep for timestep in theirs if timestep != -1]


@pytest.mark.parametrize("spacing", SPACINGS)
def test_every_number_of_steps_goes_down_within_the_table(spacing: str) -> None:
    schedule = Schedule(spacing=spacing)
    for spread in (schedule.timesteps, schedule.solver_timesteps):
        for steps in range(1, 1000):
            timesteps = spread(steps)
            assert len(timesteps) == steps
            assert timesteps == sorted(set(timesteps), reverse=True)
            assert 999 >= timesteps[0] >= timesteps[-1] >= 0


def test_one_step_of_linspace_starts_at_noise_where_that_of_diffusers_starts_at_the_image() -> None:
    theirs = DDPMScheduler(timestep_spacing="linspace")
    theirs.set_timesteps(1)
    assert theirs.timesteps.tolist() == [0]
    assert read(theirs).schedule.timesteps(1) == [999]


def test_a_level_preserves_variance() -> None:
    schedule = Schedule("squaredcos_cap_v2")
    for timestep in (0, 250, 999):
        level = schedule.level(timestep)
        assert math.isclose(level.alpha**2 + level.sigma**2, 1)
        assert math.isclose(math.exp(level.log_snr_half), level.alpha / level.sigma)


def test_the_clean_image_has_no_noise() -> None:
    clean = Schedule().level(CLEAN)
    assert (clean.alpha, clean.sigma, clean.log_snr_half) == (1, 0, math.inf)


@pytest.mark.parametrize("spacing", SPACINGS)
@pytest.mark.parametrize("steps", [1, 20, 300])
def test_a_solver_starts_where_it_may_and_the_others_at_the_end_of_the_table(
    spacing: str, steps: int
) -> None:
    schedule = Schedule("squaredcos_cap_v2", spacing=spacing, min_log_snr_half=-3)
    first, *_ = schedule.solver_timesteps(steps)
    assert schedule.level(first).log_snr_half >= -3
    if spacing != "leading":
        assert schedule.level(first + 1).log_snr_half < -3
        assert schedule.timesteps(steps)[0] == 999


@pytest.mark.parametrize("steps", [0, 1001])
def test_step_counts_outside_the_table_are_refused(steps: int) -> None:
    with pytest.raises(ValueError, match=f"steps must be 1 to 1000, not {steps}"):
        Schedule().timesteps(steps)
    with pytest.raises(ValueError, match=f"steps must be 1 to 999, not {steps}"):
        Schedule().solver_timesteps(steps)


def test_an_offset_that_leaves_the_table_is_refused() -> None:
    schedule = Schedule(spacing="leading", steps_offset=2)
    assert schedule.timesteps(499)[0] == 2 * 498 + 2
    with pytest.raises(ValueError, match="500 with a steps_offset of 2 leave the table of 1000"):
        schedule.timesteps(500)


@pytest.mark.parametrize(
    ("field", "wrong"),
    [("beta_schedule", {"beta_schedule": "odd"}), ("timestep_spacing", {"spacing": "odd"})],
)
def test_an_unknown_name_is_refused_with_the_known_ones(field: str, wrong: dict[str, Any]) -> None:
    with pytest.raises(InvalidCascade, match=f"{field} 'odd' is not one of l"):
        Schedule(**wrong)


@pytest.mark.parametrize("spacing", ["leading", "linspace", "trailing"])
@pytest.mark.parametrize("offset", [0, 1, 3])
@pytest.mark.parametrize("clipped", [-math.inf, -5.1])
def test_any_number_up_to_the_most_steps_can_be_taken(
    spacing: str, offset: int, clipped: float
) -> None:
    schedule = Schedule(
        train_steps=60, spacing=spacing, steps_offset=offset, min_log_snr_half=clipped
    )
    assert schedule.most_steps >= 60 // (offset + 1) - 1 - 3
    for steps in range(1, schedule.most_steps + 1):
        for timesteps in (schedule.timesteps(steps), schedule.solver_timesteps(steps)):
            assert 0 <= timesteps[-1] <= timesteps[0] < 60
