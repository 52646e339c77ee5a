"""Samplers against diffusers' schedulers, step by step, and against closed forms."""

import math
from collections.abc import Sequence
from dataclasses import astuple, replace
from itertools import accumulate, pairwise
from typing import Any

import pytest
import torch
from diffusers import DDIMScheduler, DDPMScheduler, DPMSolverMultistepScheduler
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from torch import Tensor

from model.plan import StageSettings
from model.samplers import Sampler, Variance
from model.schedule import NoiseLevel, Schedule
from model.step_table import as_table
from model.trajectory import Trajectory
from tests.model.reference import (
    TEXT,
    PseudoNetwork,
    Reference,
    read,
    schedulers,
    stage_for,
)

# diffusers hands tensors to numpy in a way that numpy is about to drop.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")

IN_FLOAT64 = 1e-5
"""The largest error of a step, relative to the largest pixel where that is over 1.

It is over 1 where a network predicts noise and nothing thresholds: x0 is divided by an alpha as
small as 5e-5, and of pixels in the thousands float32 keeps three decimals. The largest measured
over 120,000 random steps is 5e-7, a few roundings; as long as pixels are below 5, no error is over
1e-5 in itself.
"""

AS_SHIPPED = 1e-3
"""The same against diffusers' tables in float32. One step in 300 is beyond 1e-5, the largest
measured 3e-4, all for three differences of nearly equal numbers in those tables:
1 - alpha_bar near the clean image, 1 - beta at the last beta of the cosine (0.999), and with eta
near 1 DDIM's 1 - alpha_bar - std^2 under a square root.
"""


@st.composite
def references(draw: st.DrawFn, float64: bool) -> Reference:
    """Any scheduler with any settings that make sense to it."""
    scheduler = draw(schedulers())
    is_learned = scheduler.config.get("variance_type") == "learned_range"
    asked = StageSettings(
        steps=draw(st.integers(1, 40)),
        sampler=read(scheduler).sampler,
        guidance_scale=draw(st.just(1.0) | st.floats(0, 8)),
        eta=draw(st.sampled_from([0.0, 1.0]) | st.floats(0, 1)),
    )
    network = PseudoNetwork("smooth" if is_learned else None)
    reference = Reference(scheduler, network, asked, draw(st.integers(0, 2**32)), float64=float64)
    assume(_is_sound(reference))
    return reference


def _is_sound(reference: Reference) -> bool:
    """Whether its timesteps are in the table, and are those that we mean (see test_schedule.py)."""
    config, timesteps = reference.scheduler.config, reference.timesteps
    is_solver = isinstance(reference.scheduler, DPMSolverMultistepScheduler)
    is_one_step = config.timestep_spacing == "linspace" and len(timesteps) == 1 and not is_solver
    return timesteps[0] < config.num_train_timesteps and timesteps[-1] >= 0 and not is_one_step


def check_each_step(reference: Reference, tolerance: float) -> None:
    """Each step of a stage, begun where diffusers' step begins, ends where that ends."""
    config = read(reference.scheduler)
    stage = stage_for(config, reference.settings, reference.network)
    trajectory = stage.start(reference.seed, reference.settings, TEXT)
    assert [step.timestep for step in trajectory.plan] == reference.timesteps
    if isinstance(reference.scheduler, DDIMScheduler):
        trajectory = in_equal_strides(trajectory, config.schedule, reference.settings.eta)
    x = trajectory.x
    for i in range(len(reference.timesteps)):
        trajectory.x = x
        stage.step([trajectory])
        x = reference.step(i, x)
        assert trajectory.x.isfinite().all()
        # With eta near 1 their 1 - alpha_bar - std^2, a square root's, may round to below zero.
        assume(bool(x.isfinite().all()) or reference.settings.eta < 0.9)
        error, magnitude = (trajectory.x - x).abs().max(), x.abs().max().clamp(min=1)
        assert error <= tolerance * magnitude, f"step {i} of {len(reference.timesteps)}"


def in_equal_strides(trajectory: Trajectory, schedule: Schedule, eta: float) -> Trajectory:
    """The trajectory with each step led to where DDIMScheduler leads it."""
    stride = schedule.train_steps // len(trajectory.plan)
    steps = []
    for step in trajectory.plan:
        after = step.timestep - stride
        levels = [step.level, schedule.level(after if after >= 0 else schedule.final_timestep)]
        update = Sampler.DDIM.update(levels, 0, eta, Variance.FIXED_SMALL)
        steps.append(replace(step, update=update))
    return replace(trajectory, plan=tuple(steps), table=as_table(steps))


