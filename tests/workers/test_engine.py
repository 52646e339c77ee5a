"""The engine takes in and lets go between steps, and draws what the reference draws."""

from collections.abc import Sequence
from pathlib import Path

import pytest
import torch
from torch import Tensor

from model.cascade import Cascade
from model.errors import DeviceLost
from model.network import Network, NetworkOptions
from model.plan import StageSettings
from model.stage import Stage
from model.trajectory import TextCondition
from tests.faults import during, memory_for, refusing, spoiling
from workers.engine import Admission, Drawn, Failed, StageEngine


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


def step(engine: StageEngine) -> list[Drawn]:
    """A step that no image fails in."""
    ended = engine.step()
    drawn = [each for each in ended if isinstance(each, Drawn)]
    assert drawn == ended
    return drawn


def run_dry(engine: StageEngine) -> list[Drawn]:
    drawn: list[Drawn] = []
    while engine.in_flight:
        drawn += step(engine)
    return drawn


def run_dry_with_failures(engine: StageEngine) -> tuple[list[Drawn], list[Failed]]:
    ended: list[Drawn | Failed] = []
    while engine.in_flight:
        ended += engine.step()
    drawn = [each for each in ended if isinstance(each, Drawn)]
    return drawn, [each for each in ended if isinstance(each, Failed)]


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
    assert step(engine) == []
    engine.admit(admission("2", text, steps=1))
    assert keys(step(engine)) == {"1", "2"}
    assert step(engine) == []
    assert keys(step(engine)) == {"0"}
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
    [
        ([4.0] * 5, [2, 2, 1]),
        ([1.0] * 5, [4, 1]),
        ([4.0, 1.0, 1.0, 4.0, 1.0], [3, 2]),
        ([1.0, 1.0, 1.0, 4.0, 1.0], [3, 2]),  # the last one would fit, but does not overtake
    ],
)
def test_no_step_holds_more_rows_than_the_capacity(
    stage: Stage, text: TextCondition, scales: list[float], together: list[int]
) -> None:
    engine = StageEngine(stage, capacity=4)  # a guided image takes two rows
    for seed, scale in enumerate(scales):
        engine.admit(admission(str(seed), text, steps=1, scale=scale))
    assert engine.room == 0
    assert [len(step(engine)) for _ in together] == together
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
    (drawn,) = step(engine)
    assert drawn.output.shape == (3, 8, 16)


def test_an_image_larger_than_the_capacity_is_drawn_alone(
    stage: Stage, text: TextCondition
) -> None:
    engine = StageEngine(stage, capacity=1)
    assert engine.room == 1
    for key in ("0", "1"):
        engine.admit(admission(key, text, steps=1))
    assert [len(step(engine)) for _ in range(2)] == [1, 1]


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


def test_a_cancelled_image_makes_room_at_the_next_step(stage: Stage, text: TextCondition) -> None:
    engine = StageEngine(stage, capacity=2)  # of one guided image
    engine.admit(admission("0", text, steps=9))
    engine.step()
    engine.cancel("0")
    for key in ("1", "2"):
        engine.admit(admission(key, text, steps=1))
    engine.cancel("1")
    assert keys(step(engine)) == {"2"}
    assert engine.in_flight == 0


def test_cancelling_what_is_not_there_does_not_stop_it_from_coming(
    stage: Stage, text: TextCondition
) -> None:
    engine = StageEngine(stage, capacity=2)
    engine.cancel("0")
    engine.admit(admission("0", text, steps=1))
    assert keys(step(engine)) == {"0"}


def test_what_is_told_during_a_step_holds_from_the_next(stage: Stage, text: TextCondition) -> None:
    engine = StageEngine(stage, capacity=8)
    for key, steps in (("0", 1), ("1", 9)):
        engine.admit(admission(key, text, steps))

    def tell() -> None:
        engine.admit(admission("2", text, steps=1))
        engine.cancel("0")  # which this step finishes
        engine.cancel("1")

    with during(stage.network.unet, tell):
        assert keys(step(engine)) == {"0"}
    assert keys(step(engine)) == {"2"}
    assert engine.in_flight == 0


