"""The queue: what API and workers do with jobs and tasks. Each transition is one Lua script.

Execution is at least once, effect exactly once: a commit counts only from the worker that
still owns the task, and only while its job lives.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from redis.asyncio import Redis
from redis.commands.core import AsyncScript
from redis.exceptions import ResponseError
from redis.typing import EncodableT

from workers.jobs import keys
from workers.jobs.connect import queue_errors
from workers.jobs.errors import InputExpired, JobNotFound
from workers.jobs.inputs import Inputs, input_field, task_image
from workers.jobs.job import (
    TEXT_STAGE,
    ImageResult,
    Job,
    JobError,
    JobParameters,
    Task,
    TaskInputs,
)
from workers.jobs.record import image_field, read_job
from workers.jobs.scripts import Scripts
from workers.jobs.settings import QueueSettings

LONGEST_BLOCK_S = 5.0
"""Stays below the time after which a silent Redis is taken to be away."""

Delivery = tuple[str, int, Mapping[bytes, bytes]]
"""A stream entry: its id, how often it was delivered, its fields."""


class Queue:
    """One process's view of the queue.

    Every method raises QueueUnavailable while Redis is away. All may then be called again: a
    transition that did take effect is not repeated, it returns False.
    """

    def __init__(self, redis: Redis, settings: QueueSettings) -> None:
        self._redis = redis
        self._settings = settings
        self._scripts = Scripts(redis)
        self._inputs = Inputs(redis)
        self._held: defaultdict[tuple[str, str], set[str]] = defaultdict(set)
        """By worker and stage, the entries claimed through this object and not yet settled."""

    async def submit(self, job: Job) -> None:
        """Accepts a job: its record and its text task. Submitting it again changes nothing."""
        await self._run(
            self._scripts.submit,
            [keys.job(job.id), keys.stream(TEXT_STAGE)],
            [job.id, job.created_at, job.parameters.model_dump_json(), job.parameters.n],
        )

    async def job(self, job_id: str) -> Job:
        """The job as it stands.

        Raises: JobNotFound.
        """
        with queue_errors():
            record: Any = await self._redis.hgetall(keys.job(job_id))
        if not record:
            raise JobNotFound(job_id)
        return read_job(job_id, record)

    async def claim(self, worker: str, stage: str, count: int, block_s: float) -> list[Task]:
        """Up to `count` new tasks of a stage; waits for the first up to block_s (at most 5).

        The worker's heartbeat must be there before. May be empty before the time is up. A
        task lost to a failure or cancellation in here comes back through `reclaim`.
        """
        with queue_errors():
            deliveries = await self._read(worker, stage, count, block_s)
        return await self._admit(worker, stage, deliveries)

    async def reclaim(self, worker: str, stages: Sequence[str], count: int) -> list[Task]:
        """Up to `count` tasks of workers whose heartbeat is gone; forgets those workers.

        Also the worker's own tasks whose delivery never reached it.
        """
        tasks: list[Task] = []
        lease_ms = round(self._settings.lease_s * 1000)
        for stage in stages:
            most = count - len(tasks)
            rows = await self._run(
                self._scripts.reclaim,
                [keys.stream(stage)],
                [keys.GROUP, worker, keys.worker(""), most, lease_ms, *self._held[worker, stage]],
            )
            tasks += await self._admit(worker, stage, [_delivery(*row) for row in rows])
        return tasks

    async def missing_embeddings(self, encoder: str, prompts: Iterable[str]) -> list[str]:
        """Those of the prompts that have to be encoded.

        The others stay for embedding_ttl_s at least, long enough for the commit that follows.
        """
        wanted = list(dict.fromkeys(prompts))
        there = await self._run(
            self._scripts.touch_embeddings,
            [keys.embedding(encoder, prompt) for prompt in wanted],
            [self._settings.embedding_ttl_s],
        )
        return [prompt for prompt, found in zip(wanted, there, strict=True) if not found]

    async def commit_text(
        self, task: Task, worker: str, encoder: str, embeddings: Mapping[str, bytes]
    ) -> bool:
        """Ends the text stage: stores the embeddings by prompt, adds a task per image.

        A prompt that was not missing may be left out of `embeddings`.
        Returns False where the task is no longer this worker's or its job has ended.
        Raises: InputExpired where one was left out and is gone; nothing has changed then.
        """
        job, _, stream = _keys(task)
        first_stream = keys.stream(task.parameters.stages[0].name)
        prompts = (task.parameters.prompt, task.parameters.negative_prompt)
        stored = [keys.embedding(encoder, prompt) for prompt in prompts]
        given = [embeddings.get(prompt, b"") for prompt in prompts]
        effect = await self._run(
            self._scripts.commit_text,
            [job, stream, first_stream, *stored],
            [*_fence(task, worker), task.job_id, task.parameters.n, *given],
        )
        if effect == -1:
            raise InputExpired("a cached embedding expired before the text stage was committed")
        return self._settled(task, worker, effect)

    async def inputs(self, task: Task) -> TaskInputs:
        """The embeddings and, past the base stage, the output of the stage before.

        Raises: InputExpired where one of them is gone; the job should fail with that reason.
        """
        return await self._inputs.of(task)

    async def commit(self, task: Task, worker: str, output: bytes, next_stage: str) -> bool:
        """Ends a diffusion stage: keeps its output, drops its input, adds the next stage's task.

        Returns False where the task is no longer this worker's or its job has ended.
        """
        effect = await self._run(
            self._scripts.commit,
            [*_keys(task), keys.stream(next_stage)],
            [
                *_fence(task, worker),
                task.job_id,
                task_image(task),
                self._settings.artifact_ttl_s,
                keys.artifact_field(task_image(task), task.stage),
                output,
                input_field(task),
            ],
        )
        return self._settled(task, worker, effect)

    async def finish(self, task: Task, worker: str, image: ImageResult) -> bool:
        """Ends the last stage: records the image; with the last one the job has succeeded.

        Returns False where the task is no longer this worker's or its job has ended.
        """
        recorded = [image_field(task_image(task)), image.model_dump_json(), input_field(task)]
        effect = await self._run(
            self._scripts.finish,
            _keys(task),
            [*_fence(task, worker), *recorded, *self._ending(task)],
        )
        return self._settled(task, worker, effect)

    async def fail(self, task: Task, worker: str, error: JobError) -> bool:
        """Ends the whole job for the reason given; its other tasks are dropped when met.

        Returns False where the task is no longer this worker's or its job has ended.
        """
        effect = await self._run(
            self._scripts.fail,
            _keys(task),
            [*_fence(task, worker), error.model_dump_json(), *self._ending(task)],
        )
        return self._settled(task, worker, effect)

    async def _read(self, worker: str, stage: str, count: int, block_s: float) -> list[Delivery]:
        """New entries of a stage's stream; the first reader creates stream and group."""
        stream = keys.stream(stage)
        block_ms = round(min(block_s, LONGEST_BLOCK_S) * 1000) or None  # BLOCK 0 is forever
        replies: Any = None
        while replies is None:
            try:
                replies = await self._redis.xreadgroup(
                    keys.GROUP, worker, {stream: ">"}, count=count, block=block_ms
                )
            except ResponseError as error:
                if not str(error).startswith(("NOGROUP", "UNBLOCKED")):
                    raise
                await self._create_group(stream)
        return [(entry.decode(), 1, fields) for _, entries in replies for entry, fields in entries]

    async def _create_group(self, stream: str) -> None:
        try:
            await self._redis.xgroup_create(stream, keys.GROUP, id="0", mkstream=True)
        except ResponseError as error:
            if not str(error).startswith("BUSYGROUP"):  # another worker was first
                raise

    async def _admit(self, worker: str, stage: str, deliveries: Sequence[Delivery]) -> list[Task]:
        """The deliveries as tasks, without those whose job is gone or has ended."""
        if not deliveries:
            return []
        job_ids = [fields[b"job"].decode() for _, _, fields in deliveries]
        claimed = await self._run(
            self._scripts.claim,
            [keys.stream(stage), *map(keys.job, job_ids)],
            [keys.GROUP, *(entry for entry, _, _ in deliveries)],
        )
        tasks = [
            Task(
                entry_id=entry,
                stage=stage,
                job_id=job_id,
                image=int(fields[b"image"]) if b"image" in fields else None,
                deliveries=count,
                parameters=JobParameters.model_validate_json(parameters),
            )
            for (entry, count, fields), job_id, parameters in zip(
                deliveries, job_ids, claimed, strict=True
            )
            if parameters is not None
        ]
        self._held[worker, stage].update(task.entry_id for task in tasks)
        return tasks

    async def _run(
        self, script: AsyncScript, script_keys: Sequence[str], arguments: Sequence[EncodableT]
    ) -> Any:
        with queue_errors():
            return await script(script_keys, arguments)

    def _settled(self, task: Task, worker: str, effect: int) -> bool:
        self._held[worker, task.stage].discard(task.entry_id)
        return effect == 1

    def _ending(self, task: Task) -> list[EncodableT]:
        """What end_job in library.lua asks for."""
        settings = self._settings
        return [keys.ended(), task.job_id, settings.retention_s, settings.embedding_ttl_s]


def _keys(task: Task) -> list[str]:
    return [keys.job(task.job_id), keys.artifacts(task.job_id), keys.stream(task.stage)]


def _fence(task: Task, worker: str) -> list[EncodableT]:
    return [keys.GROUP, task.entry_id, worker]


def _delivery(entry: bytes, deliveries: int, fields: Sequence[bytes]) -> Delivery:
    """An entry as Lua returns it: its fields are a flat list of names and values."""
    return entry.decode(), deliveries, dict(zip(fields[::2], fields[1::2], strict=True))
