"""How many rows one forward of a stage should have on this machine: found by trying.

More rows use the hardware better up to a knee, after which they only make every image in the batch
wait longer; and there is an end to memory.
"""

import logging
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

import torch

from model.network import Network, Rows

log = logging.getLogger(__name__)

MOST_ROWS = 128
LONGEST_FORWARD_S = 0.5
"""Arrivals and cancellations wait for the forward under way."""
FAST_ENOUGH = 0.9
"""The share of the best speed that more rows than these are not worth waiting for."""
MEMORY_TO_FILL = 0.8
"""Of what a GPU has left; the rest is for other shapes, and for what comes and goes."""


@dataclass(frozen=True)
class Calibration:
    """rows: of one forward. row_ms: milliseconds a row took in a forward of so many."""

    rows: int
    row_ms: float


@torch.inference_mode()  # as in service: tensors made otherwise would be compiled for once more
def calibrate(network: Network, row: Rows, rows: int | None = None) -> Calibration:
    """The rows that a stage should have, or how fast it is with so many.

    row: one row as the stage has them. Whatever a network with buckets will need is compiled on the
    way, so that no image has to wait for it. Takes seconds, but for that. Raises MemoryError.
    """

    def forward_s(count: int) -> float:
        return _forward_s(network, row.padded(count))

    sizes = _sizes(network) if rows is None else [rows]
    found = knee(forward_s, sizes)
    for bucket in network.buckets or ():
        forward_s(bucket)
        if bucket >= max(2, found.rows):  # one guided image has two
            break
    return found


def knee(forward_s: Callable[[int], float], sizes: Iterable[int]) -> Calibration:
    """The fewest rows, of the ascending sizes, that take little longer each than with any other.

    forward_s: seconds that a forward of so many rows takes, or torch.OutOfMemoryError.
    """
    tried: list[Calibration] = []
    for rows in sizes:
        taken_s = _unless_out_of_memory(forward_s, rows)
        if taken_s is None:
            break
        tried.append(Calibration(rows, row_ms=1000 * taken_s / rows))
        log.info("rows %d: %.1f ms each", rows, tried[-1].row_ms)
        if 2 * taken_s > LONGEST_FORWARD_S:
            break
    if not tried:
        raise MemoryError("not one row fits into memory")
    fastest_ms = min(each.row_ms for each in tried)
    return next(each for each in tried if each.row_ms <= fastest_ms / FAST_ENOUGH)


def _unless_out_of_memory(forward_s: Callable[[int], float], rows: int) -> float | None:
    try:
        return forward_s(rows)
    except torch.OutOfMemoryError:
        log.info("rows %d: out of memory", rows)
        return None


def _sizes(network: Network) -> Iterator[int]:
    """Ascending, as long as memory lasts for twice the last one."""
    doublings = (1 << power for power in range(MOST_ROWS.bit_length()))
    resting_bytes = _start_measuring_memory(network.device)
    for rows in doublings if network.buckets is None else network.buckets:
        if rows > 1 and not _has_memory_for_twice(network.device, resting_bytes):
            return
        yield rows


def _forward_s(network: Network, rows: Rows) -> float:
    """The faster of two forwards; what is done once for a number of rows is not counted."""
    # Compiled, the first forward compiles and the second records a CUDA graph; else the first of
    # the two that are timed is the slower one.
    for _ in range(2 if network.is_compiled else 0):
        network(rows)
    return min(_once_s(network, rows) for _ in range(2))


def _once_s(network: Network, rows: Rows) -> float:
    _wait_for(network.device)
    started_s = time.perf_counter()
    network(rows)
    _wait_for(network.device)
    return time.perf_counter() - started_s


def _wait_for(device: torch.device) -> None:
    if device.type != "cpu":
        torch.accelerator.synchronize(device)


def _start_measuring_memory(device: torch.device) -> int:
    """The bytes that are taken before the first forward. 0 where there is nothing to measure."""
    if device.type != "cuda":
        return 0
    torch.cuda.empty_cache()
    torch.cuda.reset_peak_memory_stats(device)
    return torch.cuda.memory_allocated(device)


def _has_memory_for_twice(device: torch.device, resting_bytes: int) -> bool:
    """Whether twice what forwards have taken at most would fit; a CPU's memory is not asked."""
    if device.type != "cuda":
        return True
    taken = torch.cuda.max_memory_allocated(device) - resting_bytes
    free, _ = torch.cuda.mem_get_info(device)
    cached = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
    return 2 * taken <= MEMORY_TO_FILL * (free + cached)
