"""RateLimit headers (draft-ietf-httpapi-ratelimit-headers), and what a refused request is told."""

import math
from collections.abc import Mapping

from workers.jobs.admission import Allowance, QuotaExceeded, Quotas

MINUTE_S = 60
QUEUE_RETRY_S = 5
"""When there is room in the queue depends on what others have in it; so soon it may be."""

DETAILS: Mapping[str, str] = {
    "queued": "the queue is full",
    "owner_queued": "too many of your images are waiting",
    "owner_per_minute": "you have asked for too many images in a minute",
}


def quota_headers(quotas: Quotas, allowance: Allowance) -> dict[str, str]:
    """What the owner may have, and what is left of it; nothing where there is no quota."""
    policies, left = [], []
    if quotas.owner_per_minute is not None and allowance.per_minute_left is not None:
        reset_s = math.ceil(allowance.per_minute_reset_s or 0)
        policies.append(f'"images-per-minute";q={quotas.owner_per_minute};w={MINUTE_S}')
        left.append(f'"images-per-minute";r={allowance.per_minute_left};t={reset_s}')
    if quotas.owner_queued is not None and allowance.queued_left is not None:
        policies.append(f'"images-queued";q={quotas.owner_queued}')
        left.append(f'"images-queued";r={allowance.queued_left}')
    if not policies:
        return {}
    return {"RateLimit-Policy": ", ".join(policies), "RateLimit": ", ".join(left)}


def refusal_headers(quotas: Quotas, error: QuotaExceeded) -> dict[str, str]:
    """The same with the time after which it is worth trying again."""
    retry_s = QUEUE_RETRY_S if error.wait_s is None else max(1, math.ceil(error.wait_s))
    return {"Retry-After": str(retry_s), **quota_headers(quotas, error.allowance)}
