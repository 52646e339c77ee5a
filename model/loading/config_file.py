"""Reads JSON files into pydantic models; an error names the file, the field and what is wrong."""

from pathlib import Path
from typing import TypeVar

from pydantic import BaseModel, ValidationError

from model.errors import InvalidCascade

Config = TypeVar("Config", bound=BaseModel)


def read_config(path: Path, kind: type[Config], remedy: str) -> Config:
    """The file as a `kind`.

    remedy: what to do where the file is missing. Raises InvalidCascade.
    """
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        raise InvalidCascade(f"{path} is missing: {remedy}") from None
    except OSError as error:
        raise InvalidCascade(f"{path} cannot be read: {error.strerror}") from None
    try:
        return kind.model_validate_json(content)
    except ValidationError as error:
        raise InvalidCascade(f"{path}: {told(error)}") from None


def told(error: ValidationError) -> str:
    """One line a problem: the field, and what pydantic says of it."""
    lines = []
    for each in error.errors(include_url=False):
        field = ".".join(map(str, each["loc"])) or "the file"
        said = (
            "is not a field that is known here"
            if each["type"] == "extra_forbidden"
            else each["msg"]
        )
        lines.append(f"{field}: {said}")
    return "; ".join(lines)