@given(references(float64=True))
@settings(max_examples=800, deadline=None)
def test_every_step_is_that_of_diffusers(reference: Reference) -> None:
    check_each_step(reference, IN_FLOAT64)


@given(references(float64=False))
@settings(max_examples=250, deadline=None)
def test_every_step_is_nearly_that_of_diffusers_with_its_rounded_tables(
    reference: Reference,
) -> None:
    check_each_step(reference, AS_SHIPPED)


@pytest.mark.parametrize(
    ("scheduler", "config"),
    [
        (DDPMScheduler, {"variance_type": "fixed_large", "timestep_spacing": "trailing"}),
        (DDPMScheduler, {"variance_type": "learned_range", "thresholding": True}),
        (DDIMScheduler, {"set_alpha_to_one": False, "clip_sample": False}),
        (DPMSolverMultistepScheduler, {"final_sigmas_type": "sigma_min"}),
        (DPMSolverMultistepScheduler, {"algorithm_type": "sde-dpmsolver++"}),
    ],
)
@pytest.mark.parametrize("steps", [1, 14, 15, 250])
def test_a_whole_trajectory_is_that_of_diffusers(
    scheduler: Any, config: dict[str, Any], steps: int
) -> None:
    theirs = scheduler(beta_schedule="squaredcos_cap_v2", prediction_type="v_prediction", **config)
    asked = StageSettings(steps, read(theirs).sampler, guidance_scale=1.5, eta=0.4)
    network = PseudoNetwork("smooth" if "learned_range" in config.values() else None)
    stage = stage_for(read(theirs), asked, network)
    trajectory = stage.start(5, asked, TEXT)
    while not trajectory.is_finished:
        stage.step([trajectory])
    # Rounding grows along the way, as any difference does.
    expected = Reference(theirs, network, asked, seed=5).run()
    torch.testing.assert_close(trajectory.x, expected, rtol=0, atol=1e-4)


@pytest.mark.parametrize("set_alpha_to_one", [True, False])
@pytest.mark.parametrize("steps", [1, 7, 50, 1000])
def test_ddim_with_leading_spacing_goes_where_that_of_diffusers_does(
    set_alpha_to_one: bool, steps: int
) -> None:
    config = read(DDIMScheduler(set_alpha_to_one=set_alpha_to_one))
    asked = StageSettings(steps, "ddim", guidance_scale=1.0, eta=0.3)
    trajectory = stage_for(config, asked, PseudoNetwork()).start(0, asked, TEXT)
    assert in_equal_strides(trajectory, config.schedule, eta=0.3).plan == trajectory.plan


def test_ddim_goes_to_the_next_timestep_where_that_of_diffusers_misses_it() -> None:
    """Theirs steps 1000 // 7 = 142 on, whatever its list of timesteps says."""
    theirs = DDIMScheduler(timestep_spacing="linspace", clip_sample=False)
    schedule = read(theirs).schedule
    theirs.set_timesteps(7)
    first, second = theirs.timesteps[:2].tolist()
    assert (first, second) == (999, 832)
    clean, fresh = torch.rand(2, 1, 3, 4, 4, dtype=torch.float64)

    def noised(timestep: int) -> Tensor:
        alpha, sigma = astuple(schedule.level(timestep))
        x: Tensor = alpha * clean + sigma * fresh
        return x

    after = theirs.step(fresh, first, noised(first)).prev_sample
    torch.testing.assert_close(after, noised(999 - 142), rtol=0, atol=1e-3)
    update = Sampler.DDIM.update(
        [schedule.level(first), schedule.level(second)], 0, 0, Variance.FIXED_SMALL
    )
    torch.testing.assert_close(update.x * noised(first) + update.x0 * clean, noised(second))


def test_ddpm_ends_with_the_mean_where_that_of_diffusers_is_noisy() -> None:
    """Theirs leaves noise out at timestep 0 alone, and few steps end earlier: here at 249."""
    theirs = DDPMScheduler(timestep_spacing="trailing", variance_type="fixed_large")
    theirs.set_timesteps(4)
    x = torch.zeros(1, 3, 4, 4)
    drawn = [
        theirs.step(x, 249, x, generator=torch.Generator().manual_seed(seed)).prev_sample
        for seed in (0, 1)
    ]
    assert (drawn[0] - drawn[1]).abs().max() > 1
    asked = StageSettings(4, "ddpm", guidance_scale=1.0)
    trajectory = stage_for(read(theirs), asked, PseudoNetwork()).start(0, asked, TEXT)
    assert [step.update.is_noisy for step in trajectory.plan] == [True, True, True, False]


