"""Samplers: how a trajectory goes from one noise level to the next.

Every sampler here is linear in what it steps from, so a sampler is a function from noise levels to
the numbers of one `Update`, computed once per trajectory in float64. Rows of one batch may then use
different samplers at different steps, and the batch is stepped by one expression.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from model.samplers import ddim, dpmpp
from model.samplers.update import Update
from model.schedule import CLEAN, NoiseLevel, Schedule

Sampler = Callable[[Sequence[NoiseLevel], int], Update]
"""(levels of all steps and of the clean image last, index of the step) -> that step's update."""

SAMPLERS: dict[str, Sampler] = {"ddim": ddim.update, "dpmpp": dpmpp.update}


@dataclass(frozen=True)
class Step:
    """One denoising step: the timestep given to the network, its noise level, and the update."""

    timestep: int
    level: NoiseLevel
    update: Update


def plan(schedule: Schedule, sampler: str, steps: int) -> tuple[Step, ...]:
    """All steps of a trajectory, from pure noise to the clean image.

    Raises ValueError for an unknown sampler or a step count that the schedule does not have.
    """
    if sampler not in SAMPLERS:
        raise ValueError(f"sampler must be one of {', '.join(SAMPLERS)}, not {sampler!r}")
    timesteps = schedule.timesteps(steps)
    levels = [schedule.level(timestep) for timestep in (*timesteps, CLEAN)]
    return tuple(
        Step(timestep, levels[i], SAMPLERS[sampler](levels, i))
        for i, timestep in enumerate(timesteps)
    )


__all__ = ["SAMPLERS", "Sampler", "Step", "Update", "plan"]
