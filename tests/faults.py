"""Networks that fail as real ones do: hooks that raise, or that spoil what comes out."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn


@contextmanager
def memory_for(network: nn.Module, rows: int) -> Iterator[list[int]]:
    """It runs out of memory above so many rows. Yields the rows of each call."""
    asked: list[int] = []

    def look(module: nn.Module, inputs: Any) -> None:
        asked.append(len(inputs[0]))
        if asked[-1] > rows:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")

    with _removed(network.register_forward_pre_hook(look)):
        yield asked


@contextmanager
def during(network: nn.Module, act: Callable[[], None]) -> Iterator[None]:
    """Something happens while it computes."""

    def do(module: nn.Module, inputs: Any) -> None:
        act()

    with _removed(network.register_forward_pre_hook(do)):
        yield


@contextmanager
def refusing(unet: nn.Module, text: Tensor, error: Exception) -> Iterator[None]:
    """It raises for a batch with a row of this text. text: [tokens, width]."""

    def look(module: nn.Module, inputs: Any, named: Any) -> None:
        if _rows_of(text, named).any():
            raise error

    with _removed(unet.register_forward_pre_hook(look, with_kwargs=True)):
        yield


@contextmanager
def spoiling(
    unet: nn.Module, text: Tensor, value: float, when: Callable[[], bool] = lambda: True
) -> Iterator[None]:
    """One number that it predicts for rows of this text is `value`. text: [tokens, width]."""

    def spoil(module: nn.Module, inputs: Any, named: Any, outputs: Any) -> None:
        if when():
            outputs[0][_rows_of(text, named), 1, 2, 3] = value

    with _removed(unet.register_forward_hook(spoil, with_kwargs=True)):
        yield


def _rows_of(text: Tensor, named: Any) -> Tensor:
    """Which rows of the batch have this text: [R] bool."""
    matches: Tensor = (named["encoder_hidden_states"] == text).flatten(1).all(1)
    return matches


@contextmanager
def _removed(hook: Any) -> Iterator[None]:
    """Afterwards."""
    try:
        yield
    finally:
        hook.remove()