@pytest.fixture
def exact(stage: Stage) -> Stage:
    """A row comes out the same to the last bit whatever it is batched with."""
    return Stage(stage.spec, Network(stage.network.unet, NetworkOptions((8,))))


@pytest.fixture
def a_dog(cascade: Cascade) -> TextCondition:
    """The text of the image that fails."""
    return TextCondition(*cascade.text.encode(["a dog", ""]))


def three(text: TextCondition, failing: TextCondition) -> list[Admission]:
    """Of which the second fails; they differ in steps and guidance."""
    return [
        admission("0", text, steps=4, scale=1.0),
        admission("1", failing, steps=3),
        admission("2", text, steps=2),
    ]


def assert_equal_alone(drawn: Sequence[Drawn], stage: Stage, asked: Sequence[Admission]) -> None:
    """To the last bit. asked: of which some are drawn."""
    by_key = {each.key: each for each in asked}
    for each in drawn:
        assert torch.equal(each.output, alone(stage, by_key[each.key]))


@pytest.mark.parametrize("value", [float("inf"), float("nan")])
def test_an_image_that_is_not_finite_fails_and_no_other(
    exact: Stage, text: TextCondition, a_dog: TextCondition, value: float
) -> None:
    engine = StageEngine(exact, capacity=8)
    asked = three(text, a_dog)
    for each in asked:
        engine.admit(each)
    with spoiling(exact.network.unet, a_dog.prompt, value):
        drawn, failed = run_dry_with_failures(engine)
    assert [(each.key, each.code) for each in failed] == [("1", "not_finite")]
    assert failed[0].message.startswith("stage 8 came to numbers that are not finite")
    assert keys(drawn) == {"0", "2"}
    assert_equal_alone(drawn, exact, asked)


