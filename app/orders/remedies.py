"""What to do about a field that was refused: a sentence that says what can be used."""

from collections.abc import Sequence
from difflib import get_close_matches

from app.orders.body import EXAMPLE
from app.orders.form import Refusal
from app.orders.policy import Policy
from app.orders.request import MAX_ADAPTER_SCALE, MAX_ADAPTERS, GenerateRequest
from app.orders.shape import Shape
from workers.jobs.card import CascadeCard, StageCard
from workers.jobs.job import SAMPLER_WITH_ETA, SEEDS

FIELDS = tuple(GenerateRequest.model_fields)

OR_A_LIST = ", or a list of one for each stage"
"""Ends what can be used where one value is for all stages."""


def remedy(refusal: Refusal, card: CascadeCard, shape: Shape, policy: Policy) -> str:
    """The sentence for one refusal, by the card, the stages that run, and who asks."""
    match refusal.field:
        case None:
            return f"send an object, as in {EXAMPLE}"
        case "prompt":
            return f"say what to draw in 1 to {card.max_prompt_chars} characters"
        case "negative_prompt" if all(stage.guidance_distilled for stage in shape.stages):
            return "leave it out: guidance is part of the network, and only what is guided uses it"
        case "negative_prompt":
            return f"use up to {card.max_prompt_chars} characters, or leave it out"
        case "n":
            return f"use a whole number from 1 to {min(card.max_images, policy.most_images)}"
        case "size":
            return f"use {_either([str(stage.size) for stage in card.stages])}"
        case "width" | "height" as side:
            return shape.remedy(side)
        case "seed":
            return f"use a whole number from 0 to {SEEDS - 1}, or leave it out for a random one"
        case "aug_level":
            return _per_stage("aug_level", refusal.index, shape.super_resolution)
        case "steps" | "guidance_scale" | "guidance_interval" | "sampler" | "eta" as field:
            return _per_stage(field, refusal.index, shape.stages)
        case "adapters":
            return _adapters(refusal.index, card, shape)
        case "priority" | "deadline_s" | "webhook" as field:
            return policy.remedy(field)
        case unknown:
            return _unknown(unknown)


def _per_stage(field: str, index: int | None, stages: Sequence[StageCard]) -> str:
    if not stages:
        return "leave it out: no super-resolution stage runs at this size"
    if index is not None:
        return f"use {_value(field, stages[index : index + 1] or stages)}"
    names = ", ".join(stage.name for stage in stages)
    return f"use {_value(field, stages)}{OR_A_LIST}: {names}"


def _value(field: str, stages: Sequence[StageCard]) -> str:
    """A value that all these stages take."""
    match field:
        case "steps":
            return f"a whole number from 1 to {min(stage.max_steps for stage in stages)}"
        case "guidance_scale" if guided := [s.name for s in stages if s.guidance_distilled]:
            return f"1, since guidance is part of the network at stage {_either(guided)}"
        case "guidance_scale":
            return f"a number from 0 to {min(stage.max_guidance_scale for stage in stages):g}"
        case "guidance_interval":
            return "[from, to] with 0 <= from <= to <= 1"
        case "eta":
            ddim = SAMPLER_WITH_ETA
            return f'a number from 0 to 1 where the sampler is "{ddim}", null where it is another'
        case "sampler":
            first, *others = stages
            common = [s for s in first.samplers if all(s in other.samplers for other in others)]
            return _either([f'"{sampler}"' for sampler in common])
        case _:
            return "a number from 0 to 1"


def _adapters(index: int | None, card: CascadeCard, shape: Shape) -> str:
    running = {stage.name for stage in shape.stages}
    names = [f'"{adapter.name}"' for adapter in card.adapters if adapter.stage in running]
    if not names:
        return "leave it out: no stage that runs has any"
    usable = (
        f"{_either(names)}, once, at a scale from -{MAX_ADAPTER_SCALE:g} to {MAX_ADAPTER_SCALE:g}"
    )
    if index is not None:
        return f"use {usable}"
    return (
        f'use a list of up to {MAX_ADAPTERS}, each {{"name": {names[0]}, "scale": 1.0}}: {usable}'
    )


def _unknown(field: str) -> str:
    close = get_close_matches(field[:64], FIELDS, n=1)
    if close:
        return f"did you mean {close[0]}?"
    return f"leave it out; the fields are {', '.join(FIELDS)}"


def _either(values: Sequence[str]) -> str:
    return " or ".join(filter(None, [", ".join(values[:-1]), *values[-1:]]))
