"""Low-rank adapters in training, by peft: on a U-Net's attention, saved as diffusers does."""

from pathlib import Path
from typing import Any

from diffusers import UNet2DConditionModel
from diffusers.loaders import StableDiffusionLoraLoaderMixin
from peft import LoraConfig
from peft.utils import get_peft_model_state_dict
from torch import nn

from model.training.shared_file import share

ADAPTER = "default"

TARGETS = ("to_q", "to_k", "to_v", "to_out.0", "add_k_proj", "add_v_proj")
"""The linear layers of the attention, add_* being those that IF has for the text."""


def add_lora(unet: UNet2DConditionModel, rank: int, alpha: float) -> list[nn.Parameter]:
    """Put an adapter on a U-Net, which adds nothing yet, and freeze the rest.

    alpha: it is added times alpha / rank. Returns what is to be trained.
    """
    unet.requires_grad_(False)
    strength: Any = alpha  # peft's type is int, its arithmetic is not
    config = LoraConfig(r=rank, lora_alpha=strength, target_modules=list(TARGETS))
    unet.add_adapter(config, adapter_name=ADAPTER)
    return [weight for weight in unet.parameters() if weight.requires_grad]


def save_lora(unet: UNet2DConditionModel, folder: Path) -> None:
    """Write the adapter as pytorch_lora_weights.safetensors, which pipelines of diffusers load.

    So does a cascade whose cascade.json lists the folder among its `adapters`.
    """
    StableDiffusionLoraLoaderMixin.save_lora_weights(
        folder,
        unet_lora_layers=get_peft_model_state_dict(unet, adapter_name=ADAPTER),
        unet_lora_adapter_metadata=unet.peft_config[ADAPTER].to_dict(),
    )
    for file in folder.glob("*.safetensors"):
        share(file)
