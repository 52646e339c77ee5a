"""Drawn scenes as training data."""

import pickle
import random

import torch

from model.picture_book.captions import caption
from model.picture_book.examples import SceneExamples, held_out_examples
from model.picture_book.held_out import training_scene


def test_a_position_is_the_same_picture_for_ever() -> None:
    examples = SceneExamples(16, seed=0)
    copied = pickle.loads(pickle.dumps(examples))
    for position in (0, 7):
        assert torch.equal(examples[position].picture, copied[position].picture)
        assert examples[position].caption == copied[position].caption
    assert examples[0].caption != examples[7].caption
    assert examples[0].caption != SceneExamples(16, seed=1)[0].caption


def test_pictures_fill_the_range_and_show_what_is_said() -> None:
    example = SceneExamples(16, seed=0)[3]
    assert example.picture.shape == (3, 16, 16)
    assert example.picture.dtype is torch.float32
    assert example.picture.min() >= -1
    assert example.picture.max() <= 1
    assert example.picture.max() > 0.5
    rng = random.Random("0/3")
    scene = training_scene(rng)  # none that is held out
    pixels = torch.from_numpy(scene.draw(rng, 16).copy()).movedim(2, 0)
    assert (((example.picture + 1) * 127.5).round() == pixels).all()
    assert example.caption == caption(scene, rng)


def test_sizes_show_one_scene() -> None:
    small, large = (SceneExamples(size_px, seed=0)[0] for size_px in (8, 32))
    assert small.caption == large.caption
    shrunk = torch.nn.functional.interpolate(large.picture[None], 8, mode="area")[0]
    assert (shrunk - small.picture).abs().mean() < 0.1


def test_held_out_scenes_are_always_the_same_ones() -> None:
    some, again = held_out_examples(8, 5), held_out_examples(8, 5)
    assert [each.caption for each in some] == [each.caption for each in again]
    assert all(torch.equal(a.picture, b.picture) for a, b in zip(some, again, strict=True))
    assert len({each.caption for each in some}) == 5
