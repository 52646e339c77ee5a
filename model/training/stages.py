"""Makes the networks that a training file asks for: new ones, or as a folder has them."""

from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

import torch
from diffusers import UNet2DConditionModel
from diffusers.models.attention_processor import AttnAddedKVProcessor, AttnAddedKVProcessor2_0

from model.errors import InvalidTraining
from model.guidance import Prediction
from model.loading.cascade_folder import StageEntry, read_stage
from model.loading.folder import Folder, locate
from model.loading.stage_folder import UNetConfig
from model.loading.weights import as_placed, fill, find_weights, without_weights
from model.schedule import Schedule
from model.training.config import StageTraining
from model.training.lora import TARGETS
from model.training.loss import is_bounded
from model.training.presets import PRESETS, build, network_config


@dataclass(frozen=True)
class NewStage:
    """A stage's network, float32 on the CPU, and the process it is trained to reverse.

    started_from: the folder that its weights are from; None where they are new. noising_schedule:
    of a super-resolution stage's low-res input, where a folder says so.
    """

    told: StageTraining
    unet: UNet2DConditionModel
    schedule: Schedule
    prediction: Prediction
    text_width: int | None
    started_from: Folder | None
    noising_schedule: Schedule | None = None


def new_stage(told: StageTraining, text_width: int, is_base: bool, beside: Path) -> NewStage:
    """Make a stage's network. Raises InvalidTraining or InvalidCascade that names what is wrong."""
    stage = _new_stage(told, text_width, is_base, beside, "cpu")
    if stage.started_from is not None:
        files = find_weights(stage.started_from / "unet", "diffusion_pytorch_model", half=False)
        fill(stage.unet, files, as_placed(torch.device("cpu"), torch.float32))
        stage.unet.train()
    for name, weight in stage.unet.named_parameters():
        weight.requires_grad_(_is_trainable(name, told))
    return stage


def check_stage(told: StageTraining, text_width: int, is_base: bool, beside: Path) -> NewStage:
    """That new_stage() would succeed; takes no time and no memory. Raises likewise.

    Returns what it would make, without weights.
    """
    return _new_stage(told, text_width, is_base, beside, "meta")


def _new_stage(
    told: StageTraining, text_width: int, is_base: bool, beside: Path, device: str
) -> NewStage:
    """A new network is on the device; a folder's waits for its weights."""
    try:
        started = network_folder(told.network, beside)
        if started is None:
            stage = _from_config(told, text_width, device)
        else:
            stage = _from_folder(told, started)
    except InvalidTraining as error:
        raise InvalidTraining(f"stages.{told.name}.{error}") from error
    _check(stage, text_width, is_base)
    _check_trainable(stage)
    _tune_for_cpu(stage.unet)
    return stage


def network_folder(network: str | dict[str, Any], beside: Path) -> Folder | None:
    """The stage's folder that a training file names; None where its network is to be new."""
    if not isinstance(network, str) or network in PRESETS:
        return None
    if "/" in network or (beside / network).exists():
        return locate(network, beside=Folder(beside))
    raise InvalidTraining(
        f"network: there is no preset {network}, and no folder: use a folder, a table or one of"
        f" {', '.join(PRESETS)}"
    )


def _from_config(told: StageTraining, text_width: int, device: str) -> NewStage:
    network = told.network
    config = network_config(network, text_width) if isinstance(network, str) else dict(network)
    config = {field: None if value == "none" else value for field, value in config.items()}
    config["sample_size"] = told.size_px
    with torch.device(device):
        unet = build(config)
    return NewStage(
        told=told,
        unet=unet.to(memory_format=torch.channels_last),
        schedule=Schedule(told.beta_schedule or "squaredcos_cap_v2"),
        prediction=told.prediction or Prediction.V,
        text_width=_described(unet).text_width,
        started_from=None,
    )


