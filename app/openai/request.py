"""Reads the body of POST /v1/images/generations: OpenAI's fields here, ours as POST /generate."""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from difflib import get_close_matches
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from app.errors import FieldProblem, InvalidRequest
from app.openai.errors import ModelNotFound
from app.orders.body import EXAMPLE
from app.orders.form import PROBLEMS
from app.orders.policy import Policy
from app.orders.request import GenerateRequest
from app.orders.resolve import MAX_PROBLEMS, Order, resolve_order
from workers.jobs.card import CascadeCard

DEADLINE_S = 595.0
"""Of a job that has none of its own. OpenAI's client gives up after 600 s, and is to hear why."""

OURS = (
    "prompt",
    "n",
    "negative_prompt",
    "seed",
    "steps",
    "guidance_scale",
    "guidance_interval",
    "sampler",
    "eta",
    "aug_level",
    "priority",
    "deadline_s",
)
"""The fields of POST /generate that can be sent here, too."""

SIDES = ("width", "height")

EXAMPLES: list[Any] = [
    {"prompt": "a red apple on a blue background", "size": "128x128"},
    {"prompt": "two cats", "n": 2, "response_format": "b64_json", "seed": 7, "steps": [30, 8]},
    {"prompt": "a big red fish", "stream": True, "partial_images": 2},
]

NOT_USED = "Neither used nor kept: a job belongs to the owner of the API key."
AS_YOU_LIKE = "Nothing else can be chosen here."


def _with_ours(schema: dict[str, Any]) -> None:
    ours = GenerateRequest.model_json_schema()["properties"]
    n = {
        "anyOf": [{"type": "integer", "minimum": 1}, {"type": "null"}],
        "default": 1,
        "description": "How many pictures, seeded seed, seed + 1, ...; with `stream` only 1.",
    }
    schema["properties"] = {name: ours[name] for name in OURS} | schema["properties"] | {"n": n}
    schema["required"] = ["prompt"]
    schema["examples"] = EXAMPLES


class ImageRequest(BaseModel):
    """What to draw, in OpenAI's words. What POST /generate has under the same name is the same.

    Null is as good as left out, but for what only POST /generate has.
    """

    model_config = ConfigDict(
        strict=True, extra="forbid", frozen=True, json_schema_extra=_with_ours
    )

    model: str | None = Field(
        default=None,
        description="The cascade that is served, as GET /v1/models names it. Left out, it is that.",
    )
    size: str | None = Field(
        default="auto",
        pattern="^(auto|[0-9]{1,5}x[0-9]{1,5})$",
        description="WIDTHxHEIGHT in pixels, within the limits that GET /model shows; auto is the "
        "largest square.",
    )
    response_format: Literal["url", "b64_json"] | None = Field(
        default=None,
        description="How a picture comes: url where it is left out. With `stream` always b64_json.",
    )
    stream: bool | None = Field(
        default=False,
        description="Whether the answer is server-sent events, of one picture as it is drawn.",
    )
    partial_images: int | None = Field(
        default=0,
        ge=0,
        le=3,
        description="With `stream`: how often, at most, to show what the picture looks like so "
        "far, spread over the work.",
    )
    output_format: Literal["png"] | None = Field(default="png", description=AS_YOU_LIKE)
    background: Literal["auto", "opaque"] | None = Field(default="auto", description=AS_YOU_LIKE)
    quality: Literal["auto", "standard"] | None = Field(
        default="auto", description=f"{AS_YOU_LIKE} `steps` is what decides."
    )
    moderation: Literal["auto"] | None = Field(
        default="auto", description=f"{AS_YOU_LIKE} It is the cascade that has a safety checker."
    )
    style: Literal["auto"] | None = Field(
        default="auto", description=f"{AS_YOU_LIKE} Say it in the prompt."
    )
    user: str | None = Field(default=None, description=NOT_USED)
    safety_identifier: str | None = Field(default=None, description=NOT_USED)


