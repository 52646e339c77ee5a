"""The engine takes in and lets go between steps, and draws what the reference draws."""

from collections.abc import Sequence
from pathlib import Path

import pytest
import torch
from torch import Tensor

from model.cascade import Cascade
from model.plan import StageSettings
from model.stage import Stage
from model.trajectory import TextCondition
from workers.engine import Admission, Drawn, StageEngine


@pytest.fixture(scope="module")
def cascade(tiny_cascade: Path) -> Cascade:
    return Cascade.load(tiny_cascade, "cpu,float32")


@pytest.fixture
def stage(cascade: Cascade) -> Stage:
    return cascade.stages[0]


@pytest.fixture
def text(cascade: Cascade) -> TextCondition:
    return TextCondition(*cascade.text.encode(["a cat", ""]))


def admission(key: str, text: TextCondition, steps: int = 3, scale: float = 4.0) -> Admission:
    seed = int(key)
    sampler = "ddim" if seed % 2 else "dpmpp"
    return Admission(key, seed, StageSettings(steps, sampler, scale), text)


def run_dry(engine: StageEngine) -> list[Drawn]:
    drawn: list[Drawn] = []
    while engine.in_flight:
        drawn += engine.step()
    return drawn


def alone(stage: Stage, asked: Admission) -> Tensor:
    """What the reference loop draws."""
    trajectory = stage.start(asked.seed, asked.settings, asked.text)
    while not trajectory.is_finished:
        stage.step([trajectory])
    return stage.finish(trajectory)


def keys(drawn: Sequence[Drawn]) -> set[str]:
    return {each.key for each in drawn}


def test_images_join_and_leave_between_the_steps_of_others(
    stage: Stage, text: TextCondition
) -> None:
    engine = StageEngine(stage, capacity=8)
    engine.admit(admission("0", text, steps=4))
    engine.admit(admission("1", text, steps=2))
    assert engine.step() == []
    engine.admit(admission("2", text, steps=1))
    assert keys(engine.step()) == {"1", "2"}
    assert engine.step() == []
    assert keys(engine.step()) == {"0"}
    assert engine.in_flight == 0


def test_a_picture_is_the_same_whatever_it_was_batched_with(
    stage: Stage, text: TextCondition
) -> None:
    asked = [
        admission(str(seed), text, steps=1 + seed % 4, scale=1.0 + 3 * (seed % 3))
        for seed in range(9)
    ]
    engine = StageEngine(stage, capacity=4)
    for each in asked:
        engine.admit(each)
    outputs = {each.key: each.output for each in run_dry(engine)}
    for each in asked:
        torch.testing.assert_close(outputs[each.key], alone(stage, each), rtol=0, atol=1 / 255)


@pytest.mark.parametrize(
    ("scales", "together"),
    [([4.0] * 5, [2, 2, 1]), ([1.0] * 5, [4, 1]), ([4.0, 1.0, 1.0, 4.0, 1.0], [3, 2])],
)
def test_no_step_holds_more_rows_than_the_capacity(
    stage: Stage, text: TextCondition, scales: list[float], together: list[int]
) -> None:
    engine = StageEngine(stage, capacity=4)  # a guided image takes two rows
    for seed, scale in enumerate(scales):
        engine.admit(admission(str(seed), text, steps=1, scale=scale))
    assert engine.room == 0
    assert [len(engine.step()) for _ in together] == together
    assert engine.in_flight == 0


def test_room_is_for_images_as_the_stage_draws_them_by_default(
    stage: Stage, text: TextCondition
) -> None:
    engine = StageEngine(stage, capacity=8)  # the tiny base is guided
    assert engine.room == 4
    engine.admit(admission("0", text, scale=1.0))
    assert engine.room == 3
    engine.step()
    assert engine.room == 3


def test_a_wide_image_counts_by_its_area(stage: Stage, text: TextCondition) -> None:
    engine = StageEngine(stage, capacity=8)
    wide = StageSettings(1, "ddim", 4.0, width=16, height=8)
    engine.admit(Admission("0", 0, wide, text))
    assert engine.room == 2
    (drawn,) = engine.step()
    assert drawn.output.shape == (3, 8, 16)


def test_an_image_larger_than_the_capacity_is_drawn_alone(
    stage: Stage, text: TextCondition
) -> None:
    engine = StageEngine(stage, capacity=1)
    assert engine.room == 1
    for key in ("0", "1"):
        engine.admit(admission(key, text, steps=1))
    assert [len(engine.step()) for _ in range(2)] == [1, 1]


def test_a_cancelled_image_is_let_go_and_the_others_are_not(
    stage: Stage, text: TextCondition
) -> None:
    engine = StageEngine(stage, capacity=4)
    for key in ("0", "1", "2"):
        engine.admit(admission(key, text))
    engine.step()
    engine.cancel("0")  # in flight
    engine.cancel("2")  # not yet taken in
    engine.cancel("9")  # never there
    assert keys(run_dry(engine)) == {"1"}


def test_clear_lets_everything_go(stage: Stage, text: TextCondition) -> None:
    engine = StageEngine(stage, capacity=1)
    for key in ("0", "1"):
        engine.admit(admission(key, text))
    engine.step()
    engine.clear()
    assert engine.in_flight == 0
    assert engine.step() == []


def test_an_image_that_cannot_be_started_is_still_there_to_be_failed(
    stage: Stage, text: TextCondition
) -> None:
    engine = StageEngine(stage, capacity=4)
    engine.admit(admission("0", text, steps=5000))
    with pytest.raises(ValueError, match="steps must be"):
        engine.step()
    assert engine.in_flight == 1
