"""From a request to a job's parameters: limits and defaults as the cascade card has them."""

import secrets
from collections.abc import Callable, Iterator, Sequence
from typing import Any, TypeVar

from app.errors import FieldProblem, InvalidRequest
from app.form import Refusal, read_form
from app.remedies import remedy
from app.schemas import GenerateRequest
from workers.jobs.card import CascadeCard, StageCard
from workers.jobs.job import SEEDS, JobParameters, StageParameters

T = TypeVar("T", int, float, str)

Stages = Sequence[StageCard]

MAX_PROBLEMS = 50
"""A body can hold thousands of wrong things; no one reads on so far."""


def resolve(body: Any, card: CascadeCard) -> JobParameters:
    """The request with every value decided; `body` is JSON as it came.

    Raises: InvalidRequest with everything that is wrong.
    """
    request, refusals = read_form(body)
    stages = _stages_that_run(request.size, card)
    refusals += [*_beyond_the_card(request, card), *_beyond_a_stage(request, stages)]
    if refusals:
        told = [_problem(refusal, card, stages) for refusal in refusals[:MAX_PROBLEMS]]
        raise InvalidRequest(told, untold=len(refusals) - len(told))
    return _parameters(request, stages)


def _stages_that_run(size: int | None, card: CascadeCard) -> Stages:
    """Up to the one of this size; all of them where there is none such."""
    for position, stage in enumerate(card.stages):
        if stage.size == size:
            return card.stages[: position + 1]
    return card.stages


def _super_resolution(stages: Stages) -> Stages:
    return [stage for stage in stages if stage.aug_level is not None]


def _beyond_the_card(request: GenerateRequest, card: CascadeCard) -> Iterator[Refusal]:
    for field, text in (("prompt", request.prompt), ("negative_prompt", request.negative_prompt)):
        if len(text) > card.max_prompt_chars:
            yield Refusal(field, None, f"is {len(text)} characters long")
    if request.n > card.max_images:
        yield Refusal("n", None, "is too large")
    if request.size is not None and request.size not in [stage.size for stage in card.stages]:
        yield Refusal("size", None, f"is no size of {card.name}")


def _beyond_a_stage(request: GenerateRequest, stages: Stages) -> Iterator[Refusal]:
    yield from _per_stage(
        "steps",
        request.steps,
        stages,
        lambda steps, stage: steps <= stage.max_steps,
        "is too large",
    )
    yield from _per_stage(
        "guidance_scale",
        request.guidance_scale,
        stages,
        lambda scale, stage: scale <= stage.max_guidance_scale,
        "is too large",
    )
    yield from _per_stage(
        "sampler",
        request.sampler,
        stages,
        lambda sampler, stage: sampler in stage.samplers,
        "is no sampler that the cascade has",
    )
    # Its bounds are no stage's matter: the form has said all but how many there are.
    yield from _per_stage(
        "aug_level", request.aug_level, _super_resolution(stages), lambda level, stage: True, ""
    )


def _per_stage(
    field: str,
    value: T | list[T] | None,
    stages: Stages,
    fits: Callable[[T, StageCard], bool],
    problem: str,
) -> Iterator[Refusal]:
    if value is None:
        return
    if isinstance(value, list):
        if len(value) != len(stages):
            counts = f"is a list of {len(value)} where {len(stages)} can be used"
            yield Refusal(field, None, counts)
            return
        for index, (one, stage) in enumerate(zip(value, stages, strict=True)):
            if not fits(one, stage):
                yield Refusal(field, index, problem)
    elif not stages:
        yield Refusal(field, None, "has no stage to be used by")
    elif not all(fits(value, stage) for stage in stages):
        yield Refusal(field, None, problem)


def _problem(refusal: Refusal, card: CascadeCard, stages: Stages) -> FieldProblem:
    field = "body" if refusal.field is None else refusal.field
    users = _super_resolution(stages) if field == "aug_level" else stages
    return FieldProblem(
        field=field if refusal.index is None else f"{field}[{refusal.index}]",
        problem=refusal.problem,
        remedy=remedy(refusal, card, users),
    )


def _parameters(request: GenerateRequest, stages: Stages) -> JobParameters:
    steps = _each(request.steps, [stage.steps for stage in stages])
    guidance_scale = _each(request.guidance_scale, [stage.guidance_scale for stage in stages])
    sampler = _each(request.sampler, [stage.sampler for stage in stages])
    upper = [stage.name for stage in _super_resolution(stages)]
    aug_levels = [stage.aug_level for stage in stages if stage.aug_level is not None]
    aug_level = dict(zip(upper, _each(request.aug_level, aug_levels), strict=True))
    return JobParameters(
        prompt=request.prompt,
        negative_prompt=request.negative_prompt,
        n=request.n,
        size=stages[-1].size,
        seed=secrets.randbelow(SEEDS) if request.seed is None else request.seed,
        stages=tuple(
            StageParameters(
                name=stage.name,
                size=stage.size,
                steps=steps[position],
                guidance_scale=guidance_scale[position],
                sampler=sampler[position],
                aug_level=aug_level.get(stage.name),
            )
            for position, stage in enumerate(stages)
        ),
    )


def _each(value: T | list[T] | None, defaults: list[T]) -> list[T]:
    """A value for every stage."""
    if value is None:
        return defaults
    return value if isinstance(value, list) else [value] * len(defaults)
