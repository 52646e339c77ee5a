"""DPM-Solver++, the multistep solver in x0, and its SDE variant (Lu et al. 2022b).

The first order is exact where x0 does not change during the step; the second puts a straight line
through the last two x0, taken at the middle of the step.
"""

import math
from collections.abc import Sequence

from model.samplers.update import Update
from model.schedule import NoiseLevel

FEW_STEPS = 15
"""With fewer, the last step of the second order is of the first, as in diffusers."""


def update(levels: Sequence[NoiseLevel], i: int, order: int = 2) -> Update:
    """DPM-Solver++(2M), algorithm 2; with order 1, its first step at every step, which is DDIM."""
    now, following = levels[i], levels[i + 1]
    if following.sigma == 0:
        return Update(x=0.0, x0=1.0)
    h = following.log_snr_half - now.log_snr_half
    x0 = following.alpha * -math.expm1(-h)
    slope = x0 * _slope(levels, i, order)
    return Update(x=following.sigma / now.sigma, x0=x0 + slope, previous_x0=-slope)


def sde_update(levels: Sequence[NoiseLevel], i: int, order: int = 2) -> Update:
    """SDE-DPM-Solver++(2M); with order 1, SDE-DPM-Solver++1, which is DDIM with eta 1."""
    now, following = levels[i], levels[i + 1]
    if following.sigma == 0:
        return Update(x=0.0, x0=1.0)
    h = following.log_snr_half - now.log_snr_half
    fresh = -math.expm1(-2 * h)
    slope = following.alpha * fresh * _slope(levels, i, order)
    return Update(
        x=following.sigma / now.sigma * math.exp(-h),
        x0=following.alpha * fresh + slope,
        previous_x0=-slope,
        noise=following.sigma * math.sqrt(fresh),
    )


def _slope(levels: Sequence[NoiseLevel], i: int, order: int) -> float:
    """How far the line through the last two x0 goes on by the middle of this step."""
    steps = len(levels) - 1
    if order == 1 or i == 0 or (i == steps - 1 and steps < FEW_STEPS):
        return 0.0
    before, now, following = (level.log_snr_half for level in levels[i - 1 : i + 2])
    return (following - now) / (2 * (now - before))
