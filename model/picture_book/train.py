"""Trains picture-book: the networks' shapes, the scenes as data, and the folder it becomes.

python -m model.picture_book.train base --run runs/base --images 130000
python -m model.picture_book.train super-resolution --run runs/sr --text runs/base --images 15000
python -m model.picture_book.train export --run runs/base --run runs/sr --to DIR
"""

import argparse
import json
import random
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import torch
from diffusers import DDIMScheduler, UNet2DConditionModel
from diffusers.models.attention_processor import AttnAddedKVProcessor
from tokenizers import Regex, Tokenizer, models, normalizers, pre_tokenizers, processors
from torch import Tensor
from transformers import PreTrainedTokenizerFast, T5Config, T5EncoderModel

from model.picture_book.captions import caption, vocabulary
from model.picture_book.scenes import random_scene
from model.schedule import Schedule
from model.training.loop import Task, Trainer, TrainingConfig
from model.training.tasks import BaseTask, CaptionedPictures, Captions, SuperResolutionTask

BASE_PX, SUPER_RESOLUTION_PX = 32, 128
TEXT_WIDTH, TEXT_TOKENS = 192, 32
SCHEDULE = Schedule("squaredcos_cap_v2")

_UNET: dict[str, Any] = {
    "out_channels": 3,
    "mid_block_type": "UNetMidBlock2DSimpleCrossAttn",
    "cross_attention_dim": TEXT_WIDTH,
    "encoder_hid_dim": TEXT_WIDTH,
    "encoder_hid_dim_type": "text_proj",
    "addition_embed_type": "text",
    "addition_embed_type_num_heads": 4,
    "attention_head_dim": 32,
    "norm_num_groups": 16,
    "resnet_time_scale_shift": "scale_shift",
    "cross_attention_norm": "group_norm",
}


def new_base_unet() -> UNet2DConditionModel:
    """18 M parameters; attention at 8 and 4 px only, where it costs little."""
    return _to_training(
        UNet2DConditionModel(
            sample_size=BASE_PX,
            in_channels=3,
            block_out_channels=(32, 96, 160, 224),
            layers_per_block=(1, 2, 2, 2),
            down_block_types=("ResnetDownsampleBlock2D",) * 2 + ("SimpleCrossAttnDownBlock2D",) * 2,
            up_block_types=("SimpleCrossAttnUpBlock2D",) * 2 + ("ResnetUpsampleBlock2D",) * 2,
            **_UNET,
        )
    )


def new_super_resolution_unet() -> UNet2DConditionModel:
    """5 M parameters; takes the noisy picture and the noised low-res one, attention at 16 px."""
    return _to_training(
        UNet2DConditionModel(
            sample_size=SUPER_RESOLUTION_PX,
            in_channels=6,
            class_embed_type="timestep",
            block_out_channels=(32, 64, 96, 128),
            layers_per_block=1,
            down_block_types=("ResnetDownsampleBlock2D",) * 3 + ("SimpleCrossAttnDownBlock2D",),
            up_block_types=("SimpleCrossAttnUpBlock2D",) + ("ResnetUpsampleBlock2D",) * 3,
            **_UNET,
        )
    )


def _to_training(unet: UNet2DConditionModel) -> UNet2DConditionModel:
    """bfloat16, channels last, and the attention whose backward is fast on a CPU."""
    unet.set_attn_processor(AttnAddedKVProcessor())
    return unet.to(dtype=torch.bfloat16, memory_format=torch.channels_last)


def new_text_encoder(tokenizer: PreTrainedTokenizerFast) -> T5EncoderModel:
    return T5EncoderModel(
        T5Config(
            vocab_size=len(tokenizer),
            d_model=TEXT_WIDTH,
            d_kv=48,
            d_ff=512,
            num_layers=3,
            num_heads=4,
            dropout_rate=0.0,
            feed_forward_proj="gated-gelu",
        )
    )


def new_tokenizer() -> PreTrainedTokenizerFast:
    """One token a word of the captions; case, other marks and "grey" do not matter."""
    words = {word: i for i, word in enumerate(["<pad>", "</s>", "<unk>", *vocabulary()])}
    tokenizer = Tokenizer(models.WordLevel(words, unk_token="<unk>"))
    tokenizer.normalizer = normalizers.Sequence(
        [
            normalizers.NFKC(),
            normalizers.Lowercase(),
            normalizers.Replace(Regex(r"\bgrey\b"), "gray"),
            normalizers.Replace(Regex(r"[^\p{L}\p{N},\s]"), " "),
            normalizers.Replace(",", " , "),
        ]
    )
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="$A </s>", special_tokens=[("</s>", words["</s>"])]
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token="<pad>",
        eos_token="</s>",
        unk_token="<unk>",
        model_max_length=TEXT_TOKENS,
    )


