"""A request for guidance at a stage whose network draws as if guided, and how it is refused."""

import json
from typing import Any

import pytest

from app.answers import ResolvedParameters
from app.errors import InvalidRequest
from app.orders.resolve import resolve
from tests.app.conftest import CARD
from workers.jobs.card import CascadeCard

BASE, *LARGER = CARD.stages
UNGUIDED = {"guidance_scale": 1.0, "guidance_distilled": True}
DISTILLED = CARD.model_copy(update={"stages": (BASE.model_copy(update=UNGUIDED), *LARGER)})
WHOLLY = CARD.model_copy(
    update={"stages": tuple(stage.model_copy(update=UNGUIDED) for stage in CARD.stages)}
)
ONE = "use 1, since guidance is part of the network at stage 32"


def refused(card: CascadeCard, **fields: Any) -> dict[str, tuple[str, str]]:
    """Field -> (problem, remedy)."""
    with pytest.raises(InvalidRequest) as caught:
        resolve({"prompt": "a cat", **fields}, card)
    return {p.field: (p.problem, p.remedy) for p in caught.value.problems}


@pytest.mark.parametrize("asked", [None, 1, [None, 2.0, 3.0], [1.0, 0.5, 1.0]])
def test_other_stages_are_guided_as_ever(asked: Any) -> None:
    parameters = resolve({"prompt": "a cat", "guidance_scale": asked}, DISTILLED)
    assert parameters.stages[0].guidance_scale == 1.0
    answered = json.loads(ResolvedParameters.of(parameters).model_dump_json())
    assert resolve(answered, DISTILLED) == parameters


@pytest.mark.parametrize("scale", [0, 0.5, 7])
def test_a_distilled_stage_is_not_guided_twice(scale: float) -> None:
    assert refused(DISTILLED, guidance_scale=scale) == {
        "guidance_scale": (
            "would guide twice",
            f"{ONE}, or a list of one for each stage: 32, 128, 512",
        )
    }
    assert refused(DISTILLED, guidance_scale=[scale, 2, 1]) == {
        "guidance_scale[0]": ("would guide twice", ONE)
    }


def test_a_scale_that_is_refused_anyway_is_refused_once() -> None:
    assert refused(DISTILLED, guidance_scale=31)["guidance_scale"][0] == "is too large"
    too_few = refused(DISTILLED, guidance_scale=[7, 2])["guidance_scale"]
    assert too_few[0] == "is a list of 2 where 3 can be used"


def test_a_negative_prompt_needs_a_stage_that_is_guided() -> None:
    assert resolve({"prompt": "a cat", "negative_prompt": "a dog"}, DISTILLED)
    remedy = "leave it out: guidance is part of the network, and only what is guided uses it"
    assert refused(WHOLLY, negative_prompt="a dog") == {
        "negative_prompt": ("has no stage to be used by", remedy)
    }
    assert refused(DISTILLED, size=32, negative_prompt="a dog") == {
        "negative_prompt": ("has no stage to be used by", remedy)
    }
    assert resolve({"prompt": "a cat", "negative_prompt": ""}, WHOLLY)
