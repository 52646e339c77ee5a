"""An API that listens on this machine, for clients that speak TCP."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

from fastapi import FastAPI

from app.main import create_app
from app.processes.server import Server
from app.settings import ApiSettings
from tests.app.conftest import free_port


@asynccontextmanager
async def listening(settings: ApiSettings, port: int | None = None) -> AsyncGenerator[str]:
    """The URL of an API in this event loop; it has been stopped in the end."""
    async with listening_app(create_app(settings), port) as url:
        yield url


@asynccontextmanager
async def listening_app(app: FastAPI, port: int | None = None) -> AsyncGenerator[str]:
    """The same of an app of create_app()."""
    server = Server(app, "127.0.0.1", port or free_port())
    serving = asyncio.create_task(server.serve())
    try:
        async with asyncio.timeout(20):
            while not server.started:
                await asyncio.sleep(0.005)
        yield f"http://127.0.0.1:{server.config.port}"
    finally:
        server.should_exit = True
        await serving
