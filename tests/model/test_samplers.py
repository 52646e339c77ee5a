"""Whole trajectories of ours and of diffusers' schedulers on the same predictions."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from diffusers import DDIMScheduler, DPMSolverMultistepScheduler
from torch import Tensor

from model.guidance import Prediction, predicted_x0
from model.samplers import plan
from model.schedule import Schedule

# diffusers hands tensors to numpy in a way that numpy is about to drop.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")

COSINE: dict[str, Any] = {"beta_schedule": "squaredcos_cap_v2", "prediction_type": "v_prediction"}


def network(x: Tensor, timestep: int) -> Tensor:
    """Any smooth function of image and time does."""
    return torch.tanh(x * 0.7 + timestep / 1000)


def our_trajectory(sampler: str, schedule: Schedule, steps: int, x: Tensor) -> Tensor:
    previous_x0 = torch.zeros_like(x)
    for step in plan(schedule, sampler, steps):
        alpha, sigma = torch.tensor(step.level.alpha), torch.tensor(step.level.sigma)
        x0 = predicted_x0(Prediction.V, x, network(x, step.timestep), alpha, sigma)
        x = step.update.x * x + step.update.x0 * x0 + step.update.previous_x0 * previous_x0
        previous_x0 = x0
    return x


def their_trajectory(scheduler: Any, steps: int, x: Tensor) -> Tensor:
    scheduler.set_timesteps(steps)
    for timestep in scheduler.timesteps:
        x = scheduler.step(network(x, int(timestep)), timestep, x).prev_sample
    return x


def ddim(spacing: str) -> Any:
    return DDIMScheduler(
        **COSINE, timestep_spacing=spacing, clip_sample=False, set_alpha_to_one=True
    )


def dpmpp(spacing: str) -> Any:
    return DPMSolverMultistepScheduler(
        **COSINE, timestep_spacing=spacing, solver_order=2, final_sigmas_type="zero"
    )


@pytest.mark.parametrize(("sampler", "make"), [("ddim", ddim), ("dpmpp", dpmpp)])
@pytest.mark.parametrize("steps", [1, 2, 5, 20])
def test_a_trajectory_equals_that_of_diffusers(
    sampler: str, make: Callable[[str], Any], steps: int
) -> None:
    scheduler = make("trailing")
    x = torch.randn(2, 3, 4, 4, generator=torch.Generator().manual_seed(steps))
    ours = our_trajectory(sampler, Schedule.from_config(scheduler.config), steps, x)
    torch.testing.assert_close(ours, their_trajectory(scheduler, steps, x), rtol=0, atol=2e-4)


@pytest.mark.parametrize("sampler", ["ddim", "dpmpp"])
def test_a_perfect_prediction_arrives_at_its_image_in_any_number_of_steps(sampler: str) -> None:
    schedule = Schedule("squaredcos_cap_v2")
    generator = torch.Generator().manual_seed(0)
    clean, noise = torch.randn(2, 3, 8, 8, dtype=torch.float64, generator=generator)
    for steps in (1, 3, 17):
        first, *_ = trajectory = plan(schedule, sampler, steps)
        x = first.level.alpha * clean + first.level.sigma * noise
        for step in trajectory:
            torch.testing.assert_close(x, step.level.alpha * clean + step.level.sigma * noise)
            update = step.update
            x = update.x * x + (update.x0 + update.previous_x0) * clean
        torch.testing.assert_close(x, clean)


def test_an_unknown_sampler_is_refused_with_the_known_ones() -> None:
    with pytest.raises(ValueError, match="ddim, dpmpp, not 'euler'"):
        plan(Schedule(), "euler", 10)