def scene_pictures(size_px: int) -> CaptionedPictures:
    """Random scenes as training data; a batch is a function of its generator."""

    def pictures(count: int, generator: torch.Generator) -> tuple[Tensor, list[str]]:
        seed = int(torch.randint(2**62, (), generator=generator))
        rng = random.Random(seed)
        scenes = [random_scene(rng) for _ in range(count)]
        pixels = np.stack([scene.draw(rng, size_px) for scene in scenes])
        x0 = torch.from_numpy(pixels).permute(0, 3, 1, 2).float() / 127.5 - 1
        return x0, [caption(scene, rng) for scene in scenes]

    return pictures


def base_task() -> BaseTask:
    tokenizer = new_tokenizer()
    captions = Captions(tokenizer, new_text_encoder(tokenizer))
    return BaseTask(new_base_unet(), captions, SCHEDULE, scene_pictures(BASE_PX))


def super_resolution_task(base_run: Path) -> SuperResolutionTask:
    tokenizer = new_tokenizer()
    encoder = new_text_encoder(tokenizer).requires_grad_(False)
    encoder.load_state_dict(_averages(base_run)["text_encoder"], strict=False)
    return SuperResolutionTask(
        new_super_resolution_unet(),
        Captions(tokenizer, encoder),
        SCHEDULE,
        scene_pictures(SUPER_RESOLUTION_PX),
        low_res_px=BASE_PX,
        crop_px=64,
    )


def _averages(run: Path) -> dict[str, dict[str, Tensor]]:
    checkpoint: dict[str, Any] = torch.load(run / "checkpoint.pt", weights_only=True)
    averages: dict[str, dict[str, Tensor]] = checkpoint["averages"]
    return averages


def export(base_run: Path, super_resolution_run: Path | None, folder: Path) -> None:
    """Write the averaged weights as a cascade folder: diffusers format, float16 safetensors."""
    averages = _averages(base_run)
    tokenizer = new_tokenizer()
    encoder = new_text_encoder(tokenizer)
    encoder.load_state_dict(averages["text_encoder"], strict=False)
    base = folder / "base"
    tokenizer.save_pretrained(base / "tokenizer")
    encoder.half().save_pretrained(base / "text_encoder")
    _export_stage(new_base_unet(), averages["unet"], base)
    stages: list[dict[str, Any]] = [
        {"path": "base", "steps": 20, "sampler": "dpmpp", "guidance_scale": 4.0}
    ]
    if super_resolution_run is not None:
        weights = _averages(super_resolution_run)["unet"]
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
    cascade = {"name": "picture-book", "text": "base", "stages": stages}
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
        thresholding=True,
        dynamic_thresholding_ratio=0.99,
        sample_max_value=1.5,
        clip_sample=False,
    )
    scheduler.save_pretrained(folder / "scheduler")
    if unet.config["in_channels"] == 6:
        scheduler.save_pretrained(folder / "image_noising_scheduler")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    verbs = parser.add_subparsers(dest="verb", required=True)
    for verb in ("base", "super-resolution"):
        train = verbs.add_parser(verb)
        train.add_argument("--run", type=Path, required=True, help="folder of checkpoint and log")
        train.add_argument("--images", type=int, required=True, help="length of the whole run")
        train.add_argument("--batch", type=int, default=40)
        train.add_argument("--threads", type=int, default=torch.get_num_threads())
    verbs.choices["super-resolution"].add_argument(
        "--text", type=Path, required=True, help="run of the base, for its text encoder"
    )
    to_folder = verbs.add_parser("export")
    to_folder.add_argument("--base", type=Path, required=True)
    to_folder.add_argument("--super-resolution", type=Path)
    to_folder.add_argument("--to", type=Path, required=True)
    arguments = parser.parse_args()
    if arguments.verb == "export":
        export(arguments.base, arguments.super_resolution, arguments.to)
        return
    torch.set_num_threads(arguments.threads)
    torch.manual_seed(0)
    task: Task = base_task() if arguments.verb == "base" else super_resolution_task(arguments.text)
    config = TrainingConfig(images=arguments.images, batch=arguments.batch)
    Trainer(task, config, arguments.run).run()


if __name__ == "__main__":
    main()
