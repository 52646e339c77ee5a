"""Reads low-rank adapters as diffusers saves them: pytorch_lora_weights.safetensors.

Whatever is wrong is an InvalidCascade that names the file and the remedy.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from diffusers.utils.state_dict_utils import convert_unet_state_dict_to_peft
from pydantic import BaseModel, ConfigDict, ValidationError, model_validator
from safetensors import safe_open
from torch import nn

from model.adapters import Adapter, LowRank
from model.errors import InvalidCascade
from model.loading.config_file import told
from model.loading.folder import Folder
from model.loading.weights import as_placed, check_whole, listed
from model.placement import Placement

FILE = "pytorch_lora_weights.safetensors"

CONFIG = "lora_adapter_metadata"
"""In the header of the file: peft's LoraConfig as JSON."""

OF_UNET = "unet."
"""Before the names in what pipelines save, and not in what networks save."""

HALF_OF_A_PAIR = re.compile(r"(?!text_encoder)(?P<layer>.+)\.lora_(?P<half>[AB])\.weight")

PLAIN_STARTS = (True, False, "gaussian", "orthogonal", "eva")
"""Ways to begin training that leave the U-Net's own weights as they are."""

VARIANTS = (
    "alora_invocation_tokens",
    "arrow_config",
    "kasa_config",
    "monteclora_config",
    "use_bdlora",
    "use_dora",
    "use_qalora",
    "velora_config",
)
"""Of LoraConfig: what makes it another computation than up(down(x))."""


class LoraConfig(BaseModel):
    """Of peft's LoraConfig what decides what a file's weights mean."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    lora_alpha: float
    alpha_pattern: dict[re.Pattern[str], float] = {}
    use_rslora: bool = False

    @model_validator(mode="before")
    @classmethod
    def _is_plain(cls, config: Any) -> Any:
        if not isinstance(config, dict):
            return config
        config = {name.removeprefix(OF_UNET): value for name, value in config.items()}
        variants = [name for name in VARIANTS if config.get(name)]
        if config.get("init_lora_weights", True) not in PLAIN_STARTS:
            variants.append("init_lora_weights")
        if variants:
            raise ValueError(f"{', '.join(variants)}: only plain LoRA is served; train it without")
        return config

    def strength(self, layer: str, rank: int) -> float:
        """What a layer's up(down(x)) is to be multiplied by."""
        patterns = self.alpha_pattern.items()
        alphas = (a for p, a in patterns if re.match(rf"(.*\.)?({p.pattern})$", layer))
        alpha = next(alphas, self.lora_alpha)
        return float(alpha / (rank**0.5 if self.use_rslora else rank))


@dataclass(frozen=True)
class _Pair:
    """down, up: the names of the tensors. strength: of what they add."""

    down: str
    up: str
    strength: float


class AdapterFile:
    """An adapter that fits its U-Net; holds no weights yet."""

    def __init__(self, name: str, found: Folder, unet: nn.Module, placement: Placement):
        """found: a folder with FILE, or a file. unet: may be on the meta device."""
        self._name = name
        self._path = _find(found)
        self._placement = placement
        self._pairs = _read_pairs(self._path, unet)

    def load(self) -> Adapter:
        """The adapter, where its U-Net is and in its type."""
        place = as_placed(self._placement.device, self._placement.dtype)
        layers = {}
        with safe_open(self._path, framework="pt") as tensors:
            for layer, pair in self._pairs.items():
                # The strength in full precision, before it is rounded to the type.
                up = tensors.get_tensor(pair.up).float() * pair.strength
                placed = {**place("down", tensors.get_tensor(pair.down)), **place("up", up)}
                if not all(tensor.isfinite().all() for tensor in placed.values()):
                    raise InvalidCascade(
                        f"{self._path}: {layer} has numbers that are not finite, or are not in"
                        f" {self._placement.precision}: train it again, or leave the adapter out"
                    )
                layers[layer] = LowRank(**placed)
        return Adapter(self._name, layers)


