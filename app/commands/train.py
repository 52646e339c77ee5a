"""`imagen train`: from captioned pictures to a cascade's folder."""

import signal
from pathlib import Path
from typing import Annotated

import typer

from app.commands.outcome import CommandFailed, WrongUsage
from app.commands.torch_imports import torch_imports


def train(
    config: Annotated[
        Path, typer.Argument(help="A TOML file that says what to train; see docs/training.md.")
    ],
    stage: Annotated[
        list[str] | None,
        typer.Option(help="Only this stage, or `text`; may be given more than once."),
    ] = None,
) -> None:
    """Train a cascade, from where its last checkpoint stands.

    Ctrl-C is saved. On several GPUs: accelerate launch -m app.cli train CONFIG. For example:
    $ imagen train model/picture_book/picture-book.toml --stage base
    """
    with torch_imports():
        from model.errors import InvalidCascade, InvalidTraining, TrainingFailed
        from model.training.run import train as run
        from model.training.training_file import read_training
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # it is saved as Ctrl-C is
    try:
        told = read_training(config)
    except InvalidTraining as error:
        raise WrongUsage(str(error)) from error
    try:
        cascade = run(told, config.parent, stage or ())
    except (InvalidCascade, InvalidTraining) as error:
        raise WrongUsage(f"{config}: {error}") from error
    except TrainingFailed as error:
        raise CommandFailed(str(error)) from error
    print(cascade)
