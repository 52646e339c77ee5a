"""What a worker is told through IMAGEN_* variables, on top of where the queue is."""

from typing import Annotated, Self

from pydantic import Field, field_validator, model_validator
from pydantic_settings import NoDecode

from workers.jobs.settings import QueueSettings


class WorkerSettings(QueueSettings):
    """Frozen. Read from the environment when it is made, never at import."""

    cascade: str | None = None
    """A cascade's folder, its cascade.json, or owner/name at the hub; None is picture-book."""

    device: str = "auto"
    """auto, cpu, cuda, cuda:1 ...; by part and with number types: "cuda,text=cpu,text=int8"."""

    stages: Annotated[tuple[str, ...] | None, NoDecode] = None
    """The stages this worker serves, as in "text,64"; None is all of the cascade's."""

    keep_text: bool = True
    """Whether the text encoder stays in memory while no prompt waits; large ones load slowly."""

    rows: int | None = Field(default=None, ge=1)
    """Rows of the network's batch that a step holds, two for a guided image; None finds it out."""

    exact_rows: int | None = Field(default=None, ge=1)
    """Pad every batch to so many rows: pictures are then equal to the last bit, and slower."""

    compile: bool = False
    """Compile the networks for fixed batch sizes when the worker starts, which takes minutes."""

    threads: int | None = Field(default=None, ge=1)
    """CPU threads to compute with, where several workers share a machine; None is all cores."""

    grace_s: float = Field(default=8.0, gt=0)
    """How long a worker that is told to stop may take for the step under way."""

    metrics_host: str = "127.0.0.1"
    """Where metrics_port is listened at."""

    metrics_port: int | None = Field(default=None, ge=1, le=65_535)
    """The port at which GET /metrics tells what this worker does; None is nowhere."""

    max_images: int = Field(default=16, ge=1, le=1000)
    """The most images that one job may ask for."""

    max_steps: int = Field(default=250, ge=1)
    """The most denoising steps that a job may ask of one stage."""

    @model_validator(mode="after")
    def _one_way_to_count_rows(self) -> Self:
        if self.rows is not None and self.exact_rows is not None:
            raise ValueError("exact_rows says how many rows a step has: leave rows out")
        return self

    @field_validator("stages", mode="before")
    @classmethod
    def _split_stages(cls, value: object) -> object:
        if isinstance(value, str):
            return tuple(name.strip() for name in value.split(",") if name.strip())
        return value
