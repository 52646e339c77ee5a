"""Loads the Lua transitions. Knows their names and where they lie, not what they do.

Each begins with tables: `keys` as workers/jobs/keys.py makes them, `contract` and `settings`.
Scripts find their keys themselves, which every server allows but Redis Cluster: a queue is one
primary.
"""

from collections.abc import Mapping
from functools import cache
from pathlib import Path

from redis.asyncio import Redis
from redis.commands.core import AsyncScript

from workers.jobs import contract, keys
from workers.jobs.settings import QueueSettings

LUA = Path(__file__).with_name("lua")


def source(name: str, settings: QueueSettings | None = None) -> str:
    """A transition's text with what all of them share in front of it.

    settings: may be left out for one that asks for none.
    """
    spoken = {"current": contract.CONTRACT, "oldest": contract.OLDEST}
    tables = [_table("keys", keys.for_scripts()), _table("contract", spoken)]
    if settings is not None:
        tables.append(_table("settings", _numbers(settings)))
    return "\n".join([*tables, _text("library"), _text(name)])


class Scripts:
    """One callable per transition. Redis is sent a script's text once, then its hash."""

    def __init__(self, redis: Redis, settings: QueueSettings) -> None:
        def script(name: str) -> AsyncScript:
            return redis.register_script(source(name, settings))

        self.submit = script("submit")
        self.read = script("read")
        self.follow = script("follow")
        self.claim = script("claim")
        self.reclaim = script("reclaim")
        self.hand_back = script("hand_back")
        self.touch_embeddings = script("touch_embeddings")
        self.commit_text = script("commit_text")
        self.commit = script("commit")
        self.finish = script("finish")
        self.progress = script("progress")
        self.preview = script("preview")
        self.fail = script("fail")
        self.cancel = script("cancel")
        self.erase = script("erase")
        self.expire = script("expire")


def _numbers(settings: QueueSettings) -> Mapping[str, int]:
    return {
        "lease_ms": round(settings.lease_s * 1000),
        "retention_s": settings.retention_s,
        "embedding_ttl_s": settings.embedding_ttl_s,
        "max_deliveries": settings.max_deliveries,
    }


@cache
def _text(name: str) -> str:
    return (LUA / f"{name}.lua").read_text("utf-8")


def _table(name: str, values: Mapping[str, str] | Mapping[str, int]) -> str:
    """repr() of such a string or number means the same in Lua."""
    return (
        f"local {name} = {{{', '.join(f'{field} = {value!r}' for field, value in values.items())}}}"
    )
