"""Distillation against closed forms, and against what serving does with the same network."""

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import pytest
import torch
from diffusers import UNet2DConditionModel
from torch import Tensor, nn

from model.cascade import Cascade
from model.errors import InvalidTraining
from model.guidance import Prediction, predicted_x0
from model.plan import StageSettings, plan
from model.schedule import Schedule
from model.stage import Stage
from model.training.conditions import Precomputed
from model.training.data.examples import Batch
from model.training.distillation import GuidanceDistillation, ProgressiveDistillation, Strides
from model.training.loss import Weighting
from model.training.randomness import Draws
from model.training.tasks import BaseTask, Denoising, Given, StageTask
from model.trajectory import TextCondition, Trajectory

SCHEDULE = Schedule()
SPREAD = 0.5
"""Of the pictures that the toys below draw: every pixel is N(0, SPREAD^2)."""


class Table(nn.Module):
    """Predicts v = weights[t] text x: all that a Gaussian's denoiser is. text: 1 or, without, 0."""

    def __init__(self, weights: Tensor):
        super().__init__()
        self.weights = nn.Parameter(weights.clone())
        self.seen: set[int] = set()

    @property
    def device(self) -> torch.device:
        return self.weights.device

    def forward(
        self, x: Tensor, timesteps: Tensor, encoder_hidden_states: Tensor, **_: Any
    ) -> tuple[Tensor]:
        self.seen.update(timesteps.tolist())
        text = encoder_hidden_states.mean(dim=(1, 2))
        return ((self.weights[timesteps] * text).view(-1, 1, 1, 1) * x,)

    @property
    def unet(self) -> UNet2DConditionModel:
        return cast(UNet2DConditionModel, self)


def exact(spread: float = SPREAD) -> Tensor:
    """[1000]: E[x0 | x] = a s^2 x / (a^2 s^2 + b^2), in terms of v = (a x - x0) / b."""
    a, b = SCHEDULE.alpha_bar.sqrt(), (1 - SCHEDULE.alpha_bar).sqrt()
    return ((a - a * spread**2 / (a**2 * spread**2 + b**2)) / b).float()


def student(weights: Tensor, weighting: Weighting = Weighting.TRUNCATED_SNR) -> BaseTask:
    denoising = Denoising(SCHEDULE, Prediction.V, weighting)
    return BaseTask(Table(weights).unet, denoising, Precomputed(torch.zeros(1, 1)), dropout=0.0)


def weights_of(task: StageTask) -> nn.Parameter:
    return cast(Table, task.unet).weights


def pictures(count: int, seed: int = 0) -> Batch:
    drawn = torch.randn(count, 3, 2, 2, generator=torch.Generator().manual_seed(seed))
    return Batch(drawn * SPREAD, ("",) * count, torch.ones(count, 1, 1))


def draws(count: int, step: int = 0) -> Draws:
    return Draws.of(0, range(step * count, (step + 1) * count), count)


def ddim(steps: int) -> StageSettings:
    return StageSettings(steps, "ddim", 1.0)


def halfway_and_on(steps: int) -> list[float]:
    """What x of each stride of a student is multiplied by in two steps of the exact teacher."""
    factors = []
    for step in plan(SCHEDULE, ddim(2 * steps)):
        a, b = step.level.alpha, step.level.sigma
        x0 = a * SPREAD**2 / (a**2 * SPREAD**2 + b**2)
        factors.append(step.update.x + step.update.x0 * x0)
    return [first * second for first, second in zip(factors[::2], factors[1::2], strict=True)]


