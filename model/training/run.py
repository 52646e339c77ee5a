"""From a training file to a cascade folder: each stage in turn, or those that are wanted.

The one place that knows all parts: data, text encoder, networks, loop, and what is written.
"""

from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from model.cascade import Cascade
from model.errors import InvalidTraining
from model.evaluation.drawing import draw_stage
from model.loading.folder import Folder, locate
from model.training.config import StageTraining, TrainingFile
from model.training.data.examples import Batch, Example, Examples
from model.training.data.sources import open_data
from model.training.export import copy_stage, export_stage, write_cascade
from model.training.look import Look
from model.training.loop import Trainer
from model.training.lora import add_lora
from model.training.progress import Told
from model.training.stages import NewStage, check_stage, new_stage
from model.training.tasks import BaseTask, Denoising, StageTask, SuperResolutionTask, downsampled
from model.training.texts import FrozenTexts, LiveTexts, Texts
from model.trajectory import TextCondition

TEXT = "text"
_HELD_OUT = 256
"""Held-out examples that are looked at; more would take long and tell little."""


def train(told: TrainingFile, beside: Path, wanted: Collection[str] = ()) -> Path:
    """Train what a training file says, from where it stands; the cascade's folder.

    beside: what networks and text encoders are relative to. wanted: names of stages, or `text`;
    none is all, in turn. Raises InvalidTraining, InvalidCascade and TrainingFailed.
    """
    names = [TEXT, *(stage.name for stage in told.stages)]
    if unknown := set(wanted) - set(names):
        raise InvalidTraining(
            f"there is no stage {', '.join(sorted(unknown))}: there are {', '.join(names)}"
        )
    return _Run(told, beside).train(set(wanted) or set(names))


