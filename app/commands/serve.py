"""`imagen serve`: everything on this machine."""

from pathlib import Path

from app.commands.logs import log_as
from app.commands.options import (
    CascadeSource,
    Device,
    Host,
    NoAuth,
    Port,
    auth_of,
    read_settings,
)
from app.commands.outcome import WrongUsage


def serve(
    host: Host = None,
    port: Port = None,
    no_auth: NoAuth = False,
    cascade: CascadeSource = None,
    device: Device = None,
) -> None:
    """Serve pictures: API, worker and, unless IMAGEN_REDIS_URL names one, a queue.

    Restarts what dies. Ctrl-C stops everything.

    For example:
    $ imagen serve
    $ imagen serve --port 8080 --cascade DeepFloyd/IF-I-XL-v1.0
    """
    from app.processes.address import Unguarded
    from app.processes.serve import serve
    from app.processes.supervisor import ProgramRefused
    from app.settings import ApiSettings

    log_as("imagen")
    settings = read_settings(ApiSettings, host=host, port=port, auth=auth_of(no_auth))
    try:
        serve(settings, worker_environment(cascade, device))
    except (ProgramRefused, Unguarded) as error:
        raise WrongUsage(str(error)) from error


def worker_environment(cascade: str | None, device: str | None) -> dict[str, str]:
    """What `imagen serve` was told that its worker needs to know."""
    if cascade is not None and Path(cascade).exists():
        # It is looked for here, not where the worker may run.
        cascade = str(Path(cascade).absolute())
    told = {"IMAGEN_CASCADE": cascade, "IMAGEN_DEVICE": device}
    return {name: value for name, value in told.items() if value is not None}
