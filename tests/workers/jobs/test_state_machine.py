"""Whatever is done in whatever order, by whoever is alive or dead, Redis is as the promises say.

STATE_MACHINE_EXAMPLES says how many orders are tried, 60 where it is not set.
"""

import asyncio
import os
from collections.abc import Coroutine
from pathlib import Path
from typing import Any, TypeVar

import hypothesis.stateful
import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    initialize,
    invariant,
    multiple,
    precondition,
    rule,
)
from redis.asyncio import Redis

from tests.valkey import leaked_keys
from tests.workers.jobs.conftest import (
    ENCODER,
    FAILURE,
    WEBHOOK,
    a_job,
    an_image,
    past_its_deadline,
)
from tests.workers.jobs.plain_queue import PlainQueue
from workers.jobs import keys
from workers.jobs.admission import RequestKey
from workers.jobs.connect import connect
from workers.jobs.errors import InputExpired, RequestKeyReused
from workers.jobs.job import NewJob, Priority, Task
from workers.jobs.ledger import Ledger
from workers.jobs.queue import Queue
from workers.jobs.record import read_job
from workers.jobs.scripts import source
from workers.jobs.settings import QueueSettings

EXAMPLES = int(os.environ.get("STATE_MACHINE_EXAMPLES", "60"))
STEPS = 50

WORKERS = ("w1", "w2", "w3")
STAGES = ("text", "32", "128")
FAR_MS = 10_000_000
"""Longer than an example takes."""

Result = TypeVar("Result")

a_worker = st.sampled_from(WORKERS)
a_result = st.sampled_from(["done", "done", "done by who knows the embeddings", "failed"])
new_jobs = st.builds(
    a_job,
    prompt=st.sampled_from(["a red apple", "a cat"]),
    n=st.integers(1, 3),
    steps=st.integers(1, 50),
    owner=st.sampled_from(["ann", "bob"]),
    priority=st.sampled_from(Priority),
    deadline_s=st.none() | st.just(FAR_MS / 1000),
    webhook=st.none() | st.just(WEBHOOK),
)