class _Run:
    def __init__(self, told: TrainingFile, beside: Path):
        self._told = told
        self._beside = Folder(beside)
        self._cascade = told.folder / "cascade"

    def train(self, wanted: set[str]) -> Path:
        texts = self._texts()
        for index, told in enumerate(self._told.stages):  # hours before the last one is made
            check_stage(told, texts.width, index == 0, self._beside.path)
        for index, told in enumerate(self._told.stages):
            if told.name not in wanted:
                continue
            stage = new_stage(told, texts.width, index == 0, self._beside.path)
            if told.training is not None:
                self._train_stage(stage, texts, index)
            else:
                self._take(stage)
            self._describe(texts)
        return self._cascade

    def _texts(self) -> Texts:
        told = self._told.text
        if told.path is None:
            from model.picture_book.training import reading_encoder  # it draws, with resvg

            assert told.training is not None, "read_training saw to it"
            return reading_encoder(told, self._told.folder / TEXT)
        folder = locate(told.path, beside=self._beside)
        if told.trained or self._told.data.source == "scenes":
            return LiveTexts.load(told, folder)
        with Told(TEXT, self._told.folder / TEXT) as shown:
            return FrozenTexts(told, folder, self._told.folder / "embeddings", shown.count)

    def _train_stage(self, stage: NewStage, texts: Texts, index: int) -> None:
        told = stage.told
        assert told.training is not None
        folder = self._told.folder / told.name
        if told.training.threads is not None:
            torch.set_num_threads(told.training.threads)
        low_res_px = self._told.stages[index - 1].size_px if index else None
        task, examples, held_out = self._task(stage, texts, low_res_px)
        trainer = Trainer(task, examples, told.training, folder, self._told.data.workers)
        with Told(told.name, folder) as shown:

            def export() -> None:
                self._cascade.mkdir(parents=True, exist_ok=True)
                export_stage(stage, self._cascade / _place(told))
                self._describe(texts)

            def sample(examples: Sequence[Example]) -> Sequence[Tensor]:
                return _draw(self._cascade, task, examples, low_res_px)

            look = Look(task, held_out, told.training, folder, shown, sample, export)
            trainer.run(look)
        if trainer.is_main:
            with trainer.averaged():
                export()

    def _task(
        self, stage: NewStage, texts: Texts, low_res_px: int | None
    ) -> tuple[StageTask, Examples, Sequence[Example]]:
        told, dropout = stage.told, self._told.text.dropout
        assert told.training is not None
        examples, held_out, captions = self._examples(told.size_px, told.training.seed)
        conditions = None
        if stage.text_width is not None:
            examples, held_out, conditions = texts.condition(examples, held_out, captions)
        if told.lora is not None:
            add_lora(stage.unet, told.lora.rank, told.lora.alpha or told.lora.rank)
        denoising = Denoising(
            stage.schedule, stage.prediction, told.training.weighting, told.training.gamma
        )
        if low_res_px is None:
            if conditions is None:
                raise InvalidTraining(f"stages.{told.name}.network: a base must take text")
            return BaseTask(stage.unet, denoising, conditions, dropout), examples, held_out
        task = SuperResolutionTask(
            stage.unet,
            denoising,
            low_res_px,
            told.crop_px,
            told.max_aug_level,
            conditions,
            dropout,
        )
        return task, examples, held_out

    def _examples(
        self, size_px: int, seed: int
    ) -> tuple[Examples, Sequence[Example], Sequence[str] | None]:
        """What is trained on, what is held out, and all captions where they are finite."""
        if self._told.data.source == "scenes":
            from model.picture_book.examples import SceneExamples, held_out_examples

            return SceneExamples(size_px, seed), held_out_examples(size_px, _HELD_OUT), None
        pictures, held_out = open_data(self._told.data, size_px, seed)
        shown = held_out[:: max(1, len(held_out) // _HELD_OUT)]
        return pictures, shown, (*pictures.captions, *shown.captions)

    def _take(self, stage: NewStage) -> None:
        """A stage that is not trained comes along as it is."""
        if stage.started_from is None:
            raise InvalidTraining(
                f"stages.{stage.told.name}: without a table `training` its network has to be the"
                " folder of a trained one"
            )
        copy_stage(stage.started_from.path, self._cascade / stage.told.name)

    def _describe(self, texts: Texts) -> None:
        """cascade.json, of the stages that there are, up to the first that is missing."""
        stages: list[dict[str, Any]] = []
        adapters: list[dict[str, Any]] = []
        for told in self._told.stages:
            path = self._cascade / _place(told)
            if not path.exists():
                break
            if told.lora is None:
                stages.append({"path": told.name, **told.sampling})
                continue
            started = locate(str(told.network), beside=self._beside)
            copy_stage(started.path, self._cascade / told.name)
            stages.append({"path": told.name, **told.sampling})
            name = told.lora.name
            adapters.append({"name": name, "path": _place(told), "stage": str(told.size_px)})
        others = {"adapters": adapters} if adapters else {}
        write_cascade(self._cascade, self._told.name, texts.export(self._cascade), stages, **others)


def _place(told: StageTraining) -> str:
    """Where in the cascade's folder a stage is written, or its adapter."""
    return told.name if told.lora is None else f"adapters/{told.lora.name}"


@torch.no_grad()
def _draw(
    cascade: Path, task: StageTask, examples: Sequence[Example], low_res_px: int | None
) -> Sequence[Tensor]:
    """What the cascade, as it was just written, draws for each example's caption."""
    size = str(examples[0].picture.shape[-1])
    (stage,) = Cascade.load(cascade, stages=[size]).stages
    batch = Batch.of(examples)
    conditions = getattr(task, "conditions", None)
    if conditions is None:
        prompts = empty = torch.zeros(len(examples), 1, 1)
    else:
        kept, dropped = (torch.full((len(examples),), drop) for drop in (False, True))
        prompts, empty = conditions(batch, kept).cpu(), conditions(batch, dropped).cpu()
    texts = [TextCondition(each, no) for each, no in zip(prompts, empty, strict=True)]
    low_res: Sequence[Tensor | None] = [None] * len(examples)
    if low_res_px is not None:
        low_res = list(downsampled(batch.pictures, low_res_px))
    return draw_stage(stage, texts, range(len(examples)), low_res)
