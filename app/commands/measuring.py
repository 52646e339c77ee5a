"""`imagen load` and `bench`: other programs, which get the arguments as they are."""

import sys

import typer

from app.commands.outcome import CommandFailed

PASSED_ON = {
    "allow_extra_args": True,
    "ignore_unknown_options": True,
    "help_option_names": [],  # its help is the program's own
}
"""For `context_settings`."""


def load(context: typer.Context) -> None:
    """Load a service with requests, and tell how fast it was."""
    try:
        from benchmarks.load import main
    except ModuleNotFoundError as error:
        raise _no_benchmarks("load", error) from error
    main(context.args, prog="imagen load")


def bench(context: typer.Context) -> None:
    """Measure speed and how right pictures are, and keep the figures."""
    try:
        from benchmarks.__main__ import main
    except ModuleNotFoundError as error:
        raise _no_benchmarks("bench", error) from error
    sys.argv = ["imagen bench", *context.args]  # where it looks for them
    main()


def _no_benchmarks(command: str, error: ModuleNotFoundError) -> Exception:
    if error.name is None or not error.name.startswith("benchmarks"):
        return error
    return CommandFailed(
        f"`imagen {command}` needs the folder benchmarks/, which only the repository has: install "
        "imagen there, with `make serve`, and run `.venv/bin/imagen`"
    )
