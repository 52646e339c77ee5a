"""What a training run is told: a TOML file, read strictly. Builds nothing.

Paths are relative to the file. Whatever is wrong is an InvalidTraining that names file and field.
"""

import tomllib
from pathlib import Path
from typing import Annotated

from pydantic import Field, ValidationError, model_validator

from model.errors import InvalidTraining
from model.loading.config_file import told
from model.training.config import Data, StageTraining, Table, Text

_FOLDERS = ("adapters", "cascade", "embeddings", "text")
"""What has a folder of its own beside those of the stages."""


class TrainingFile(Table):
    """name: of the cascade. folder: of its runs and of what comes out, `cascade`."""

    name: str
    folder: Path
    data: Data
    text: Text = Text()
    stages: Annotated[tuple[StageTraining, ...], Field(min_length=1)]

    @model_validator(mode="after")
    def _scenes_are_read(self) -> "TrainingFile":
        of_scenes = self.data.source == "scenes"
        if self.text.path is None and not (of_scenes and self.text.training):
            raise ValueError(
                "text.path: give the folder or hub id of a T5 encoder; only picture-book's scenes"
                " can teach one to read, with a table text.training"
            )
        if self.text.training is not None and not of_scenes:
            raise ValueError(
                "text.training: teaches to read scenes, which other data has not: leave it out, and"
                " set text.trained to train the encoder with the base"
            )
        return self

    @model_validator(mode="after")
    def _encoder_is_trained_with_a_base(self) -> "TrainingFile":
        if self.text.trained and self.stages[0].training is None:
            raise ValueError(
                "text.trained: the encoder is trained with the base, which has no table `training`:"
                " give it one, or leave text.trained out"
            )
        return self

    @model_validator(mode="after")
    def _encoder_is_the_teachers(self) -> "TrainingFile":
        if self.stages[0].distillation is not None and (
            self.text.trained or self.text.path is None
        ):
            raise ValueError(
                "text.path: a base is distilled with the text encoder that it was trained with,"
                " frozen: name its folder, and leave out text.trained"
            )
        return self

    @model_validator(mode="after")
    def _stages_grow(self) -> "TrainingFile":
        sizes = [stage.size_px for stage in self.stages]
        if sorted(set(sizes)) != sizes:
            raise ValueError("stages: each enlarges the one before, so that size_px grows")
        names = [stage.name for stage in self.stages]
        if len({*names, *_FOLDERS}) < len(names) + len(_FOLDERS):
            raise ValueError(
                f"stages: each has a name of its own, and none is {', '.join(_FOLDERS)}"
            )
        adapters = [stage.lora.name for stage in self.stages if stage.lora is not None]
        if len(set(adapters)) < len(adapters):
            raise ValueError("lora.name: each stage's adapter has a name of its own")
        return self

    @model_validator(mode="after")
    def _crops_are_of_super_resolution(self) -> "TrainingFile":
        for index, stage in enumerate(self.stages):
            if stage.crop_px is not None and (index == 0 or stage.crop_px > stage.size_px):
                raise ValueError(
                    f"stages.{stage.name}.crop_px: is of a super-resolution stage, and at most its"
                    " size_px"
                )
            if index == 0 and "max_aug_level" in stage.changed:
                raise ValueError(
                    f"stages.{stage.name}.max_aug_level: is of a super-resolution stage's low-res"
                    " input, which a base has not: leave it out"
                )
        return self

    @model_validator(mode="after")
    def _an_adapter_is_of_the_network_alone(self) -> "TrainingFile":
        if self.stages[0].lora is not None and self.text.trained:
            raise ValueError(
                "text.trained: the text encoder has no part in a lora: leave one of them out"
            )
        return self


def read_training(file: Path) -> TrainingFile:
    """Read a training file. Raises InvalidTraining."""
    try:
        table = tomllib.loads(file.read_text("utf-8"))
    except OSError as error:
        raise InvalidTraining(f"{file}: {error.strerror}: give the path of a TOML file") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise InvalidTraining(f"{file}: is not TOML: {error}") from error
    try:
        read = TrainingFile.model_validate(table)
    except ValidationError as error:
        raise InvalidTraining(f"{file}: {told(error)}") from error
    return read.model_copy(
        update={
            "folder": file.parent / read.folder,
            "data": read.data.model_copy(
                update={"path": read.data.path and file.parent / read.data.path}
            ),
        }
    )
