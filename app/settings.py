"""What the API process is told through IMAGEN_* variables, on top of where the queue is."""

from typing import Literal

from pydantic import Field, HttpUrl

from workers.jobs.admission import Quotas
from workers.jobs.settings import QueueSettings


class ApiSettings(QueueSettings):
    """Frozen. Read from the environment when it is made, never at import."""

    host: str = "127.0.0.1"
    port: int = Field(default=8000, ge=1, le=65_535)

    public_url: HttpUrl | None = None
    """Where clients reach the service, for the URLs in answers; None is the request's own base."""

    auth: Literal["auto", "required", "none"] = "auto"
    """Who needs an API key. auto: everyone, once there is a key; until then this machine is served
    without, and no other. required: everyone. none: nobody, whoever can reach the port."""

    max_wait_s: int = Field(default=60, ge=0)
    """The longest that an answer waits for a job, whatever `Prefer: wait` asks for."""

    max_queued_images: int = Field(default=20_000, ge=1)
    """The most images that may be accepted and not done, of all owners together."""

    owner_queued_images: int | None = Field(default=None, ge=1)
    """The same of one owner; None is no limit but the one of all."""

    owner_images_per_minute: int | None = Field(default=None, ge=1)
    """The most images that one owner may ask for in a minute; None is no limit."""

    webhooks_to_private: bool = False
    """Whether webhooks may go to addresses that are not public, and without TLS."""

    @property
    def quotas(self) -> Quotas:
        """What the ledger asks for."""
        return Quotas(
            queued=self.max_queued_images,
            owner_queued=self.owner_queued_images,
            owner_per_minute=self.owner_images_per_minute,
        )
