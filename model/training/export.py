"""Writes what was trained as a cascade folder, which is served as it is. Trains nothing."""

import json
import os
import shutil
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
from diffusers import DDIMScheduler, UNet2DConditionModel
from safetensors.torch import save_file
from torch import Tensor, nn
from transformers import PreTrainedTokenizerBase, T5EncoderModel

from model.errors import InvalidCascade, InvalidTraining, TrainingFailed
from model.loading.cascade_folder import CASCADE_FILE, StageEntry, read_stage
from model.loading.folder import Folder
from model.samplers import Variance
from model.training.lora import save_lora
from model.training.shared_file import share
from model.training.stages import NewStage

TEXT_FOLDER = "text"


def check_served(stage: NewStage, sampling: dict[str, Any]) -> None:
    """That what a stage will be written as can be served. Raises InvalidTraining."""
    with TemporaryDirectory() as folder:
        stage.unet.save_config(Path(folder) / "unet")
        _save_schedulers(stage, Path(folder))
        try:
            read_stage(Folder(Path(folder)), StageEntry(**{**sampling, "path": folder}))
        except InvalidCascade as error:
            where = f"stages.{stage.told.name}"
            raise InvalidTraining(str(error).replace(folder, where)) from error


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
    unet.save_config(folder)
    _save_half(unet, folder / "diffusion_pytorch_model.safetensors")


def _save_half(network: nn.Module, file: Path) -> None:
    """In float16, while the network stays as it is: it goes on being trained."""
    weights: dict[str, Tensor] = {}
    written: set[int] = set()
    for name, weight in network.state_dict().items():
        if weight.data_ptr() not in written:  # two names of one tensor
            written.add(weight.data_ptr())
            weights[name] = weight.detach().to("cpu", torch.float16).contiguous()
            if not weights[name].isfinite().all():
                raise TrainingFailed(
                    f"{file.parent}: {name} is no longer finite, in float16: nothing was written:"
                    " start again with a lower `rate`, from an earlier checkpoint where that is"
                    " not enough (delete the last)"
                )
    save_file(weights, file, {"format": "pt"})
    share(file)


def _save_schedulers(stage: NewStage, folder: Path) -> None:
    if stage.started_from is not None:
        for name in ("scheduler", "image_noising_scheduler"):
            if (stage.started_from.path / name).is_dir():
                shutil.copytree(stage.started_from.path / name, folder / name)
        if stage.unet.config["out_channels"] == 6:
            _forget_variance(folder / "scheduler" / "scheduler_config.json")
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


def _forget_variance(file: Path) -> None:
    """Training asks for no variance: what the network predicted of it has drifted."""
    config = json.loads(file.read_text("utf-8"))
    if "variance_type" in config:
        file.write_text(json.dumps(config | {"variance_type": Variance.FIXED_SMALL}), "utf-8")


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
    partial = Path(f"{target}.partial")
    partial.unlink(missing_ok=True)
    try:
        os.link(os.path.realpath(source), partial)
    except OSError:  # another file system
        shutil.copy2(source, partial)
    partial.replace(target)


def export_text(tokenizer: PreTrainedTokenizerBase, encoder: T5EncoderModel, folder: Path) -> None:
    """Write a text encoder that was trained, in float16, replacing what is there.

    Never into files that are there: copy_text's are also another folder's.
    """
    partial = folder.with_name(f"{folder.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    tokenizer.save_pretrained(partial / "tokenizer")
    encoder.config.save_pretrained(partial / "text_encoder")
    _save_half(encoder, partial / "text_encoder" / "model.safetensors")
    shutil.rmtree(folder, ignore_errors=True)
    partial.rename(folder)


def write_cascade(
    cascade: Path, name: str, text: dict[str, Any], stages: list[dict[str, Any]], **others: Any
) -> None:
    """Write cascade.json, as cascade_folder.CascadeFile reads it."""
    described = {"name": name, "text": text, "stages": stages, **others}
    partial = cascade / f"{CASCADE_FILE}.partial"
    partial.write_text(json.dumps(described, indent=2, ensure_ascii=False) + "\n", "utf-8")
    partial.replace(cascade / CASCADE_FILE)
