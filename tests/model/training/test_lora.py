"""An adapter that was trained here draws the same here, in diffusers, and beside another one."""

from pathlib import Path
from typing import Any

import pytest
import torch
from diffusers import IFPipeline, UNet2DConditionModel
from torch import Tensor

from model.loading.adapter_file import AdapterFile
from model.loading.folder import Folder
from model.network import Network, Rows
from model.placement import Placement
from model.training.lora import add_lora, save_lora

# peft says so of every second adapter.
pytestmark = pytest.mark.filterwarnings("ignore:Already found a `peft_config` attribute")

ROWS = 3
TEXT_WIDTH, SIZE_PX = 32, 20


@pytest.fixture(scope="module")
def trained(if_folders: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two adapters of IF's stage one, of two steps each."""
    folder = tmp_path_factory.mktemp("trained")
    for seed, (name, rank, alpha) in enumerate([("ink", 4, 2.0), ("clay", 2, 3.0)]):
        train(new_unet(if_folders), rank, alpha, seed, folder / name)
    return folder


def new_unet(if_folders: Path) -> Any:
    return UNet2DConditionModel.from_pretrained(if_folders / "one" / "unet")


def train(unet: Any, rank: int, alpha: float, seed: int, folder: Path) -> None:
    before = {name: weight.clone() for name, weight in unet.state_dict().items()}
    weights = add_lora(unet, rank, alpha)
    optimizer = torch.optim.AdamW(weights, lr=0.1)
    rows = some_rows(seed)
    for _ in range(2):
        predict(unet, rows).square().mean().backward()
        optimizer.step()
        optimizer.zero_grad()
    save_lora(unet, folder)
    for name, weight in unet.state_dict().items():
        if "lora" not in name:
            assert torch.equal(weight, before[name.replace(".base_layer", "")])


def some_rows(seed: int, scales: Tensor | None = None) -> Rows:
    generator = torch.Generator().manual_seed(seed)
    return Rows(
        torch.randn(ROWS, 3, SIZE_PX, SIZE_PX, generator=generator),
        torch.full((ROWS,), 500),
        torch.randn(ROWS, 5, TEXT_WIDTH, generator=generator),
        adapter_scales=scales,
    )


def predict(unet: Any, rows: Rows) -> Tensor:
    prediction: Tensor = unet(rows.x, rows.timesteps, rows.text, return_dict=False)[0]
    return prediction


def test_only_the_attention_is_trained_and_all_of_it(if_folders: Path) -> None:
    unet = new_unet(if_folders)
    before = predict(unet, some_rows(0))
    weights = add_lora(unet, rank=4, alpha=4)
    assert torch.equal(predict(unet, some_rows(0)), before)
    attentions = [name for name, _ in unet.named_modules() if name.endswith("to_q")]
    assert len(weights) == 2 * 6 * len(attentions)
    assert {id(weight) for weight in weights} == {
        id(weight) for weight in unet.parameters() if weight.requires_grad
    }


@pytest.mark.parametrize("asked", [{"ink": 1.0}, {"ink": 0.5}, {"ink": 0.5, "clay": 1.0}], ids=str)
@torch.inference_mode()
def test_here_it_draws_what_diffusers_draws_with_it(
    if_folders: Path, trained: Path, asked: dict[str, float]
) -> None:
    pipeline = IFPipeline.from_pretrained(
        if_folders / "one", text_encoder=None, tokenizer=None, safety_checker=None, watermarker=None
    )
    for name in asked:
        pipeline.load_lora_weights(trained / name, adapter_name=name)
    pipeline.set_adapters(list(asked), list(asked.values()))
    expected = predict(pipeline.unet, some_rows(9))

    unet, here = new_unet(if_folders), Placement(torch.device("cpu"), torch.float32)
    files = [AdapterFile(name, Folder(trained / name), unet, here) for name in ("clay", "ink")]
    network = Network(unet, adapters=[file.load() for file in files])
    scales = torch.tensor([[asked.get(name, 0.0) for name in network.adapters]])
    drawn = network(some_rows(9, scales.expand(ROWS, -1)))
    torch.testing.assert_close(drawn, expected, rtol=0, atol=1e-5)
    assert (drawn - network(some_rows(9))).abs().max() > 1e-2
