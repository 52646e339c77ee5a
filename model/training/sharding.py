"""A task cut among all processes, by FSDP2: each keeps a part of every weight.

What is made of weights is cut likewise: gradients, averages, what optimizers remember. What is
gathered or cut here, all processes gather or cut at once.
"""

from collections.abc import Iterator
from copy import deepcopy
from typing import Any

import torch
from diffusers import UNet2DConditionModel
from torch import Tensor, nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard
from torch.distributed.tensor import DTensor, distribute_tensor
from transformers import T5EncoderModel


def sharded(task: nn.Module, device: torch.device, processes: int) -> nn.Module:
    """A copy of a task on the devices of all processes, each weight cut in as many parts.

    Each block of a U-Net is whole while it computes, and so is a text encoder; what lies around
    them is whole from the beginning of a step to its end.
    """
    parts = deepcopy(task)
    for weight in parts.parameters():
        weight.data = weight.data.contiguous()  # FSDP takes no channels_last
    mesh = init_device_mesh(device.type, (processes,))
    for block in [*_blocks(parts), parts]:
        fully_shard(block, mesh=mesh)
    return parts


def _blocks(task: nn.Module) -> Iterator[nn.Module]:
    for module in task.modules():
        if isinstance(module, UNet2DConditionModel):
            yield from (*module.down_blocks, *module.up_blocks)
            if module.mid_block is not None:
                yield module.mid_block
        elif isinstance(module, T5EncoderModel):
            yield module


def whole(tensor: Tensor) -> Tensor:
    """The same, gathered where it is sharded."""
    return tensor.full_tensor() if isinstance(tensor, DTensor) else tensor


def cut_as(weight: Tensor, value: Tensor) -> Tensor:
    """The value, whole and of a weight's shape, sharded as the weight is, if it is."""
    if not isinstance(weight, DTensor):
        return value
    return distribute_tensor(value, weight.device_mesh, weight.placements, src_data_rank=None)


def gathered(state: Any, keep: bool) -> Any:
    """The same dicts and lists, with what is sharded in them whole, on the CPU.

    keep: whether this process needs it; another gives its parts, and has None in their place.
    """
    match state:
        case DTensor():
            tensor = state.full_tensor()
            return tensor.cpu() if keep else None
        case dict():
            return {name: gathered(each, keep) for name, each in state.items()}
        case list():
            return [gathered(each, keep) for each in state]
        case _:
            return state
