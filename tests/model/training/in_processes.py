"""What test_processes.py has each of two processes do; the main one tells what came of it."""

import json
import os
import sys
from pathlib import Path

import torch
from accelerate import PartialState

from model.errors import TrainingFailed
from model.training.config import TrainingFile
from model.training.run import train
from tests.model.training.regression import Points, Watching, new_trainer, training


def main(folder: Path) -> None:
    """The folder has a training file as JSON."""
    torch.set_num_threads(1)
    watching = Watching(0.5, 0.5, 0.5)
    trainer = new_trainer(
        folder / "regression", training(accumulation=5, look_every_steps=20, patience=1)
    )
    trainer.run(watching)
    new_trainer(folder / "muon", training(muon_rate=0.02)).run(Watching())
    told = TrainingFile.model_validate_json((folder / "training.json").read_text())
    train(told, folder)
    broken = new_trainer(folder / "broken", training(), examples=Points(broken_from=28))
    failure = ""
    try:
        broken.run(Watching())
    except TrainingFailed as error:  # the positions that are broken are the second one's alone
        failure = str(error)
    PartialState().wait_for_everyone()
    found = {
        "losses": watching.losses,
        "looks": watching.looks,
        "step": trainer.step,
        "failure": failure,
    }
    (folder / f"{PartialState().process_index}.json").write_text(json.dumps(found))
    PartialState().wait_for_everyone()
    os._exit(0)  # Python's end and gloo's threads can wait for each other


if __name__ == "__main__":
    main(Path(sys.argv[1]))
