"""Writes trained picture-book networks as a cascade folder."""

import json
import shutil
from pathlib import Path
from typing import Any

import torch
from diffusers import DDIMScheduler, UNet2DConditionModel
from torch import Tensor

from model.picture_book.networks import (
    SCHEDULE,
    TEXT_TOKENS,
    new_base_unet,
    new_super_resolution_unet,
    new_text_encoder,
    new_tokenizer,
)
from model.training.loop import load_averages


def export(base_run: Path, super_resolution_run: Path | None, folder: Path) -> None:
    """Write the averaged weights as a cascade folder: diffusers format, float16 safetensors."""
    averages = load_averages(base_run)
    tokenizer = new_tokenizer()
    encoder = new_text_encoder(tokenizer)
    encoder.load_state_dict(averages["text_encoder"], strict=False)
    base = folder / "base"
    tokenizer.save_pretrained(base / "tokenizer")
    encoder.half().save_pretrained(base / "text_encoder")
    _export_stage(new_base_unet(), averages["unet"], base)
    stages: list[dict[str, Any]] = [
        {
            "path": "base",
            "steps": 16,
            "sampler": "dpmpp",
            "guidance_scale": 3.0,
            "guidance_interval": [0.4, 0.9],
        }
    ]
    if super_resolution_run is not None:
        weights = load_averages(super_resolution_run)["unet"]
        _export_stage(new_super_resolution_unet(), weights, folder / "super_resolution")
        stages.append(
            {
                "path": "super_resolution",
                "steps": 8,
                "sampler": "ddim",
                "guidance_scale": 1.0,
                "aug_level": 0.1,
            }
        )
    text = {"path": "base", "max_tokens": TEXT_TOKENS}
    cascade = {"name": "picture-book", "text": text, "stages": stages}
    (folder / "cascade.json").write_text(json.dumps(cascade, indent=2) + "\n")


def _export_stage(unet: UNet2DConditionModel, weights: dict[str, Tensor], folder: Path) -> None:
    shutil.rmtree(folder / "unet", ignore_errors=True)
    unet.float().load_state_dict(weights)
    unet.to(dtype=torch.float16, memory_format=torch.contiguous_format)
    unet.save_pretrained(folder / "unet")
    scheduler = DDIMScheduler(
        beta_schedule=SCHEDULE.beta_schedule,
        prediction_type="v_prediction",
        timestep_spacing=SCHEDULE.spacing,
        clip_sample=True,  # not dynamic thresholding: flat colours are saturated by right
    )
    scheduler.save_pretrained(folder / "scheduler")
    if unet.config["in_channels"] == 6:
        scheduler.save_pretrained(folder / "image_noising_scheduler")
