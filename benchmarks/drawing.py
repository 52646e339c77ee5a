"""Draws many pictures at once through stage engines, as a worker does; no queue, no HTTP."""

from collections.abc import Mapping, Sequence
from functools import cache

from torch import Tensor

from model.cascade import Cascade, to_pixels
from model.plan import StageSettings
from model.trajectory import TextCondition
from workers.capacity import find_capacities
from workers.engine import Admission, Failed, StageEngine
from workers.settings import WorkerSettings


@cache
def rows_of_a_step(cascade: Cascade) -> Mapping[str, int]:
    """How many rows a step of each stage holds, found as a worker finds it."""
    found = find_capacities(cascade, WorkerSettings())
    return {stage: capacity.rows for stage, capacity in found.items()}


def encode(cascade: Cascade, prompts: Sequence[str]) -> list[TextCondition]:
    """The prompts, each with the empty one to steer away from."""
    *embeddings, empty = cascade.text.encode([*prompts, ""])
    return [TextCondition(prompt=embedding, negative=empty) for embedding in embeddings]


def draw(
    cascade: Cascade,
    texts: Sequence[TextCondition],
    seeds: Sequence[int],
    settings: Mapping[str, StageSettings],
) -> list[Tensor]:
    """A picture for each text with its seed: uint8 [S, S, 3].

    settings: by stage name, where they differ from the stage's own.
    """
    images: Sequence[Tensor | None] = [None] * len(texts)
    for stage in cascade.stages:
        chosen = settings.get(stage.spec.name, stage.spec.defaults)
        admissions = [
            Admission(str(index), seed, chosen, text, image)
            for index, (seed, text, image) in enumerate(zip(seeds, texts, images, strict=True))
        ]
        images = run(StageEngine(stage, rows_of_a_step(cascade)[stage.spec.name]), admissions)
    return [to_pixels(image) for image in images if image is not None]


def run(engine: StageEngine, admissions: Sequence[Admission]) -> list[Tensor]:
    """Step until all are drawn: [3, S, S] float16 on the CPU, in the order of the admissions."""
    for admission in admissions:
        engine.admit(admission)
    outputs: dict[str, Tensor] = {}
    while engine.in_flight:
        for ended in engine.step():
            if isinstance(ended, Failed):
                raise RuntimeError(ended.message)
            outputs[ended.key] = ended.output
    return [outputs[admission.key] for admission in admissions]
