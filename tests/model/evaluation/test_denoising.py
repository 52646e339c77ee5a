"""The loss by noise level: against closed forms, and against diffusers on a real cascade."""

from collections.abc import Callable, Sequence
from math import isnan
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from diffusers import DDIMScheduler, UNet2DConditionModel
from torch import Tensor

from model.cascade import Cascade
from model.evaluation.denoising import LevelLoss, denoising_loss, spread
from model.guidance import Prediction
from model.network import Network, Rows
from model.noise import noise
from model.plan import StageSettings
from model.schedule import Schedule
from model.stage import Stage, StageSpec
from model.training.data.examples import Example

COUNT, SIDE_PX = 64, 16
CAPTIONS = ("a cat", "a red apple", "a dog")


class AnsweringNetwork(Network):
    """In the place of a U-Net: whatever a function of its rows says."""

    def __init__(self, answer: Callable[[Rows], Tensor]):
        self.device, self.dtype = torch.device("cpu"), torch.float32
        self.adapters = ()
        self._answer = answer

    def __call__(self, rows: Rows) -> Tensor:
        return self._answer(rows)


def stage_of(prediction: Prediction, answer: Callable[[Rows], Tensor]) -> Stage:
    spec = StageSpec(
        name=str(SIDE_PX),
        size_px=SIDE_PX,
        multiple=1,
        schedule=Schedule(),
        prediction=prediction,
        defaults=StageSettings(2, "ddim", 1.0),
    )
    return Stage(spec, AnsweringNetwork(answer))


def gaussian_pictures(deviation: float) -> list[Example]:
    generator = torch.Generator().manual_seed(0)
    pictures = torch.randn(COUNT, 3, SIDE_PX, SIDE_PX, generator=generator) * deviation
    return [Example(picture, "a cat") for picture in pictures]


def encode(captions: Sequence[str]) -> Tensor:
    return torch.zeros(len(captions), 2, 4)


def losses(prediction: Prediction, answer: Callable[[Rows], Tensor]) -> tuple[LevelLoss, ...]:
    return denoising_loss(stage_of(prediction, answer), gaussian_pictures(0.5), COUNT, encode)


def silence(rows: Rows) -> Tensor:
    return torch.zeros_like(rows.x)


@pytest.mark.parametrize("prediction", Prediction)
def test_a_network_that_predicts_nothing_misses_all_that_there_is(prediction: Prediction) -> None:
    """Of pictures with variance 1/4, noise has 1, and v has alpha squared + sigma squared / 4."""
    for each in losses(prediction, silence):
        expected = {
            Prediction.EPSILON: 1.0,
            Prediction.SAMPLE: 0.25,
            Prediction.V: each.level.alpha**2 + 0.25 * each.level.sigma**2,
        }[prediction]
        assert each.loss == pytest.approx(expected, rel=0.03)


def test_the_best_guess_of_the_noise_misses_what_the_picture_hides() -> None:
    """For Gaussian pictures the posterior mean is linear, and its error is known."""
    schedule = Schedule()

    def posterior_mean(rows: Rows) -> Tensor:
        alpha_bar = schedule.alpha_bar[rows.timesteps].float().view(-1, 1, 1, 1)
        variance = 0.25 * alpha_bar + (1 - alpha_bar)
        return rows.x * (1 - alpha_bar).sqrt() / variance

    for each in losses(Prediction.EPSILON, posterior_mean):
        signal, fresh = 0.25 * each.level.alpha**2, each.level.sigma**2
        assert each.loss == pytest.approx(signal / (signal + fresh), rel=0.03)


def test_the_standard_error_is_that_of_the_mean_of_pictures() -> None:
    """The square of a standard normal number has variance 2, the mean of D of them 2 / D."""
    pixels = 3 * SIDE_PX**2
    for each in losses(Prediction.EPSILON, silence):
        assert each.standard_error == pytest.approx((2 / pixels / COUNT) ** 0.5, rel=0.35)


def test_of_one_picture_the_error_is_not_known() -> None:
    stage = stage_of(Prediction.V, silence)
    (only,) = denoising_loss(stage, gaussian_pictures(1), 1, encode, levels=1)
    assert isnan(only.standard_error)


