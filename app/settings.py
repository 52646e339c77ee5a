"""What the API process is told through IMAGEN_* variables, on top of where the queue is."""

from typing import Literal, Self

from pydantic import Field, HttpUrl, model_validator

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

    images_delivery: Literal["stream", "redirect"] = "stream"
    """How clients get pictures of an object store. stream: from the API, which reads them.
    redirect: from the store, at a URL that is signed when the picture is asked for."""

    images_url_ttl_s: int = Field(default=300, ge=1, le=604_800)
    """How long a signed URL can be used; S3 knows none of more than seven days."""

    images_public_url: HttpUrl | None = None
    """The endpoint in signed URLs, where clients reach the store by another than the API does."""

    @model_validator(mode="after")
    def _a_public_url_has_a_use(self) -> Self:
        if self.images_public_url is not None and self.images_delivery != "redirect":
            raise ValueError("images_public_url is for images_delivery=redirect: leave it out")
        return self

    @property
    def quotas(self) -> Quotas:
        """What the ledger asks for."""
        return Quotas(
            queued=self.max_queued_images,
            owner_queued=self.owner_queued_images,
            owner_per_minute=self.owner_images_per_minute,
        )
