"""The form of a request: what can be refused without knowing the cascade."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, cast

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from app.orders.request import LONE_SURROGATE, GenerateRequest

PROBLEMS: Mapping[str, str] = {
    "missing": "is missing",
    "extra_forbidden": "is not a field of this request",
    "model_type": "is not an object",
    "string_type": "is not a string",
    "string_too_short": "is empty",
    "string_unicode": LONE_SURROGATE,
    "int_type": "is not an integer",
    "float_type": "is not a number",
    "finite_number": "is not a finite number",
    "greater_than": "is too small",
    "greater_than_equal": "is too small",
    "less_than": "is too large",
    "less_than_equal": "is too large",
    "literal_error": "is no value of this field",
    "list_type": "is not a list",
    "too_long": "has too many in it",
}
"""pydantic's types of error in our words; a type that is not here keeps pydantic's."""


@dataclass(frozen=True)
class Refusal:
    """A value that cannot be used. The remedy may need the card, so it is found elsewhere."""

    field: str | None
    """None: the body as a whole."""
    index: int | None
    """Within a list."""
    problem: str


def read_form(body: Any) -> tuple[GenerateRequest, list[Refusal]]:
    """The request, and what its form refuses.

    Where something is refused the request has its default in that place, so that the other
    fields can still be checked against the cascade: all that is wrong is told at once.
    """
    try:
        return GenerateRequest.model_validate(body), []
    except ValidationError as error:
        details = error.errors(include_url=False, include_context=False, include_input=False)
    refusals = [_refusal(detail) for detail in details]
    wrong = {refusal.field for refusal in refusals}
    return GenerateRequest.model_validate(dict(_sound(body, wrong))), refusals


def _sound(body: Any, wrong: set[str | None]) -> Iterator[tuple[str, Any]]:
    yield "prompt", "any"  # the one field without a default
    if isinstance(body, dict) and None not in wrong:
        for field, value in cast(dict[str, Any], body).items():
            if field in GenerateRequest.model_fields and field not in wrong:
                yield field, value


def _refusal(detail: ErrorDetails) -> Refusal:
    """loc is (field,), (field, "one"), (field, "list", index), (field, index, part), or ()."""
    loc = detail["loc"]
    field = str(loc[0]) if loc else None
    index = next((each for each in loc[1:] if isinstance(each, int)), None)
    problem = PROBLEMS.get(detail["type"], detail["msg"])
    if index is not None and loc[-1] != index:
        problem = f"has a {loc[-1]} that {problem}"
    return Refusal(field, index, problem)