REMEDIES: Mapping[str, str] = {
    "body": f"send an object, as in {EXAMPLE}",
    "model": "use a name that GET /v1/models tells, or leave it out",
    "size": 'use "auto", or width and height in pixels as in "128x128"',
    "response_format": 'use "url" or "b64_json"',
    "stream": "use true or false",
    "partial_images": "use a whole number from 0 to 3",
    "output_format": 'use "png", or leave it out',
    "background": 'use "auto" or "opaque", or leave it out',
    "quality": 'use "auto", or leave it out; steps is what decides',
    "moderation": 'use "auto", or leave it out',
    "style": "leave it out, and say in the prompt what you would like",
    "user": "use a string, or leave it out",
    "safety_identifier": "use a string, or leave it out",
    "width": 'leave it out; size says it, as in "160x96"',
    "height": 'leave it out; size says it, as in "160x96"',
    "webhook": "leave it out; POST /generate has it, and does not wait",
}

FIELDS = (*OURS, *ImageRequest.model_fields)


def read_order(body: Any, card: CascadeCard, policy: Policy) -> tuple[ImageRequest, Order]:
    """`body` is JSON as it came.

    Raises: ModelNotFound; InvalidRequest with everything else that is wrong.
    """
    theirs, ours = _parted(body)
    request, problems = _read_form(theirs)
    if request.model not in (None, card.name):
        raise ModelNotFound(card.name)
    problems += _beyond_a_stream(request, ours)
    try:
        order = resolve_order(_in_our_words(request, ours), card, policy)
    except InvalidRequest as error:
        problems += map(_in_their_words, error.problems)
    if problems:
        raise InvalidRequest(problems[:MAX_PROBLEMS], untold=max(0, len(problems) - MAX_PROBLEMS))
    return request, replace(order, deadline_s=order.deadline_s or DEADLINE_S)


def _parted(body: Any) -> tuple[dict[str, Any], Any]:
    """What is only OpenAI's or no one's, and what is ours."""
    if not isinstance(body, dict):
        return {}, body
    ours = {name: value for name, value in body.items() if name in OURS}
    if "n" in ours and ours["n"] is None:
        del ours["n"]
    return {name: value for name, value in body.items() if name not in OURS}, ours


def _read_form(theirs: Mapping[str, Any]) -> tuple[ImageRequest, list[FieldProblem]]:
    """Where something is wrong, the request has its default in that place."""
    try:
        return ImageRequest.model_validate(theirs), []
    except ValidationError as error:
        details = error.errors(include_url=False, include_context=False, include_input=False)
    # A name that no text can have has no place of its own.
    problems = {str(detail["loc"][0]) if detail["loc"] else "body": detail for detail in details}
    fields = ImageRequest.model_fields.keys() - problems.keys()
    sound = {name: value for name, value in theirs.items() if name in fields}
    return ImageRequest.model_validate(sound), [
        FieldProblem(
            field=name,
            problem=PROBLEMS.get(detail["type"], "is no value of this field"),
            remedy=REMEDIES.get(name) or _unknown(name),
        )
        for name, detail in problems.items()
    ]


def _unknown(field: str) -> str:
    close = get_close_matches(field[:64], FIELDS, n=1)
    return f"did you mean {close[0]}?" if close else f"leave it out; there are {', '.join(FIELDS)}"


def _beyond_a_stream(request: ImageRequest, ours: Any) -> Iterator[FieldProblem]:
    """OpenAI's events do not say which picture they are of, and have it in them."""
    if request.stream:
        if isinstance(ours, dict) and isinstance(n := ours.get("n"), int) and n > 1:
            yield FieldProblem(
                field="n",
                problem="is more than can be streamed",
                remedy="use 1, or leave stream out: an event does not say which picture it is of",
            )
        if request.response_format == "url":
            yield FieldProblem(
                field="response_format",
                problem="is not how pictures are streamed",
                remedy='use "b64_json", or leave it out',
            )
    elif request.partial_images:
        yield FieldProblem(
            field="partial_images",
            problem="means nothing without stream",
            remedy="set stream to true, or leave it out",
        )


def _in_our_words(request: ImageRequest, ours: Any) -> Any:
    """A body of POST /generate."""
    if request.size in (None, "auto") or not isinstance(ours, dict):
        return ours
    sides = map(int, str(request.size).split("x"))
    return ours | dict(zip(SIDES, sides, strict=True))


def _in_their_words(problem: FieldProblem) -> FieldProblem:
    """A side is half of a size."""
    side = problem.field
    if side not in SIDES:
        return problem
    return FieldProblem(
        field="size",
        problem=f"has a {side} that {problem.problem}",
        remedy=f'for the {side} {problem.remedy}, or use "auto"',
    )