def test_a_stage_with_a_broken_weight_draws_nothing(
    stage: Stage, text: TextCondition, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = StageEngine(stage, capacity=8)
    for key in ("0", "1"):
        engine.admit(admission(key, text))
    bias = stage.network.unet.conv_out.bias
    monkeypatch.setattr(bias, "data", torch.full_like(bias, torch.nan))
    drawn, failed = run_dry_with_failures(engine)
    assert not drawn
    assert {each.code for each in failed} == {"not_finite"}


def test_an_image_whose_step_raises_fails_and_no_other(
    exact: Stage, text: TextCondition, a_dog: TextCondition, caplog: pytest.LogCaptureFixture
) -> None:
    engine = StageEngine(exact, capacity=8)
    asked = three(text, a_dog)
    for each in asked:
        engine.admit(each)
    with refusing(exact.network.unet, a_dog.prompt, OSError("/a/path is not for users")):
        (first,) = engine.step()
        drawn = run_dry(engine)
    assert isinstance(first, Failed)
    assert (first.key, first.code) == ("1", "stage_failed")
    assert first.message == "stage 8 failed (OSError): the worker's log has the details"
    assert "/a/path is not for users" in caplog.text
    assert engine.capacity == 8
    assert keys(drawn) == {"0", "2"}
    assert_equal_alone(drawn, exact, asked)


def test_an_image_that_cannot_be_begun_fails_and_no_other(
    stage: Stage, text: TextCondition
) -> None:
    engine = StageEngine(stage, capacity=8)
    for key, steps in (("0", 1), ("1", 5000)):
        engine.admit(admission(key, text, steps))
    (drawn,), (failed,) = run_dry_with_failures(engine)
    assert (drawn.key, failed.key, failed.code) == ("0", "1", "stage_failed")
    assert failed.message.startswith("stage 8: steps must be")


def test_where_memory_ends_a_step_is_taken_in_parts(
    stage: Stage, text: TextCondition, caplog: pytest.LogCaptureFixture
) -> None:
    engine = StageEngine(stage, capacity=8)
    asked = [admission(str(seed), text, steps=2) for seed in range(6)]
    for each in asked:
        engine.admit(each)
    with memory_for(stage.network.unet, rows=4) as rows:
        assert step(engine) == []
        assert rows == [8, 4, 4]  # the guided images take two rows each
        assert (engine.capacity, engine.room, engine.in_flight) == (4, 0, 6)
        assert keys(step(engine)) == {"0", "1", "2", "3"}
        assert rows == [8, 4, 4, 4, 4]
        drawn = run_dry(engine)
    assert "stage 8: no memory for 8 rows, a forward holds 4 from now on" in caplog.text
    assert keys(drawn) == {"4", "5"}
    assert rows == [8, *[4] * 6]
    assert engine.room == 2


def test_memory_for_one_image_is_enough(stage: Stage, text: TextCondition) -> None:
    engine = StageEngine(stage, capacity=100)
    asked = [admission(str(seed), text, steps=3) for seed in range(4)]
    for each in asked:
        engine.admit(each)
    with memory_for(stage.network.unet, rows=2) as rows:
        drawn = run_dry(engine)
    assert rows[:6] == [8, 4, 2, 2, 2, 2]  # four rows are not tried twice
    assert set(rows[6:]) == {2}
    assert (engine.capacity, engine.room) == (2, 1)
    assert keys(drawn) == {"0", "1", "2", "3"}
    assert_equal_alone(drawn, stage, asked)


def test_an_image_that_has_no_memory_alone_fails_and_no_other(
    stage: Stage, text: TextCondition
) -> None:
    engine = StageEngine(stage, capacity=8)
    asked = [admission("0", text, scale=1.0), admission("1", text), admission("2", text, scale=1.0)]
    for each in asked:
        engine.admit(each)
    with memory_for(stage.network.unet, rows=1):
        drawn, (failed,) = run_dry_with_failures(engine)
    assert (failed.key, failed.code) == ("1", "out_of_memory")
    assert failed.message.startswith("stage 8 ran out of memory")
    assert keys(drawn) == {"0", "2"}
    assert_equal_alone(drawn, stage, asked)


def test_an_image_that_has_no_memory_to_begin_waits_for_those_beside_it(
    stage: Stage, text: TextCondition, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = StageEngine(stage, capacity=8)
    engine.admit(admission("0", text, steps=2))
    assert step(engine) == []
    engine.admit(admission("1", text))

    def no_memory(*_: object) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory.")

    with monkeypatch.context() as patch:
        patch.setattr(stage, "start", no_memory)
        assert keys(step(engine)) == {"0"}
    assert keys(run_dry(engine)) == {"1"}
    assert engine.capacity == 8


def test_what_was_stepped_before_memory_ended_is_not_stepped_twice(
    stage: Stage, text: TextCondition
) -> None:
    """Images of two shapes are two forwards, and the second fails."""
    engine = StageEngine(stage, capacity=8)
    square = Admission("0", 0, StageSettings(3, "ddpm", 1.0), text)
    wide = Admission("1", 1, StageSettings(3, "ddpm", 4.0, width=16), text)
    for each in (square, wide):
        engine.admit(each)
    with memory_for(stage.network.unet, rows=1):
        (failed,) = engine.step()
    (drawn,) = run_dry(engine)
    assert (failed.key, drawn.key) == ("1", "0")
    assert_equal_alone([drawn], stage, [square])


def test_a_lost_device_is_no_images_fault(stage: Stage, text: TextCondition) -> None:
    engine = StageEngine(stage, capacity=8)
    for key in ("0", "1"):
        engine.admit(admission(key, text))
    lost = torch.AcceleratorError("CUDA error: an illegal memory access was encountered")
    with (
        refusing(stage.network.unet, text.prompt, lost),
        pytest.raises(DeviceLost, match="stage 8: cpu is lost: CUDA error"),
    ):
        engine.step()
    assert engine.in_flight == 2
