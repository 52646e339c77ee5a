"""The numbers of denoising steps as a tensor, a row a step, and batches of such rows read back."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from model.plan import Step

LEAST_NOISE = 1e-10
"""Stands for no noise where a logarithm is taken."""


def as_table(steps: Sequence[Step]) -> Tensor:
    """[len(steps), 8] float32 on the CPU; the columns are StepNumbers' fields."""
    return torch.tensor([_row(step) for step in steps], dtype=torch.float32)


def _row(step: Step) -> tuple[float, ...]:
    update = step.update
    widest = update.noise if update.widest_noise is None else update.widest_noise
    return (
        step.level.alpha,
        step.level.sigma,
        step.guidance_scale,
        update.x,
        update.x0,
        update.previous_x0,
        max(update.noise, LEAST_NOISE),
        max(widest, LEAST_NOISE),
    )


@dataclass(frozen=True)
class StepNumbers:
    """Each [B, 1, 1, 1], ready to multiply images; the names are those of Step and Update."""

    alpha: Tensor
    sigma: Tensor
    guidance_scale: Tensor
    x: Tensor
    x0: Tensor
    previous_x0: Tensor
    noise: Tensor
    widest_noise: Tensor

    @classmethod
    def of(cls, rows: Tensor) -> "StepNumbers":
        """rows: [B, 8], one row of a table for each image."""
        return cls(*(column.view(-1, 1, 1, 1) for column in rows.unbind(dim=1)))
