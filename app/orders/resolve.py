"""From a request to a job's parameters: limits and defaults as the cascade card has them."""

import secrets
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from app.errors import FieldProblem, InvalidRequest
from app.orders import adapters, per_stage
from app.orders.form import Refusal, read_form
from app.orders.per_stage import each
from app.orders.policy import Policy
from app.orders.remedies import remedy
from app.orders.request import GenerateRequest
from app.orders.shape import Shape
from workers.jobs.card import CascadeCard, StageCard
from workers.jobs.job import SAMPLER_WITH_ETA, SEEDS, JobParameters, Priority, StageParameters

MAX_PROBLEMS = 50
"""A body can hold thousands of wrong things; no one reads on so far."""


@dataclass(frozen=True)
class Order:
    """A request with every value decided."""

    parameters: JobParameters
    priority: Priority
    deadline_s: float | None
    webhook: str | None


def resolve(body: Any, card: CascadeCard) -> JobParameters:
    """What is to be drawn; see `resolve_order`."""
    return resolve_order(body, card, Policy()).parameters


def resolve_order(body: Any, card: CascadeCard, policy: Policy) -> Order:
    """`body` is JSON as it came.

    Raises: InvalidRequest with everything that is wrong.
    """
    request, refusals = read_form(body)
    shape = Shape(request, card)
    refusals += [*_beyond_the_card(request, card), *_beyond_a_stage(request, shape)]
    refusals += [*adapters.refusals(request, card, shape), *policy.refusals(request)]
    # What depends on a refused field cannot be judged yet.
    refused = {refusal.field for refusal in refusals}
    if refused.isdisjoint({"size", "width", "height"}):
        refusals += shape.refusals()
    if refused.isdisjoint({"sampler", "eta"}):
        refusals += _beyond_a_sampler(request, shape)
    if refused.isdisjoint({"guidance_scale"}):
        refusals += _beyond_distillation(request, shape)
    if refusals:
        told = [_problem(refusal, card, shape, policy) for refusal in refusals[:MAX_PROBLEMS]]
        raise InvalidRequest(told, untold=len(refusals) - len(told))
    return Order(
        parameters=_parameters(request, card, shape),
        priority=policy.priority(request),
        deadline_s=request.deadline_s,
        webhook=request.webhook,
    )


def _beyond_the_card(request: GenerateRequest, card: CascadeCard) -> Iterator[Refusal]:
    for field, text in (("prompt", request.prompt), ("negative_prompt", request.negative_prompt)):
        if len(text) > card.max_prompt_chars:
            yield Refusal(field, None, f"is {len(text)} characters long")
    if request.n > card.max_images:
        yield Refusal("n", None, "is too large")
    if request.size is not None and request.size not in [stage.size for stage in card.stages]:
        yield Refusal("size", None, f"is no size of {card.name}")


def _beyond_a_stage(request: GenerateRequest, shape: Shape) -> Iterator[Refusal]:
    yield from per_stage.refusals(
        "steps",
        request.steps,
        shape.stages,
        lambda steps, stage: steps <= stage.max_steps,
        "is too large",
    )
    yield from per_stage.refusals(
        "guidance_scale",
        request.guidance_scale,
        shape.stages,
        lambda scale, stage: scale <= stage.max_guidance_scale,
        "is too large",
    )
    yield from per_stage.refusals(
        "sampler",
        request.sampler,
        shape.stages,
        lambda sampler, stage: sampler in stage.samplers,
        "is no sampler that the cascade has",
    )
    # The form has said all of these but how many there are.
    yield from per_stage.refusals("guidance_interval", request.guidance_interval, shape.stages)
    yield from per_stage.refusals("eta", request.eta, shape.stages)
    yield from per_stage.refusals("aug_level", request.aug_level, shape.super_resolution)


def _beyond_a_sampler(request: GenerateRequest, shape: Shape) -> Iterator[Refusal]:
    """An eta that no sampler would look at; one for all stages is for those that do."""
    samplers = zip(shape.stages, _samplers(request, shape), strict=True)
    with_eta = [stage for stage, sampler in samplers if sampler == SAMPLER_WITH_ETA]
    yield from per_stage.refusals(
        "eta",
        request.eta,
        shape.stages if isinstance(request.eta, list) else with_eta,
        lambda eta, stage: stage in with_eta,
        "means nothing to the sampler of this stage",
    )


def _beyond_distillation(request: GenerateRequest, shape: Shape) -> Iterator[Refusal]:
    """Guidance of a network that draws as if guided, and a prompt that nothing is guided by."""
    yield from per_stage.refusals(
        "guidance_scale",
        request.guidance_scale,
        shape.stages,
        lambda scale, stage: scale == 1 or not stage.guidance_distilled,
        "would guide twice",
    )
    if request.negative_prompt and all(stage.guidance_distilled for stage in shape.stages):
        yield Refusal("negative_prompt", None, "has no stage to be used by")


def _problem(refusal: Refusal, card: CascadeCard, shape: Shape, policy: Policy) -> FieldProblem:
    field = "body" if refusal.field is None else refusal.field
    return FieldProblem(
        field=field if refusal.index is None else f"{field}[{refusal.index}]",
        problem=refusal.problem,
        remedy=remedy(refusal, card, shape, policy),
    )


def _parameters(request: GenerateRequest, card: CascadeCard, shape: Shape) -> JobParameters:
    return JobParameters(
        prompt=request.prompt,
        negative_prompt=request.negative_prompt,
        n=request.n,
        size=shape.size,
        width=shape.width,
        height=shape.height,
        seed=secrets.randbelow(SEEDS) if request.seed is None else request.seed,
        stages=_stages(request, card, shape),
    )


def _stages(
    request: GenerateRequest, card: CascadeCard, shape: Shape
) -> tuple[StageParameters, ...]:
    stages = shape.stages
    steps = each(request.steps, [stage.steps for stage in stages])
    scales = each(request.guidance_scale, [stage.guidance_scale for stage in stages])
    intervals = each(request.guidance_interval, [stage.guidance_interval for stage in stages])
    samplers = _samplers(request, shape)
    etas = each(request.eta, [0.0] * len(stages))
    defaults = [stage.aug_level for stage in stages if stage.aug_level is not None]
    aug_levels = iter(each(request.aug_level, defaults))
    scales_of_adapters = adapters.by_stage(request, card)

    def resolved(i: int, stage: StageCard) -> StageParameters:
        width, height = shape.at(stage)
        return StageParameters(
            name=stage.name,
            width=width,
            height=height,
            steps=steps[i],
            guidance_scale=scales[i],
            guidance_interval=intervals[i],
            sampler=samplers[i],
            eta=etas[i] if samplers[i] == SAMPLER_WITH_ETA else 0.0,
            aug_level=None if stage.aug_level is None else next(aug_levels),
            adapters=scales_of_adapters[stage.name],
        )

    return tuple(resolved(i, stage) for i, stage in enumerate(stages))


def _samplers(request: GenerateRequest, shape: Shape) -> list[str]:
    return each(request.sampler, [stage.sampler for stage in shape.stages])
