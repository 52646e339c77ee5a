"""One image on its way through one stage: all that a denoising step needs and leaves behind."""

from dataclasses import dataclass, field

from torch import Tensor

from model.samplers import Step


@dataclass(frozen=True)
class StageSettings:
    """How one image is sampled at one stage.

    steps: at least 1. guidance_scale: 1 is unguided. aug_level: 0 to 1, the noise added to the
    low-res input of a super-resolution stage; None at the base stage.
    """

    steps: int
    sampler: str
    guidance_scale: float
    aug_level: float | None = None


@dataclass(frozen=True)
class TextCondition:
    """prompt, negative: [tokens, width], the encoded prompt and the one to steer away from."""

    prompt: Tensor
    negative: Tensor


@dataclass(frozen=True)
class LowRes:
    """pixels: [3, S, S], the image before upsampled and noised; noise_level: by which timestep."""

    pixels: Tensor
    noise_level: int


@dataclass
class Trajectory:
    """x: [3, S, S] float32, the image as noised as its next step expects it."""

    x: Tensor
    plan: tuple[Step, ...]
    text: TextCondition
    guidance_scale: float
    low_res: LowRes | None = None
    steps_done: int = 0
    x0: Tensor | None = field(default=None)
    """The clean image as last predicted; None before the first step."""

    @property
    def is_guided(self) -> bool:
        return self.guidance_scale != 1.0

    @property
    def is_finished(self) -> bool:
        return self.steps_done == len(self.plan)

    @property
    def next_step(self) -> Step:
        return self.plan[self.steps_done]

    def advance(self, x: Tensor, x0: Tensor) -> None:
        self.x, self.x0 = x, x0
        self.steps_done += 1
