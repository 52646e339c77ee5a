"""Connections to Redis, and the one place where its errors become ours."""

import re
from collections.abc import Generator
from contextlib import contextmanager

import redis
import redis.asyncio
import redis.exceptions
from redis.asyncio.retry import Retry as AsyncRetry
from redis.backoff import NoBackoff
from redis.retry import Retry

from workers.jobs.errors import QueueUnavailable
from workers.jobs.settings import QueueSettings

CONNECT_TIMEOUT_S = 2.0
ANSWER_TIMEOUT_S = 10.0
"""A Redis that is silent for so long is away. Every blocking command must ask for less."""

MAX_CONNECTIONS = 64


def connect(settings: QueueSettings) -> redis.asyncio.Redis:
    """A client for redis://, rediss:// or unix://. Connects at its first command.

    A command waits for a free connection rather than open one without bound. One immediate
    retry replaces a pooled connection that Redis has closed; to wait longer is the caller's
    choice.
    """
    pool = redis.asyncio.BlockingConnectionPool.from_url(
        settings.redis_url,
        max_connections=MAX_CONNECTIONS,
        timeout=ANSWER_TIMEOUT_S,
        socket_connect_timeout=CONNECT_TIMEOUT_S,
        socket_timeout=ANSWER_TIMEOUT_S,
        retry=AsyncRetry(NoBackoff(), 1, supported_errors=(redis.exceptions.ConnectionError,)),
        protocol=2,
    )
    return redis.asyncio.Redis.from_pool(pool)


def connect_blocking(settings: QueueSettings, timeout_s: float) -> redis.Redis:
    """The same for a thread without an event loop; gives up on an answer after `timeout_s`."""
    return redis.Redis.from_url(
        settings.redis_url,
        socket_connect_timeout=timeout_s,
        socket_timeout=timeout_s,
        retry=Retry(NoBackoff(), 1, supported_errors=(redis.exceptions.ConnectionError,)),
        protocol=2,
    )


REFUSES = re.compile(r"^BUSY|^MISCONF|^NOREPLICAS|-(OOM|READONLY|MASTERDOWN|MISCONF|NOREPLICAS)\b")
"""What a Redis says that can do nothing for now. Before 7.0 a script's error stands in its text."""


@contextmanager
def queue_errors() -> Generator[None]:
    """Turns "Redis is away" and "Redis can do nothing" into QueueUnavailable; a bug stays one."""
    try:
        yield
    except (redis.exceptions.ConnectionError, redis.exceptions.TimeoutError) as error:
        raise QueueUnavailable(f"Redis cannot be reached: {error}") from error
    except (
        redis.exceptions.OutOfMemoryError,
        redis.exceptions.ReadOnlyError,
        redis.exceptions.MasterDownError,
        redis.exceptions.NoScriptError,  # restarted while a script was sent
    ) as error:
        raise QueueUnavailable(f"Redis refuses: {error}") from error
    except redis.exceptions.ResponseError as error:
        if REFUSES.search(str(error)) is None:
            raise
        raise QueueUnavailable(f"Redis refuses: {error}") from error
