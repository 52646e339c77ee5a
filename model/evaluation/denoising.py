"""How well a stage takes noise away, by noise level: the loss it was trained with, unweighted.

Knows captioned pictures and loaded stages, not where either comes from.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from model.network import Rows
from model.noise import noise
from model.schedule import NoiseLevel, Schedule
from model.stage import Stage
from model.training.data.examples import Example, Examples
from model.training.loss import add_noise, target
from model.training.tasks import downsampled
from model.trajectory import TextCondition, Trajectory

Encode = Callable[[Sequence[str]], Tensor]
"""N captions to [N, tokens, width]."""

Progress = Callable[[int, int], None]
"""Called with (done, in all)."""


@dataclass(frozen=True)
class LevelLoss:
    """loss: the mean squared error at one noise level; standard_error: of that mean."""

    timestep: int
    level: NoiseLevel
    loss: float
    standard_error: float


def denoising_loss(
    stage: Stage,
    examples: Examples,
    count: int,
    encode: Encode,
    low_res_px: int | None = None,
    levels: int = 10,
    batch: int = 16,
    progress: Progress = lambda done, total: None,
) -> tuple[LevelLoss, ...]:
    """The error of the stage's own prediction (epsilon, v or x0) on the first `count` examples.

    examples: of the stage's size. low_res_px: the size of the stage before; None at a base. The
    condition is as in serving: the caption, and a low-res image with the stage's own aug_level.
    Noise depends on position and timestep alone, so that stages are compared with the same.
    Raises ValueError for a count of less than 1.
    """
    if count < 1:
        raise ValueError(f"count must be at least 1, not {count}")
    timesteps = spread(stage.spec.schedule, levels)
    errors = torch.empty(count, levels)
    for start in range(0, count, batch):
        positions = range(start, min(start + batch, count))
        rows = [examples[position] for position in positions]
        images = _conditions(stage, positions, rows, encode, low_res_px)
        for column, timestep in enumerate(timesteps):
            errors[start : positions.stop, column] = _errors(stage, rows, images, timestep)
        progress(positions.stop, count)
    return tuple(
        LevelLoss(timestep, stage.spec.schedule.level(timestep), *_mean(errors[:, column]))
        for column, timestep in enumerate(timesteps)
    )


def spread(schedule: Schedule, levels: int) -> tuple[int, ...]:
    """The timesteps in the middle of `levels` equal parts of the schedule, least noisy first."""
    return tuple(int((part + 0.5) / levels * schedule.train_steps) for part in range(levels))


def _conditions(
    stage: Stage,
    positions: Sequence[int],
    examples: Sequence[Example],
    encode: Encode,
    low_res_px: int | None,
) -> list[Trajectory]:
    """For each example an image that the stage would begin to draw, its position the seed."""
    texts = encode([example.caption for example in examples])
    images = []
    for position, example, text in zip(positions, examples, texts, strict=True):
        low_res = None
        if low_res_px is not None:  # as a perfect stage before would hand it on
            low_res = downsampled(example.picture[None], low_res_px)[0]
        condition = TextCondition(prompt=text, negative=text)
        images.append(stage.start(position, stage.spec.defaults, condition, low_res))
    return images


@torch.inference_mode()
def _errors(
    stage: Stage, examples: Sequence[Example], images: Sequence[Trajectory], timestep: int
) -> Tensor:
    """[B] on the CPU: the mean squared error of each."""
    alpha_bar = stage.spec.schedule.alpha_bar[timestep].float().expand(len(images))
    purpose = f"{stage.spec.name}/evaluation/{timestep}"
    x0 = torch.stack([example.picture for example in examples])
    fresh = torch.stack([noise(image.seed, purpose, image.shape) for image in images])
    low_res = [image.low_res for image in images if image.low_res is not None]
    scales = [image.adapter_scales for image in images if image.adapter_scales is not None]
    device = stage.network.device
    predicted = stage.network(
        Rows(
            x=add_noise(x0, fresh, alpha_bar).to(device),
            timesteps=torch.full((len(images),), timestep, device=device),
            text=torch.stack([image.text.prompt for image in images]),
            low_res=torch.stack([each.pixels for each in low_res]) if low_res else None,
            noise_levels=torch.stack([each.noise_level for each in low_res]) if low_res else None,
            adapter_scales=torch.stack(scales) if scales else None,
        )
    )[:, :3].cpu()  # what may come after is a predicted variance
    wanted = target(stage.spec.prediction, x0, fresh, alpha_bar)
    return (predicted - wanted).square().mean(dim=(1, 2, 3))


def _mean(errors: Tensor) -> tuple[float, float]:
    """The mean and its standard error; of one picture nothing is known of the spread."""
    spread_of_them = float(errors.std()) if len(errors) > 1 else math.nan
    return float(errors.mean()), spread_of_them / math.sqrt(len(errors))
