"""Checkpoints of a run: written whole or not at all, the last few kept."""

import os
import pickle
import re
from pathlib import Path
from typing import Any

import torch

from model.errors import InvalidTraining, TrainingFailed

_PREFIX = "step-"


class Checkpoints:
    """Files in a folder, one a checkpoint, named by the step."""

    def __init__(self, folder: Path, keep: int):
        self._folder = folder
        self._keep = keep
        folder.mkdir(parents=True, exist_ok=True)

    def steps(self) -> list[int]:
        """The steps there are checkpoints of, earliest first."""
        names = (re.fullmatch(rf"{_PREFIX}(\d+)\.pt", file.name) for file in self._folder.iterdir())
        return sorted(int(name[1]) for name in names if name is not None)

    def save(self, step: int, state: dict[str, Any]) -> None:
        """Write a checkpoint, then let go of those that are too many.

        A kill at any moment leaves the checkpoint before, or this one whole. Raises TrainingFailed
        where it cannot be written.
        """
        partial = self._folder / "partial"
        try:
            with partial.open("wb") as file:
                torch.save(state, file)
                file.flush()
                os.fsync(file.fileno())
        except (OSError, RuntimeError) as error:  # torch says of a full disk what it likes
            partial.unlink(missing_ok=True)
            before = self.steps()[-1:]
            raise TrainingFailed(
                f"the checkpoint of step {step} cannot be written to {self._folder}: is its disk"
                f" full? The same command goes on from step {before[0] if before else 0}"
            ) from error
        partial.replace(self._file(step))
        for old in self.steps()[: -self._keep]:
            self._file(old).unlink()

    def load(self) -> dict[str, Any] | None:
        """The last checkpoint; None where there is none. Raises InvalidTraining.

        Its tensors are mapped from the file, so that the processes of a machine share the memory.
        """
        steps = self.steps()
        if not steps:
            return None
        file = self._file(steps[-1])
        try:
            state: dict[str, Any] = torch.load(
                file, map_location="cpu", weights_only=True, mmap=True
            )
        except (EOFError, RuntimeError, pickle.UnpicklingError) as error:
            raise InvalidTraining(
                f"{file} cannot be read: delete it, and training goes on from the one before"
            ) from error
        return state

    def _file(self, step: int) -> Path:
        return self._folder / f"{_PREFIX}{step}.pt"
