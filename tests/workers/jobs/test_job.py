"""What a job says of itself."""

import pytest
from pydantic import ValidationError

from tests.workers.jobs.conftest import a_job
from workers.jobs.job import JobParameters, JobStatus, StageParameters, Task, new_job_id


def test_each_image_has_a_seed_of_its_own_that_wraps_at_32_bits() -> None:
    parameters = a_job().parameters.model_copy(update={"seed": 2**32 - 1})
    assert [parameters.image_seed(index) for index in range(3)] == [2**32 - 1, 0, 1]


def test_stages_know_their_neighbours() -> None:
    parameters = a_job().parameters
    base, upper = parameters.stages
    assert parameters.stage("128") is upper
    assert parameters.stage_before("32") is None
    assert parameters.stage_before("128") is base
    assert parameters.stage_after("32") is upper
    assert parameters.stage_after("128") is None
    with pytest.raises(KeyError):
        parameters.stage("64")


def test_parameters_are_frozen_and_strict_about_names() -> None:
    parameters = a_job().parameters
    with pytest.raises(ValidationError, match="frozen"):
        parameters.seed = 8  # type: ignore[misc]
    with pytest.raises(ValidationError, match="Extra inputs"):
        JobParameters.model_validate({**parameters.model_dump(), "guidance": 3})


def test_an_interval_goes_from_the_smaller_time_to_the_larger() -> None:
    stage = a_job().parameters.stages[1].model_dump()
    for interval in ((0.0, 1.0), (0.5, 0.5)):
        stage["guidance_interval"] = interval
        assert StageParameters.model_validate(stage).guidance_interval == interval
    for wrong in ((0.6, 0.5), (-0.1, 0.5), (0.5, 1.1), (0.5,), (0.1, 0.2, 0.3)):
        with pytest.raises(ValidationError, match="guidance_interval"):
            StageParameters.model_validate({**stage, "guidance_interval": wrong})


def test_parameters_are_the_same_after_redis() -> None:
    parameters = a_job().parameters
    assert JobParameters.model_validate_json(parameters.model_dump_json()) == parameters


def test_four_statuses_are_terminal() -> None:
    terminal = {status.value for status in JobStatus if status.terminal}
    assert terminal == {"succeeded", "failed", "canceled", "expired"}


def test_ids_are_random_and_safe_in_a_url() -> None:
    ids = {new_job_id() for _ in range(1000)}
    assert len(ids) == 1000
    assert all(len(job_id) == 32 and job_id.isalnum() for job_id in ids)


def test_an_image_costs_what_it_steps_and_what_is_guided_of_it_twice() -> None:
    parameters = a_job(steps=25).parameters
    base, upper = parameters.stages
    assert parameters.image_cost == round((25 * 2 * 32 * 32 + 8 * 128 * 128) / 1000)
    guided = upper.model_copy(update={"guidance_scale": 2.0})
    twice = parameters.model_copy(update={"stages": (base, guided)})
    assert twice.image_cost == round((25 * 2 * 32 * 32 + 8 * 1.6 * 128 * 128) / 1000)


def test_the_smallest_image_is_not_free() -> None:
    base = a_job(steps=1).parameters.stages[0]
    tiny = base.model_copy(update={"width": 8, "height": 8, "guidance_scale": 1.0})
    assert a_job().parameters.model_copy(update={"stages": (tiny,)}).image_cost == 1


def test_a_task_knows_its_job_its_image_and_its_delivery() -> None:
    job = a_job()
    task = Task(
        stage="32", name=f"{job.id}:3", token="w1/1", deliveries=1, parameters=job.parameters
    )
    assert (task.job_id, task.image) == (job.id, 3)
    later = task.model_copy(update={"token": "w1/2"})
    assert task.key != later.key
