"""Which examples each step takes, read ahead by other processes. Knows no device and no network."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch.utils.data import DataLoader, Dataset

from model.errors import InvalidTraining
from model.training.config import Training
from model.training.interrupts import leave_to_the_parent

Part = tuple[Any, range]
"""A batch, and the positions that its examples have."""


class Movable(Protocol):
    """A batch."""

    def to(self, device: torch.device) -> Any: ...


class Positioned(Protocol):
    """Examples of any kind; see data.examples.Examples."""

    def __getitem__(self, position: int) -> Any: ...


@dataclass(frozen=True)
class Share:
    """What one of some processes takes of each step, cut in parts.

    Raises InvalidTraining where a batch cannot be cut so.
    """

    training: Training
    process: int = 0
    processes: int = 1

    def __post_init__(self) -> None:
        parts = self.processes * self.training.accumulation
        if self.training.batch % parts:
            raise InvalidTraining(
                f"batch: {self.training.batch} cannot be cut evenly for {self.processes} processes"
                f" and {self.training.accumulation} parts (accumulation): take a multiple of"
                f" {parts}"
            )

    def positions(self, first_step: int) -> Iterator[range]:
        """Of each forward from a step on: `accumulation` of them make a step."""
        training = self.training
        size = training.batch // (self.processes * training.accumulation)
        for step in range(first_step, training.steps):
            start = step * training.batch + self.process * training.accumulation * size
            for part in range(training.accumulation):
                yield range(start + part * size, start + (part + 1) * size)


@dataclass(frozen=True)
class Feed:
    """Examples, and how a batch is made of them. workers: processes that read ahead."""

    examples: Positioned
    collate: Callable[[list[Any]], Movable]
    workers: int = 0

    def steps(self, share: Share, first_step: int, device: torch.device) -> Iterator[list[Part]]:
        """What each step from one on takes, on the device."""
        positions = _Again(lambda: share.positions(first_step))
        loader = DataLoader(
            _Dataset(self.examples),
            batch_sampler=positions,
            collate_fn=self._collated,
            num_workers=self.workers,
            worker_init_fn=leave_to_the_parent,
        )
        parts: list[Part] = []
        for batch, each in zip(loader, positions, strict=True):
            if isinstance(batch, InvalidTraining):
                raise batch
            parts.append((batch.to(device), each))
            if len(parts) == share.training.accumulation:
                yield parts
                parts = []

    def _collated(self, examples: list[Any]) -> Movable | InvalidTraining:
        broken = (each for each in examples if isinstance(each, InvalidTraining))
        return next(broken, None) or self.collate(examples)


@dataclass(frozen=True)
class _Again:
    """What can be gone through more than once, side by side."""

    begin: Callable[[], Iterator[Any]]

    def __iter__(self) -> Iterator[Any]:
        return self.begin()


class _Dataset(Dataset[Any]):
    """Examples as a DataLoader reads them.

    An example that cannot be read is the error: raised by a reading process, it would be told with
    that one's traceback.
    """

    def __init__(self, examples: Positioned):
        self._examples = examples

    def __getitem__(self, position: int) -> Any:
        try:
            return self._examples[position]
        except InvalidTraining as error:
            return error
