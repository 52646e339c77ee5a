"""DDPM's ancestral sampler (Ho et al. 2020, algorithm 2), over any two noise levels."""

import math
from collections.abc import Sequence
from enum import StrEnum

from model.samplers.update import Update
from model.schedule import NoiseLevel


class Variance(StrEnum):
    """The variance of a step's noise; the names are diffusers'.

    fixed_small is the posterior's, fixed_large that of the forward step (sec. 3.2), and
    learned_range lies between the two as the network says (Nichol & Dhariwal 2021, eq. 15).
    """

    FIXED_SMALL = "fixed_small"
    FIXED_LARGE = "fixed_large"
    LEARNED_RANGE = "learned_range"


def update(levels: Sequence[NoiseLevel], i: int, variance: Variance) -> Update:
    """Draw from the posterior q(x_next | x_t, x0) (eq. 6 and 7); the clean image is its mean."""
    now, following = levels[i], levels[i + 1]
    step_alpha = now.alpha / following.alpha
    beta = 1 - step_alpha**2
    x = step_alpha * following.sigma**2 / now.sigma**2
    x0 = following.alpha * beta / now.sigma**2
    smallest, largest = math.sqrt(beta) * following.sigma / now.sigma, math.sqrt(beta)
    if following.sigma == 0:
        return Update(x, x0)
    match variance:
        case Variance.FIXED_SMALL:
            return Update(x, x0, noise=smallest)
        case Variance.FIXED_LARGE:
            return Update(x, x0, noise=largest)
        case Variance.LEARNED_RANGE:
            return Update(x, x0, noise=smallest, widest_noise=largest)
