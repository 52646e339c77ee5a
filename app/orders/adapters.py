"""The adapters of a request: those that the card lists, each given to the stage it is of."""

from collections import defaultdict
from collections.abc import Iterator

from app.orders.form import Refusal
from app.orders.request import GenerateRequest
from app.orders.shape import Shape
from workers.jobs.card import CascadeCard


def refusals(request: GenerateRequest, card: CascadeCard, shape: Shape) -> Iterator[Refusal]:
    """Those that the cascade has not, that no stage would use, or that are asked for twice."""
    stages = {adapter.name: adapter.stage for adapter in card.adapters}
    running = {stage.name for stage in shape.stages}
    seen: set[str] = set()
    for index, use in enumerate(request.adapters or ()):
        if use.name not in stages:
            yield Refusal("adapters", index, f"is no adapter of {card.name}")
        elif stages[use.name] not in running:
            where = f"is of stage {stages[use.name]}, which does not run at this size"
            yield Refusal("adapters", index, where)
        elif use.name in seen:
            yield Refusal("adapters", index, "is asked for before")
        seen.add(use.name)


def by_stage(request: GenerateRequest, card: CascadeCard) -> dict[str, dict[str, float]]:
    """The scales by stage and name, where nothing was refused; {} at a stage without."""
    stages = {adapter.name: adapter.stage for adapter in card.adapters}
    found: defaultdict[str, dict[str, float]] = defaultdict(dict)
    for use in request.adapters or ():
        found[stages[use.name]][use.name] = use.scale
    return found
