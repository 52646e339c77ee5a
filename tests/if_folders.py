"""Small untrained DeepFloyd IF folders, written by diffusers' own pipelines.

Nothing but their size differs from those at the hub.
"""

import io
import json
import shutil
from pathlib import Path
from typing import Any

import sentencepiece
import torch
from diffusers import DDPMScheduler, IFPipeline, IFSuperResolutionPipeline, UNet2DConditionModel
from diffusers.pipelines.deepfloyd_if import IFSafetyChecker, IFWatermarker
from transformers import (
    CLIPConfig,
    CLIPImageProcessorPil,
    T5Config,
    T5EncoderModel,
    T5Tokenizer,
)

TEXT_WIDTH = 32
BASE_PX, SUPER_RESOLUTION_PX = 20, 40
SEEN_PX = 30
"""What the safety checker looks at."""

SENTENCES = (
    "a red cat on a blue ground",
    "two dogs and an apple",
    "a photo of a corgi wearing sunglasses",
    "the quick brown fox jumps over a lazy dog",
)
SENTINELS = [f"<extra_id_{number}>" for number in range(100)]


def write_if_stage_one(folder: Path, *, with_safety: bool = False) -> Path:
    """A base of 20 px with its text encoder, as IF-I. Returns the folder."""
    sizes = {"sample_size": BASE_PX, "in_channels": 3, "layers_per_block": 1}
    scheduler = _scheduler(sample_max_value=1.5)
    return _write(folder, IFPipeline, sizes, with_safety, scheduler=scheduler)


def write_if_stage_two(folder: Path, *, with_safety: bool = False) -> Path:
    """A super-resolution stage of 40 px with a text encoder, the same one, as IF-II."""
    sizes = {
        "sample_size": SUPER_RESOLUTION_PX,
        "in_channels": 6,
        "layers_per_block": [1, 2],
        "class_embed_type": "timestep",
        "mid_block_scale_factor": 1.414,
        "resnet_skip_time_act": True,
        "time_embedding_act_fn": "gelu",
        "time_embedding_dim": 32,
    }
    return _write(
        folder,
        IFSuperResolutionPipeline,
        sizes,
        with_safety,
        scheduler=_scheduler(sample_max_value=1.0),
        image_noising_scheduler=DDPMScheduler(beta_schedule="squaredcos_cap_v2"),
    )


def write_cascade_file(folder: Path, **stage_two: Any) -> Path:
    """cascade.json beside folders one and two; the settings are of the latter."""
    cascade = {"name": "tiny-if", "text": "one", "stages": ["one", {"path": "two"} | stage_two]}
    (folder / "cascade.json").write_text(json.dumps(cascade))
    return folder


def _write(
    folder: Path, pipeline: Any, sizes: dict[str, Any], with_safety: bool, **parts: Any
) -> Path:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        tokenizer = T5Tokenizer.from_pretrained(_write_tokenizer(folder / "tokenizer"))
        config = T5Config(
            vocab_size=len(tokenizer),
            d_model=TEXT_WIDTH,
            d_kv=8,
            d_ff=64,
            num_layers=2,
            num_heads=4,
            feed_forward_proj="gated-gelu",
        )
        text_encoder = T5EncoderModel(config)  # first, so that it is the same in each folder
        safety = _safety_parts() if with_safety else dict.fromkeys(_SAFETY)
        pipeline(
            tokenizer=tokenizer,
            text_encoder=text_encoder,
            unet=_unet(**sizes),
            requires_safety_checker=with_safety,
            **parts,
            **safety,
        ).save_pretrained(folder, safe_serialization=True)
    shutil.rmtree(folder / "tokenizer")  # as transformers writes it now
    _write_tokenizer(folder / "tokenizer")
    return folder


_SAFETY = ("safety_checker", "feature_extractor", "watermarker")


def _safety_parts() -> dict[str, Any]:
    sizes = {
        "hidden_size": 32,
        "intermediate_size": 37,
        "num_hidden_layers": 1,
        "num_attention_heads": 4,
        "projection_dim": 16,
    }
    text = {**sizes, "vocab_size": 8, "bos_token_id": 1, "eos_token_id": 2}
    vision = {**sizes, "image_size": SEEN_PX, "patch_size": 6}
    checker = IFSafetyChecker(CLIPConfig(text_config=text, vision_config=vision))
    extractor = CLIPImageProcessorPil(
        size={"shortest_edge": SEEN_PX}, crop_size={"height": SEEN_PX, "width": SEEN_PX}
    )
    watermarker = IFWatermarker()
    watermarker.watermark_image.copy_(torch.randint(0, 256, (62, 62, 4)))
    return dict(zip(_SAFETY, (checker, extractor, watermarker), strict=True))


def _write_tokenizer(folder: Path) -> Path:
    """What IF's folders have: sentencepiece's model and no tokenizer.json."""
    folder.mkdir(parents=True)
    model = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(SENTENCES * 20),
        model_writer=model,
        vocab_size=60,
        hard_vocab_limit=False,
        pad_id=0,
        eos_id=1,
        unk_id=2,
        bos_id=-1,
        minloglevel=2,
    )
    (folder / "spiece.model").write_bytes(model.getvalue())
    special = {
        "additional_special_tokens": SENTINELS,
        "eos_token": "</s>",
        "pad_token": "<pad>",
        "unk_token": "<unk>",
    }
    (folder / "special_tokens_map.json").write_text(json.dumps(special))
    config = special | {
        "extra_ids": len(SENTINELS),
        "model_max_length": 512,
        "tokenizer_class": "T5Tokenizer",
    }
    (folder / "tokenizer_config.json").write_text(json.dumps(config))
    return folder


def _unet(**sizes: Any) -> UNet2DConditionModel:
    unet = UNet2DConditionModel(
        out_channels=6,
        block_out_channels=(32, 64),
        down_block_types=("ResnetDownsampleBlock2D", "SimpleCrossAttnDownBlock2D"),
        mid_block_type="UNetMidBlock2DSimpleCrossAttn",
        up_block_types=("SimpleCrossAttnUpBlock2D", "ResnetUpsampleBlock2D"),
        cross_attention_dim=TEXT_WIDTH,
        encoder_hid_dim=TEXT_WIDTH,
        encoder_hid_dim_type="text_proj",
        addition_embed_type="text",
        addition_embed_type_num_heads=2,
        attention_head_dim=8,
        cross_attention_norm="group_norm",
        resnet_time_scale_shift="scale_shift",
        act_fn="gelu",
        **sizes,
    )
    # Untrained, it answers far louder than noise; rounding would then grow tenfold in every step.
    with torch.no_grad():
        unet.conv_out.weight *= 0.3
    return unet


def _scheduler(*, sample_max_value: float) -> DDPMScheduler:
    return DDPMScheduler(
        beta_schedule="squaredcos_cap_v2",
        prediction_type="epsilon",
        variance_type="learned_range",
        thresholding=True,
        dynamic_thresholding_ratio=0.95,
        sample_max_value=sample_max_value,
    )
