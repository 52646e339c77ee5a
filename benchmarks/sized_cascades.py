"""Writes cascades of random weights in DeepFloyd IF's format: speed does not ask what is drawn.

Ours and diffusers' pipelines load the same folders.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from diffusers import DDPMScheduler, IFPipeline, IFSuperResolutionPipeline, UNet2DConditionModel
from transformers import T5Config, T5EncoderModel

from model.loading.cascade_folder import picture_book_folder
from model.picture_book.networks import TEXT_WIDTH, new_tokenizer

BASE, SUPER_RESOLUTION = "base", "super_resolution"
"""The stages' folders."""

SCHEDULE = "squaredcos_cap_v2"

Config = Mapping[str, Any]
"""Arguments of UNet2DConditionModel."""


@dataclass(frozen=True)
class CascadeShape:
    """base, super_resolution: of the U-Nets. text_width: T5's d_model, which they project."""

    name: str
    text_width: int
    base: Config
    super_resolution: Config


def picture_book_shape() -> CascadeShape:
    """The networks in the box, 32 to 128 px, conditioned as IF's are: small enough for a CPU."""
    base, super_resolution = (_config(name) for name in ("base", "super_resolution"))
    width = super_resolution["block_out_channels"][-1]
    return CascadeShape(
        name="if-picture-book",
        text_width=TEXT_WIDTH,
        base={**base, **_conditioned(TEXT_WIDTH, base["cross_attention_dim"], heads=4)},
        super_resolution={
            **super_resolution,
            **_conditioned(TEXT_WIDTH, width, heads=4),
            **_blocks(convolutional=3, attending=1),
            "attention_head_dim": 32,
        },
    )


def if_m_shape() -> CascadeShape:
    """IF-I-XL and IF-II-L made narrower, to the 0.4 and 0.45 billion parameters of the M models."""
    text_width, base_width, super_resolution_width = 4096, 192, 96
    scale = 2**0.5  # of a sum of two, to keep its variance
    return CascadeShape(
        name="if-m",
        text_width=text_width,
        base={
            **_conditioned(text_width, 4 * base_width, heads=64),
            **_blocks(convolutional=1, attending=3),
            "sample_size": 64,
            "in_channels": 3,
            "block_out_channels": [base_width * factor for factor in (1, 2, 3, 4)],
            "layers_per_block": 3,
            "attention_head_dim": 64,
            "act_fn": "gelu",
        },
        super_resolution={
            **_conditioned(text_width, 8 * super_resolution_width, heads=64),
            **_blocks(convolutional=3, attending=2),
            "sample_size": 256,
            "in_channels": 6,
            "class_embed_type": "timestep",
            "block_out_channels": [super_resolution_width * factor for factor in (1, 2, 4, 6, 8)],
            "layers_per_block": [2, 2, 3, 5, 5],
            "attention_head_dim": 64,
            "act_fn": "gelu",
            "resnet_skip_time_act": True,
            "resnet_out_scale_factor": scale,
            "mid_block_scale_factor": scale,
        },
    )


def _config(stage: str) -> Config:
    config = UNet2DConditionModel.load_config(picture_book_folder() / stage / "unet")
    return {name: value for name, value in config.items() if not name.startswith("_")}


def _conditioned(text_width: int, cross_attention_dim: int, heads: int) -> Config:
    """How IF's networks take text and predict a variance, at every stage."""
    return {
        "out_channels": 6,
        "encoder_hid_dim": text_width,
        "encoder_hid_dim_type": "text_proj",
        "addition_embed_type": "text",
        "addition_embed_type_num_heads": heads,
        "cross_attention_dim": cross_attention_dim,
        "cross_attention_norm": "group_norm",
        "mid_block_type": "UNetMidBlock2DSimpleCrossAttn",
        "resnet_time_scale_shift": "scale_shift",
    }


def _blocks(convolutional: int, attending: int) -> Config:
    """On the way down, blocks of convolutions alone, then blocks that attend to the text."""
    return {
        "down_block_types": ["ResnetDownsampleBlock2D"] * convolutional
        + ["SimpleCrossAttnDownBlock2D"] * attending,
        "up_block_types": ["SimpleCrossAttnUpBlock2D"] * attending
        + ["ResnetUpsampleBlock2D"] * convolutional,
    }


def write_if_cascade(folder: Path, shape: CascadeShape) -> Path:
    """Fill the folder, float32 safetensors, the same weights each time. Returns it.

    cascade.json asks for the sampler that diffusers' pipelines use with these folders.
    """
    with torch.random.fork_rng():
        torch.manual_seed(0)
        _write_base(folder / BASE, shape)
        _write_super_resolution(folder / SUPER_RESOLUTION, shape)
    stages: list[dict[str, Any]] = [
        {"path": BASE, "steps": 100, "sampler": "ddpm", "guidance_scale": 7.0},
        {
            "path": SUPER_RESOLUTION,
            "steps": 50,
            "sampler": "ddpm",
            "guidance_scale": 4.0,
            "aug_level": 0.25,
        },
    ]
    cascade = {"name": shape.name, "text": BASE, "stages": stages}
    (folder / "cascade.json").write_text(json.dumps(cascade, indent=2) + "\n")
    return folder


def _write_base(folder: Path, shape: CascadeShape) -> None:
    tokenizer = new_tokenizer()
    # One layer: text is encoded once a picture, and not what is compared.
    encoder = T5EncoderModel(
        T5Config(
            vocab_size=len(tokenizer),
            d_model=shape.text_width,
            d_ff=512,
            num_layers=1,
            num_heads=4,
            feed_forward_proj="gated-gelu",
        )
    )
    IFPipeline(
        tokenizer=tokenizer,
        text_encoder=encoder,
        unet=UNet2DConditionModel(**shape.base),
        scheduler=_scheduler(sample_max_value=1.5),
        **_WITHOUT_SAFETY,
    ).save_pretrained(folder)


def _write_super_resolution(folder: Path, shape: CascadeShape) -> None:
    IFSuperResolutionPipeline(
        tokenizer=None,
        text_encoder=None,
        unet=UNet2DConditionModel(**shape.super_resolution),
        scheduler=_scheduler(sample_max_value=1.0),
        image_noising_scheduler=DDPMScheduler(beta_schedule=SCHEDULE),
        **_WITHOUT_SAFETY,
    ).save_pretrained(folder)


def _scheduler(sample_max_value: float) -> DDPMScheduler:
    return DDPMScheduler(
        beta_schedule=SCHEDULE,
        prediction_type="epsilon",
        variance_type="learned_range",
        thresholding=True,
        dynamic_thresholding_ratio=0.95,
        sample_max_value=sample_max_value,
    )


_WITHOUT_SAFETY: Mapping[str, Any] = {
    "safety_checker": None,
    "feature_extractor": None,
    "watermarker": None,
    "requires_safety_checker": False,
}
