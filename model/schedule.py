"""Noise schedules of the variance-preserving diffusion, in discrete time.

x_t = alpha_t x_0 + sigma_t noise, alpha_t^2 = alpha_bar_t, sigma_t^2 = 1 - alpha_bar_t (Ho et al.
2020, eq. 4). A schedule is a table; it knows nothing of networks or of how a sampler steps.
"""

import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np
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
    spacing: leading, linspace or trailing (Lin et al. 2024, table 2). final_timestep: where the
    last step leads, CLEAN or 0, the least noisy level that was trained. min_log_snr_half: a solver
    does not start at noisier levels (diffusers' lambda_min_clipped).
    """

    beta_schedule: str = "squaredcos_cap_v2"
    train_steps: int = 1000
    beta_start: float = 1e-4
    beta_end: float = 0.02
    spacing: str = "trailing"
    steps_offset: int = 0
    final_timestep: int = CLEAN
    min_log_snr_half: float = -math.inf

    def __post_init__(self) -> None:
        for field, value, known in (
            ("beta_schedule", self.beta_schedule, _BETAS),
            ("timestep_spacing", self.spacing, _SPACINGS),
        ):
            if value not in known:
                raise InvalidCascade(f"{field} {value!r} is not one of {', '.join(known)}")

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
        """The timesteps of `steps` denoising steps, from the noisiest to the last before clean.

        They divide the whole table, as those of diffusers' DDPM and DDIM schedulers do.
        """
        self._check(steps, self.train_steps)
        spread = _SPACINGS[self.spacing](self.train_steps, steps, self.train_steps / steps)
        return self._within_table(spread)

    def solver_timesteps(self, steps: int) -> list[int]:
        """As `timesteps`, for a solver of DPM-Solver's kind: the clean image is one point more.

        They divide what min_log_snr_half leaves of the table, as those of diffusers'
        DPMSolverMultistepScheduler do. With trailing spacing and so many steps that several fall
        into what is left out, there are fewer.
        """
        usable = self._solver_table
        self._check(steps, usable - 1)
        if self.spacing == "trailing":
            return self._within_table(_trailing(usable, steps, self.train_steps / steps))
        spread = _SPACINGS[self.spacing](usable, steps + 1, usable / (steps + 1))
        return self._within_table(spread[:-1])

    @cached_property
    def most_steps(self) -> int:
        """So many steps, and any fewer, can be taken by every sampler."""
        offset = self.steps_offset if self.spacing == "leading" else 0
        return max(1, min(self._solver_table - 1, self.train_steps // (offset + 1)))

    @cached_property
    def _solver_table(self) -> int:
        """How many timesteps min_log_snr_half leaves."""
        log_snr_half = 0.5 * (self.alpha_bar / (1 - self.alpha_bar)).log()
        return int((log_snr_half >= self.min_log_snr_half).sum())

    def _check(self, steps: int, most: int) -> None:
        if not 1 <= steps <= most:
            raise ValueError(f"steps must be 1 to {most}, not {steps}")

    def _within_table(self, timesteps: list[int]) -> list[int]:
        offset = self.steps_offset if self.spacing == "leading" else 0
        if timesteps[0] + offset >= self.train_steps:
            raise ValueError(
                f"steps: {len(timesteps)} with a steps_offset of {offset} leave the table of"
                f" {self.train_steps}: take fewer"
            )
        return [timestep + offset for timestep in timesteps]


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


def _leading(points: int, steps: int, stride: float) -> list[int]:
    return [i * int(stride) for i in reversed(range(steps))]


def _linspace(points: int, steps: int, stride: float) -> list[int]:
    last = points - 1
    if steps == 1:
        return [last]  # diffusers has 0 here, which takes pure noise for a clean image
    return [round(i * (last / (steps - 1))) for i in reversed(range(steps))]


def _trailing(points: int, steps: int, stride: float) -> list[int]:
    # numpy's own sums, as in diffusers: 3 strides of 1000 / 48 end at a tie, and its sum below it.
    spread = np.arange(points, 0, -stride)[:steps].round().astype(int) - 1
    return [timestep for timestep in spread.tolist() if timestep >= 0]


_SPACINGS = {"leading": _leading, "linspace": _linspace, "trailing": _trailing}
