"""The training loop: steps, averages, checkpoints that resume. Knows no data and no networks.

accelerate says where and in which number type; everything random follows from seed and position.
"""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import torch
from accelerate import Accelerator
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset

from model.errors import InvalidTraining, TrainingFailed
from model.training.checkpoints import Checkpoints
from model.training.config import Training
from model.training.data.examples import Batch
from model.training.ema import AveragedWeights
from model.training.optimizers import new_optimizers, rate_scale, set_rates
from model.training.randomness import Draws
from model.training.tasks import Errors


@dataclass(frozen=True)
class Report:
    """How training stands after a step: means since the report before.

    loss: of what is minimised; error: the plain mean squared error.
    """

    step: int
    steps: int
    batch: int
    loss: float
    error: float
    rate: float
    images_per_s: float

    @property
    def left_s(self) -> float:
        return (self.steps - self.step) * self.batch / self.images_per_s


class Movable(Protocol):
    """A batch."""

    def to(self, device: torch.device) -> Any: ...


class Positioned(Protocol):
    """Examples of any kind; see data.examples.Examples."""

    def __getitem__(self, position: int) -> Any: ...


class Watcher(Protocol):
    """Who is told how training goes, on the main process."""

    def report(self, report: Report) -> None: ...

    def look(self, step: int) -> bool:
        """Look at the averaged weights, which are in place; true ends training early."""
        ...


