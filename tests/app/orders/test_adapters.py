"""Which adapters a request may ask for, where they end up, and how others are refused."""

import json
from typing import Any

import pytest

from app.answers import ResolvedParameters
from app.errors import InvalidRequest
from app.orders.resolve import resolve
from tests.app.conftest import CARD
from workers.jobs.card import AdapterCard

ADAPTED = CARD.model_copy(
    update={
        "adapters": (
            AdapterCard(name="pixel-art", stage="32"),
            AdapterCard(name="ink", stage="32"),
            AdapterCard(name="clay", stage="128"),
        )
    }
)
USABLE = '"pixel-art", "ink" or "clay", once, at a scale from -5 to 5'


def refused(adapters: object, **more: object) -> dict[str, tuple[str, str]]:
    """Field -> (problem, remedy)."""
    with pytest.raises(InvalidRequest) as caught:
        resolve({"prompt": "a cat", "adapters": adapters, **more}, ADAPTED)
    return {p.field: (p.problem, p.remedy) for p in caught.value.problems}


def test_each_is_given_to_the_stage_that_it_is_of() -> None:
    asked = [{"name": "clay", "scale": 0.5}, {"name": "ink"}, {"name": "pixel-art", "scale": -5}]
    parameters = resolve({"prompt": "a cat", "adapters": asked}, ADAPTED)
    assert [stage.adapters for stage in parameters.stages] == [
        {"ink": 1.0, "pixel-art": -5.0},
        {"clay": 0.5},
        {},
    ]


@pytest.mark.parametrize("nothing", [None, []])
def test_none_is_as_good_as_left_out(nothing: object) -> None:
    parameters = resolve({"prompt": "a cat", "adapters": nothing}, ADAPTED)
    assert [stage.adapters for stage in parameters.stages] == [{}, {}, {}]


def test_parameters_as_answered_give_the_same_again() -> None:
    asked = [{"name": "clay", "scale": 0}, {"name": "ink", "scale": 0.25}]
    parameters = resolve({"prompt": "a cat", "seed": 1, "adapters": asked}, ADAPTED)
    answered: dict[str, Any] = json.loads(ResolvedParameters.of(parameters).model_dump_json())
    assert answered["adapters"] == [{"name": "ink", "scale": 0.25}, {"name": "clay", "scale": 0.0}]
    assert resolve(answered, ADAPTED) == parameters


@pytest.mark.parametrize(
    ("use", "problem"),
    [
        ({"name": "chalk"}, "is no adapter of picture-book"),
        ({"name": "\ud800"}, "is no adapter of picture-book"),
        ({"name": "ink", "scale": 5.1}, "has a scale that is too large"),
        ({"name": "ink", "scale": -6}, "has a scale that is too small"),
        ({"name": "ink", "scale": "1"}, "has a scale that is not a number"),
        ({"name": "ink", "scale": float("nan")}, "has a scale that is not a finite number"),
        ({"name": "ink", "weight": 1}, "has a weight that is not a field of this request"),
        ({"scale": 1}, "has a name that is missing"),
        ("ink", "is not an object"),
    ],
)
def test_one_that_cannot_be_used_is_refused_by_its_place(use: object, problem: str) -> None:
    asked = [{"name": "clay"}, use]
    assert refused(asked) == {"adapters[1]": (problem, f"use {USABLE}")}


def test_twice_the_same_is_refused() -> None:
    asked = [{"name": "ink"}, {"name": "clay"}, {"name": "ink", "scale": 0.5}]
    assert refused(asked) == {"adapters[2]": ("is asked for before", f"use {USABLE}")}


def test_one_of_a_stage_that_does_not_run_is_not_ignored() -> None:
    assert refused([{"name": "clay"}], size=32) == {
        "adapters[0]": (
            "is of stage 128, which does not run at this size",
            'use "pixel-art" or "ink", once, at a scale from -5 to 5',
        )
    }


@pytest.mark.parametrize(
    ("asked", "problem"),
    [([{"name": "ink"}] * 5, "has too many in it"), ({"ink": 1.0}, "is not a list")],
)
def test_what_is_no_list_of_a_few_is_refused_with_an_example(asked: object, problem: str) -> None:
    example = '{"name": "pixel-art", "scale": 1.0}'
    remedy = f"use a list of up to 4, each {example}: {USABLE}"
    assert refused(asked) == {"adapters": (problem, remedy)}


def test_a_cascade_without_any_says_so() -> None:
    with pytest.raises(InvalidRequest) as caught:
        resolve({"prompt": "a cat", "adapters": [{"name": "ink"}]}, CARD)
    (problem,) = caught.value.problems
    assert problem.remedy == "leave it out: no stage that runs has any"
