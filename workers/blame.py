"""Computes a batch so that whoever cannot be computed fails alone, with a reason for its reader.

Knows neither stages nor the queue.
"""

import logging
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TypeVar

import torch

from model.errors import DeviceLost, NotFinite

log = logging.getLogger(__name__)

Item = TypeVar("Item")
Result = TypeVar("Result")

NOT_FINITE, OUT_OF_MEMORY, STAGE_FAILED = "not_finite", "out_of_memory", "stage_failed"

_OF_MEMORY = ("out of memory", "DefaultCPUAllocator", "ALLOC_FAILED", "bad_alloc")
"""What RuntimeErrors say that mean it: of drivers, of the CPU's allocator, of cuBLAS, of C++."""


@dataclass(frozen=True)
class Blame:
    """Why one of a batch has no result. code: one of the three above. message: for the reader."""

    code: str
    message: str


def halves(batch: Sequence[Item]) -> Sequence[Sequence[Item]]:
    """Two parts of a batch of more than one."""
    middle = len(batch) // 2
    return batch[:middle], batch[middle:]


def attempt(
    stage: str,
    device: torch.device,
    batch: Sequence[Item],
    compute: Callable[[Sequence[Item]], Iterable[Result]],
    smaller: Callable[[Sequence[Item]], Iterable[Sequence[Item]]] = halves,
) -> list[Result | Blame]:
    """The result of each item, or why there is none, in the order of the batch.

    compute: the results of any part of the batch; one that raises must leave its items as they
    were. After it ran out of memory it is called for smaller(batch), after another error for each
    item alone; an item that cannot be computed alone is to blame. stage: how log and messages call
    it. Raises DeviceLost, which no item is to blame for.
    """
    try:
        return list(compute(batch))
    except Exception as error:
        blame = _blame(stage, error)
        if blame.code != OUT_OF_MEMORY and _is_lost(device, error):
            raise DeviceLost(f"stage {stage}: {device} is lost: {error}") from error
        unforeseen = error if blame.code == STAGE_FAILED else None
        log.warning(
            "stage %s, batch of %d: %s",
            stage,
            len(batch),
            str(error),
            exc_info=unforeseen,
            extra={"stage": stage},
        )
    # Only here, with the error, are the tensors gone that its traceback held.
    if len(batch) == 1:
        return [blame]
    parts: Iterable[Sequence[Item]] = [[item] for item in batch]
    if blame.code == OUT_OF_MEMORY:
        parts = smaller(batch)
        if device.type == "cuda":
            torch.cuda.empty_cache()
    return [each for part in parts for each in attempt(stage, device, part, compute, smaller)]


def _is_lost(device: torch.device, error: Exception) -> bool:
    """Whether nothing more can be computed there; a CUDA context does not outlive its errors."""
    if isinstance(error, torch.AcceleratorError):
        return True
    if device.type == "cpu":
        return False
    try:  # what is built on CUDA raises whatever it likes, so the device itself is asked
        torch.accelerator.synchronize(device)
    except torch.AcceleratorError:
        return True
    return False


def _blame(stage: str, error: Exception) -> Blame:
    if isinstance(error, NotFinite):
        return Blame(NOT_FINITE, str(error))
    if _is_out_of_memory(error):
        return Blame(
            OUT_OF_MEMORY,
            f"stage {stage} ran out of memory with nothing beside this: try again later, or ask for"
            " a smaller picture",
        )
    name = type(error).__name__
    return Blame(STAGE_FAILED, f"stage {stage} failed ({name}): the worker's log has the details")


def _is_out_of_memory(error: Exception) -> bool:
    if isinstance(error, (torch.OutOfMemoryError, MemoryError)):
        return True
    return isinstance(error, RuntimeError) and any(words in str(error) for words in _OF_MEMORY)
