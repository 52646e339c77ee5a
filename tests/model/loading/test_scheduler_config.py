"""scheduler_config.json: what diffusers writes is read as it means it, or refused by name."""

import inspect
import json
import math
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings

from model.errors import InvalidCascade
from model.guidance import Prediction, Threshold
from model.loading.scheduler_config import COSINE_MIN_LOG_SNR_HALF, SchedulerConfig
from model.samplers import Sampler, Variance
from model.schedule import CLEAN, Schedule
from tests.model.reference import CLASSES, schedulers

NO_FIELD_OF_OURS = {"self", "lambda_min_clipped", "variance_type"}
"""lambda_min_clipped left out is chosen here by schedule and prediction; variance_type left out is
the same sampler under another name."""

DEEPFLOYD_IF = {
    "_class_name": "DDPMScheduler",
    "_diffusers_version": "0.16.0.dev0",
    "beta_end": 0.02,
    "beta_schedule": "squaredcos_cap_v2",
    "beta_start": 0.0001,
    "clip_sample": True,
    "clip_sample_range": 1.0,
    "dynamic_thresholding_ratio": 0.95,
    "num_train_timesteps": 1000,
    "prediction_type": "epsilon",
    "sample_max_value": 1.5,
    "thresholding": True,
    "trained_betas": None,
    "variance_type": "learned_range",
}


def config(class_name: str = "DDPMScheduler", **fields: Any) -> SchedulerConfig:
    return SchedulerConfig.model_validate({"_class_name": class_name, **fields})


def test_the_scheduler_of_deepfloyd_if_is_read() -> None:
    read = SchedulerConfig.model_validate(DEEPFLOYD_IF)
    assert read.schedule == Schedule(
        "squaredcos_cap_v2",
        spacing="leading",
        final_timestep=CLEAN,
        min_log_snr_half=COSINE_MIN_LOG_SNR_HALF,
    )
    assert read.threshold == Threshold(cap=1.5, ratio=0.95)
    assert (read.variance, read.sampler) == (Variance.LEARNED_RANGE, Sampler.DDPM)
    assert read.prediction_type is Prediction.EPSILON


@pytest.mark.parametrize("scheduler", CLASSES)
def test_a_field_that_is_left_out_is_what_its_class_means(scheduler: Any) -> None:
    ours = config(scheduler.__name__).model_dump()
    theirs = inspect.signature(scheduler.__init__).parameters
    compared = theirs.keys() - NO_FIELD_OF_OURS
    assert len(compared) > 10
    assert {name: ours[name] for name in compared} == {
        name: theirs[name].default for name in compared
    }


@given(schedulers())
@settings(deadline=None, max_examples=50)
def test_every_field_that_diffusers_writes_is_read(scheduler: Any) -> None:
    written = json.loads(scheduler.to_json_string())
    read = SchedulerConfig.model_validate_json(scheduler.to_json_string())
    kept = read.model_dump(by_alias=True)
    assert {name: kept[name] for name in written} == written


@pytest.mark.parametrize("scheduler", CLASSES)
def test_a_saved_scheduler_is_read_from_its_folder(scheduler: Any, tmp_path: Path) -> None:
    scheduler(beta_schedule="squaredcos_cap_v2", steps_offset=1).save_pretrained(tmp_path)
    read = SchedulerConfig.read(tmp_path / "scheduler_config.json")
    assert read.class_name == scheduler.__name__
    assert (read.schedule.beta_schedule, read.schedule.steps_offset) == ("squaredcos_cap_v2", 1)


@pytest.mark.parametrize(
    ("class_name", "fields", "sampler"),
    [
        ("DDPMScheduler", {}, Sampler.DDPM),
        ("DDIMScheduler", {}, Sampler.DDIM),
        ("DPMSolverMultistepScheduler", {}, Sampler.DPMPP),
        ("DPMSolverMultistepScheduler", {"solver_order": 1}, Sampler.DPMPP_1),
        (
            "DPMSolverMultistepScheduler",
            {"algorithm_type": "sde-dpmsolver++"},
            Sampler.DPMPP_SDE,
        ),
        (
            "DPMSolverMultistepScheduler",
            {"algorithm_type": "sde-dpmsolver++", "solver_order": 1},
            Sampler.DPMPP_SDE_1,
        ),
    ],
)
def test_the_class_and_its_fields_name_a_sampler(
    class_name: str, fields: dict[str, Any], sampler: Sampler
) -> None:
    assert config(class_name, **fields).sampler is sampler


