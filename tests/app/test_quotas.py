"""Quotas: what is beyond them is refused with the time to wait, and all are told what is left.

RateLimit and RateLimit-Policy are read by an independent parser of structured fields (RFC 9651).
"""

from collections.abc import Mapping
from typing import Any

import http_sf
import pytest
from httpx import AsyncClient, Response
from redis.asyncio import Redis

from app.quotas import MINUTE_S, quota_headers
from app.settings import ApiSettings
from tests.app.conftest import PlayedWorker, client_of, new_key
from workers.jobs import keys
from workers.jobs.admission import Allowance, Quotas
from workers.jobs.job import TEXT_STAGE

pytestmark = pytest.mark.usefixtures("served")


def told(answer: Response, name: str) -> dict[str, dict[str, Any]]:
    """A header's items with their parameters, by the name of the quota."""
    items: Any = http_sf.parse(answer.headers[name].encode(), tltype="list")
    assert all(type(quota) is str for quota, _ in items), "the name is a String, not a Token"
    return dict(items)


async def ask(
    client: AsyncClient, n: int = 1, headers: Mapping[str, str] | None = None
) -> Response:
    body = {"prompt": "a cat", "n": n, "size": 32}
    return await client.post("/generate", json=body, headers=headers)


def with_quotas(settings: ApiSettings, **quotas: int) -> ApiSettings:
    return settings.model_copy(update=quotas)


async def test_what_is_left_of_a_minute_is_told_with_every_job(settings: ApiSettings) -> None:
    async with client_of(with_quotas(settings, owner_images_per_minute=4)) as client:
        first, second = await ask(client), await ask(client, 2)
    for answer, left, reset_s in ((first, 3, 15), (second, 1, 45)):  # one is earned in 15 s
        assert answer.status_code == 202
        assert told(answer, "ratelimit-policy") == {"images-per-minute": {"q": 4, "w": MINUTE_S}}
        limit = told(answer, "ratelimit")["images-per-minute"]
        assert limit["r"] == left
        assert reset_s - 10 < limit["t"] <= reset_s


async def test_beyond_a_minutes_images_is_told_when_there_are_more(
    settings: ApiSettings, redis: Redis
) -> None:
    async with client_of(with_quotas(settings, owner_images_per_minute=2)) as client:
        assert told(await ask(client, 2), "ratelimit")["images-per-minute"]["r"] == 0
        refused = await ask(client)
        assert refused.status_code == 429
        assert refused.headers["content-type"] == "application/problem+json"
        assert refused.json()["detail"] == "you have asked for too many images in a minute"
        assert "Retry-After" in refused.json()["remedy"]
        retry_s = int(refused.headers["retry-after"])
        assert 20 <= retry_s <= 30  # an image is earned in 30 s
        assert told(refused, "ratelimit-policy") == {"images-per-minute": {"q": 2, "w": MINUTE_S}}
        limit = told(refused, "ratelimit")["images-per-minute"]
        assert limit["r"] == 0
        assert retry_s <= limit["t"] <= MINUTE_S
        assert await redis.zcard(keys.ready(TEXT_STAGE)) == 1
        await redis.delete(keys.rate(""))  # a minute later
        assert (await ask(client)).status_code == 202


async def test_an_owner_has_so_many_waiting(settings: ApiSettings, worker: PlayedWorker) -> None:
    async with client_of(with_quotas(settings, owner_queued_images=2)) as client:
        first = await ask(client)
        assert told(first, "ratelimit-policy") == {"images-queued": {"q": 2}}
        assert told(first, "ratelimit") == {"images-queued": {"r": 1}}
        refused = await ask(client, 2)
        assert refused.status_code == 429
        assert refused.json()["detail"] == "too many of your images are waiting"
        assert int(refused.headers["retry-after"]) > 0
        assert told(refused, "ratelimit") == {"images-queued": {"r": 1}}
        await worker.draw()
        assert (await ask(client, 2)).status_code == 202


async def test_a_full_queue_is_full_for_everyone(settings: ApiSettings, redis: Redis) -> None:
    keyed = {"auth": "required", "max_queued_images": 2}
    async with client_of(settings.model_copy(update=keyed)) as client:
        ann, bob = await new_key(redis, "ann"), await new_key(redis, "bob")
        accepted = await ask(client, 2, ann)
        assert accepted.status_code == 202
        assert "ratelimit" not in accepted.headers, "what others have left is not told"
        refused = await ask(client, headers=bob)
        assert refused.status_code == 429
        assert refused.json()["detail"] == "the queue is full"
        assert int(refused.headers["retry-after"]) > 0
        await client.post(accepted.headers["location"] + "/cancel", headers=ann)
        assert (await ask(client, headers=bob)).status_code == 202


async def test_owners_have_quotas_of_their_own(settings: ApiSettings, redis: Redis) -> None:
    both = {"owner_images_per_minute": 2, "owner_queued_images": 3}
    async with client_of(settings.model_copy(update={**both, "auth": "required"})) as client:
        ann, bob = await new_key(redis, "ann"), await new_key(redis, "bob")
        assert (await ask(client, 2, ann)).status_code == 202
        assert (await ask(client, headers=await new_key(redis, "ann"))).status_code == 429
        accepted = await ask(client, 2, bob)
        assert accepted.status_code == 202
        assert told(accepted, "ratelimit-policy").keys() == {"images-per-minute", "images-queued"}
        assert told(accepted, "ratelimit")["images-queued"] == {"r": 1}


async def test_a_request_that_is_sent_again_costs_nothing(settings: ApiSettings) -> None:
    key = {"idempotency-key": "one"}
    async with client_of(with_quotas(settings, owner_images_per_minute=1)) as client:
        first = await ask(client, headers=key)
        for _ in range(3):
            again = await ask(client, headers=key)
            assert (again.status_code, again.json()["id"]) == (202, first.json()["id"])
        assert (await ask(client)).status_code == 429


async def test_without_quotas_there_is_nothing_to_tell(client: AsyncClient) -> None:
    answer = await ask(client)
    assert "ratelimit" not in answer.headers
    assert "ratelimit-policy" not in answer.headers


@pytest.mark.parametrize("method", ["get", "delete"])
async def test_only_pictures_are_counted(settings: ApiSettings, method: str) -> None:
    async with client_of(with_quotas(settings, owner_images_per_minute=1)) as client:
        job = await ask(client)
        for _ in range(3):
            answer = await client.request(method, job.headers["location"])
            assert answer.status_code == 200


def test_times_are_whole_seconds_and_never_too_short() -> None:
    quotas = Quotas(owner_per_minute=10)
    headers = quota_headers(quotas, Allowance(per_minute_left=3, per_minute_reset_s=1.2))
    assert headers["RateLimit"] == '"images-per-minute";r=3;t=2'
