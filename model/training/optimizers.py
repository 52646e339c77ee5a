"""Which weights are stepped how, and how fast at which step."""

from collections.abc import Iterable, Mapping
from typing import Any

import torch
from torch import nn

from model.training.config import Training
from model.training.muon import Muon
from model.training.sharding import cut_as

_ADAM_BETAS = (0.9, 0.98)
_COOLDOWN_SHARE = 0.25
_NOT_HIDDEN = ("conv_in.", "conv_out.", "shared.", "embed_tokens.", "relative_attention_bias.")
"""Parts of names of matrices that are no hidden layer: the ends of a network, and embeddings."""


def new_optimizers(network: nn.Module, training: Training) -> list[torch.optim.Optimizer]:
    """For the weights that are trained: AdamW, and Muon for hidden layers where it has a rate."""
    trained = [
        (name, weight) for name, weight in network.named_parameters() if weight.requires_grad
    ]
    hidden = [weight for name, weight in trained if _is_hidden(name, weight)]
    if training.muon_rate is None or not hidden:
        return [_adam((weight for _, weight in trained), training)]
    of_muon = {id(weight) for weight in hidden}
    others = [weight for _, weight in trained if id(weight) not in of_muon]
    muon = Muon(hidden, lr=training.muon_rate)
    return [muon, _adam(others, training)] if others else [muon]


def _adam(weights: Iterable[nn.Parameter], training: Training) -> torch.optim.Optimizer:
    return torch.optim.AdamW(
        weights, lr=training.rate, betas=_ADAM_BETAS, weight_decay=training.weight_decay
    )


def _is_hidden(name: str, weight: nn.Parameter) -> bool:
    return weight.ndim >= 2 and not any(part in name for part in _NOT_HIDDEN)


def rate_scale(training: Training, step: int) -> float:
    """What the rates are multiplied by at a step, the first being 0.

    Linear warmup; then they stay, fall to zero by the end, or, as a trapezoid, fall over the last
    quarter (Haegele et al. 2024, "Scaling laws and compute-optimal training beyond fixed training
    durations"), so that a run can be made longer until then.
    """
    warmup = min((step + 1) / training.warmup_steps, 1.0) if training.warmup_steps else 1.0
    done = min(step / training.steps, 1.0)
    match training.schedule:
        case "constant":
            fall = 1.0
        case "linear":
            fall = 1 - done
        case "cosine":
            fall = float((1 + torch.cos(torch.tensor(torch.pi * done))) / 2)
        case "trapezoid":
            fall = min(1.0, (1 - done) / _COOLDOWN_SHARE)
    return warmup * fall


def set_rates(optimizers: Iterable[torch.optim.Optimizer], scale: float) -> None:
    """Multiply each group's own rate, kept as `initial_lr`, by the scale."""
    for optimizer in optimizers:
        for group in optimizer.param_groups:
            group["lr"] = group.setdefault("initial_lr", group["lr"]) * scale


def load_state(optimizer: torch.optim.Optimizer, saved: Mapping[int, Mapping[str, Any]]) -> None:
    """Go on from what a checkpoint kept of each weight, by its number, whole.

    Rates and decays stay: they are those of the training file, which may have been changed.
    """
    weights = [weight for group in optimizer.param_groups for weight in group["params"]]
    state = {
        number: {
            name: torch.empty_like(weights[number]).copy_(cut_as(weights[number], value))
            if value.shape == weights[number].shape  # a count of steps is not
            else value
            for name, value in of_one.items()
        }
        for number, of_one in saved.items()
    }
    groups = optimizer.state_dict()["param_groups"]
    optimizer.load_state_dict({"state": state, "param_groups": groups})
