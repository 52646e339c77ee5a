"""Connections to Redis, and the one place where its errors become ours."""

import re
from collections.abc import Generator
from contextlib import contextmanager
from typing import Any

import redis
import redis.asyncio
import redis.exceptions
from redis.asyncio.connection import parse_url
from redis.asyncio.retry import Retry as AsyncRetry
from redis.backoff import NoBackoff
from redis.connection import parse_url as parse_blocking_url
from redis.retry import Retry

from workers.jobs import sentinel
from workers.jobs.errors import QueueUnavailable
from workers.jobs.settings import QueueSettings

CONNECT_TIMEOUT_S = 2.0
ANSWER_TIMEOUT_S = 5.0
"""A Redis that is silent for so long is away: cut off, it sends no reset. Every blocking command
must ask for less, and a worker that stops must be done waiting within its grace_s.
"""

MAX_CONNECTIONS = 64


def connect(settings: QueueSettings) -> redis.asyncio.Redis:
    """A client of the Redis that `redis_url` names. Connects at its first command.

    A command waits for a free connection rather than open one without bound. One immediate
    retry replaces a pooled connection that Redis has closed; to wait longer is the caller's
    choice. By Sentinel, a new connection goes to who is primary then.
    """
    url = settings.redis_url
    options: dict[str, Any] = {
        "max_connections": MAX_CONNECTIONS,
        "timeout": ANSWER_TIMEOUT_S,
        "socket_connect_timeout": CONNECT_TIMEOUT_S,
        "socket_timeout": ANSWER_TIMEOUT_S,
        "retry": AsyncRetry(NoBackoff(), 1, supported_errors=(redis.exceptions.ConnectionError,)),
        "protocol": 2,
    }
    if sentinel.is_sentinel_url(url):
        options |= sentinel.connection_options(url, CONNECT_TIMEOUT_S)
    else:
        options |= parse_url(url)
    return redis.asyncio.Redis.from_pool(redis.asyncio.BlockingConnectionPool(**options))


def connect_blocking(settings: QueueSettings, timeout_s: float) -> redis.Redis:
    """The same for a thread without an event loop; gives up on an answer after `timeout_s`."""
    url = settings.redis_url
    options: dict[str, Any] = {
        "socket_connect_timeout": timeout_s,
        "socket_timeout": timeout_s,
        "retry": Retry(NoBackoff(), 1, supported_errors=(redis.exceptions.ConnectionError,)),
        "protocol": 2,
    }
    if sentinel.is_sentinel_url(url):
        options |= sentinel.blocking_connection_options(url, timeout_s)
    else:
        options |= parse_blocking_url(url)
    return redis.Redis.from_pool(redis.ConnectionPool(**options))


REFUSES = re.compile(r"^BUSY|^MISCONF|^NOREPLICAS|-(OOM|READONLY|MASTERDOWN|MISCONF|NOREPLICAS)\b")
"""What a Redis says that can do nothing for now. Before 7.0 a script's error stands in its text."""

CLOSED = "the handler is closed"


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
    except RuntimeError as error:  # uvloop's, where a connection was reset before it was written to
        if CLOSED not in str(error):
            raise
        raise QueueUnavailable(f"Redis cannot be reached: {error}") from error
    except redis.exceptions.ResponseError as error:
        if REFUSES.search(str(error)) is None:
            raise
        raise QueueUnavailable(f"Redis refuses: {error}") from error
