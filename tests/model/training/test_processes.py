"""Two processes, joined by gloo, come to what one does: with a whole network each, or shards."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from model.errors import InvalidTraining
from model.training.processes import check_processes
from model.training.run import train
from model.training.training_file import TrainingFile
from tests.model.training.regression import (
    StopsAt,
    Watching,
    new_trainer,
    training,
    weights,
)
from tests.model.training.tiny_run import base, large, training_file

KINDS = ("whole", "sharded")


def write_files(folder: Path, teacher: Path, **told: Any) -> TrainingFile:
    """Of a base that is trained with its text encoder, and of a super-resolution student."""
    told = {"images": 8, "look_every_steps": 2, **told}
    student = large(
        network=str(teacher / "super_resolution"),
        sampling={"aug_level": 0.1},
        distillation={"steps": [1]},
        training=told,
    )
    written = training_file(folder, teacher, base(training=told), student, trained=True)
    (folder / "training.json").write_text(written.model_dump_json())
    return written


def write_teacher(tiny_cascade: Path, folder: Path) -> Path:
    """The tiny cascade, as a teacher must be, and without dropout, whose noise is by process."""
    shutil.copytree(tiny_cascade, folder)
    for file, fields in {
        "super_resolution/scheduler/scheduler_config.json": {"timestep_spacing": "trailing"},
        "base/text_encoder/config.json": {"dropout_rate": 0.0},
    }.items():
        said = json.loads((folder / file).read_text())
        (folder / file).write_text(json.dumps(said | fields))
    return folder


@pytest.fixture(scope="module")
def folder(tiny_cascade: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What two processes left who ran in_processes.py, as `accelerate launch` has two GPUs do."""
    folder = tmp_path_factory.mktemp("processes")
    teacher = write_teacher(tiny_cascade, folder / "teacher")
    for kind in KINDS:
        write_files(folder / kind, teacher, sharded=kind == "sharded")
        with pytest.raises(KeyboardInterrupt):
            new_trainer(folder / kind / "begun", training()).run(StopsAt(17))
    launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
    done = subprocess.run(
        [*launcher, "-m", "tests.model.training.in_processes", str(folder)],
        capture_output=True,
        text=True,
        env=os.environ | {"OMP_NUM_THREADS": "1", "ACCELERATE_USE_CPU": "true"},
        check=False,
        timeout=600,
    )
    assert done.returncode == 0, done.stderr
    return folder


def told(folder: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """By the main process, and by the other."""
    main, other = (json.loads((folder / f"{i}.json").read_text()) for i in (0, 1))
    return main, other


def last(folder: Path) -> list[torch.Tensor]:
    """What is trained, and its averages, in the last checkpoint."""
    kept = torch.load(folder / "checkpoints/step-40.pt", weights_only=True)
    return [*kept["weights"].values(), *kept["average"].values()]


@pytest.mark.parametrize("kind", KINDS)
def test_two_processes_train_what_one_does(folder: Path, tmp_path: Path, kind: str) -> None:
    watching = Watching(0.5, 0.5)
    alone = new_trainer(tmp_path / "alone", training(look_every_steps=20, patience=1))
    alone.run(watching)
    main, other = told(folder / kind)
    held = 0.5 if kind == "sharded" else 1.0
    assert main["shares"] == other["shares"] == dict.fromkeys(("regression", "begun", "muon"), held)
    losses = {int(step): loss for step, loss in main["losses"].items()}
    assert losses == pytest.approx(watching.losses, rel=1e-5)
    assert (main["looks"], other["looks"], other["losses"]) == ([20, 40], [], {})
    torch.testing.assert_close(last(folder / kind / "regression"), weights(alone))
    torch.testing.assert_close(last(folder / kind / "begun"), weights(alone))

    by_muon = new_trainer(tmp_path / "muon", training(muon_rate=0.02))
    by_muon.run(Watching())
    found = last(folder / kind / "muon")
    torch.testing.assert_close(found, weights(by_muon), rtol=0, atol=0.01)


@pytest.mark.parametrize("kind", KINDS)
def test_a_signal_to_one_stops_both_after_one_step(folder: Path, tmp_path: Path, kind: str) -> None:
    main, other = told(folder / kind)
    assert (main["stopped"], other["stopped"]) == ("Interrupted: ", "Interrupted: ")
    stopped = folder / kind / "stopped"
    assert [file.name for file in (stopped / "checkpoints").iterdir()] == ["step-7.pt"]
    resumed = new_trainer(shutil.copytree(stopped, tmp_path / "resumed"), training())
    resumed.run(Watching())
    torch.testing.assert_close(last(folder / kind / "regression"), weights(resumed))


@pytest.mark.parametrize("kind", KINDS)
def test_gradients_that_are_not_finite_stop_both(folder: Path, kind: str) -> None:
    main, other = told(folder / kind)
    assert "norm of its gradient nan at step 3" in main["broken"]
    assert other["broken"] == main["broken"]
    kept = folder / kind / "broken/checkpoints"
    assert [file.name for file in kept.iterdir()] == ["step-2.pt"]


def test_who_fails_alone_waits_for_no_shards(folder: Path) -> None:
    assert list((folder / "alone/checkpoints").iterdir()) == []


def test_two_processes_leave_the_cascade_that_one_does(folder: Path, tmp_path: Path) -> None:
    by_one = train(write_files(tmp_path, folder / "teacher"), tmp_path)
    files = sorted(file.relative_to(by_one) for file in by_one.rglob("*.safetensors"))
    assert len(files) == 3
    for kind in KINDS:
        by_two = folder / kind / "run/cascade"
        for file in files:
            found, wanted = load_file(by_two / file), load_file(by_one / file)
            torch.testing.assert_close(found, wanted, rtol=2e-3, atol=1e-4)
        assert (folder / kind / "run/base/samples-2.png").is_file()


@pytest.mark.parametrize("kind", ["FSDP", "DEEPSPEED"])
def test_networks_in_pieces_are_refused(
    tmp_path: Path, tiny_cascade: Path, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: TrainingFile = training_file(tmp_path, tiny_cascade, base())

    class Accelerator:
        distributed_type = kind

        def __init__(self, **settings: Any) -> None:
            """Sets nothing up, for which there would have to be several devices."""

    monkeypatch.setattr("model.training.processes.Accelerator", Accelerator)
    with pytest.raises(InvalidTraining, match=f"accelerate is set to {kind}, .* `sharded = true`"):
        check_processes(told)
