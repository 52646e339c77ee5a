"""Noise schedules of the variance-preserving diffusion, in discrete time.

x_t = alpha_t x_0 + sigma_t noise, alpha_t^2 = alpha_bar_t, sigma_t^2 = 1 - alpha_bar_t (Ho et al.
2020, eq. 4). A schedule is a table; it knows nothing of networks or of how a sampler steps.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from model.errors import InvalidCascade

CLEAN = -1
"""The timestep of an image without noise."""


@dataclass(frozen=True)
class NoiseLevel:
    """How much signal and noise an image holds: x = alpha * x_0 + sigma * noise."""

    alpha: float
    sigma: float

    @property
    def log_snr_half(self) -> float:
        """lambda = log(alpha / sigma) (Lu et al. 2022, DPM-Solver, sec. 3.1)."""
        return math.inf if self.sigma == 0 else math.log(self.alpha / self.sigma)


@dataclass(frozen=True)
class Schedule:
    """A beta schedule with the timesteps that inference picks from it.

    beta_schedule: linear, scaled_linear or squaredcos_cap_v2 (Nichol & Dhariwal 2021, eq. 17).
    spacing: leading, linspace or trailing (Lin et al. 2024, table 2).
    """

    beta_schedule: str = "squaredcos_cap_v2"
    train_steps: int = 1000
    beta_start: float = 1e-4
    beta_end: float = 0.02
    spacing: str = "trailing"
    steps_offset: int = 0

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> "Schedule":
        """Read the scheduler_config.json of a diffusers scheduler."""
        beta_schedule = config.get("beta_schedule", "linear")
        if beta_schedule not in _BETAS:
            known = ", ".join(_BETAS)
            raise InvalidCascade(f"beta_schedule {beta_schedule!r} is not one of {known}")
        spacing = config.get("timestep_spacing", "leading")
        if spacing not in _SPACINGS:
            known = ", ".join(_SPACINGS)
            raise InvalidCascade(f"timestep_spacing {spacing!r} is not one of {known}")
        return cls(
            beta_schedule=beta_schedule,
            train_steps=config.get("num_train_timesteps", 1000),
            beta_start=config.get("beta_start", 1e-4),
            beta_end=config.get("beta_end", 0.02),
            spacing=spacing,
            steps_offset=config.get("steps_offset", 0),
        )

    @cached_property
    def alpha_bar(self) -> Tensor:
        """[train_steps] float64 in (0, 1), descending."""
        betas = _BETAS[self.beta_schedule](self)
        return torch.cumprod(1.0 - betas, dim=0)

    def level(self, timestep: int) -> NoiseLevel:
        """The noise level at a timestep in [-1, train_steps); -1 is the clean image."""
        if timestep == CLEAN:
            return NoiseLevel(alpha=1.0, sigma=0.0)
        alpha_bar = float(self.alpha_bar[timestep])
        return NoiseLevel(alpha=math.sqrt(alpha_bar), sigma=math.sqrt(1.0 - alpha_bar))

    def timesteps(self, steps: int) -> list[int]:
        """The timesteps of `steps` denoising steps, from the noisiest to the last before clean."""
        if not 1 <= steps <= self.train_steps:
            raise ValueError(f"steps must be 1 to {self.train_steps}, not {steps}")
        return _SPACINGS[self.spacing](self, steps)


def _linear_betas(schedule: Schedule) -> Tensor:
    return torch.linspace(
        schedule.beta_start, schedule.beta_end, schedule.train_steps, dtype=torch.float64
    )


def _scaled_linear_betas(schedule: Schedule) -> Tensor:
    start, end = math.sqrt(schedule.beta_start), math.sqrt(schedule.beta_end)
    return torch.linspace(start, end, schedule.train_steps, dtype=torch.float64) ** 2


def _cosine_betas(schedule: Schedule) -> Tensor:
    time = torch.linspace(0, 1, schedule.train_steps + 1, dtype=torch.float64)
    alpha_bar = torch.cos((time + 0.008) / 1.008 * math.pi / 2) ** 2
    return (1 - alpha_bar[1:] / alpha_bar[:-1]).clamp(max=0.999)


_BETAS = {
    "linear": _linear_betas,
    "scaled_linear": _scaled_linear_betas,
    "squaredcos_cap_v2": _cosine_betas,
}


def _leading(schedule: Schedule, steps: int) -> list[int]:
    stride = schedule.train_steps // steps
    return [i * stride + schedule.steps_offset for i in reversed(range(steps))]


def _linspace(schedule: Schedule, steps: int) -> list[int]:
    last = schedule.train_steps - 1
    if steps == 1:
        return [last]
    return [round(last * (1 - i / (steps - 1))) for i in range(steps)]


def _trailing(schedule: Schedule, steps: int) -> list[int]:
    stride = schedule.train_steps / steps
    return [round(schedule.train_steps - i * stride) - 1 for i in range(steps)]


_SPACINGS = {"leading": _leading, "linspace": _linspace, "trailing": _trailing}
