"""What is read from the configurations of a cascade's folders, and what is refused."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from model.errors import InvalidCascade
from model.guidance import Threshold
from model.loading.cascade_folder import PlacedAdapter, read_cascade
from model.loading.folder import Folder
from model.plan import StageSettings
from model.samplers import Variance


def change(file: Path, **fields: Any) -> None:
    file.write_text(json.dumps(json.loads(file.read_text()) | fields))


@pytest.fixture
def folder(if_folders: Path, tmp_path: Path) -> Path:
    """A copy of IF's folders to break."""
    return Path(shutil.copytree(if_folders, tmp_path / "if"))


def test_an_if_cascade_is_what_its_folders_say(if_folders: Path) -> None:
    spec = read_cascade(if_folders)
    assert spec.name == "tiny-if"
    assert (spec.text.max_tokens, spec.text.lowercase, spec.text.width) == (77, True, 32)
    base, larger = (stage.spec for stage in spec.stages)
    assert (base.name, base.threshold) == ("20", Threshold(cap=1.5, ratio=0.95))
    assert (larger.name, larger.threshold) == ("40", Threshold(cap=1.0, ratio=0.95))
    assert base.variance is larger.variance is Variance.LEARNED_RANGE
    assert base.noising_schedule is None
    assert larger.noising_schedule is not None


def test_steps_and_guidance_are_usual_ones_where_nothing_is_said(if_folders: Path) -> None:
    base, larger = (stage.spec.defaults for stage in read_cascade(if_folders).stages)
    assert base == StageSettings(50, "dpmpp", 7.0)
    assert larger == StageSettings(25, "dpmpp", 4.0, aug_level=0.25)


def test_cascade_json_sets_a_stage_otherwise(folder: Path) -> None:
    said = {
        "steps": 9,
        "sampler": "ddim",
        "guidance_scale": 2.5,
        "guidance_interval": [0.1, 0.8],
        "aug_level": 0.1,
    }
    change(folder / "cascade.json", stages=["one", {"path": "two"} | said])
    expected = StageSettings(9, "ddim", 2.5, aug_level=0.1, guidance_interval=(0.1, 0.8))
    assert read_cascade(folder).stages[1].spec.defaults == expected


def test_a_stage_that_draws_as_if_guided_is_not_guided_again(folder: Path) -> None:
    distilled: dict[str, Any] = {"path": "one", "guidance_distilled": True}
    change(folder / "cascade.json", stages=[distilled, "two"])
    base, larger = (stage.spec for stage in read_cascade(folder).stages)
    assert (base.guidance_distilled, base.defaults.guidance_scale) == (True, 1.0)
    assert (larger.guidance_distilled, larger.defaults.guidance_scale) == (False, 4.0)
    change(folder / "cascade.json", stages=[distilled | {"guidance_scale": 2.0}, "two"])
    with pytest.raises(InvalidCascade, match=r"cascade.json.*guidance_scale: is 1 where"):
        read_cascade(folder)


def test_a_pipelines_folder_is_a_cascade_of_one_stage(if_folders: Path) -> None:
    spec = read_cascade(if_folders / "one")
    assert (spec.name, spec.stage_names, spec.text.lowercase) == ("one", ("20",), True)


def test_the_file_itself_may_be_named(if_folders: Path) -> None:
    assert read_cascade(if_folders / "cascade.json") == read_cascade(if_folders)


def test_lowercase_can_be_said_and_is_of_if_alone(folder: Path, tiny_cascade: Path) -> None:
    assert not read_cascade(tiny_cascade).text.lowercase
    change(folder / "cascade.json", text={"path": "one", "lowercase": False, "max_tokens": 60})
    text = read_cascade(folder).text
    assert (text.lowercase, text.max_tokens) == (False, 60)


def test_the_folder_of_a_stage_may_lie_elsewhere(folder: Path, if_folders: Path) -> None:
    change(folder / "cascade.json", stages=["one", str(if_folders / "two")])
    assert read_cascade(folder).stages[1].folder.path == if_folders / "two"


def test_adapters_are_of_the_base_or_of_the_stage_that_is_named(folder: Path) -> None:
    assert read_cascade(folder).adapters == ()
    for path in ("adapters/ink", "adapters/clay"):
        (folder / path).mkdir(parents=True)
    entries = [
        {"name": "ink", "path": "adapters/ink"},
        {"name": "clay-2.1", "path": "adapters/clay", "stage": "40"},
    ]
    change(folder / "cascade.json", adapters=entries)
    assert read_cascade(folder).adapters == (
        PlacedAdapter("ink", "20", Folder(folder / "adapters/ink")),
        PlacedAdapter("clay-2.1", "40", Folder(folder / "adapters/clay")),
    )


def adapters_change(**fields: Any) -> "Break":
    """A second adapter, at the folder of stage one."""
    first = {"name": "ink", "path": "one"}
    return json_change("cascade.json", adapters=[first, {"name": "clay", "path": "one"} | fields])


