"""Settings as a command has them: from the environment, unless an option says otherwise."""

from typing import Any, TypeVar

import typer
from pydantic import ValidationError
from pydantic_core import ErrorDetails
from pydantic_settings import BaseSettings

Settings = TypeVar("Settings", bound=BaseSettings)


def read_settings(kind: type[Settings], **options: object) -> Settings:
    """Settings from the environment; an option that was given, so is not None, goes first.

    Raises: typer.BadParameter that names the variables which cannot be used.
    """
    given: dict[str, Any] = {name: value for name, value in options.items() if value is not None}
    try:
        return kind(**given)
    except ValidationError as error:
        raise typer.BadParameter("; ".join(_told(each) for each in error.errors())) from error


def _told(error: ErrorDetails) -> str:
    """The variable, unless it is about more than one, and what is wrong."""
    return ": ".join([*(f"IMAGEN_{str(name).upper()}" for name in error["loc"][:1]), error["msg"]])
