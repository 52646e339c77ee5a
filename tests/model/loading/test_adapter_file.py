"""Which files are read as adapters, with which strength, and what is refused by name."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from diffusers import UNet2DConditionModel
from safetensors.torch import save_file
from torch import Tensor

from model.adapters import Adapter
from model.errors import InvalidCascade
from model.loading.adapter_file import AdapterFile
from model.loading.folder import Folder
from model.placement import Placement

QUERY = "mid_block.attentions.0.to_q"
OUT = "mid_block.attentions.0.to_out.0"
CONVOLUTION = "conv_in"
SHAPES = {QUERY: (16, 16), OUT: (16, 16), CONVOLUTION: (16, 3, 3, 3)}
RANK = 2


@pytest.fixture(scope="module")
def unet(tiny_cascade: Path) -> Any:
    """On the meta device, as it is while files are found."""
    config = UNet2DConditionModel.load_config(tiny_cascade / "base" / "unet")
    with torch.device("meta"):
        return UNet2DConditionModel.from_config(config)


def pair(layer: str) -> dict[str, Tensor]:
    """Of twos: together they add 8 for each rank."""
    outputs, *inputs = SHAPES[layer]
    return {
        f"{layer}.lora_A.weight": torch.full((RANK, *inputs), 2.0),
        f"{layer}.lora_B.weight": torch.full((outputs, RANK, *(1 for _ in inputs[1:])), 2.0),
    }


def read(path: Path, unet: Any, device: str = "cpu", dtype: torch.dtype = torch.float32) -> Adapter:
    return AdapterFile("ink", Folder(path), unet, Placement(torch.device(device), dtype)).load()


def write(folder: Path, tensors: dict[str, Tensor], config: object = None) -> Path:
    folder.mkdir(exist_ok=True)
    header = {"format": "pt"} if config is None else {"lora_adapter_metadata": json.dumps(config)}
    save_file(tensors, folder / "pytorch_lora_weights.safetensors", header)
    return folder


def strength(adapter: Adapter, layer: str = QUERY) -> float:
    return float(adapter.layers[layer].up.flatten()[0] / 2)


@pytest.mark.parametrize("prefix", ["", "unet."])
@pytest.mark.parametrize(
    ("down", "up"),
    [("{}.lora_A.weight", "{}.lora_B.weight"), ("{}.lora.down.weight", "{}.lora.up.weight")],
)
def test_names_of_today_and_of_before(
    tmp_path: Path, unet: Any, prefix: str, down: str, up: str
) -> None:
    stored: dict[str, Tensor] = {}
    for layer in SHAPES:
        first, second = pair(layer).values()
        stored |= {prefix + down.format(layer): first, prefix + up.format(layer): second}
    adapter = read(write(tmp_path, stored), unet)
    assert adapter.layers.keys() == SHAPES.keys()
    for layer, shape in SHAPES.items():
        added = adapter.layers[layer]
        assert (added.down.shape, added.up.shape[:2]) == ((RANK, *shape[1:]), (shape[0], RANK))


def test_names_of_attention_processors(tmp_path: Path, unet: Any) -> None:
    """As diffusers wrote them before 0.20."""
    attention = "mid_block.attentions.0"
    stored = {
        f"{attention}.processor.to_{which}_lora.{half}.weight": torch.ones(shape)
        for which in ("q", "out")
        for half, shape in (("down", (RANK, 16)), ("up", (16, RANK)))
    }
    assert read(write(tmp_path, stored), unet).layers.keys() == {QUERY, OUT}


def test_the_file_itself_may_be_named(tmp_path: Path, unet: Any) -> None:
    folder = write(tmp_path / "of", pair(QUERY))
    file = (folder / "pytorch_lora_weights.safetensors").rename(tmp_path / "ink.safetensors")
    assert read(file, unet).layers.keys() == {QUERY}


@pytest.mark.parametrize(
    ("config", "expected"),
    [
        (None, 1.0),
        ({"lora_alpha": 8}, 4.0),
        ({"unet.lora_alpha": 1, "unet.r": 2}, 0.5),
        ({"lora_alpha": 8, "use_rslora": True}, 8 / 2**0.5),
        ({"lora_alpha": 8, "alpha_pattern": {"to_k": 1, "attentions.0.to_q": 6, "to_q": 1}}, 3.0),
        ({"lora_alpha": 8, "alpha_pattern": {"o_q": 1, "to_qq": 1}}, 4.0),
    ],
)
def test_alpha_and_rank_are_its_strength(
    tmp_path: Path, unet: Any, config: object, expected: float
) -> None:
    adapter = read(write(tmp_path, pair(QUERY), config), unet)
    assert strength(adapter) == pytest.approx(expected)
    assert adapter.layers[QUERY].down.unique().tolist() == [2.0]


def test_a_half_type_holds_it_too(tmp_path: Path, unet: Any) -> None:
    layers = read(write(tmp_path, pair(CONVOLUTION)), unet, dtype=torch.bfloat16).layers
    assert layers[CONVOLUTION].down.dtype == layers[CONVOLUTION].up.dtype == torch.bfloat16


@pytest.mark.parametrize(
    ("stored", "config", "told"),
    [
        ({}, None, "an empty file is no part of a U-Net's LoRA"),
        (
            {"text_encoder.encoder.lora_A.weight": torch.ones(2, 2)},
            None,
            r"text_encoder\.encoder\.lora_A\.weight is no part of a U-Net's LoRA as diffusers saves"
            r" it: save the U-Net's adapter alone, by save_lora_adapter",
        ),
        (pair(QUERY) | {f"{QUERY}.alpha": torch.tensor(1.0)}, None, "to_q.alpha is no part of"),
        (
            pair(QUERY) | {f"{QUERY}.lora_magnitude_vector.weight": torch.ones(16)},
            None,
            "lora_magnitude_vector.weight is no part of",
        ),
        (
            {f"{QUERY}.lora_A.weight": torch.ones(RANK, 16)},
            None,
            "of mid_block.attentions.0.to_q only one of lora_A and lora_B is there",
        ),
        (
            {f"tail.lora_{half}.weight": torch.ones(2, 2) for half in "AB"},
            None,
            "the U-Net has no tail: name the stage it was trained on, or leave it out",
        ),
        (
            {f"mid_block.lora_{half}.weight": torch.ones(2, 2) for half in "AB"},
            None,
            "the U-Net has a UNetMidBlock2DSimpleCrossAttn, which is not adapted, mid_block",
        ),
        (
            pair(QUERY) | {f"{QUERY}.lora_A.weight": torch.ones(3, 16)},
            None,
            r"is of shapes \(3, 16\) and \(16, 2\), and the U-Net's needs \(3, 16\) and \(16, 3\)",
        ),
        (
            pair(QUERY) | {f"{QUERY}.lora_A.weight": torch.ones(2, 24)},
            None,
            r"and the U-Net's needs \(2, 16\) and \(16, 2\)",
        ),
        (
            pair(CONVOLUTION) | {f"{CONVOLUTION}.lora_A.weight": torch.ones(2, 3, 1, 1)},
            None,
            r"and the U-Net's needs \(2, 3, 3, 3\) and \(16, 2, 1, 1\)",
        ),
        (
            pair(QUERY) | {f"{QUERY}.lora_B.weight": torch.full((16, 2), torch.nan)},
            None,
            "to_q has numbers that are not finite",
        ),
        (pair(QUERY), [], "in its header: the file: "),
        (pair(QUERY), {"r": 2}, "in its header: lora_alpha: Field required"),
        (pair(QUERY), {"lora_alpha": 2, "alpha_pattern": {"(": 1}}, "in its header: alpha_pattern"),
        (
            pair(QUERY),
            {"lora_alpha": 2, "unet.use_dora": True},
            "use_dora: only plain LoRA is served; train it without",
        ),
        (
            pair(QUERY),
            {"lora_alpha": 2, "init_lora_weights": "pissa"},
            "init_lora_weights: only plain LoRA",
        ),
    ],
)
def test_what_is_no_adapter_of_the_u_net_is_refused_by_name(
    tmp_path: Path, unet: Any, stored: dict[str, Tensor], config: object, told: str
) -> None:
    folder = write(tmp_path / "ink", stored, config)
    with pytest.raises(InvalidCascade, match=told) as refused:
        read(folder, unet)
    assert str(refused.value).startswith(f"{folder / 'pytorch_lora_weights.safetensors'}")


def test_a_header_that_is_not_json(tmp_path: Path, unet: Any) -> None:
    file = tmp_path / "ink.safetensors"
    save_file(pair(QUERY), file, {"lora_adapter_metadata": "{"})
    with pytest.raises(InvalidCascade, match="lora_adapter_metadata in its header is not JSON"):
        read(file, unet)


def test_a_folder_without_the_file_and_a_broken_file(tmp_path: Path, unet: Any) -> None:
    (tmp_path / "pytorch_lora_weights.bin").touch()  # pickled: never opened
    missing = r"pytorch_lora_weights\.safetensors is missing: diffusers' save_lora_adapter"
    with pytest.raises(InvalidCascade, match=missing):
        read(tmp_path, unet)
    file = tmp_path / "ink.safetensors"
    file.write_bytes(b"half a file")
    with pytest.raises(InvalidCascade, match=r"ink\.safetensors is no whole safetensors file"):
        read(file, unet)


def test_what_a_half_type_cannot_hold_is_refused(tmp_path: Path, unet: Any) -> None:
    folder = write(tmp_path, pair(QUERY), {"lora_alpha": 100_000})
    assert strength(read(folder, unet)) == 50_000
    with pytest.raises(InvalidCascade, match="not finite, or are not in float16"):
        read(folder, unet, dtype=torch.float16)
