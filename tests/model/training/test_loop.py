"""The loop on a regression small enough to run in a moment."""

import os
import signal
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from model.errors import InvalidTraining, TrainingFailed
from model.training.loop import Trainer
from tests.model.training.regression import (
    Points,
    Regression,
    StopsAt,
    Watching,
    new_trainer,
    training,
    weights,
)


def run(trainer: Trainer) -> Watching:
    watching = Watching()
    trainer.run(watching)
    return watching


def assert_equal(some: Sequence[Tensor], others: Sequence[Tensor]) -> None:
    assert len(some) == len(others)
    assert all(torch.equal(a, b) for a, b in zip(some, others, strict=True))


def checkpoints(folder: Path) -> list[str]:
    return sorted(file.name for file in (folder / "checkpoints").iterdir())


def test_the_loss_falls_and_is_told(tmp_path: Path) -> None:
    watching = run(new_trainer(tmp_path, training(report_every_steps=10)))
    assert [report.step for report in watching.reports] == [10, 20, 30, 40]
    first, last = watching.reports[0], watching.reports[-1]
    assert last.loss < 0.9 * first.loss
    assert last.loss == pytest.approx(2 * last.error)
    assert last.left_s == 0
    assert watching.looks == [10, 20, 30, 40]


@pytest.mark.parametrize(
    "told",
    [
        {},
        {"accumulation": 2},
        {"muon_rate": 0.02},
        {"precision": "bf16"},
        {"schedule": "trapezoid", "clip": float("inf")},
    ],
    ids=str,
)
def test_a_resumed_run_equals_an_uninterrupted_one(tmp_path: Path, told: dict[str, Any]) -> None:
    """Dropout too, which draws from torch's own generator."""
    config = training(**told)
    whole = new_trainer(tmp_path / "whole", config, task=Regression(dropout=0.5))
    losses = run(whole).losses
    stopped, rest = StopsAt(17), Watching()
    with pytest.raises(KeyboardInterrupt):
        new_trainer(tmp_path / "parts", config, task=Regression(dropout=0.5)).run(stopped)
    torch.manual_seed(99)
    resumed = new_trainer(tmp_path / "parts", config, task=Regression(dropout=0.5))
    assert resumed.step == 17
    resumed.run(rest)
    assert stopped.losses | rest.losses == losses
    assert_equal(weights(resumed), weights(whole))


def test_it_resumes_from_any_checkpoint_that_is_kept(tmp_path: Path) -> None:
    config = training(checkpoint_every_s=1e-9, keep=5)
    whole = new_trainer(tmp_path, config)
    losses = run(whole).losses
    kept = checkpoints(tmp_path)
    assert kept == [f"step-{step}.pt" for step in range(36, 41)]
    for name in kept[2:]:
        (tmp_path / "checkpoints" / name).unlink()
    resumed = new_trainer(tmp_path, config)
    assert resumed.step == 37
    assert run(resumed).losses == {step: losses[step] for step in (38, 39, 40)}
    assert_equal(weights(resumed), weights(whole))


@pytest.mark.filterwarnings("ignore:This DataLoader will create 2 worker processes")
@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_processes_that_read_ahead_change_nothing(tmp_path: Path) -> None:
    alone = new_trainer(tmp_path / "alone", training(images=100))
    helped = new_trainer(tmp_path / "helped", training(images=100), workers=2)
    assert run(helped).losses == run(alone).losses
    assert_equal(weights(helped), weights(alone))


def test_a_batch_in_parts_is_the_same_batch(tmp_path: Path) -> None:
    whole = new_trainer(tmp_path / "whole", training())
    parts = new_trainer(tmp_path / "parts", training(accumulation=5))
    assert run(parts).losses == pytest.approx(run(whole).losses, rel=1e-5)
    for a, b in zip(weights(parts), weights(whole), strict=True):
        torch.testing.assert_close(a, b)


def test_gradients_of_the_parts_come_to_those_of_the_batch(tmp_path: Path) -> None:
    """Which Adam alone would not show: it steps as far whatever their length."""
    gradients: dict[int, Tensor] = {}
    for accumulation in (1, 5):
        task = Regression()

        def note(weight: Tensor, parts: int = accumulation) -> None:
            assert weight.grad is not None
            gradients[parts] = weight.grad.clone()

        task.linear.weight.register_post_accumulate_grad_hook(note)
        told = training(images=10, accumulation=accumulation)
        run(new_trainer(tmp_path / str(accumulation), told, task=task))
    torch.testing.assert_close(gradients[5], gradients[1])


def test_each_example_is_seen_once_and_in_order(tmp_path: Path) -> None:
    seen: list[int] = []

    class Noted(Points):
        def __getitem__(self, position: int) -> Tensor:
            seen.append(position)
            return super().__getitem__(position)

    run(new_trainer(tmp_path, training(images=45, accumulation=2), examples=Noted()))
    assert seen == list(range(50))


def test_a_loss_that_is_not_finite_stops_before_the_weights_see_it(tmp_path: Path) -> None:
    config = training(accumulation=2)
    trainer = new_trainer(tmp_path, config, examples=Points(broken_from=125))
    with pytest.raises(TrainingFailed, match=r"the loss is nan .* at step 13: .* lower `rate`"):
        run(trainer)
    sound = new_trainer(tmp_path, config)
    assert sound.step == 12
    assert all(weight.isfinite().all() for weight in weights(sound))
    assert_equal(weights(sound), weights(trainer))


