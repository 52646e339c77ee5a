"""The queue of tasks: what workers do with them. Each transition is one Lua script.

Execution is at least once, effect exactly once: a commit counts only from the worker that still
holds the task, and tasks are held only while their job lives.
"""

import json
import logging
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import IntEnum
from itertools import groupby
from typing import Any

from pydantic import ValidationError
from redis.asyncio import Redis
from redis.commands.core import AsyncScript
from redis.typing import EncodableT

from workers.jobs import contract, keys
from workers.jobs.connect import queue_errors
from workers.jobs.errors import InputExpired
from workers.jobs.inputs import Inputs, TaskInputs, input_field
from workers.jobs.job import ImageResult, JobError, JobParameters, Task
from workers.jobs.record import image_field
from workers.jobs.scripts import Scripts
from workers.jobs.settings import QueueSettings
from workers.jobs.tally import Standing, Tally

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Reached:
    """How far a task is: denoising steps done, of how many."""

    task: Task
    step: int
    steps: int


class Effect(IntEnum):
    """What became of a finished image."""

    DONE = 1
    REFUSED = 0
    """Another worker has the task, or had it."""
    UNWANTED = -1
    """It was given up, or its job has ended without it: no one will ever record this image."""


class Queue:
    """One process's view of the queue.

    Every method raises QueueUnavailable while Redis is away. All may then be called again: a
    transition that did take effect is not repeated, it is refused.
    """

    def __init__(self, redis: Redis, settings: QueueSettings, tally: Tally | None = None) -> None:
        self._scripts = Scripts(redis, settings)
        self._inputs = Inputs(redis)
        self._tally = tally or Tally()
        self._held: defaultdict[tuple[str, str], dict[str, Task]] = defaultdict(dict)
        """By worker and stage, what was claimed through this object and not yet settled."""
        self._passed_over: set[str] = set()
        """Stages with tasks of another contract."""

    async def claim(
        self, worker: str, stage: str, count: int, *, beside: bool = False
    ) -> list[Task]:
        """Up to `count` tasks of a stage, none where there are none.

        beside: whether the worker may have others. Then a delivery that is a task's last does not
        count towards max_deliveries: hand it back, and claim it alone.
        The worker's heartbeat must be there before. A task lost to a failure or cancellation in
        here comes back through `reclaim`, which must not run beside it.
        """
        rows, expired, of_others = await self._run(
            self._scripts.claim, [stage, worker, count, int(beside)]
        )
        tasks = [task for row in rows if (task := _task(stage, *row)) is not None]
        self._held[worker, stage].update((task.name, task) for task in tasks)
        self._tally.claimed(tasks)
        for job_id, standing in expired:
            self._tally.expired(job_id.decode(), Standing.of(standing))
        had_room = len(rows) + len(expired) < count
        self._tell_passed_over(stage, of_others, all_counted=had_room)
        return tasks

    async def reclaim(self, worker: str, stage: str) -> list[Task]:
        """Makes what dead workers held ready again; gives up what too many have died with.

        Returns the tasks that the worker has lost: what it makes of them counts no more.
        """
        held = self._held[worker, stage]
        reclaimed, given_up, lost = await self._run(
            self._scripts.reclaim, [stage, worker, *_tokens(held.values())]
        )
        self._tally.reclaimed(stage, reclaimed)
        for name, standing in given_up:
            self._tally.gave_up(stage, name.decode(), Standing.of(standing))
        tasks = [held.pop(name.decode()) for name in lost if name.decode() in held]
        self._tally.let_go(tasks)
        return tasks

    def held(self, worker: str) -> list[Task]:
        """What the worker has claimed through this object and not settled."""
        return [
            task for (by, _), held in self._held.items() if by == worker for task in held.values()
        ]

    async def hand_back(self, worker: str, tasks: Iterable[Task], *, counted: bool = False) -> None:
        """Makes tasks that the worker holds ready again, at once.

        counted: whether this delivery counts towards max_deliveries.
        """
        by_stage = sorted(tasks, key=lambda task: task.stage)
        for stage, group in groupby(by_stage, key=lambda task: task.stage):
            given = list(group)
            await self._run(self._scripts.hand_back, [stage, int(counted), *_tokens(given)])
            self._tally.let_go(given)
            for task in given:
                self._forget(task, worker)

    async def missing_embeddings(self, encoder: str, prompts: Iterable[str]) -> list[str]:
        """Those of the prompts that have to be encoded.

        The others stay for embedding_ttl_s at least, long enough for the commit that follows.
        """
        wanted = list(dict.fromkeys(prompts))
        there = await self._run(
            self._scripts.touch_embeddings, [keys.embedding(encoder, prompt) for prompt in wanted]
        )
        return [prompt for prompt, found in zip(wanted, there, strict=True) if not found]

    async def commit_text(
        self,
        task: Task,
        worker: str,
        encoder: str,
        embeddings: Mapping[str, bytes],
        warnings: Sequence[str] = (),
    ) -> bool:
        """Ends the text stage: stores the embeddings by prompt, adds a task per image.

        A prompt that was not missing may be left out of `embeddings`. warnings: told with the job.
        Returns False where the task is no longer this worker's or its job has ended.
        Raises: InputExpired where one was left out and is gone; nothing has changed then.
        """
        parameters = task.parameters
        given: list[EncodableT] = []
        for prompt in (parameters.prompt, parameters.negative_prompt):
            given += [keys.embedding(encoder, prompt), embeddings.get(prompt, b"")]
        told = json.dumps(warnings) if warnings else ""
        effect = await self._run(
            self._scripts.commit_text,
            [task.name, task.token, parameters.stages[0].name, *given, told],
        )
        if effect == -1:
            raise InputExpired("a cached embedding expired before the text stage was committed")
        return self._settled(task, worker, effect)

    async def inputs(self, task: Task) -> TaskInputs:
        """The embeddings and, past the base stage, the output of the stage before.

        Raises: InputExpired where one of them is gone.
        """
        return await self._inputs.of(task)

    async def progress(self, reached: Sequence[Reached]) -> set[str]:
        """Tells how far tasks of one stage are; those that the worker has lost are left out.

        Returns the keys of those whose jobs someone follows.
        """
        told: list[EncodableT] = []
        for each in reached:
            told += [each.task.name, each.task.token, each.step, each.steps]
        followed = await self._run(self._scripts.progress, [reached[0].task.stage, *told])
        names = {name.decode() for name in followed}
        return {each.task.key for each in reached if each.task.name in names}

    async def preview(self, reached: Reached, png: bytes) -> None:
        """Shows what an image looks like so far to those who follow its job."""
        await self._run(
            self._scripts.preview, [*_fence(reached.task), reached.step, reached.steps, png]
        )

    async def commit(self, task: Task, worker: str, output: bytes, next_stage: str) -> bool:
        """Ends a stage that another follows: keeps the output for it, moves the task on.

        Returns False where the task is no longer this worker's or its job has ended.
        """
        output_field = keys.artifact_field(task.image, task.stage)
        steps = task.parameters.stage(next_stage).steps
        effect = await self._run(
            self._scripts.commit,
            [*_fence(task), next_stage, steps, output_field, output, input_field(task)],
        )
        return self._settled(task, worker, effect)

    async def finish(self, task: Task, worker: str, image: ImageResult) -> Effect:
        """Ends the last stage: records the image; with the last one the job has ended."""
        recorded = [image_field(task.image), image.model_dump_json(), input_field(task)]
        effect = await self._run(self._scripts.finish, [*_fence(task), *recorded])
        self._forget(task, worker)
        if isinstance(effect, int):
            self._tally.fenced(task)
            return Effect(effect)
        self._tally.image_done(task, Standing.of(effect))
        return Effect.DONE

    async def fail(self, task: Task, worker: str, error: JobError) -> bool:
        """Fails the task's image, or with its text the whole job, for the reason given.

        error: which image it is about is the task's to say.
        Returns False where the task is no longer this worker's or its job has ended.
        """
        effect = await self._run(self._scripts.fail, [*_fence(task), error.code, error.message])
        self._forget(task, worker)
        if not effect:
            self._tally.fenced(task)
            return False
        self._tally.failed(task, error, Standing.of(effect))
        return True

    async def _run(self, script: AsyncScript, arguments: Sequence[EncodableT]) -> Any:
        with queue_errors():
            return await script([], arguments)

    def _tell_passed_over(self, stage: str, of_others: int, *, all_counted: bool) -> None:
        """Once, until none is left: a claim that was filled before did not look at all of them."""
        if of_others and stage not in self._passed_over:
            self._passed_over.add(stage)
            log.warning(
                "stage %s: %d tasks are of another contract than %d, and left to workers of theirs",
                stage,
                of_others,
                contract.CONTRACT,
            )
        elif not of_others and all_counted:
            self._passed_over.discard(stage)

    def _settled(self, task: Task, worker: str, effect: int) -> bool:
        self._forget(task, worker)
        if not effect:
            self._tally.fenced(task)
            return False
        self._tally.handed_on(task)
        return True

    def _forget(self, task: Task, worker: str) -> None:
        """Not a later delivery of the same task, should this worker hold one."""
        held = self._held[worker, task.stage]
        if held.get(task.name) == task:
            del held[task.name]


def _task(
    stage: str,
    name: bytes,
    token: bytes,
    deliveries: int,
    parameters: bytes,
    traceparent: bytes,
    is_watched: int,
) -> Task | None:
    """None for one that another version wrote: `reclaim` leaves it to who can read it."""
    try:
        read = JobParameters.model_validate_json(parameters)
    except ValidationError:
        log.exception("task %s is of another version of imagen, and left to others", name.decode())
        return None
    return Task(
        stage=stage,
        name=name.decode(),
        token=token.decode(),
        deliveries=deliveries,
        parameters=read,
        traceparent=traceparent.decode() or None,
        is_watched=bool(is_watched),
    )


def _fence(task: Task) -> list[EncodableT]:
    return [task.stage, task.name, task.token]


def _tokens(tasks: Iterable[Task]) -> list[EncodableT]:
    """Name and token of each, as Lua reads them."""
    return [part for task in tasks for part in (task.name, task.token)]