class QueueMachine(RuleBasedStateMachine):
    """Does the same to Redis and to the plain queue."""

    jobs = Bundle("jobs")
    deliveries = Bundle("deliveries")

    def __init__(self, runner: asyncio.Runner, redis: Redis, queue_settings: QueueSettings) -> None:
        super().__init__()
        self.runner, self.redis, self.settings = runner, redis, queue_settings
        self.run(redis.flushall())
        self.ledger = Ledger(redis, queue_settings)
        self.queues = {worker: Queue(redis, queue_settings) for worker in WORKERS}
        self.plain = PlainQueue(queue_settings.max_deliveries)
        self.delivered: list[Task] = []
        self.requests: dict[str, tuple[str, str]] = {}
        """By owner: fingerprint and job of the first."""

    def run(self, coroutine: Coroutine[Any, Any, Result]) -> Result:
        return self.runner.run(coroutine)

    @initialize(target=jobs, some=st.lists(new_jobs, min_size=1, max_size=4))
    def begin(self, some: list[NewJob]) -> Any:
        self.live("w3", "long there")
        return multiple(*(self.submit(job, fingerprint=None) for job in some))

    @rule(target=jobs, job=new_jobs, fingerprint=st.sampled_from([None, "aaaa", "bbbb"]))
    def submit(self, job: NewJob, fingerprint: str | None) -> Any:
        """Twice. fingerprint: of a request under the owner's only key."""
        request_key = RequestKey(key="one", fingerprint=fingerprint) if fingerprint else None
        known, job_id = (fingerprint, job.id)
        if fingerprint:
            known, job_id = self.requests.setdefault(job.owner, (fingerprint, job.id))
        for repeated in (job_id != job.id, True):
            asked = self.ledger.submit(job, request_key=request_key)
            if known != fingerprint:
                with pytest.raises(RequestKeyReused):
                    self.run(asked)
                continue
            accepted = self.run(asked)
            assert (accepted.repeated, accepted.job.id) == (repeated, job_id)
            if not repeated:
                self.plain.submit(job)
        return job if job.id in self.plain.jobs else multiple()

    @property
    def waiting(self) -> list[str]:
        return [stage for stage in STAGES if self.plain.ready(stage)]

    @property
    def held(self) -> list[Task]:
        return [task for task in self.delivered if self.plain.holds(task)]

    @precondition(lambda self: self.waiting)
    @rule(
        target=deliveries,
        data=st.data(),
        worker=a_worker,
        count=st.integers(1, 4),
        heard=st.sampled_from([True, True, False]),
    )
    def claim(self, data: st.DataObject, worker: str, count: int, heard: bool) -> Any:
        """heard: whether the answer reaches the worker."""
        stage = data.draw(st.sampled_from(self.waiting))
        queue = self.queues[worker] if heard else Queue(self.redis, self.settings)
        first: Any = self.run(self.redis.zrange(keys.ready(stage), 0, count - 1))
        expected = self.plain.claim(stage, [name.decode() for name in first])
        tasks = self.run(queue.claim(worker, stage, count))
        assert [task.name for task in tasks] == expected
        for task in tasks:
            self.plain.deliver(worker, task, heard)
        self.delivered += tasks if heard else []
        return multiple(*tasks) if heard else multiple()

    @precondition(lambda self: self.held)
    @rule(data=st.data(), result=a_result)
    def settle(self, data: st.DataObject, result: str) -> None:
        self.come(data.draw(st.sampled_from(self.held)), result)

    @precondition(lambda self: self.waiting)
    @rule(data=st.data(), worker=a_worker, images=st.integers(1, 5))
    def draw(self, data: st.DataObject, worker: str, images: int) -> None:
        """As it is when nothing goes wrong."""
        before = len(self.delivered)
        while self.waiting and len(self.delivered) < before + images:
            self.claim(data, worker, count=1, heard=True)
            for task in self.delivered[before:]:
                if self.plain.holds(task):
                    self.come(task, "done")

    @rule(task=deliveries, result=a_result)
    def come(self, task: Task, result: str) -> None:
        """With what became of the task, however late."""
        worker = holder(task)
        queue = self.queues[worker]
        if result == "failed":
            expected = self.plain.fail(worker, task, FAILURE.code)
            assert self.run(queue.fail(task, worker, FAILURE)) is expected
        elif task.stage == "text":
            self.commit_text(worker, task, given=result == "done")
        elif after := task.parameters.stage_after(task.stage):
            expected = self.plain.commit(worker, task, after.name)
            assert self.run(queue.commit(task, worker, b"pixels", after.name)) is expected
        else:
            effect = self.plain.finish(worker, task)
            assert self.run(queue.finish(task, worker, an_image(task))) is effect

    def commit_text(self, worker: str, task: Task, given: bool) -> None:
        """given: the embeddings come along; else those are relied on that are there."""
        prompts = (task.parameters.prompt, task.parameters.negative_prompt)
        embeddings = dict.fromkeys(prompts, b"embedding") if given else {}
        commit = self.queues[worker].commit_text(task, worker, ENCODER, embeddings)
        if self.plain.holds(task) and not given and not self.plain.encoded.issuperset(prompts):
            with pytest.raises(InputExpired):
                self.run(commit)
        else:
            assert self.run(commit) is self.plain.commit_text(worker, task)

    @rule(worker=a_worker, tasks=st.none() | st.lists(deliveries, max_size=3))
    def hand_back(self, worker: str, tasks: list[Task] | None) -> None:
        """tasks: those of the worker among them; None is all that it thinks to hold."""
        if tasks is None:
            mine = [task for task in self.delivered if self.plain.believes(worker, task)]
            self.run(self.queues[worker].hand_back(worker))
        else:
            mine = [task for task in tasks if holder(task) == worker]
            self.run(self.queues[worker].hand_back(worker, mine))
        self.plain.hand_back(worker, mine)

    @rule(worker=a_worker, life=st.sampled_from(["dead", "just come", "long there", "lost"]))
    def live(self, worker: str, life: str) -> None:
        """A worker that seems dead may still come, late. One that is lost, all others notice."""
        if life in ("dead", "lost"):
            self.run(self.redis.delete(keys.worker(worker)))
            self.plain.reclaims.pop(worker, None)
        elif life == "just come":
            self.run(self.redis.register_script(source("beat"))([], [worker, FAR_MS]))
            self.plain.reclaims.setdefault(worker, False)
        else:
            self.run(self.redis.set(keys.worker(worker), 1, px=FAR_MS))
            self.plain.reclaims[worker] = True
        for other in WORKERS if life == "lost" else ():
            self.reclaim(other)

    @rule(worker=a_worker)
    def reclaim(self, worker: str) -> None:
        for stage in STAGES:
            expected = self.plain.reclaim(worker, stage)
            lost = self.run(self.queues[worker].reclaim(worker, stage))
            assert sorted(task.name for task in lost) == sorted(expected)

    @precondition(lambda self: self.plain.queued())
    @rule(job=jobs, how=st.sampled_from(["cancel", "erase", "be late", "be late and seen"]))
    def end(self, job: NewJob, how: str) -> None:
        plain = self.plain.jobs[job.id]
        if how == "cancel":
            assert self.run(self.ledger.cancel(job.id)) is self.plain.cancel(job.id)
        elif how == "erase":
            self.run(self.ledger.erase(job.id))
            self.plain.erase(job.id)
        elif job.deadline_s is not None and plain.lives:
            self.run(past_its_deadline(self.redis, job))
            plain.late = True
        if how == "be late and seen":
            self.run(self.ledger.expire())
            self.plain.expire()

    @invariant()
    def tasks_are_where_they_should_be(self) -> None:
        """So each is in one place, and only while its job lives."""
        pipeline = self.redis.pipeline(transaction=False)
        for stage in STAGES:
            pipeline.zrange(keys.ready(stage), 0, -1)
            pipeline.hgetall(keys.held(stage))
        found = self.run(pipeline.execute())
        for stage, ready, held in zip(STAGES, found[::2], found[1::2], strict=True):
            assert {name.decode() for name in ready} == self.plain.ready(stage)
            assert text_of(held) == self.plain.held(stage)

    @invariant()
    def jobs_are_as_they_should_be(self) -> None:
        pipeline = self.redis.pipeline(transaction=False)
        for job_id in self.plain.jobs:
            pipeline.hgetall(keys.job(job_id))
            pipeline.ttl(keys.job(job_id))
            pipeline.hkeys(keys.artifacts(job_id))
        found = self.run(pipeline.execute())
        for i, (job_id, plain) in enumerate(self.plain.jobs.items()):
            record, ttl_s, artifacts = found[3 * i : 3 * i + 3]
            job = read_job(job_id, record)
            assert job.status is plain.status
            assert {image.index for image in job.images} == plain.images
            assert (job.error.code if job.error else None) == plain.error
            assert (job.erased, job.parameters.prompt == "") == (plain.erased, plain.erased)
            assert (ttl_s == -1) is plain.lives
            assert {field.decode() for field in artifacts} == plain.artifacts()

    @invariant()
    def nothing_else_is_counted_or_kept(self) -> None:
        pipeline = self.redis.pipeline(transaction=False)
        pipeline.hgetall(keys.queued())
        pipeline.zrange(keys.deadlines(), 0, -1)
        pipeline.zrange(keys.webhooks(), 0, -1)
        queued, deadlines, webhooks = self.run(pipeline.execute())
        jobs = self.plain.jobs.items()
        assert text_of(queued) == {who: str(n) for who, n in self.plain.queued().items()}
        assert {job_id.decode() for job_id in deadlines} == {
            job_id for job_id, job in jobs if job.asked.deadline_s and job.lives
        }
        assert {job_id.decode() for job_id in webhooks} == {
            job_id for job_id, job in jobs if job.asked.webhook and not job.lives
        }
        assert self.run(leaked_keys(self.redis)) == []


def holder(task: Task) -> str:
    return task.token.rpartition("/")[0]


def text_of(fields: dict[bytes, bytes]) -> dict[str, str]:
    return {name.decode(): value.decode() for name, value in fields.items()}


def test_redis_is_as_the_plain_queue(valkey_url: str, tmp_path: Path) -> None:
    queue_settings = QueueSettings(
        redis_url=valkey_url, data_dir=tmp_path, lease_s=FAR_MS / 1000, max_deliveries=2
    )
    with asyncio.Runner() as runner:
        redis = connect(queue_settings)
        try:
            hypothesis.stateful.run_state_machine_as_test(  # type: ignore[no-untyped-call]
                lambda: QueueMachine(runner, redis, queue_settings),
                settings=settings(
                    max_examples=EXAMPLES,
                    stateful_step_count=STEPS,
                    deadline=None,
                    suppress_health_check=list(HealthCheck),
                ),
            )
        finally:
            runner.run(redis.flushall())
            runner.run(redis.aclose())
