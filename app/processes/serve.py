"""What `imagen serve` runs: queue, API and worker, the same three processes as in production."""

import asyncio
import logging
import signal
import sys
from collections.abc import Coroutine, Mapping
from contextlib import nullcontext

import httpx
from redis.asyncio import Redis

from app.auth import check_guarded, needs_key
from app.processes.address import check_can_listen, local_url
from app.processes.embedded_queue import EmbeddedQueue
from app.processes.supervisor import Program, Supervisor
from app.settings import ApiSettings
from workers.jobs import card as cards
from workers.jobs.connect import connect
from workers.jobs.errors import ImagenError, NoCard, QueueUnavailable

POLL_S = 0.25
ANSWER_TIMEOUT_S = 5.0

READY = """
{cascade} is ready at {url}

Open it in a browser, or ask for a picture by

  curl -s -X POST {url}/generate \\{authorization}
    -H 'content-type: application/json' -H 'prefer: wait=60' \\
    -d '{{"prompt": "a red apple on a blue background", "seed": 7}}'

Ctrl-C stops everything.
"""

AUTHORIZATION = """
    -H "authorization: Bearer $KEY" \\"""

log = logging.getLogger(__name__)


class QueueEnded(ImagenError):
    """The embedded queue ended while it was in use."""


def serve(settings: ApiSettings, worker_environment: Mapping[str, str]) -> None:
    """Serve until SIGINT or SIGTERM; then nothing is left running.

    worker_environment: IMAGEN_* variables for the worker alone.
    Raises: CannotListen, ServerNotStarted, Unguarded, ProgramRefused, QueueEnded.
    """
    check_can_listen(settings.host, settings.port)
    has_redis = "redis_url" in settings.model_fields_set
    with nullcontext() if has_redis else EmbeddedQueue(settings.data_dir) as queue:
        if queue is not None:
            log.info(
                "IMAGEN_REDIS_URL is not set: a private queue in %s", settings.data_dir / "queue"
            )
            settings = settings.model_copy(update={"redis_url": queue.url})
        asyncio.run(check_guarded(settings))
        supervisor = Supervisor(programs(settings, worker_environment))
        asyncio.run(supervise(supervisor, queue, _announce(settings)))


def programs(settings: ApiSettings, worker_environment: Mapping[str, str]) -> tuple[Program, ...]:
    """The API is stopped first: those who wait for a picture may still get it."""
    shared = {"IMAGEN_REDIS_URL": settings.redis_url}
    options = {
        "IMAGEN_HOST": settings.host,
        "IMAGEN_PORT": str(settings.port),
        "IMAGEN_AUTH": settings.auth,
    }
    imagen = (sys.executable, "-m", "app.cli")
    return (
        Program("api", (*imagen, "api"), shared | options),
        Program("worker", (*imagen, "worker"), {**shared, **worker_environment}),
    )


async def supervise(
    supervisor: Supervisor, queue: EmbeddedQueue | None, announcement: Coroutine[None, None, None]
) -> None:
    """Run until told to stop, or until the embedded queue is gone."""
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, supervisor.request_stop)
    beside = [asyncio.create_task(announcement)]
    if queue is not None:
        beside.append(asyncio.create_task(_stop_without(queue, supervisor)))
    try:
        await supervisor.run()
    finally:
        for task in beside:
            task.cancel()
        ends = await asyncio.gather(*beside, return_exceptions=True)
    for failure in (end for end in ends if isinstance(end, Exception)):
        raise failure
    if queue is not None and not queue.running:
        raise QueueEnded(
            "the embedded queue ended by itself; valkey.log in its folder may say why. "
            "Accepted jobs are kept: start again"
        )


async def _stop_without(queue: EmbeddedQueue, supervisor: Supervisor) -> None:
    """A new server might have another address, which running processes would not learn."""
    while queue.running:
        await asyncio.sleep(POLL_S)
    supervisor.request_stop()


async def _announce(settings: ApiSettings) -> None:
    """Say once that pictures can be asked for: a worker serves, and the API has seen it."""
    async with connect(settings) as redis:
        while (cascade := await _served_cascade(redis)) is None:
            await asyncio.sleep(POLL_S)
    url = local_url(settings.host, settings.port)
    async with httpx.AsyncClient(timeout=ANSWER_TIMEOUT_S, trust_env=False) as client:
        while not await _is_ready(client, url):
            await asyncio.sleep(POLL_S)
    shown = url if settings.public_url is None else str(settings.public_url).rstrip("/")
    authorization = AUTHORIZATION if await needs_key(settings) else ""
    print(READY.format(cascade=cascade, url=shown, authorization=authorization), flush=True)


async def _served_cascade(redis: Redis) -> str | None:
    """The cascade's name, once a worker has published its card."""
    try:
        return (await cards.read(redis)).name
    except (NoCard, QueueUnavailable):
        return None


async def _is_ready(client: httpx.AsyncClient, url: str) -> bool:
    try:
        return (await client.get(f"{url}/readyz")).is_success
    except httpx.TransportError:  # it does not listen yet
        return False
