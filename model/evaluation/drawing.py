"""Draws many prompts, a batch at a time, as the service would with default settings."""

from collections.abc import Iterator, Sequence

from torch import Tensor

from model.cascade import Cascade
from model.finishing import Finished
from model.stage import Stage
from model.trajectory import TextCondition

BATCH = 16


def draw(
    cascade: Cascade, prompts: Sequence[str], seeds: Sequence[int], batch: int = BATCH
) -> Iterator[Finished]:
    """A picture of the last stage's size for each prompt with its seed, in their order.

    Equal to what Cascade.generate draws within 1/255. Raises NotFinite.
    """
    for start in range(0, len(prompts), batch):
        *embeddings, empty = cascade.text.encode([*prompts[start : start + batch], ""])
        texts = [TextCondition(prompt=embedding, negative=empty) for embedding in embeddings]
        images: Sequence[Tensor | None] = [None] * len(texts)
        for stage in cascade.stages:
            images = draw_stage(stage, texts, seeds[start : start + batch], images)
        yield from (cascade.finish(image) for image in images if image is not None)


def draw_stage(
    stage: Stage,
    texts: Sequence[TextCondition],
    seeds: Sequence[int],
    low_res: Sequence[Tensor | None],
) -> list[Tensor]:
    """With the stage's default settings: [3, S, S] float16 each."""
    trajectories = [
        stage.start(seed, stage.spec.defaults, text, image)
        for seed, text, image in zip(seeds, texts, low_res, strict=True)
    ]
    for _ in trajectories[0].plan:
        stage.step(trajectories)
    return [stage.finish(trajectory) for trajectory in trajectories]
