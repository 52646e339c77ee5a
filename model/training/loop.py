"""The training loop: steps, rate decay, averages, checkpoints that resume. Knows no data."""

import contextlib
import json
import math
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from model.training.muon import Muon
from model.training.weights import AveragedWeights, MasterWeights


@dataclass(frozen=True)
class TrainingConfig:
    """How long and how fast. The rates fall linearly to zero at `images`: choose it first."""

    images: int
    batch: int = 40
    muon_rate: float = 0.01
    adam_rate: float = 5e-4
    warmup_steps: int = 300
    seed: int = 0
    checkpoint_every_s: float = 240.0
    log_every_steps: int = 25

    @property
    def steps(self) -> int:
        return math.ceil(self.images / self.batch)

    def rate_scale(self, step: int) -> float:
        """Linear warmup, then linear decay to zero."""
        return min((step + 1) / self.warmup_steps, 1.0) * max(0.0, 1 - step / self.steps)


@dataclass(frozen=True)
class Losses:
    """objective is what is minimised; v_loss the plain mean squared error of v, for comparing."""

    objective: Tensor
    v_loss: float


class Task(Protocol):
    """What is trained: the networks, and the loss of one random batch of their data."""

    networks: dict[str, nn.Module]

    def losses(self, batch: int, generator: torch.Generator) -> Losses: ...


class Trainer:
    """Trains a task in a folder: checkpoint.pt (resume), log.jsonl (one line a report)."""

    def __init__(self, task: Task, config: TrainingConfig, folder: Path):
        self._task = task
        self._config = config
        self._folder = folder
        self._step = 0
        self.weights = {name: MasterWeights(net) for name, net in task.networks.items()}
        self.averages = {name: AveragedWeights(w) for name, w in self.weights.items()}
        matrices, others = _split(self.weights)
        self._optimizers: list[torch.optim.Optimizer] = [
            Muon(matrices, lr=config.muon_rate),
            torch.optim.AdamW(others, lr=config.adam_rate, betas=(0.9, 0.98), weight_decay=0.01),
        ]
        folder.mkdir(parents=True, exist_ok=True)
        if self._checkpoint.exists():
            self._resume()

    @property
    def _checkpoint(self) -> Path:
        return self._folder / "checkpoint.pt"

    def run(self) -> None:
        """Train to the end of the configured length, from wherever the checkpoint stands.

        An interrupt (Ctrl-C) is saved, and resumes at the same step.
        """
        with contextlib.suppress(KeyboardInterrupt):
            self._train()
        self.save()

    def _train(self) -> None:
        saved_at = reported_at = time.monotonic()
        recent: list[float] = []
        while self._step < self._config.steps:
            recent.append(self._train_step())
            now = time.monotonic()
            if self._step % self._config.log_every_steps == 0:
                self._report(recent, now - reported_at)
                recent, reported_at = [], now
            if now - saved_at > self._config.checkpoint_every_s:
                self.save()
                saved_at = now

    def _train_step(self) -> float:
        config = self._config
        generator = torch.Generator().manual_seed((config.seed << 32) + self._step)
        losses = self._task.losses(config.batch, generator)
        if not math.isfinite(losses.v_loss):
            raise FloatingPointError(f"the loss is {losses.v_loss} at step {self._step}")
        losses.objective.backward()
        scale = config.rate_scale(self._step)
        for weights in self.weights.values():
            weights.take_gradients()
        rates = (config.muon_rate, config.adam_rate)
        for optimizer, rate in zip(self._optimizers, rates, strict=True):
            for group in optimizer.param_groups:
                group["lr"] = rate * scale
            optimizer.step()
        self._step += 1
        for name, weights in self.weights.items():
            weights.give_weights()
            self.averages[name].update(self._step)
        return losses.v_loss

    def _report(self, recent: list[float], elapsed_s: float) -> None:
        line = {
            "step": self._step,
            "images": self._step * self._config.batch,
            "v_loss": round(sum(recent) / len(recent), 5),
            "images_per_s": round(len(recent) * self._config.batch / elapsed_s, 1),
        }
        with (self._folder / "log.jsonl").open("a") as log:
            log.write(json.dumps(line) + "\n")
        print(line, flush=True)

    def save(self) -> None:
        """Write the checkpoint atomically: a kill leaves the old one or the new one."""
        state: dict[str, Any] = {
            "step": self._step,
            "config": asdict(self._config),
            "weights": {name: w.state_dict() for name, w in self.weights.items()},
            "averages": {name: a.state_dict() for name, a in self.averages.items()},
            "optimizers": [optimizer.state_dict() for optimizer in self._optimizers],
        }
        partial = self._checkpoint.with_suffix(".partial")
        torch.save(state, partial)
        partial.replace(self._checkpoint)

    def _resume(self) -> None:
        state = torch.load(self._checkpoint, weights_only=True)
        self._step = state["step"]
        for name, weights in self.weights.items():
            weights.load_state_dict(state["weights"][name])
            self.averages[name].load_state_dict(state["averages"][name])
        for optimizer, saved in zip(self._optimizers, state["optimizers"], strict=True):
            optimizer.load_state_dict(saved)


def _split(
    networks: dict[str, MasterWeights],
) -> tuple[list[nn.Parameter], list[nn.Parameter]]:
    """Muon's matrices (the U-Net's, but for its first and last convolution), and the rest."""
    matrices: list[nn.Parameter] = []
    others: list[nn.Parameter] = []
    for network, weights in networks.items():
        for name, weight in weights:
            hidden = weight.ndim >= 2 and not name.startswith(("conv_in.", "conv_out."))
            (matrices if network == "unet" and hidden else others).append(weight)
    return matrices, others


def load_averages(run: Path) -> dict[str, dict[str, Tensor]]:
    """The averaged weights of a run's latest checkpoint, by network and name."""
    checkpoint: dict[str, Any] = torch.load(run / "checkpoint.pt", weights_only=True)
    averages: dict[str, dict[str, Tensor]] = checkpoint["averages"]
    return averages