class Trainer:
    """Steps a task through its examples, from the last checkpoint in the folder, if there is one.

    task: (batch, draws) -> Errors; its weights that require gradients are trained. collate: makes
    a batch of examples. workers: processes that read ahead.
    """

    def __init__(
        self,
        task: nn.Module,
        examples: Positioned,
        training: Training,
        folder: Path,
        workers: int = 0,
        collate: Callable[[list[Any]], Movable] = Batch.of,
    ):
        self._training = training
        self._examples = examples
        self._workers = workers
        self._collate = collate
        self._accelerator = Accelerator(
            mixed_precision=training.precision,
            gradient_accumulation_steps=training.accumulation,
        )
        self._check_division()
        self._task = task
        self._wrapped, *self._optimizers = self._accelerator.prepare(
            task, *new_optimizers(task, training)
        )
        self._average = AveragedWeights(task, training.ema)
        self._checkpoints = Checkpoints(folder / "checkpoints", training.keep)
        self.step = 0
        self._resume()

    @property
    def is_main(self) -> bool:
        """Whether this process reports and writes."""
        return bool(self._accelerator.is_main_process)

    @property
    def device(self) -> torch.device:
        device: torch.device = self._accelerator.device
        return device

    @contextmanager
    def averaged(self) -> Iterator[None]:
        """The task has the averaged weights meanwhile."""
        with self._average.in_place():
            yield

    def keep_averages(self) -> None:
        """Leave the averaged weights in the task."""
        self._average.keep()

    def run(self, watcher: Watcher) -> None:
        """Train to the end. An interrupt (Ctrl-C) is saved, then goes on its way.

        Raises TrainingFailed that names the step where the loss is not finite.
        """
        try:
            self._train(watcher)
        finally:
            self._save()

    def _train(self, watcher: Watcher) -> None:
        training = self._training
        saved_at = time.monotonic()
        since = _Since(self.step)
        for parts in self._parts():
            since.add(*self._train_step(parts))
            if self.step % training.report_every_steps == 0 or self.step == training.steps:
                report = since.report(self.step, training, rate_scale(training, self.step - 1))
                since = _Since(self.step)
                if self.is_main:
                    watcher.report(report)
            if self.step % training.look_every_steps == 0 and self._look(watcher):
                return
            if time.monotonic() - saved_at > training.checkpoint_every_s:
                self._save()
                saved_at = time.monotonic()

    def _train_step(self, parts: list[tuple[Any, range]]) -> tuple[Tensor, Tensor]:
        """One step of the optimizers; the mean loss and error of the whole batch."""
        training, accelerator = self._training, self._accelerator
        set_rates(self._optimizers, rate_scale(training, self.step))
        losses: list[Tensor] = []
        errors: list[Tensor] = []
        for batch, positions in parts:
            with accelerator.accumulate(self._wrapped):
                draws = Draws.of(training.seed, positions, training.batch)
                found: Errors = self._wrapped(batch, draws)
                self._check_finite(found)
                accelerator.backward(found.objective.mean())
                losses.append(found.objective.detach().mean())
                errors.append(found.plain.mean())
                if accelerator.sync_gradients and training.clip is not None:
                    accelerator.clip_grad_norm_(self._wrapped.parameters(), training.clip)
                for optimizer in self._optimizers:
                    optimizer.step()
                    optimizer.zero_grad(set_to_none=True)
        mean = accelerator.reduce(
            torch.stack([torch.stack(losses).mean(), torch.stack(errors).mean()]), "mean"
        )
        self.step += 1
        self._average.update(self.step)
        return mean[0], mean[1]

    def _parts(self) -> Iterator[list[tuple[Any, range]]]:
        """What is left to train on, a step at a time: this process's share of each, in parts."""
        positions = _Again(self._positions)
        loader = DataLoader(
            _Dataset(self._examples),
            batch_sampler=positions,
            collate_fn=self._collate,
            num_workers=self._workers,
            persistent_workers=self._workers > 0,
        )
        parts: list[tuple[Any, range]] = []
        for batch, each in zip(loader, positions, strict=True):
            parts.append((batch.to(self.device), each))
            if len(parts) == self._training.accumulation:
                yield parts
                parts = []

    def _positions(self) -> Iterator[range]:
        training, accelerator = self._training, self._accelerator
        size = training.batch // (accelerator.num_processes * training.accumulation)
        for step in range(self.step, training.steps):
            start = step * training.batch
            start += accelerator.process_index * training.accumulation * size
            for part in range(training.accumulation):
                yield range(start + part * size, start + (part + 1) * size)

    def _look(self, watcher: Watcher) -> bool:
        """All processes stop together, when the main one says so."""
        stop = torch.zeros((), device=self.device)
        if self.is_main:
            with self.averaged():
                stop += float(watcher.look(self.step))
        return bool(self._accelerator.reduce(stop, "sum") > 0)

    def _check_finite(self, errors: Errors) -> None:
        """Before the weights are touched, so that the checkpoint that is left is sound."""
        if not torch.isfinite(errors.objective).all():
            raise TrainingFailed(
                f"the loss is {float(errors.objective.mean())} at step {self.step + 1}: start again"
                " from an earlier checkpoint (delete the last) with a lower `rate` or `clip`"
            )

    def _check_division(self) -> None:
        training, processes = self._training, self._accelerator.num_processes
        if training.batch % (processes * training.accumulation):
            raise InvalidTraining(
                f"batch: {training.batch} cannot be cut evenly for {processes} processes and"
                f" {training.accumulation} parts (accumulation): take a multiple of"
                f" {processes * training.accumulation}"
            )

    def _save(self) -> None:
        if not self.is_main:
            return
        state: dict[str, Any] = {
            "step": self.step,
            "weights": {
                name: weight.detach()
                for name, weight in self._task.named_parameters()
                if weight.requires_grad
            },
            "average": self._average.state_dict(),
            "optimizers": [optimizer.state_dict() for optimizer in self._optimizers],
        }
        self._checkpoints.save(self.step, state)

    @torch.no_grad()
    def _resume(self) -> None:
        state = self._checkpoints.load()
        if state is None:
            return
        self.step = state["step"]
        weights = dict(self._task.named_parameters())
        for name, value in state["weights"].items():
            weights[name].copy_(value)
        self._average.load_state_dict(state["average"])
        for optimizer, saved in zip(self._optimizers, state["optimizers"], strict=True):
            optimizer.load_state_dict(saved)


@dataclass(frozen=True)
class _Again:
    """What can be gone through more than once, side by side."""

    begin: Callable[[], Iterator[Any]]

    def __iter__(self) -> Iterator[Any]:
        return self.begin()


class _Dataset(Dataset[Any]):
    """Examples as a DataLoader reads them."""

    def __init__(self, examples: Positioned):
        self._examples = examples

    def __getitem__(self, position: int) -> Any:
        return self._examples[position]


class _Since:
    """What happened since a step."""

    def __init__(self, step: int):
        self._step = step
        self._started = time.monotonic()
        self._sums = torch.zeros(2)

    def add(self, loss: Tensor, error: Tensor) -> None:
        self._sums += torch.stack([loss, error]).cpu()

    def report(self, step: int, training: Training, scale: float) -> Report:
        steps, elapsed_s = step - self._step, time.monotonic() - self._started
        loss, error = (self._sums / max(steps, 1)).tolist()
        return Report(
            step=step,
            steps=training.steps,
            batch=training.batch,
            loss=loss,
            error=error,
            rate=training.rate * scale,
            images_per_s=steps * training.batch / max(elapsed_s, 1e-9),
        )