@pytest.mark.parametrize("steps", [1, 2, 4, 16, 25])
def test_two_steps_of_a_gaussians_denoiser_are_one_of_the_target(steps: int) -> None:
    task = ProgressiveDistillation(student(exact()), Table(exact()).unet, steps)
    x = torch.randn(steps, 3, 2, 2)
    given = Given(x, torch.ones(steps, 1, 1))
    x0 = task.two_steps(x, Strides.of(SCHEDULE, steps), given)
    for i, (step, factor) in enumerate(
        zip(plan(SCHEDULE, ddim(steps)), halfway_and_on(steps), strict=True)
    ):
        one_step = step.update.x * x[i] + step.update.x0 * x0[i]
        torch.testing.assert_close(one_step, factor * x[i], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("steps", [1, 3, 4, 16])
def test_a_student_learns_at_the_timesteps_that_it_is_served_at(steps: int) -> None:
    task = ProgressiveDistillation(student(exact()), Table(exact()).unet, steps)
    for step in range(4):
        task(pictures(16), draws(16, step))
    served = {step.timestep for step in plan(SCHEDULE, ddim(steps))}
    assert cast(Table, task.student.unet).seen == served
    assert cast(Table, task.teacher).seen == {s.timestep for s in plan(SCHEDULE, ddim(2 * steps))}


def exact_student(steps: int) -> Tensor:
    """[1000]: the v by which each step of a student leads where two of the teacher do."""
    weights = exact()
    for step, factor in zip(plan(SCHEDULE, ddim(steps)), halfway_and_on(steps), strict=True):
        x0 = (factor - step.update.x) / step.update.x0
        weights[step.timestep] = (step.level.alpha - x0) / step.level.sigma
    return weights


def test_a_student_that_does_what_the_teacher_does_has_no_error() -> None:
    done = ProgressiveDistillation(student(exact_student(4)), Table(exact()).unet, 4)
    assert done(pictures(32), draws(32)).plain.max() < 1e-9
    begun = ProgressiveDistillation(student(exact()), Table(exact()).unet, 4)
    assert begun(pictures(32), draws(32)).plain.mean() > 1e-4


def test_errors_count_by_the_signal_to_noise_ratio_where_the_step_begins() -> None:
    task = ProgressiveDistillation(student(exact()), Table(exact()).unet, 4)
    some = draws(32)
    errors = task(pictures(32), some)
    levels = [plan(SCHEDULE, ddim(4))[int(stratum * 4)].level for stratum in some.strata]
    snr = torch.tensor([level.alpha**2 / level.sigma**2 for level in levels])
    torch.testing.assert_close(errors.objective, errors.plain * snr.clamp(min=1) / (snr + 1))


def drawn(weights: Tensor, steps: int) -> float:
    """What noise is multiplied by on its way to a picture."""
    factor = 1.0
    for step in plan(SCHEDULE, ddim(steps)):
        x0 = step.level.alpha - step.level.sigma * float(weights[step.timestep])
        factor *= step.update.x + step.update.x0 * x0
    return factor


def test_a_trained_student_draws_in_half_the_steps_what_the_teacher_drew() -> None:
    task = ProgressiveDistillation(student(exact()), Table(exact()).unet, 2)
    learned = weights_of(task.student)
    optimizer = torch.optim.Adam([learned], lr=0.01)
    for step in range(300):
        optimizer.zero_grad()
        task(pictures(16, step), draws(16, step)).objective.mean().backward()
        optimizer.step()
    wanted, before = drawn(exact(), 4), drawn(exact(), 2)
    assert abs(before - wanted) > 0.02
    assert abs(drawn(learned.detach(), 2) - wanted) < 0.1 * abs(before - wanted)


def test_only_the_student_is_trained() -> None:
    for task in (
        ProgressiveDistillation(student(exact()), Table(exact()).unet, 2),
        GuidanceDistillation(student(exact()), Table(exact()).unet, 3.0),
    ):
        task(pictures(8), draws(8)).objective.mean().backward()
        trained = {name for name, weight in task.named_parameters() if weight.requires_grad}
        assert trained == {"student.unet.weights"}
        assert weights_of(task.student).grad is not None


def test_a_student_of_guidance_predicts_as_if_guided_within_the_interval() -> None:
    """Without text the toy predicts 0, so that guidance multiplies by its scale."""
    settings = StageSettings(1000, "ddim", 3.0, guidance_interval=(0.25, 0.75))
    scales = torch.ones(1000)
    for step in plan(SCHEDULE, settings):
        scales[step.timestep] = step.guidance_scale
    assert set(scales.tolist()) == {1.0, 3.0}
    task = GuidanceDistillation(
        student(exact() * scales), Table(exact()).unet, 3.0, settings.guidance_interval
    )
    assert task(pictures(64), draws(64)).plain.max() < 1e-9
    torch.testing.assert_close(task.scales(torch.arange(1000)).flatten(), scales)


def test_a_spacing_that_does_not_halve_is_refused() -> None:
    with pytest.raises(InvalidTraining, match=r"distillation\.steps: .* linspace.* trailing"):
        Strides.of(replace(SCHEDULE, spacing="linspace"), 4)
    with pytest.raises(InvalidTraining, match=r"distillation\.steps: steps must be 1 to 1000"):
        Strides.of(SCHEDULE, 600)


class Served:
    """A stage of the tiny cascade as it is served, and its network as it is trained."""

    def __init__(self, folder: Path, tiny_cascade: Path, index: int):
        shutil.copytree(tiny_cascade, folder)
        part = folder / ("base", "super_resolution")[index]
        unet = UNet2DConditionModel.from_pretrained(part / "unet")
        nn.init.normal_(unet.conv_out.weight, std=0.5)  # so that x0 is out of range and is clipped
        unet.save_pretrained(part / "unet")
        config = part / "scheduler" / "scheduler_config.json"
        spacing = {"timestep_spacing": "trailing", "clip_sample": True}
        config.write_text(json.dumps(json.loads(config.read_text()) | spacing))
        self.stage: Stage = Cascade.load(folder, "cpu,float32").stages[index]
        denoising = Denoising(self.stage.spec.schedule, self.stage.spec.prediction)
        self.text = TextCondition(*torch.randn(2, 5, 16))
        self.low_res = torch.rand(3, 8, 8) * 2 - 1 if index else None
        self.task = BaseTask(unet, denoising, Precomputed(self.text.negative))
        self.teacher = UNet2DConditionModel.from_pretrained(part / "unet")

    def start(self, settings: StageSettings) -> Trajectory:
        aug_level = self.stage.spec.defaults.aug_level
        return self.stage.start(1, replace(settings, aug_level=aug_level), self.text, self.low_res)

    def given(self, trajectory: Trajectory) -> Given:
        given = Given(trajectory.x[None], self.text.prompt[None])
        if trajectory.low_res is None:
            return given
        pixels, noise_level = trajectory.low_res.pixels, trajectory.low_res.noise_level
        return replace(given, low_res=pixels[None], noise_level=noise_level[None])


@pytest.mark.parametrize("index", [0, 1])
def test_a_student_is_taught_what_the_teacher_draws_when_it_is_served(
    tiny_cascade: Path, tmp_path: Path, index: int
) -> None:
    served = Served(tmp_path / "cascade", tiny_cascade, index)
    threshold = served.stage.spec.threshold
    assert threshold is not None
    clipped = ProgressiveDistillation(served.task, served.teacher, 3, threshold)
    unclipped = ProgressiveDistillation(served.task, served.teacher, 3)
    strides = Strides.of(served.stage.spec.schedule, 3)
    trajectory = served.start(ddim(6))
    for i, step in enumerate(plan(served.stage.spec.schedule, ddim(3))):
        x, stride = trajectory.x, strides[torch.tensor([i])]
        x0 = clipped.two_steps(x[None], stride, served.given(trajectory))[0]
        assert unclipped.two_steps(x[None], stride, served.given(trajectory)).abs().max() > 1
        for _ in range(2):
            served.stage.step([trajectory])
        torch.testing.assert_close(
            step.update.x * x + step.update.x0 * x0, trajectory.x, rtol=1e-4, atol=1e-4
        )
    assert trajectory.is_finished


@pytest.mark.parametrize("index", [0, 1])
def test_a_student_of_guidance_is_taught_what_two_forwards_come_to(
    tiny_cascade: Path, tmp_path: Path, index: int
) -> None:
    served = Served(tmp_path / "cascade", tiny_cascade, index)
    assert served.stage.spec.threshold is not None
    interval = (0.3, 0.8)
    task = GuidanceDistillation(served.task, served.teacher, 3.0, interval)
    trajectory = served.start(StageSettings(6, "ddim", 3.0, guidance_interval=interval))
    assert {step.is_guided for step in trajectory.plan} == {True, False}
    for step in trajectory.plan:
        x, level = trajectory.x[None], step.level
        timesteps, given = torch.tensor([step.timestep]), served.given(trajectory)
        v = task.guided(x, timesteps, given, served.text.negative[None])
        alpha, sigma = torch.tensor(level.alpha), torch.tensor(level.sigma)
        x0 = served.stage.spec.threshold(predicted_x0(Prediction.V, x, v, alpha, sigma))
        served.stage.step([trajectory])
        torch.testing.assert_close(x0[0], trajectory.x0, rtol=1e-4, atol=1e-4)
