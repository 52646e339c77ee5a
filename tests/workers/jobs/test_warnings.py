"""What the text encoder could not read is told with the job, from then on, until it is erased."""

from redis.asyncio import Redis

from tests.workers.jobs.conftest import ENCODER, a_job, claim_one, draw, encode
from tests.workers.jobs.follower import Follower
from workers.jobs import keys
from workers.jobs.events import EventKind, JobEvents, JobStands
from workers.jobs.job import JobStatus
from workers.jobs.ledger import Ledger
from workers.jobs.queue import Queue

WARNINGS = ('prompt: "斑马" means nothing', "prompt: it is too long")
EMBEDDINGS = {"a red apple": b"apple", "": b"none"}


async def test_a_job_has_its_warnings_to_its_end_and_after(ledger: Ledger, queue: Queue) -> None:
    job = a_job()
    assert (await ledger.submit(job)).job.warnings == ()
    text = await claim_one(queue, "w1", "text")
    assert await queue.commit_text(text, "w1", ENCODER, EMBEDDINGS, WARNINGS)
    assert (await ledger.job(job.id)).warnings == WARNINGS
    await draw(queue)
    assert (await ledger.job(job.id)).warnings == WARNINGS


async def test_those_of_another_job_are_its_own(ledger: Ledger, queue: Queue) -> None:
    first, second = a_job(), a_job()
    for job in (first, second):
        await ledger.submit(job)
    text = await claim_one(queue, "w1", "text")
    assert await queue.commit_text(text, "w1", ENCODER, EMBEDDINGS, WARNINGS)
    assert await encode(queue)
    assert (await ledger.job(second.id)).warnings == ()


async def test_a_follower_is_told_at_once(ledger: Ledger, queue: Queue, events: JobEvents) -> None:
    job = a_job()
    await ledger.submit(job)
    follower = Follower(job.id)
    await follower.connect(events)
    await follower.next()  # how the job stands
    text = await claim_one(queue, "w1", "text")
    assert await queue.commit_text(text, "w1", ENCODER, EMBEDDINGS, WARNINGS)
    told = await follower.next()
    await follower.disconnect()
    assert isinstance(told, JobStands)
    assert (told.kind, told.job.status) == (EventKind.STATE, JobStatus.QUEUED)
    assert told.job.warnings == WARNINGS


async def test_a_worker_that_has_lost_the_text_leaves_none(ledger: Ledger, queue: Queue) -> None:
    job = a_job()
    await ledger.submit(job)
    text = await claim_one(queue, "w1", "text")
    await queue.hand_back("w1", [text])
    assert not await queue.commit_text(text, "w1", ENCODER, EMBEDDINGS, WARNINGS)
    assert (await ledger.job(job.id)).warnings == ()


async def test_they_are_erased_with_the_prompt_that_they_quote(
    ledger: Ledger, queue: Queue, redis: Redis
) -> None:
    job = a_job()
    await ledger.submit(job)
    text = await claim_one(queue, "w1", "text")
    assert await queue.commit_text(text, "w1", ENCODER, EMBEDDINGS, WARNINGS)
    await ledger.erase(job.id)
    assert (await ledger.job(job.id)).warnings == ()
    assert not await redis.hexists(keys.job(job.id), "warnings")
