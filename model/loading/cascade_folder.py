"""Reads what a cascade is: cascade.json, or one pipeline's folder, and what it names.

Loads no weights. Whatever is wrong is an InvalidCascade that names the file and the remedy.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from importlib.resources import files
from itertools import pairwise
from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, field_validator, model_validator

from model.errors import InvalidCascade
from model.finishing import FinishingSpec
from model.loading.config_file import read_config
from model.loading.folder import Folder, locate
from model.loading.scheduler_config import SchedulerConfig
from model.loading.stage_folder import PipelineIndex, TextEncoderConfig, UNetConfig
from model.plan import StageSettings, plan
from model.samplers import Sampler, Variance
from model.stage import StageSpec
from model.text import TextSpec

CASCADE_FILE = "cascade.json"

BASE_STEPS, SUPER_RESOLUTION_STEPS = 50, 25
"""With a solver, where nothing else is said."""

BASE_GUIDANCE, SUPER_RESOLUTION_GUIDANCE = 7.0, 4.0
"""As in diffusers' pipelines, where nothing else is said."""

AUG_LEVEL = 0.25
"""IF's noise_level of 250 in 1000."""


class _Entry(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


def _from_path(value: object) -> object:
    """An entry that is only a path says nothing else."""
    return {"path": value} if isinstance(value, str) else value


class TextEntry(_Entry):
    """lowercase: None is whatever the pipeline did that the folder is of."""

    path: str
    max_tokens: int = Field(default=77, ge=1)
    lowercase: bool | None = None


Fraction = Annotated[float, Field(ge=0, le=1)]


class StageEntry(_Entry):
    """A stage, and where it is set otherwise than usual; see StageSettings and StageSpec."""

    path: str
    steps: int | None = Field(default=None, ge=1)
    sampler: Sampler | None = None
    guidance_scale: float | None = Field(default=None, ge=1)
    guidance_interval: tuple[Fraction, Fraction] = (0.0, 1.0)
    guidance_distilled: bool = False
    aug_level: Fraction | None = None

    @model_validator(mode="after")
    def _is_not_guided_twice(self) -> "StageEntry":
        if self.guidance_distilled and self.guidance_scale not in (None, 1.0):
            raise ValueError("guidance_scale: is 1 where guidance_distilled is true: leave it out")
        return self

    @field_validator("guidance_interval")
    @classmethod
    def _is_an_interval(cls, interval: tuple[float, float]) -> tuple[float, float]:
        earliest, latest = interval
        if earliest > latest:
            raise ValueError("the earlier time, nearer to the clean image, comes first")
        return interval


class AdapterEntry(_Entry):
    """A low-rank adapter of one stage. stage: its name; None is the base."""

    name: str = Field(pattern=r"^\w[\w.-]*$", max_length=64)
    path: str
    stage: str | None = None


class CascadeFile(_Entry):
    """cascade.json: a text encoder and stages, base first, and adapters that may be asked for.

    A path is relative to the file; where there is no such path it is a repository of the hub.
    """

    name: str
    text: Annotated[TextEntry, BeforeValidator(_from_path)]
    stages: Annotated[
        tuple[Annotated[StageEntry, BeforeValidator(_from_path)], ...], Field(min_length=1)
    ]
    adapters: tuple[AdapterEntry, ...] = ()


@dataclass(frozen=True)
class PlacedStage:
    """A stage and its folder. text_width: of the embeddings it takes; None if it takes none."""

    spec: StageSpec
    folder: Folder
    text_width: int | None


@dataclass(frozen=True)
class PlacedAdapter:
    """An adapter and its folder or file. stage: the name of the one it is of."""

    name: str
    stage: str
    folder: Folder


@dataclass(frozen=True)
class CascadeSpec:
    """What a cascade is, apart from its weights. stages: base first."""

    name: str
    text: TextSpec
    stages: tuple[PlacedStage, ...]
    finishing: FinishingSpec | None
    adapters: tuple[PlacedAdapter, ...] = ()

    @property
    def stage_names(self) -> tuple[str, ...]:
        return tuple(stage.spec.name for stage in self.stages)


def picture_book_folder() -> Path:
    """The cascade in the box."""
    return Path(str(files("model.picture_book"))) / "weights"


def read_cascade(source: str | Path | None = None) -> CascadeSpec:
    """Read a cascade's configurations; those of the hub are downloaded.

    source: a folder with cascade.json; that file, by any name; a folder that is itself a diffusers
    pipeline, then a cascade of one stage; or owner/name[@revision] of such a folder at the hub.
    None is picture-book.
    """
    found = locate(str(source or picture_book_folder()))
    file = found.path if found.path.is_file() else found.path / CASCADE_FILE
    folder = Folder(file.parent, found.snapshot)
    entries = _read_entries(file, folder)
    text = read_text(entries.text, locate(entries.text.path, beside=folder))
    stages = tuple(read_stage(locate(each.path, beside=folder), each) for each in entries.stages)
    _check_order(file, [stage.spec for stage in stages])
    _check_widths(text, stages)
    finishing = FinishingSpec.read([stage.folder for stage in stages])
    adapters = _read_adapters(file, folder, entries.adapters, stages)
    return CascadeSpec(entries.name, text, stages, finishing, adapters)


def _read_entries(file: Path, folder: Folder) -> CascadeFile:
    """cascade.json, or what it would be for a pipeline's folder."""
    if not file.exists() and (folder.path / "model_index.json").exists():
        path = folder.path.resolve()
        name = path.name if folder.snapshot is None else folder.snapshot.name
        return CascadeFile(name=name, text=TextEntry(path="."), stages=(StageEntry(path="."),))
    return read_config(
        file,
        CascadeFile,
        "a cascade's folder holds one that lists its stages, or model_index.json of a pipeline",
    )


def read_text(entry: TextEntry, folder: Folder) -> TextSpec:
    """What the text encoder of a folder is: its config.json and how prompts are written."""
    lowercase = entry.lowercase
    return TextSpec(
        folder=folder,
        max_tokens=entry.max_tokens,
        lowercase=PipelineIndex.read(folder).is_deepfloyd if lowercase is None else lowercase,
        width=TextEncoderConfig.read(folder).d_model,
    )


def read_stage(folder: Folder, entry: StageEntry) -> PlacedStage:
    """What the stage of a diffusers-format folder is: unet/config.json and its schedulers."""
    PipelineIndex.read(folder).check_pixel_space(folder)
    unet = UNetConfig.read(folder)
    scheduler = SchedulerConfig.read(folder.path / "scheduler" / "scheduler_config.json")
    noising = None
    if unet.is_super_resolution:
        noising_file = folder.path / "image_noising_scheduler" / "scheduler_config.json"
        noising = SchedulerConfig.read(noising_file).schedule
    spec = StageSpec(
        name=str(unet.sample_size),
        size_px=unet.sample_size,
        multiple=unet.multiple,
        schedule=scheduler.schedule,
        prediction=scheduler.prediction_type,
        defaults=_defaults(folder, entry, scheduler.sampler, unet.is_super_resolution),
        noising_schedule=noising,
        guidance_distilled=entry.guidance_distilled,
        threshold=scheduler.threshold,
        variance=scheduler.variance,
    )
    _check_sampling(folder, spec, unet)
    return PlacedStage(spec, folder, unet.text_width)


def _defaults(
    folder: Folder, entry: StageEntry, written_by: Sampler, is_super_resolution: bool
) -> StageSettings:
    """A solver is kept; the other samplers are those of training, and slow."""
    steps, guidance_scale, aug_level = BASE_STEPS, BASE_GUIDANCE, entry.aug_level
    if is_super_resolution:
        steps, guidance_scale = SUPER_RESOLUTION_STEPS, SUPER_RESOLUTION_GUIDANCE
        aug_level = AUG_LEVEL if aug_level is None else aug_level
    elif aug_level is not None:
        raise InvalidCascade(f"{folder} is a base, which takes no aug_level: leave it out")
    if entry.guidance_distilled:
        guidance_scale = 1.0
    return StageSettings(
        steps=steps if entry.steps is None else entry.steps,
        sampler=entry.sampler or (written_by if written_by.is_solver else Sampler.DPMPP),
        guidance_scale=guidance_scale if entry.guidance_scale is None else entry.guidance_scale,
        guidance_interval=entry.guidance_interval,
        aug_level=aug_level,
    )


def _check_sampling(folder: Folder, spec: StageSpec, unet: UNetConfig) -> None:
    """That the defaults can be followed, and that a variance to be learned is predicted."""
    if spec.variance is Variance.LEARNED_RANGE and unet.out_channels != 6:
        raise InvalidCascade(
            f"{folder}: variance_type learned_range needs a U-Net of 6 out_channels, not"
            f" {unet.out_channels}: set fixed_small in scheduler/scheduler_config.json"
        )
    if spec.size_px % spec.multiple:
        raise InvalidCascade(
            f"{folder}: sample_size {spec.size_px} is no multiple of {spec.multiple}, by which"
            f" {len(unet.block_out_channels)} blocks make an image smaller: correct"
            " unet/config.json"
        )
    try:
        plan(spec.schedule, spec.defaults, spec.variance)
    except ValueError as error:
        raise InvalidCascade(f"{folder}: {error}; cascade.json says otherwise by stage") from None


def _read_adapters(
    file: Path, folder: Folder, entries: Sequence[AdapterEntry], stages: Sequence[PlacedStage]
) -> tuple[PlacedAdapter, ...]:
    names = [entry.name for entry in entries]
    stage_names = [stage.spec.name for stage in stages]
    for i, entry in enumerate(entries):
        where = f"{file}: adapters.{i}"
        if entry.name in names[:i]:
            raise InvalidCascade(f"{where}.name: {entry.name} is an adapter before: rename one")
        if entry.stage not in (None, *stage_names):
            raise InvalidCascade(
                f"{where}.stage: there is no stage {entry.stage}: use {' or '.join(stage_names)}"
            )
    return tuple(
        PlacedAdapter(entry.name, entry.stage or stage_names[0], locate(entry.path, beside=folder))
        for entry in entries
    )


def _check_order(file: Path, specs: Sequence[StageSpec]) -> None:
    """The base comes first, and every stage after it is a larger super-resolution stage."""
    if specs[0].is_super_resolution:
        raise InvalidCascade(
            f"{file}: the first stage must be a base (3 input channels), and {specs[0].name} is"
            " super-resolution (6): list a base before it"
        )
    for before, spec in pairwise(specs):
        if not spec.is_super_resolution or spec.size_px <= before.size_px:
            raise InvalidCascade(
                f"{file}: stage {spec.name} after {before.name} must be a larger"
                " super-resolution stage (6 input channels)"
            )


def _check_widths(text: TextSpec, stages: Sequence[PlacedStage]) -> None:
    for stage in stages:
        if stage.text_width not in (None, text.width):
            raise InvalidCascade(
                f"{stage.folder / 'unet'}: the U-Net takes embeddings of {stage.text_width} numbers"
                f" a token, and {text.folder / 'text_encoder'} makes {text.width}: name the text"
                " encoder that it was trained with"
            )
