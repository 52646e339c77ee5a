"""Options with a value for every stage: `--steps 20`, or one for each: `--steps 20,8`."""

from collections.abc import Callable
from math import isfinite
from typing import TypeVar

from app.commands.outcome import WrongUsage

T = TypeVar("T")


def per_stage(option: str, text: str | None, read: Callable[[str], T]) -> T | list[T | None] | None:
    """The value as a request has it: one, or a list with None where the cascade's own is meant.

    read: one value; raises ValueError that says what it must be. Raises: WrongUsage.
    """
    if text is None:
        return None
    values = [_read(option, each.strip(), read) for each in text.split(",")]
    return values if len(values) > 1 else values[0]


def whole_number(text: str) -> int:
    """Raises: ValueError."""
    try:
        return int(text)
    except ValueError:
        raise ValueError("is no whole number: use 20, or one for each stage: 20,8") from None


def number(text: str) -> float:
    """Raises: ValueError."""
    try:
        value = float(text)
    except ValueError:
        value = float("nan")
    if not isfinite(value):
        raise ValueError("is no number: use 0.5, or one for each stage: 0.5,1")
    return value


def interval(text: str) -> list[float]:
    """[from, to]. Raises: ValueError."""
    start, _, end = text.partition(":")
    try:
        pair = [number(start), number(end)]
    except ValueError:
        pair = []
    if not pair or not 0 <= pair[0] <= pair[1] <= 1:
        raise ValueError("is no interval: use FROM:TO with 0 <= FROM <= TO <= 1, as in 0.1:0.8")
    return pair


def _read(option: str, text: str, read: Callable[[str], T]) -> T | None:
    if not text:
        return None
    try:
        return read(text)
    except ValueError as error:
        raise WrongUsage(f"{option} {text} {error}") from error
