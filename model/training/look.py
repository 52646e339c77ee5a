"""Looks at a stage while it is trained: its held-out error, sample pictures, and when to stop.

Knows nothing of how weights are stepped.
"""

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn

from model.cascade import to_pixels
from model.training.config import Training
from model.training.data.examples import Batch, Example
from model.training.loop import Report
from model.training.progress import Told
from model.training.randomness import Draws

Sample = Callable[[Sequence[Example]], Sequence[Tensor]]
"""Draws a picture, [3, S, S] in [-1, 1], for each example, with the weights as they are."""

_SEED = 1
"""Of the noise that held-out examples get: the same at every look, so that looks compare."""


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
        self._best = float("inf")
        self._looks_since = 0

    def report(self, report: Report) -> None:
        self._told.report(report)

    def look(self, step: int) -> bool:
        """Measure and draw; true where `patience` is at its end."""
        self._export()
        if self._held_out and self._training.samples:
            shown = self._held_out[: self._training.samples]
            self._keep_samples(step, shown, self._sample(shown))
        return bool(self._held_out) and self._is_enough(step)

    def _is_enough(self, step: int) -> bool:
        error = held_out_error(self._task, self._held_out, self._training)
        self._told.scalars.add("held_out", error, step)
        self._told.keep({"step": step, "held_out": error})
        self._told.say(f"step {step}: held-out error {error:.5f}")
        self._looks_since = 0 if error < self._best else self._looks_since + 1
        self._best = min(self._best, error)
        patience = self._training.patience
        if patience is None or self._looks_since < patience:
            return False
        self._told.say(f"no better for {patience} looks than {self._best:.5f}: stopped")
        return True

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


@torch.no_grad()
def held_out_error(task: nn.Module, examples: Sequence[Example], training: Training) -> float:
    """The mean squared error on all held-out examples, each with noise of its own."""
    size = max(1, training.batch // training.accumulation)
    total = 0.0
    for start in range(0, len(examples), size):
        positions = range(start, min(start + size, len(examples)))
        batch = Batch.of([examples[position] for position in positions])
        with torch.autocast(_device(task).type, torch.bfloat16, training.precision == "bf16"):
            errors = task(batch, Draws.of(_SEED, positions, size))
        total += float(errors.plain.sum())
    return total / len(examples)


def _device(task: nn.Module) -> torch.device:
    return next(task.parameters()).device


def _grid(pictures: Sequence[Tensor], columns: int = 4) -> np.ndarray:
    """[3, H, W] each to uint8 [rows * H, columns * W, 3], white where there is none."""
    height, width = pictures[0].shape[1:]
    rows = -(-len(pictures) // columns)
    grid = np.full((rows * height, columns * width, 3), 255, np.uint8)
    for index, picture in enumerate(pictures):
        top, left = index // columns * height, index % columns * width
        grid[top : top + height, left : left + width] = to_pixels(picture).numpy(force=True)
    return grid
