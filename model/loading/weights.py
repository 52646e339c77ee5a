"""Finds the safetensors files of a network, and fills the network from them tensor by tensor."""

import json
import re
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import TypeVar

import torch
from accelerate import init_empty_weights
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn

from model.errors import InvalidCascade
from model.loading.folder import Folder

PICKLED = (".bin", ".ckpt", ".pt", ".pth")
SHOWN = 3
"""Names that an error lists before it says how many more there are."""

Network = TypeVar("Network", bound=nn.Module)

Convert = Callable[[str, Tensor], Mapping[str, Tensor]]
"""A stored tensor, by name, as what the network is to hold; see as_placed."""


def find_weights(folder: Folder, stem: str, *, half: bool) -> tuple[Path, ...]:
    """The files of one network, complete and on disk; those of the hub are downloaded.

    stem: how the library that wrote them names them: diffusion_pytorch_model or model. half: the
    network will hold 16 bits a number or fewer, so that a file in float16 says enough. Raises
    InvalidCascade that names what is missing and the remedy.
    """
    names = folder.names()
    variants = (".fp16", "") if half else ("", ".fp16")
    shards = {variant: _shards(folder, stem, variant) for variant in variants}
    single = {variant: {f"{stem}{variant}.safetensors"} for variant in variants}
    candidates = [each for v in variants for each in (single[v], shards[v]) if each]
    wanted = next((each for each in candidates if each <= names), None)
    if wanted is None:
        lacking = next((each - names for each in shards.values() if each), None)
        raise InvalidCascade(_what_is_missing(folder, stem, names, lacking))
    files = tuple(folder.path / name for name in sorted(wanted))
    if folder.snapshot is not None:
        folder.snapshot.fetch(files)
    for file in files:
        check_whole(file)
    return files


def _shards(folder: Folder, stem: str, variant: str) -> set[str]:
    """The names of the files that large weights are cut into; none where there is no index."""
    index = folder.path / f"{stem}.safetensors.index{variant}.json"
    if not index.is_file():
        return set()
    try:
        return set(json.loads(index.read_bytes())["weight_map"].values())
    except (ValueError, KeyError, TypeError, AttributeError):
        raise InvalidCascade(f"{index} is no index of weights: download it again") from None


def _what_is_missing(
    folder: Folder, stem: str, names: Collection[str], lacking: Collection[str] | None
) -> str:
    if lacking:
        return f"{folder} lacks {listed(lacking)}, which its index names: download it again"
    pickled = sorted(name for name in names if name.endswith(PICKLED))
    if pickled:
        return (
            f"{folder / pickled[0]} is pickled, and may run any code when it is loaded: where you"
            " trust it, load the pipeline with diffusers and"
            " save_pretrained(folder, safe_serialization=True)"
        )
    return f"{folder / f'{stem}.safetensors'} is missing: a network's folder holds its weights"


def check_whole(file: Path) -> None:
    """That it is a safetensors file to its end; reads the header alone. Raises InvalidCascade."""
    try:
        with safe_open(file, framework="pt"):
            pass
    except (SafetensorError, OSError) as error:
        raise InvalidCascade(
            f"{file} is no whole safetensors file ({error}): download it again;"
            " a git clone needs `git lfs pull`"
        ) from None


def as_placed(device: torch.device, dtype: torch.dtype) -> Convert:
    """Each tensor copied there, in that type, images' weights with channels last."""

    def convert(name: str, stored: Tensor) -> Mapping[str, Tensor]:
        layout = torch.channels_last if stored.ndim == 4 else torch.preserve_format
        # A copy even where nothing changes: the file may be replaced while it is mapped.
        return {name: stored.to(device, dtype, copy=True, memory_format=layout)}

    return convert


def without_weights(folder: Path, make: Callable[[], Network]) -> Network:
    """A network that fill() is to fill: made on the meta device, where it takes no memory.

    make: does what config.json of the folder says. Raises InvalidCascade if that makes no sense.
    """
    try:
        with init_empty_weights():
            return make()
    except Exception as error:  # the networks' libraries raise whatever they like
        raise InvalidCascade(f"{folder / 'config.json'} is of no network: {error}") from error


def fill(
    network: nn.Module, files: Sequence[Path], convert: Convert, unused: str = r"(?!)"
) -> None:
    """Give a network, made on the meta device, its weights, with one tensor in memory twice.

    unused: a pattern of the names that are stored and not wanted. Raises InvalidCascade where the
    weights are others than the network's.
    """
    weights: dict[str, Tensor] = {}
    for file in files:
        with safe_open(file, framework="pt") as tensors:
            for name in tensors.keys():  # noqa: SIM118 (it is no mapping)
                if not re.fullmatch(unused, name):
                    weights |= convert(name, tensors.get_tensor(name))
    expected = network.state_dict()
    wrong = {
        name
        for name in weights.keys() | expected.keys()
        if name not in weights
        or name not in expected
        or weights[name].shape != expected[name].shape
    }
    if wrong:
        raise InvalidCascade(
            f"{files[0].parent}: config.json and the weights do not agree on {listed(wrong)}:"
            " download both again"
        )
    network.load_state_dict(weights, assign=True)
    network.eval().requires_grad_(False)


def listed(names: Collection[str]) -> str:
    """The first few of the names, and how many more there are."""
    more = len(names) - SHOWN
    return ", ".join(sorted(names)[:SHOWN]) + (f" and {more} more" if more > 0 else "")
