"""Loads the Lua transitions. Knows their names and where they lie, not what they do."""

from functools import cache
from pathlib import Path

from redis.asyncio import Redis
from redis.commands.core import AsyncScript

LUA = Path(__file__).with_name("lua")


@cache
def source(name: str) -> str:
    """A transition's text with the shared functions in front of it."""
    return "\n".join((LUA / f"{part}.lua").read_text("utf-8") for part in ("library", name))


class Scripts:
    """One callable per transition. Redis is sent a script's text once, then its hash."""

    def __init__(self, redis: Redis) -> None:
        self.submit = self._script(redis, "submit")
        self.claim = self._script(redis, "claim")
        self.reclaim = self._script(redis, "reclaim")
        self.touch_embeddings = self._script(redis, "touch_embeddings")
        self.commit_text = self._script(redis, "commit_text")
        self.commit = self._script(redis, "commit")
        self.finish = self._script(redis, "finish")
        self.fail = self._script(redis, "fail")

    @staticmethod
    def _script(redis: Redis, name: str) -> AsyncScript:
        return redis.register_script(source(name))
