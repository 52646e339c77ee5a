"""Checkpoints: whole or not at all, the last few kept."""

from pathlib import Path

import pytest
import torch

from model.errors import InvalidTraining, TrainingFailed
from model.training.checkpoints import Checkpoints


def test_the_last_few_are_kept_and_the_last_is_loaded(tmp_path: Path) -> None:
    checkpoints = Checkpoints(tmp_path / "there", keep=2)
    assert checkpoints.load() is None
    for step in (8, 9, 10):
        checkpoints.save(step, {"step": step, "weights": torch.full((3,), step)})
    assert checkpoints.steps() == [9, 10]
    loaded = Checkpoints(tmp_path / "there", keep=2).load()
    assert loaded is not None
    assert loaded["step"] == 10
    assert loaded["weights"].tolist() == [10, 10, 10]


def test_a_kill_while_one_is_written_leaves_the_one_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    checkpoints = Checkpoints(tmp_path, keep=1)
    checkpoints.save(1, {"step": 1})
    save = torch.save

    def save_half(state: object, file: object) -> None:
        save({"half": torch.zeros(10)}, file)  # type: ignore[arg-type]
        raise KeyboardInterrupt

    monkeypatch.setattr(torch, "save", save_half)
    with pytest.raises(KeyboardInterrupt):
        checkpoints.save(2, {"step": 2})
    monkeypatch.undo()
    assert checkpoints.steps() == [1]
    assert checkpoints.load() == {"step": 1}
    checkpoints.save(2, {"step": 2})
    assert [file.name for file in tmp_path.iterdir()] == ["step-2.pt"]


def test_one_that_is_broken_is_named(tmp_path: Path) -> None:
    checkpoints = Checkpoints(tmp_path, keep=3)
    checkpoints.save(1, {"weights": torch.zeros(100)})
    file = tmp_path / "step-2.pt"
    for content in (b"", b"nonsense", (tmp_path / "step-1.pt").read_bytes()[:300]):
        file.write_bytes(content)
        with pytest.raises(InvalidTraining, match=f"{file} cannot be read: delete it"):
            checkpoints.load()
    file.unlink()
    assert checkpoints.load() is not None


def test_a_full_disk_is_told_and_nothing_is_left(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    checkpoints = Checkpoints(tmp_path, keep=1)
    checkpoints.save(7, {"step": 7})

    def full(state: object, file: object) -> None:
        raise RuntimeError("[enforce fail at inline_container.cc:672] . unexpected pos")

    monkeypatch.setattr(torch, "save", full)
    with pytest.raises(TrainingFailed, match=r"step 8 cannot be written .* goes on from step 7"):
        checkpoints.save(8, {"step": 8})
    assert [file.name for file in tmp_path.iterdir()] == ["step-7.pt"]


def test_other_files_are_no_checkpoints(tmp_path: Path) -> None:
    (tmp_path / "step-99 (copy).pt").write_bytes(b"")
    assert Checkpoints(tmp_path, keep=1).steps() == []
