"""GET /webhooks/secret: what an owner verifies webhooks with."""

from base64 import b64decode

from httpx import AsyncClient
from redis.asyncio import Redis

from app.settings import ApiSettings
from tests.app.conftest import client_of, new_key


async def test_it_is_one_of_the_specification_and_stays(client: AsyncClient) -> None:
    answer = await client.get("/webhooks/secret")
    assert answer.status_code == 200
    assert answer.headers["cache-control"] == "no-store"
    kind, _, secret = answer.json()["secret"].partition("_")
    assert kind == "whsec"
    assert 24 <= len(b64decode(secret, validate=True)) <= 64
    assert (await client.get("/webhooks/secret")).json() == answer.json()


async def test_every_owner_has_another(settings: ApiSettings, redis: Redis) -> None:
    async with client_of(settings.model_copy(update={"auth": "required"})) as client:
        secrets = [
            (await client.get("/webhooks/secret", headers=await new_key(redis, owner))).json()
            for owner in ("ann", "ann", "bob")
        ]
        assert secrets[0] == secrets[1] != secrets[2]
        assert (await client.get("/webhooks/secret")).status_code == 401


async def test_two_replicas_tell_the_same(settings: ApiSettings, redis: Redis) -> None:
    async with client_of(settings) as one, client_of(settings) as other:
        assert (await one.get("/webhooks/secret")).json() == (
            await other.get("/webhooks/secret")
        ).json()
