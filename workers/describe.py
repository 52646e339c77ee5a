"""Tells the API what a cascade is: the cascade card, made from the loaded cascade."""

from model.cascade import Cascade
from model.samplers import SAMPLERS
from model.stage import StageSpec
from workers.jobs.card import CascadeCard, StageCard
from workers.settings import WorkerSettings

MAX_PROMPT_CHARS = 2_000
MAX_GUIDANCE_SCALE = 30.0


def describe(cascade: Cascade, settings: WorkerSettings) -> CascadeCard:
    """The card that workers publish and GET /model shows."""
    return CascadeCard(
        name=cascade.name,
        text_encoder=cascade.text.identity,
        max_prompt_chars=MAX_PROMPT_CHARS,
        max_prompt_tokens=cascade.text.max_tokens,
        stages=tuple(_stage(stage.spec, settings) for stage in cascade.stages),
        max_images=settings.max_images,
    )


def _stage(spec: StageSpec, settings: WorkerSettings) -> StageCard:
    return StageCard(
        name=spec.name,
        size=spec.size_px,
        steps=spec.defaults.steps,
        max_steps=min(settings.max_steps, spec.schedule.train_steps),
        guidance_scale=spec.defaults.guidance_scale,
        max_guidance_scale=MAX_GUIDANCE_SCALE,
        sampler=spec.defaults.sampler,
        samplers=tuple(SAMPLERS),
        aug_level=spec.defaults.aug_level,
    )