def test_a_gradient_that_is_not_finite_stops_likewise(tmp_path: Path) -> None:
    class Rooted(Regression):
        def forward(self, *given: Any) -> Any:
            found = super().forward(*given)
            at_zero = (self.linear.weight * 0).abs().sum().sqrt()  # of infinite slope
            return type(found)(found.objective + at_zero, found.plain)

    trainer = new_trainer(tmp_path, training(), task=Rooted())
    with pytest.raises(TrainingFailed, match=r"the loss is \d.* gradient nan at step 1:"):
        run(trainer)
    assert all(weight.isfinite().all() for weight in weights(trainer))
    assert checkpoints(tmp_path) == []


def test_a_rate_that_is_lowered_holds_after_resuming(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        new_trainer(tmp_path, training(schedule="constant")).run(StopsAt(20))
    lower = new_trainer(tmp_path, training(schedule="constant", rate=1e-9, weight_decay=0))
    before = [weight.clone() for weight in lower._trained().values()]
    assert {report.rate for report in run(lower).reports} == {1e-9}
    for a, b in zip(before, lower._trained().values(), strict=True):
        torch.testing.assert_close(a, b, rtol=0, atol=1e-7)


def test_a_finished_run_trains_no_more_unless_it_is_made_longer(tmp_path: Path) -> None:
    finished = new_trainer(tmp_path, training())
    run(finished)
    again = new_trainer(tmp_path, training())
    assert run(again).reports == []
    assert_equal(weights(again), weights(finished))
    assert list(run(new_trainer(tmp_path, training(images=420))).losses) == [41, 42]


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        ({"batch": 20}, "batch: the run in .* was begun with 10, and now it is 20: put it back"),
        ({"seed": 1}, "seed: the run in .* was begun with 0, and now it is 1"),
        ({"muon_rate": 0.1}, "muon_rate: the run in .* was begun with none, and now it is given"),
    ],
)
def test_what_would_shift_what_is_seen_cannot_be_changed_halfway(
    tmp_path: Path, changed: dict[str, Any], told: str
) -> None:
    run(new_trainer(tmp_path, training(images=20)))
    with pytest.raises(InvalidTraining, match=told):
        new_trainer(tmp_path, training(**changed))


def test_a_checkpoint_of_another_network_is_refused(tmp_path: Path) -> None:
    run(new_trainer(tmp_path, training(images=20), of={"prediction": "v_prediction"}))
    other = Regression()
    other.linear = nn.Linear(4, 4, bias=False)
    other.unet = nn.Sequential(other.linear)
    with pytest.raises(InvalidTraining, match=r"network: the run in .* another one"):
        new_trainer(tmp_path, training(), task=other, of={"prediction": "v_prediction"})
    with pytest.raises(
        InvalidTraining, match=r"prediction: .* begun with v_prediction, .* epsilon"
    ):
        new_trainer(tmp_path, training(), of={"prediction": "epsilon"})


def test_it_stops_when_looks_bring_nothing_better(tmp_path: Path) -> None:
    patient = Watching(0.5, 0.3, 0.4, 0.3, 0.1)
    trainer = new_trainer(tmp_path, training(look_every_steps=5, patience=2))
    trainer.run(patient)
    assert patient.looks == [5, 10, 15, 20]
    assert patient.said == ["step 20: stopped, since 0.30000 was not bettered"]
    assert trainer.step == 20
    assert run(new_trainer(tmp_path, training(look_every_steps=5, patience=2))).reports == []


def test_patience_outlasts_an_interruption(tmp_path: Path) -> None:
    class Stops(Watching):
        def report(self, report: Any) -> None:
            super().report(report)
            if report.step == 13:
                raise KeyboardInterrupt

    config = training(look_every_steps=5, patience=2)
    with pytest.raises(KeyboardInterrupt):
        new_trainer(tmp_path, config).run(Stops(0.3, 0.4))
    rest = Watching(0.35, 0.1)
    new_trainer(tmp_path, config).run(rest)
    assert rest.looks == [15]


def test_a_look_sees_the_averages_and_leaves_the_weights(tmp_path: Path) -> None:
    seen: list[Tensor] = []

    class Looks(Watching):
        def look(self, step: int) -> float | None:
            seen.extend(weight.detach().clone() for weight in trainer._trained().values())
            return None

    trainer = new_trainer(tmp_path / "looking", training(look_every_steps=40))
    trainer.run(Looks())
    assert_equal(seen, list(trainer._average.averages.values()))
    blind = new_trainer(tmp_path / "blind", training(look_every_steps=1000))
    run(blind)
    assert_equal(weights(blind), weights(trainer))
    trainer.keep_averages()
    assert_equal(seen, [weight.detach() for weight in trainer._trained().values()])


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_waits_for_the_end_of_the_step(tmp_path: Path, number: signal.Signals) -> None:
    """Twice at once, as under `accelerate launch`."""

    class Signalled(Regression):
        def forward(self, *given: Any) -> Any:
            if trainer.step == 6:
                os.kill(os.getpid(), number)
                os.kill(os.getpid(), number)
            return super().forward(*given)

    before = signal.getsignal(number)
    trainer = new_trainer(tmp_path, training(), task=Signalled())
    with pytest.raises(KeyboardInterrupt):
        run(trainer)
    assert trainer.step == 7
    assert checkpoints(tmp_path) == ["step-7.pt"]
    assert signal.getsignal(number) is before


def test_what_is_not_trained_is_neither_stepped_nor_kept(tmp_path: Path) -> None:
    task = Regression()
    frozen = task.linear.bias.requires_grad_(False)
    before = frozen.clone()
    trainer = new_trainer(tmp_path, training(), task=task)
    run(trainer)
    assert torch.equal(frozen, before)
    state = torch.load(tmp_path / "checkpoints" / "step-40.pt", weights_only=True)
    assert list(state["weights"]) == list(state["average"]) == ["linear.weight"]
