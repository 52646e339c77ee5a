"""A training file of a tiny cascade, of 8 and 16 px, on a folder of pictures of two colours."""

from pathlib import Path
from typing import Any

from model.training.training_file import TrainingFile
from tests.model.training.data.written import write_picture
from tests.tiny_cascade import TEXT_WIDTH

CAPTIONS = {"a red apple": "red", "a dog": "white"}

TRAINING: dict[str, Any] = {
    "images": 32,
    "batch": 4,
    "rate": 1e-3,
    "warmup_steps": 2,
    "ema": 0.5,
    "precision": "no",
    "report_every_steps": 1,
    "look_every_steps": 4,
    "samples": 2,
}

_SHAPE: dict[str, Any] = {
    "out_channels": 3,
    "block_out_channels": [16, 16],
    "layers_per_block": 1,
    "norm_num_groups": 4,
}
BASE: dict[str, Any] = {
    **_SHAPE,
    "in_channels": 3,
    "down_block_types": ["ResnetDownsampleBlock2D", "SimpleCrossAttnDownBlock2D"],
    "mid_block_type": "UNetMidBlock2DSimpleCrossAttn",
    "up_block_types": ["SimpleCrossAttnUpBlock2D", "ResnetUpsampleBlock2D"],
    "cross_attention_dim": TEXT_WIDTH,
    "attention_head_dim": 8,
}
SUPER_RESOLUTION: dict[str, Any] = {
    **_SHAPE,
    "in_channels": 6,
    "class_embed_type": "timestep",
    "down_block_types": ["ResnetDownsampleBlock2D"] * 2,
    "mid_block_type": "none",
    "up_block_types": ["ResnetUpsampleBlock2D"] * 2,
}


def write_pictures(folder: Path, count: int = 20, size_px: int = 20) -> Path:
    """Captioned pictures, each of a colour that its caption tells. Returns the folder."""
    for number in range(count):
        caption, color = list(CAPTIONS.items())[number % 2]
        picture = write_picture(folder / f"{number}.png", color, (size_px, size_px))
        picture.with_suffix(".txt").write_text(caption)
    return folder


def base(**changes: Any) -> dict[str, Any]:
    """A table of the training file. training: changes what is usual here."""
    return _stage("base", 8, BASE, {"steps": 2, "guidance_scale": 2.0}, changes)


def large(**changes: Any) -> dict[str, Any]:
    """Likewise, of a super-resolution stage that is trained on crops."""
    sampling = {"steps": 2, "guidance_scale": 1.0}
    return _stage("large", 16, SUPER_RESOLUTION, sampling, {"crop_px": 8} | changes)


def _stage(
    name: str, size_px: int, network: Any, sampling: dict[str, Any], changes: dict[str, Any]
) -> dict[str, Any]:
    training = changes.pop("training", {})
    usual = {"name": name, "size_px": size_px, "network": network, "sampling": sampling}
    if training is not None:
        usual["training"] = TRAINING | training
    return usual | changes


def table(folder: Path, tiny_cascade: Path, *stages: dict[str, Any], **text: Any) -> dict[str, Any]:
    """The whole file, its run within the folder, the text encoder that of the tiny cascade."""
    return {
        "name": "tiny",
        "folder": str(folder / "run"),
        "data": {"path": str(folder / "pictures"), "held_out": 0.3},
        "text": {"path": str(tiny_cascade / "base"), "max_tokens": 6, "dropout": 0.25} | text,
        "stages": list(stages),
    }


def training_file(
    folder: Path, tiny_cascade: Path, *stages: dict[str, Any], **text: Any
) -> TrainingFile:
    """The same as it is read, once there are pictures."""
    write_pictures(folder / "pictures")
    return TrainingFile.model_validate(table(folder, tiny_cascade, *stages, **text))
