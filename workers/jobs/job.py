"""What a job is: parameters as resolved, status, images, and the tasks it falls into."""

import secrets
from enum import StrEnum
from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

TEXT_STAGE = "text"
"""The first stage of every job; the diffusion stages follow, named by the card."""

SEEDS = 2**32

SAMPLER_WITH_ETA = "ddim"
"""To every other sampler `eta` means nothing."""


def _in_order(interval: tuple[float, float]) -> tuple[float, float]:
    if interval[0] > interval[1]:
        raise ValueError("an interval goes from the smaller time to the larger")
    return interval


Time = Annotated[float, Field(ge=0, le=1)]
"""Of denoising, which goes from 1, pure noise, to 0, the finished image."""

Interval = Annotated[tuple[Time, Time], AfterValidator(_in_order)]
"""From and to, both included, with from <= to."""


class Record(BaseModel):
    """Base of the contract's types: frozen, and a misspelt field is an error."""

    # What is wrong with a record is logged; what is in it, a prompt for one, is not.
    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)


class StageParameters(Record):
    """How one diffusion stage is to be run for every image of a job."""

    name: str
    width: int = Field(gt=0)
    """Pixels of this stage's output, as is height."""
    height: int = Field(gt=0)
    steps: int = Field(gt=0)
    guidance_scale: float
    guidance_interval: Interval = (0.0, 1.0)
    """The times at which guidance_scale holds; at others the image is unguided."""
    sampler: str
    eta: float = Field(default=0.0, ge=0, le=1)
    """How much of the noise is fresh in each step, with SAMPLER_WITH_ETA alone."""
    aug_level: float | None = Field(default=None, ge=0, le=1)
    """Noise put on the low-resolution input; None for the base stage, which has none."""
    adapters: dict[str, float] = Field(default_factory=dict)
    """The scale of each that is used, by name."""

    @property
    def pixels_stepped(self) -> float:
        """Of all steps, where the guided part of them counts twice."""
        start, end = self.guidance_interval
        guided = 0.0 if self.guidance_scale == 1 else end - start
        return self.steps * self.width * self.height * (1 + guided)


class JobParameters(Record):
    """A request with every value resolved, so that it says alone what will be drawn."""

    prompt: str
    negative_prompt: str = ""
    n: int = Field(default=1, gt=0)
    size: int = Field(gt=0)
    """Names the last stage to run: the pixels a side of its square images."""
    width: int = Field(gt=0)
    """Pixels of the images asked for, as is height."""
    height: int = Field(gt=0)
    seed: int = Field(ge=0, lt=SEEDS)
    stages: tuple[StageParameters, ...] = Field(min_length=1)
    """The diffusion stages to run, in order."""

    @property
    def image_cost(self) -> int:
        """The work of one image in thousands of pixels stepped; a guided step counts twice."""
        return max(1, round(sum(stage.pixels_stepped for stage in self.stages) / 1000))

    def image_seed(self, index: int) -> int:
        """Image i draws its noise from seed + i, wrapped to 32 bits."""
        return (self.seed + index) % SEEDS

    def stage(self, name: str) -> StageParameters:
        """The parameters of one diffusion stage.

        Raises: KeyError where the job has no such stage.
        """
        return self.stages[self._position(name)]

    def stage_before(self, name: str) -> StageParameters | None:
        """The stage whose output this one takes; None for the base stage."""
        position = self._position(name)
        return self.stages[position - 1] if position > 0 else None

    def stage_after(self, name: str) -> StageParameters | None:
        """The stage that takes this one's output; None for the last."""
        position = self._position(name) + 1
        return self.stages[position] if position < len(self.stages) else None

    def _position(self, name: str) -> int:
        for position, stage in enumerate(self.stages):
            if stage.name == name:
                return position
        raise KeyError(name)


class Priority(StrEnum):
    """What goes first. Among equals, owners share."""

    LOW = "low"
    NORMAL = "normal"
    HIGH = "high"


class JobStatus(StrEnum):
    """queued -> running, from the first step of drawing -> one of the terminal four."""

    QUEUED = "queued"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELED = "canceled"
    EXPIRED = "expired"

    @property
    def terminal(self) -> bool:
        """Whether the job has ended; a terminal status never changes again."""
        return self not in (JobStatus.QUEUED, JobStatus.RUNNING)


class JobError(Record):
    """Why a job failed: a code for programs, a sentence for people."""

    code: str
    message: str
    image: int | None = None
    """Index of the image that it is about; None where it is the whole job."""


