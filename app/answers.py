"""What a client is told of a job and its pictures."""

from datetime import UTC, datetime
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from app.links import Links
from app.orders.request import AdapterUse
from workers.jobs.job import (
    SAMPLER_WITH_ETA,
    ImageProgress,
    ImageResult,
    Interval,
    Job,
    JobError,
    JobParameters,
    JobStatus,
    Priority,
    StageTimes,
)

JOB_EXAMPLE: dict[str, Any] = {
    "id": "2f6c1c9f0b7d4f0e9a53b1d0c8e7a6f5",
    "status": "succeeded",
    "priority": "normal",
    "created_at": "2026-01-01T12:00:00.000000Z",
    "started_at": "2026-01-01T12:00:00.010000Z",
    "finished_at": "2026-01-01T12:00:03.500000Z",
    "deadline_at": None,
    "queue_position": None,
    "progress": 1.0,
    "in_progress": [],
    "timings": [
        {"stage": "text", "queued_s": 0.002, "took_s": 0.008},
        {"stage": "32", "queued_s": 0.001, "took_s": 2.1},
        {"stage": "128", "queued_s": 0.001, "took_s": 1.4},
    ],
    "stages": ["32", "128"],
    "parameters": {
        "prompt": "a red apple on a blue background",
        "negative_prompt": "",
        "n": 1,
        "size": 128,
        "width": 128,
        "height": 128,
        "seed": 7,
        "steps": [30, 8],
        "guidance_scale": [4.0, 1.0],
        "guidance_interval": [[0.0, 1.0], [0.0, 1.0]],
        "sampler": ["dpmpp", "ddim"],
        "eta": [None, 0.0],
        "aug_level": [0.1],
        "adapters": [],
    },
    "images": [
        {
            "index": 0,
            "seed": 7,
            "url": "http://127.0.0.1:8000/images/2f6c1c9f0b7d4f0e9a53b1d0c8e7a6f5/0.png",
            "width": 128,
            "height": 128,
            "blocked_by": None,
        }
    ],
    "error": None,
    "warnings": [],
    "deleted": False,
    "urls": {
        "self": "http://127.0.0.1:8000/jobs/2f6c1c9f0b7d4f0e9a53b1d0c8e7a6f5",
        "events": "http://127.0.0.1:8000/jobs/2f6c1c9f0b7d4f0e9a53b1d0c8e7a6f5/events",
        "cancel": "http://127.0.0.1:8000/jobs/2f6c1c9f0b7d4f0e9a53b1d0c8e7a6f5/cancel",
    },
}


class ResolvedParameters(BaseModel):
    """Every value as decided. As the body of POST /generate it gives the same pictures again."""

    prompt: str
    negative_prompt: str
    n: int
    size: int
    width: int
    height: int
    seed: int
    steps: list[int]
    guidance_scale: list[float]
    guidance_interval: list[Interval]
    sampler: list[str]
    eta: list[float | None]
    aug_level: list[float]
    adapters: list[AdapterUse]

    @classmethod
    def of(cls, parameters: JobParameters) -> "ResolvedParameters":
        """The contract's parameters, stage by stage, as a request writes them."""
        stages = parameters.stages
        return cls(
            prompt=parameters.prompt,
            negative_prompt=parameters.negative_prompt,
            n=parameters.n,
            size=parameters.size,
            width=parameters.width,
            height=parameters.height,
            seed=parameters.seed,
            steps=[stage.steps for stage in stages],
            guidance_scale=[stage.guidance_scale for stage in stages],
            guidance_interval=[stage.guidance_interval for stage in stages],
            sampler=[stage.sampler for stage in stages],
            eta=[stage.eta if stage.sampler == SAMPLER_WITH_ETA else None for stage in stages],
            aug_level=[stage.aug_level for stage in stages if stage.aug_level is not None],
            adapters=[
                AdapterUse(name=name, scale=scale)
                for stage in stages
                for name, scale in stage.adapters.items()
            ],
        )


class ImageAnswer(BaseModel):
    """A finished picture: a PNG that never changes."""

    index: int
    seed: int
    url: str
    width: int
    height: int
    blocked_by: str | None = Field(
        description="What a safety checker made the picture black for: nsfw or watermark."
    )

    @classmethod
    def of(cls, image: ImageResult, links: Links) -> "ImageAnswer":
        """The picture with its URL."""
        return cls(
            index=image.index,
            seed=image.seed,
            url=links.image(image),
            width=image.width,
            height=image.height,
            blocked_by=image.blocked_by,
        )


