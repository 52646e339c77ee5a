"""What a diffusion task starts from, fetched with as few bytes as can be."""

from collections import OrderedDict
from typing import Any, cast

from redis.asyncio import Redis

from workers.jobs import keys
from workers.jobs.connect import queue_errors
from workers.jobs.errors import InputExpired
from workers.jobs.job import Record, Task

FIELDS = ["prompt_embedding", "negative_embedding", "status"]

EMBEDDINGS_KEPT = 64
"""The empty prompt's is asked for by nearly every task, a prompt's by each image of its job."""


class TaskInputs(Record):
    """What a diffusion task starts from. The bytes are the model's business."""

    prompt_embedding: bytes
    negative_embedding: bytes
    artifact: bytes | None
    """Output of the stage before; None at the base stage."""


class Inputs:
    """Reads inputs of tasks; the latest embeddings are kept, since those of T5-XXL are 630 KB."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis
        self._embeddings: OrderedDict[bytes, bytes] = OrderedDict()

    async def of(self, task: Task) -> TaskInputs:
        """The embeddings and, past the base stage, the output of the stage before.

        Raises: InputExpired where one of them is gone; QueueUnavailable.
        """
        field = input_field(task)
        with queue_errors():
            pipeline = self._redis.pipeline(transaction=False)
            pipeline.hmget(keys.job(task.job_id), FIELDS)
            pipeline.hget(keys.artifacts(task.job_id), field)
            (prompt, negative, status), artifact = await pipeline.execute()
            if status != b"running":
                raise InputExpired("the job has ended")
            embeddings = [await self._embedding(key) for key in (prompt, negative)]
        if artifact is None and field:
            raise InputExpired("the output of the stage before is gone")
        return TaskInputs(
            prompt_embedding=embeddings[0], negative_embedding=embeddings[1], artifact=artifact
        )

    async def _embedding(self, key: bytes | None) -> bytes:
        """key: None where the job itself is gone."""
        value: Any = self._embeddings.get(key or b"")
        if value is None and key is not None:
            value = await self._redis.hget(key, "value")
        if value is None or key is None:
            raise InputExpired("an embedding of the job is gone")
        self._embeddings[key] = value
        self._embeddings.move_to_end(key)
        if len(self._embeddings) > EMBEDDINGS_KEPT:
            self._embeddings.popitem(last=False)
        return cast(bytes, value)


def input_field(task: Task) -> str:
    """Where the task's input lies in the job's artifacts; '' at the base stage, which has none."""
    before = task.parameters.stage_before(task.stage)
    return keys.artifact_field(task.image, before.name) if before else ""
