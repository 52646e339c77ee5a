"""What a client may ask for, as far as no card is needed to tell."""

from typing import Annotated, Any, Final, Literal, TypeVar

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Discriminator,
    Field,
    Tag,
)
from pydantic_core import PydanticCustomError

from workers.jobs.job import SEEDS, Interval

T = TypeVar("T")

MAX_DEADLINE_S = 604_800
"""A week."""

MAX_SIDE_PX = 65_535
"""Far beyond any cascade, and small enough to reckon with."""

MAX_ADAPTERS = 4
MAX_ADAPTER_SCALE = 5.0
"""As far as sliders are pushed (Gandikota et al. 2023); below 0 an adapter leads the other way."""

LONE_SURROGATE: Final = "has a lone surrogate in it, half of a UTF-16 pair"


def _count(value: Any) -> str:
    return "list" if isinstance(value, list) else "one"


def _count_of_pairs(value: Any) -> str:
    """A pair is a list itself."""
    pairs = isinstance(value, list) and all(isinstance(each, list | None) for each in value)
    return "list" if pairs else "one"


OneOrList = Annotated[T, Tag("one")] | Annotated[list[T | None], Tag("list")]

# A discriminator, or else an error would be told once for each side of the union.
PerStage = Annotated[OneOrList[T], Discriminator(_count)]
"""One value for every stage that runs, or a list of one for each, null for its default."""

PairPerStage = Annotated[OneOrList[T], Discriminator(_count_of_pairs)]
"""The same, where a value is a pair."""


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


def _pair(value: Any) -> Any:
    """JSON has no tuples; one problem for the pair says more than one for each half."""
    match value:
        case [start, end] if {type(start), type(end)} <= {int, float} and 0 <= start <= end <= 1:
            return start, end
    raise PydanticCustomError("interval", "is not a pair of times, 0 <= from <= to <= 1")


Text = Annotated[str, AfterValidator(_writable)]
Steps = Annotated[int, Field(ge=1)]
GuidanceScale = Annotated[float, Field(ge=0)]
GuidanceInterval = Annotated[Interval, BeforeValidator(_pair)]
Eta = Annotated[float, Field(ge=0, le=1)]
AugLevel = Annotated[float, Field(ge=0, le=1)]
Side = Annotated[int, Field(ge=1, le=MAX_SIDE_PX)]


class AdapterUse(BaseModel):
    """An adapter, and how strongly it is added."""

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True, allow_inf_nan=False)

    name: str = Field(description="As GET /model lists it.")
    scale: float = Field(
        default=1.0,
        ge=-MAX_ADAPTER_SCALE,
        le=MAX_ADAPTER_SCALE,
        description="1 is as it was trained, 0 is without; below 0 it leads the other way.",
    )


REQUEST_EXAMPLES: list[Any] = [
    {"prompt": "a red apple on a blue background", "seed": 7},
    {"prompt": "two cats", "n": 4, "steps": [30, 10], "guidance_scale": [4.0, 1.0]},
    {"prompt": "a big red fish", "width": 160, "height": 96, "sampler": "ddim", "eta": 0.5},
    {
        "prompt": "a cat",
        "priority": "low",
        "deadline_s": 600,
        "webhook": "https://example.com/done",
    },
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
        default=None,
        description="The last stage to run, named by the pixels a side of its square pictures. "
        "Left out, it is the one nearest to width x height where both are given, else the largest.",
    )
    width: Side | None = Field(default=None, description="In pixels; left out, it is `size`.")
    height: Side | None = Field(default=None, description="In pixels; left out, it is `size`.")
    seed: int | None = Field(
        default=None, ge=0, lt=SEEDS, description="Of the first picture. Left out, it is random."
    )
    steps: PerStage[Steps] | None = Field(
        default=None, description="Denoising steps, for every stage or one for each."
    )
    guidance_scale: PerStage[GuidanceScale] | None = Field(
        default=None, description="How firmly the prompt leads; 1 is unguided, and cheaper."
    )
    guidance_interval: PairPerStage[GuidanceInterval] | None = Field(
        default=None,
        description="[from, to], for every stage or one for each: the times at which the picture "
        "is guided, where 1 is pure noise and 0 the finished picture. At others it is unguided, "
        "and cheaper.",
    )
    sampler: PerStage[str] | None = Field(
        default=None, description="How the steps are taken, for every stage or one for each."
    )
    eta: PerStage[Eta] | None = Field(
        default=None,
        description="How much of the noise is fresh in each step of the sampler ddim: for all "
        "stages that use it, or one for each stage, null where the sampler is another.",
    )
    aug_level: PerStage[AugLevel] | None = Field(
        default=None,
        description="Noise put on the input of super-resolution, for all such stages or for each.",
    )
    adapters: list[AdapterUse] | None = Field(
        default=None,
        max_length=MAX_ADAPTERS,
        description="Low-rank adapters of the cascade, each at a scale of its own.",
    )
    priority: Literal["low", "normal", "high"] | None = Field(
        default=None,
        description="What goes first; among equals, owners share. An API key has a highest one. "
        "Left out, it is normal, or the key's highest where that is low.",
    )
    deadline_s: float | None = Field(
        default=None,
        gt=0,
        le=MAX_DEADLINE_S,
        description="A job that has not ended so many seconds after it was accepted expires.",
    )
    webhook: Text | None = Field(
        default=None,
        description="A URL that is told, signed by the Standard Webhooks specification, when the "
        "job has ended. GET /webhooks/secret tells what it is signed with.",
    )
