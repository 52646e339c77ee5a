"""Jobs of the tiny cascade, and a queue that goes away while they are failed."""

import pytest

from workers.jobs.errors import QueueUnavailable
from workers.jobs.job import Job, JobError, JobParameters, StageParameters, Task
from workers.jobs.queue import Queue
from workers.jobs.record import new_job


def a_tiny_job(n: int = 1, steps: int = 1) -> Job:
    """A job of the tiny cascade's base, not yet submitted."""
    square = {"width": 8, "height": 8}
    stage = StageParameters(name="8", **square, steps=steps, guidance_scale=4.0, sampler="ddim")
    return new_job(JobParameters(prompt="a cat", n=n, size=8, **square, seed=0, stages=(stage,)))


def let_the_second_failure_find_no_queue(queue: Queue, monkeypatch: pytest.MonkeyPatch) -> None:
    """queue.fail() works, then raises QueueUnavailable once, then works again."""
    fail, calls = queue.fail, 0

    async def fail_but_once(task: Task, worker: str, error: JobError) -> bool:
        nonlocal calls
        calls += 1
        if calls == 2:
            raise QueueUnavailable("away")
        return await fail(task, worker, error)

    monkeypatch.setattr(queue, "fail", fail_but_once)
