"""Draws many pictures at once through stage engines, as a worker does; no queue, no HTTP."""

from collections.abc import Mapping, Sequence

from torch import Tensor

from model.cascade import Cascade, to_pixels
from model.plan import StageSettings
from model.stage import Stage
from model.trajectory import TextCondition
from workers.engine import Admission, StageEngine

_ROWS = {"cpu": 8, "cuda": 64}


def rows_of_a_step(stage: Stage) -> int:
    """How many rows a step holds on the stage's device; a guided image takes two."""
    return _ROWS[stage.network.device.type]


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
        images = run(StageEngine(stage, rows_of_a_step(stage)), admissions)
    return [to_pixels(image) for image in images if image is not None]


def run(engine: StageEngine, admissions: Sequence[Admission]) -> list[Tensor]:
    """Step until all are drawn: [3, S, S] float16 on the CPU, in the order of the admissions."""
    for admission in admissions:
        engine.admit(admission)
    outputs: dict[str, Tensor] = {}
    while engine.in_flight:
        outputs |= {drawn.key: drawn.output for drawn in engine.step()}
    return [outputs[admission.key] for admission in admissions]