def test_levels_are_the_middles_of_equal_parts() -> None:
    assert spread(Schedule(train_steps=1000), 10) == tuple(range(50, 1000, 100))
    assert spread(Schedule(train_steps=50), 2) == (12, 37)


def test_a_predicted_variance_is_no_part_of_the_prediction() -> None:
    with_variance = losses(Prediction.V, lambda rows: torch.cat([rows.x * 0, rows.x], dim=1))
    assert with_variance == losses(Prediction.V, silence)


def test_nothing_to_measure_on_is_refused() -> None:
    with pytest.raises(ValueError, match="count must be at least 1, not 0"):
        denoising_loss(stage_of(Prediction.V, silence), [], 0, encode)


@pytest.fixture(scope="module")
def cascade(tiny_cascade: Path) -> Cascade:
    return Cascade.load(tiny_cascade, "cpu,float32")


def examples_of(size_px: int) -> list[Example]:
    generator = torch.Generator().manual_seed(size_px)
    pictures = torch.rand(len(CAPTIONS), 3, size_px, size_px, generator=generator) * 2 - 1
    return [Example(*pair) for pair in zip(pictures, CAPTIONS, strict=True)]


@pytest.mark.parametrize(("index", "low_res_px"), [(0, None), (1, 8)], ids=["base", "enlarging"])
def test_a_real_stage_has_the_loss_that_diffusers_comes_to(
    tiny_cascade: Path, cascade: Cascade, index: int, low_res_px: int | None
) -> None:
    stage = cascade.stages[index]
    examples = examples_of(stage.spec.size_px)
    measured = denoising_loss(
        stage, examples, len(examples), cascade.text.encode, low_res_px, levels=3, batch=2
    )
    folder = tiny_cascade / ("base" if low_res_px is None else "super_resolution")
    for each in measured:
        errors = [
            their_error(folder, cascade, example, position, each.timestep, low_res_px)
            for position, example in enumerate(examples)
        ]
        assert each.loss == pytest.approx(sum(errors) / len(errors), rel=1e-4)


def their_error(
    folder: Path,
    cascade: Cascade,
    example: Example,
    position: int,
    timestep: int,
    low_res_px: int | None,
) -> float:
    """Of one picture, from the folder, with diffusers alone but for the noise."""
    unet: Any = UNet2DConditionModel.from_pretrained(folder / "unet")
    scheduler: Any = DDIMScheduler.from_pretrained(folder / "scheduler")
    x0, time = example.picture[None], torch.tensor([timestep])
    size_px = x0.shape[-1]
    fresh = noise(position, f"{size_px}/evaluation/{timestep}", tuple(x0.shape[1:]))[None]
    inputs, level = scheduler.add_noise(x0, fresh, time), None
    if low_res_px is not None:
        # aug_level is 0.25 where a folder does not say.
        level = torch.tensor([250])
        small = F.avg_pool2d(x0, size_px // low_res_px)
        large = F.interpolate(small, size=size_px, mode="bilinear", align_corners=True)
        augmentation = noise(position, f"{size_px}/augmentation", tuple(x0.shape[1:]))[None]
        inputs = torch.cat([inputs, scheduler.add_noise(large, augmentation, level)], dim=1)
    with torch.inference_mode():
        predicted = unet(
            inputs,
            time,
            encoder_hidden_states=cascade.text.encode([example.caption]).float(),
            class_labels=level,
        ).sample
    wanted = scheduler.get_velocity(x0, fresh, time)
    return float((predicted - wanted).square().mean())


def test_how_pictures_are_batched_changes_nothing(cascade: Cascade) -> None:
    stage, examples = cascade.stages[0], examples_of(8)
    told: list[tuple[int, int]] = []
    one, all_at_once = (
        denoising_loss(
            stage,
            examples,
            3,
            cascade.text.encode,
            batch=batch,
            progress=lambda done, total: told.append((done, total)),
        )
        for batch in (1, 3)
    )
    assert [each.loss for each in one] == pytest.approx([each.loss for each in all_at_once], 1e-5)
    assert told == [(1, 3), (2, 3), (3, 3), (3, 3)]
