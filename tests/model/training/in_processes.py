"""What test_processes.py has each of two processes do; each tells what it saw of it."""

import json
import os
import signal
import sys
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.distributed.tensor import DTensor

from model.errors import TrainingFailed
from model.training.loop import Trainer
from model.training.processes import new_accelerator
from model.training.run import train
from model.training.training_file import TrainingFile
from tests.model.training.regression import (
    Points,
    StopsAt,
    Watching,
    new_trainer,
    training,
    weights,
)


class Signalled(Points):
    """SIGTERM reaches the second process alone, in the seventh step."""

    def __getitem__(self, position: int) -> Tensor:
        if position == 65:
            os.kill(os.getpid(), signal.SIGTERM)
        return super().__getitem__(position)


def share(trainer: Trainer) -> float:
    """What this process has of all weights, their averages and what optimizers remember."""
    of_optimizers = [
        value
        for optimizer in trainer._optimizers
        for state in optimizer.state.values()
        for name, value in state.items()
        if name != "step"
    ]
    tensors = [*weights(trainer), *of_optimizers]
    here = [each.to_local() if isinstance(each, DTensor) else each for each in tensors]
    return float(sum(each.numel() for each in here) / sum(each.numel() for each in tensors))


def run_all(folder: Path, sharded: bool) -> dict[str, Any]:
    """The folder has a training file as JSON, and `begun`, a run that another process began."""
    shares: dict[str, float] = {}

    def run(name: str, examples: Points, watching: Watching, **told: Any) -> str:
        """What it fails with."""
        trainer = new_trainer(folder / name, training(sharded=sharded, **told), examples=examples)
        try:
            trainer.run(watching)
        except (KeyboardInterrupt, TrainingFailed) as error:
            return f"{type(error).__name__}: {error}"
        shares[name] = share(trainer)
        return ""

    watching = Watching(0.5, 0.5, 0.5)
    run("regression", Points(), watching, accumulation=5, look_every_steps=20, patience=1)
    run("begun", Points(), Watching())
    run("muon", Points(), Watching(), muon_rate=0.02)
    broken = run("broken", Points(broken_from=28), Watching())  # where the second process is alone
    stopped = run("stopped", Signalled(), Watching())
    train(TrainingFile.model_validate_json((folder / "training.json").read_text()), folder)
    return {
        "shares": shares,
        "losses": watching.losses,
        "looks": watching.looks,
        "broken": broken,
        "stopped": stopped,
    }


def main(folder: Path) -> None:
    torch.set_num_threads(1)
    process = new_accelerator()
    for kind in ("whole", "sharded"):
        found = run_all(folder / kind, sharded=kind == "sharded")
        (folder / kind / f"{process.process_index}.json").write_text(json.dumps(found))
    process.wait_for_everyone()
    try:
        new_trainer(folder / "alone", training(sharded=True)).run(StopsAt(3))
    except (KeyboardInterrupt, RuntimeError):  # of the main process, and then of the other
        os._exit(0)  # Python's end and gloo's threads can wait for each other


if __name__ == "__main__":
    main(Path(sys.argv[1]))
