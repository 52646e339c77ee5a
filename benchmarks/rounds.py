"""Times contenders in turns, so that what slows the machine for a while slows all of them."""

import statistics
import time
from collections.abc import Callable, Mapping

import torch

Seconds = dict[str, list[float]]
"""Of each contender, by its name, in each round."""


def interleaved(contenders: Mapping[str, Callable[[], object]], rounds: int) -> Seconds:
    """Each once untimed, then each once a round."""
    for run in contenders.values():
        run()
    seconds: Seconds = {name: [] for name in contenders}
    for _ in range(rounds):
        for name, run in contenders.items():
            seconds[name].append(_timed(run))
    return seconds


def speedup(seconds: Seconds, ours: str, theirs: str) -> float:
    """How many times as fast ours is: the median of the rounds' own ratios."""
    pairs = zip(seconds[ours], seconds[theirs], strict=True)
    return statistics.median(their_s / our_s for our_s, their_s in pairs)


def _timed(run: Callable[[], object]) -> float:
    _wait_for_gpu()
    started_s = time.perf_counter()
    run()
    _wait_for_gpu()
    return time.perf_counter() - started_s


def _wait_for_gpu() -> None:
    if torch.cuda.is_available():
        torch.cuda.synchronize()
