"""The API as an ASGI app: settings in, routes and their services wired together."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

from fastapi import FastAPI
from fastapi.responses import RedirectResponse

from app import errors
from app.dependencies import NEEDS_CALLER
from app.openapi import Api, problems
from app.routes import generate, health, images, jobs, model, webhooks
from app.services import open_services
from app.settings import ApiSettings


def create_app(settings: ApiSettings) -> FastAPI:
    """An app that connects when it starts and closes when it stops."""

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncGenerator[None]:
        async with open_services(settings) as services:
            app.state.services = services
            yield

    app = Api(
        title="Imagen",
        summary="Text to image by a cascade of diffusion models.",
        version="0.1.0",
        lifespan=lifespan,
        responses=problems(),
    )
    errors.install(app)
    for part in (generate, jobs, model, webhooks):
        app.include_router(part.router, dependencies=[NEEDS_CALLER], responses=problems(401))
    for part in (images, health):  # a picture's URL is a secret of its own
        app.include_router(part.router)

    @app.get("/", include_in_schema=False)
    async def root() -> RedirectResponse:
        return RedirectResponse("docs")

    return app


def app_from_environment() -> FastAPI:
    """For `uvicorn --factory app.main:app_from_environment`: settings from IMAGEN_*."""
    return create_app(ApiSettings())
