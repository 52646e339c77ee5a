"""Which weight files are taken, what is refused, and that loading holds them once."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from diffusers import UNet2DConditionModel
from safetensors.torch import load_file, save_file

from model.errors import InvalidCascade
from model.loading.folder import Folder
from model.loading.weights import as_placed, fill, find_weights, without_weights

STEM = "diffusion_pytorch_model"
CPU = torch.device("cpu")


@pytest.fixture
def unet(if_folders: Path, tmp_path: Path) -> Path:
    """A folder with weights and config.json, to change."""
    return Path(shutil.copytree(if_folders / "one" / "unet", tmp_path / "unet"))


def save(unet: Path, **options: object) -> None:
    """Write the weights again, as diffusers writes them, beside the file that is there."""
    UNet2DConditionModel.from_pretrained(unet).save_pretrained(unet, **options)


def cut(unet: Path, variant: str | None = None) -> list[str]:
    """Write them in shards instead; their names."""
    save(unet, variant=variant, max_shard_size="200KB")
    (unet / f"{STEM}.safetensors").unlink()
    return sorted(file.name for file in unet.glob(f"{STEM}*-of-*.safetensors"))


def found(unet: Path, *, half: bool = False) -> list[str]:
    return [file.name for file in find_weights(Folder(unet), STEM, half=half)]


def test_a_file_in_float16_is_taken_where_it_says_enough(unet: Path) -> None:
    save(unet, variant="fp16")
    assert found(unet) == [f"{STEM}.safetensors"]
    assert found(unet, half=True) == [f"{STEM}.fp16.safetensors"]


def test_the_only_file_is_taken(unet: Path) -> None:
    assert found(unet, half=True) == [f"{STEM}.safetensors"]
    (unet / f"{STEM}.safetensors").rename(unet / f"{STEM}.fp16.safetensors")
    assert found(unet) == [f"{STEM}.fp16.safetensors"]


@pytest.mark.parametrize("variant", [None, "fp16"])
def test_shards_are_taken_together(unet: Path, variant: str | None) -> None:
    shards = cut(unet, variant)
    assert len(shards) > 2
    assert found(unet) == shards


def test_a_missing_shard_is_named(unet: Path) -> None:
    lost = cut(unet)[1]
    (unet / lost).unlink()
    with pytest.raises(InvalidCascade, match=f"unet lacks {lost}, which its index names"):
        found(unet)


def test_an_index_that_is_none_is_named(unet: Path) -> None:
    (unet / f"{STEM}.safetensors.index.json").write_text("[]")
    with pytest.raises(InvalidCascade, match=r"index\.json is no index of weights"):
        found(unet)


@pytest.mark.parametrize("name", [f"{STEM}.bin", "model.ckpt", "model.pt"])
def test_pickled_weights_are_refused_with_the_way_to_convert_them(unet: Path, name: str) -> None:
    (unet / f"{STEM}.safetensors").rename(unet / name)
    with pytest.raises(InvalidCascade, match=f"unet/{name} is pickled.*safe_serialization=True"):
        found(unet)


def test_no_weights_at_all(unet: Path) -> None:
    (unet / f"{STEM}.safetensors").unlink()
    with pytest.raises(InvalidCascade, match=f"unet/{STEM}.safetensors is missing"):
        found(unet)


def test_a_file_that_is_not_whole_is_named(unet: Path) -> None:
    file = unet / f"{STEM}.safetensors"
    for content in (b"version https://git-lfs.github.com/spec/v1\n", file.read_bytes()[:-9]):
        file.write_bytes(content)
        with pytest.raises(InvalidCascade, match=rf"{STEM}.safetensors is no whole .*git lfs pull"):
            found(unet)


def empty_unet(unet: Path) -> UNet2DConditionModel:
    config = UNet2DConditionModel.load_config(unet)
    return without_weights(unet, lambda: UNet2DConditionModel.from_config(config))


def test_a_network_is_filled_in_the_type_and_layout_that_is_asked_for(unet: Path) -> None:
    cut(unet)
    network = empty_unet(unet)
    fill(network, find_weights(Folder(unet), STEM, half=False), as_placed(CPU, torch.bfloat16))
    expected = UNet2DConditionModel.from_pretrained(unet).state_dict()
    for name, weight in network.state_dict().items():
        assert torch.equal(weight, expected[name].bfloat16())
    assert not any(parameter.requires_grad for parameter in network.parameters())
    assert not network.training
    assert network.conv_in.weight.is_contiguous(memory_format=torch.channels_last)


def test_filled_weights_do_not_change_with_the_file(unet: Path) -> None:
    network, file = empty_unet(unet), unet / f"{STEM}.safetensors"
    fill(network, [file], as_placed(CPU, torch.float32))
    before = network.conv_out.bias.clone()
    with file.open("r+b") as content:
        content.seek(-(10**5), 2)
        content.write(b"\xff" * 10**5)
    assert torch.equal(network.conv_out.bias, before)
    assert all(parameter.isfinite().all() for parameter in network.parameters())


@pytest.mark.parametrize("change", ["missing", "unknown", "of another shape"])
def test_weights_of_another_network_are_refused(unet: Path, change: str) -> None:
    file = unet / f"{STEM}.safetensors"
    weights = load_file(file)
    bias = weights.pop("conv_out.bias")
    if change == "unknown":
        weights |= {"conv_out.bias": bias, "conv_after.bias": bias.clone()}
    elif change == "of another shape":
        weights["conv_out.bias"] = bias[:3]
    save_file(weights, file)
    named = "conv_after.bias" if change == "unknown" else "conv_out.bias"
    with pytest.raises(InvalidCascade, match=f"unet: config.json and .* agree on {named}"):
        fill(empty_unet(unet), [file], as_placed(CPU, torch.float32))


LAYERS, WIDTH = 8, 2048

FILLS = """
import sys
from pathlib import Path
import torch
from torch import nn
from model.loading.weights import as_placed, fill, without_weights

layers, width, dtype, file = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3], Path(sys.argv[4])
make = lambda: nn.Sequential(*(nn.Linear(width, width, bias=False) for _ in range(layers)))
network = without_weights(file.parent, make)
print("ready", flush=True)
sys.stdin.readline()
fill(network, [file], as_placed(torch.device("cpu"), getattr(torch, dtype)))
"""


@pytest.mark.skipif(sys.platform != "linux", reason="reads what Linux tells of a process")
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
def test_weights_are_in_memory_once(tmp_path: Path, dtype: torch.dtype) -> None:
    file = tmp_path / "model.safetensors"
    save_file({f"{layer}.weight": torch.ones(WIDTH, WIDTH) for layer in range(LAYERS)}, file)
    arguments = [str(LAYERS), str(WIDTH), str(dtype).removeprefix("torch."), str(file)]
    with subprocess.Popen(
        [sys.executable, "-c", FILLS, *arguments],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdout.readline()
        before = most = anonymous_bytes(process.pid)
        process.stdin.write("\n")
        process.stdin.flush()
        while process.poll() is None:
            most = max(most, anonymous_bytes(process.pid))
    assert process.returncode == 0
    weights = LAYERS * WIDTH**2 * dtype.itemsize
    assert 0.9 < (most - before) / weights < 1.4


def anonymous_bytes(process: int) -> int:
    """What a process holds in memory that is not a mapped file; 0 once it has ended."""
    for line in Path(f"/proc/{process}/status").read_text().splitlines():
        if line.startswith("RssAnon:"):
            return int(line.split()[1]) * 1024
    return 0
