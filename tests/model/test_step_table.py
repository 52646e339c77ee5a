"""The numbers of steps on their way to a batch and back."""

import pytest
import torch

from model.plan import StageSettings, Step, plan
from model.samplers import Update, Variance
from model.schedule import NoiseLevel, Schedule
from model.step_table import LEAST_NOISE, StepNumbers, as_table

LEVEL = NoiseLevel(alpha=0.8, sigma=0.6)


def numbers_of(*updates: Update) -> StepNumbers:
    return StepNumbers.of(as_table([Step(7, LEVEL, update, 3.0) for update in updates]))


def test_each_number_comes_back_under_its_name() -> None:
    numbers = numbers_of(Update(0.1, 0.2, 0.3, 0.4, widest_noise=0.5))
    expected = {
        "alpha": 0.8,
        "sigma": 0.6,
        "guidance_scale": 3.0,
        "x": 0.1,
        "x0": 0.2,
        "previous_x0": 0.3,
        "noise": 0.4,
        "widest_noise": 0.5,
    }
    assert {name: value.item() for name, value in vars(numbers).items()} == pytest.approx(expected)


def test_without_bounds_for_a_predicted_variance_both_are_the_noise() -> None:
    numbers = numbers_of(Update(0.1, 0.2, noise=0.4))
    assert torch.equal(numbers.widest_noise, numbers.noise)


def test_no_noise_has_a_logarithm() -> None:
    numbers = numbers_of(Update(0.1, 0.2))
    for value in (numbers.noise, numbers.widest_noise):
        assert value.item() == pytest.approx(LEAST_NOISE)
        assert value.log().isfinite().all()


def test_a_row_is_a_step_and_multiplies_the_image_of_that_row() -> None:
    numbers = numbers_of(Update(1.0, 0.0), Update(2.0, 0.0))
    images = numbers.x * torch.ones(2, 3, 4, 4)
    assert images.mean(dim=(1, 2, 3)).tolist() == [1.0, 2.0]


@pytest.mark.parametrize("steps", [1, 50])
def test_a_plan_is_a_table_of_finite_numbers_with_a_row_a_step(steps: int) -> None:
    asked = StageSettings(steps, "ddpm", guidance_scale=3.0)
    table = as_table(plan(Schedule("squaredcos_cap_v2"), asked, Variance.LEARNED_RANGE))
    assert table.shape == (steps, len(vars(numbers_of(Update(1.0, 0.0)))))
    assert table.dtype == torch.float32
    assert table.isfinite().all()
