"""What one training step of each kind of stage computes: from captioned pictures to errors."""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from diffusers import UNet2DConditionModel
from torch import Tensor, nn

from model.guidance import Prediction
from model.schedule import Schedule
from model.training.conditions import Conditions
from model.training.data.examples import Batch
from model.training.loss import Weighting, add_noise, error_weight, target
from model.training.randomness import Draws


@dataclass(frozen=True)
class Errors:
    """Of each example: what is minimised, weighed; and the plain mean squared error. Both [B]."""

    objective: Tensor
    plain: Tensor


@dataclass(frozen=True)
class Denoising:
    """The process that a network learns to reverse, and what its errors count."""

    schedule: Schedule
    prediction: Prediction = Prediction.V
    weighting: Weighting = Weighting.CAPPED_SNR
    gamma: float = 5.0

    def timesteps(self, strata: Tensor) -> Tensor:
        """[B] int64, for [B] in [0, 1)."""
        return (strata * self.schedule.train_steps).long()

    def alpha_bar(self, timesteps: Tensor) -> Tensor:
        """[B] float32."""
        return self.schedule.alpha_bar.float()[timesteps]

    def errors(self, predicted: Tensor, wanted: Tensor, alpha_bar: Tensor) -> Errors:
        """Of predictions, [B, 3, H, W], made at noise levels of alpha_bar: [B]."""
        plain = (predicted - wanted).square().mean(dim=(1, 2, 3))
        weight = error_weight(self.weighting, self.prediction, alpha_bar, self.gamma)
        return Errors(objective=plain * weight, plain=plain.detach())


@dataclass(frozen=True)
class Given:
    """Pictures to learn from, x0: [B, 3, S, S], and what the network sees beside their noise.

    text: [B, tokens, width]. low_res: [B, 3, S, S], with noise of noise_level: [B] int64.
    """

    x0: Tensor
    text: Tensor | None = None
    low_res: Tensor | None = None
    noise_level: Tensor | None = None


class StageTask(nn.Module):
    """A stage's network and its errors; what a Trainer steps."""

    def __init__(
        self, unet: UNet2DConditionModel, denoising: Denoising, conditions: Conditions | None
    ):
        super().__init__()
        self.unet = unet
        self.denoising = denoising
        self.conditions = conditions

    def given(self, batch: Batch, draws: Draws) -> Given:
        """What the network is shown of a batch, but for the noise; on its device."""
        raise NotImplementedError

    def forward(self, batch: Batch, draws: Draws) -> Errors:
        """Noise the pictures, predict, weigh the squared error by noise level."""
        told, given = self.denoising, self.given(batch, draws)
        timesteps = told.timesteps(draws.strata)
        alpha_bar = told.alpha_bar(timesteps).to(given.x0.device)
        noise = draws.normal(*given.x0.shape[1:]).to(given.x0.device)
        noisy = add_noise(given.x0, noise, alpha_bar)
        predicted = predict(self.unet, noisy, timesteps, given)
        return told.errors(
            predicted, target(told.prediction, given.x0, noise, alpha_bar), alpha_bar
        )


class BaseTask(StageTask):
    """The base stage, and the text encoder where that is trained too.

    dropout: the share of captions that are replaced by the empty one.
    """

    def __init__(
        self,
        unet: UNet2DConditionModel,
        denoising: Denoising,
        conditions: Conditions,
        dropout: float = 0.1,
    ):
        super().__init__(unet, denoising, conditions)
        self._dropout = dropout

    def given(self, batch: Batch, draws: Draws) -> Given:
        assert self.conditions is not None
        text = self.conditions(batch, draws.uniform() < self._dropout)
        return Given(batch.pictures.to(self.unet.device), text)


class SuperResolutionTask(StageTask):
    """A super-resolution stage on random crops, its low-res input noised at a random level.

    Noise conditioning augmentation: Ho et al. 2022, "Cascaded diffusion models", sec. 4.2; the
    level is the network's class label. conditions: None for a network that sees no text.
    low_res_px: the side of the low-res picture that the whole picture is made of. crop_px: None
    trains on whole pictures. max_aug_level: in [0, 1], a fraction of the schedule `noising`, that
    of the low-res input; None is the one of the denoising.
    """

    def __init__(
        self,
        unet: UNet2DConditionModel,
        denoising: Denoising,
        low_res_px: int,
        crop_px: int | None = None,
        max_aug_level: float = 0.4,
        conditions: Conditions | None = None,
        dropout: float = 0.1,
        noising: Schedule | None = None,
    ):
        super().__init__(unet, denoising, conditions)
        self._noising = noising or denoising.schedule
        self._low_res_px = low_res_px
        self._crop_px = crop_px
        self._max_aug_level = max_aug_level
        self._dropout = dropout

    def given(self, batch: Batch, draws: Draws) -> Given:
        x0, low_res = self._crops(batch.pictures, draws)
        levels = draws.uniform() * self._max_aug_level * self._noising.train_steps
        noise_level = levels.long()
        noise = draws.normal(*low_res.shape[1:]).to(low_res.device)
        alpha_bar = self._noising.alpha_bar.float()[noise_level].to(low_res.device)
        low_res = add_noise(low_res, noise, alpha_bar)
        text = None
        if self.conditions is not None:
            text = self.conditions(batch, draws.uniform() < self._dropout)
        device = self.unet.device
        return Given(x0.to(device), text, low_res.to(device), noise_level.to(device))

    def _crops(self, pictures: Tensor, draws: Draws) -> tuple[Tensor, Tensor]:
        """The same random crop of each picture and of its upsampled low-res version."""
        low_res = upsampled(downsampled(pictures, self._low_res_px), pictures.shape[-1])
        if self._crop_px is None:
            return pictures, low_res
        corners = draws.below(pictures.shape[-1] - self._crop_px + 1, 2).tolist()
        both = torch.cat([pictures, low_res], dim=1)
        crops = torch.stack(
            [
                picture[:, top : top + self._crop_px, left : left + self._crop_px]
                for picture, (top, left) in zip(both, corners, strict=True)
            ]
        )
        return crops[:, :3], crops[:, 3:]


def predict(unet: UNet2DConditionModel, noisy: Tensor, timesteps: Tensor, given: Given) -> Tensor:
    """The network's prediction, [B, 3, S, S] float32, for noisy pictures at timesteps: [B]."""
    inputs = noisy if given.low_res is None else torch.cat([noisy, given.low_res], dim=1)
    output: Tensor = unet(
        inputs.contiguous(memory_format=torch.channels_last),
        timesteps.to(noisy.device),
        encoder_hidden_states=given.text,
        class_labels=given.noise_level,
        return_dict=False,
    )[0]
    return output[:, :3].float()


def downsampled(pictures: Tensor, size_px: int) -> Tensor:
    """[B, 3, S, S] to [B, 3, size_px, size_px], each pixel the mean of those it covers."""
    return F.interpolate(pictures, size=size_px, mode="area")


def upsampled(pictures: Tensor, size_px: int) -> Tensor:
    """[B, 3, s, s] to [B, 3, size_px, size_px], as a stage enlarges what it is given."""
    return F.interpolate(pictures, size=size_px, mode="bilinear", align_corners=True)