Break = Callable[[Path], None]


def json_change(name: str, **fields: Any) -> Break:
    return lambda folder: change(folder / name, **fields)


def removal(name: str) -> Break:
    def remove(folder: Path) -> None:
        path = folder / name
        shutil.rmtree(path) if path.is_dir() else path.unlink()

    return remove


@pytest.mark.parametrize(
    ("spoil", "named"),
    [
        (removal("two"), "two is missing"),
        (removal("cascade.json"), "cascade.json is missing: .* or model_index.json of a pipeline"),
        (removal("two/unet/config.json"), "two/unet/config.json is missing"),
        (removal("two/scheduler"), "two/scheduler/scheduler_config.json is missing"),
        (removal("two/image_noising_scheduler"), "image_noising_scheduler/.* is missing"),
        (removal("one/tokenizer"), "one/tokenizer is missing"),
        (removal("one/tokenizer/spiece.model"), "neither tokenizer.json nor spiece.model"),
        (removal("one/text_encoder/config.json"), "one/text_encoder/config.json is missing"),
        (removal("one/safety_checker"), "one/safety_checker/config.json is missing"),
        (
            json_change("two/unet/config.json", in_channels=4),
            "two/unet/config.json: in_channels: .* 4 is not a pixel-space stage's",
        ),
        (
            json_change("two/unet/config.json", _class_name="UNet1DModel"),
            "two/unet/config.json: _class_name",
        ),
        (
            json_change("one/unet/config.json", class_embed_type="timestep"),
            "one/unet/config.json: class_embed_type must be",
        ),
        (
            json_change("two/unet/config.json", out_channels=3),
            "two: variance_type learned_range needs a U-Net of 6 out_channels, not 3",
        ),
        (
            json_change("two/unet/config.json", encoder_hid_dim=48),
            "two/unet: the U-Net takes embeddings of 48 numbers a token, and .* makes 32",
        ),
        (
            json_change(
                "two/model_index.json",
                _class_name="StableDiffusionPipeline",
                vae=["diffusers", "AutoencoderKL"],
            ),
            "two/model_index.json: StableDiffusionPipeline is a latent-space pipeline; a cascade"
            " needs pixel-space stages",
        ),
        (
            json_change("two/model_index.json", _class_name="DDPMPipeline"),
            "two/model_index.json: DDPMPipeline is no pipeline that is known here",
        ),
        (
            json_change("one/text_encoder/config.json", model_type="clip_text_model"),
            "one/text_encoder/config.json: model_type: .* 't5'",
        ),
        (json_change("cascade.json", stages=[]), "cascade.json: stages"),
        (json_change("cascade.json", colour="red"), "cascade.json: colour: is not a field"),
        (
            json_change("cascade.json", stages=[{"path": "one", "sampler": "euler"}]),
            "cascade.json: stages.0.sampler: .*'dpmpp'",
        ),
        (
            json_change("cascade.json", stages=[{"path": "one", "steps": 1001}]),
            "one: .*1001",
        ),
        (
            json_change("cascade.json", stages=[{"path": "one", "aug_level": 0.1}]),
            "one is a base, which takes no aug_level",
        ),
        (
            json_change("cascade.json", stages=[{"path": "one", "guidance_interval": [1, 0]}]),
            "cascade.json: stages.0.guidance_interval: .*comes first",
        ),
        (
            json_change("cascade.json", stages=["two"]),
            "cascade.json: the first stage must be a base",
        ),
        (
            json_change("cascade.json", stages=["one", "one"]),
            "cascade.json: stage 20 after 20 must be a larger",
        ),
        (json_change("cascade.json", stages=["one", "three"]), "three is missing: name a folder"),
        (adapters_change(name="ink"), "cascade.json: adapters.1.name: ink is an adapter before"),
        (
            adapters_change(stage="64"),
            "cascade.json: adapters.1.stage: there is no stage 64: use 20 or 40",
        ),
        (adapters_change(path="clay"), "clay is missing: name a folder that is there"),
        (adapters_change(name="a=b"), "cascade.json: adapters.1.name: String should match"),
        (adapters_change(scale=1), "cascade.json: adapters.1.scale: is not a field"),
    ],
)
def test_what_is_no_cascade_is_refused_by_name(folder: Path, spoil: Break, named: str) -> None:
    spoil(folder)
    with pytest.raises(InvalidCascade, match=named):
        read_cascade(folder)


def test_a_super_resolution_stage_alone_is_no_cascade(if_folders: Path) -> None:
    with pytest.raises(InvalidCascade, match="the first stage must be a base"):
        read_cascade(if_folders / "two")


def test_a_source_that_is_nowhere(tmp_path: Path) -> None:
    with pytest.raises(InvalidCascade, match="nothing is missing: name a folder that is there"):
        read_cascade(tmp_path / "nothing")
