"""Where what the queue tells becomes metrics and spans; the log it has from Tally itself."""

from collections.abc import Sequence

from workers.jobs.job import JobError, Task
from workers.jobs.tally import Standing, Tally
from workers.metrics import WorkerMetrics
from workers.spans import TaskSpans


class Observer(Tally):
    """One per worker."""

    def __init__(self, metrics: WorkerMetrics, spans: TaskSpans) -> None:
        self._metrics = metrics
        self._spans = spans

    def claimed(self, tasks: Sequence[Task]) -> None:
        super().claimed(tasks)
        for task in tasks:
            self._spans.begin(task)

    def handed_on(self, task: Task) -> None:
        super().handed_on(task)
        self._spans.end(task, "handed_on")

    def image_done(self, task: Task, job: Standing) -> None:
        super().image_done(task, job)
        self._metrics.image_seconds.observe(job.seconds)
        self._spans.end(task, "done")

    def failed(self, task: Task, error: JobError, job: Standing) -> None:
        super().failed(task, error, job)
        self._metrics.failed.labels(task.stage, error.code).inc()
        self._spans.end(task, "failed", error.code)

    def fenced(self, task: Task) -> None:
        super().fenced(task)
        self._metrics.fenced.labels(task.stage).inc()
        self._spans.end(task, "fenced")

    def let_go(self, tasks: Sequence[Task]) -> None:
        super().let_go(tasks)
        for task in tasks:
            self._spans.end(task, "let_go")

    def reclaimed(self, stage: str, tasks: int) -> None:
        super().reclaimed(stage, tasks)
        self._metrics.reclaimed.labels(stage).inc(tasks)

    def gave_up(self, stage: str, name: str, job: Standing) -> None:
        super().gave_up(stage, name, job)
        self._metrics.given_up.labels(stage).inc()
