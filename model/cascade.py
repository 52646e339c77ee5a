"""A loaded cascade, and generate(): the slow, plain reference that every faster path must equal."""

from collections.abc import Callable, Mapping, Sequence
from importlib.resources import files
from itertools import pairwise
from pathlib import Path

import torch
from diffusers import UNet2DConditionModel
from torch import Tensor

from model.cascade_folder import read_cascade_file, read_stage_spec
from model.devices import pick_device, pick_dtype
from model.errors import InvalidCascade
from model.stage import Stage, StageSpec
from model.text import TextEncoder
from model.trajectory import StageSettings, TextCondition

Progress = Callable[[str, int, int], None]
"""Called after each step with (stage, steps done, steps in all)."""


def picture_book_folder() -> Path:
    """The cascade in the box."""
    return Path(str(files("model.picture_book"))) / "weights"


class Cascade:
    """The text encoder and the stages, base first."""

    def __init__(self, name: str, text: TextEncoder, stages: Sequence[Stage]):
        self.name = name
        self.text = text
        self.stages = tuple(stages)

    @classmethod
    def load(
        cls,
        folder: Path | str | None = None,
        device: str = "auto",
        dtype: torch.dtype | None = None,
    ) -> "Cascade":
        """Load a cascade folder; None is picture-book.

        Every configuration is read before the first weight. Raises InvalidCascade that names the
        file and the remedy.
        """
        root = picture_book_folder() if folder is None else Path(folder)
        file = read_cascade_file(root)
        specs = [read_stage_spec(root / entry.path, entry) for entry in file.stages]
        _check_order(root, specs)
        place = pick_device(device)
        precision = dtype or pick_dtype(place)
        text_folder = root / file.text.path
        text = TextEncoder.load(text_folder, file.text.max_tokens, place, torch.float32)
        unets = [_load_unet(root, entry.path, place, precision) for entry in file.stages]
        return cls(file.name, text, [Stage(s, unet) for s, unet in zip(specs, unets, strict=True)])

    @property
    def sizes_px(self) -> tuple[int, ...]:
        """The sizes a picture can be had in: each stage's output."""
        return tuple(stage.spec.size_px for stage in self.stages)

    def generate(
        self,
        prompt: str,
        *,
        negative_prompt: str = "",
        seed: int,
        size: int | None = None,
        settings: Mapping[str, StageSettings] | None = None,
        progress: Progress = lambda stage, done, steps: None,
    ) -> Tensor:
        """Draw one picture, one stage and one step at a time: uint8 [size, size, 3].

        size: pixels a side, one of sizes_px; None is the largest. settings: by stage name, where
        they differ from the stage's own. Raises ValueError for a size the cascade does not have.
        """
        prompts = self.text.encode([prompt, negative_prompt])
        text = TextCondition(prompt=prompts[0], negative=prompts[1])
        image: Tensor | None = None
        for stage in self._stages_up_to(size):
            chosen = (settings or {}).get(stage.spec.name, stage.spec.defaults)
            trajectory = stage.start(seed, chosen, text, image)
            while not trajectory.is_finished:
                stage.step([trajectory])
                progress(stage.spec.name, trajectory.steps_done, chosen.steps)
            image = stage.finish(trajectory)
        assert image is not None
        return to_pixels(image)

    def _stages_up_to(self, size: int | None) -> tuple[Stage, ...]:
        size = self.sizes_px[-1] if size is None else size
        if size not in self.sizes_px:
            sizes = ", ".join(map(str, self.sizes_px))
            raise ValueError(f"size must be one of {sizes} for {self.name}, not {size}")
        return self.stages[: self.sizes_px.index(size) + 1]


def to_pixels(image: Tensor) -> Tensor:
    """[3, H, W] in [-1, 1] to uint8 [H, W, 3]."""
    return ((image.float() + 1) * 127.5).round().clamp(0, 255).to(torch.uint8).permute(1, 2, 0)


def _check_order(root: Path, specs: Sequence[StageSpec]) -> None:
    """The base comes first, and every stage after it is a larger super-resolution stage."""
    if specs[0].is_super_resolution:
        raise InvalidCascade(f"{root}: the first stage must be a base (3 input channels)")
    for before, spec in pairwise(specs):
        if not spec.is_super_resolution or spec.size_px <= before.size_px:
            raise InvalidCascade(
                f"{root}: stage {spec.name} after {before.name} must be a larger"
                " super-resolution stage (6 input channels)"
            )


def _load_unet(
    root: Path, path: str, device: torch.device, dtype: torch.dtype
) -> UNet2DConditionModel:
    """A stage's network, from safetensors, ready to infer."""
    unet = UNet2DConditionModel.from_pretrained(
        root / path / "unet", torch_dtype=dtype, use_safetensors=True
    )
    return unet.to(device=device, memory_format=torch.channels_last).eval().requires_grad_(False)
