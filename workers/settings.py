"""What a worker is told through IMAGEN_* variables, on top of where the queue is."""

from typing import Annotated

from pydantic import Field, field_validator
from pydantic_settings import NoDecode

from workers.jobs.settings import QueueSettings


class WorkerSettings(QueueSettings):
    """Frozen. Read from the environment when it is made, never at import."""

    cascade: str | None = None
    """A cascade folder; None is picture-book, the one in the box."""

    device: str = "auto"
    """auto, cpu, cuda, cuda:1 ..."""

    stages: Annotated[tuple[str, ...] | None, NoDecode] = None
    """The stages this worker serves, as in "text,64"; None is all of the cascade's."""

    threads: int | None = Field(default=None, ge=1)
    """CPU threads to compute with, where several workers share a machine; None is all cores."""

    max_images: int = Field(default=16, ge=1)
    """The most images that one job may ask for."""

    max_steps: int = Field(default=250, ge=1)
    """The most denoising steps that a job may ask of one stage."""

    @field_validator("stages", mode="before")
    @classmethod
    def _split_stages(cls, value: object) -> object:
        if isinstance(value, str):
            return tuple(name.strip() for name in value.split(",") if name.strip())
        return value
