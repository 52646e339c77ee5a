"""A field with a value for every stage: one is given for all of them, or a list of one for each."""

from collections.abc import Callable, Iterator, Sequence
from typing import TypeVar

from app.orders.form import Refusal
from workers.jobs.card import StageCard

T = TypeVar("T")


def each(value: T | list[T | None] | None, defaults: Sequence[T]) -> list[T]:
    """A value for every stage: its default where the request says none."""
    asked = value if isinstance(value, list) else [value] * len(defaults)
    return [default if one is None else one for one, default in zip(asked, defaults, strict=True)]


def refusals(
    field: str,
    value: T | list[T | None] | None,
    stages: Sequence[StageCard],
    fits: Callable[[T, StageCard], bool] = lambda value, stage: True,
    problem: str = "",
) -> Iterator[Refusal]:
    """Where the value does not fit a stage, or a list not the stages.

    stages: those that have a value for this field, in order. problem: of a value that does not fit.
    """
    if value is None:
        return
    if isinstance(value, list):
        if len(value) != len(stages):
            counts = f"is a list of {len(value)} where {len(stages)} can be used"
            yield Refusal(field, None, counts)
            return
        for index, (one, stage) in enumerate(zip(value, stages, strict=True)):
            if one is not None and not fits(one, stage):
                yield Refusal(field, index, problem)
    elif not stages:
        yield Refusal(field, None, "has no stage to be used by")
    elif not all(fits(value, stage) for stage in stages):
        yield Refusal(field, None, problem)
