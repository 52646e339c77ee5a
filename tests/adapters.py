"""Low-rank adapters that have learned something at random, by peft, saved as diffusers does."""

import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from diffusers import UNet2DConditionModel
from peft import LoraConfig

from model.training.lora import TARGETS

WIDELY = (*TARGETS, "conv_in", "conv1", "time_emb_proj", "linear_1")
"""Convolutions too, and layers outside of the attention."""


def with_random_adapter(
    unet: Any, name: str, *, rank: int = 3, alpha: float = 4.5, targets: Sequence[str] = TARGETS
) -> Any:
    """Put it on the U-Net, which is returned; another for another name, the same each time."""
    strength: Any = alpha
    config = LoraConfig(r=rank, lora_alpha=strength, target_modules=list(targets))
    unet.add_adapter(config, adapter_name=name)
    generator = torch.Generator().manual_seed(sum(name.encode()))
    with torch.no_grad():
        for weight_name, weight in unet.named_parameters():
            if f".{name}." in weight_name:
                weight.copy_(torch.randn(weight.shape, generator=generator) / 4)
    return unet


def write_adapted_cascade(folder: Path, tiny_cascade: Path) -> Path:
    """The tiny cascade with the adapters ink and clay of its base, and chalk of its larger stage.

    Returns the folder, which is filled.
    """
    shutil.copytree(tiny_cascade, folder)
    entries: list[dict[str, str]] = [
        {"name": "ink", "path": "adapters/ink"},
        {"name": "clay", "path": "adapters/clay", "stage": "8"},
        {"name": "chalk", "path": "adapters/chalk", "stage": "16"},
    ]
    for entry in entries:
        part = "super_resolution" if entry["name"] == "chalk" else "base"
        write_adapter(folder / entry["path"], folder / part, entry["name"])
    file = folder / "cascade.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | {"adapters": entries}))
    return folder


def write_adapter(folder: Path, stage: Path, name: str, **settings: Any) -> Path:
    """Of a stage's folder. Returns the folder it is saved in."""
    unet = UNet2DConditionModel.from_pretrained(stage / "unet")
    with_random_adapter(unet, name, **settings).save_lora_adapter(folder, adapter_name=name)
    return folder
