"""A diffusion stage: a U-Net with its schedule, and the step that advances any trajectories by one.

Knows nothing of queues: which trajectories share a step is the caller's choice.
"""

from collections import defaultdict, deque
from collections.abc import Iterator, MutableMapping, Sequence
from dataclasses import dataclass
from itertools import chain

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.utils.weak import WeakTensorKeyDictionary

from model.errors import NotFinite
from model.guidance import Prediction, Threshold, guide, predicted_x0
from model.network import Network, Rows
from model.noise import noise
from model.plan import StageSettings, plan
from model.samplers import Variance
from model.schedule import Schedule
from model.step_table import StepNumbers, as_table
from model.trajectory import LowRes, TextCondition, Trajectory


@dataclass(frozen=True)
class StageSpec:
    """What a stage is, apart from its weights.

    name: its place in the cascade, which is also its size in words. multiple: what width and height
    must be multiples of. defaults: what a request that says nothing gets. noising_schedule: of the
    low-res input; None at a base stage. guidance_distilled: the network predicts as if guided, so
    that a guidance_scale other than 1 would guide it twice. variance: of the sampler ddpm.
    """

    name: str
    size_px: int
    multiple: int
    schedule: Schedule
    prediction: Prediction
    defaults: StageSettings
    noising_schedule: Schedule | None = None
    guidance_distilled: bool = False
    threshold: Threshold | None = None
    variance: Variance = Variance.FIXED_SMALL

    @property
    def is_super_resolution(self) -> bool:
        return self.noising_schedule is not None


