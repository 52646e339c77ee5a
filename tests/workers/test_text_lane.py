"""Prompts are encoded once; what cannot be encoded fails alone; the encoder may rest."""

from collections.abc import Sequence
from pathlib import Path

import pytest
from torch import Tensor

from model.cascade import Cascade
from tests.workers.tiny_jobs import a_tiny_job, settle, take_in
from workers import tensors
from workers.jobs.job import JobStatus
from workers.jobs.ledger import Ledger
from workers.jobs.queue import Queue
from workers.text_lane import TextLane


async def test_a_prompt_that_cannot_be_encoded_fails_its_job_and_no_other(
    queue: Queue, ledger: Ledger, tiny_cascade: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cascade = Cascade.load(tiny_cascade, "cpu,float32", stages=["text"])
    encode = cascade.text.encode

    def refuse_dogs(prompts: Sequence[str]) -> Tensor:
        if "a dog" in prompts:
            raise ArithmeticError("dogs")
        return encode(prompts)

    monkeypatch.setattr(cascade.text, "encode", refuse_dogs)
    lane = TextLane(cascade.text, queue, "w1")
    jobs = [a_tiny_job(prompt=prompt) for prompt in ("a cat", "a dog", "a red apple")]
    await take_in(lane, ledger, queue, *jobs)
    await settle(lane, queue)
    cat, dog, apple = [await ledger.job(job.id) for job in jobs]
    assert (cat.status, dog.status, apple.status) == ("queued", "failed", "queued")
    assert dog.error is not None
    assert dog.error.code == "stage_failed"
    assert len(await queue.claim("w1", "8", count=9)) == 2


@pytest.mark.parametrize("keep", [True, False])
async def test_the_encoder_leaves_memory_when_no_prompt_waits_unless_it_is_kept(
    queue: Queue, ledger: Ledger, tiny_cascade: Path, keep: bool
) -> None:
    cascade = Cascade.load(tiny_cascade, "cpu,float32", stages=["text"], keep_text=keep)
    lane = TextLane(cascade.text, queue, "w1")
    await take_in(lane, ledger, queue, a_tiny_job())
    await settle(lane, queue)
    assert cascade.text.is_loaded is keep
    assert len(await queue.claim("w1", "8", count=2)) == 1


async def test_encoded_one_by_one_an_embedding_is_the_same_in_any_company(
    queue: Queue, ledger: Ledger, tiny_cascade: Path
) -> None:
    cascade = Cascade.load(tiny_cascade, "cpu,float32", stages=["text"])
    prompts = ("a cat", "a dog", "a red apple")
    in_company = TextLane(cascade.text, queue, "w1", exact=True)
    await take_in(in_company, ledger, queue, *(a_tiny_job(prompt=prompt) for prompt in prompts))
    made = [outcome.output for outcome in in_company.compute()]
    encoded = {p: value for each in made for p, value in each.embeddings.items()}
    (alone,) = cascade.text.encode(["a cat"])
    assert encoded["a cat"] == tensors.to_bytes(alone)


@pytest.mark.parametrize("keep", [True, False])
async def test_a_job_is_warned_of_unknown_words_also_where_nothing_has_to_be_encoded(
    queue: Queue, ledger: Ledger, tiny_cascade: Path, keep: bool
) -> None:
    cascade = Cascade.load(tiny_cascade, "cpu,float32", stages=["text"], keep_text=keep)
    lane = TextLane(cascade.text, queue, "w1")
    for _ in range(2):
        jobs = [a_tiny_job(prompt=prompt) for prompt in ("a zebra", "a cat")]
        zebra, cat = await take_in(lane, ledger, queue, *jobs)
        await settle(lane, queue)
        (warning,) = (await ledger.job(zebra)).warnings
        assert warning.startswith('prompt: "zebra" means nothing')
        assert (await ledger.job(cat)).warnings == ()
    assert cascade.text.is_loaded is keep


async def test_a_job_that_has_ended_is_not_encoded(
    queue: Queue, ledger: Ledger, tiny_cascade: Path
) -> None:
    cascade = Cascade.load(tiny_cascade, "cpu,float32", stages=["text"])
    lane = TextLane(cascade.text, queue, "w1")
    kept, dropped = await take_in(lane, ledger, queue, a_tiny_job(), a_tiny_job())
    await ledger.cancel(dropped)
    lane.drop(lambda task: task.job_id == dropped)
    (outcome,) = lane.compute()
    assert outcome.task.job_id == kept
    assert not lane.has_work
    assert (await ledger.job(dropped)).status is JobStatus.CANCELED
