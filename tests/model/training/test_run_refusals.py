"""What a run refuses, by stage, field and remedy, before anything is trained."""

from fcntl import LOCK_EX, flock
from pathlib import Path
from typing import Any

import pytest

from model.errors import InvalidCascade, InvalidTraining, TrainingFailed
from model.training.run import train
from tests.model.training.tiny_run import BASE, SUPER_RESOLUTION, base, large, training_file

HERE = Path()


@pytest.mark.parametrize(
    ("stages", "told"),
    [
        ([base(network="imagen-65")], "stages.base.network: there is no preset imagen-65, and no"),
        ([base(network=BASE | {"chanels": 3})], "stages.base.network: chanels: .* no such field"),
        ([base(network=BASE | {"norm_num_groups": 3})], "stages.base.network: cannot be built"),
        ([base(network=SUPER_RESOLUTION)], "stages.base.network: in_channels must be 3"),
        ([base(), large(network=BASE)], "stages.large.network: in_channels must be 6"),
        (
            [base(network=SUPER_RESOLUTION | {"in_channels": 3, "class_embed_type": "none"})],
            "stages.base.network: a base must take text",
        ),
        (
            [base(network=BASE | {"encoder_hid_dim": 24, "encoder_hid_dim_type": "text_proj"})],
            "stages.base.network: takes embeddings of width 24, and the text encoder's is 16: set",
        ),
        (
            [base(trainable=["attentions.*"])],
            "stages.base.trainable: no weight is named attentions.*: the network has conv_in, ",
        ),
        (
            [base(prediction="epsilon", training={"weighting": "capped_snr"})],
            "stages.base.training.weighting: capped_snr counts pure noise without bound",
        ),
        ([base(), large(crop_px=7)], "stages.large.crop_px: is 7, and .* use a multiple of 2"),
        ([base(), large(training=None)], "stages.large.network: must be the folder of a trained"),
        ([base(lora={})], "stages.base.network: must be the folder of a trained stage"),
        ([base(training={"accumulation": 3})], "stages.base.training.batch: 4 cannot be cut even"),
        (
            [base(sampling={"aug_level": 0.1})],
            "stages.base is a base, which takes no aug_level: leave it out",
        ),
        ([base(sampling={"steps": 2000})], "stages.base: .*steps must be 1 to"),
        ([base(), large(size_px=64)], "pictures are less than 64 px wide or high.*: train a small"),
        (
            [base(), large(network=SUPER_RESOLUTION | {"class_embed_type": "none"})],
            "stages.large.unet/config.json: class_embed_type must be timestep",
        ),
    ],
)
def test_what_is_wrong_is_told_before_anything_is_trained(
    tmp_path: Path, tiny_cascade: Path, stages: list[dict[str, Any]], told: str
) -> None:
    with pytest.raises(InvalidTraining, match=told):
        train(training_file(tmp_path, tiny_cascade, *stages), HERE)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"beta_schedule": "linear"}, "stages.base.beta_schedule: is as .* says: leave it out"),
        ({"prediction": "epsilon"}, "stages.base.prediction: is as .* says: leave it out"),
        ({"size_px": 16}, "stages.base.size_px: is 16, and the network's sample_size 8: make"),
    ],
)
def test_a_folder_that_is_started_from_has_the_last_word(
    tmp_path: Path, tiny_cascade: Path, changes: dict[str, Any], told: str
) -> None:
    started = base(network=str(tiny_cascade / "base"), **changes)
    with pytest.raises(InvalidTraining, match=told):
        train(training_file(tmp_path, tiny_cascade, started), HERE)


def test_a_text_encoder_that_is_missing_is_named(tmp_path: Path, tiny_cascade: Path) -> None:
    told = training_file(tmp_path, tiny_cascade, base(), path=str(tmp_path / "nowhere"))
    with pytest.raises(InvalidCascade, match="nowhere is missing"):
        train(told, HERE)


def test_a_stage_that_there_is_not_is_named(tmp_path: Path, tiny_cascade: Path) -> None:
    told = training_file(tmp_path, tiny_cascade, base())
    for name in ("bass", "text"):
        with pytest.raises(InvalidTraining, match=f"no stage {name} to train: there are base"):
            train(told, HERE, [name])


def test_without_the_base_its_text_encoder_is_missed(tmp_path: Path, tiny_cascade: Path) -> None:
    told = training_file(tmp_path, tiny_cascade, base(), large(), trained=True)
    with pytest.raises(
        InvalidTraining, match=r"text.trained: train base first: .* is a part of it"
    ):
        train(told, HERE, ["large"])


@pytest.mark.parametrize("field", ["stages.base.network", "text.path"])
def test_what_a_run_starts_from_is_not_written_over(
    tmp_path: Path, tiny_cascade: Path, field: str
) -> None:
    told = training_file(tmp_path, tiny_cascade, base())
    folder = train(told, HERE)
    if field == "text.path":
        told = training_file(tmp_path, tiny_cascade, base(), path=str(folder / "text"))
    else:
        told = training_file(tmp_path, tiny_cascade, base(network=str(folder / "base")))
    with pytest.raises(InvalidTraining, match=f"{field}: .* is in the cascade that this run writ"):
        train(told, HERE)


def test_an_adapter_needs_attention(tmp_path: Path, tiny_cascade: Path) -> None:
    first = train(training_file(tmp_path / "first", tiny_cascade, base(), large()), HERE)
    adapted = large(network=str(first / "large"), lora={})
    with pytest.raises(
        InvalidTraining, match=r"stages\.large\.lora: adapts the attention, of which"
    ):
        train(training_file(tmp_path, tiny_cascade, base(), adapted), HERE)


def test_patience_needs_what_it_is_measured_by(tmp_path: Path, tiny_cascade: Path) -> None:
    told = training_file(tmp_path, tiny_cascade, base(training={"patience": 1}))
    told = told.model_copy(update={"data": told.data.model_copy(update={"held_out": 0.0})})
    with pytest.raises(
        InvalidTraining, match=r"stages\.base\.training\.patience: no picture is he"
    ):
        train(told, HERE)


def test_another_network_does_not_go_on(tmp_path: Path, tiny_cascade: Path) -> None:
    train(training_file(tmp_path, tiny_cascade, base()), HERE)
    other = base(network=BASE | {"norm_num_groups": 8}, training={"images": 64})
    with pytest.raises(InvalidTraining, match=r"network: the run in .* was begun with"):
        train(training_file(tmp_path, tiny_cascade, other), HERE)


def test_two_runs_do_not_share_a_folder(tmp_path: Path, tiny_cascade: Path) -> None:
    told = training_file(tmp_path, tiny_cascade, base())
    (tmp_path / "run").mkdir()
    with (tmp_path / "run" / ".lock").open("w") as lock:
        flock(lock, LOCK_EX)
        with pytest.raises(InvalidTraining, match="folder: another run is at work in"):
            train(told, HERE)


def test_weights_that_are_no_longer_finite_are_not_written(
    tmp_path: Path, tiny_cascade: Path
) -> None:
    ruined = {"images": 4, "rate": 1e7, "warmup_steps": 0, "ema": 0.0, "look_every_steps": 100}
    with pytest.raises(TrainingFailed, match="is no longer finite, in float16: nothing was writ"):
        train(training_file(tmp_path, tiny_cascade, base(training=ruined)), HERE)
    assert not (tmp_path / "run" / "cascade" / "base").exists()
