"""The least that an API in front of a queue can do: FastAPI, and one entry in a Redis stream.

What ours does beyond is measured against it; see load_api.py. Run by serving.py.
"""

import logging
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Annotated, Any

import uvicorn
from fastapi import Depends, FastAPI, Request
from redis.asyncio import Redis

from app.processes.server import FINISH_ANSWERS_S
from app.settings import ApiSettings
from workers.jobs.connect import connect

STREAM = "bare:requests"


def create_bare_app(settings: ApiSettings) -> FastAPI:
    """POST /generate and GET /jobs/{id}, as little of them as there can be."""

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncGenerator[None]:
        async with connect(settings) as redis:
            app.state.redis = redis
            yield

    app = FastAPI(lifespan=lifespan)

    @app.post("/generate", status_code=202)
    async def generate(body: dict[str, Any], redis: RedisHere) -> dict[str, str]:
        entry: Any = await redis.xadd(STREAM, {"prompt": body["prompt"]})
        return {"id": entry.decode()}

    @app.get("/jobs/{job_id}")
    async def read_job(job_id: str, redis: RedisHere) -> dict[str, str]:
        entries: Any = await redis.xrange(STREAM, job_id, job_id)
        [(entry, fields)] = entries
        return {"id": entry.decode(), "prompt": fields[b"prompt"].decode()}

    @app.get("/readyz")
    async def readyz() -> None:
        pass

    return app


async def _redis(request: Request) -> Redis:
    redis: Redis = request.app.state.redis
    return redis


RedisHere = Annotated[Redis, Depends(_redis)]


def main() -> None:
    settings = ApiSettings()
    uvicorn.run(  # as app/processes/server.py does
        create_bare_app(settings),
        host=settings.host,
        port=settings.port,
        log_config=None,
        log_level=logging.WARNING,
        access_log=False,
        timeout_graceful_shutdown=FINISH_ANSWERS_S,
    )


if __name__ == "__main__":
    main()
