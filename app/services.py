"""What the routes work with: built when the app starts, closed when it stops."""

import time
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from redis.asyncio import Redis

from app.deadlines import expire_for_ever
from app.pictures import Pictures
from app.settings import ApiSettings
from app.telemetry.metrics import ApiMetrics
from app.webhooks.courier import Courier
from workers.jobs import card, keys
from workers.jobs.announcements import listening
from workers.jobs.api_keys import ApiKeys
from workers.jobs.background import in_background
from workers.jobs.card import CascadeCard, WorkerCard
from workers.jobs.connect import connect
from workers.jobs.depths import DepthReader
from workers.jobs.events import JobEvents
from workers.jobs.history import History
from workers.jobs.image_store import ImageStore
from workers.jobs.ledger import Ledger
from workers.jobs.outbox import Outbox
from workers.jobs.watcher import JobWatcher

if TYPE_CHECKING:
    from workers.jobs.object_images import SignedImages

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
    ledger: Ledger
    watcher: JobWatcher
    events: JobEvents
    history: History
    images: ImageStore
    signed_images: "SignedImages | None"
    """None where the API itself sends pictures."""
    cards: CardReader
    api_keys: ApiKeys
    outbox: Outbox
    depths: DepthReader
    metrics: ApiMetrics
    scrapers: set[bytes] = field(default_factory=set[bytes])
    """Digests of the keys that the metrics were read with; of nothing where none was needed."""

    def end_waits(self) -> None:
        """Answers that wait for a job end now, as things stand; so do streams of events."""
        self.watcher.bells.close()
        self.events.bells.close()


@asynccontextmanager
async def open_services(
    settings: ApiSettings, metrics: ApiMetrics, pictures: Pictures
) -> AsyncGenerator[Services]:
    """Needs no Redis to start: until there is one, what needs it raises QueueUnavailable."""
    redis = connect(settings)
    ledger = Ledger(redis, settings)
    watcher = JobWatcher(ledger)
    events = JobEvents(redis, settings, ledger)
    outbox = Outbox(redis, settings)
    courier = Courier(outbox, allow_private=settings.webhooks_to_private, count=metrics.webhook)
    metrics.followers.set_function(events.bells.waiting)

    def ended(job_id: str | None) -> None:
        watcher.bells.ring(job_id)
        courier.wake()

    try:
        async with (
            listening(redis, {keys.ended(): ended, keys.happened(): events.bells.ring}),
            courier,
            in_background(expire_for_ever(ledger), "deadlines"),
        ):
            yield Services(
                settings=settings,
                ledger=ledger,
                watcher=watcher,
                events=events,
                history=History(redis, settings),
                images=pictures.images,
                signed_images=pictures.signed,
                cards=CardReader(redis),
                api_keys=ApiKeys(redis),
                outbox=outbox,
                depths=DepthReader(redis),
                metrics=metrics,
            )
    finally:
        await redis.aclose()
