"""What the API is told of a loaded cascade, and what the model is told of a job."""

import json
import shutil
from dataclasses import asdict
from pathlib import Path

import pytest

from model.calibration import Calibration
from model.cascade import Cascade
from workers.describe import describe, describe_worker, settings_of
from workers.jobs.card import StagePlace
from workers.jobs.job import StageParameters
from workers.settings import WorkerSettings


@pytest.fixture(scope="module")
def cascade(tiny_cascade: Path) -> Cascade:
    return Cascade.load(tiny_cascade, "cpu,float32")


def test_the_card_has_what_each_stage_is_and_its_defaults(cascade: Cascade) -> None:
    card = describe(cascade, WorkerSettings(max_steps=30))
    base, upper = card.stages
    assert (base.name, base.size, base.multiple, base.steps, base.max_steps) == ("8", 8, 2, 3, 30)
    assert (base.sampler, upper.sampler) == ("dpmpp", "ddim")
    assert set(base.samplers) >= {"ddpm", "ddim", "dpmpp"}
    assert (base.guidance_interval, base.aug_level, upper.aug_level) == ((0.0, 1.0), None, 0.25)
    assert card.known_words == ("a", "cat", "dog", "red", "apple")


def test_the_card_says_where_guidance_is_part_of_the_network(
    tiny_cascade: Path, tmp_path: Path
) -> None:
    folder = Path(shutil.copytree(tiny_cascade, tmp_path / "distilled"))
    file = folder / "cascade.json"
    told = json.loads(file.read_text())
    told["stages"][0] = {"path": "base", "guidance_distilled": True}
    file.write_text(json.dumps(told))
    card = describe(Cascade.load(folder, "cpu,float32", stages=["16"]), WorkerSettings())
    assert [stage.guidance_distilled for stage in card.stages] == [True, False]
    assert card.stages[0].guidance_scale == 1.0


def test_a_worker_tells_where_its_own_stages_run(cascade: Cascade) -> None:
    card = describe_worker("w1", cascade, ["text", "16"], {"16": Calibration(rows=8, row_ms=1.234)})
    here = StagePlace(device="cpu", dtype="float32")
    measured = here.model_copy(update={"rows": 8, "row_ms": 1.23})
    assert (card.name, card.stages) == ("w1", {"text": here, "16": measured})


def test_the_model_is_told_all_that_a_job_says() -> None:
    stage = StageParameters(
        name="16",
        width=24,
        height=8,
        steps=5,
        guidance_scale=2.0,
        guidance_interval=(0.1, 0.9),
        sampler="ddim",
        eta=0.5,
        aug_level=0.1,
        adapters={"ink": 0.5},
    )
    assert asdict(settings_of(stage)) == stage.model_dump(exclude={"name"})
