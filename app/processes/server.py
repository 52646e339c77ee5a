"""uvicorn, which when it stops lets no answer wait for jobs that others will draw."""

import logging
import resource
import socket
from contextlib import suppress

import uvicorn
from fastapi import FastAPI

from app.services import Services

FINISH_ANSWERS_S = 5
"""An API that stops lets its answers end for so long; the supervisor leaves the worker the rest."""


MOST_FILES = 65_536
"""A connection is an open file. Many systems begin with 1,024, and let a process have more."""


class Server(uvicorn.Server):
    """Serves an app of create_app() until SIGINT or SIGTERM."""

    def __init__(self, app: FastAPI, host: str, port: int) -> None:
        config = uvicorn.Config(
            app,
            host=host,
            port=port,
            log_config=None,
            log_level=logging.WARNING,
            access_log=False,
            timeout_graceful_shutdown=FINISH_ANSWERS_S,
        )
        super().__init__(config)
        self._app = app
        _allow_many_connections()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """What clients still wait for they can ask the next API."""
        services: Services = self._app.state.services
        services.end_waits()
        await super().shutdown(sockets)


def _allow_many_connections() -> None:
    allowed, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = MOST_FILES if most == resource.RLIM_INFINITY else min(MOST_FILES, most)
    if allowed != resource.RLIM_INFINITY and allowed < wanted:
        with suppress(ValueError, OSError):  # some systems have a lower limit that they do not tell
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, most))
