"""Hears what Redis announces: one pub/sub connection for all that a process listens to."""

import asyncio
import logging
from collections.abc import Callable, Mapping
from contextlib import AbstractAsyncContextManager
from typing import Any, cast

from redis.asyncio import Redis
from redis.asyncio.client import PubSub

from workers.jobs.background import in_background
from workers.jobs.connect import queue_errors
from workers.jobs.errors import QueueUnavailable

SILENCE_S = 5.0
"""After so much silence the subscription is pinged; after as much again it counts as lost."""

RECONNECT_PAUSE_S = 0.5

Listener = Callable[[str | None], None]
"""Called with a message, or with None when anything may have been missed."""

log = logging.getLogger(__name__)


def listening(redis: Redis, listeners: Mapping[str, Listener]) -> AbstractAsyncContextManager[None]:
    """While it is open, listeners are called in the event loop. One per process.

    listeners: by channel.
    """
    return in_background(_listen_for_ever(redis, listeners), "announcements")


async def _listen_for_ever(redis: Redis, listeners: Mapping[str, Listener]) -> None:
    while True:
        try:
            async with redis.pubsub() as subscription:
                with queue_errors():
                    await _listen(subscription, listeners)
        except QueueUnavailable as error:
            log.warning("no announcements from Redis, subscribing again: %s", error)
        except Exception:  # no one would start us again
            log.exception("no announcements from Redis, subscribing again")
        await asyncio.sleep(RECONNECT_PAUSE_S)


async def _listen(subscription: PubSub, listeners: Mapping[str, Listener]) -> None:
    """Calls listeners until the subscription is lost."""
    await subscription.subscribe(*listeners)
    pinged = False
    while True:
        message = cast(Any, await subscription.get_message(timeout=SILENCE_S))
        if message is None:
            if pinged:
                raise QueueUnavailable("the subscription is silent")
            await subscription.ping()
        elif message["type"] == "subscribe":
            # What was announced before was not heard.
            listeners[message["channel"].decode()](None)
        elif message["type"] == "message":
            listeners[message["channel"].decode()](message["data"].decode())
        pinged = message is None
