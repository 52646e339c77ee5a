"""Tensors survive the queue."""

import pytest
import torch

from workers import tensors


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32])
def test_shape_type_and_values_come_back(dtype: torch.dtype) -> None:
    tensor = torch.randn(3, 5, 7).to(dtype).permute(2, 0, 1)
    back = tensors.from_bytes(tensors.to_bytes(tensor))
    assert back.dtype == dtype
    assert torch.equal(back, tensor)
