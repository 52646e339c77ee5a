"""Whatever is done in whatever order, by whoever is alive or dead, Redis is as the promises say.

STATE_MACHINE_EXAMPLES says how many orders are tried, 200 where it is not set.
"""

import asyncio
import os
from collections.abc import Awaitable, Iterable, Mapping
from pathlib import Path
from typing import Any, TypeVar

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
    run_state_machine_as_test,
)
from redis.asyncio import Redis

from tests.valkey import leaks_in, read_all
from tests.workers.jobs.conftest import (
    ENCODER,
    FAILURE,
    WEBHOOK,
    a_job,
    an_image,
    past_its_deadline,
)
from tests.workers.jobs.follower import Follower
from tests.workers.jobs.plain_queue import PlainQueue
from workers.jobs import keys
from workers.jobs.admission import RequestKey
from workers.jobs.connect import connect
from workers.jobs.errors import InputExpired, RequestKeyReused
from workers.jobs.events import JobEvents, JobStands, NothingMore
from workers.jobs.job import TEXT_STAGE, JobStatus, NewJob, Priority, StageTimes, Task
from workers.jobs.ledger import Ledger
from workers.jobs.queue import Queue, Reached
from workers.jobs.record import read_job
from workers.jobs.scripts import source
from workers.jobs.settings import QueueSettings

EXAMPLES = int(os.environ.get("STATE_MACHINE_EXAMPLES", "200"))
STEPS = 20

WORKERS = ("w1", "w2", "w3")
STAGES = ("text", "32", "128")
OWNERS = ("ann", "bob")
PROGRESS_STEPS = 8
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
    owner=st.sampled_from(OWNERS),
    priority=st.sampled_from(Priority),
    deadline_s=st.sampled_from([FAR_MS / 1000, FAR_MS / 1000, None]),
    webhook=st.none() | st.just(WEBHOOK),
)
some_claims = st.lists(
    st.tuples(a_worker, st.sampled_from([True, True, False])), min_size=1, max_size=8
)