class ImageResult(Record):
    """One finished image."""

    index: int = Field(ge=0)
    seed: int = Field(ge=0, lt=SEEDS)
    width: int
    height: int
    path: str
    """Where the image store has it."""
    sha256: str
    """Hex digest of the stored file."""
    bytes: int
    """Size of the stored file."""
    blocked_by: str | None = None
    """What a safety checker made the picture black for: nsfw or watermark."""


def new_job_id() -> str:
    """128 random bits in hex: unguessable, and safe in a URL and as a folder's name."""
    return secrets.token_hex(16)


class ImageProgress(Record):
    """An image that is being drawn."""

    index: int = Field(ge=0)
    stage: str
    """The one that draws it, or takes it next."""
    step: int = Field(ge=0)
    """Denoising steps done at the stage."""
    steps: int = Field(gt=0)
    """Of how many."""


class StageTimes(Record):
    """When a stage began and ended with a job, in unix seconds; None where it has not."""

    stage: str
    ready_at: float | None = None
    """Its first task could have been claimed."""
    claimed_at: float | None = None
    """Its first task was."""
    settled_at: float | None = None
    """Its latest result so far was recorded."""


class Webhook(Record):
    """Whom to tell that a job has ended."""

    url: str
    base: str
    """The service's own URL as the client reached it, for the links in what is told."""


class NewJob(Record):
    """A job as it is asked for."""

    id: str = Field(default_factory=new_job_id)
    owner: str = ""
    """Whose it is; "" where the service asks no one for a key."""
    priority: Priority = Priority.NORMAL
    parameters: JobParameters
    deadline_s: float | None = Field(default=None, gt=0)
    """From the moment it is accepted; a job that is not done by then expires."""
    webhook: Webhook | None = None
    traceparent: str | None = None
    """The span that it is part of, as W3C Trace Context writes it."""


class Job(Record):
    """A job as the queue has it. Times are unix seconds, by Redis's clock."""

    id: str
    owner: str = ""
    priority: Priority = Priority.NORMAL
    status: JobStatus = JobStatus.QUEUED
    parameters: JobParameters
    images: tuple[ImageResult, ...] = ()
    """Those done so far, by index."""
    error: JobError | None = None
    """Why it has no more of them. Where one image failed, the others are still drawn."""
    warnings: tuple[str, ...] = ()
    """What the text encoder could not read of the prompts; none before it has tried."""
    created_at: float
    started_at: float | None = None
    finished_at: float | None = None
    deadline_at: float | None = None
    webhook: Webhook | None = None
    traceparent: str | None = None
    erased: bool = False
    """Its owner has deleted it: prompts and images are gone."""
    tasks_before: int | None = None
    """Of a queued job: how many tasks go first, texts to be encoded and images to be begun."""
    progress: tuple[ImageProgress, ...] = ()
    """Of the images under way, by index."""
    times: tuple[StageTimes, ...] = ()
    """Of the text, then of each stage in order."""

    @property
    def fraction_done(self) -> float:
        """Of the work of all its images, 0 to 1."""
        if self.status is JobStatus.SUCCEEDED:
            return 1.0  # also when its images have been erased
        stages = self.parameters.stages
        work = sum(stage.pixels_stepped for stage in stages)
        done = work * len(self.images)
        for image in self.progress:
            stage = self.parameters.stage(image.stage)
            before = stages[: stages.index(stage)]
            done += sum(each.pixels_stepped for each in before)
            done += stage.pixels_stepped * image.step / image.steps
        return min(1.0, done / (work * self.parameters.n))


class Task(Record):
    """One image of one job at one stage, or the text of a whole job, as claimed by a worker."""

    stage: str
    name: str
    """<job id>:<index of the image, or text>; the same at every stage."""
    token: str
    """What the queue compares before a result counts: another for every delivery."""
    deliveries: int
    """How often this task has been handed to a worker, this time included."""
    parameters: JobParameters
    traceparent: str | None = None
    """The span that its job is part of."""
    is_watched: bool = False
    """Whether someone wants to see what its images look like so far."""

    @property
    def key(self) -> str:
        """Tells this delivery of the task from any other."""
        return f"{self.name}@{self.token}"

    @property
    def job_id(self) -> str:
        return self.name.partition(":")[0]

    @property
    def image(self) -> int:
        """Index of the image.

        Raises: ValueError at the text stage.
        """
        return int(self.name.partition(":")[2])
