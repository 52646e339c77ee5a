"""What a body of /v1/images/generations may say, and what is told of what it may not."""

from collections.abc import Mapping
from typing import Any

import pytest
from openai.types.image_generate_params import ImageGenerateParamsStreaming

from app.errors import InvalidRequest
from app.openai.errors import ModelNotFound
from app.openai.request import DEADLINE_S, EXAMPLES, FIELDS, OURS, ImageRequest, read_order
from app.orders.policy import Policy
from tests.app.conftest import CARD
from workers.jobs.job import Priority

LEAVE_IT_OUT = "leave it out"


def refusals(**asked: Any) -> dict[str, str]:
    """What is told, by field."""
    with pytest.raises(InvalidRequest) as raised:
        read_order({"prompt": "a cat", "size": "32x32", **asked}, CARD, Policy())
    problems = raised.value.problems
    told = {each.field: f"{each.problem}: {each.remedy}" for each in problems}
    assert len(told) == len(problems)
    return told


@pytest.mark.parametrize(
    ("asked", "field", "problem", "remedy"),
    [
        ({"prompt": ""}, "prompt", "is empty", "say what to draw in 1 to 100 characters"),
        ({"prompt": 101 * "a"}, "prompt", "is 101 characters long", "1 to 100 characters"),
        ({"prompt": None}, "prompt", "is not a string", "say what to draw"),
        ({"n": 5}, "n", "is too large", "use a whole number from 1 to 4"),
        ({"n": 0}, "n", "is too small", "use a whole number from 1 to 4"),
        ({"size": "huge"}, "size", "is no value of this field", 'use "auto", or width and height'),
        ({"size": "36x32"}, "size", "has a width that is no multiple of 8", "for the width use a"),
        ({"size": "32x36"}, "size", "has a height that is no multiple of 8", "for the height use"),
        ({"size": "2048x512"}, "size", "has a width that is too large", "for the width use a"),
        ({"size": "0x32"}, "size", "has a width that is too small", "for the width use a"),
        ({"response_format": "png"}, "response_format", "is no value of", '"url" or "b64_json"'),
        ({"output_format": "webp"}, "output_format", "is no value of", 'use "png", or leave it'),
        ({"output_compression": 50}, "output_compression", "is not a field of", LEAVE_IT_OUT),
        ({"quality": "hd"}, "quality", "is no value of this field", "steps is what decides"),
        ({"background": "transparent"}, "background", "is no value of", '"auto" or "opaque"'),
        ({"moderation": "low"}, "moderation", "is no value of", 'use "auto", or leave it out'),
        ({"style": "vivid"}, "style", "is no value of this field", "say in the prompt"),
        ({"complexity": "low"}, "complexity", "is not a field of", LEAVE_IT_OUT),
        ({"partial_images": 2}, "partial_images", "means nothing without", "set stream to true"),
        ({"stream": True, "partial_images": 4}, "partial_images", "is too large", "from 0 to 3"),
        ({"stream": True, "n": 2}, "n", "is more than can be streamed", "use 1, or leave stream"),
        (
            {"stream": True, "response_format": "url"},
            "response_format",
            "is not how pictures are streamed",
            'use "b64_json", or leave it out',
        ),
        ({"stream": "yes"}, "stream", "is no value of", "use true or false"),
        ({"user": 7}, "user", "is not a string", "use a string"),
        ({"model": 7}, "model", "is not a string", "use a name that GET /v1/models tells"),
        ({"\ud800": 7}, "body", "has a lone surrogate in it", "send an object"),
        ({"step": 3}, "step", "is not a field of", "did you mean steps?"),
        ({"width": 32}, "width", "is not a field of", "size says it"),
        ({"webhook": "https://a.b"}, "webhook", "is not a field", "POST /generate"),
        ({"steps": [1, 999]}, "steps", "is a list of 2 where 1", "from 1 to 250"),
        ({"seed": -1}, "seed", "is too small", "use a whole number from 0 to"),
        ({"sampler": "x"}, "sampler", "is no sampler", '"ddim" or "dpmpp"'),
        ({"priority": "top"}, "priority", "is no value", '"low" or "normal"'),
        ({"negative_prompt": None}, "negative_prompt", "is not a string", "up to"),
    ],
)
def test_a_field_that_cannot_be_used_is_named_with_the_remedy(
    asked: Mapping[str, Any], field: str, problem: str, remedy: str
) -> None:
    told = refusals(**asked)
    assert told.keys() == {field}
    assert told[field].startswith(problem)
    assert remedy in told[field]


def test_all_that_is_wrong_is_told_at_once() -> None:
    told = refusals(prompt="", n=9, size="33x32", style="vivid", seed="x", aug_level=2, no="no")
    assert told.keys() == {"prompt", "n", "size", "style", "seed", "aug_level", "no"}
    with pytest.raises(InvalidRequest, match="and 951 more"):
        read_order({"prompt": "", **{f"{number}": 0 for number in range(1000)}}, CARD, Policy())


@pytest.mark.parametrize("body", [None, [], "a cat", 7])
def test_a_body_is_an_object(body: Any) -> None:
    with pytest.raises(InvalidRequest) as raised:
        read_order(body, CARD, Policy())
    (problem,) = raised.value.problems
    assert (problem.field, problem.problem) == ("body", "is not an object")


@pytest.mark.parametrize("name", ["dall-e-3", "", "picture-book ", "\ud800"])
def test_no_other_model_is_served(name: str) -> None:
    with pytest.raises(ModelNotFound) as raised:
        read_order({"prompt": "", "model": name, "size": "1792x1024"}, CARD, Policy())
    assert raised.value.served == "picture-book"


def test_the_examples_are_true() -> None:
    two_stages = CARD.model_copy(update={"stages": CARD.stages[:2]})
    for example in EXAMPLES:
        assert read_order(example, two_stages, Policy())


def test_null_is_as_good_as_left_out() -> None:
    nothing = dict.fromkeys(set(FIELDS) - {"prompt", "negative_prompt"})
    request, order = read_order({"prompt": "a cat", **nothing}, CARD, Policy())
    assert (request.response_format, request.stream, request.partial_images) == (None, None, None)
    assert (order.parameters.n, order.parameters.size) == (1, 512)
    assert order.deadline_s == DEADLINE_S


def test_the_limits_are_those_of_who_asks() -> None:
    policy = Policy(highest_priority=Priority.LOW, most_images=2)
    with pytest.raises(InvalidRequest) as raised:
        read_order({"prompt": "a cat", "n": 3, "priority": "high"}, CARD, policy)
    assert [problem.field for problem in raised.value.problems] == ["n", "priority"]


def test_openai_has_no_field_that_we_take_for_another() -> None:
    """Of ours, only those may be OpenAI's too that mean the same."""
    theirs = {*ImageGenerateParamsStreaming.__annotations__}
    assert theirs >= {"prompt", "n", "size", "stream", "partial_images"}
    assert theirs & {*OURS} == {"prompt", "n"}
    assert {*ImageRequest.model_fields} <= theirs
