"""A training file is read strictly: what is wrong is told by file, field and remedy."""

from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from model.errors import InvalidTraining
from model.training.training_file import TrainingFile, read_training
from tests.model.training.regression import training
from tests.model.training.tiny_run import base, large, table

SMALLEST = """
name = "tiny"
folder = "../run"
data = { path = "pictures" }
text = { path = "text" }
[[stages]]
name = "base"
size_px = 64
network = "base-64-small"
"""


def test_paths_are_beside_the_file(tmp_path: Path) -> None:
    file = tmp_path / "tiny.toml"
    file.write_text(SMALLEST)
    told = read_training(file)
    assert (told.folder, told.data.path) == (tmp_path / "../run", tmp_path / "pictures")
    assert told.text.path == "text"


def test_a_run_is_as_long_as_its_images_take() -> None:
    assert [training(images=images, batch=10).steps for images in (1, 10, 11)] == [1, 1, 2]


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("colour = 1", "stages.0.colour: is not a field that is known here"),
        ("training = { images = 0 }", "stages.0.training.images: Input should be greater than"),
        ("training = { images = 1, precision = 'fp8' }", "stages.0.training.precision: "),
        ("sampling = { step = 3 }", "stages.0.sampling"),
        ("sampling = { guidance_scale = 0 }", "stages.0.sampling"),
        ("crop_px = 32", "stages.base.crop_px: is of a super-resolution stage"),
        ("lora = { name = 'a/b' }", "stages.0.lora.name: "),
        ("size_px = 64", "is not TOML: Cannot overwrite a value"),
    ],
)
def test_what_is_wrong_is_told_by_file_and_field(tmp_path: Path, line: str, told: str) -> None:
    file = tmp_path / "tiny.toml"
    file.write_text(f"{SMALLEST}{line}\n")
    with pytest.raises(InvalidTraining) as refused:
        read_training(file)
    assert str(refused.value).startswith(f"{file}: ")
    assert told in str(refused.value)


SCENES: dict[str, Any] = {"source": "scenes", "path": None}


@pytest.mark.parametrize(
    ("stages", "changes", "told"),
    [
        ([], {}, "stages: Tuple should have at least 1 item"),
        ([large(), base()], {}, "stages: each enlarges the one before"),
        ([base(), large(name="base")], {}, "stages: each has a name of its own"),
        ([base(name="text")], {}, "none is adapters, cascade, embeddings, text"),
        ([base(name="a/b")], {}, "stages.0.name: String should match pattern"),
        ([base(max_aug_level=0.1)], {}, "stages.base.max_aug_level: is of a super-resolution"),
        ([base(), large(crop_px=32)], {}, "stages.large.crop_px: .* and at most its size_px"),
        ([base(lora={}), large(lora={})], {}, "lora.name: each stage's adapter has a name of its"),
        ([base(lora={})], {"text": {"path": "t", "trained": True}}, "text.trained: the text enc"),
        ([base()], {"text": {}}, "text.path: give the folder or hub id of a T5 encoder"),
        (
            [base()],
            {"text": {"path": "t", "training": {"images": 1}}},
            "text.training: teaches to read scenes, which other data has not",
        ),
        ([base(sampling={"path": "other"})], {}, "stages.0.sampling: .*path: a stage is written"),
        (
            [base(training=None)],
            {"text": {"path": "t", "trained": True}},
            "text.trained: the encoder is trained with the base, which has no",
        ),
        (
            [base()],
            {"data": {"source": "scenes", "flip": True}},
            "data: .*flip: is of pictures in files",
        ),
        ([base(trainable=["*"], lora={})], {}, "trainable: needs a table `training`, and a lora"),
        ([base(trainable=["*"], training=None)], {}, "trainable: needs a table `training`"),
        ([base()], {"data": {"source": "scenes", "path": "p"}}, "data: .*path: is of pictures in"),
        ([base()], {"data": {"source": "folder"}}, "data: .*path: a folder or shards are at a pa"),
        ([base()], {"data": {"path": "p", "held_out": 1}}, "data.held_out: Input should be less"),
    ],
)
def test_what_contradicts_itself_is_told(
    tmp_path: Path, stages: list[Any], changes: dict[str, Any], told: str
) -> None:
    with pytest.raises(ValidationError) as refused:
        TrainingFile.model_validate(table(tmp_path, tmp_path, *stages) | changes)
    with pytest.raises(InvalidTraining, match=told):
        raise InvalidTraining(_told(refused.value))


def _told(error: ValidationError) -> str:
    from model.loading.config_file import told

    return told(error)
