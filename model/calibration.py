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
MEMORY_TO_FILL = 0.5
"""Of a GPU; a batch beyond it is not doubled."""


@dataclass(frozen=True)
class Calibration:
    """rows: of one forward. row_ms: milliseconds a row took in a forward of so many."""

    rows: int
    row_ms: float


def calibrate(network: Network, row: Rows, most_rows: int = MOST_ROWS) -> Calibration:
    """The rows that this stage should have, and what they take, in a few seconds.

    row: one row as the stage has them. Where the network has buckets, those are tried, so that each
    is compiled before the first image needs it. Raises MemoryError where not one row fits.
    """

    def forward_s(rows: int) -> float:
        return _forward_s(network, row.padded(rows))

    return knee(forward_s, _sizes(network, most_rows))


def knee(forward_s: Callable[[int], float], sizes: Iterable[int]) -> Calibration:
    """The fewest rows, of the ascending sizes, that take little longer each than with any other.

    forward_s: seconds that a forward of so many rows takes, or torch.OutOfMemoryError.
    """
    tried: list[Calibration] = []
    for rows in sizes:
        try:
            taken_s = forward_s(rows)
        except torch.OutOfMemoryError:
            torch.cuda.empty_cache()
            break
        tried.append(Calibration(rows, row_ms=1000 * taken_s / rows))
        log.info("%d rows: %.1f ms each", rows, tried[-1].row_ms)
        if 2 * taken_s > LONGEST_FORWARD_S:
            break
    if not tried:
        raise MemoryError("not one row of this stage fits into memory: use a larger device")
    fastest_ms = min(each.row_ms for each in tried)
    return next(each for each in tried if each.row_ms <= fastest_ms / FAST_ENOUGH)


def _sizes(network: Network, most_rows: int) -> Iterator[int]:
    """Ascending, as long as the last one left room for a larger one."""
    doublings = (1 << power for power in range(most_rows.bit_length()))
    for rows in doublings if network.buckets is None else network.buckets:
        if rows > most_rows or _memory_used(network.device) > MEMORY_TO_FILL:
            return
        yield rows


@torch.inference_mode()
def _forward_s(network: Network, rows: Rows) -> float:
    """The faster of two forwards: the first of a size also makes what the others find there."""
    return min(_once_s(network, rows) for _ in range(2))


def _once_s(network: Network, rows: Rows) -> float:
    _wait_for(network.device)
    started_s = time.perf_counter()
    network(rows)
    _wait_for(network.device)
    return time.perf_counter() - started_s


def _wait_for(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def _memory_used(device: torch.device) -> float:
    """The share of the GPU's memory that is taken; 0 on a CPU, whose memory is not ours to fill."""
    if device.type != "cuda":
        return 0.0
    free, whole = torch.cuda.mem_get_info(device)
    return 1 - free / whole
