"""Samplers: how an image goes from one noise level to the next.

Every sampler here is linear in what it steps from, so a sampler is a function from noise levels to
the numbers of one `Update`, computed once per image in float64. Rows of one batch may then use
different samplers at different steps, and the batch is stepped by one expression.
"""

from collections.abc import Sequence
from enum import StrEnum

from model.samplers import ddim, ddpm, dpmpp
from model.samplers.ddpm import Variance
from model.samplers.update import Update
from model.schedule import NoiseLevel


class Sampler(StrEnum):
    """The samplers by name. dpmpp is DPM-Solver++(2M); `_1` the first order, `_sde` the SDE."""

    DDPM = "ddpm"
    DDIM = "ddim"
    DPMPP = "dpmpp"
    DPMPP_1 = "dpmpp_1"
    DPMPP_SDE = "dpmpp_sde"
    DPMPP_SDE_1 = "dpmpp_sde_1"

    @property
    def is_solver(self) -> bool:
        """Whether it divides time as DPM-Solver does (see Schedule.solver_timesteps)."""
        return self not in (Sampler.DDPM, Sampler.DDIM)

    def update(
        self, levels: Sequence[NoiseLevel], i: int, eta: float, variance: Variance
    ) -> Update:
        """Step i of those through `levels`, which ends with the level of the finished image.

        eta, 0 to 1: of ddim alone. variance: of ddpm alone.
        """
        match self:
            case Sampler.DDPM:
                return ddpm.update(levels, i, variance)
            case Sampler.DDIM:
                return ddim.update(levels, i, eta)
            case Sampler.DPMPP:
                return dpmpp.update(levels, i)
            case Sampler.DPMPP_1:
                return dpmpp.update(levels, i, order=1)
            case Sampler.DPMPP_SDE:
                return dpmpp.sde_update(levels, i)
            case Sampler.DPMPP_SDE_1:
                return dpmpp.sde_update(levels, i, order=1)


__all__ = ["Sampler", "Update", "Variance"]
