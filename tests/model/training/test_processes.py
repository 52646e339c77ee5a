"""Two processes, joined by gloo, come to what one does."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from model.errors import InvalidTraining
from model.training.config import TrainingFile
from model.training.processes import check_processes
from model.training.run import train
from tests.model.training.regression import Watching, new_trainer, training
from tests.model.training.tiny_run import base, training_file


def launch(folder: Path) -> None:
    """Run in_processes.py in two, as `accelerate launch` does where there are two GPUs."""
    launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
    done = subprocess.run(
        [*launcher, "-m", "tests.model.training.in_processes", str(folder)],
        capture_output=True,
        text=True,
        env=os.environ | {"OMP_NUM_THREADS": "1", "ACCELERATE_USE_CPU": "true"},
        check=False,
    )
    assert done.returncode == 0, done.stderr


def test_two_processes_train_what_one_does(tmp_path: Path, tiny_cascade: Path) -> None:
    told = training_file(tmp_path, tiny_cascade, base(training={"images": 16}))
    (tmp_path / "training.json").write_text(told.model_dump_json())
    launch(tmp_path)
    main, other = (json.loads((tmp_path / f"{i}.json").read_text()) for i in (0, 1))

    watching = Watching(0.5, 0.5)
    alone = new_trainer(tmp_path / "alone", training(look_every_steps=20, patience=1))
    alone.run(watching)
    losses = {int(step): loss for step, loss in main["losses"].items()}
    assert losses == pytest.approx(watching.losses, rel=1e-5)
    assert (main["looks"], other["looks"], other["losses"]) == ([20, 40], [], {})
    kept = torch.load(tmp_path / "regression/checkpoints/step-40.pt", weights_only=True)
    for name, weight in alone._trained().items():
        torch.testing.assert_close(kept["weights"][name], weight.detach())

    by_muon = new_trainer(tmp_path / "muon-alone", training(muon_rate=0.02))
    by_muon.run(Watching())
    kept = torch.load(tmp_path / "muon/checkpoints/step-40.pt", weights_only=True)
    for name, weight in by_muon._trained().items():
        torch.testing.assert_close(kept["weights"][name], weight.detach(), rtol=0, atol=0.01)

    told = training_file(tmp_path / "one", tiny_cascade, base(training={"images": 16}))
    file = "base/unet/diffusion_pytorch_model.safetensors"
    by_one, by_two = (
        load_file(train(told, tmp_path) / file),
        load_file(tmp_path / "run/cascade" / file),
    )
    torch.testing.assert_close(by_two, by_one, rtol=2e-3, atol=1e-4)

    assert "norm of its gradient nan at step 3" in main["failure"]
    assert other["failure"] == main["failure"]
    assert [file.name for file in (tmp_path / "broken/checkpoints").iterdir()] == ["step-2.pt"]


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
    with pytest.raises(InvalidTraining, match=f"accelerate is set to {kind}, .* choose multi-GPU"):
        check_processes(told)