class ImageInProgress(BaseModel):
    """A picture that is being drawn."""

    index: int
    stage: str = Field(description="The one that draws it, or takes it next.")
    step: int = Field(description="Denoising steps done at the stage.")
    steps: int = Field(description="Of how many.")

    @classmethod
    def of(cls, image: ImageProgress) -> "ImageInProgress":
        """How far the picture is."""
        return cls(**image.model_dump())


class Preview(ImageInProgress):
    """What a picture looks like so far."""

    url: str = Field(description="A data URL of a small PNG.")


class StageTiming(BaseModel):
    """Where a stage's time went, for all pictures of the job together."""

    stage: str
    queued_s: float | None = Field(
        description="From when its first task could be taken to when it was; null until then."
    )
    took_s: float | None = Field(
        description="From there to its latest result so far; null until there is one."
    )

    @classmethod
    def of(cls, times: StageTimes) -> "StageTiming":
        """Seconds, from the moments."""
        return cls(
            stage=times.stage,
            queued_s=_between(times.ready_at, times.claimed_at),
            took_s=_between(times.claimed_at, times.settled_at),
        )


class JobUrls(BaseModel):
    """Where to go from here."""

    self: str
    events: str
    cancel: str


class JobAnswer(BaseModel):
    """A job as it stands."""

    model_config = ConfigDict(json_schema_extra={"examples": [JOB_EXAMPLE]})

    id: str
    status: JobStatus
    priority: Priority
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None
    deadline_at: datetime | None
    queue_position: int | None = Field(
        description="While it is queued: how many tasks go first, prompts to be encoded and "
        "pictures to be begun. Fair shares may put others before it."
    )
    progress: float = Field(description="How much of the work on its pictures is done, 0 to 1.")
    in_progress: list[ImageInProgress] = Field(description="The pictures under way, by index.")
    timings: list[StageTiming] = Field(description="Of the text, then of each stage in order.")
    stages: list[str] = Field(
        description="The stages that run, in order. `steps`, `guidance_scale`, "
        "`guidance_interval`, `sampler` and `eta` have a value for each; `aug_level` has one for "
        "each after the base stage."
    )
    parameters: ResolvedParameters
    images: list[ImageAnswer] = Field(description="Those done so far, by index.")
    error: JobError | None = Field(
        description="Why it has no more pictures. Where one failed, the others are still drawn."
    )
    warnings: list[str] = Field(
        description="What the text encoder could not read of the prompts, with a remedy each; none "
        "before it has tried. The pictures are drawn all the same."
    )
    deleted: bool = Field(description="Its prompts and pictures are gone, as its owner asked.")
    urls: JobUrls

    @classmethod
    def of(cls, job: Job, links: Links) -> "JobAnswer":
        """The job as a client sees it."""
        return cls(
            id=job.id,
            status=job.status,
            priority=job.priority,
            created_at=_utc(job.created_at),
            started_at=_utc_if_any(job.started_at),
            finished_at=_utc_if_any(job.finished_at),
            deadline_at=_utc_if_any(job.deadline_at),
            queue_position=job.tasks_before,
            progress=round(job.fraction_done, 4),
            in_progress=[ImageInProgress.of(image) for image in job.progress],
            timings=[StageTiming.of(times) for times in job.times],
            stages=[stage.name for stage in job.parameters.stages],
            parameters=ResolvedParameters.of(job.parameters),
            images=[ImageAnswer.of(image, links) for image in job.images],
            error=job.error,
            warnings=list(job.warnings),
            deleted=job.erased,
            urls=JobUrls(
                self=links.job(job.id),
                events=links.events(job.id),
                cancel=links.cancel(job.id),
            ),
        )


class JobList(BaseModel):
    """Some of the owner's jobs, the newest first."""

    jobs: list[JobAnswer]
    next: str | None = Field(
        description="The URL of older ones, null where there are none. What it names may be empty."
    )


def _between(start: float | None, end: float | None) -> float | None:
    return None if start is None or end is None else round(max(0.0, end - start), 6)


def _utc_if_any(unix_s: float | None) -> datetime | None:
    return None if unix_s is None else _utc(unix_s)


def _utc(unix_s: float) -> datetime:
    return datetime.fromtimestamp(unix_s, UTC)
