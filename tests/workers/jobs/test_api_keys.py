"""Keys are made, found, listed and revoked; what is stored is of no use to who reads it."""

import hashlib
import re
from collections.abc import AsyncIterator

import pytest
from pydantic import ValidationError
from redis.asyncio import Redis

from workers.jobs import api_keys, keys
from workers.jobs.api_keys import ApiKeys
from workers.jobs.connect import connect
from workers.jobs.errors import QueueUnavailable
from workers.jobs.job import Priority
from workers.jobs.settings import QueueSettings


@pytest.fixture
async def stored(redis: Redis) -> AsyncIterator[ApiKeys]:
    """Empty; a key that a test leaves goes with it."""
    yield ApiKeys(redis)
    await redis.delete(keys.api_keys())


async def test_a_key_is_found_until_it_is_revoked(stored: ApiKeys) -> None:
    record, key = await stored.make("ann", Priority.HIGH)
    assert (record.owner, record.priority) == ("ann", Priority.HIGH)
    assert await stored.find(key) == record
    assert await stored.revoke(record.id)
    assert await stored.find(key) is None
    assert not await stored.revoke(record.id)


async def test_it_may_ask_for_normal_priority_unless_told(stored: ApiKeys) -> None:
    record, _ = await stored.make("ann")
    assert record.priority is Priority.NORMAL


async def test_a_key_says_its_id_and_what_it_is(stored: ApiKeys) -> None:
    record, key = await stored.make("ann")
    assert re.fullmatch(r"imagen_[0-9a-f]{8}_[0-9a-f]{64}", key)
    assert key.split("_")[1] == record.id
    _, other = await stored.make("ann")
    assert key.split("_")[2] != other.split("_")[2]


async def test_only_the_hash_is_stored(stored: ApiKeys, redis: Redis) -> None:
    record, key = await stored.make("ann")
    assert record.sha256 == hashlib.sha256(key.encode()).hexdigest()
    (value,) = await redis.hvals(keys.api_keys())
    assert key.split("_")[2].encode() not in value


async def test_whatever_is_wrong_there_is_no_such_key(stored: ApiKeys) -> None:
    record, key = await stored.make("ann")
    secret = key.split("_")[2]
    _, another = await stored.make("bob")
    for wrong in (
        "",
        "imagen_",
        secret,
        f"imagen_{record.id}_{'0' * 64}",
        f"imagen_{another.split('_')[1]}_{secret}",
        f"imagen_{'0' * 8}_{secret}",
        key.upper(),
        key[:-1],
        f"{key} ",
        f"{key}\n",
        key.replace("imagen", "other"),
        key.replace(secret, "\N{DIGIT ONE}\N{ARABIC-INDIC DIGIT ONE}" * 32),
    ):
        assert await stored.find(wrong) is None, wrong
    assert await stored.find(key) == record


async def test_an_unknown_id_is_not_found_by_the_hash_that_stands_in_for_it(
    stored: ApiKeys, monkeypatch: pytest.MonkeyPatch
) -> None:
    key = f"imagen_{'0' * 8}_{'0' * 64}"
    monkeypatch.setattr(api_keys, "NO_DIGEST", hashlib.sha256(key.encode()).hexdigest())
    assert await stored.find(key) is None


async def test_an_owner_may_have_two_keys_so_that_one_replaces_the_other(stored: ApiKeys) -> None:
    old, old_key = await stored.make("ann")
    new, new_key = await stored.make("ann")
    assert await stored.all() == (old, new)
    assert await stored.revoke(old.id)
    assert await stored.find(old_key) is None
    assert await stored.find(new_key) == new


async def test_any_tells_whether_there_is_one(stored: ApiKeys) -> None:
    assert not await stored.any()
    assert await stored.all() == ()
    record, _ = await stored.make("ann")
    assert await stored.any()
    await stored.revoke(record.id)
    assert not await stored.any()


async def test_a_key_does_not_take_the_id_of_another(
    stored: ApiKeys, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn = iter(["aaaaaaaa", "1" * 64, "aaaaaaaa", "2" * 64, "bbbbbbbb", "3" * 64])
    monkeypatch.setattr("secrets.token_hex", lambda _: next(drawn))
    first, key = await stored.make("ann")
    second, _ = await stored.make("bob")
    assert (first.id, second.id) == ("aaaaaaaa", "bbbbbbbb")
    assert await stored.find(key) == first


@pytest.mark.parametrize("owner", ["a", "ann", "0", "ci.nightly-2_b", "a" * 64])
async def test_an_owner_is_a_name(stored: ApiKeys, owner: str) -> None:
    record, _ = await stored.make(owner)
    assert record.owner == owner


@pytest.mark.parametrize("owner", ["", "Ann", "-a", ".a", "a b", "a\n", "ä", "a:b", "a" * 65])
async def test_what_is_no_name_is_refused(stored: ApiKeys, owner: str) -> None:
    with pytest.raises(ValidationError, match="owner"):
        await stored.make(owner)
    assert not await stored.any()


async def test_without_redis_nobody_is_known(queue_settings: QueueSettings) -> None:
    away = queue_settings.model_copy(
        update={"redis_url": f"unix://{queue_settings.data_dir}/nothing.sock"}
    )
    async with connect(away) as redis:
        stored = ApiKeys(redis)
        key = f"imagen_{'0' * 8}_{'0' * 64}"
        for asked in (
            stored.make("ann"),
            stored.find(key),
            stored.all(),
            stored.any(),
            stored.revoke("00000000"),
        ):
            with pytest.raises(QueueUnavailable):
                await asked