@pytest.mark.parametrize(
    ("fields", "threshold"),
    [
        ({"clip_sample": False}, None),
        ({"clip_sample_range": 1.5}, Threshold(cap=1.5)),
        ({"thresholding": True}, Threshold(cap=1.0, ratio=0.995)),
        (
            {"thresholding": True, "clip_sample": False, "sample_max_value": 2.0},
            Threshold(2.0, 0.995),
        ),
    ],
)
def test_thresholding_comes_before_clipping(
    fields: dict[str, Any], threshold: Threshold | None
) -> None:
    assert config(**fields).threshold == threshold


@pytest.mark.parametrize(
    ("class_name", "fields", "final_timestep"),
    [
        ("DDPMScheduler", {}, CLEAN),
        ("DDIMScheduler", {"set_alpha_to_one": False}, 0),
        ("DPMSolverMultistepScheduler", {"final_sigmas_type": "sigma_min"}, 0),
    ],
)
def test_the_last_step_leads_where_the_file_says(
    class_name: str, fields: dict[str, Any], final_timestep: int
) -> None:
    assert config(class_name, **fields).schedule.final_timestep == final_timestep


@pytest.mark.parametrize(
    ("fields", "least"),
    [
        ({}, -math.inf),
        ({"beta_schedule": "squaredcos_cap_v2"}, COSINE_MIN_LOG_SNR_HALF),
        ({"beta_schedule": "squaredcos_cap_v2", "prediction_type": "v_prediction"}, -math.inf),
        ({"beta_schedule": "squaredcos_cap_v2", "lambda_min_clipped": -4.0}, -4.0),
        ({"beta_schedule": "squaredcos_cap_v2", "lambda_min_clipped": -math.inf}, -math.inf),
    ],
)
def test_a_solver_is_kept_from_alphas_near_zero_if_x0_is_divided_by_them(
    fields: dict[str, Any], least: float
) -> None:
    assert config(**fields).schedule.min_log_snr_half == least


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("_class_name", "EulerDiscreteScheduler"),
        ("algorithm_type", "dpmsolver"),
        ("beta_schedule", "sigmoid"),
        ("clip_sample_range", 0),
        ("dynamic_thresholding_ratio", 1.5),
        ("euler_at_final", True),
        ("final_sigmas_type", "sigma_max"),
        ("lower_order_final", False),
        ("num_train_timesteps", 0),
        ("prediction_type", "flow_prediction"),
        ("rescale_betas_zero_snr", True),
        ("sample_max_value", 0.5),
        ("solver_order", 3),
        ("solver_type", "heun"),
        ("steps_offset", -1),
        ("timestep_spacing", "random"),
        ("trained_betas", [0.1, 0.2]),
        ("use_beta_sigmas", True),
        ("use_dynamic_shifting", True),
        ("use_exponential_sigmas", True),
        ("use_flow_sigmas", True),
        ("use_karras_sigmas", True),
        ("use_lu_lambdas", True),
        ("variance_type", "learned"),
        ("invented", 1),
    ],
)
def test_what_cannot_be_sampled_is_refused_by_name(field: str, value: Any, tmp_path: Path) -> None:
    path = tmp_path / "scheduler_config.json"
    path.write_text(json.dumps(DEEPFLOYD_IF | {field: value}))
    with pytest.raises(InvalidCascade, match=rf"scheduler_config\.json: {field}: "):
        SchedulerConfig.read(path)


def test_a_file_that_is_missing_or_names_no_class_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "scheduler_config.json"
    with pytest.raises(InvalidCascade, match=r"scheduler_config\.json is missing"):
        SchedulerConfig.read(path)
    path.write_text("{}")
    with pytest.raises(InvalidCascade, match="_class_name: Field required"):
        SchedulerConfig.read(path)
