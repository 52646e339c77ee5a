"""The shape of a picture: what each stage draws, what is refused, and remedies that work."""

import re
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from app.errors import InvalidRequest
from app.orders.resolve import resolve
from tests.app.conftest import CARD
from workers.jobs.card import CascadeCard
from workers.jobs.job import JobParameters


def drawn(**fields: Any) -> JobParameters:
    return resolve({"prompt": "a cat", **fields}, CARD)


def refused(*, card: CascadeCard = CARD, **fields: Any) -> dict[str, tuple[str, str]]:
    """Field -> (problem, remedy)."""
    with pytest.raises(InvalidRequest) as caught:
        resolve({"prompt": "a cat", **fields}, card)
    return {p.field: (p.problem, p.remedy) for p in caught.value.problems}


def test_every_stage_draws_the_same_shape_at_its_size() -> None:
    parameters = drawn(size=512, width=768, height=256)
    assert (parameters.width, parameters.height) == (768, 256)
    assert [(s.width, s.height) for s in parameters.stages] == [(48, 16), (192, 64), (768, 256)]


def test_one_side_alone_leaves_the_other_at_the_size() -> None:
    tall = drawn(size=128, height=256)
    assert (tall.width, tall.height) == (128, 256)
    wide = drawn(width=1024)
    assert (wide.size, wide.width, wide.height) == (512, 1024, 512)


@pytest.mark.parametrize(
    ("width", "height", "size"),
    [(32, 32, 32), (24, 40, 32), (64, 64, 128), (160, 96, 128), (256, 384, 512)],
)
def test_both_sides_without_a_size_find_the_stage_nearest_in_area(
    width: int, height: int, size: int
) -> None:
    parameters = drawn(width=width, height=height)
    assert (parameters.size, parameters.stages[-1].name) == (size, str(size))


def test_a_size_goes_before_the_nearest_area() -> None:
    assert drawn(size=128, width=32, height=32).size == 128
    assert drawn(width=32, height=32).size == 32


def test_a_side_has_to_suit_every_stage_that_runs() -> None:
    """40 px is a multiple of 8, but a base of 10 px is not."""
    assert drawn(size=32, width=40).width == 40
    assert refused(size=128, width=40) == {
        "width": ("is no multiple of 32", "use a multiple of 32 from 32 to 256")
    }


def test_the_step_is_that_of_the_stage_that_asks_for_most() -> None:
    coarse = CARD.stages[1].model_copy(update={"multiple": 64})
    stages = (CARD.stages[0], coarse, CARD.stages[2])
    card = CARD.model_copy(update={"stages": stages})
    assert refused(card=card, size=128, width=96) == {
        "width": ("is no multiple of 64", "use a multiple of 64 from 64 to 256")
    }


def test_stages_that_grow_by_no_whole_number_draw_whole_pixels() -> None:
    """From 32 to 80 px: a side of 80k / 4 is one of 32k / 4 below, if that is a multiple of 8."""
    upper = CARD.stages[1].model_copy(update={"name": "80", "size": 80})
    card = CARD.model_copy(update={"stages": (CARD.stages[0], upper)})
    stages = resolve({"prompt": "a cat", "width": 120}, card).stages
    assert [(s.width, s.height) for s in stages] == [(48, 32), (120, 80)]
    assert refused(card=card, width=100)["width"][1] == "use a multiple of 40 from 40 to 160"


@pytest.mark.parametrize(
    ("sides", "problems"),
    [
        ({"width": 288}, {"width": "makes a picture of more than 32768 pixels"}),
        ({"width": 192, "height": 192}, {"width": "makes a picture of more than 32768 pixels"}),
        ({"width": 192, "height": 224}, {"height": "makes a picture of more than 32768 pixels"}),
        (
            {"width": 160, "height": 32},
            {"width": "makes a picture with one side more than 4 times the other"},
        ),
        ({"width": 512, "height": 512}, {"width": "is too large", "height": "is too large"}),
        (
            {"width": 100, "height": 512},
            {"width": "is no multiple of 32", "height": "is too large"},
        ),
    ],
)
def test_a_shape_has_limits(sides: dict[str, Any], problems: dict[str, str]) -> None:
    told = refused(size=128, **sides)
    assert {field: problem for field, (problem, _) in told.items()} == problems


def test_the_remedy_is_for_the_other_side_as_it_is() -> None:
    assert refused(size=128, width=100, height=256)["width"][1] == (
        "use a multiple of 32 from 64 to 128"
    )


def test_a_shape_is_not_judged_by_a_size_that_is_refused() -> None:
    assert set(refused(size=100, width=40, height=40)) == {"size"}
    assert set(refused(width=40, height="40")) == {"height"}


SIDES = st.none() | st.integers(1, 600) | st.integers(1, 40).map(lambda k: 32 * k)


@given(
    size=st.sampled_from([None, 32, 128, 512]),
    width=SIDES,
    height=SIDES,
    data=st.data(),
)
def test_a_remedy_that_is_followed_helps(
    size: int | None, width: int | None, height: int | None, data: st.DataObject
) -> None:
    asked = {"size": size, "width": width, "height": height}
    try:
        parameters = drawn(**asked)
    except InvalidRequest as error:
        remedies = {problem.field: problem.remedy for problem in error.problems}
    else:
        check(parameters)
        return
    # The stages that run stay those that the remedy is for.
    assume(size is not None or width is None or height is None)
    for side, remedy in remedies.items():
        numbers = re.fullmatch(r"use a multiple of (\d+) from (\d+) to (\d+)", remedy)
        assert numbers, remedy
        step, first, last = map(int, numbers.groups())
        asked[side] = data.draw(st.sampled_from(range(first, last + 1, step)))
    check(drawn(**asked))


def check(parameters: JobParameters) -> None:
    """What a worker relies on."""
    width, height, size = parameters.width, parameters.height, parameters.size
    assert width * height <= CARD.max_area_ratio * size**2
    assert max(width, height) <= CARD.max_aspect_ratio * min(width, height)
    for stage, card in zip(parameters.stages, CARD.stages, strict=False):
        assert stage.width * size == width * card.size
        assert stage.height * size == height * card.size
        assert stage.width % card.multiple == stage.height % card.multiple == 0
