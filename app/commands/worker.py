"""`imagen worker`: draws what a queue asks for."""

from typing import Annotated

import typer

from app.commands.logs import log_as
from app.commands.options import CascadeSource, Device, read_settings
from app.commands.outcome import WrongUsage
from app.commands.torch_imports import torch_imports
from app.commands.tracing import traced_as

Stages = Annotated[
    str | None,
    typer.Option(metavar="STAGES", help="Those to serve: text,32 (IMAGEN_STAGES, else all)."),
]


def worker(stages: Stages = None, cascade: CascadeSource = None, device: Device = None) -> None:
    """Draw what the queue at IMAGEN_REDIS_URL asks for.

    For example:
    $ imagen worker
    $ imagen worker --stages text --device cpu
    """
    from workers.jobs.errors import InvalidImageStore
    from workers.settings import WorkerSettings

    log_as("worker")
    settings = read_settings(WorkerSettings, stages=stages, cascade=cascade, device=device)
    with torch_imports():
        from model.errors import InvalidCascade
        from workers.main import run
        from workers.metrics import CannotServeMetrics
    try:
        with traced_as("worker"):
            run(settings)
    except InvalidCascade as error:
        raise WrongUsage(f"--cascade, --device or --stages: {error}") from error
    except (CannotServeMetrics, InvalidImageStore) as error:
        raise WrongUsage(str(error)) from error
