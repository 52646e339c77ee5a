"""What a step of distillation computes: a network learns what a trained one would come to.

Few steps are served as any others are: knows nothing of samplers but the one plan it imitates.
"""

from dataclasses import dataclass, replace

import torch
from diffusers import UNet2DConditionModel
from torch import Tensor, nn

from model.errors import InvalidTraining
from model.guidance import Threshold, guide, predicted_x0
from model.plan import StageSettings, Step, plan
from model.samplers import Sampler
from model.schedule import Schedule
from model.training.data.examples import Batch
from model.training.loss import add_noise, target
from model.training.randomness import Draws
from model.training.tasks import Errors, Given, StageTask, predict


class GuidanceDistillation(nn.Module):
    """One forward learns what two come to under classifier-free guidance.

    Meng et al. 2023, "On distillation of guided diffusion models", sec. 3.1, at one scale. student:
    its network is trained. teacher: of the same process and prediction. interval: the times between
    which the scale holds; see StageSettings.
    """

    def __init__(
        self,
        student: StageTask,
        teacher: UNet2DConditionModel,
        scale: float,
        interval: tuple[float, float] = (0.0, 1.0),
    ):
        super().__init__()
        self.student = student
        self.teacher = teacher.requires_grad_(False).eval()
        self._scale = scale
        self._interval = interval

    def forward(self, batch: Batch, draws: Draws) -> Errors:
        denoising, given = self.student.denoising, self.student.given(batch, draws)
        timesteps = denoising.timesteps(draws.strata)
        alpha_bar = denoising.alpha_bar(timesteps).to(given.x0.device)
        noisy = add_noise(given.x0, _noise_like(given.x0, draws), alpha_bar)
        wanted = self.guided(noisy, timesteps, given, self._without_text(batch))
        predicted = predict(self.student.unet, noisy, timesteps, given)
        return denoising.errors(predicted, wanted, alpha_bar)

    @torch.no_grad()
    def guided(self, noisy: Tensor, timesteps: Tensor, given: Given, empty: Tensor) -> Tensor:
        """The teacher's prediction as it is served, [B, 3, S, S]. empty: [B, tokens, width]."""
        conditional = predict(self.teacher, noisy, timesteps, given)
        unconditional = predict(self.teacher, noisy, timesteps, replace(given, text=empty))
        return guide(conditional, unconditional, self.scales(timesteps).to(noisy.device))

    def scales(self, timesteps: Tensor) -> Tensor:
        """[B, 1, 1, 1], as model.plan has them."""
        times = (timesteps + 1) / self.student.denoising.schedule.train_steps
        earliest, latest = self._interval
        holds = (earliest <= times) & (times <= latest)
        return torch.where(holds, self._scale, 1.0).view(-1, 1, 1, 1)

    @torch.no_grad()
    def _without_text(self, batch: Batch) -> Tensor:
        assert self.student.conditions is not None, "guidance is that of text"
        return self.student.conditions(batch, torch.ones(len(batch), dtype=torch.bool))


@dataclass(frozen=True)
class Strides:
    """The steps of a student, each beside the two of its teacher that lead as far.

    Each [N] float32 or int64, the noisiest first. alpha_bar: where a step begins. middle: the
    timestep between the teacher's two steps. x, x0: of the first of these (see Update). early: what
    its x0 counts in what both come to, the other counting the rest.
    """

    timesteps: Tensor
    alpha_bar: Tensor
    middle: Tensor
    x: Tensor
    x0: Tensor
    early: Tensor

    @classmethod
    def of(cls, schedule: Schedule, steps: int) -> "Strides":
        """Of a student of so many steps, at the timesteps that it visits when it is served.

        Raises InvalidTraining where the teacher, of twice as many, does not visit them.
        """
        student, teacher = _ddim(schedule, steps), _ddim(schedule, 2 * steps)
        first, second = teacher[::2], teacher[1::2]
        if [step.timestep for step in student] != [step.timestep for step in first]:
            raise InvalidTraining(
                f"distillation.steps: with timestep_spacing {schedule.spacing}, {2 * steps} steps"
                f" do not pass where {steps} do: set it to trailing in"
                " scheduler/scheduler_config.json, or take other numbers of steps"
            )
        return cls(
            timesteps=torch.tensor([step.timestep for step in first]),
            alpha_bar=torch.tensor([step.level.alpha**2 for step in first]),
            middle=torch.tensor([step.timestep for step in second]),
            x=torch.tensor([step.update.x for step in first]),
            x0=torch.tensor([step.update.x0 for step in first]),
            early=torch.tensor([_share(a, b) for a, b in zip(first, second, strict=True)]),
        )

    def __getitem__(self, chosen: Tensor) -> "Strides":
        """Those at some indices, [B]."""
        return Strides(**{name: column[chosen] for name, column in vars(self).items()})

    def to(self, device: torch.device) -> "Strides":
        return Strides(**{name: column.to(device) for name, column in vars(self).items()})


