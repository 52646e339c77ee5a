"""What goes over the wire: the request as asked, the job as answered. Knows no card."""

from datetime import UTC, datetime
from typing import Annotated, Any, Final, TypeVar

from pydantic import AfterValidator, BaseModel, ConfigDict, Discriminator, Field, Tag
from pydantic_core import PydanticCustomError

from app.links import Links
from workers.jobs.card import CascadeCard
from workers.jobs.job import SEEDS, ImageResult, Job, JobError, JobParameters, JobStatus

T = TypeVar("T")

LONE_SURROGATE: Final = "has a lone surrogate in it, half of a UTF-16 pair"


def _shape(value: Any) -> str:
    return "list" if isinstance(value, list) else "one"


PerStage = Annotated[
    Annotated[T, Tag("one")] | Annotated[list[T], Tag("list")],
    Discriminator(_shape),  # else an error would be told once for each side of the union
]
"""One value for every stage that runs, or a list of one for each."""


def _writable(text: str) -> str:
    if "\0" in text:
        raise PydanticCustomError("text", "has a NUL character in it")
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise PydanticCustomError("text", LONE_SURROGATE) from error
    return text


def _not_blank(text: str) -> str:
    if not text.strip():
        raise PydanticCustomError("text", "is blank")
    return text


Text = Annotated[str, AfterValidator(_writable)]
Steps = Annotated[int, Field(ge=1)]
GuidanceScale = Annotated[float, Field(ge=0)]
AugLevel = Annotated[float, Field(ge=0, le=1)]


REQUEST_EXAMPLES: list[Any] = [
    {"prompt": "a red apple on a blue background", "seed": 7},
    {"prompt": "two cats", "n": 4, "steps": [30, 10], "guidance_scale": [4.0, 1.0]},
]


class GenerateRequest(BaseModel):
    """What to draw. What is left out is decided by the cascade: see GET /model."""

    # Strict: "20", 20.0 and true are no integers. What was meant is not guessed.
    model_config = ConfigDict(
        strict=True,
        extra="forbid",
        frozen=True,
        allow_inf_nan=False,
        json_schema_extra={"examples": REQUEST_EXAMPLES},
    )

    prompt: Annotated[Text, AfterValidator(_not_blank)] = Field(
        min_length=1, description="What the pictures show."
    )
    negative_prompt: Text = Field(default="", description="What the pictures are led away from.")
    n: int = Field(default=1, ge=1, description="How many pictures, seeded seed, seed + 1, ...")
    size: int | None = Field(
        default=None, description="Pixels a side: the size of the last stage to run."
    )
    seed: int | None = Field(
        default=None, ge=0, lt=SEEDS, description="Of the first picture. Left out, it is random."
    )
    steps: PerStage[Steps] | None = Field(
        default=None, description="Denoising steps, for every stage or one for each."
    )
    guidance_scale: PerStage[GuidanceScale] | None = Field(
        default=None, description="How firmly the prompt leads; 1 is unguided, and cheaper."
    )
    sampler: PerStage[str] | None = Field(
        default=None, description="How the steps are taken, for every stage or one for each."
    )
    aug_level: PerStage[AugLevel] | None = Field(
        default=None,
        description="Noise put on the input of super-resolution, for all such stages or for each.",
    )


JOB_EXAMPLE: dict[str, Any] = {
    "id": "2f6c1c9f0b7d4f0e9a53b1d0c8e7a6f5",
    "status": "succeeded",
    "created_at": "2026-01-01T12:00:00.000000Z",
    "started_at": "2026-01-01T12:00:00.010000Z",
    "finished_at": "2026-01-01T12:00:03.500000Z",
    "stages": ["32", "128"],
    "parameters": {
        "prompt": "a red apple on a blue background",
        "negative_prompt": "",
        "n": 1,
        "size": 128,
        "seed": 7,
        "steps": [30, 8],
        "guidance_scale": [4.0, 1.0],
        "sampler": ["ddim", "ddim"],
        "aug_level": [0.1],
    },
    "images": [
        {
            "index": 0,
            "seed": 7,
            "url": "http://127.0.0.1:8000/images/2f6c1c9f0b7d4f0e9a53b1d0c8e7a6f5/0.png",
            "width": 128,
            "height": 128,
        }
    ],
    "error": None,
    "urls": {"self": "http://127.0.0.1:8000/jobs/2f6c1c9f0b7d4f0e9a53b1d0c8e7a6f5"},
}


class ResolvedParameters(BaseModel):
    """Every value as decided. As the body of POST /generate it gives the same pictures again."""

    prompt: str
    negative_prompt: str
    n: int
    size: int
    seed: int
    steps: list[int]
    guidance_scale: list[float]
    sampler: list[str]
    aug_level: list[float]

    @classmethod
    def of(cls, parameters: JobParameters) -> "ResolvedParameters":
        """The contract's parameters, stage by stage, as a request writes them."""
        stages = parameters.stages
        return cls(
            prompt=parameters.prompt,
            negative_prompt=parameters.negative_prompt,
            n=parameters.n,
            size=parameters.size,
            seed=parameters.seed,
            steps=[stage.steps for stage in stages],
            guidance_scale=[stage.guidance_scale for stage in stages],
            sampler=[stage.sampler for stage in stages],
            aug_level=[stage.aug_level for stage in stages if stage.aug_level is not None],
        )


class ImageAnswer(BaseModel):
    """A finished picture: a PNG that never changes."""

    index: int
    seed: int
    url: str
    width: int
    height: int

    @classmethod
    def of(cls, image: ImageResult, links: Links) -> "ImageAnswer":
        """The picture with its URL."""
        return cls(
            index=image.index,
            seed=image.seed,
            url=links.image(image),
            width=image.width,
            height=image.height,
        )


class JobUrls(BaseModel):
    """Where to go from here."""

    self: str


class JobAnswer(BaseModel):
    """A job as it stands."""

    model_config = ConfigDict(json_schema_extra={"examples": [JOB_EXAMPLE]})

    id: str
    status: JobStatus
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None
    stages: list[str] = Field(
        description="The stages that run, in order. `steps`, `guidance_scale` and `sampler` have a "
        "value for each; `aug_level` has one for each after the base stage."
    )
    parameters: ResolvedParameters
    images: list[ImageAnswer] = Field(description="Those done so far, by index.")
    error: JobError | None
    urls: JobUrls

    @classmethod
    def of(cls, job: Job, links: Links) -> "JobAnswer":
        """The job as a client sees it."""
        return cls(
            id=job.id,
            status=job.status,
            created_at=_utc(job.created_at),
            started_at=None if job.started_at is None else _utc(job.started_at),
            finished_at=None if job.finished_at is None else _utc(job.finished_at),
            stages=[stage.name for stage in job.parameters.stages],
            parameters=ResolvedParameters.of(job.parameters),
            images=[ImageAnswer.of(image, links) for image in job.images],
            error=job.error,
            urls=JobUrls(self=links.job(job.id)),
        )


class Limits(BaseModel):
    """The bounds that the service itself sets; those of the cascade are in its card."""

    max_seed: int = SEEDS - 1
    max_wait_s: int
    max_body_bytes: int


class ModelAnswer(BaseModel):
    """What is being served, and within which bounds."""

    cascade: CascadeCard
    limits: Limits


class Health(BaseModel):
    """An answer with status 200; what is wrong comes as a problem."""

    status: str


def _utc(unix_s: float) -> datetime:
    return datetime.fromtimestamp(unix_s, UTC)
