"""A cascade of two small untrained stages, 8 and 16 px: every part real, quick to load and run."""

import json
from pathlib import Path
from typing import Any

import torch
from diffusers import DDIMScheduler, UNet2DConditionModel
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast, T5Config, T5EncoderModel

TEXT_WIDTH = 16
WORDS = ("<pad>", "</s>", "<unk>", "a", "cat", "dog", "red", "apple")


def write_tiny_cascade(folder: Path) -> Path:
    """Fill the folder as DESIGN.md describes it: the same weights each time. Returns it."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        _write_text(folder / "base")
        _write_stage(folder / "base", size_px=8)
        _write_stage(folder / "super_resolution", size_px=16, is_super_resolution=True)
    stages = [
        {"path": "base", "steps": 3, "sampler": "dpmpp", "guidance_scale": 4.0},
        {"path": "super_resolution", "steps": 2, "sampler": "ddim", "guidance_scale": 1.0},
    ]
    cascade = {"name": "tiny", "text": "base", "stages": stages}
    (folder / "cascade.json").write_text(json.dumps(cascade))
    return folder


def _write_text(folder: Path) -> None:
    words = {word: number for number, word in enumerate(WORDS)}
    tokenizer = Tokenizer(models.WordLevel(words, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, pad_token="<pad>", eos_token="</s>", unk_token="<unk>"
    ).save_pretrained(folder / "tokenizer")
    config = T5Config(
        vocab_size=len(words), d_model=TEXT_WIDTH, d_kv=8, d_ff=32, num_layers=1, num_heads=2
    )
    T5EncoderModel(config).save_pretrained(folder / "text_encoder")


def _write_stage(folder: Path, *, size_px: int, is_super_resolution: bool = False) -> None:
    extra: dict[str, Any] = {"class_embed_type": "timestep"} if is_super_resolution else {}
    UNet2DConditionModel(
        sample_size=size_px,
        in_channels=6 if is_super_resolution else 3,
        out_channels=3,
        block_out_channels=(16, 16),
        layers_per_block=1,
        down_block_types=("ResnetDownsampleBlock2D", "SimpleCrossAttnDownBlock2D"),
        mid_block_type="UNetMidBlock2DSimpleCrossAttn",
        up_block_types=("SimpleCrossAttnUpBlock2D", "ResnetUpsampleBlock2D"),
        cross_attention_dim=TEXT_WIDTH,
        attention_head_dim=8,
        norm_num_groups=4,
        **extra,
    ).save_pretrained(folder / "unet")
    scheduler = DDIMScheduler(
        beta_schedule="squaredcos_cap_v2", prediction_type="v_prediction", clip_sample=False
    )
    scheduler.save_pretrained(folder / "scheduler")
    if is_super_resolution:
        scheduler.save_pretrained(folder / "image_noising_scheduler")
