"""Draws with a network as it stands while it is trained, in the way it will be served."""

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from model.evaluation.drawing import draw_stage
from model.network import Network
from model.stage import Stage, StageSpec
from model.training.data.examples import Batch, Example
from model.training.tasks import StageTask, downsampled
from model.trajectory import TextCondition

_AT_ONCE = 4
"""Few, so that they fit into what memory training leaves."""


@torch.no_grad()
def draw_samples(
    task: StageTask, spec: StageSpec, examples: Sequence[Example], low_res_px: int | None
) -> list[Tensor]:
    """A picture, [3, S, S] in [-1, 1], for each example's caption, with the stage's own settings.

    low_res_px: a super-resolution stage enlarges the example's own picture at that size.
    """
    stage = Stage(spec, Network(task.unet))
    drawn: list[Tensor] = []
    for start in range(0, len(examples), _AT_ONCE):
        some = Batch.of(examples[start : start + _AT_ONCE])
        low_res: Sequence[Tensor | None] = [None] * len(some)
        if low_res_px is not None:
            low_res = list(downsampled(some.pictures, low_res_px))
        seeds = range(start, start + len(some))
        drawn += draw_stage(stage, list(_texts(task, some)), seeds, low_res)
    return drawn


def _texts(task: StageTask, batch: Batch) -> Iterator[TextCondition]:
    if task.conditions is None:
        prompts = empty = torch.zeros(len(batch), 1, 1)
    else:
        kept, dropped = (torch.full((len(batch),), drop) for drop in (False, True))
        prompts, empty = task.conditions(batch, kept), task.conditions(batch, dropped)
    for prompt, no in zip(prompts.cpu(), empty.cpu(), strict=True):
        yield TextCondition(prompt, no)
