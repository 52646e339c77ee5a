"""DDIM (Song et al. 2021): from the deterministic sampler (eta 0) to DDPM's noise (eta 1)."""

import math
from collections.abc import Sequence

from model.samplers.update import Update
from model.schedule import NoiseLevel


def update(levels: Sequence[NoiseLevel], i: int, eta: float = 0.0) -> Update:
    """Part of the noise that x holds is kept, the rest is fresh (eq. 12; its sigma is eq. 16).

    The noise is what x holds beside x0 as thresholded (`use_clipped_model_output` in diffusers).
    """
    now, following = levels[i], levels[i + 1]
    step_alpha = now.alpha / following.alpha
    noise = eta * following.sigma / now.sigma * math.sqrt(1 - step_alpha**2)
    kept = math.sqrt(max(0.0, following.sigma**2 - noise**2)) / now.sigma
    return Update(x=kept, x0=following.alpha - kept * now.alpha, noise=noise)
