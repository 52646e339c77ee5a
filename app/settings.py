"""What the API process is told through IMAGEN_* variables, on top of where the queue is."""

from pydantic import Field, HttpUrl

from workers.jobs.settings import QueueSettings


class ApiSettings(QueueSettings):
    """Frozen. Read from the environment when it is made, never at import."""

    host: str = "127.0.0.1"
    port: int = Field(default=8000, ge=1, le=65_535)

    public_url: HttpUrl | None = None
    """Where clients reach the service, for the URLs in answers; None is the request's own base."""

    max_wait_s: int = Field(default=60, ge=0)
    """The longest that an answer waits for a job, whatever `Prefer: wait` asks for."""
