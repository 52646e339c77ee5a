"""What every process that touches the queue is told through IMAGEN_* variables."""

import os
from pathlib import Path

from pydantic import Field, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict
from redis.asyncio.connection import parse_url

from workers.jobs.sentinel import is_sentinel_url, read_sentinel_url


def default_data_dir() -> Path:
    """The user's data folder for imagen, by the XDG rule."""
    home = os.environ.get("XDG_DATA_HOME") or "~/.local/share"
    return Path(home).expanduser() / "imagen"


class QueueSettings(BaseSettings):
    """Frozen. Read from the environment when it is made, never at import."""

    model_config = SettingsConfigDict(env_prefix="IMAGEN_", frozen=True, extra="ignore")

    redis_url: str = "redis://localhost:6379/0"
    """redis://, rediss:// or unix://; by Sentinel redis+sentinel:// or rediss+sentinel://."""

    @field_validator("redis_url")
    @classmethod
    def _readable(cls, url: str) -> str:
        try:
            if is_sentinel_url(url):
                read_sentinel_url(url)
            else:
                parse_url(url)
        except ValueError:  # its own words may tell the password
            raise ValueError(
                "use redis://, rediss:// or unix://, or, with rediss+sentinel:// by TLS,"
                " redis+sentinel://host:26379,host:26379/name-of-the-primary/0"
            ) from None
        return url

    data_dir: Path = Field(default_factory=default_data_dir)
    """Holds images/ and, for the embedded server, queue/."""

    images_url: str | None = None
    """Where finished images lie: file:///folder, s3://bucket/prefix, or another that obstore knows;
    None is the folder images/ in data_dir. Keys, region and endpoint are in obstore's variables."""

    lease_s: float = Field(default=5.0, gt=0)
    """A worker whose heartbeat is older than this is dead and loses its tasks."""

    max_deliveries: int = Field(default=3, ge=1)
    """A task that so many workers died with is given up. The last time it runs alone."""

    retention_s: int = Field(default=86_400, gt=0)
    """How long the record of an ended job can still be read."""

    embedding_ttl_s: int = Field(default=600, gt=0)
    """How long an embedding is kept for reuse after the last job that used it has ended."""

    @property
    def images_dir(self) -> Path:
        """Where finished images lie if images_url names no place; API and workers share it."""
        return self.data_dir / "images"
