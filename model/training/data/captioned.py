"""Makes examples of captioned picture files: without end for training, in order for looking.

Knows neither folders nor shards.
"""

import hashlib
import random
from collections.abc import Sequence
from functools import lru_cache
from typing import overload

import numpy as np
import numpy.typing as npt

from model.training.data.captions import names_a_side
from model.training.data.examples import Example
from model.training.data.picture_file import PictureFile


class EndlessPictures:
    """Every picture once an epoch, in an order that is each epoch's own; see Examples.

    Of several captions one is taken at random. flip: half of the pictures are mirrored, where the
    caption taken does not say left or right. random_crop: the square is anywhere along the longer
    side, not in its middle.
    """

    def __init__(
        self,
        files: Sequence[PictureFile],
        size_px: int,
        seed: int,
        flip: bool = False,
        random_crop: bool = False,
    ):
        self.files = tuple(files)
        self._size_px = size_px
        self._seed = seed
        self.flip = flip
        self._random_crop = random_crop

    @property
    def captions(self) -> tuple[str, ...]:
        """All that may come up, each once."""
        return tuple(dict.fromkeys(said for file in self.files for said in file.captions))

    def __getitem__(self, position: int) -> Example:
        epoch, place = divmod(position, len(self.files))
        file = self.files[_order(len(self.files), self._seed, epoch)[place]]
        rng = random.Random(f"{self._seed} {position}")
        # Always drawn, so that no setting changes what another one draws.
        caption, along, coin = rng.choice(file.captions), rng.random(), rng.random()
        mirrored = self.flip and coin < 0.5 and not names_a_side(caption)
        picture = file.square(self._size_px, along if self._random_crop else 0.5, mirrored)
        return Example(picture, caption)


class PicturesInOrder(Sequence[Example]):
    """Every picture once, by name: its middle, with its first caption. Read when asked for."""

    def __init__(self, files: Sequence[PictureFile], size_px: int):
        self.files = tuple(sorted(files, key=lambda file: file.name))
        self._size_px = size_px

    @property
    def captions(self) -> tuple[str, ...]:
        """All that come up, each once."""
        return tuple(dict.fromkeys(file.captions[0] for file in self.files))

    def __len__(self) -> int:
        return len(self.files)

    @overload
    def __getitem__(self, position: int) -> Example: ...
    @overload
    def __getitem__(self, position: slice) -> "PicturesInOrder": ...
    def __getitem__(self, position: int | slice) -> "Example | PicturesInOrder":
        if isinstance(position, slice):
            return PicturesInOrder(self.files[position], self._size_px)
        file = self.files[position]
        return Example(file.square(self._size_px), file.captions[0])


def split(
    files: Sequence[PictureFile], held_out: float
) -> tuple[list[PictureFile], list[PictureFile]]:
    """Files to train with, and the share of them that is held out; files have names of their own.

    A hash of the name decides, so that a picture stays where it is when others are added. Where
    there are so few that chance leaves one part empty, the picture nearest to it goes there.
    """
    if not held_out or len(files) < 2:
        return list(files), []
    ranked = sorted(files, key=lambda file: _rank(file.name))
    count = sum(_rank(file.name) < held_out for file in files)
    count = min(max(count, 1), len(files) - 1)
    return ranked[count:], ranked[:count]


def _rank(name: str) -> float:
    """In [0, 1), evenly spread."""
    return int.from_bytes(hashlib.sha256(name.encode()).digest()[:6]) / 2**48


@lru_cache(maxsize=2)  # reading ahead, a process is in two epochs at most
def _order(count: int, seed: int, epoch: int) -> npt.NDArray[np.int64]:
    """A permutation of range(count)."""
    return np.random.default_rng((seed, epoch)).permutation(count)
