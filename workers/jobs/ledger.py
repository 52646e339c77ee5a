"""The ledger of jobs: what clients do with them. Each transition is one Lua script."""

import json
import logging
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from redis.asyncio import Redis

from workers.jobs import keys
from workers.jobs.admission import UNLIMITED, Allowance, QuotaExceeded, Quotas, RequestKey
from workers.jobs.connect import queue_errors
from workers.jobs.errors import JobNotFound, RequestKeyReused
from workers.jobs.job import TEXT_STAGE, Job, NewJob
from workers.jobs.log_fields import about
from workers.jobs.record import read_fields
from workers.jobs.scripts import Scripts
from workers.jobs.settings import QueueSettings
from workers.jobs.tally import Standing, log_end

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Accepted:
    """A job that is in the ledger. repeated: it was there before, under the same request key."""

    job: Job
    allowance: Allowance
    repeated: bool = False


class Ledger:
    """One process's view of the jobs.

    Every method raises QueueUnavailable while Redis is away. All may then be called again: what
    did take effect is not repeated.
    """

    def __init__(self, redis: Redis, settings: QueueSettings) -> None:
        self._redis = redis
        self._scripts = Scripts(redis, settings)

    async def submit(
        self, job: NewJob, quotas: Quotas = UNLIMITED, request_key: RequestKey | None = None
    ) -> Accepted:
        """Accepts a job: from now on it will reach a terminal state.

        Raises: QuotaExceeded, RequestKeyReused.
        """
        asked = json.dumps(_asked(job, quotas, request_key))
        with queue_errors():
            answer: dict[str, Any] = json.loads(await self._scripts.submit([], [asked]))
        allowance = _allowance(answer)
        match answer["outcome"]:
            case "accepted":
                fields = [field.encode() for field in answer["fields"]]
                accepted = read_fields(job.id, fields, answer["tasks_before"])
                _log_accepted(accepted)
                return Accepted(accepted, allowance)
            case "repeated":
                job_id = answer["job_id"]  # our own where the client sent it again by itself
                return Accepted(await self.job(job_id), allowance, repeated=job_id != job.id)
            case "mismatch":
                raise RequestKeyReused
            case quota:
                wait_ms = answer.get("wait_ms")
                raise QuotaExceeded(quota, allowance, None if wait_ms is None else wait_ms / 1000)

    async def find(self, owner: str, request_key: RequestKey) -> Job | None:
        """The owner's job under this key, if there is one: whether or not more could be accepted.

        Raises: RequestKeyReused.
        """
        with queue_errors():
            known: Any = await self._redis.get(keys.idempotency(owner, request_key.key))
        if known is None:
            return None
        fingerprint, job_id = known.decode().split()
        if fingerprint != request_key.fingerprint:
            raise RequestKeyReused
        with suppress(JobNotFound):  # its record ends at this very moment
            return await self.job(job_id)
        return None

    async def job(self, job_id: str) -> Job:
        """The job as it stands.

        Raises: JobNotFound.
        """
        with queue_errors():
            fields, tasks_before = await self._scripts.read([], [job_id])
        return read_fields(job_id, fields, tasks_before)

    async def cancel(self, job_id: str) -> bool:
        """Ends a job at the next step; what is done of it stays. False where it had ended."""
        with queue_errors():
            effect = await self._scripts.cancel([], [job_id])
        if effect:
            log_end(Standing.of(effect), {"job": job_id})
        return bool(effect)

    async def erase(self, job_id: str) -> None:
        """Cancels a job that lives; takes its prompts and images out of its record.

        Raises: JobNotFound.
        """
        parameters = (await self.job(job_id)).parameters
        nameless = parameters.model_copy(update={"prompt": "", "negative_prompt": ""})
        with queue_errors():
            erased = await self._scripts.erase([], [job_id, nameless.model_dump_json()])
        if not erased:
            raise JobNotFound(job_id)
        log.info("job %s deleted", job_id, extra={"job": job_id})

    async def expire(self) -> float | None:
        """Ends the jobs whose deadline has passed. Returns the s until the next one, if any."""
        with queue_errors():
            next_ms, expired = await self._scripts.expire([], [])
        for job_id, standing in expired:
            log_end(Standing.of(standing), {"job": job_id.decode()})
        return None if next_ms < 0 else next_ms / 1000


def _log_accepted(job: Job) -> None:
    fields = {"status": job.status, "priority": job.priority, "images": job.parameters.n}
    log.info("job %s accepted", job.id, extra={**about(job), **fields})


def _asked(job: NewJob, quotas: Quotas, request_key: RequestKey | None) -> Mapping[str, Any]:
    """What submit.lua reads; a value that is None is left out."""
    parameters = job.parameters
    asked: dict[str, Any] = {
        "id": job.id,
        "owner": job.owner,
        "priority": job.priority,
        "parameters": parameters.model_dump_json(),
        "n": parameters.n,
        "stages": [TEXT_STAGE, *(stage.name for stage in parameters.stages)],
        "image_cost": parameters.image_cost,
        "quotas": quotas.model_dump(exclude_none=True),
    }
    if job.deadline_s is not None:
        asked["deadline_s"] = job.deadline_s
    if job.webhook is not None:
        asked["webhook"] = job.webhook.model_dump_json()
    if job.traceparent is not None:
        asked["traceparent"] = job.traceparent
    if request_key is not None:
        asked["idempotency"] = keys.idempotency(job.owner, request_key.key)
        asked["fingerprint"] = request_key.fingerprint
    return asked


def _allowance(answer: Mapping[str, Any]) -> Allowance:
    reset_ms = answer.get("per_minute_reset_ms")
    return Allowance(
        queued_left=answer.get("queued_left"),
        per_minute_left=answer.get("per_minute_left"),
        per_minute_reset_s=None if reset_ms is None else reset_ms / 1000,
    )
