"""Reads cascade.json and the configurations of the folders it lists. Loads no weights."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from model.errors import InvalidCascade
from model.guidance import Prediction
from model.samplers import SAMPLERS
from model.schedule import Schedule
from model.stage import StageSpec
from model.trajectory import StageSettings


class _Entry(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


def _from_path(value: object) -> object:
    """An entry that is only a path says nothing else."""
    return {"path": value} if isinstance(value, str) else value


class TextEntry(_Entry):
    path: str
    max_tokens: int = Field(default=77, ge=1)


class StageEntry(_Entry):
    path: str
    steps: int = Field(default=50, ge=1)
    sampler: str = "dpmpp"
    guidance_scale: float = Field(default=7.0, ge=1)
    aug_level: float = Field(default=0.25, ge=0, le=1)


class CascadeFile(_Entry):
    """cascade.json: a text encoder and stages, base first; paths are relative to the file."""

    name: str
    text: Annotated[TextEntry, BeforeValidator(_from_path)]
    stages: Annotated[
        tuple[Annotated[StageEntry, BeforeValidator(_from_path)], ...], Field(min_length=1)
    ]


def read_cascade_file(folder: Path) -> CascadeFile:
    """Read folder/cascade.json.

    Raises InvalidCascade that names the file and the field.
    """
    path = folder / "cascade.json"
    try:
        return CascadeFile.model_validate_json(path.read_bytes())
    except FileNotFoundError:
        raise InvalidCascade(
            f"{path} is missing: a cascade folder holds a cascade.json that lists its stages"
        ) from None
    except ValidationError as error:
        raise InvalidCascade(f"{path} is not a cascade: {error}") from error


def read_stage_spec(folder: Path, entry: StageEntry) -> StageSpec:
    """What the stage of a diffusers-format folder is: unet/config.json and its schedulers."""
    unet = _read_config(folder / "unet" / "config.json")
    scheduler = _read_config(folder / "scheduler" / "scheduler_config.json")
    if entry.sampler not in SAMPLERS:
        raise InvalidCascade(
            f"stage {entry.path}: sampler {entry.sampler!r} is not one of {', '.join(SAMPLERS)}"
        )
    is_super_resolution = unet["in_channels"] == 6
    noising = None
    if is_super_resolution:
        noising_file = folder / "image_noising_scheduler" / "scheduler_config.json"
        noising = Schedule.from_config(_read_config(noising_file))
    threshold_ratio, threshold_cap = _thresholding(scheduler)
    return StageSpec(
        name=str(unet["sample_size"]),
        size_px=unet["sample_size"],
        schedule=Schedule.from_config(scheduler),
        prediction=Prediction(scheduler.get("prediction_type", "epsilon")),
        defaults=StageSettings(
            steps=entry.steps,
            sampler=entry.sampler,
            guidance_scale=entry.guidance_scale,
            aug_level=entry.aug_level if is_super_resolution else None,
        ),
        noising_schedule=noising,
        threshold_ratio=threshold_ratio,
        threshold_cap=threshold_cap,
    )


def _thresholding(scheduler: Mapping[str, Any]) -> tuple[float | None, float]:
    """Ratio and cap of dynamic thresholding; plain clipping is thresholding with a cap of 1."""
    if scheduler.get("thresholding", False):
        return scheduler.get("dynamic_thresholding_ratio", 0.995), scheduler["sample_max_value"]
    if scheduler.get("clip_sample", False):
        return 1.0, 1.0
    return None, 1.0


def _read_config(path: Path) -> dict[str, Any]:
    try:
        config: dict[str, Any] = json.loads(path.read_bytes())
    except FileNotFoundError:
        raise InvalidCascade(
            f"{path} is missing: a stage's folder holds unet/, scheduler/ and, to enlarge,"
            " image_noising_scheduler/"
        ) from None
    except json.JSONDecodeError as error:
        raise InvalidCascade(f"{path} is not JSON: {error}") from error
    return config
