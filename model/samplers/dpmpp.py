"""DPM-Solver++(2M), the second-order multistep solver in x0 (Lu et al. 2022b, algorithm 2)."""

import math
from collections.abc import Sequence

from model.samplers.update import Update
from model.schedule import NoiseLevel


def update(levels: Sequence[NoiseLevel], i: int) -> Update:
    """Second order where a step before exists; first order for the first step and into clean."""
    now, following = levels[i], levels[i + 1]
    if following.sigma == 0:
        return Update(x=0.0, x0=1.0)
    h = following.log_snr_half - now.log_snr_half
    x = following.sigma / now.sigma
    x0 = following.alpha * -math.expm1(-h)
    if i == 0:
        return Update(x=x, x0=x0)
    r = (now.log_snr_half - levels[i - 1].log_snr_half) / h
    slope = x0 / (2 * r)
    return Update(x=x, x0=x0 + slope, previous_x0=-slope)
