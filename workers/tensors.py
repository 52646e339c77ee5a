"""Tensors as bytes, for what passes between stages through the queue."""

from safetensors.torch import load, save
from torch import Tensor

_NAME = "tensor"


def to_bytes(tensor: Tensor) -> bytes:
    """Any tensor, with its shape and type, in safetensors format."""
    return save({_NAME: tensor.contiguous()})


def from_bytes(data: bytes) -> Tensor:
    """The tensor that to_bytes was given, on the CPU."""
    return load(data)[_NAME]
