"""Hears what Redis announces: one pub/sub connection for all that a process listens to."""

import asyncio
import logging
from collections.abc import Callable, Mapping
from types import TracebackType
from typing import Any, Self, cast

from redis.asyncio import Redis
from redis.asyncio.client import PubSub

from workers.jobs.background import cancel
from workers.jobs.connect import queue_errors
from workers.jobs.errors import QueueUnavailable

SILENCE_S = 5.0
"""After so much silence the subscription is pinged; after as much again it counts as lost."""

RECONNECT_PAUSE_S = 0.5

Listener = Callable[[str | None], None]
"""Called with a message, or with None when anything may have been missed."""

log = logging.getLogger(__name__)


class Announcements:
    """Calls listeners in the event loop. Use as an async context manager, one per process."""

    def __init__(self, redis: Redis, listeners: Mapping[str, Listener]) -> None:
        """listeners: by channel."""
        self._redis = redis
        self._listeners = dict(listeners)
        self._hearing: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        self._hearing = asyncio.create_task(self._hear_for_ever(), name="announcements")
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._hearing is not None:
            await cancel([self._hearing])

    async def _hear_for_ever(self) -> None:
        while True:
            try:
                async with self._redis.pubsub() as subscription:
                    with queue_errors():
                        await self._hear(subscription)
            except QueueUnavailable as error:
                log.warning("no announcements from Redis, subscribing again: %s", error)
            except Exception:  # no one would start us again
                log.exception("no announcements from Redis, subscribing again")
            await asyncio.sleep(RECONNECT_PAUSE_S)

    async def _hear(self, subscription: PubSub) -> None:
        """Calls listeners until the subscription is lost."""
        await subscription.subscribe(*self._listeners)
        pinged = False
        while True:
            message = cast(Any, await subscription.get_message(timeout=SILENCE_S))
            if message is None:
                if pinged:
                    raise QueueUnavailable("the subscription is silent")
                await subscription.ping()
            elif message["type"] == "subscribe":
                # What was announced before was not heard.
                self._listeners[message["channel"].decode()](None)
            elif message["type"] == "message":
                self._listeners[message["channel"].decode()](message["data"].decode())
            pinged = message is None
