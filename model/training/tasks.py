"""What one training step of each kind of stage computes, from captioned pictures to a loss."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from diffusers import UNet2DConditionModel
from torch import Tensor, nn
from transformers import PreTrainedTokenizerFast, T5EncoderModel

from model.schedule import Schedule
from model.training.loop import Losses
from model.training.loss import add_noise, capped_snr_weight, stratified_timesteps, velocity

CaptionedPictures = Callable[[int, torch.Generator], tuple[Tensor, list[str]]]
"""(count, generator) -> pictures [count, 3, S, S] in [-1, 1], and their captions."""


@dataclass(frozen=True)
class Captions:
    """Turns captions into what the U-Net attends to, dropping some for classifier-free guidance."""

    tokenizer: PreTrainedTokenizerFast
    encoder: T5EncoderModel
    dropout: float = 0.1

    def encode(self, captions: list[str], generator: torch.Generator) -> Tensor:
        """[B, tokens, width] bfloat16; a dropped caption is the empty prompt."""
        dropped = torch.rand(len(captions), generator=generator) < self.dropout
        kept = ["" if drop else text for text, drop in zip(captions, dropped, strict=True)]
        tokens = self.tokenizer(
            kept, padding="max_length", truncation=True, return_tensors="pt"
        ).to(self.encoder.device)
        hidden: Tensor = self.encoder(tokens.input_ids, tokens.attention_mask).last_hidden_state
        return hidden.to(torch.bfloat16)


def _v_losses(
    unet: UNet2DConditionModel,
    x0: Tensor,
    schedule: Schedule,
    generator: torch.Generator,
    hidden: Tensor | None = None,
    low_res: Tensor | None = None,
    noise_level: Tensor | None = None,
) -> Losses:
    """Noise x0, predict v, weigh the squared error by noise level."""
    timesteps = stratified_timesteps(len(x0), schedule.train_steps, generator)
    alpha_bar = schedule.alpha_bar.float()[timesteps].to(x0.device)
    noise = torch.randn(x0.shape, generator=generator).to(x0.device)
    noisy = add_noise(x0, noise, alpha_bar)
    inputs = noisy if low_res is None else torch.cat([noisy, low_res], dim=1)
    predicted = unet(
        inputs.to(torch.bfloat16).contiguous(memory_format=torch.channels_last),
        timesteps.to(x0.device),
        encoder_hidden_states=hidden,
        class_labels=noise_level,
        return_dict=False,
    )[0].float()
    errors = (predicted - velocity(x0, noise, alpha_bar)).square().mean(dim=(1, 2, 3))
    weighted = (errors * capped_snr_weight(alpha_bar)).mean()
    return Losses(objective=weighted, v_loss=float(errors.mean()))


class BaseTask:
    """The base stage together with its text encoder."""

    def __init__(
        self,
        unet: UNet2DConditionModel,
        captions: Captions,
        schedule: Schedule,
        pictures: CaptionedPictures,
    ):
        self.networks: dict[str, nn.Module] = {"unet": unet, "text_encoder": captions.encoder}
        self._unet = unet
        self._captions = captions
        self._schedule = schedule
        self._pictures = pictures

    def losses(self, batch: int, generator: torch.Generator) -> Losses:
        x0, captions = self._pictures(batch, generator)
        hidden = self._captions.encode(captions, generator)
        return _v_losses(self._unet, x0.to(self._unet.device), self._schedule, generator, hidden)


class SuperResolutionTask:
    """A super-resolution stage on random crops, its low-res input noised at a random level.

    Noise conditioning augmentation: Ho et al. 2022, "Cascaded diffusion models", sec. 4.2;
    the level is given to the network as its class label. The network sees no text.
    """

    def __init__(
        self,
        unet: UNet2DConditionModel,
        schedule: Schedule,
        pictures: CaptionedPictures,
        low_res_px: int,
        crop_px: int,
        max_aug_level: float = 0.4,
    ):
        self.networks: dict[str, nn.Module] = {"unet": unet}
        self._unet = unet
        self._schedule = schedule
        self._pictures = pictures
        self._low_res_px = low_res_px
        self._crop_px = crop_px
        self._max_aug_level = max_aug_level

    def losses(self, batch: int, generator: torch.Generator) -> Losses:
        pictures, _ = self._pictures(batch, generator)
        x0, low_res = self._crops(pictures, generator)
        levels = torch.rand(batch, generator=generator) * self._max_aug_level
        noise_level = (levels * self._schedule.train_steps).long()
        noise = torch.randn(low_res.shape, generator=generator)
        low_res = add_noise(low_res, noise, self._schedule.alpha_bar.float()[noise_level])
        device = self._unet.device
        return _v_losses(
            self._unet,
            x0.to(device),
            self._schedule,
            generator,
            low_res=low_res.to(device),
            noise_level=noise_level.to(device),
        )

    def _crops(self, pictures: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """The same random crop of each picture and of its upsampled low-res version."""
        low_res = F.interpolate(
            F.interpolate(pictures, size=self._low_res_px, mode="area"),
            size=pictures.shape[-1],
            mode="bilinear",
            align_corners=True,
        )
        span = pictures.shape[-1] - self._crop_px + 1
        corners = torch.randint(span, (len(pictures), 2), generator=generator).tolist()
        both = torch.cat([pictures, low_res], dim=1)
        crops = torch.stack(
            [
                picture[:, top : top + self._crop_px, left : left + self._crop_px]
                for picture, (top, left) in zip(both, corners, strict=True)
            ]
        )
        return crops[:, :3], crops[:, 3:]
