"""Jobs of the tiny cascade, taken in by a lane."""

from workers.jobs.job import JobParameters, NewJob, StageParameters
from workers.jobs.ledger import Ledger
from workers.jobs.queue import Queue
from workers.lane import Lane


def a_tiny_job(n: int = 1, steps: int = 1, prompt: str = "a cat") -> NewJob:
    """A job of the tiny cascade's base, not yet submitted."""
    square = {"width": 8, "height": 8}
    stage = StageParameters(name="8", **square, steps=steps, guidance_scale=4.0, sampler="ddim")
    parameters = JobParameters(prompt=prompt, n=n, size=8, **square, seed=0, stages=(stage,))
    return NewJob(parameters=parameters)


async def take_in(lane: Lane, ledger: Ledger, queue: Queue, *jobs: NewJob) -> list[str]:
    """Submits the jobs and gives the lane what its stage has ready. Returns the ids of the jobs."""
    for job in jobs:
        await ledger.submit(job)
    for task in await queue.claim("w1", lane.stage, count=99):
        await lane.accept(task)
    return [job.id for job in jobs]


async def settle(lane: Lane, queue: Queue) -> None:
    """Computes and commits once, as a worker does."""
    for outcome in lane.compute():
        if outcome.failure is not None:
            await queue.fail(outcome.task, "w1", outcome.failure)
        else:
            await lane.commit(outcome)
