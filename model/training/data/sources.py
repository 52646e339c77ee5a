"""From what a training file says of its data to examples. Draws no scenes."""

import logging
from collections.abc import Sequence

from model.errors import InvalidTraining
from model.training.config import Data
from model.training.data.captioned import EndlessPictures, PicturesInOrder, split
from model.training.data.folder import find_in_folder
from model.training.data.picture_file import PictureFile
from model.training.data.shards import find_in_shards

log = logging.getLogger(__name__)


def open_data(data: Data, size_px: int, seed: int) -> tuple[EndlessPictures, PicturesInOrder]:
    """What is trained on, and what is held out, squares of size_px a side.

    Pictures whose shorter side is less are left out, with a warning: enlarged, they would teach
    the cascade to draw blurred ones. Raises InvalidTraining.
    """
    training, held_out = split(_large_enough(_find(data), size_px), data.held_out)
    return (
        EndlessPictures(training, size_px, seed, data.flip, data.crop == "random"),
        PicturesInOrder(held_out, size_px),
    )


def _find(data: Data) -> list[PictureFile]:
    if data.path is None or data.source == "scenes":
        raise ValueError("scenes are drawn, not opened")
    return find_in_folder(data.path) if data.source == "folder" else find_in_shards(data.path)


def _large_enough(files: Sequence[PictureFile], size_px: int) -> list[PictureFile]:
    small = [file.name for file in files if file.shorter_side_px < size_px]
    if small:
        said = (
            f"{len(small)} of {len(files)} pictures are less than {size_px} px wide or high, the"
            f" first is {small[0]}"
        )
        if len(small) == len(files):
            raise InvalidTraining(f"{said}: train a smaller size_px, or give larger pictures")
        log.warning("%s: they are left out", said)
    return [file for file in files if file.shorter_side_px >= size_px]