def _find(found: Folder) -> Path:
    """The file, on disk and whole; that of the hub is downloaded."""
    file = found if found.path.suffix == ".safetensors" else found / FILE
    if not file.exists():
        raise InvalidCascade(
            f"{file} is missing: diffusers' save_lora_adapter(folder) writes it; or name the file"
        )
    if file.snapshot is not None:
        file.snapshot.fetch([file.path])
    check_whole(file.path)
    return file.path


def _read_pairs(path: Path, unet: nn.Module) -> dict[str, _Pair]:
    """By the names of the U-Net's modules."""
    with safe_open(path, framework="pt") as tensors:
        names = list(tensors.keys())
        shapes = {name: tuple(tensors.get_slice(name).get_shape()) for name in names}
        config = _read_config(path, tensors.metadata() or {})
    pairs = {}
    for layer, (down, up) in _paired(path, names).items():
        rank = _rank(path, layer, unet, shapes[down], shapes[up])
        pairs[layer] = _Pair(down, up, 1.0 if config is None else config.strength(layer, rank))
    return pairs


def _read_config(path: Path, header: Mapping[str, str]) -> LoraConfig | None:
    """None where none was saved: then alpha is the rank, as diffusers has it."""
    if CONFIG not in header:
        return None
    try:
        return LoraConfig.model_validate(json.loads(header[CONFIG]))
    except ValidationError as error:
        raise InvalidCascade(f"{path}, {CONFIG} in its header: {told(error)}") from None
    except ValueError:
        raise InvalidCascade(f"{path}: {CONFIG} in its header is not JSON: save it again") from None


def _paired(path: Path, names: list[str]) -> dict[str, tuple[str, str]]:
    """The names of the tensors down and up of each layer."""
    # To peft's names, whichever of diffusers' own they are.
    as_peft = convert_unet_state_dict_to_peft({name.removeprefix(OF_UNET): name for name in names})
    matches = {stored: HALF_OF_A_PAIR.fullmatch(name) for name, stored in as_peft.items()}
    unknown = [name for name, match in matches.items() if match is None]
    if unknown or not names:
        raise InvalidCascade(
            f"{path}: {listed(unknown) or 'an empty file'} is no part of a U-Net's LoRA as"
            " diffusers saves it: save the U-Net's adapter alone, by save_lora_adapter(folder)"
        )
    halves = {match.group("layer", "half"): name for name, match in matches.items() if match}
    layers = {layer for layer, _ in halves}
    alone = [layer for layer in layers if (layer, "A") not in halves or (layer, "B") not in halves]
    if alone:
        raise InvalidCascade(
            f"{path}: of {listed(alone)} only one of lora_A and lora_B is there: save it again"
        )
    return {layer: (halves[layer, "A"], halves[layer, "B"]) for layer in sorted(layers)}


def _rank(
    path: Path, layer: str, unet: nn.Module, down: tuple[int, ...], up: tuple[int, ...]
) -> int:
    """Of shapes that fit the layer."""
    try:
        base = unet.get_submodule(layer)
    except AttributeError:
        base = None
    if not isinstance(base, nn.Linear | nn.Conv2d) or getattr(base, "groups", 1) != 1:
        what = "has no" if base is None else f"has a {type(base).__name__}, which is not adapted,"
        raise InvalidCascade(
            f"{path}: the U-Net {what} {layer}: name the stage it was trained on, or leave it out"
        )
    outputs, *inputs = base.weight.shape
    rank = down[0]
    fitting = (rank, *inputs), (outputs, rank, *(1 for _ in inputs[1:]))
    if (down, up) != fitting:
        raise InvalidCascade(
            f"{path}: {layer} is of shapes {down} and {up}, and the U-Net's needs {fitting[0]} and"
            f" {fitting[1]}: name the stage it was trained on, or leave it out"
        )
    return rank
