"""What the queue promises, in plain Python: one process, no scores, no scripts.

The state machine does to this what it does to Redis, and compares the two.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from workers.jobs import keys
from workers.jobs.job import TEXT_STAGE, JobStatus, NewJob, Task
from workers.jobs.queue import Effect


@dataclass
class PlainTask:
    """A task of a living job: at one stage, and ready, or held under a token."""

    stage: str
    deliveries: int = 0
    token: str | None = None
    step: int | None = None
    """How many are done, where any worker has told; then none where it is begun anew."""

    def give_up(self, counted: bool) -> None:
        """By who holds it: it is ready again."""
        self.token = None
        self.deliveries -= not counted
        self.step = None if self.step is None else 0


@dataclass
class PlainJob:
    asked: NewJob
    remaining: int
    tasks: dict[str, PlainTask]
    """By image, or text. What is done or failed has no task."""
    status: JobStatus = JobStatus.QUEUED
    images: set[int] = field(default_factory=set)
    error: str | None = None
    """The code of the first."""
    left: set[str] = field(default_factory=set)
    """Artifacts that no task needs; they go when it ends."""
    late: bool = False
    erased: bool = False

    @property
    def lives(self) -> bool:
        return not self.status.terminal

    def artifacts(self) -> set[str]:
        """What its tasks start from, and what is left of those that failed."""
        return {self._input(part, task) for part, task in self.tasks.items()} - {""} | self.left

    def _input(self, part: str, task: PlainTask) -> str:
        if part == TEXT_STAGE:
            return ""
        before = self.asked.parameters.stage_before(task.stage)
        return keys.artifact_field(int(part), before.name) if before else ""

    def progress(self) -> set[tuple[int, str, int]]:
        """Index, stage and step of the images under way."""
        return {
            (int(part), task.stage, task.step)
            for part, task in self.tasks.items()
            if task.step is not None
        }

    def end(self, status: JobStatus, error: str | None = None) -> None:
        assert self.lives, "a terminal status never changes"
        self.status, self.error = status, self.error or error
        self.tasks.clear()
        self.left.clear()

    def image_done(self, part: str) -> None:
        del self.tasks[part]
        self.remaining -= 1
        if self.remaining == 0:
            self.end(JobStatus.FAILED if self.error else JobStatus.SUCCEEDED)

    def fail(self, part: str, error: str) -> None:
        self.error = self.error or error
        if part == TEXT_STAGE:
            self.end(JobStatus.FAILED)
        else:
            self.left |= {self._input(part, self.tasks[part])} - {""}
            self.image_done(part)


class PlainQueue:
    """Every method returns what the transition must return."""

    def __init__(self, max_deliveries: int) -> None:
        self.jobs: dict[str, PlainJob] = {}
        self.reclaims: dict[str, bool] = {}
        """The living workers; whether they have lived for long enough to reclaim."""
        self.encoded: set[str] = set()
        self._max_deliveries = max_deliveries
        self._tokens: set[tuple[str, str]] = set()
        self._believed: defaultdict[tuple[str, str], dict[str, str]] = defaultdict(dict)
        """By worker and stage: the task that it thinks to hold, under which token."""

    @property
    def living(self) -> int:
        return sum(job.lives for job in self.jobs.values())

    def submit(self, asked: NewJob) -> None:
        tasks = {TEXT_STAGE: PlainTask(TEXT_STAGE)}
        self.jobs[asked.id] = PlainJob(asked, asked.parameters.n, tasks)

    def claim(self, stage: str, heads: Iterable[str]) -> list[str]:
        """heads: those that come first. Whose is theirs then is for `deliver` to say."""
        given = []
        for name in heads:
            job, part = self._find(name)
            if job.lives and job.late:
                job.end(JobStatus.EXPIRED, "deadline_passed")
            elif job.lives:
                job.tasks[part].deliveries += 1
                if stage != TEXT_STAGE:
                    job.status = JobStatus.RUNNING
                given.append(name)
        return given

    def deliver(self, worker: str, task: Task, heard: bool) -> None:
        job, part = self._find(task.name)
        assert task.deliveries == job.tasks[part].deliveries
        assert (task.name, task.token) not in self._tokens, "each delivery has its own token"
        self._tokens.add((task.name, task.token))
        job.tasks[part].token = task.token
        if heard:
            self._believed[worker, task.stage][task.name] = task.token

    def holds(self, task: Task) -> bool:
        return self._is_held(task.stage, task.name, task.token)

    def has_lost(self, task: Task) -> bool:
        """Whether the task is still to be done, but not by this delivery."""
        job, part = self._find(task.name)
        return part in job.tasks and job.tasks[part].stage == task.stage and not self.holds(task)

    def commit_text(self, worker: str, task: Task) -> bool:
        self._forget(worker, task)
        if not self.holds(task):
            return False
        job, _ = self._find(task.name)
        self.encoded |= {task.parameters.prompt, task.parameters.negative_prompt}
        first = task.parameters.stages[0].name
        job.tasks = {str(image): PlainTask(first) for image in range(job.remaining)}
        return True

    def commit(self, worker: str, task: Task, next_stage: str) -> bool:
        self._forget(worker, task)
        if not self.holds(task):
            return False
        job, part = self._find(task.name)
        job.tasks[part] = PlainTask(next_stage, step=0)
        return True

    def progress(self, task: Task, step: int) -> None:
        if self.holds(task):
            job, part = self._find(task.name)
            job.tasks[part].step = step

    def finish(self, worker: str, task: Task) -> Effect:
        self._forget(worker, task)
        job, part = self._find(task.name)
        if self.holds(task):
            job.images.add(task.image)
            job.image_done(part)
            return Effect.DONE
        return Effect.REFUSED if part in job.tasks or task.image in job.images else Effect.UNWANTED

    def fail(self, worker: str, task: Task, error: str) -> bool:
        self._forget(worker, task)
        if not self.holds(task):
            return False
        job, part = self._find(task.name)
        job.fail(part, error)
        return True

    def hand_back(self, worker: str, tasks: Iterable[Task], counted: bool) -> None:
        for task in tasks:
            self._forget(worker, task)
            if self.holds(task):
                job, part = self._find(task.name)
                job.tasks[part].give_up(counted)

    def believed(self, worker: str) -> set[str]:
        """Keys of the deliveries that it thinks to hold."""
        return {
            f"{name}@{token}"
            for (by, _), tasks in self._believed.items()
            if by == worker
            for name, token in tasks.items()
        }

    def reclaim(self, worker: str, stage: str) -> set[str]:
        believed = self._believed[worker, stage]
        lost = {name for name, token in believed.items() if not self._is_held(stage, name, token)}
        if self.reclaims.get(worker):
            for name, task in list(self._open()):
                if task.stage == stage and task.token is not None:
                    self._take_back(worker, name, task, believed.get(name))
        for name in lost:
            del believed[name]
        return lost

    def _take_back(self, worker: str, name: str, task: PlainTask, believed: str | None) -> None:
        holder = (task.token or "").rpartition("/")[0]
        job, part = self._find(name)
        if not job.lives:
            return
        if holder not in self.reclaims and task.deliveries >= self._max_deliveries:
            job.fail(part, "gave_up")
        elif holder not in self.reclaims:
            task.give_up(counted=True)
        elif holder == worker and believed != task.token:
            task.give_up(counted=False)

    def cancel(self, job_id: str) -> bool:
        job = self.jobs[job_id]
        lived = job.lives
        if lived:
            job.end(JobStatus.CANCELED)
        return lived

    def erase(self, job_id: str) -> None:
        self.cancel(job_id)
        job = self.jobs[job_id]
        job.erased = True
        job.images.clear()

    def expire(self) -> None:
        for job in self.jobs.values():
            if job.lives and job.late:
                job.end(JobStatus.EXPIRED, "deadline_passed")

    def ready(self, stage: str) -> set[str]:
        return {name for name, task in self._open() if (task.stage, task.token) == (stage, None)}

    def held(self, stage: str) -> dict[str, str]:
        return {
            name: task.token
            for name, task in self._open()
            if task.stage == stage and task.token is not None
        }

    def queued(self) -> dict[str, int]:
        counts: Counter[str] = Counter()
        for job in self.jobs.values():
            if job.lives:
                counts.update({job.asked.owner: job.remaining, "*": job.remaining})
        return dict(counts)

    def listed(self, owner: str) -> list[str]:
        """The oldest first."""
        jobs = self.jobs.items()
        return [job_id for job_id, job in jobs if job.asked.owner == owner and not job.erased]

    def _open(self) -> Iterator[tuple[str, PlainTask]]:
        for job_id, job in self.jobs.items():
            for part, task in job.tasks.items():
                yield f"{job_id}:{part}", task

    def _find(self, name: str) -> tuple[PlainJob, str]:
        job_id, _, part = name.partition(":")
        return self.jobs[job_id], part

    def _is_held(self, stage: str, name: str, token: str) -> bool:
        job, part = self._find(name)
        task = job.tasks.get(part)
        return task is not None and (task.stage, task.token) == (stage, token)

    def _forget(self, worker: str, task: Task) -> None:
        if self._believed[worker, task.stage].get(task.name) == task.token:
            del self._believed[worker, task.stage][task.name]
