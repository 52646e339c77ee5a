"""Reads scheduler_config.json of a diffusers folder into what sampling needs.

Whatever it says that cannot be sampled here is refused by name: ignored, it would draw other
pictures. Which sampler it was written by is told, and may be overruled.
"""

import math
from pathlib import Path
from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from model.guidance import Prediction, Threshold
from model.loading.config_file import read_config
from model.samplers import Sampler, Variance
from model.schedule import CLEAN, Schedule

COSINE_MIN_LOG_SNR_HALF = -5.1
"""Where a solver starts on the cosine schedule if the network predicts noise. Further up, x0 is a
small difference of large numbers divided by an alpha near zero; the value is the one that diffusers
recommends for lambda_min_clipped."""

OF_CLASS: dict[str, dict[str, Any]] = {
    "DDPMScheduler": {"clip_sample": True, "variance_type": Variance.FIXED_SMALL},
    "DDIMScheduler": {"clip_sample": True},
    "DPMSolverMultistepScheduler": {"timestep_spacing": "linspace"},
}
"""The schedulers that are read, and what one of the class means by saying nothing."""


class SchedulerConfig(BaseModel):
    """The fields of diffusers' schedulers. A Literal lists the values that can be sampled here."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    class_name: Literal["DDPMScheduler", "DDIMScheduler", "DPMSolverMultistepScheduler"] = Field(
        alias="_class_name"
    )
    diffusers_version: str = Field(default="", alias="_diffusers_version")

    beta_schedule: Literal["linear", "scaled_linear", "squaredcos_cap_v2"] = "linear"
    num_train_timesteps: int = Field(default=1000, ge=1)
    beta_start: float = 1e-4
    beta_end: float = 0.02
    trained_betas: None = None
    rescale_betas_zero_snr: Literal[False] = False

    timestep_spacing: Literal["leading", "linspace", "trailing"] = "leading"
    steps_offset: int = Field(default=0, ge=0)
    lambda_min_clipped: float | None = None
    set_alpha_to_one: bool = True
    final_sigmas_type: Literal["zero", "sigma_min"] = "zero"

    prediction_type: Prediction = Prediction.EPSILON
    clip_sample: bool = False
    clip_sample_range: float = Field(default=1.0, gt=0)
    thresholding: bool = False
    dynamic_thresholding_ratio: float = Field(default=0.995, ge=0, le=1)
    sample_max_value: float = Field(default=1.0, ge=1)

    variance_type: Variance | None = None
    algorithm_type: Literal["dpmsolver++", "sde-dpmsolver++"] = "dpmsolver++"
    solver_order: Literal[1, 2] = 2
    solver_type: Literal["midpoint"] = "midpoint"
    lower_order_final: Literal[True] = True
    euler_at_final: Literal[False] = False
    use_karras_sigmas: Literal[False] = False
    use_exponential_sigmas: Literal[False] = False
    use_beta_sigmas: Literal[False] = False
    use_lu_lambdas: Literal[False] = False
    use_flow_sigmas: Literal[False] = False
    flow_shift: float = 1.0
    use_dynamic_shifting: Literal[False] = False
    time_shift_type: str = "exponential"

    @model_validator(mode="before")
    @classmethod
    def _as_its_class_means_it(cls, data: Any) -> Any:
        if isinstance(data, dict):
            return OF_CLASS.get(str(data.get("_class_name")), {}) | data
        return data

    @classmethod
    def read(cls, path: Path) -> Self:
        """Read a file. Raises InvalidCascade that names it and the field."""
        return read_config(path, cls, "a stage's folder holds the scheduler it was trained with")

    @property
    def schedule(self) -> Schedule:
        ends_clean = self.set_alpha_to_one and self.final_sigmas_type == "zero"
        return Schedule(
            beta_schedule=self.beta_schedule,
            train_steps=self.num_train_timesteps,
            beta_start=self.beta_start,
            beta_end=self.beta_end,
            spacing=self.timestep_spacing,
            steps_offset=self.steps_offset,
            final_timestep=CLEAN if ends_clean else 0,
            min_log_snr_half=self._min_log_snr_half,
        )

    @property
    def _min_log_snr_half(self) -> float:
        if self.lambda_min_clipped is not None:
            return self.lambda_min_clipped
        is_cosine = self.beta_schedule == "squaredcos_cap_v2"
        if is_cosine and self.prediction_type is Prediction.EPSILON:
            return COSINE_MIN_LOG_SNR_HALF
        return -math.inf

    @property
    def threshold(self) -> Threshold | None:
        if self.thresholding:
            return Threshold(cap=self.sample_max_value, ratio=self.dynamic_thresholding_ratio)
        return Threshold(cap=self.clip_sample_range) if self.clip_sample else None

    @property
    def variance(self) -> Variance:
        """Of the sampler ddpm; the posterior's where the file says nothing."""
        return self.variance_type or Variance.FIXED_SMALL

    @property
    def sampler(self) -> Sampler:
        """The one that diffusers runs with this file."""
        match self.class_name:
            case "DDPMScheduler":
                return Sampler.DDPM
            case "DDIMScheduler":
                return Sampler.DDIM
        solvers = {
            ("dpmsolver++", 1): Sampler.DPMPP_1,
            ("dpmsolver++", 2): Sampler.DPMPP,
            ("sde-dpmsolver++", 1): Sampler.DPMPP_SDE_1,
            ("sde-dpmsolver++", 2): Sampler.DPMPP_SDE,
        }
        return solvers[self.algorithm_type, self.solver_order]
