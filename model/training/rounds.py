"""The rounds in which a stage is trained: one, or a course of distillation where students teach."""

import json
from collections.abc import Iterator, Mapping
from copy import deepcopy
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

from torch import nn

from model.errors import InvalidTraining
from model.guidance import Prediction
from model.loading.cascade_folder import PlacedStage, StageEntry, read_stage
from model.loading.folder import Folder
from model.samplers import Sampler
from model.training.config import Distillation, StageTraining, Training
from model.training.distillation import GuidanceDistillation, ProgressiveDistillation, Strides
from model.training.stages import NewStage, network_folder
from model.training.tasks import StageTask

_EXPORTED = "exported.json"


@dataclass(frozen=True)
class Round:
    """What a Trainer is to step, for how long, and the folder it keeps.

    of: what cannot change once it is begun; see Trainer. sampling: what cascade.json says of the
    stage after it, but its path.
    """

    name: str
    task: nn.Module
    training: Training
    folder: Path
    of: Mapping[str, str]
    sampling: Mapping[str, Any]


def rounds(stage: NewStage, task: StageTask, folder: Path) -> Iterator[Round]:
    """The rounds of a stage, one after the other. task: of its network.

    Each is asked for when the one before is done and its averaged weights are kept: they teach it.
    """
    told = stage.told
    assert told.training is not None, "a stage without is taken as it is"
    of = {"prediction": str(stage.prediction), "beta_schedule": stage.schedule.beta_schedule}
    of["network"] = _identity(stage)
    if told.trainable:
        of["trainable"] = ", ".join(told.trainable)
    if told.distillation is None:
        yield Round(told.name, task, told.training, folder, of, told.sampling)
        return
    course = _course(told.distillation)
    for i, steps in enumerate(course):
        name = _name(steps)
        training = told.training.model_copy(
            update={
                "images": -(-told.training.images // len(course)),
                "seed": told.training.seed
                + (steps or 0),  # else all rounds would see the same noise
            }
        )
        yield Round(
            name=f"{told.name}/{name}",
            task=_distilled(stage, task, steps),
            training=training,
            folder=folder / name,
            of=of | {"distillation": _learned(told.distillation, course[: i + 1])},
            sampling=_sampling(told, steps),
        )


def _identity(stage: NewStage) -> str:
    """Of the network that is trained: of where it starts, or of what it is made of."""
    if stage.started_from is not None:
        content = (stage.started_from / "unet").identity()
    else:
        config = {k: v for k, v in stage.unet.config.items() if not k.startswith("_")}
        content = json.dumps(config, sort_keys=True, default=str).encode()
    return sha256(content).hexdigest()[:16]


def _course(told: Distillation) -> list[int | None]:
    """The steps that students take; None where one learns guidance, first of all.

    Where it came last, every step of a teacher would be of two evaluations.
    """
    return [*([] if told.guidance_scale is None else [None]), *told.steps]


def _name(steps: int | None) -> str:
    return "guidance" if steps is None else f"{steps}-steps"


def _learned(told: Distillation, course: list[int | None]) -> str:
    """All that a student has been taught when it is through with these rounds."""
    guidance = f"guidance_scale {told.guidance_scale} within {told.guidance_interval}"
    return ", ".join(guidance if steps is None else f"{steps} steps" for steps in course)


def _distilled(stage: NewStage, student: StageTask, steps: int | None) -> nn.Module:
    """A round's task: the network as it stands is the teacher."""
    told, teacher = stage.told.distillation, deepcopy(stage.unet)
    assert told is not None
    if steps is not None:
        assert stage.started_from is not None, "check_distillation saw to it"
        threshold = _placed(stage.started_from).spec.threshold
        return ProgressiveDistillation(student, teacher, steps, threshold)
    assert told.guidance_scale is not None
    return GuidanceDistillation(student, teacher, told.guidance_scale, told.guidance_interval)


def check_distillation(told: StageTraining, beside: Path) -> None:
    """That what a stage's table `distillation` says can be done; loads no weights.

    Raises InvalidTraining and InvalidCascade.
    """
    if told.distillation is None:
        return
    where = f"stages.{told.name}"
    folder = network_folder(told.network, beside)
    if folder is None:
        raise InvalidTraining(
            f"{where}.network: what is distilled was trained before: name that stage's folder"
        )
    placed = _placed(folder)
    if told.distillation.guidance_scale is not None and placed.text_width is None:
        raise InvalidTraining(
            f"{where}.distillation.guidance_scale: the network takes no text: leave it out"
        )
    if told.distillation.steps and placed.spec.prediction is Prediction.EPSILON:
        raise InvalidTraining(
            f"{where}.distillation.steps: a first step from pure noise cannot be told as epsilon"
            " (Salimans & Ho 2022, sec. 4): train the teacher with v_prediction"
        )
    for steps in told.distillation.steps:
        try:
            Strides.of(placed.spec.schedule, steps)
        except InvalidTraining as error:
            raise InvalidTraining(f"{where}.{error}") from error


def _placed(folder: Folder) -> PlacedStage:
    return read_stage(folder, StageEntry(path=str(folder)))


def _sampling(told: StageTraining, steps: int | None) -> dict[str, Any]:
    """Of a student that takes so many steps; None where guidance is all that it has learned."""
    said: dict[str, Any] = {"guidance_scale": 1.0, **told.sampling}
    if told.distillation is not None and told.distillation.guidance_scale is not None:
        said["guidance_distilled"] = True
    if steps is not None:
        said |= {"sampler": Sampler.DDIM, "steps": steps}
    return said


def keep_sampling(part: Round, folder: Path) -> None:
    """Remember, in the stage's folder, which round was exported last."""
    (folder / _EXPORTED).write_text(json.dumps(part.sampling), "utf-8")


def kept_sampling(told: StageTraining, folder: Path) -> Mapping[str, Any]:
    """What cascade.json says of a stage, but its path, after the round that was exported last."""
    file = folder / _EXPORTED
    if told.distillation is None or not file.is_file():
        return told.sampling
    said: dict[str, Any] = json.loads(file.read_text("utf-8"))
    return said
