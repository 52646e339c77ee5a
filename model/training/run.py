"""From a training file to a cascade folder: each stage in turn, or those that are wanted.

The one place that knows all parts: data, text encoder, networks, loop, and what is written.
"""

import gc
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from fcntl import LOCK_EX, LOCK_NB, flock
from functools import partial
from pathlib import Path

import torch
from accelerate import PartialState
from torch import Tensor

from model.errors import InvalidTraining
from model.loading.cascade_folder import TextEntry, read_text
from model.loading.folder import Folder, locate
from model.placement import TEXT
from model.training.config import StageTraining, Training
from model.training.data.examples import Example, Examples
from model.training.data.sources import open_data
from model.training.export import check_served
from model.training.look import Look
from model.training.loop import Trainer
from model.training.lora import add_lora
from model.training.loss import usual_weighting
from model.training.output import Output
from model.training.processes import check_processes
from model.training.progress import Told
from model.training.rounds import Round, check_distillation, rounds
from model.training.samples import draw_samples
from model.training.stages import NewStage, check_stage, check_weighting, new_stage
from model.training.tasks import BaseTask, Denoising, StageTask, SuperResolutionTask
from model.training.texts import FrozenTexts, LiveTexts, Texts
from model.training.training_file import TrainingFile

_Data = tuple[Examples, Sequence[Example], Sequence[str] | None]
"""What is trained on, what is held out, and all captions where they are finite."""

_HELD_OUT = 256
"""Held-out examples that are looked at; more would take long and tell little."""


def train(told: TrainingFile, beside: Path, wanted: Collection[str] = ()) -> Path:
    """Train what a training file says, from where it stands; the cascade's folder.

    beside: what networks and text encoders are relative to. wanted: names of stages, or `text`;
    none is all, in turn. Raises InvalidTraining, InvalidCascade and TrainingFailed.
    """
    names = [stage.name for stage in told.stages]
    if told.text.training is not None:
        names.insert(0, TEXT)
    if unknown := set(wanted) - set(names):
        raise InvalidTraining(
            f"there is no stage {', '.join(sorted(unknown))} to train: there are {', '.join(names)}"
        )
    return _Run(told, beside).train(set(wanted) or set(names))


