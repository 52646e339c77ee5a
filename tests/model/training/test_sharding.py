"""A task is cut block by block, and what it was cut from stays as it is."""

from collections import OrderedDict
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
import torch.distributed as dist
from diffusers import UNet2DConditionModel
from torch import nn
from torch.distributed.fsdp import FSDPModule
from torch.distributed.tensor import DTensor
from transformers import T5EncoderModel

from model.training.sharding import cut_as, gathered, sharded, whole


@pytest.fixture
def _group_of_one(tmp_path: Path) -> Iterator[None]:
    dist.init_process_group("gloo", f"file://{tmp_path}/joined", rank=0, world_size=1)
    yield
    dist.destroy_process_group()


@pytest.mark.usefixtures("_group_of_one")
def test_blocks_are_gathered_each_by_itself(tiny_cascade: Path) -> None:
    unet = UNet2DConditionModel.from_pretrained(tiny_cascade / "base" / "unet")
    encoder = T5EncoderModel.from_pretrained(tiny_cascade / "base" / "text_encoder")
    unet.to(memory_format=torch.channels_last)
    task = nn.Sequential(OrderedDict(unet=unet, encoder=encoder))
    before = {name: weight.detach().clone() for name, weight in task.named_parameters()}

    parts = sharded(task, torch.device("cpu"), processes=1)
    units = {name for name, module in parts.named_modules() if isinstance(module, FSDPModule)}
    blocks = {"down_blocks.0", "down_blocks.1", "mid_block", "up_blocks.0", "up_blocks.1"}
    assert units == {"", "encoder"} | {f"unet.{name}" for name in blocks}
    assert not any(isinstance(weight, DTensor) for weight in task.parameters())
    for name, weight in parts.named_parameters():
        again = cut_as(weight, before[name] + 1)
        assert isinstance(weight, DTensor)
        assert isinstance(again, DTensor)
        assert again.placements == weight.placements
        assert torch.equal(whole(weight), before.pop(name))
        assert torch.equal(whole(again), whole(weight) + 1)
    assert not before


@pytest.mark.usefixtures("_group_of_one")
def test_who_keeps_nothing_gathers_all_the_same() -> None:
    parts = sharded(nn.Linear(2, 3), torch.device("cpu"), processes=1)
    state = {"step": 1, "weights": [weight.detach() for weight in parts.parameters()]}
    kept = gathered(state, keep=True)
    assert [type(weight) for weight in kept["weights"]] == [torch.Tensor, torch.Tensor]
    assert gathered(state, keep=False) == {"step": 1, "weights": [None, None]}
