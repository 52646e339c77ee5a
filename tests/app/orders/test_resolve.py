"""From a request to parameters: what is decided for the client, and what is refused, and how."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.answers import ResolvedParameters
from app.errors import InvalidRequest
from app.orders.request import GenerateRequest
from app.orders.resolve import MAX_PROBLEMS, resolve
from tests.app.conftest import CARD
from workers.jobs.job import SEEDS, JobParameters


def refused(**fields: Any) -> dict[str, tuple[str, str]]:
    """Field -> (problem, remedy) for a request that is right but for these fields."""
    return problems({"prompt": "a cat", **fields})


def problems(body: Any) -> dict[str, tuple[str, str]]:
    with pytest.raises(InvalidRequest) as caught:
        resolve(body, CARD)
    return {p.field: (p.problem, p.remedy) for p in caught.value.problems}


def of_stages(parameters: JobParameters, name: str) -> list[Any]:
    return [getattr(stage, name) for stage in parameters.stages]


def test_what_is_left_out_is_what_the_card_says() -> None:
    parameters = resolve({"prompt": "a cat"}, CARD)
    assert (parameters.negative_prompt, parameters.n, parameters.size) == ("", 1, 512)
    assert (parameters.width, parameters.height) == (512, 512)
    assert of_stages(parameters, "name") == ["32", "128", "512"]
    assert of_stages(parameters, "steps") == [30, 8, 4]
    assert of_stages(parameters, "guidance_scale") == [4.0, 1.0, 1.0]
    assert of_stages(parameters, "guidance_interval") == [(0.0, 1.0), (0.2, 0.9), (0.0, 1.0)]
    assert of_stages(parameters, "sampler") == ["ddim", "dpmpp", "ddim"]
    assert of_stages(parameters, "eta") == [0.0, 0.0, 0.0]
    assert of_stages(parameters, "aug_level") == [None, 0.1, 0.2]


def test_null_is_the_same_as_left_out() -> None:
    left_out = resolve({"prompt": "a cat", "seed": 1}, CARD)
    nullable = set(GenerateRequest.model_fields) - {"prompt", "negative_prompt", "n", "seed"}
    nulls = dict.fromkeys(nullable)
    assert resolve({"prompt": "a cat", "seed": 1, **nulls}, CARD) == left_out
    per_stage = ("steps", "guidance_scale", "guidance_interval", "sampler", "eta")
    lists = {field: [None] * 3 for field in per_stage} | {"aug_level": [None] * 2}
    assert resolve({"prompt": "a cat", "seed": 1, **lists}, CARD) == left_out


def test_a_seed_is_drawn_where_none_is_given() -> None:
    seeds = {resolve({"prompt": "a cat"}, CARD).seed for _ in range(20)}
    assert len(seeds) > 1
    assert all(0 <= seed < SEEDS for seed in seeds)


def test_a_size_ends_the_cascade_early() -> None:
    parameters = resolve({"prompt": "a cat", "size": 128, "aug_level": [0.3]}, CARD)
    assert (parameters.size, parameters.width, parameters.height) == (128, 128, 128)
    assert of_stages(parameters, "width") == of_stages(parameters, "height") == [32, 128]
    assert of_stages(parameters, "aug_level") == [None, 0.3]


def test_one_value_is_for_every_stage() -> None:
    one = {
        "steps": 20,
        "guidance_scale": 3,
        "guidance_interval": [0, 0.5],
        "sampler": "ddim",
        "eta": 1,
        "aug_level": 0,
    }
    parameters = resolve({"prompt": "a cat", **one}, CARD)
    assert of_stages(parameters, "steps") == [20, 20, 20]
    assert of_stages(parameters, "guidance_scale") == [3.0, 3.0, 3.0]
    assert of_stages(parameters, "guidance_interval") == [(0.0, 0.5)] * 3
    assert of_stages(parameters, "sampler") == ["ddim", "ddim", "ddim"]
    assert of_stages(parameters, "eta") == [1.0, 1.0, 1.0]
    assert of_stages(parameters, "aug_level") == [None, 0.0, 0.0]


def test_a_list_is_one_value_per_stage() -> None:
    each = {
        "size": 128,
        "steps": [250, 100],
        "guidance_scale": [5.0, 0],
        "guidance_interval": [(0.1, 0.2), (0.3, 0.3)],
        "sampler": ["dpmpp", "ddim"],
        "eta": [0.0, 0.7],
        "aug_level": [1.0],
    }
    as_json = json.loads(json.dumps({"prompt": "a cat", **each, "eta": [None, 0.7]}))
    parameters = resolve(as_json, CARD)
    for name in ("steps", "guidance_scale", "guidance_interval", "sampler", "eta"):
        assert of_stages(parameters, name) == each[name]
    assert of_stages(parameters, "aug_level") == [None, 1.0]


@pytest.mark.parametrize(
    "asked",
    [
        {"size": 32},
        {"size": 128},
        {"size": 512},
        {"width": 192, "height": 96},
        {"size": 128, "height": 64},
        {"guidance_interval": [0.1, 0.7]},
        {"eta": 0.3},
        {"sampler": "dpmpp", "size": 128},
        {"sampler": ["dpmpp", "ddim", "ddim"], "eta": [None, 0.3, 1]},
    ],
)
def test_parameters_as_answered_give_the_same_again(asked: dict[str, Any]) -> None:
    parameters = resolve({"prompt": "a cat", "n": 3, **asked}, CARD)
    answered = ResolvedParameters.of(parameters).model_dump_json()
    assert resolve(json.loads(answered), CARD) == parameters


def test_one_eta_is_for_the_stages_whose_sampler_has_one() -> None:
    parameters = resolve({"prompt": "a cat", "eta": 0.5}, CARD)
    assert of_stages(parameters, "sampler") == ["ddim", "dpmpp", "ddim"]
    assert of_stages(parameters, "eta") == [0.5, 0.0, 0.5]
    assert ResolvedParameters.of(parameters).eta == [0.5, None, 0.5]


def test_an_eta_that_no_sampler_looks_at_is_refused() -> None:
    remedy = 'use a number from 0 to 1 where the sampler is "ddim", null where it is another'
    assert refused(eta=[0.5, 0.0, 0.5]) == {
        "eta[1]": ("means nothing to the sampler of this stage", remedy)
    }
    assert refused(size=128, sampler="dpmpp", eta=0.5) == {
        "eta": (
            "has no stage to be used by",
            f"{remedy}, or a list of one for each stage: 32, 128",
        )
    }


def test_an_eta_is_not_judged_by_a_sampler_that_is_refused() -> None:
    assert set(refused(sampler="euler", eta=[0.5, 0.5, 0.5])) == {"sampler"}
    assert set(refused(sampler="euler", eta=[0.5, 1.5, 0.5])) == {"sampler", "eta[1]"}
    assert set(refused(sampler=["ddim"], eta=[0.5])) == {"sampler", "eta"}


@pytest.mark.parametrize(
    ("field", "value", "problem", "remedy"),
    [
        ("prompt", None, "is not a string", "say what to draw in 1 to 100 characters"),
        ("prompt", "", "is empty", "say what to draw in 1 to 100 characters"),
        ("prompt", " \n", "is blank", "say what to draw in 1 to 100 characters"),
        ("prompt", "a" * 101, "is 101 characters long", "say what to draw in 1 to 100 characters"),
        ("prompt", "a\0", "has a NUL character in it", "say what to draw in 1 to 100 characters"),
        (
            "negative_prompt",
            "\ud83d",
            "has a lone surrogate in it, half of a UTF-16 pair",
            "use up to 100 characters, or leave it out",
        ),
        ("n", 0, "is too small", "use a whole number from 1 to 4"),
        ("n", 5, "is too large", "use a whole number from 1 to 4"),
        ("n", True, "is not an integer", "use a whole number from 1 to 4"),
        ("size", 64, "is no size of picture-book", "use 32, 128 or 512"),
        ("size", "128", "is not an integer", "use 32, 128 or 512"),
        ("width", 0, "is too small", "use a multiple of 128 from 128 to 1024"),
        ("width", 65536, "is too large", "use a multiple of 128 from 128 to 1024"),
        ("height", 256.0, "is not an integer", "use a multiple of 128 from 128 to 1024"),
        ("height", 200, "is no multiple of 128", "use a multiple of 128 from 128 to 1024"),
        (
            "seed",
            -1,
            "is too small",
            "use a whole number from 0 to 4294967295, or leave it out for a random one",
        ),
        (
            "seed",
            SEEDS,
            "is too large",
            "use a whole number from 0 to 4294967295, or leave it out for a random one",
        ),
        (
            "steps",
            "20",
            "is not an integer",
            "use a whole number from 1 to 100, or a list of one for each stage: 32, 128, 512",
        ),
        (
            "steps",
            20.0,
            "is not an integer",
            "use a whole number from 1 to 100, or a list of one for each stage: 32, 128, 512",
        ),
        (
            "steps",
            101,
            "is too large",
            "use a whole number from 1 to 100, or a list of one for each stage: 32, 128, 512",
        ),
        (
            "steps",
            [10, 10],
            "is a list of 2 where 3 can be used",
            "use a whole number from 1 to 100, or a list of one for each stage: 32, 128, 512",
        ),
        (
            "guidance_scale",
            float("nan"),
            "is not a finite number",
            "use a number from 0 to 20, or a list of one for each stage: 32, 128, 512",
        ),
        (
            "guidance_scale",
            float("inf"),
            "is not a finite number",
            "use a number from 0 to 20, or a list of one for each stage: 32, 128, 512",
        ),
        (
            "guidance_scale",
            -0.1,
            "is too small",
            "use a number from 0 to 20, or a list of one for each stage: 32, 128, 512",
        ),
        (
            "sampler",
            "euler",
            "is no sampler that the cascade has",
            'use "ddim", or a list of one for each stage: 32, 128, 512',
        ),
        *(
            (
                "guidance_interval",
                wrong,
                "is not a pair of times, 0 <= from <= to <= 1",
                "use [from, to] with 0 <= from <= to <= 1, or a list of one for each stage: "
                "32, 128, 512",
            )
            for wrong in (0.5, [0.5], [0.7, 0.2], [0, 1.1], [0, 0.5, 1], [0, True], ["0", "1"])
        ),
        (
            "guidance_interval",
            [],
            "is a list of 0 where 3 can be used",
            "use [from, to] with 0 <= from <= to <= 1, or a list of one for each stage: "
            "32, 128, 512",
        ),
        (
            "eta",
            1.5,
            "is too large",
            'use a number from 0 to 1 where the sampler is "ddim", null where it is another, or a '
            "list of one for each stage: 32, 128, 512",
        ),
        (
            "aug_level",
            1.5,
            "is too large",
            "use a number from 0 to 1, or a list of one for each stage: 128, 512",
        ),
        (
            "aug_level",
            [0.1, 0.1, 0.1],
            "is a list of 3 where 2 can be used",
            "use a number from 0 to 1, or a list of one for each stage: 128, 512",
        ),
        (
            "guidance",
            4,
            "is not a field of this request",
            "did you mean guidance_scale?",
        ),
        (
            "watermark",
            "x",
            "is not a field of this request",
            "leave it out; the fields are prompt, negative_prompt, n, size, width, height, seed, "
            "steps, guidance_scale, guidance_interval, sampler, eta, aug_level, adapters, "
            "priority, deadline_s, webhook",
        ),
    ],
)
def test_a_bad_value_is_refused_by_name(
    field: str, value: object, problem: str, remedy: str
) -> None:
    assert refused(**{field: value}) == {field: (problem, remedy)}


def test_every_bad_element_is_refused_by_its_place() -> None:
    assert refused(
        steps=[0, 8, "4"],
        guidance_scale=[31, 1, 21],
        guidance_interval=[[0, 1], [1, 0], [0.5]],
        sampler=["x", "ddim", "dpmpp"],
    ) == {
        "guidance_interval[1]": (
            "is not a pair of times, 0 <= from <= to <= 1",
            "use [from, to] with 0 <= from <= to <= 1",
        ),
        "guidance_interval[2]": (
            "is not a pair of times, 0 <= from <= to <= 1",
            "use [from, to] with 0 <= from <= to <= 1",
        ),
        "steps[0]": ("is too small", "use a whole number from 1 to 250"),
        "steps[2]": ("is not an integer", "use a whole number from 1 to 100"),
        "guidance_scale[0]": ("is too large", "use a number from 0 to 30"),
        "guidance_scale[2]": ("is too large", "use a number from 0 to 20"),
        "sampler[0]": ("is no sampler that the cascade has", 'use "ddim" or "dpmpp"'),
        "sampler[2]": ("is no sampler that the cascade has", 'use "ddim"'),
    }


def test_a_super_resolution_value_is_not_ignored_where_no_such_stage_runs() -> None:
    assert refused(size=32, aug_level=0.1) == {
        "aug_level": (
            "has no stage to be used by",
            "leave it out: no super-resolution stage runs at this size",
        )
    }
    assert resolve({"prompt": "a cat", "size": 32, "aug_level": []}, CARD).size == 32


def test_all_that_is_wrong_is_told_at_once() -> None:
    """What the form refuses, and what only the card can, in one answer."""
    body = {
        "promt": "a cat",
        "n": 99,
        "width": 100,
        "seed": "7",
        "steps": [True, 1, 1],
        "guidance_interval": [1, 0],
        "eta": [None, 0.5, None],
    }
    wrong = {"prompt", "promt", "n", "width", "seed", "steps[0]", "guidance_interval", "eta[1]"}
    assert set(problems(body)) == wrong
    assert problems(body)["prompt"][0] == "is missing"
    assert problems(body)["promt"][1] == "did you mean prompt?"


@pytest.mark.parametrize("body", [None, "a cat", 7, [], [{"prompt": "a cat"}]])
def test_a_body_has_to_be_an_object(body: object) -> None:
    assert problems(body) == {
        "body": ("is not an object", 'send an object, as in {"prompt": "a red apple"}')
    }


def test_no_one_reads_thousands_of_problems() -> None:
    with pytest.raises(InvalidRequest, match="and 152 more") as caught:
        resolve({f"x{i}": 0 for i in range(MAX_PROBLEMS + 150)} | {"steps": [0]}, CARD)
    assert len(caught.value.problems) == MAX_PROBLEMS


# Few letters: those that are trouble, and enough to hit upon a name.
TEXTS = st.text("ab \0\ud800", max_size=4) | st.sampled_from(["ddim", "dpmpp", "steps", "sed"])
SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | TEXTS
LISTS = st.lists(SCALARS | st.lists(st.floats(0, 1), min_size=1, max_size=3), max_size=4)
VALUES = SCALARS | LISTS | st.dictionaries(TEXTS, SCALARS, max_size=2)
FIELDS = st.sampled_from(list(GenerateRequest.model_fields)) | TEXTS


@given(st.dictionaries(FIELDS, VALUES, max_size=6))
def test_any_object_is_resolved_or_refused(body: dict[str, Any]) -> None:
    try:
        parameters = resolve(body, CARD)
    except InvalidRequest:
        assert all(problem and remedy for problem, remedy in problems(body).values())
    else:
        assert parameters.prompt == body["prompt"]
