"""Where the model and the contract meet: cards of what is loaded, and a job's words for a stage."""

from collections.abc import Mapping, Sequence

from model.calibration import Calibration
from model.cascade import Cascade
from model.placement import Placement
from model.plan import StageSettings
from model.samplers import Sampler
from model.stage import StageSpec
from workers.jobs.card import AdapterCard, CascadeCard, StageCard, StagePlace, WorkerCard
from workers.jobs.job import StageParameters
from workers.settings import WorkerSettings

MAX_PROMPT_CHARS = 2_000
MAX_GUIDANCE_SCALE = 30.0
MAX_AREA_RATIO = 2.0
"""A network draws well near the area that it was trained at, and takes time in proportion."""
MAX_ASPECT_RATIO = 4.0


def describe(cascade: Cascade, settings: WorkerSettings) -> CascadeCard:
    """The card that workers publish and GET /model shows."""
    return CascadeCard(
        name=cascade.name,
        text_encoder=cascade.text.identity,
        max_prompt_chars=MAX_PROMPT_CHARS,
        max_prompt_tokens=cascade.text.max_tokens,
        known_words=cascade.text.known_words,
        stages=tuple(_stage(stage.spec, settings) for stage in cascade.spec.stages),
        adapters=tuple(AdapterCard(name=a.name, stage=a.stage) for a in cascade.spec.adapters),
        max_images=settings.max_images,
        max_area_ratio=MAX_AREA_RATIO,
        max_aspect_ratio=MAX_ASPECT_RATIO,
    )


def describe_worker(
    name: str, cascade: Cascade, served: Sequence[str], capacities: Mapping[str, Calibration]
) -> WorkerCard:
    """The card of a worker that serves these stages, text among them."""
    return WorkerCard(
        name=name,
        stages={
            stage: _place(cascade.placements.of(stage), capacities.get(stage)) for stage in served
        },
    )


def _place(placement: Placement, capacity: Calibration | None) -> StagePlace:
    return StagePlace(
        device=str(placement.device),
        dtype=placement.precision,
        rows=None if capacity is None else capacity.rows,
        row_ms=None if capacity is None else round(capacity.row_ms, 2),
    )


def settings_of(parameters: StageParameters) -> StageSettings:
    """A stage's parameters in a job, as the model takes them."""
    return StageSettings(
        steps=parameters.steps,
        sampler=parameters.sampler,
        guidance_scale=parameters.guidance_scale,
        aug_level=parameters.aug_level,
        eta=parameters.eta,
        guidance_interval=parameters.guidance_interval,
        width=parameters.width,
        height=parameters.height,
        adapters=parameters.adapters,
    )


def _stage(spec: StageSpec, settings: WorkerSettings) -> StageCard:
    return StageCard(
        name=spec.name,
        size=spec.size_px,
        multiple=spec.multiple,
        steps=spec.defaults.steps,
        max_steps=min(settings.max_steps, spec.schedule.most_steps),
        guidance_scale=spec.defaults.guidance_scale,
        max_guidance_scale=MAX_GUIDANCE_SCALE,
        guidance_interval=spec.defaults.guidance_interval,
        guidance_distilled=spec.guidance_distilled,
        sampler=spec.defaults.sampler,
        samplers=tuple(Sampler),
        aug_level=spec.defaults.aug_level,
    )