class QueueMachine(RuleBasedStateMachine):
    """Does the same to Redis and to the plain queue."""

    jobs = Bundle("jobs")

    def __init__(
        self, loop: asyncio.AbstractEventLoop, redis: Redis, queue_settings: QueueSettings
    ) -> None:
        super().__init__()
        self.loop, self.redis, self.settings = loop, redis, queue_settings
        self.run(redis.flushall())
        self.ledger = Ledger(redis, queue_settings)
        self.queues = {worker: Queue(redis, queue_settings) for worker in WORKERS}
        self.plain = PlainQueue(queue_settings.max_deliveries)
        self.delivered: list[Task] = []
        self.requests: dict[str, tuple[str, str]] = {}
        """By owner: fingerprint and job of the first."""
        self.apis = [JobEvents(redis, queue_settings, self.ledger) for _ in range(2)]
        self.followers: dict[str, Follower] = {}
        self.followed: set[str] = set()
        """Jobs of which events are kept."""
        self.forgotten: set[str] = set()
        """Jobs of which events are gone that were kept."""
        self.erased_in_sight: set[str] = set()
        """Jobs that were erased while events of them were kept."""

    def run(self, doing: Awaitable[Result]) -> Result:
        return self.loop.run_until_complete(doing)

    @initialize(
        target=jobs,
        some=st.lists(new_jobs, min_size=1, max_size=4),
        claims=st.tuples(*(some_claims for _ in STAGES)),
        followed=st.booleans(),
    )
    def begin(
        self, some: list[NewJob], claims: tuple[list[tuple[str, bool]], ...], followed: bool
    ) -> Any:
        """claims: at each stage, of one task each, by whom, and whether it is done already."""
        self.live("w3", "live for a lease")
        begun = multiple(*(self.submit(job, fingerprint=None) for job in some))
        if followed:
            self.catch_up(next(iter(self.plain.jobs)), self.apis[0])
        for stage, by_stage in zip(STAGES, claims, strict=True):
            for worker, done in by_stage:
                for task in self.take(stage, worker, count=1):
                    if done:
                        self.come(task, "done")
        return begun

    @property
    def held(self) -> list[Task]:
        return [task for task in self.delivered if self.plain.holds(task)]

    @precondition(lambda self: self.plain.living < 2)
    @rule(target=jobs, job=new_jobs, fingerprint=st.sampled_from([None, "aaaa", "bbbb"]))
    def submit(self, job: NewJob, fingerprint: str | None) -> Any:
        """Twice. fingerprint: of a request under the owner's only key."""
        # Random ids would break ties in another way each time that a failure is tried again.
        job = job.model_copy(update={"id": f"{len(self.plain.jobs):032x}"})
        request_key = RequestKey(key="one", fingerprint=fingerprint) if fingerprint else None
        known, job_id = fingerprint, job.id
        if fingerprint:
            known, job_id = self.requests.setdefault(job.owner, (fingerprint, job.id))
        for first in (True, False):
            asked = self.ledger.submit(job, request_key=request_key)
            if known != fingerprint:
                with pytest.raises(RequestKeyReused):
                    self.run(asked)
                continue
            accepted = self.run(asked)
            assert (accepted.repeated, accepted.job.id) == (job_id != job.id, job_id)
            if first and not accepted.repeated:
                self.plain.submit(job)
        return job if job.id in self.plain.jobs else multiple()

    @property
    def waiting(self) -> list[str]:
        return [stage for stage in STAGES if self.plain.ready(stage)]

    @precondition(lambda self: self.waiting)
    @rule(
        data=st.data(),
        worker=a_worker,
        count=st.integers(1, 4),
        heard=st.sampled_from([True, True, True, False]),
    )
    def claim(self, data: st.DataObject, worker: str, count: int, heard: bool) -> None:
        self.take(data.draw(st.sampled_from(self.waiting)), worker, count, heard)

    @precondition(lambda self: self.waiting)
    @rule(data=st.data(), worker=a_worker, steps=st.integers(1, 5))
    def draw(self, data: st.DataObject, worker: str, steps: int) -> None:
        """As it is when nothing goes wrong."""
        for _ in range(steps):
            if self.waiting:
                for task in self.take(data.draw(st.sampled_from(self.waiting)), worker, count=1):
                    self.come(task, "done")

    def take(self, stage: str, worker: str, count: int, heard: bool = True) -> list[Task]:
        """heard: whether the answer reaches the worker."""
        queue = self.queues[worker] if heard else Queue(self.redis, self.settings)
        first: Any = self.run(self.redis.zrange(keys.ready(stage), 0, count - 1))
        expected = self.plain.claim(stage, [name.decode() for name in first])
        tasks = self.run(queue.claim(worker, stage, count))
        assert [task.name for task in tasks] == expected
        for task in tasks:
            self.plain.deliver(worker, task, heard)
            assert task.is_watched is (task.job_id in self.followed)
        self.delivered += tasks if heard else []
        return tasks

    @property
    def shown(self) -> list[Task]:
        """What may be under way, as far as the workers know."""
        return [task for task in self.delivered if task.stage != TEXT_STAGE]

    @precondition(lambda self: self.shown and self.plain.living)
    @rule(data=st.data(), step=st.integers(0, PROGRESS_STEPS))
    def show(self, data: st.DataObject, step: int) -> None:
        """Of several tasks at one stage, as their worker does; also late."""
        last = data.draw(st.sampled_from(self.shown))
        beside = [task for task in self.shown if task.stage == last.stage]
        tasks = [*data.draw(st.lists(st.sampled_from(beside), max_size=2)), last]
        tasks = list({task.name: task for task in tasks}.values())
        reached = [Reached(task, step, PROGRESS_STEPS) for task in tasks]
        followed = self.run(self.queues[holder(last)].progress(reached))
        held = [task for task in tasks if self.plain.holds(task)]
        assert followed == {task.key for task in held if task.job_id in self.followed}
        for each in tasks:
            self.plain.progress(each, step)
        self.run(self.queues[holder(last)].preview(reached[0], b"png"))

    @rule(job=jobs, api=st.integers(0, 1), events_go=st.sampled_from([False, False, False, True]))
    def follow(self, job: NewJob, api: int, events_go: bool) -> None:
        """With any API, from where the follower was. events_go: before, as they do in time."""
        if events_go and self.run(self.redis.delete(keys.events(job.id))):
            self.followed.discard(job.id)
            self.forgotten.add(job.id)
        self.catch_up(job.id, self.apis[api])

    def catch_up(self, job_id: str, api: JobEvents) -> None:
        job = self.plain.jobs[job_id]
        follower = self.followers.setdefault(job_id, Follower(job_id))
        try:
            self.run(follower.catch_up(api, self.redis))
        except NothingMore:
            assert follower.ends
        if job.lives:
            self.followed.add(job_id)

    def teardown(self) -> None:
        """Whoever followed has been told everything, and once."""
        for job_id, follower in self.followers.items():
            self.catch_up(job_id, self.apis[0])
            job, first = self.plain.jobs[job_id], follower.seen[0]
            ends = [end.job.erased for end in follower.ends]
            if job_id in self.erased_in_sight:
                assert ends in ([True], [False, True])
            else:
                assert len(ends) == (not job.lives)
                assert True not in ends or job.erased
            assert len(set(follower.ids)) == len(follower.ids)
            assert len(set(follower.images)) == len(follower.images)
            if not job.erased and job_id not in self.forgotten:
                assert isinstance(first, JobStands)
                seen = [image.index for image in first.job.images] + follower.images
                assert sorted(seen) == sorted(job.images)

    @precondition(lambda self: self.held)
    @rule(data=st.data(), result=a_result)
    def settle(self, data: st.DataObject, result: str) -> None:
        self.come(data.draw(st.sampled_from(self.held)), result)

    @precondition(lambda self: self.delivered and self.plain.living)
    @rule(data=st.data(), result=a_result)
    def settle_at_any_time(self, data: st.DataObject, result: str) -> None:
        self.come(data.draw(st.sampled_from(self.delivered)), result)

    def come(self, task: Task, result: str) -> None:
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

    @precondition(lambda self: self.held)
    @rule(data=st.data(), worker=a_worker, everything=st.booleans(), counted=st.booleans())
    def hand_back(self, data: st.DataObject, worker: str, everything: bool, counted: bool) -> None:
        """everything: that the worker thinks to hold; else what it may have had long ago."""
        if everything:
            tasks = self.queues[worker].held(worker)
        else:
            tasks = data.draw(st.lists(st.sampled_from(self.delivered), max_size=3))
            tasks = [task for task in tasks if holder(task) == worker]
        self.run(self.queues[worker].hand_back(worker, tasks, counted=counted))
        self.plain.hand_back(worker, tasks, counted)

    @precondition(lambda self: self.held)
    @rule(worker=a_worker, what=st.sampled_from(["die", "beat", "live for a lease", "reclaim"]))
    def live(self, worker: str, what: str) -> None:
        """One that seems dead may still come, late."""
        match what:
            case "die":
                self.run(self.redis.delete(keys.worker(worker)))
                self.plain.reclaims.pop(worker, None)
            case "beat":
                self.run(self.redis.register_script(source("beat"))([], [worker, FAR_MS]))
                self.plain.reclaims.setdefault(worker, False)
            case "live for a lease":
                self.run(self.redis.set(keys.worker(worker), 1, px=FAR_MS))
                self.plain.reclaims[worker] = True
            case "reclaim":
                for stage in STAGES:
                    expected = self.plain.reclaim(worker, stage)
                    lost = self.run(self.queues[worker].reclaim(worker, stage))
                    assert sorted(task.name for task in lost) == sorted(expected)

    @precondition(lambda self: self.held)
    @rule(data=st.data(), worker=a_worker, other=a_worker, result=a_result)
    def replace(self, data: st.DataObject, worker: str, other: str, result: str) -> None:
        """The other takes over what the worker had; now that one comes, late, with one of them."""
        self.live(worker, "die")
        for what in ("live for a lease", "beat", "reclaim"):
            self.live(other, what)
        for stage in self.waiting:
            self.take(stage, other, count=4)
        late = [task for task in self.delivered if self.plain.has_lost(task)]
        if late:
            self.come(data.draw(st.sampled_from(late)), result)

    @precondition(lambda self: self.plain.living)
    @rule(
        job=jobs, how=st.sampled_from(["cancel", "erase", "expire", "be claimed late", "be late"])
    )
    def end(self, job: NewJob, how: str) -> None:
        plain = self.plain.jobs[job.id]
        match how:
            case "cancel":
                assert self.run(self.ledger.cancel(job.id)) is self.plain.cancel(job.id)
            case "erase":
                if job.id in self.followed:
                    self.erased_in_sight.add(job.id)
                self.run(self.ledger.erase(job.id))
                self.plain.erase(job.id)
            case _ if job.deadline_s is not None and plain.lives:
                self.run(past_its_deadline(self.redis, job))
                plain.late = True
        if how == "expire":
            self.run(self.ledger.expire())
            self.plain.expire()
        if how == "be claimed late":
            for stage in self.waiting:
                self.take(stage, "w1", count=8)

    @invariant()
    def redis_is_as_it_should_be(self) -> None:
        stored = self.run(read_all(self.redis))
        values = {name: value for name, (_, value) in stored.items()}
        for worker, queue in self.queues.items():
            assert {task.key for task in queue.held(worker)} == self.plain.believed(worker)
        for stage in STAGES:  # so each task is in one place, and only while its job lives
            assert names(values.get(keys.ready(stage))) == self.plain.ready(stage)
            assert texts(values.get(keys.held(stage))) == self.plain.held(stage)
        for job_id, plain in self.plain.jobs.items():
            job = read_job(job_id, values[keys.job(job_id)])
            assert job.status is plain.status
            assert {image.index for image in job.images} == plain.images
            assert (job.error.code if job.error else None) == plain.error
            assert (job.erased, job.parameters.prompt == "") == (plain.erased, plain.erased)
            assert names(values.get(keys.artifacts(job_id))) == plain.artifacts()
            assert {
                (each.index, each.stage, each.step) for each in job.progress
            } == plain.progress()
            is_whole = job.status is JobStatus.SUCCEEDED and not job.erased
            assert 1.0 * is_whole <= job.fraction_done <= 1
            assert all(is_in_order(times) for times in job.times)
        jobs = self.plain.jobs.items()
        queued = {who: str(images) for who, images in self.plain.queued().items()}
        assert texts(values.get(keys.queued())) == queued
        for owner in OWNERS:
            listed = [job_id.decode() for job_id in values.get(keys.jobs(owner), ())]
            assert listed == self.plain.listed(owner)
        timed = {job_id for job_id, job in jobs if job.asked.deadline_s and job.lives}
        assert names(values.get(keys.deadlines())) == timed
        due = {job_id for job_id, job in jobs if job.asked.webhook and not job.lives}
        assert names(values.get(keys.webhooks())) == due
        assert all((stored[keys.job(job_id)][0] == -1) is job.lives for job_id, job in jobs)
        assert leaks_in(stored) == []


