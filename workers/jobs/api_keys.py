"""API keys: who may ask for pictures. Only a key's hash is stored; the key itself is shown once.

Knows no HTTP, and not when a key is needed.
"""

import hashlib
import hmac
import re
import secrets
import time
from typing import Annotated, Any

from pydantic import Field
from redis.asyncio import Redis

from workers.jobs import keys
from workers.jobs.connect import queue_errors
from workers.jobs.job import Priority, Record

OWNER = r"^[a-z0-9][a-z0-9_.-]{0,63}$"
"""A name of whom a key is for."""

KEY = re.compile("imagen_([0-9a-f]{8})_[0-9a-f]{64}")
"""Its id, which is no secret, then 256 random bits. So many need no slow hash."""

NO_DIGEST = "0" * 64
"""What a key of an unknown id is compared with: the hash of nothing that anyone has."""


class ApiKey(Record):
    """A key as it is stored. Keys of one owner are alike, so that one can replace another."""

    id: str
    owner: Annotated[str, Field(pattern=OWNER)]
    sha256: str
    """Hex digest of the whole key."""
    priority: Priority
    """The highest that it may ask for."""
    created_at: float
    """Unix seconds."""


class ApiKeys:
    """The keys there are, asked of Redis each time: a revoked one is unknown at once.

    Every method raises QueueUnavailable while Redis is away.
    """

    def __init__(self, redis: Redis) -> None:
        self._redis = redis

    async def make(self, owner: str, priority: Priority = Priority.NORMAL) -> tuple[ApiKey, str]:
        """A new key: its record, and the key itself, which cannot be had again.

        Raises: pydantic's ValidationError where `owner` does not match OWNER.
        """
        while True:
            key_id = secrets.token_hex(4)
            key = f"imagen_{key_id}_{secrets.token_hex(32)}"
            record = ApiKey(
                id=key_id,
                owner=owner,
                sha256=_digest(key),
                priority=priority,
                created_at=time.time(),
            )
            with queue_errors():
                stored: Any = self._redis.hsetnx(keys.api_keys(), key_id, record.model_dump_json())
                if await stored:  # else another key has this id
                    return record, key

    async def find(self, key: str) -> ApiKey | None:
        """The record of a key; None where there is no such key, whatever of it is wrong."""
        parts = KEY.fullmatch(key)
        if parts is None:
            return None
        with queue_errors():
            stored: Any = await self._redis.hget(keys.api_keys(), parts[1])
        record = None if stored is None else ApiKey.model_validate_json(stored)
        expected = NO_DIGEST if record is None else record.sha256
        return record if hmac.compare_digest(_digest(key), expected) else None

    async def all(self) -> tuple[ApiKey, ...]:
        """Every key, the oldest first."""
        with queue_errors():
            stored: Any = await self._redis.hvals(keys.api_keys())
        records = [ApiKey.model_validate_json(record) for record in stored]
        return tuple(sorted(records, key=lambda record: record.created_at))

    async def any(self) -> bool:
        """Whether there is a key at all."""
        with queue_errors():
            count: Any = await self._redis.hlen(keys.api_keys())
        return bool(count)

    async def revoke(self, key_id: str) -> bool:
        """Deletes a key. Returns False where none has this id."""
        with queue_errors():
            deleted: Any = await self._redis.hdel(keys.api_keys(), key_id)
        return bool(deleted)


def _digest(key: str) -> str:
    return hashlib.sha256(key.encode()).hexdigest()
