"""A diffusion stage: a U-Net with its schedule, and the step that advances any trajectories by one.

Knows nothing of queues: which trajectories share a step is the caller's choice.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from diffusers import UNet2DConditionModel
from torch import Tensor

from model.guidance import Prediction, dynamic_threshold, guide, predicted_x0
from model.noise import noise
from model.samplers import plan
from model.schedule import Schedule
from model.trajectory import LowRes, StageSettings, TextCondition, Trajectory


@dataclass(frozen=True)
class StageSpec:
    """What a stage is, apart from its weights.

    name: its place in the cascade, which is also its size in words. defaults: what a request that
    says nothing gets. threshold_ratio, threshold_cap: of dynamic thresholding; a ratio of None is
    none.
    """

    name: str
    size_px: int
    schedule: Schedule
    prediction: Prediction
    defaults: StageSettings
    noising_schedule: Schedule | None = None
    threshold_ratio: float | None = None
    threshold_cap: float = 1.0

    @property
    def is_super_resolution(self) -> bool:
        return self.noising_schedule is not None


class Stage:
    """Starts trajectories and steps them."""

    def __init__(self, spec: StageSpec, unet: UNet2DConditionModel):
        self.spec = spec
        self.device = unet.device
        self._unet = unet
        self._dtype = unet.dtype

    def start(
        self, seed: int, settings: StageSettings, text: TextCondition, low_res: Tensor | None = None
    ) -> Trajectory:
        """Begin an image. low_res: [3, h, w] in [-1, 1], the output of the stage before."""
        name, size = self.spec.name, self.spec.size_px
        return Trajectory(
            x=noise(seed, f"{name}/initial", (3, size, size)).to(self.device),
            plan=plan(self.spec.schedule, settings.sampler, settings.steps),
            text=TextCondition(self._on_device(text.prompt), self._on_device(text.negative)),
            guidance_scale=settings.guidance_scale,
            low_res=None if low_res is None else self._augment(low_res, seed, settings.aug_level),
        )

    def _augment(self, low_res: Tensor, seed: int, aug_level: float | None) -> LowRes:
        """Noise conditioning augmentation (Ho et al. 2022, "Cascaded diffusion", sec. 4.2)."""
        schedule, size = self.spec.noising_schedule, self.spec.size_px
        if schedule is None or aug_level is None:
            raise ValueError(f"stage {self.spec.name} is a base stage: it takes no low-res image")
        noise_level = min(round(aug_level * schedule.train_steps), schedule.train_steps - 1)
        level = schedule.level(noise_level)
        upsampled = F.interpolate(
            low_res.float()[None], size=(size, size), mode="bilinear", align_corners=True
        )[0]
        added = noise(seed, f"{self.spec.name}/augmentation", tuple(upsampled.shape))
        pixels = level.alpha * upsampled.cpu() + level.sigma * added
        return LowRes(self._on_device(pixels), noise_level)

    @torch.inference_mode()
    def step(self, trajectories: Sequence[Trajectory]) -> None:
        """Advance each trajectory by one denoising step, all in one forward of the network.

        A guided row takes two rows of the forward, an unguided one takes one.
        """
        x = torch.stack([t.x for t in trajectories])
        steps = [t.next_step for t in trajectories]
        x0 = predicted_x0(
            self.spec.prediction,
            x,
            self._guided_prediction(x, trajectories),
            self._column([s.level.alpha for s in steps]),
            self._column([s.level.sigma for s in steps]),
        )
        if self.spec.threshold_ratio is not None:
            x0 = dynamic_threshold(x0, self.spec.threshold_ratio, self.spec.threshold_cap)
        previous_x0 = torch.stack(
            [x0[i] if t.x0 is None else t.x0 for i, t in enumerate(trajectories)]
        )
        x = (
            self._column([s.update.x for s in steps]) * x
            + self._column([s.update.x0 for s in steps]) * x0
            + self._column([s.update.previous_x0 for s in steps]) * previous_x0
        )
        for trajectory, *row in zip(trajectories, x, x0, strict=True):
            trajectory.advance(*row)

    def _guided_prediction(self, x: Tensor, trajectories: Sequence[Trajectory]) -> Tensor:
        """[B, 3, S, S] float32, guided where the trajectory is, from one forward of the network."""
        guided = [i for i, t in enumerate(trajectories) if t.is_guided]
        rows = [*trajectories, *(trajectories[i] for i in guided)]
        texts = [t.text.prompt for t in trajectories]
        texts += [trajectories[i].text.negative for i in guided]
        predicted = self._forward(torch.cat([x, x[guided]]), rows, torch.stack(texts))
        conditional, unconditional = predicted.tensor_split([len(trajectories)])
        if not guided:
            return conditional
        scale = self._column([trajectories[i].guidance_scale for i in guided])
        result = conditional.clone()
        result[guided] = guide(conditional[guided], unconditional, scale)
        return result

    def _forward(self, x: Tensor, rows: Sequence[Trajectory], text: Tensor) -> Tensor:
        """One call of the network. x: [R, 3, S, S]; text: [R, tokens, width]; R rows."""
        levels = None
        low_res = [t.low_res for t in rows if t.low_res is not None]
        if low_res:
            x = torch.cat([x, torch.stack([each.pixels for each in low_res])], dim=1)
            levels = torch.tensor([each.noise_level for each in low_res], device=self.device)
        predicted: Tensor = self._unet(
            x.to(self._dtype).contiguous(memory_format=torch.channels_last),
            torch.tensor([t.next_step.timestep for t in rows], device=self.device),
            encoder_hidden_states=text.to(self._dtype),
            class_labels=levels,
            return_dict=False,
        )[0]
        return predicted[:, :3].float()

    def finish(self, trajectory: Trajectory) -> Tensor:
        """The stage's output: [3, S, S] float16 in [-1, 1] on the CPU."""
        return trajectory.x.clamp(-1, 1).to("cpu", torch.float16)

    def _on_device(self, tensor: Tensor) -> Tensor:
        return tensor.to(self.device, torch.float32)

    def _column(self, values: Sequence[float]) -> Tensor:
        """One number a row, ready to multiply [B, C, H, W]."""
        return torch.tensor(values, dtype=torch.float32, device=self.device).view(-1, 1, 1, 1)
