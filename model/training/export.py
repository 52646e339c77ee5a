"""Writes what was trained as a cascade folder, which is served as it is. Trains nothing."""

import json
import os
import shutil
from pathlib import Path
from typing import Any

import torch
from diffusers import DDIMScheduler, UNet2DConditionModel
from transformers import PreTrainedTokenizerBase, T5EncoderModel

from model.loading.cascade_folder import CASCADE_FILE
from model.training.lora import save_lora
from model.training.stages import NewStage

TEXT_FOLDER = "text"


def export_stage(stage: NewStage, folder: Path) -> None:
    """Write a stage's network in float16 and its schedulers, replacing what is there.

    Of a stage that an adapter was trained for, the adapter alone.
    """
    partial = folder.with_name(f"{folder.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    if stage.told.lora is not None:
        save_lora(stage.unet, partial)
    else:
        _save_network(stage.unet, partial / "unet")
        _save_schedulers(stage, partial)
    shutil.rmtree(folder, ignore_errors=True)
    partial.rename(folder)


def _save_network(unet: UNet2DConditionModel, folder: Path) -> None:
    """As it is, but in float16: the network goes on being trained."""
    half = {
        name: weight.detach().to("cpu", torch.float16).contiguous()
        for name, weight in unet.state_dict().items()
    }
    unet.save_pretrained(folder, state_dict=half)


def _save_schedulers(stage: NewStage, folder: Path) -> None:
    if stage.started_from is not None:
        for name in ("scheduler", "image_noising_scheduler"):
            if (stage.started_from.path / name).is_dir():
                shutil.copytree(stage.started_from.path / name, folder / name)
        return
    scheduler = DDIMScheduler(
        beta_schedule=stage.schedule.beta_schedule,
        prediction_type=stage.prediction,
        timestep_spacing=stage.schedule.spacing,
        clip_sample=True,
    )
    scheduler.save_pretrained(folder / "scheduler")
    if stage.unet.config["in_channels"] == 6:
        scheduler.save_pretrained(folder / "image_noising_scheduler")


def copy_text(source: Path, folder: Path) -> None:
    """A frozen text encoder's folder, linked file by file where that is possible."""
    for part in ("tokenizer", "text_encoder"):
        shutil.copytree(source / part, folder / part, copy_function=_link, dirs_exist_ok=True)


def copy_stage(source: Path, folder: Path) -> None:
    """A stage's folder as it is, linked likewise."""
    for part in ("unet", "scheduler", "image_noising_scheduler"):
        if (source / part).is_dir():
            shutil.copytree(source / part, folder / part, copy_function=_link, dirs_exist_ok=True)


def _link(source: str, target: str) -> None:
    Path(target).unlink(missing_ok=True)
    try:
        os.link(os.path.realpath(source), target)
    except OSError:  # another file system
        shutil.copy2(source, target)


def export_text(tokenizer: PreTrainedTokenizerBase, encoder: T5EncoderModel, folder: Path) -> None:
    """Write a text encoder that was trained, in float16."""
    tokenizer.save_pretrained(folder / "tokenizer")
    half = {
        name: weight.detach().to("cpu", torch.float16).contiguous()
        for name, weight in encoder.state_dict().items()
    }
    encoder.save_pretrained(folder / "text_encoder", state_dict=half)


def write_cascade(
    cascade: Path, name: str, text: dict[str, Any], stages: list[dict[str, Any]], **others: Any
) -> None:
    """Write cascade.json, as cascade_folder.CascadeFile reads it."""
    described = {"name": name, "text": text, "stages": stages, **others}
    partial = cascade / f"{CASCADE_FILE}.partial"
    partial.write_text(json.dumps(described, indent=2, ensure_ascii=False) + "\n", "utf-8")
    partial.replace(cascade / CASCADE_FILE)
