"""uvicorn, which when it stops lets no answer wait for jobs that others will draw."""

import logging
import socket

import uvicorn
from fastapi import FastAPI

from app.services import Services

FINISH_ANSWERS_S = 5
"""An API that stops lets its answers end for so long; the supervisor leaves the worker the rest."""


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

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """What clients still wait for they can ask the next API."""
        services: Services = self._app.state.services
        services.end_waits()
        await super().shutdown(sockets)
