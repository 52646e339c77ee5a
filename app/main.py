"""The API as an ASGI app: settings in, routes and their services wired together."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

from fastapi import FastAPI
from opentelemetry.trace import TracerProvider

from app import errors
from app.dependencies import NEEDS_CALLER
from app.openai import errors as openai_errors
from app.openapi import Api, problems
from app.pictures import open_pictures
from app.routes import (
    docs,
    events,
    generate,
    health,
    images,
    jobs,
    metrics,
    model,
    openai,
    page,
    webhooks,
)
from app.services import open_services
from app.settings import ApiSettings
from app.telemetry.metrics import ApiMetrics, RequestMeter
from app.telemetry.tracing import TraceContext, telemetry


def create_app(settings: ApiSettings, spans: TracerProvider | None = None) -> FastAPI:
    """An app that connects when it starts and closes when it stops.

    spans: where they go; None is the process's own provider, which is none where none was set up.
    Raises: InvalidImageStore.
    """
    api_metrics = ApiMetrics()
    pictures = open_pictures(settings)

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncGenerator[None]:
        async with open_services(settings, api_metrics, pictures) as services:
            app.state.services = services
            yield

    app = Api(
        title="Imagen",
        summary="Text to image by a cascade of diffusion models.",
        version="0.1.0",
        lifespan=lifespan,
        telemetry=telemetry(spans),
        responses=problems(),
    )
    app.add_middleware(RequestMeter, metrics=api_metrics)
    app.add_middleware(TraceContext)
    errors.install(app)
    openai_errors.install(app)
    for part in (generate, jobs, events, model, webhooks):
        app.include_router(part.router, dependencies=[NEEDS_CALLER], responses=problems(401))
    app.include_router(openai.router, dependencies=[NEEDS_CALLER])
    app.include_router(metrics.router)  # which asks for a key in a way of its own
    for part in (images, health, page, docs):  # a picture's URL is a secret of its own
        app.include_router(part.router)
    return app


def app_from_environment() -> FastAPI:
    """For `uvicorn --factory app.main:app_from_environment`: settings from IMAGEN_*."""
    return create_app(ApiSettings())
