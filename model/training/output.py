"""The cascade folder that a run writes, stage by stage. Trains nothing."""

from pathlib import Path
from typing import Any

from model.errors import InvalidTraining
from model.loading.cascade_folder import PlacedStage, StageEntry, read_stage
from model.loading.folder import Folder, locate
from model.loading.weights import find_weights
from model.training.config import StageTraining
from model.training.export import TEXT_FOLDER, copy_stage, export_stage, write_cascade
from model.training.rounds import Round, keep_sampling, kept_sampling
from model.training.stages import NewStage, network_folder
from model.training.texts import Texts
from model.training.training_file import TrainingFile


class Output:
    """beside: what networks and text encoders are relative to."""

    def __init__(self, told: TrainingFile, beside: Path):
        self.folder = told.folder / "cascade"
        self._told = told
        self._beside = beside

    @property
    def text(self) -> Path:
        """Where the text encoder is written."""
        return self.folder / TEXT_FOLDER

    def check(self) -> None:
        """That nothing lies here that the run starts from. Raises InvalidTraining."""
        for field, start in self._starts().items():
            if start.path.resolve().is_relative_to(self.folder.resolve()):
                raise InvalidTraining(
                    f"{field}: {start} is in the cascade that this run writes, over what it starts"
                    " from: give the run a `folder` of its own"
                )

    def _starts(self) -> dict[str, Folder]:
        """By the field that names it."""
        networks = {
            f"stages.{told.name}.network": network_folder(told.network, self._beside)
            for told in self._told.stages
        }
        text = self._told.text.path
        found = {"text.path": locate(text, Folder(self._beside)) if text is not None else None}
        return {field: folder for field, folder in (found | networks).items() if folder is not None}

    def export(self, stage: NewStage, part: Round, texts: Texts) -> None:
        """Write a stage as it is after a round, or in one, and describe what there is."""
        told = stage.told
        self.folder.mkdir(parents=True, exist_ok=True)
        export_stage(stage, self.folder / _place(told))
        if told.distillation is not None:
            keep_sampling(part, self._told.folder / told.name)
        if told.lora is not None:
            self._copy(told)
        self._describe(texts)

    def take(self, told: StageTraining, texts: Texts) -> None:
        """A stage that is not trained comes along as it is."""
        self._copy(told)
        self._describe(texts)

    def read(self, told: StageTraining, part: Round) -> PlacedStage:
        """A stage as it was exported."""
        entry = StageEntry(path=told.name, **part.sampling)
        return read_stage(Folder(self.folder / told.name), entry)

    def _copy(self, told: StageTraining) -> None:
        start = network_folder(told.network, self._beside)
        assert start is not None, "check_stage saw to it"
        find_weights(start / "unet", "diffusion_pytorch_model", half=False)  # or the hub has them
        copy_stage(start.path, self.folder / told.name)

    def _describe(self, texts: Texts) -> None:
        """cascade.json, of the stages that there are, up to the first that is missing."""
        stages: list[dict[str, Any]] = []
        adapters: list[dict[str, Any]] = []
        for told in self._told.stages:
            path = self.folder / _place(told)
            if not path.exists():
                break
            said = kept_sampling(told, self._told.folder / told.name)
            stages.append({"path": told.name, **said})
            if told.lora is not None:
                name, place = told.lora.name, _place(told)
                adapters.append({"name": name, "path": place, "stage": str(told.size_px)})
        if not stages:  # a later one may be trained before the base
            return
        others = {"adapters": adapters} if adapters else {}
        write_cascade(self.folder, self._told.name, texts.export(self.folder), stages, **others)


def _place(told: StageTraining) -> str:
    """Where in the folder a stage is written, or its adapter."""
    return told.name if told.lora is None else f"adapters/{told.lora.name}"