def level_at(log_snr_half: float) -> NoiseLevel:
    return NoiseLevel(
        alpha=(1 + math.exp(-2 * log_snr_half)) ** -0.5,
        sigma=(1 + math.exp(2 * log_snr_half)) ** -0.5,
    )


@st.composite
def levels_in_order(draw: st.DrawFn) -> list[NoiseLevel]:
    """Two noise levels or more, each less noisy than the one before; the clean image may follow."""
    start, strides = (
        draw(st.floats(-6, -1)),
        draw(st.lists(st.floats(0.05, 1), min_size=1, max_size=7)),
    )
    levels = [level_at(each) for each in accumulate(strides, initial=start)]
    return [*levels, NoiseLevel(1.0, 0.0)] if draw(st.booleans()) else levels


@given(levels=levels_in_order(), sampler=st.sampled_from(Sampler), eta=st.floats(0, 1))
@settings(deadline=None)
def test_a_perfect_prediction_keeps_to_the_noise_levels_and_arrives_at_its_image(
    levels: list[NoiseLevel], sampler: Sampler, eta: float
) -> None:
    for i, (now, following) in enumerate(pairwise(levels)):
        update = sampler.update(levels, i, eta, Variance.FIXED_SMALL)
        signal = update.x * now.alpha + update.x0 + update.previous_x0
        noise = math.hypot(update.x * now.sigma, update.noise)
        assert (signal, noise) == pytest.approx((following.alpha, following.sigma), abs=1e-9)


@given(levels=levels_in_order(), x=st.floats(-3, 3), x0=st.floats(-1, 1))
def test_ddpm_draws_from_a_product_of_gaussians(
    levels: list[NoiseLevel], x: float, x0: float
) -> None:
    """Bayes: q(x_next | x, x0) is q(x | x_next) times q(x_next | x0), both as the forward is."""
    now, following = levels[:2]
    step_alpha = now.alpha / following.alpha
    step_variance = now.sigma**2 - (step_alpha * following.sigma) ** 2
    precision = step_alpha**2 / step_variance + 1 / following.sigma**2
    mean = (step_alpha * x / step_variance + following.alpha * x0 / following.sigma**2) / precision
    smallest, largest, learned = (Sampler.DDPM.update(levels, 0, 0, each) for each in Variance)
    assert smallest.x * x + smallest.x0 * x0 == pytest.approx(mean)
    assert smallest.noise == pytest.approx(precision**-0.5)
    assert largest.noise == pytest.approx(step_variance**0.5)
    assert (learned.noise, learned.widest_noise) == (smallest.noise, largest.noise)


@given(levels=levels_in_order())
def test_samplers_that_are_special_cases_of_others(levels: list[NoiseLevel]) -> None:
    for i in range(len(levels) - 1):
        ddim, ancestral = (_numbers(Sampler.DDIM, levels, i, eta) for eta in (0, 1))
        assert _numbers(Sampler.DPMPP_1, levels, i) == pytest.approx(ddim, abs=1e-9)
        assert _numbers(Sampler.DPMPP_SDE_1, levels, i) == pytest.approx(ancestral, abs=1e-9)
        assert _numbers(Sampler.DDPM, levels, i) == pytest.approx(ancestral, abs=1e-9)


def _numbers(
    sampler: Sampler, levels: Sequence[NoiseLevel], i: int, eta: float = 0
) -> tuple[float, ...]:
    update = sampler.update(levels, i, eta, Variance.FIXED_SMALL)
    return update.x, update.x0, update.previous_x0, update.noise


@pytest.mark.parametrize(
    ("sampler", "order"), [(Sampler.DDIM, 1), (Sampler.DPMPP_1, 1), (Sampler.DPMPP, 2)]
)
def test_half_the_step_is_half_the_error_to_the_power_of_the_order(
    sampler: Sampler, order: int
) -> None:
    assert _error(sampler, 64) / _error(sampler, 128) == pytest.approx(2**order, rel=0.1)


def _error(sampler: Sampler, steps: int) -> float:
    """Of one pixel where pixels are N(0, 0.5^2): the best x0 and the exact path are known."""
    levels = [level_at(-3 + 6 * i / steps) for i in range(steps + 1)]
    spreads = [math.hypot(0.5 * level.alpha, level.sigma) for level in levels]
    x, previous_x0 = spreads[0], 0.0
    for i, (level, spread) in enumerate(zip(levels[:-1], spreads, strict=False)):
        update = sampler.update(levels, i, 0, Variance.FIXED_SMALL)
        x0 = level.alpha * 0.5**2 / spread**2 * x
        x = update.x * x + update.x0 * x0 + update.previous_x0 * previous_x0
        previous_x0 = x0
    return abs(x - spreads[-1])