def _from_folder(told: StageTraining, folder: Folder) -> NewStage:
    for field in ("beta_schedule", "prediction"):
        if getattr(told, field) is not None:
            raise InvalidTraining(f"{field}: is as {folder} says: leave it out")
    placed = read_stage(folder, StageEntry(path=str(folder)))
    path = (folder / "unet").path
    unet = without_weights(
        path, lambda: UNet2DConditionModel.from_config(UNet2DConditionModel.load_config(path))
    )
    return NewStage(
        told=told,
        unet=unet,
        schedule=placed.spec.schedule,
        prediction=placed.spec.prediction,
        text_width=placed.text_width,
        started_from=folder,
        noising_schedule=placed.spec.noising_schedule,
    )


def _check(stage: NewStage, text_width: int, is_base: bool) -> None:
    told, name, config = stage.told, stage.told.name, _described(stage.unet)
    if stage.started_from is None and (told.training is None or told.lora is not None):
        raise InvalidTraining(
            f"stages.{name}.network: must be the folder of a trained stage, where there is no table"
            " `training`, or where a `lora` adapts it"
        )
    if config.is_super_resolution == is_base:
        needed = 3 if is_base else 6
        raise InvalidTraining(
            f"stages.{name}.network: in_channels must be {needed}: the first stage is the base, and"
            " each other enlarges what comes before it"
        )
    if config.sample_size != stage.told.size_px:
        raise InvalidTraining(
            f"stages.{name}.size_px: is {stage.told.size_px}, and the network's sample_size"
            f" {config.sample_size}: make them equal"
        )
    if told.crop_px is not None and told.crop_px % config.multiple:
        raise InvalidTraining(
            f"stages.{name}.crop_px: is {told.crop_px}, and the network halves it: use a multiple"
            f" of {config.multiple}"
        )
    if is_base and stage.text_width is None:
        raise InvalidTraining(
            f"stages.{name}.network: a base must take text: give it CrossAttn blocks"
        )
    if stage.text_width not in (None, text_width):
        raise InvalidTraining(
            f"stages.{name}.network: takes embeddings of width {stage.text_width}, and the text"
            f" encoder's is {text_width}: set encoder_hid_dim to it"
        )


def _has_attention(unet: UNet2DConditionModel) -> bool:
    return any(name.endswith(TARGETS) for name, _ in unet.named_modules())


def check_weighting(stage: NewStage) -> None:
    """That no error counts without bound. Raises InvalidTraining."""
    training = stage.told.training
    weighting = None if training is None else training.weighting
    if weighting is not None and not is_bounded(weighting, stage.prediction):
        raise InvalidTraining(
            f"stages.{stage.told.name}.training.weighting: {weighting} counts pure noise without"
            " bound where epsilon is predicted: use min_snr or uniform, or leave it out"
        )


def _is_trainable(name: str, told: StageTraining) -> bool:
    return not told.trainable or any(fnmatch(name, pattern) for pattern in told.trainable)


def _check_trainable(stage: NewStage) -> None:
    """That there is what a `lora` adapts, and what each pattern of `trainable` names."""
    if stage.told.lora is not None and not _has_attention(stage.unet):
        raise InvalidTraining(
            f"stages.{stage.told.name}.lora: adapts the attention, of which the network has none:"
            " leave it out, and train all weights or those that `trainable` names"
        )
    names = [name for name, _ in stage.unet.named_parameters()]
    for pattern in stage.told.trainable:
        if not any(fnmatch(name, pattern) for name in names):
            raise InvalidTraining(
                f"stages.{stage.told.name}.trainable: no weight is named {pattern}: the network has"
                f" {', '.join(sorted({name.split('.')[0] for name in names}))}"
            )


def _tune_for_cpu(unet: UNet2DConditionModel) -> None:
    """The backward of fused attention is slow on a CPU, where plain matrices are fast."""
    attends = [type(each) for each in unet.attn_processors.values()]
    if not torch.cuda.is_available() and set(attends) == {AttnAddedKVProcessor2_0}:
        unet.set_attn_processor(AttnAddedKVProcessor())


def _described(unet: UNet2DConditionModel) -> UNetConfig:
    return UNetConfig.model_validate_json(unet.to_json_string())
