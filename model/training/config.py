"""The tables of a training file, each checked by itself. Builds nothing."""

from itertools import pairwise
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from model.guidance import Prediction
from model.loading.cascade_folder import Fraction, StageEntry
from model.training.loss import Weighting

Positive = Annotated[int, Field(ge=1)]
Rate = Annotated[float, Field(gt=0, allow_inf_nan=False)]


class Table(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    @property
    def changed(self) -> set[str]:
        """Names of the fields that are not as they are where nothing is said."""
        fields = type(self).model_fields
        return {name for name, field in fields.items() if getattr(self, name) != field.default}


class Data(Table):
    """Captioned pictures.

    source: `folder` of pictures (metadata.jsonl, or a .txt beside each), `shards` (WebDataset .tar
    files), or `scenes`, which picture-book draws. held_out: the share that is never trained on.
    crop: the square of a picture that is not one. flip: mirror half of the pictures, but not those
    whose caption says left or right. workers: processes that read ahead.
    """

    source: Literal["folder", "shards", "scenes"] = "folder"
    path: Path | None = None
    held_out: Annotated[float, Field(ge=0, lt=1)] = 0.02
    crop: Literal["center", "random"] = "center"
    flip: bool = False
    workers: Annotated[int, Field(ge=0)] = 0

    @model_validator(mode="after")
    def _has_a_path(self) -> "Data":
        if self.source != "scenes" and self.path is None:
            raise ValueError("path: a folder or shards are at a path: name it")
        return self

    @model_validator(mode="after")
    def _scenes_are_drawn(self) -> "Data":
        of_files = sorted({"path", "held_out", "crop", "flip"} & self.changed)
        if self.source == "scenes" and of_files:
            raise ValueError(f"{of_files[0]}: is of pictures in files, not of scenes: leave it out")
        return self


class Training(Table):
    """How long, how fast and how often.

    images: the length of the run, on which the rates' fall depends: choose it first; rounds of
    distillation share them. batch: images of a step, on all devices together; accumulation: the
    forwards that it is cut into, on each. sharded: each of several devices keeps a part of every
    weight (FSDP), not the whole. rate: of AdamW; muon_rate: of Muon, which then steps the hidden
    layers. schedule: of the rates after warmup_steps, see rate_scale. ema: decay of the averaged
    weights, which are what is exported. weighting and gamma: of the errors by noise level. clip: of
    the norm of the gradients; inf clips nothing. A run begun cannot change batch or seed.
    """

    images: Positive
    batch: Positive = 64
    accumulation: Positive = 1
    sharded: bool = False
    rate: Rate = 1e-4
    muon_rate: Rate | None = None
    weight_decay: Annotated[float, Field(ge=0)] = 0.01
    schedule: Literal["cosine", "linear", "constant", "trapezoid"] = "cosine"
    warmup_steps: Annotated[int, Field(ge=0)] = 500
    clip: Annotated[float, Field(gt=0)] = 1.0
    ema: Annotated[float, Field(ge=0, lt=1)] = 0.9999
    weighting: Weighting | None = None
    """None is what suits the prediction, see usual_weighting."""
    gamma: Rate = 5.0
    seed: Annotated[int, Field(ge=0)] = 0
    precision: Literal["no", "bf16"] = "bf16"
    threads: Positive | None = None
    checkpoint_every_s: Rate = 600
    keep: Positive = 3
    report_every_steps: Positive = 25
    look_every_steps: Positive = 2000
    """How often the held-out loss is measured and sample pictures are drawn."""
    samples: Annotated[int, Field(ge=0, le=64)] = 16
    patience: Positive | None = None
    """Stop when so many looks in a row bring no better held-out loss."""

    @property
    def steps(self) -> int:
        return -(-self.images // self.batch)


class Text(Table):
    """The text encoder: a folder or hub id with `tokenizer` and `text_encoder`.

    path: None for picture-book's, which is made here. training: how long that one learns to read
    scenes, anew or from the folder at `path`. trained: it is trained on with the base stage; a
    frozen one's embeddings are computed once and kept. dropout: the share of captions replaced by
    the empty one, for classifier-free guidance (Ho & Salimans 2022).
    """

    path: str | None = None
    max_tokens: Positive = 77
    trained: bool = False
    dropout: Fraction = 0.1
    training: Training | None = None


class Lora(Table):
    """Low-rank adaptation of the U-Net's attention (Hu et al. 2021) in place of all weights."""

    rank: Positive = 8
    alpha: Rate | None = None
    """Its strength is alpha / rank; None is the rank."""
    name: Annotated[str, Field(pattern=r"^\w[\w.-]*$", max_length=64)] = "adapter"


class Distillation(Table):
    """Fewer evaluations for a picture, taught by the stage that `network` names, to a copy of it.

    guidance_scale, within guidance_interval: what one evaluation learns to do in place of two; None
    for a stage that is drawn unguided. steps: the numbers of ddim's steps that it learns to do
    with, one after the other, as 16, 8, 4; the teacher of the first takes twice as many. See
    model.training.distillation.
    """

    guidance_scale: Annotated[float, Field(gt=1)] | None = None
    guidance_interval: tuple[Fraction, Fraction] = (0.0, 1.0)
    steps: tuple[Positive, ...] = ()

    @model_validator(mode="after")
    def _is_a_course(self) -> "Distillation":
        if self.guidance_scale is None and not self.steps:
            raise ValueError("say guidance_scale, steps or both")
        if any(before != 2 * after for before, after in pairwise(self.steps)):
            raise ValueError("steps: each is half of the one before, as in [16, 8, 4]")
        if self.guidance_interval[0] > self.guidance_interval[1]:
            raise ValueError("guidance_interval: the earlier time, nearer to the picture, is first")
        return self


class StageTraining(Table):
    """A stage of the cascade, the base first.

    network: a preset's name, a stage's folder or hub id to start from, or a table as in
    unet/config.json, with "none" for null. beta_schedule, prediction: None is as the folder that is
    started from says, and of a new network squaredcos_cap_v2 and v_prediction. crop_px: of a
    super-resolution stage, the side of what it is trained on. max_aug_level: the most noise that
    its low-res input gets, as a fraction of the schedule. trainable: patterns of the names of the
    weights that are trained, as *.attentions.*, where others stay as they are; none trains all.
    training: None takes the folder that `network` names as it is. sampling: what cascade.json says
    of it; distillation adds to that.
    """

    name: Annotated[str, Field(pattern=r"^[a-z0-9_]+$")]
    size_px: Positive
    network: str | dict[str, Any]
    crop_px: Positive | None = None
    max_aug_level: Fraction = 0.4
    beta_schedule: Literal["squaredcos_cap_v2", "linear", "scaled_linear"] | None = None
    prediction: Prediction | None = None
    trainable: tuple[str, ...] = ()
    lora: Lora | None = None
    distillation: Distillation | None = None
    training: Training | None = None
    sampling: dict[str, Any] = Field(default_factory=dict)

    @field_validator("sampling")
    @classmethod
    def _is_an_entry(cls, sampling: dict[str, Any]) -> dict[str, Any]:
        if "path" in sampling:
            raise ValueError("path: a stage is written to a folder of its name: leave it out")
        StageEntry.model_validate({**sampling, "path": "stage"})
        return sampling

    @model_validator(mode="after")
    def _trains_some_weights(self) -> "StageTraining":
        if self.trainable and (self.training is None or self.lora is not None):
            raise ValueError(
                "trainable: needs a table `training`, and a lora keeps all weights as they are:"
                " leave one of them out"
            )
        return self

    @model_validator(mode="after")
    def _can_be_distilled(self) -> "StageTraining":
        if self.distillation is None:
            return self
        if self.training is None or self.lora is not None:
            raise ValueError(
                "distillation: needs a table `training`, and trains all weights: no lora"
            )
        if self.distillation.guidance_scale is not None:
            for field in ("guidance_scale", "guidance_interval", "guidance_distilled"):
                if field in self.sampling:
                    raise ValueError(f"sampling.{field}: leave it out: guidance is distilled")
        return self