def _ddim(schedule: Schedule, steps: int) -> tuple[Step, ...]:
    try:
        return plan(schedule, StageSettings(steps, Sampler.DDIM, guidance_scale=1.0))
    except ValueError as error:
        raise InvalidTraining(f"distillation.steps: {error}") from error


def _share(first: Step, second: Step) -> float:
    """Of the early x0: two steps, x'' = k2 (k1 x + c1 early) + c2 late, are one of their mean.

    The one step, k1 k2 x + c x0, is of c = k2 c1 + c2: DDIM keeps an x0 that does not change.
    """
    early, late = second.update.x * first.update.x0, second.update.x0
    return early / (early + late)


class ProgressiveDistillation(nn.Module):
    """A DDIM step of the student learns to lead where two of the teacher lead.

    Salimans & Ho 2022, "Progressive distillation for fast sampling of diffusion models", alg. 2,
    in discrete time. student: its network is trained. teacher: of the same process and prediction.
    steps: of the student. threshold: what the teacher's x0 goes through when it is served, so that
    the student learns what is drawn.
    """

    def __init__(
        self,
        student: StageTask,
        teacher: UNet2DConditionModel,
        steps: int,
        threshold: Threshold | None = None,
    ):
        super().__init__()
        self.student = student
        self.teacher = teacher.requires_grad_(False).eval()
        self._strides = Strides.of(student.denoising.schedule, steps)
        self._steps = steps
        self._threshold = threshold

    def forward(self, batch: Batch, draws: Draws) -> Errors:
        denoising, given = self.student.denoising, self.student.given(batch, draws)
        strides = self._strides[(draws.strata * self._steps).long()].to(given.x0.device)
        noisy = add_noise(given.x0, _noise_like(given.x0, draws), strides.alpha_bar)
        x0 = self.two_steps(noisy, strides, given)
        alpha, sigma = _mixture(strides.alpha_bar)
        implied_noise = (noisy - alpha * x0) / sigma
        wanted = target(denoising.prediction, x0, implied_noise, strides.alpha_bar)
        predicted = predict(self.student.unet, noisy, strides.timesteps, given)
        return denoising.errors(predicted, wanted, strides.alpha_bar)

    @torch.no_grad()
    def two_steps(self, noisy: Tensor, strides: Strides, given: Given) -> Tensor:
        """The x0, [B, 3, S, S], by which one step leads from x_t to where the teacher's two do."""
        early = self._x0(noisy, strides.timesteps, given)
        halfway = _rows(strides.x) * noisy + _rows(strides.x0) * early
        late = self._x0(halfway, strides.middle, given)
        return late.lerp(early, _rows(strides.early))

    def _x0(self, x: Tensor, timesteps: Tensor, given: Given) -> Tensor:
        denoising = self.student.denoising
        alpha, sigma = _mixture(denoising.alpha_bar(timesteps.cpu()).to(x.device))
        predicted = predict(self.teacher, x, timesteps, given)
        x0 = predicted_x0(denoising.prediction, x, predicted, alpha, sigma)
        return x0 if self._threshold is None else self._threshold(x0)


def _noise_like(x0: Tensor, draws: Draws) -> Tensor:
    return draws.normal(*x0.shape[1:]).to(x0.device)


def _mixture(alpha_bar: Tensor) -> tuple[Tensor, Tensor]:
    """alpha and sigma, each [B, 1, 1, 1]."""
    return _rows(alpha_bar.sqrt()), _rows((1 - alpha_bar).sqrt())


def _rows(numbers: Tensor) -> Tensor:
    """[B] to [B, 1, 1, 1]."""
    return numbers.view(-1, 1, 1, 1)
