"""Drawn scenes as training data: endless, and each at its position the same for ever."""

import random
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from model.picture_book.captions import caption
from model.picture_book.drawings import Pixels
from model.picture_book.held_out import is_held_out, training_scene
from model.picture_book.scenes import Scene, random_scene
from model.training.data.examples import Example


class SceneExamples:
    """Random scenes that are not held out, drawn as they are asked for."""

    def __init__(self, size_px: int, seed: int):
        self._size_px = size_px
        self._seed = seed

    def __getitem__(self, position: int) -> Example:
        rng = random.Random(f"{self._seed}/{position}")
        return _example(training_scene(rng), rng, self._size_px)


def held_out_examples(size_px: int, count: int) -> Sequence[Example]:
    """Scenes that training never sees, always the same ones."""
    rng = random.Random("held out")
    examples: list[Example] = []
    while len(examples) < count:
        scene = random_scene(rng)
        if is_held_out(scene):
            examples.append(_example(scene, rng, size_px))
    return examples


def _example(scene: Scene, rng: random.Random, size_px: int) -> Example:
    return Example(_as_picture(scene.draw(rng, size_px)), caption(scene, rng))


def _as_picture(pixels: Pixels) -> Tensor:
    """uint8 [S, S, 3] to float32 [3, S, S] in [-1, 1]."""
    return torch.from_numpy(np.moveaxis(pixels, 2, 0).copy()).float() / 127.5 - 1
