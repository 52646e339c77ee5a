"""What a line of the log is about, as fields for whoever searches it. Never a prompt or a key."""

from workers.jobs.job import Job, Task


def about(subject: Job | Task) -> dict[str, object]:
    """For `extra` of a log call: the job, its trace, and of a task its worker too."""
    if isinstance(subject, Task):
        worker, _, _ = subject.token.rpartition("/")
        fields = {**about_task(subject.stage, subject.name), "worker": worker}
    else:
        fields = {"job": subject.id}
    if subject.traceparent is not None:
        fields["trace"] = trace_id(subject.traceparent)
    return fields


def about_task(stage: str, name: str) -> dict[str, object]:
    """Of a task that is known by its name alone."""
    job, _, image = name.partition(":")
    return {"job": job, "image": image, "stage": stage}


def trace_id(traceparent: str) -> str:
    """Of W3C Trace Context: version, trace, span and flags."""
    return traceparent.split("-")[1]
