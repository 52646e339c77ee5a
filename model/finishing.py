"""What DeepFloyd IF's pipelines do to a finished picture: the safety checker and the watermark.

A picture that the checker blocks is black, and marked, as diffusers leaves it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import torch
from diffusers.utils.pil_utils import numpy_to_pil
from numpy.typing import NDArray
from torch import Tensor
from transformers import CLIPConfig

from model.errors import InvalidCascade
from model.loading.folder import Folder
from model.loading.stage_folder import PipelineIndex
from model.loading.weights import as_placed, fill, find_weights, without_weights
from model.placement import Placement

CHECKER, WATERMARKER, EXTRACTOR = "safety_checker", "watermarker", "feature_extractor"

Images: TypeAlias = NDArray[Any]

_POSITIONS = r".*\.position_ids"
"""Numbers that older files of the checker hold beside its weights."""


@dataclass(frozen=True)
class FinishingSpec:
    """The pipelines' folders that have either; None where no stage does."""

    checker: Folder | None
    watermarker: Folder | None

    @classmethod
    def read(cls, stages: Sequence[Folder]) -> "FinishingSpec | None":
        """What model_index.json of the stages' folders asks for; of several the last one's.

        Raises InvalidCascade where one lists what is not there.
        """
        checkers = [folder for folder in stages if PipelineIndex.read(folder).lists(CHECKER)]
        marks = [folder for folder in stages if PipelineIndex.read(folder).lists(WATERMARKER)]
        for folder in checkers:
            _check_parts(folder)
        if not checkers and not marks:
            return None
        return cls(checkers[-1] if checkers else None, marks[-1] if marks else None)


def _check_parts(folder: Folder) -> None:
    for name in (f"{CHECKER}/config.json", f"{EXTRACTOR}/preprocessor_config.json"):
        file = folder.path / name
        if not file.is_file():
            raise InvalidCascade(
                f"{file} is missing, and model_index.json lists a {CHECKER}: download it, or"
                " set its entry to [null, null]"
            )


@dataclass(frozen=True)
class FinishingFiles:
    """The weights of either, empty where the pipeline does not have it."""

    checker: tuple[Path, ...]
    watermarker: tuple[Path, ...]


def find_finishing_weights(spec: FinishingSpec, placement: Placement) -> FinishingFiles:
    """See find_weights."""
    return FinishingFiles(
        _find(spec.checker, CHECKER, "model", placement),
        _find(spec.watermarker, WATERMARKER, "diffusion_pytorch_model", placement),
    )


def _find(folder: Folder | None, name: str, stem: str, placement: Placement) -> tuple[Path, ...]:
    return () if folder is None else find_weights(folder / name, stem, half=placement.half)


@dataclass(frozen=True)
class Finished:
    """pixels: uint8 [H, W, 3]. blocked_by: what they are black for, nsfw or watermark, or None."""

    pixels: Tensor
    blocked_by: str | None = None


class Finishing:
    """diffusers' own checker and watermarker."""

    def __init__(self, spec: FinishingSpec, files: FinishingFiles, placement: Placement):
        self._checker = (
            None if spec.checker is None else _Checker(spec.checker.path, files.checker, placement)
        )
        self._watermarker = _new_watermarker(files.watermarker) if files.watermarker else None

    @torch.inference_mode()
    def finish(self, pixels: Tensor) -> Finished:
        """Check and mark a picture. pixels: uint8 [H, W, 3] on the CPU."""
        images, blocked_by = (pixels / 255).numpy()[None], None
        if self._checker is not None:
            images, blocked_by = self._checker.check(images)
        (picture,) = numpy_to_pil(images)
        if self._watermarker is not None:
            # Told of another size, diffusers may put the mark outside of an oblong picture.
            self._watermarker.apply_watermark([picture], sample_size=min(picture.size))
        return Finished(torch.from_numpy(np.array(picture)), blocked_by)


class _Checker:
    def __init__(self, folder: Path, files: Sequence[Path], placement: Placement):
        # Slow to import, and few cascades have one.
        from diffusers.pipelines.deepfloyd_if import IFSafetyChecker
        from transformers import CLIPImageProcessorPil

        self._placement = placement
        self._extractor = CLIPImageProcessorPil.from_pretrained(folder / EXTRACTOR)
        # Its own from_pretrained fails with transformers 5.
        network = without_weights(
            folder / CHECKER,
            lambda: IFSafetyChecker(CLIPConfig.from_pretrained(folder / CHECKER)),
        )
        fill(network, files, as_placed(placement.device, placement.dtype), unused=_POSITIONS)
        self._network = network.to(placement.device)  # the positions too

    def check(self, images: Images) -> tuple[Images, str | None]:
        """images: [1, H, W, 3] in [0, 1], and what blocks them, which leaves them black."""
        seen = self._extractor(numpy_to_pil(images), return_tensors="pt").pixel_values
        seen = seen.to(self._placement.device, self._placement.dtype)
        images, (nsfw,), (marked,) = self._network(images=images, clip_input=seen)
        return images, "nsfw" if nsfw else "watermark" if marked else None


def _new_watermarker(files: Sequence[Path]) -> Any:
    """diffusers' IFWatermarker."""
    from diffusers.pipelines.deepfloyd_if import IFWatermarker

    watermarker = IFWatermarker()
    fill(watermarker, files, as_placed(torch.device("cpu"), torch.float32))
    return watermarker
