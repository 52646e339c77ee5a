"""Where a run computes: on one device, or on several, which accelerate joins."""

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager

import torch
from accelerate import Accelerator
from torch import nn

from model.errors import InvalidTraining
from model.training.feed import Share
from model.training.training_file import TrainingFile

_SHARDING = ("DEEPSPEED", "FSDP", "MEGATRON_LM")


def check_processes(told: TrainingFile) -> None:
    """That they can run every stage, before the first one is trained. Raises InvalidTraining."""
    accelerator = new_accelerator()
    if accelerator.distributed_type in _SHARDING:
        raise InvalidTraining(
            f"accelerate is set to {accelerator.distributed_type}, and it is a stage's `training`"
            " that shards a network: choose multi-GPU without it in `accelerate config`, and where"
            " memory is short, `sharded = true` or a higher `accumulation`"
        )
    trainings = {f"stages.{stage.name}.training": stage.training for stage in told.stages}
    for where, training in {"text.training": told.text.training, **trainings}.items():
        if training is not None:
            try:
                Share(training, processes=accelerator.num_processes)
            except InvalidTraining as error:
                raise InvalidTraining(f"{where}.{error}") from error


def new_accelerator() -> Accelerator:
    """What moves networks and gradients between devices.

    Neither the number type nor accumulation is its business: it has one of each for all stages.
    """
    return Accelerator(mixed_precision="no")


def computing_in(precision: str, device: torch.device) -> AbstractContextManager[None]:
    """Forwards within compute in bfloat16 where that is safe, if `precision` is bf16."""
    return torch.autocast(device.type, torch.bfloat16, enabled=precision == "bf16")


@contextmanager
def placed(network: nn.Module, device: torch.device) -> Iterator[None]:
    """The network is on the device meanwhile."""
    before = next(network.parameters()).device
    network.to(device)
    try:
        yield
    finally:
        network.to(before)
