"""`imagen api`: the HTTP side alone."""

import logging
import signal
from contextlib import suppress

from app.commands.logs import log_as
from app.commands.options import Host, NoAuth, Port, auth_of, read_settings
from app.commands.outcome import CommandFailed, WrongUsage
from app.commands.tracing import traced_as

log = logging.getLogger(__name__)


def api(host: Host = None, port: Port = None, no_auth: NoAuth = False) -> None:
    """Serve HTTP alone, with the queue at IMAGEN_REDIS_URL. Needs no torch.

    For example:
    $ IMAGEN_REDIS_URL=redis://queue:6379 imagen api --host 0.0.0.0
    """
    import asyncio

    from app.auth import check_guarded
    from app.main import create_app
    from app.processes.address import Unguarded, check_can_listen, local_url
    from app.processes.server import Server
    from app.settings import ApiSettings
    from workers.jobs.errors import InvalidImageStore

    log_as("api")
    settings = read_settings(ApiSettings, host=host, port=port, auth=auth_of(no_auth))
    check_can_listen(settings.host, settings.port)
    try:
        asyncio.run(check_guarded(settings))
        app = create_app(settings)
    except (InvalidImageStore, Unguarded) as error:
        raise WrongUsage(str(error)) from error
    log.info("listening at %s", local_url(settings.host, settings.port))
    server = Server(app, settings.host, settings.port)
    # What uvicorn stopped for it raises again, and we have something left to do.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    with traced_as("api"), suppress(KeyboardInterrupt):
        server.run()
    if not server.started:
        raise CommandFailed("the API could not be started; its log above says why")
