"""One image on its way through one stage: all that a denoising step needs and leaves behind."""

from dataclasses import dataclass

from torch import Tensor

from model.plan import Step


@dataclass(frozen=True)
class TextCondition:
    """prompt, negative: [tokens, width], the encoded prompt and the one to steer away from."""

    prompt: Tensor
    negative: Tensor


@dataclass(frozen=True)
class LowRes:
    """pixels: [3, H, W], the image before, upsampled and noised; noise_level: [], its timestep."""

    pixels: Tensor
    noise_level: Tensor


@dataclass
class Trajectory:
    """seed: of its noise. x: [3, H, W] float32, the image as noised as its next step expects it.

    table, timesteps: what `plan` says, on the device, so that a step copies nothing there: the
    columns of `table`, [steps, 8], are named in model/step_table.py.
    x0: [3, H, W] float32, the clean image as last predicted; zeros before the first step.
    adapter_scales: [adapters] float32, in the order of the network's; None where it has none.
    """

    seed: int
    x: Tensor
    plan: tuple[Step, ...]
    table: Tensor
    timesteps: Tensor
    text: TextCondition
    x0: Tensor
    low_res: LowRes | None = None
    adapter_scales: Tensor | None = None
    steps_done: int = 0

    @property
    def shape(self) -> tuple[int, ...]:
        return tuple(self.x.shape)

    @property
    def is_finished(self) -> bool:
        return self.steps_done == len(self.plan)

    @property
    def next_step(self) -> Step:
        return self.plan[self.steps_done]

    def advance(self, x: Tensor, x0: Tensor) -> None:
        self.x, self.x0 = x, x0
        self.steps_done += 1