class _Run:
    def __init__(self, told: TrainingFile, beside: Path):
        self._told = told
        self._beside = Folder(beside)
        self._output = Output(told, beside)

    def train(self, wanted: set[str]) -> Path:
        stages = [(i, told) for i, told in enumerate(self._told.stages) if told.name in wanted]
        self._check()
        pictures = self._pictures([told for _, told in stages])
        with _alone_in(self._told.folder):
            texts = self._texts(wanted)
            for index, told in stages:
                if told.training is not None:
                    data = pictures.get(told.name) or _scenes(told, told.training)
                    self._train_stage(told, told.training, texts, data, index)
                elif PartialState().is_main_process:
                    self._output.take(told, texts)
                gc.collect()  # what was trained refers to itself, and takes the next one's memory
            PartialState().wait_for_everyone()
        return self._output.folder

    def _check(self) -> None:
        """That all can be trained and served, before hours are spent."""
        check_processes(self._told)
        text_width = self._text_width()
        for index, told in enumerate(self._told.stages):
            stage = check_stage(told, text_width, index == 0, self._beside.path)
            check_distillation(told, self._beside.path)
            check_weighting(stage)
            check_served(stage, told.sampling)
        self._output.check()

    def _pictures(self, stages: Sequence[StageTraining]) -> dict[str, _Data]:
        """By the stage that they are for; scenes, being drawn, are none."""
        found: dict[str, _Data] = {}
        for told in stages:
            if told.training is None or self._told.data.source == "scenes":
                continue
            pictures, held_out = open_data(self._told.data, told.size_px, told.training.seed)
            shown = held_out[:: max(1, -(-len(held_out) // _HELD_OUT))]
            if told.training.patience is not None and not held_out:
                raise InvalidTraining(
                    f"stages.{told.name}.training.patience: no picture is held out to measure by:"
                    " set data.held_out so that there is one, or leave patience out"
                )
            found[told.name] = pictures, shown, (*pictures.captions, *shown.captions)
        return found

    def _text_width(self) -> int:
        path = self._told.text.path
        if path is None:
            from model.picture_book.networks import TEXT_WIDTH

            return TEXT_WIDTH
        return read_text(TextEntry(path=path), locate(path, beside=self._beside)).width

    def _texts(self, wanted: set[str]) -> Texts:
        told, base = self._told.text, self._told.stages[0].name
        if told.trained and not wanted & {base, TEXT}:  # it is a part of what was trained then
            kept = self._output.text
            if not kept.is_dir():
                raise InvalidTraining(
                    f"text.trained: train {base} first: the encoder is a part of it"
                )
            return LiveTexts.load(told.model_copy(update={"trained": False}), Folder(kept))
        folder = locate(told.path, beside=self._beside) if told.path is not None else None
        if told.training is not None:
            from model.picture_book.training import reading_encoder  # it draws, with resvg

            return reading_encoder(told, folder, self._told.folder / TEXT)
        assert folder is not None, "read_training saw to it"
        if told.trained or self._told.data.source == "scenes":
            return LiveTexts.load(told, folder)
        return FrozenTexts(told, folder, self._told.folder / "embeddings")

    def _train_stage(
        self, told: StageTraining, training: Training, texts: Texts, data: _Data, index: int
    ) -> None:
        torch.manual_seed(training.seed)  # new weights follow from it
        stage = new_stage(told, texts.width, index == 0, self._beside.path)
        folder = self._told.folder / told.name
        low_res_px = self._told.stages[index - 1].size_px if index else None
        task, examples, held_out = self._task(stage, training, texts, data, low_res_px)

        def sample(part: Round, examples: Sequence[Example]) -> Sequence[Tensor]:
            return draw_samples(task, self._output.read(told, part).spec, examples, low_res_px)

        for part in rounds(stage, task, folder):
            trainer = Trainer(
                part.task, examples, part.training, part.folder, self._told.data.workers, of=part.of
            )
            export = partial(self._output.export, stage, part, texts)
            with Told(part.name, part.folder) as shown:
                look = Look(
                    part.task,
                    held_out,
                    part.training,
                    part.folder,
                    shown,
                    partial(sample, part),
                    export,
                )
                trainer.run(look)
            trainer.keep_averages()
            if trainer.is_main:
                export()

    def _task(
        self,
        stage: NewStage,
        training: Training,
        texts: Texts,
        data: _Data,
        low_res_px: int | None,
    ) -> tuple[StageTask, Examples, Sequence[Example]]:
        told, dropout = stage.told, self._told.text.dropout
        if told.distillation is not None and told.distillation.guidance_scale is not None:
            dropout = 0.0  # what it comes to without text is not asked of it again
        examples, held_out, captions = data
        conditions = None
        if stage.text_width is not None:
            examples, held_out, conditions = texts.condition(examples, held_out, captions)
        if told.lora is not None:
            add_lora(stage.unet, told.lora.rank, told.lora.alpha or told.lora.rank)
        weighting = training.weighting or usual_weighting(stage.prediction)
        denoising = Denoising(stage.schedule, stage.prediction, weighting, training.gamma)
        if low_res_px is None:
            assert conditions is not None, "check_stage saw to it"
            return BaseTask(stage.unet, denoising, conditions, dropout), examples, held_out
        task = SuperResolutionTask(
            stage.unet,
            denoising,
            low_res_px,
            told.crop_px,
            told.max_aug_level,
            conditions,
            dropout,
            stage.noising_schedule,
        )
        return task, examples, held_out


@contextmanager
def _alone_in(folder: Path) -> Iterator[None]:
    """Two runs in one folder would mix their checkpoints. Raises InvalidTraining."""
    if not PartialState().is_main_process:
        yield
        return
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / ".lock").open("w") as lock:
        try:
            flock(lock, LOCK_EX | LOCK_NB)
        except BlockingIOError:
            raise InvalidTraining(
                f"folder: another run is at work in {folder}: wait for its end, or give this one a"
                " folder of its own"
            ) from None
        yield


def _scenes(told: StageTraining, training: Training) -> _Data:
    from model.picture_book.examples import SceneExamples, held_out_examples  # with resvg

    scenes = SceneExamples(told.size_px, training.seed)
    return scenes, held_out_examples(told.size_px, _HELD_OUT), None
