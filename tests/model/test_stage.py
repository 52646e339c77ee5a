"""One step for many trajectories equals one step for each."""

from pathlib import Path

import pytest
import torch

from model.cascade import Cascade
from model.stage import Stage
from model.trajectory import StageSettings, TextCondition, Trajectory

MIXED = [
    StageSettings(steps=3, sampler="ddim", guidance_scale=4.0, aug_level=0.1),
    StageSettings(steps=7, sampler="dpmpp", guidance_scale=1.0, aug_level=0.3),
    StageSettings(steps=5, sampler="dpmpp", guidance_scale=9.0, aug_level=0.0),
    StageSettings(steps=1, sampler="ddim", guidance_scale=1.0, aug_level=1.0),
]


@pytest.fixture(scope="module")
def cascade(tiny_cascade: Path) -> Cascade:
    return Cascade.load(tiny_cascade, device="cpu", dtype=torch.float32)


def begin(cascade: Cascade, stage: Stage) -> list[Trajectory]:
    """Trajectories that differ in all that rows may differ in."""
    prompts = ["a cat", "a dog", "a red apple", ""]
    text = [TextCondition(*cascade.text.encode([prompt, "red"])) for prompt in prompts]
    low_res = torch.rand(3, 8, 8) * 2 - 1 if stage.spec.is_super_resolution else None
    return [
        stage.start(seed, settings, condition, low_res)
        for seed, (settings, condition) in enumerate(zip(MIXED, text, strict=True))
    ]


@pytest.mark.parametrize("index", [0, 1])
def test_rows_of_a_mixed_batch_equal_rows_stepped_alone(cascade: Cascade, index: int) -> None:
    stage = cascade.stages[index]
    torch.manual_seed(0)
    together = begin(cascade, stage)
    torch.manual_seed(0)
    alone = begin(cascade, stage)
    while flying := [t for t in together if not t.is_finished]:
        stage.step(flying)
    for trajectory in alone:
        while not trajectory.is_finished:
            stage.step([trajectory])
    for one, other in zip(together, alone, strict=True):
        # Kernels add in another order for another batch; 1/255 would be 8e-3 here.
        torch.testing.assert_close(one.x, other.x, rtol=0, atol=1e-4)


def test_more_augmentation_leaves_less_of_the_low_res_image(cascade: Cascade) -> None:
    stage = cascade.stages[1]
    text = TextCondition(*cascade.text.encode(["a cat", ""]))
    low_res = torch.full((3, 8, 8), 0.5)
    kept: list[float] = []
    for aug_level in (0.0, 0.3, 0.9):
        trajectory = stage.start(0, StageSettings(2, "ddim", 1.0, aug_level), text, low_res)
        assert trajectory.low_res is not None
        kept.append(float(trajectory.low_res.pixels.mean()))
    assert kept == sorted(kept, reverse=True)
    assert kept[0] == pytest.approx(0.5, abs=0.02)


def test_a_base_stage_refuses_a_low_res_image(cascade: Cascade) -> None:
    text = TextCondition(*cascade.text.encode(["a cat", ""]))
    with pytest.raises(ValueError, match="stage 8 is a base stage"):
        cascade.stages[0].start(0, MIXED[0], text, torch.zeros(3, 4, 4))
