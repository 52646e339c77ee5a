"""The webhooks that are still to be delivered: whose turn it is, and when there is another attempt.

Delivery is at least once: what is claimed and not settled is due again when its lease ends.
Knows no HTTP.
"""

import logging
import random
import secrets
from collections import Counter
from collections.abc import Iterable
from typing import Any

from pydantic import Field
from redis.asyncio import Redis

from workers.jobs import keys
from workers.jobs.connect import queue_errors
from workers.jobs.job import Job, Record, Webhook
from workers.jobs.record import read_fields
from workers.jobs.scripts import source
from workers.jobs.settings import QueueSettings

LEASE_S = 60.0
"""So long after a claim the webhook is due again. An attempt takes less."""

PUT_OFF_S = 1.0
"""Until one that is not ours to claim now is looked at again: see claim_webhooks.lua."""

PAUSES_S = (5, 30, 120, 600, 1800, 3600, 7200, 14_400)
"""After each attempt but the last. Those that would end after the job's record are not made."""

JITTER = 0.2
"""A pause is longer by up to this part of it, so that what failed together is not retried so."""

log = logging.getLogger(__name__)


class Delivery(Record):
    """One attempt to tell a webhook's URL that its job has ended, claimed by who makes it."""

    job: Job
    webhook: Webhook
    attempt: int = Field(gt=0)
    """Counts from 1; with the job's id it tells this claim from any other."""


class Outbox:
    """One process's view of the webhooks to deliver. Every method raises QueueUnavailable."""

    def __init__(self, redis: Redis, settings: QueueSettings) -> None:
        self._redis = redis
        self._claim = redis.register_script(source("claim_webhooks", settings))
        self._end = redis.register_script(source("end_webhook", settings))
        self._retry = redis.register_script(source("retry_webhook", settings))

    async def claim(
        self, count: int, most_of_owner: int | None = None, under_way: Iterable[Delivery] = ()
    ) -> list[Delivery]:
        """Up to `count` of those that are due, the longest due first.

        most_of_owner: at once, those that are under way counted; an owner who has as many waits.

        Those of jobs of another contract are left to the versions that understand it. One whose
        record cannot be read all the same is left to others until its lease ends.
        """
        owners = Counter(delivery.job.owner for delivery in under_way)
        busy = [part for owner in owners.items() for part in owner]
        with queue_errors():
            rows: Any = await self._claim(
                [], [count, LEASE_S, most_of_owner or count, PUT_OFF_S, *busy]
            )
        deliveries = (_delivery(job_id.decode(), *row) for job_id, *row in rows)
        return [delivery for delivery in deliveries if delivery is not None]

    async def end(self, delivery: Delivery) -> bool:
        """It is delivered, or not wanted. False where someone else has claimed it since."""
        with queue_errors():
            effect = await self._end([], [delivery.job.id, delivery.attempt])
        return bool(effect)

    async def retry(self, delivery: Delivery) -> bool:
        """The attempt has failed: there is another after a pause, if any is left.

        It is given up after the last one, and where the job's record goes before the pause is over.
        False where someone else has claimed it since.
        """
        job_id, attempt = delivery.job.id, delivery.attempt
        if attempt > len(PAUSES_S):
            log.warning("webhook of job %s: given up after %d attempts", job_id, attempt)
            return await self.end(delivery)
        pause_s = PAUSES_S[attempt - 1] * random.uniform(1, 1 + JITTER)
        with queue_errors():
            effect = await self._retry([], [job_id, attempt, pause_s])
        if effect == -1:
            log.warning(
                "webhook of job %s: given up after %d attempts, since the job's record goes before"
                " the next; a longer IMAGEN_RETENTION_S leaves time for more",
                job_id,
                attempt,
            )
        return bool(effect)

    async def next_due_s(self) -> float | None:
        """Seconds until the next is due, negative where it is late; None where none waits."""
        with queue_errors():
            async with self._redis.pipeline() as pipeline:
                pipeline.time()
                pipeline.zrange(keys.webhooks(), 0, 0, withscores=True)
                (seconds, microseconds), first = await pipeline.execute()
        return first[0][1] - seconds - microseconds / 1e6 if first else None

    async def service_secret(self) -> bytes:
        """What every owner's signing secret is derived from; made by the first who asks."""
        with queue_errors():
            await self._redis.set(keys.webhook_secret(), secrets.token_bytes(32), nx=True)
            secret: Any = await self._redis.get(keys.webhook_secret())
        return bytes(secret)


def _delivery(job_id: str, attempt: int, record: list[bytes]) -> Delivery | None:
    """What was claimed; None where there is nothing to tell, or we cannot read it."""
    if attempt == 0:
        log.warning("webhook of job %s: given up, since the job's record is gone", job_id)
        return None
    try:
        job = read_fields(job_id, record, tasks_before=-1)
        return Delivery.model_validate({"job": job, "webhook": job.webhook, "attempt": attempt})
    except (KeyError, ValueError):
        log.exception("webhook of job %s: its record is of another version of imagen", job_id)
        return None
