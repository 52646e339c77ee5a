"""Old and new versions on one queue: each leaves alone what it does not understand."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from redis.asyncio import Redis

from tests.workers.jobs.conftest import (
    WEBHOOK,
    StartHeartbeat,
    a_job,
    a_worker,
    alive_since_long,
    claim_one,
    draw,
    encode,
)
from workers.jobs import card as cards
from workers.jobs import contract, keys
from workers.jobs.card import CascadeCard, WorkerCard
from workers.jobs.errors import NoCard, OtherContract
from workers.jobs.history import History
from workers.jobs.job import JobStatus, NewJob, Priority, Record
from workers.jobs.ledger import Ledger
from workers.jobs.outbox import Outbox
from workers.jobs.queue import Queue
from workers.jobs.settings import QueueSettings

NEXT = contract.CONTRACT + 1


@contextmanager
def version(current: int, oldest: int) -> Iterator[None]:
    """What is built within is of a version that speaks `current` and understands `oldest`."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(contract, "CONTRACT", current)
        patch.setattr(contract, "OLDEST", oldest)
        yield


@pytest.fixture
def next_ledger(redis: Redis, queue_settings: QueueSettings) -> Ledger:
    with version(NEXT, NEXT):
        return Ledger(redis, queue_settings)


@pytest.fixture
def next_queue(redis: Redis, queue_settings: QueueSettings) -> Queue:
    with version(NEXT, NEXT):
        return Queue(redis, queue_settings)


async def accepted_by_next(ledger: Ledger, job: NewJob) -> str:
    """The id of a job that the next version has accepted. Its answer only that one can read."""
    with version(NEXT, NEXT):
        await ledger.submit(job)
    return job.id


async def test_each_version_draws_its_own_jobs(
    ledger: Ledger,
    queue: Queue,
    next_ledger: Ledger,
    next_queue: Queue,
    caplog: pytest.LogCaptureFixture,
) -> None:
    theirs = await accepted_by_next(next_ledger, a_job("a new cat"))
    ours = a_job("an old cat")
    await ledger.submit(ours)
    with caplog.at_level(logging.WARNING):
        assert await encode(queue)
        assert await draw(queue)
        for _ in range(2):
            assert await queue.claim("w1", "text", count=8) == []
    assert (await ledger.job(ours.id)).status is JobStatus.SUCCEEDED
    told = [line for line in caplog.messages if "another contract" in line]
    assert told == [
        f"stage text: 1 tasks are of another contract than {contract.CONTRACT}, and left to workers"
        " of theirs"
    ]
    assert (await claim_one(next_queue, "w2", "text")).job_id == theirs


async def test_those_behind_many_of_another_version_do_not_wait_for_them(
    redis: Redis, ledger: Ledger, queue: Queue, next_ledger: Ledger
) -> None:
    for _ in range(5):
        await accepted_by_next(next_ledger, a_job("a new cat"))
    ours = [a_job("an old cat") for _ in range(3)]
    for job in ours:
        await ledger.submit(job)
    await redis.config_resetstat()
    first = await queue.claim("w1", "text", count=2)
    assert [task.job_id for task in first] == [job.id for job in ours[:2]]
    looks = (await redis.info("commandstats"))["cmdstat_zrange"]["calls"]
    assert looks == 2, "which is one for as many as it takes, and one for the next hundred"


async def test_that_tasks_are_left_is_told_once_until_none_is(
    ledger: Ledger,
    queue: Queue,
    next_ledger: Ledger,
    next_queue: Queue,
    caplog: pytest.LogCaptureFixture,
) -> None:
    for _ in range(2):
        await accepted_by_next(next_ledger, a_job())
        assert await queue.claim("w1", "text", count=1) == []
        await ledger.submit(a_job(priority=Priority.HIGH))
        await claim_one(queue, "w1", "text")  # and looks no further
        assert await queue.claim("w1", "text", count=1) == []
        await claim_one(next_queue, "w2", "text")
        assert await queue.claim("w1", "text", count=1) == []
    assert sum("another contract" in line for line in caplog.messages) == 2


async def test_a_version_draws_the_jobs_of_those_that_it_understands(
    redis: Redis, ledger: Ledger, queue_settings: QueueSettings
) -> None:
    job = a_job()
    await ledger.submit(job)
    with version(NEXT, contract.CONTRACT):
        upgraded = Queue(redis, queue_settings)
    assert await encode(upgraded)
    assert await draw(upgraded)
    assert (await ledger.job(job.id)).status is JobStatus.SUCCEEDED


