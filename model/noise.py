"""Noise as a pure function of what it is for: no crash, batch or worker can change it."""

import hashlib

import torch
from torch import Tensor


def noise(seed: int, purpose: str, shape: tuple[int, ...]) -> Tensor:
    """Standard normal noise, float32 on the CPU.

    seed: the image's own. purpose: names the one use, such as "64/initial" or "64/step/7". The same
    two give the same noise on every device, since it is always drawn on the CPU.
    """
    digest = hashlib.blake2b(f"{seed}/{purpose}".encode(), digest_size=8).digest()
    generator = torch.Generator().manual_seed(int.from_bytes(digest, "big") >> 1)
    return torch.randn(shape, generator=generator)
