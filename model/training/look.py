"""Looks at a stage while it is trained: its held-out error and sample pictures.

Knows nothing of how weights are stepped.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn

from model.cascade import to_pixels
from model.training.config import Training
from model.training.data.examples import Batch, Example
from model.training.processes import computing_in
from model.training.progress import Told
from model.training.randomness import Draws
from model.training.reports import Report

Sample = Callable[[Sequence[Example]], Sequence[Tensor]]
"""Draws a picture, [3, S, S] in [-1, 1], for each example, with the weights as they are."""

_SEED = 1
"""Of the noise that held-out examples get: the same at every look, so that looks compare."""

_BATCH = 16
"""One process looks, whatever a step's batch is."""


class Look:
    """Watches a Trainer. export: writes the averaged weights to where they are served from."""

    def __init__(
        self,
        task: nn.Module,
        held_out: Sequence[Example],
        training: Training,
        folder: Path,
        told: Told,
        sample: Sample,
        export: Callable[[], None],
    ):
        self._task = task
        self._held_out = held_out
        self._training = training
        self._folder = folder
        self._told = told
        self._sample = sample
        self._export = export

    def report(self, report: Report) -> None:
        self._told.report(report)

    def look(self, step: int) -> float | None:
        """Export, draw and measure; None where nothing is held out."""
        self._export()
        with _without_dropout(self._task):
            if self._held_out and self._training.samples:
                shown = self._held_out[: self._training.samples]
                self._keep_samples(step, shown, self._sample(shown))
            return self._measure(step) if self._held_out else None

    def say(self, text: str) -> None:
        self._told.say(text)

    def _measure(self, step: int) -> float:
        error = held_out_error(self._task, self._held_out, self._training.precision)
        self._told.scalars.add("held_out", error, step)
        self._told.keep({"step": step, "held_out": error})
        self._told.say(f"step {step}: held-out error {error:.5f}")
        return error

    def _keep_samples(
        self, step: int, examples: Sequence[Example], drawn: Sequence[Tensor]
    ) -> None:
        """A grid: each picture beside what was drawn for its caption; captions in a file."""
        grid = _grid(
            [torch.cat([each.picture, x], dim=2) for each, x in zip(examples, drawn, strict=True)]
        )
        Image.fromarray(grid).save(self._folder / f"samples-{step}.png")
        self._told.scalars.add_image("samples", grid, step)
        captions = "".join(f"{each.caption}\n" for each in examples)
        (self._folder / "samples.txt").write_text(captions, "utf-8")


@contextmanager
def _without_dropout(task: nn.Module) -> Iterator[None]:
    """Evaluation mode meanwhile; then each module is in the mode that it was in."""
    trained = [module for module in task.modules() if module.training]
    task.eval()
    try:
        yield
    finally:
        for module in trained:
            module.training = True


@torch.no_grad()
def held_out_error(task: nn.Module, examples: Sequence[Example], precision: str) -> float:
    """The mean squared error on all held-out examples, each with noise of its own."""
    device = next(task.parameters()).device
    total = 0.0
    for start in range(0, len(examples), _BATCH):
        positions = range(start, min(start + _BATCH, len(examples)))
        batch = Batch.of([examples[position] for position in positions]).to(device)
        with computing_in(precision, device):
            errors = task(batch, Draws.of(_SEED, positions, _BATCH))
        total += float(errors.plain.sum())
    return total / len(examples)


def _grid(pictures: Sequence[Tensor], columns: int = 4) -> np.ndarray:
    """[3, H, W] each to uint8 [rows * H, columns * W, 3], white where there is none."""
    height, width = pictures[0].shape[1:]
    rows = -(-len(pictures) // columns)
    grid = np.full((rows * height, columns * width, 3), 255, np.uint8)
    for index, picture in enumerate(pictures):
        top, left = index // columns * height, index % columns * width
        grid[top : top + height, left : left + width] = to_pixels(picture).numpy(force=True)
    return grid
