"""Refused fields of a request, told as the options that they are on the command line."""

import re
from collections.abc import Iterable, Mapping
from typing import Protocol

OPTIONS: Mapping[str, str] = {
    "prompt": "PROMPT",
    "negative_prompt": "--negative",
    "n": "-n",
    "deadline_s": "--deadline",
    "adapters": "--adapter",
}
"""Those that are not called as the field is."""

VALUES: Mapping[str, str] = {"[from, to]": "FROM:TO", ", null where": ", nothing where"}
"""How JSON writes a value, and how an option does."""

_ONE_OF_SEVERAL = re.compile(r"(\w+)\[(\d+)\]")


class RefusedField(Protocol):
    """What is wrong with one field, and what to do about it."""

    @property
    def field(self) -> str: ...
    @property
    def problem(self) -> str: ...
    @property
    def remedy(self) -> str: ...


def as_options(problems: Iterable[RefusedField]) -> str:
    """One sentence: each option, what is wrong with it, and the remedy."""
    return "; ".join(_told(problem) for problem in problems)


def option_of(field: str) -> str:
    """What a field of a request is called on the command line."""
    return OPTIONS.get(field, f"--{field.replace('_', '-')}")


def _told(problem: RefusedField) -> str:
    several = _ONE_OF_SEVERAL.fullmatch(problem.field)
    field = problem.field if several is None else several[1]
    option = option_of(field)
    if several is not None:
        option = f"{option}, value {int(several[2]) + 1},"
    remedy = problem.remedy
    for written, meant in VALUES.items():
        remedy = remedy.replace(written, meant)
    return f"{option} {problem.problem}: {remedy}"
