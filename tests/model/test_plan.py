"""From settings to the steps of an image."""

import math
from dataclasses import replace

import pytest

from model.plan import StageSettings, plan
from model.samplers import Sampler, Variance
from model.schedule import Schedule

SCHEDULE = Schedule("squaredcos_cap_v2", train_steps=100)
ASKED = StageSettings(steps=10, sampler="ddim", guidance_scale=5.0)


@pytest.mark.parametrize("sampler", Sampler)
@pytest.mark.parametrize("final_timestep", [-1, 0])
def test_a_plan_goes_through_its_timesteps_to_the_final_one(
    sampler: Sampler, final_timestep: int
) -> None:
    schedule = replace(SCHEDULE, final_timestep=final_timestep)
    steps = plan(schedule, replace(ASKED, sampler=sampler))
    spread = schedule.solver_timesteps if sampler.is_solver else schedule.timesteps
    assert [step.timestep for step in steps] == spread(10)
    assert [step.level for step in steps] == [schedule.level(step.timestep) for step in steps]
    reached = [*(step.level for step in steps[1:]), schedule.level(final_timestep)]
    for step, after in zip(steps, reached, strict=True):
        signal = step.update.x * step.level.alpha + step.update.x0 + step.update.previous_x0
        assert signal == pytest.approx(after.alpha)


def test_guidance_holds_all_the_way_unless_an_interval_is_given() -> None:
    steps = plan(SCHEDULE, ASKED)
    assert [step.guidance_scale for step in steps] == [5.0] * 10
    assert all(step.is_guided for step in steps)


def test_outside_its_interval_guidance_is_off() -> None:
    """Trailing timesteps are 99, 89, …, 9, that is the times 1, 0.9, …, 0.1; both ends count."""
    steps = plan(SCHEDULE, replace(ASKED, guidance_interval=(0.3, 0.6)))
    guided = [step.timestep for step in steps if step.is_guided]
    assert guided == [59, 49, 39, 29]
    assert {step.guidance_scale for step in steps} == {1.0, 5.0}


def test_an_interval_changes_nothing_but_the_scale() -> None:
    narrowed = plan(SCHEDULE, replace(ASKED, guidance_interval=(0.3, 0.6)))
    assert [replace(step, guidance_scale=5.0) for step in narrowed] == list(plan(SCHEDULE, ASKED))


@pytest.mark.parametrize("sampler", Sampler)
def test_eta_is_of_ddim_alone_and_variance_of_ddpm(sampler: Sampler) -> None:
    asked = replace(ASKED, sampler=sampler)
    usual = plan(SCHEDULE, asked)
    assert (plan(SCHEDULE, replace(asked, eta=0.5)) != usual) == (sampler == "ddim")
    assert (plan(SCHEDULE, asked, Variance.FIXED_LARGE) != usual) == (sampler == "ddpm")


def test_more_eta_is_more_fresh_noise() -> None:
    noise = [
        math.fsum(step.update.noise for step in plan(SCHEDULE, replace(ASKED, eta=eta)))
        for eta in (0.0, 0.5, 1.0)
    ]
    assert noise[0] == 0
    assert noise[1] == pytest.approx(noise[2] / 2)


def test_an_unknown_sampler_is_refused_with_the_known_ones() -> None:
    with pytest.raises(
        ValueError, match=r"sampler must be one of ddpm, ddim, dpmpp.*, not 'euler'"
    ):
        plan(SCHEDULE, replace(ASKED, sampler="euler"))


@pytest.mark.parametrize(("sampler", "most"), [("ddpm", 100), ("ddim", 100), ("dpmpp", 99)])
def test_more_steps_than_the_table_has_are_refused(sampler: str, most: int) -> None:
    assert len(plan(SCHEDULE, replace(ASKED, sampler=sampler, steps=most))) == most
    for steps in (0, most + 1):
        with pytest.raises(ValueError, match=f"steps must be 1 to {most}, not {steps}"):
            plan(SCHEDULE, replace(ASKED, sampler=sampler, steps=steps))