def names(members: Iterable[bytes] | None) -> set[str]:
    return {member.decode() for member in members or ()}


def texts(fields: Mapping[bytes, bytes] | None) -> dict[str, str]:
    return {name.decode(): value.decode() for name, value in (fields or {}).items()}


def holder(task: Task) -> str:
    return task.token.rpartition("/")[0]


def is_in_order(times: StageTimes) -> bool:
    moments = [times.ready_at, times.claimed_at, times.settled_at]
    known = [moment for moment in moments if moment is not None]
    return moments[: len(known)] == sorted(known)


def test_redis_is_as_the_plain_queue(valkey_url: str, tmp_path: Path) -> None:
    queue_settings = QueueSettings(
        redis_url=valkey_url, data_dir=tmp_path, lease_s=FAR_MS / 1000, max_deliveries=2
    )
    with asyncio.Runner() as runner:
        redis = connect(queue_settings)
        try:
            run_state_machine_as_test(
                lambda: QueueMachine(runner.get_loop(), redis, queue_settings),  # type: ignore[arg-type]
                settings=settings(
                    max_examples=EXAMPLES,
                    stateful_step_count=STEPS,
                    deadline=None,
                    suppress_health_check=list(HealthCheck),
                ),
            )
        finally:
            runner.run(redis.aclose())
