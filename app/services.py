"""What the routes work with: built when the app starts, closed when it stops."""

import time
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from redis.asyncio import Redis

from app.settings import ApiSettings
from workers.jobs import card
from workers.jobs.card import CascadeCard, WorkerCard
from workers.jobs.connect import connect
from workers.jobs.events import JobWatcher
from workers.jobs.image_store import FolderImageStore, ImageStore
from workers.jobs.queue import Queue

CARD_FRESH_S = 1.0


class CardReader:
    """The cards. That of the cascade is asked of Redis at most once in CARD_FRESH_S, once there."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis
        self._card: CascadeCard | None = None
        self._read_at_s = 0.0

    async def recent(self) -> CascadeCard:
        """The card as it was a moment ago.

        Raises: NoCard, QueueUnavailable.
        """
        if self._card is None or time.monotonic() - self._read_at_s > CARD_FRESH_S:
            return await self.latest()
        return self._card

    async def latest(self) -> CascadeCard:
        """The card as it is now.

        Raises: NoCard, QueueUnavailable.
        """
        self._card = None  # one that can no longer be read is not to be shown again
        self._card = await card.read(self._redis)
        self._read_at_s = time.monotonic()
        return self._card

    async def workers(self) -> tuple[WorkerCard, ...]:
        """Those who live now.

        Raises: NoCard, QueueUnavailable.
        """
        return await card.read_workers(self._redis)


@dataclass(frozen=True)
class Services:
    """One set per process."""

    settings: ApiSettings
    queue: Queue
    watcher: JobWatcher
    images: ImageStore
    cards: CardReader


@asynccontextmanager
async def open_services(settings: ApiSettings) -> AsyncGenerator[Services]:
    """Needs no Redis to start: until there is one, what needs it raises QueueUnavailable."""
    redis = connect(settings)
    try:
        queue = Queue(redis, settings)
        async with JobWatcher(redis, queue) as watcher:
            yield Services(
                settings=settings,
                queue=queue,
                watcher=watcher,
                images=FolderImageStore(settings.images_dir),
                cards=CardReader(redis),
            )
    finally:
        await redis.aclose()
