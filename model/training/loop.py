"""The training loop: steps, averages, checkpoints that resume. Knows no data and no networks.

Everything random follows from seed and position.
"""

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from model.errors import InvalidTraining, TrainingFailed
from model.training.checkpoints import Checkpoints
from model.training.config import Training
from model.training.data.examples import Batch
from model.training.ema import AveragedWeights
from model.training.feed import Feed, Movable, Part, Positioned, Share
from model.training.interrupts import Interrupted, Interrupts
from model.training.optimizers import load_state, new_optimizers, rate_scale, set_rates
from model.training.patience import Patience
from model.training.processes import computing_in, new_accelerator, placed
from model.training.randomness import Draws
from model.training.reports import Since, Watcher
from model.training.sharding import cut_as, gathered, sharded, whole
from model.training.tasks import Errors


class Trainer:
    """Steps a task through its examples, from the last checkpoint in the folder, if there is one.

    task: (batch, draws) -> Errors; its weights that require gradients are trained. collate: makes
    a batch of examples. workers: processes that read ahead. of: what else a run cannot change
    halfway, by the name of its field. Raises InvalidTraining where the checkpoint is of another
    run.
    """

    def __init__(
        self,
        task: nn.Module,
        examples: Positioned,
        training: Training,
        folder: Path,
        workers: int = 0,
        collate: Callable[[list[Any]], Movable] = Batch.of,
        of: Mapping[str, str] | None = None,
    ):
        self._training = training
        self._feed = Feed(examples, collate, workers)
        self._accelerator = new_accelerator()
        if training.threads is not None:
            torch.set_num_threads(training.threads)
        processes = self._accelerator.num_processes
        self._is_sharded = training.sharded and processes > 1
        self._shown = task  # has the averages when they are looked at, whole
        if self._is_sharded:
            self._task = self._wrapped = sharded(task, self.device, processes)
        else:
            self._task, self._wrapped = task, self._accelerator.prepare(task)
        self._optimizers = new_optimizers(self._task, training)
        self._average = AveragedWeights(self._task, training.ema, task)
        self._patience = Patience(training.patience)
        self._folder = folder
        self._checkpoints = Checkpoints(folder / "checkpoints", training.keep)
        self._of = {
            "batch": str(training.batch),
            "seed": str(training.seed),
            "muon_rate": "none" if training.muon_rate is None else "given",
            **(of or {}),
        }
        self.step = 0
        self._resume()
        self._saved = self.step

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
        """The task has the averaged weights meanwhile; all processes open it at once."""
        with self._average.in_place():
            yield

    def keep_averages(self) -> None:
        """Leave the averaged weights in the task; all processes call it."""
        self._average.keep()

    def run(self, watcher: Watcher) -> None:
        """Train to the end. An interrupt (Ctrl-C) is saved after the step, then goes on its way.

        Raises TrainingFailed that names the step where loss or gradient are not finite.
        """
        with Interrupts() as interrupts:
            try:
                self._train(watcher, interrupts)
            except BaseException as error:
                # With one that fails alone, the others would gather no shards.
                if not self._is_sharded or isinstance(error, (Interrupted, TrainingFailed)):
                    self._save()
                raise
            self._save()

    def _train(self, watcher: Watcher, interrupts: Interrupts) -> None:
        if self._patience.is_out:
            if self.is_main:
                watcher.say(f"step {self.step}: stopped before by `patience`: raise it to go on")
            return
        training = self._training
        saved_at = time.monotonic()
        since = Since(self.step)
        for parts in self._feed.steps(self._share(), self.step, self.device):
            since.add(self._train_step(parts))
            if self.step % training.report_every_steps == 0 or self.step == training.steps:
                report = since.report(self.step, training, rate_scale(training, self.step - 1))
                since = Since(self.step)
                if self.is_main:
                    watcher.report(report)
            is_due = time.monotonic() - saved_at > training.checkpoint_every_s
            is_interrupted, is_due = self._agreed(interrupts.are_noted, is_due)
            if is_interrupted:
                raise Interrupted
            if self.step % training.look_every_steps == 0 and self._look(watcher):
                return
            if is_due:
                self._save()
                saved_at = time.monotonic()

    def _share(self) -> Share:
        accelerator = self._accelerator
        return Share(self._training, accelerator.process_index, accelerator.num_processes)

    def _train_step(self, parts: list[Part]) -> Tensor:
        """One step of the optimizers: [2], the mean loss and error of the whole batch."""
        accelerator = self._accelerator
        *earlier, last = parts
        # Gradients go round once a step; those of shards after each part, which saves memory.
        with accelerator.no_sync(self._wrapped):
            means = [self._backward(*part) for part in earlier]
        means.append(self._backward(*last))
        mean: Tensor = accelerator.reduce(torch.stack(means).mean(dim=0), "mean")
        self._clip(float(mean[0]))
        set_rates(self._optimizers, rate_scale(self._training, self.step))
        for optimizer in self._optimizers:
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
        self.step += 1
        self._average.update(self.step)
        return mean

    def _backward(self, batch: Movable, positions: range) -> Tensor:
        """Add to the gradients: [2], the mean loss and error of a part."""
        training = self._training
        draws = Draws.of(training.seed, positions, training.batch)
        draws.seed_dropout()
        with computing_in(training.precision, self.device):
            found: Errors = self._wrapped(batch, draws)
        loss = found.objective.mean()
        self._accelerator.backward(loss / training.accumulation)
        return torch.stack([loss.detach(), found.plain.mean()])

    def _clip(self, loss: float) -> None:
        """Clip the gradients. Those that are not finite fail before the weights see them.

        So the checkpoint that is left is sound. All processes have the same, and fail together.
        """
        clip = self._training.clip
        norm = whole(self._accelerator.clip_grad_norm_(self._task.parameters(), clip))
        if not torch.isfinite(norm):
            raise TrainingFailed(
                f"the loss is {loss} and the norm of its gradient {float(norm)} at step"
                f" {self.step + 1}: start again with a lower `rate` or `clip`, from an earlier"
                " checkpoint where that is not enough (delete the last)"
            )

    def _look(self, watcher: Watcher) -> bool:
        """Whether patience is out: all processes hear of the error that the main one found."""
        found = torch.zeros(2, device=self.device)  # whether there is an error, and the error
        with self.averaged():
            if self.is_main:
                with placed(self._shown, self.device):
                    error = watcher.look(self.step)
                if error is not None:
                    found += torch.tensor([1.0, error], device=self.device)
        is_found, error = self._accelerator.reduce(found, "sum").tolist()
        if is_found:
            self._patience.note(error)
        if self.is_main and self._patience.is_out:
            watcher.say(
                f"step {self.step}: stopped, since {self._patience.best:.5f} was not bettered"
            )
        return self._patience.is_out

    def _agreed(self, *happened: bool) -> list[bool]:
        """What happened in any process, so that all do the same after the same step."""
        counts = torch.tensor(happened, dtype=torch.float32, device=self.device)
        return [count > 0 for count in self._accelerator.reduce(counts, "sum").tolist()]

    def _save(self) -> None:
        """By all processes, where shards are to be gathered for the main one."""
        if self.step == self._saved:
            return
        state: dict[str, Any] = {
            "of": self._of,
            "step": self.step,
            "weights": {name: weight.detach() for name, weight in self._trained().items()},
            "average": self._average.state_dict(),
            "optimizers": [optimizer.state_dict()["state"] for optimizer in self._optimizers],
            "patience": self._patience.state_dict(),
        }
        state = gathered(state, keep=self.is_main)
        if self.is_main:
            self._checkpoints.save(self.step, state)
        self._saved = self.step

    def _trained(self) -> dict[str, nn.Parameter]:
        named = self._task.named_parameters()
        return {name: weight for name, weight in named if weight.requires_grad}

    @torch.no_grad()
    def _resume(self) -> None:
        state = self._checkpoints.load()
        if state is not None:
            self._check_same(state)
            self.step = state["step"]
            for name, weight in self._trained().items():
                weight.copy_(cut_as(weight, state["weights"][name]))
            self._average.load_state_dict(state["average"])
            for optimizer, saved in zip(self._optimizers, state["optimizers"], strict=True):
                load_state(optimizer, saved)
            self._patience.load_state_dict(state["patience"])
        self._check_shared()

    def _check_same(self, state: dict[str, Any]) -> None:
        for field, now in self._of.items():
            then = state["of"].get(field)
            if then != now:
                raise InvalidTraining(
                    f"{field}: the run in {self._folder} was begun with {then}, and now it is"
                    f" {now}: put it back, or delete that folder to begin anew"
                )
        shapes = {name: weight.shape for name, weight in self._trained().items()}
        if shapes != {name: weight.shape for name, weight in state["weights"].items()}:
            raise InvalidTraining(
                f"network: the run in {self._folder} was begun with another one: put it back, or"
                " delete that folder to begin anew"
            )

    def _check_shared(self) -> None:
        """Processes on several machines must see one folder."""
        steps = self._accelerator.gather(torch.tensor([self.step], device=self.device))
        if len(set(steps.tolist())) > 1:
            raise InvalidTraining(
                f"folder: {self._folder} is not the same one for all processes: give one that they"
                " share"
            )
