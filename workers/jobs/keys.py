"""Every Redis key is made here, and says when it goes away."""

import hashlib
from collections.abc import Mapping

from workers.jobs import contract

PREFIX = "imagen:"


def job(job_id: str) -> str:
    """Hash: a job's record. No TTL while it lives; retention_s from its terminal transition."""
    return f"{PREFIX}job:{job_id}"


def ready(stage: str) -> str:
    """Sorted set: the tasks of a stage that no worker has, scored as docs/guarantees.md says.

    A task leaves when it is claimed, or when its job ends.
    """
    return f"{PREFIX}ready:{stage}"


def held(stage: str) -> str:
    """Hash: task -> worker/claim, the token of the one delivery whose result will count.

    Claims are counted job by job, so that no two deliveries of a task have the same token.

    A task leaves when it is settled or handed back, or when its job ends.
    """
    return f"{PREFIX}held:{stage}"


def stages() -> str:
    """Set: every stage that ever had a task. No TTL: as many names as cascades had stages."""
    return f"{PREFIX}stages"


def jobs(owner: str) -> str:
    """Sorted set: the owner's jobs, scored with the unix us of their acceptance, each another.

    No TTL while the owner has images queued; retention_s from the last of them. A job whose record
    is gone leaves when others come.
    """
    return f"{PREFIX}jobs:{owner}"


def events(job_id: str) -> str:
    """Stream: what happens to a job while someone follows it. FOLLOWED_S from their last look."""
    return f"{PREFIX}events:{job_id}"


def previews(job_id: str) -> str:
    """Stream: the latest previews, each under the id of its event. There while someone watches.

    FOLLOWED_S from the last look of who wants to see previews.
    """
    return f"{PREFIX}previews:{job_id}"


def artifacts(job_id: str) -> str:
    """Hash: what the stages of a job have made, by `artifact_field`.

    Deleted when the job ends.
    """
    return f"{PREFIX}artifacts:{job_id}"


def artifact_field(image: int, stage: str) -> str:
    """Field in `artifacts`. Deleted when the next stage commits."""
    return f"{image}:{stage}"


def embedding(encoder: str, prompt: str) -> str:
    """Hash: field `value`, and one field per job in flight that needs it, named by its key.

    No TTL while a job needs it; embedding_ttl_s from the end of the last one.
    """
    return f"{PREFIX}embedding:{_digest(encoder, prompt)}"


def deadlines() -> str:
    """Sorted set: jobs that have a deadline, scored with its unix s. A job leaves when it ends."""
    return f"{PREFIX}deadlines"


def queued() -> str:
    """Hash: owner -> images accepted and not done; `*` is everyone's.

    A field goes when it comes to 0, with the end of the job at the latest.
    """
    return f"{PREFIX}queued"


def rate(owner: str) -> str:
    """When the owner's allowance of images a minute is whole again, unix ms. Ends then."""
    return f"{PREFIX}rate:{owner}"


def share(owner: str) -> str:
    """Hash: priority -> the virtual time at which the owner's latest job ends.

    No TTL while the owner has images queued; retention_s from the last of them.
    """
    return f"{PREFIX}share:{owner}"


def clock() -> str:
    """Hash: priority -> virtual time of the latest task claimed. retention_s from that claim."""
    return f"{PREFIX}clock"


def idempotency(owner: str, key: str) -> str:
    """The digest of a request and the id of its job. Ends with the job's record."""
    return f"{PREFIX}idempotency:{_digest(owner, key)}"


def webhooks() -> str:
    """Sorted set: ended jobs whose webhook waits for delivery, scored with the unix s it is due.

    A job leaves when it is delivered or given up.
    """
    return f"{PREFIX}webhooks"


def webhook_secret() -> str:
    """What the owners' signing secrets are made from. No TTL: made once, for good."""
    return f"{PREFIX}webhook_secret"


def api_keys() -> str:
    """Hash: id -> an API key's record. No TTL: an entry goes when the key is revoked."""
    return f"{PREFIX}api_keys"


def worker(name: str) -> str:
    """A worker's heartbeat: since when it is alive without a gap, unix ms.

    lease_s, renewed by the worker, deleted when it stops.
    """
    return f"{PREFIX}worker:{name}"


def card() -> str:
    """The cascade card of this contract: no other version's takes its place.

    lease_s, renewed by every worker's heartbeat.
    """
    return f"{PREFIX}card:{contract.CONTRACT}"


def workers() -> str:
    """Sorted set: the cards of living workers, each scored with the unix ms at which it ends.

    lease_s, renewed by every worker's heartbeat; a worker that stops takes its own away.
    """
    return f"{PREFIX}workers"


def ended() -> str:
    """Pub/sub channel, not a key: the id of each job that ends."""
    return f"{PREFIX}ended"


def happened() -> str:
    """Pub/sub channel, not a key: the id of each followed job that something happens to."""
    return f"{PREFIX}happened"


def arrived(stage: str) -> str:
    """Pub/sub channel, not a key: a stage has a task that no worker has yet."""
    return f"{PREFIX}arrived:{stage}"


def for_scripts() -> Mapping[str, str]:
    """What the Lua transitions know as `keys.<name>`; most take an id or a stage at the end."""
    makers = (job, ready, held, jobs, events, previews, artifacts, rate, share, worker, arrived)
    fixed = (stages, deadlines, queued, clock, webhooks, workers, ended, happened)
    return {make.__name__: make("") for make in makers} | {make.__name__: make() for make in fixed}


def _digest(*parts: str) -> str:
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()
