"""What is asked of one stage for one image, and the plan of denoising steps that it comes to."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from model.samplers import Sampler, Update, Variance
from model.schedule import NoiseLevel, Schedule


@dataclass(frozen=True)
class StageSettings:
    """How one image is sampled at one stage.

    steps: at least 1. sampler: a name in Sampler. guidance_scale: 1 is unguided.
    aug_level: 0 to 1, the noise added to the low-res input of a super-resolution stage; None at the
    base stage. eta: 0 to 1, how much of DDIM's noise is fresh. guidance_interval: the times, 0
    (clean) to 1 (noise), between which guidance_scale holds; outside the image is unguided
    (Kynkäänniemi et al. 2024). width, height: pixels; None is the stage's own size. adapters: how
    strongly each is added, by name.
    """

    steps: int
    sampler: str
    guidance_scale: float
    aug_level: float | None = None
    eta: float = 0.0
    guidance_interval: tuple[float, float] = (0.0, 1.0)
    width: int | None = None
    height: int | None = None
    adapters: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Step:
    """One denoising step: the timestep given to the network, its noise level, and the update."""

    timestep: int
    level: NoiseLevel
    update: Update
    guidance_scale: float

    @property
    def is_guided(self) -> bool:
        return self.guidance_scale != 1.0


def plan(
    schedule: Schedule, settings: StageSettings, variance: Variance = Variance.FIXED_SMALL
) -> tuple[Step, ...]:
    """All steps of an image, from pure noise to the clean image.

    Raises ValueError for an unknown sampler or a step count that the schedule does not have.
    """
    sampler = _sampler(settings.sampler)
    spread = schedule.solver_timesteps if sampler.is_solver else schedule.timesteps
    timesteps = spread(settings.steps)
    levels = [schedule.level(timestep) for timestep in (*timesteps, schedule.final_timestep)]
    earliest, latest = settings.guidance_interval
    return tuple(
        Step(
            timestep,
            levels[i],
            sampler.update(levels, i, settings.eta, variance),
            settings.guidance_scale
            if earliest <= (timestep + 1) / schedule.train_steps <= latest
            else 1.0,
        )
        for i, timestep in enumerate(timesteps)
    )


def _sampler(name: str) -> Sampler:
    try:
        return Sampler(name)
    except ValueError:
        raise ValueError(f"sampler must be one of {', '.join(Sampler)}, not {name!r}") from None
