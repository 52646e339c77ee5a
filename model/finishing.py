"""What DeepFloyd IF's pipelines do to a finished picture: the safety checker and the watermark.

A picture that the checker blocks is black, and marked, as diffusers leaves it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import torch
from diffusers.pipelines.deepfloyd_if import IFSafetyChecker, IFWatermarker
from diffusers.utils.pil_utils import numpy_to_pil
from numpy.typing import NDArray
from torch import Tensor
from transformers import CLIPConfig, CLIPImageProcessorPil

from model.errors import InvalidCascade
from model.folder import Folder
from model.placement import Placement
from model.stage_folder import PipelineIndex
from model.weights import as_placed, fill, find_weights, without_weights

CHECKER, WATERMARKER, EXTRACTOR = "safety_checker", "watermarker", "feature_extractor"

Images: TypeAlias = NDArray[Any]

_POSITIONS = r".*\.position_ids"
"""Numbers that older files of the checker hold beside its weights."""


@dataclass(frozen=True)
class FinishingSpec:
    """folder: of the pipeline. What it lists of the two."""

    folder: Folder
    has_checker: bool
    has_watermark: bool

    @classmethod
    def read(cls, folder: Folder) -> "FinishingSpec | None":
        """What model_index.json of a stage's folder asks for; None if nothing.

        Raises InvalidCascade where it lists what is not there.
        """
        index = PipelineIndex.read(folder)
        has_checker, has_watermark = index.lists(CHECKER), index.lists(WATERMARKER)
        needed = [f"{CHECKER}/config.json", f"{EXTRACTOR}/preprocessor_config.json"]
        for name in needed if has_checker else []:
            file = folder.path / name
            if not file.is_file():
                raise InvalidCascade(
                    f"{file} is missing, and model_index.json lists a {CHECKER}: download it, or"
                    " set its entry to [null, null]"
                )
        return cls(folder, has_checker, has_watermark) if has_checker or has_watermark else None


@dataclass(frozen=True)
class FinishingFiles:
    """The weights of either, empty where the pipeline does not have it."""

    checker: tuple[Path, ...]
    watermarker: tuple[Path, ...]


def find_finishing_weights(spec: FinishingSpec, placement: Placement) -> FinishingFiles:
    """See find_weights."""
    half = placement.half
    checker = find_weights(spec.folder / CHECKER, "model", half=half) if spec.has_checker else ()
    if not spec.has_watermark:
        return FinishingFiles(checker, ())
    stem = "diffusion_pytorch_model"
    return FinishingFiles(checker, find_weights(spec.folder / WATERMARKER, stem, half=half))


@dataclass(frozen=True)
class Finished:
    """pixels: uint8 [H, W, 3]. blocked_by: what they are black for, nsfw or watermark, or None."""

    pixels: Tensor
    blocked_by: str | None = None


class Finishing:
    """diffusers' own checker and watermarker."""

    def __init__(self, spec: FinishingSpec, files: FinishingFiles, placement: Placement):
        self._checker = (
            _Checker(spec.folder.path, files.checker, placement) if files.checker else None
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


def _new_watermarker(files: Sequence[Path]) -> IFWatermarker:
    watermarker = IFWatermarker()
    fill(watermarker, files, as_placed(torch.device("cpu"), torch.float32))
    return watermarker
