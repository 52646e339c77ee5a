"""Checkpoints of a run: written whole or not at all, the last few kept."""

import os
from pathlib import Path
from typing import Any

import torch

_PREFIX = "step-"


class Checkpoints:
    """Files in a folder, one a checkpoint, named by the step."""

    def __init__(self, folder: Path, keep: int):
        self._folder = folder
        self._keep = keep
        folder.mkdir(parents=True, exist_ok=True)

    def steps(self) -> list[int]:
        """The steps there are checkpoints of, earliest first."""
        files = self._folder.glob(f"{_PREFIX}*.pt")
        return sorted(int(file.stem.removeprefix(_PREFIX)) for file in files)

    def save(self, step: int, state: dict[str, Any]) -> None:
        """Write a checkpoint, then let go of those that are too many.

        A kill at any moment leaves the checkpoint before, or this one whole.
        """
        partial = self._folder / f"{_PREFIX}{step}.partial"
        with partial.open("wb") as file:
            torch.save(state, file)
            file.flush()
            os.fsync(file.fileno())
        partial.replace(self._file(step))
        for old in self.steps()[: -self._keep]:
            self._file(old).unlink()

    def load(self, step: int | None = None) -> dict[str, Any] | None:
        """The checkpoint of a step, or the last one; None where there is none."""
        steps = self.steps()
        if step is None and not steps:
            return None
        chosen = steps[-1] if step is None else step
        state: dict[str, Any] = torch.load(
            self._file(chosen), map_location="cpu", weights_only=True
        )
        return state

    def _file(self, step: int) -> Path:
        return self._folder / f"{_PREFIX}{step}.pt"
