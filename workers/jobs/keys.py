"""Every Redis key is made here, and says when it goes away."""

import hashlib

PREFIX = "imagen:"

GROUP = "workers"
"""The one consumer group of every stream."""


def stream(stage: str) -> str:
    """Stream of a stage's tasks. Never expires; committing a task deletes its entry."""
    return f"{PREFIX}stream:{stage}"


def job(job_id: str) -> str:
    """Hash: a job's record. No TTL while it lives; retention_s from its terminal transition."""
    return f"{PREFIX}job:{job_id}"


def artifacts(job_id: str) -> str:
    """Hash: what the stages of a job have made, by `artifact_field`.

    artifact_ttl_s from the latest commit; deleted when the job ends.
    """
    return f"{PREFIX}artifacts:{job_id}"


def artifact_field(image: int, stage: str) -> str:
    """Field in `artifacts`. Deleted when the next stage commits."""
    return f"{image}:{stage}"


def embedding(encoder: str, prompt: str) -> str:
    """Hash: field `value`, and one field per job in flight that needs it, named by its key.

    No TTL while a job needs it; embedding_ttl_s from the end of the last one.
    """
    digest = hashlib.sha256(f"{encoder}\0{prompt}".encode()).hexdigest()
    return f"{PREFIX}embedding:{digest}"


def worker(name: str) -> str:
    """A worker's heartbeat. lease_s, renewed by the worker, deleted when it stops."""
    return f"{PREFIX}worker:{name}"


def card() -> str:
    """The cascade card. lease_s, renewed by every worker's heartbeat."""
    return f"{PREFIX}card"


def workers() -> str:
    """Sorted set: the cards of living workers, each scored with the unix ms at which it ends.

    lease_s, renewed by every worker's heartbeat; a worker that stops takes its own away.
    """
    return f"{PREFIX}workers"


def ended() -> str:
    """Pub/sub channel, not a key: the id of each job that ends."""
    return f"{PREFIX}ended"
