"""Prompts drawn together are the pictures that the reference loop draws one by one."""

from dataclasses import replace
from pathlib import Path

import pytest

from model.cascade import Cascade
from model.evaluation.drawing import draw

PROMPTS, SEEDS = ("a cat", "a red apple", "a dog"), (7, 3, 5)


@pytest.mark.parametrize("batch", [2, 16])
def test_each_picture_is_the_reference_loops(tiny_cascade: Path, batch: int) -> None:
    cascade = Cascade.load(tiny_cascade, "cpu,float32")
    drawn = list(draw(cascade, PROMPTS, SEEDS, batch))
    assert len(drawn) == len(PROMPTS)
    for finished, prompt, seed in zip(drawn, PROMPTS, SEEDS, strict=True):
        alone = cascade.generate(prompt, seed=seed).pixels
        assert (finished.pixels.int() - alone.int()).abs().max() <= 1


def test_of_no_prompts_there_are_no_pictures(tiny_cascade: Path) -> None:
    assert list(draw(Cascade.load(tiny_cascade), [], [])) == []


def test_pictures_are_checked_and_marked_as_those_served(if_folders: Path) -> None:
    cascade = Cascade.load(if_folders)
    for stage in cascade.stages:
        stage.spec = replace(stage.spec, defaults=replace(stage.spec.defaults, steps=2))
    assert cascade.has_checker
    (finished,) = draw(cascade, ["a red cat"], [1])
    alone = cascade.generate("a red cat", seed=1)
    assert finished.blocked_by == alone.blocked_by
    assert (finished.pixels.int() - alone.pixels.int()).abs().max() <= 1