async def test_any_version_takes_over_for_the_one_that_can_go_on(
    redis: Redis, next_ledger: Ledger, next_queue: Queue, queue: Queue
) -> None:
    job_id = await accepted_by_next(next_ledger, a_job("a cat"))
    await claim_one(next_queue, "dead", "text")
    await alive_since_long(redis, "w1")
    await queue.reclaim("w1", "text")
    assert await queue.claim("w1", "text", count=1) == []
    assert (await claim_one(next_queue, "w2", "text")).job_id == job_id


async def test_a_job_of_another_version_is_told_by_that_one(
    redis: Redis, ledger: Ledger, next_ledger: Ledger, queue_settings: QueueSettings
) -> None:
    job_id = await accepted_by_next(next_ledger, a_job("a cat"))
    with pytest.raises(OtherContract, match=f"contract {NEXT}, this process of"):
        await ledger.job(job_id)
    assert (await History(redis, queue_settings).page("", most=10)).jobs == ()
    assert await ledger.cancel(job_id), "who cannot read it can end it"


async def test_a_webhook_is_told_by_the_version_that_accepted_its_job(
    redis: Redis, ledger: Ledger, next_ledger: Ledger, queue_settings: QueueSettings
) -> None:
    theirs = await accepted_by_next(next_ledger, a_job(webhook=WEBHOOK))
    ours = a_job(webhook=WEBHOOK)
    await ledger.submit(ours)
    for job_id in (theirs, ours.id):
        assert await ledger.cancel(job_id)
    outbox = Outbox(redis, queue_settings)
    (delivery,) = await outbox.claim(8)
    assert delivery.job.id == ours.id
    await redis.zadd(keys.webhooks(), {theirs: 0}, xx=True)
    assert await outbox.claim(8) == []
    await redis.zadd(keys.webhooks(), {theirs: 0}, xx=True)
    with version(NEXT, NEXT):
        (delivery,) = await Outbox(redis, queue_settings).claim(8)
    assert (delivery.job.id, delivery.attempt) == (theirs, 1)


async def show(redis: Redis, name: str, spoken: int) -> None:
    """A living worker of another contract, with words of its own."""
    await redis.zadd(
        keys.workers(), {f'{{"contract": {spoken}, "name": "{name}", "of": "another"}}': 1 << 45}
    )
    await redis.pexpire(keys.workers(), 5000)


@pytest.mark.parametrize(
    ("spoken", "remedy"),
    [(NEXT, "upgrade this process"), (contract.OLDEST - 1, "start workers of this version")],
)
async def test_who_has_workers_of_another_version_alone_is_told_what_to_do(
    redis: Redis, spoken: int, remedy: str
) -> None:
    await show(redis, "w9", spoken)
    with pytest.raises(NoCard, match=f"speak contract {spoken} .*: {remedy}"):
        await cards.read(redis)


async def test_workers_of_two_versions_show_their_cards_side_by_side(
    redis: Redis, card: CascadeCard, start_heartbeat: StartHeartbeat
) -> None:
    start_heartbeat("w1")
    await show(redis, "w9", NEXT)
    with version(NEXT, NEXT):
        await redis.set(keys.card(), '{"of": "another"}', px=5000)
    assert await cards.read(redis) == card
    other = WorkerCard(contract=NEXT, name="w9", stages={})
    assert await cards.read_workers(redis) == (a_worker("w1"), other)


FIELDS = {
    1: {
        "AdapterCard": "name stage",
        "CascadeCard": "adapters contract known_words max_area_ratio max_aspect_ratio max_images"
        " max_prompt_chars max_prompt_tokens name stages text_encoder",
        "ImageResult": "blocked_by bytes height index path seed sha256 width",
        "JobError": "code image message",
        "JobParameters": "height n negative_prompt prompt seed size stages width",
        "StageCard": "aug_level guidance_distilled guidance_interval guidance_scale"
        " max_guidance_scale max_steps multiple name sampler samplers size steps",
        "StageParameters": "adapters aug_level eta guidance_interval guidance_scale height name"
        " sampler steps width",
        "StagePlace": "device dtype row_ms rows",
        "Webhook": "base url",
        "WorkerCard": "contract name stages",
    }
}
"""Of what lies in Redis as JSON, by contract."""


def test_a_field_more_or_less_is_another_contract() -> None:
    """A version that does not know it cannot read the record: raise CONTRACT with it."""
    stored = {kind.__name__: kind for kind in Record.__subclasses__()}
    told = {name: " ".join(sorted(stored[name].model_fields)) for name in FIELDS[1]}
    assert told == FIELDS[contract.CONTRACT]
