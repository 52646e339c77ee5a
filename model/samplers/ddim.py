"""DDIM (Song et al. 2021, eq. 12 with eta = 0)."""

from collections.abc import Sequence

from model.samplers.update import Update
from model.schedule import NoiseLevel


def update(levels: Sequence[NoiseLevel], i: int) -> Update:
    """Keep the noise that x holds, at the next level's strength, around the predicted x0."""
    now, following = levels[i], levels[i + 1]
    ratio = following.sigma / now.sigma
    return Update(x=ratio, x0=following.alpha - ratio * now.alpha)