class Stage:
    """Starts trajectories and steps them."""

    def __init__(self, spec: StageSpec, network: Network):
        self.spec = spec
        self.network = network
        self._under_way: deque[torch.cuda.Event] = deque()
        self._prepared: MutableMapping[Tensor, Tensor] = WeakTensorKeyDictionary()

    def start(
        self, seed: int, settings: StageSettings, text: TextCondition, low_res: Tensor | None = None
    ) -> Trajectory:
        """Begin an image. low_res: [3, h, w] in [-1, 1], the output of the stage before.

        Raises ValueError for settings that the stage cannot follow.
        """
        shape = self._shape(settings)
        steps = plan(self.spec.schedule, settings, self.spec.variance)
        return Trajectory(
            seed=seed,
            x=self._on_device(noise(seed, f"{self.spec.name}/initial", shape)),
            plan=steps,
            table=self._on_device(as_table(steps)),
            timesteps=self._on_device(torch.tensor([step.timestep for step in steps])),
            text=TextCondition(self._prepare(text.prompt), self._prepare(text.negative)),
            x0=torch.zeros(shape, device=self.network.device),
            low_res=self._augment(low_res, seed, settings.aug_level, shape),
            adapter_scales=self._adapter_scales(settings),
        )

    @torch.inference_mode()
    def one_row(self, text: Tensor) -> Rows:
        """A row such as steps are made of, to try the network with. text: [tokens, width]."""
        low_res = torch.zeros(3, 8, 8) if self.spec.is_super_resolution else None
        image = self.start(0, self.spec.defaults, TextCondition(text, text), low_res)
        return self._rows(image.x[None], [image], guided=0)

    def _shape(self, settings: StageSettings) -> tuple[int, int, int]:
        spec = self.spec
        height, width = settings.height or spec.size_px, settings.width or spec.size_px
        if height % spec.multiple or width % spec.multiple:
            raise ValueError(
                f"width and height must be multiples of {spec.multiple} at stage {spec.name},"
                f" not {width} x {height}"
            )
        return 3, height, width

    def _adapter_scales(self, settings: StageSettings) -> Tensor | None:
        names = self.network.adapters
        unknown = [name for name in settings.adapters if name not in names]
        if unknown:
            raise ValueError(
                f"there is no adapter {', '.join(unknown)} at stage {self.spec.name}; there is"
                f" {', '.join(names) or 'none'}"
            )
        scales = [settings.adapters.get(name, 0.0) for name in names]
        return self._on_device(torch.tensor(scales)) if any(scales) else None

    def _augment(
        self,
        low_res: Tensor | None,
        seed: int,
        aug_level: float | None,
        shape: tuple[int, int, int],
    ) -> LowRes | None:
        """Noise conditioning augmentation (Ho et al. 2022, "Cascaded diffusion", sec. 4.2)."""
        schedule, name = self.spec.noising_schedule, self.spec.name
        if schedule is None:
            if low_res is not None:
                raise ValueError(f"stage {name} is a base stage: it takes no low-res image")
            return None
        if low_res is None or aug_level is None:
            raise ValueError(f"stage {name} enlarges: it needs a low-res image and an aug_level")
        noise_level = min(round(aug_level * schedule.train_steps), schedule.train_steps - 1)
        level = schedule.level(noise_level)
        upsampled = F.interpolate(
            low_res.float().cpu()[None], size=shape[1:], mode="bilinear", align_corners=True
        )[0]
        pixels = level.alpha * upsampled + level.sigma * noise(seed, f"{name}/augmentation", shape)
        return LowRes(self._on_device(pixels), self._on_device(torch.tensor(noise_level)))

    @torch.inference_mode()
    def step(self, trajectories: Sequence[Trajectory]) -> None:
        """Advance each trajectory by one denoising step: one forward for all of one shape.

        A guided image takes two rows of the forward, an unguided one takes one. On a GPU this
        waits for no more than the step before. A step that raises leaves every trajectory as it
        was, so that it can be taken again.
        """
        by_shape: defaultdict[tuple[int, ...], list[Trajectory]] = defaultdict(list)
        for trajectory in trajectories:
            by_shape[trajectory.shape].append(trajectory)
        stepped = [
            # Guided ones first, so that slices tell them apart.
            self._step_alike(sorted(alike, key=lambda t: not t.next_step.is_guided))
            for alike in by_shape.values()
        ]
        self._stay_close()
        for trajectory, x, x0 in chain.from_iterable(stepped):
            trajectory.advance(x, x0)

    def _stay_close(self) -> None:
        """Let the GPU be one step behind and no more, else arrivals wait for all that is queued."""
        device = self.network.device
        if device.type == "cuda":
            self._under_way.append(torch.cuda.current_stream(device).record_event())
            if len(self._under_way) > 1:
                self._under_way.popleft().synchronize()

    def _step_alike(
        self, images: Sequence[Trajectory]
    ) -> Iterator[tuple[Trajectory, Tensor, Tensor]]:
        """Each with its next x and x0. What is not finite stays so, in x, until finish()."""
        numbers = StepNumbers.of(torch.stack([t.table[t.steps_done] for t in images]))
        x = torch.stack([t.x for t in images])
        predicted, spread = self._predict(x, images, numbers.guidance_scale)
        x0 = predicted_x0(self.spec.prediction, x, predicted, numbers.alpha, numbers.sigma)
        if self.spec.threshold is not None:
            x0 = _unless_infinite(self.spec.threshold(x0), predicted)
        previous_x0 = torch.stack([t.x0 for t in images])
        x = numbers.x * x + numbers.x0 * x0 + numbers.previous_x0 * previous_x0
        if any(t.next_step.update.is_noisy for t in images):
            x = x + _strength(numbers, spread) * torch.stack([self._fresh_noise(t) for t in images])
        return zip(images, x, x0, strict=True)

    def _predict(
        self, x: Tensor, images: Sequence[Trajectory], scale: Tensor
    ) -> tuple[Tensor, Tensor | None]:
        """The prediction for each image, guided where it is, and the variance where it is told.

        Each [B, 3, H, W] float32, from one forward of the network.
        """
        guided = sum(t.next_step.is_guided for t in images)
        output = self.network(self._rows(x, images, guided))
        predicted, unconditional = output[:, :3].split([len(images), guided])
        spread = output[: len(images), 3:] if output.shape[1] > 3 else None
        steered = guide(predicted[:guided], unconditional, scale[:guided])
        return torch.cat([steered, predicted[guided:]]), spread

    def _rows(self, x: Tensor, images: Sequence[Trajectory], guided: int) -> Rows:
        """A row for each image, then the unconditional rows of those that are guided."""
        twice = [*images, *images[:guided]]
        low_res = [t.low_res for t in twice if t.low_res is not None]
        texts = [t.text.prompt for t in images] + [t.text.negative for t in images[:guided]]
        return Rows(
            x=torch.cat([x, x[:guided]]),
            timesteps=torch.stack([t.timesteps[t.steps_done] for t in twice]),
            text=torch.stack(texts),
            low_res=torch.stack([each.pixels for each in low_res]) if low_res else None,
            noise_levels=torch.stack([each.noise_level for each in low_res]) if low_res else None,
            adapter_scales=_stacked([t.adapter_scales for t in twice]),
        )

    def _fresh_noise(self, image: Trajectory) -> Tensor:
        """The noise of the image's next step; zeros where that step adds none."""
        if not image.next_step.update.is_noisy:
            return torch.zeros_like(image.x)
        purpose = f"{self.spec.name}/step/{image.steps_done}"
        return self._on_device(noise(image.seed, purpose, image.shape))

    def finish(self, trajectory: Trajectory) -> Tensor:
        """The stage's output: [3, H, W] float16 in [-1, 1] on the CPU. Raises NotFinite."""
        x = trajectory.x
        output = _unless_infinite(x.clamp(-1, 1), x).to("cpu", torch.float16)
        if output.isnan().any():
            raise NotFinite(
                f"stage {self.spec.name} came to numbers that are not finite: try another seed or a"
                " lower guidance_scale; if all images fail, give the stage float32 in IMAGEN_DEVICE"
            )
        return output

    def _prepare(self, embedding: Tensor) -> Tensor:
        """An embedding on the device, in the network's type; once for each tensor that is given."""
        if embedding not in self._prepared:
            self._prepared[embedding] = self._on_device(embedding.to(self.network.dtype))
        return self._prepared[embedding]

    def _on_device(self, tensor: Tensor) -> Tensor:
        """There without waiting: a copy from pinned memory is queued behind the GPU's work."""
        device = self.network.device
        if device.type == "cuda" and tensor.device.type == "cpu":
            tensor = tensor.pin_memory()
        return tensor.to(device, non_blocking=True)


def _stacked(scales: Sequence[Tensor | None]) -> Tensor | None:
    """A row for each, of zeros where it is None; None where all are."""
    some = next((each for each in scales if each is not None), None)
    if some is None:
        return None
    return torch.stack([torch.zeros_like(some) if each is None else each for each in scales])


def _unless_infinite(clipped: Tensor, unclipped: Tensor) -> Tensor:
    """NaN where infinity was clipped; NaN itself no clipping hides. All of one shape."""
    return clipped + 0 * unclipped


def _strength(numbers: StepNumbers, spread: Tensor | None) -> Tensor:
    """Of the fresh noise: where a variance is predicted, log-linear between its bounds.

    spread: [B, 3, H, W], -1 the lower bound and 1 the upper (Nichol & Dhariwal 2021, eq. 15).
    """
    if spread is None:
        return numbers.noise
    fraction = (spread + 1) / 2
    return (fraction * numbers.widest_noise.log() + (1 - fraction) * numbers.noise.log()).exp()
