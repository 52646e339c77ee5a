"""What cannot be encoded is failed; the encoder rests when there is nothing to encode."""

from pathlib import Path
from typing import NoReturn

import pytest
from redis.asyncio import Redis

from model.cascade import Cascade
from tests.workers.failing import a_tiny_job, let_the_second_failure_find_no_queue
from workers.jobs.errors import QueueUnavailable
from workers.jobs.job import JobError, JobStatus
from workers.jobs.queue import Queue
from workers.jobs.settings import QueueSettings
from workers.text_lane import TextLane

REASON = JobError(code="stage_failed", message="no memory")


@pytest.fixture
def queue(redis: Redis, queue_settings: QueueSettings) -> Queue:
    return Queue(redis, queue_settings)


async def take_in(lane: TextLane, queue: Queue, jobs: int) -> list[str]:
    submitted = [a_tiny_job() for _ in range(jobs)]
    for job in submitted:
        await queue.submit(job)
    for task in await queue.claim("w1", "text", count=jobs, block_s=0):
        await lane.accept(task)
    return [job.id for job in submitted]


async def test_jobs_whose_prompts_cannot_be_encoded_all_fail(
    queue: Queue, tiny_cascade: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cascade = Cascade.load(tiny_cascade, "cpu,float32", stages=["text"])

    def out_of_memory(prompts: object) -> NoReturn:
        raise RuntimeError("no memory")

    monkeypatch.setattr(cascade.text, "encode", out_of_memory)
    lane = TextLane(cascade.text, queue, "w1")
    jobs = await take_in(lane, queue, jobs=3)
    with pytest.raises(RuntimeError):
        lane.compute()
    let_the_second_failure_find_no_queue(queue, monkeypatch)
    with pytest.raises(QueueUnavailable):
        await lane.fail_all(REASON)
    await lane.fail_all(REASON)
    assert {(await queue.job(job)).status for job in jobs} == {JobStatus.FAILED}
    assert not lane.has_work


@pytest.mark.parametrize("keep", [True, False])
async def test_the_encoder_leaves_memory_when_no_prompt_waits_unless_it_is_kept(
    queue: Queue, tiny_cascade: Path, keep: bool
) -> None:
    cascade = Cascade.load(tiny_cascade, "cpu,float32", stages=["text"], keep_text=keep)
    lane = TextLane(cascade.text, queue, "w1")
    await take_in(lane, queue, jobs=1)
    (outcome,) = lane.compute()
    assert cascade.text.is_loaded is keep
    await lane.commit(outcome)
    assert len(await queue.claim("w1", "8", count=2, block_s=0)) == 1


async def test_encoded_one_by_one_an_embedding_is_the_same_in_any_company(
    queue: Queue, tiny_cascade: Path
) -> None:
    cascade = Cascade.load(tiny_cascade, "cpu,float32", stages=["text"])
    lane = TextLane(cascade.text, queue, "w1", exact=True)
    encoded = dict(lane._encode(["a cat", "", "a red apple"]))
    alone = dict(lane._encode(["a cat"]))
    assert encoded["a cat"].equal(alone["a cat"])
