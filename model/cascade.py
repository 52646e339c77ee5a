"""A loaded cascade, and generate(): the slow, plain reference that every faster path must equal."""

from collections.abc import Callable, Collection, Mapping, Sequence
from functools import partial
from pathlib import Path

import torch
from diffusers import UNet2DConditionModel
from torch import Tensor

from model.errors import InvalidCascade
from model.finishing import Finished, Finishing, find_finishing_weights
from model.loading.adapter_file import AdapterFile
from model.loading.cascade_folder import CascadeSpec, PlacedAdapter, PlacedStage, read_cascade
from model.loading.weights import as_placed, fill, find_weights, without_weights
from model.network import Network, NetworkOptions
from model.placement import TEXT, Placement, Placements
from model.plan import StageSettings
from model.stage import Stage
from model.text import TextEncoder
from model.trajectory import TextCondition

Progress = Callable[[str, int, int], None]
"""Called after each step with (stage, steps done, steps in all)."""


class Cascade:
    """The text encoder and the stages that were loaded, base first; `spec` knows of all of them."""

    def __init__(
        self,
        spec: CascadeSpec,
        placements: Placements,
        text: TextEncoder,
        stages: Sequence[Stage],
        finishing: Finishing | None = None,
    ):
        self.name = spec.name
        self.spec = spec
        self.placements = placements
        self.text = text
        self.stages = tuple(stages)
        self.finishing = finishing

    @classmethod
    def load(
        cls,
        source: str | Path | None = None,
        placements: str = "auto",
        stages: Collection[str] | None = None,
        keep_text: bool = True,
        network: NetworkOptions | None = None,
    ) -> "Cascade":
        """Load a cascade, or those of its parts that are wanted.

        source: see read_cascade. placements: see Placements.parse. stages: by name, `text` among
        them; None is all. keep_text: see TextEncoder. network: how the stages' networks run.
        Everything is read and found before the first weight is loaded. Raises InvalidCascade that
        names the file or word and the remedy.
        """
        spec = read_cascade(source)
        wanted = _wanted(spec, stages)
        where = Placements.parse(placements, spec.stage_names)
        parts = [part for part in spec.stages if part.spec.name in wanted]
        text = TextEncoder(spec.text, where.of(TEXT), keep_text)
        if TEXT in wanted:
            text.find_weights()
        to_load = [
            _find_stage(part, spec.adapters, where.of(part.spec.name), network) for part in parts
        ]
        finish = _find_finishing(spec, where.of(parts[-1].spec.name)) if parts else None
        if TEXT in wanted and keep_text:
            text.load()
        return cls(spec, where, text, [load() for load in to_load], finish and finish())

    @property
    def sizes_px(self) -> tuple[int, ...]:
        """The sizes a picture can be had in: each stage's output."""
        return tuple(stage.spec.size_px for stage in self.stages)

    @property
    def has_checker(self) -> bool:
        """Whether a safety checker looks at pictures: what it has not seen is not to be shown."""
        finishing = self.spec.finishing
        return finishing is not None and finishing.checker is not None

    def generate(
        self,
        prompt: str,
        *,
        negative_prompt: str = "",
        seed: int,
        size: int | None = None,
        settings: Mapping[str, StageSettings] | None = None,
        progress: Progress = lambda stage, done, steps: None,
    ) -> Finished:
        """Draw one picture, one stage and one step at a time.

        size: pixels a side, one of sizes_px; None is the largest. settings: by stage name, where
        they differ from the stage's own. Raises ValueError for a size the cascade does not have.
        """
        stages = self._stages_up_to(size)
        prompts = self.text.encode([prompt, negative_prompt])
        self.text.release()
        text = TextCondition(prompt=prompts[0], negative=prompts[1])
        image: Tensor | None = None
        for stage in stages:
            chosen = (settings or {}).get(stage.spec.name, stage.spec.defaults)
            trajectory = stage.start(seed, chosen, text, image)
            while not trajectory.is_finished:
                stage.step([trajectory])
                progress(stage.spec.name, trajectory.steps_done, len(trajectory.plan))
            image = stage.finish(trajectory)
        assert image is not None
        return self.finish(image)

    def finish(self, image: Tensor) -> Finished:
        """The picture of the last stage's output, [3, H, W] in [-1, 1], checked and marked."""
        pixels = to_pixels(image)
        return Finished(pixels) if self.finishing is None else self.finishing.finish(pixels)

    def _stages_up_to(self, size: int | None) -> tuple[Stage, ...]:
        size = self.sizes_px[-1] if size is None else size
        if size not in self.sizes_px:
            sizes = ", ".join(map(str, self.sizes_px))
            raise ValueError(f"size must be one of {sizes} for {self.name}, not {size}")
        return self.stages[: self.sizes_px.index(size) + 1]


def to_pixels(image: Tensor) -> Tensor:
    """[3, H, W] in [-1, 1] to uint8 [H, W, 3]."""
    return ((image.float() + 1) * 127.5).round().clamp(0, 255).to(torch.uint8).permute(1, 2, 0)


def _wanted(spec: CascadeSpec, stages: Collection[str] | None) -> Collection[str]:
    names = (TEXT, *spec.stage_names)
    unknown = [name for name in stages or () if name not in names]
    if unknown:
        raise InvalidCascade(
            f"stages: {spec.name} has no stage {', '.join(unknown)}; it has {', '.join(names)}"
        )
    return names if stages is None else stages


def _find_stage(
    part: PlacedStage,
    adapters: Sequence[PlacedAdapter],
    placement: Placement,
    options: NetworkOptions | None,
) -> Callable[[], Stage]:
    """Find the weights of a stage and of those of the adapters that are its own.

    What is returned loads them.
    """
    folder = part.folder / "unet"
    unet = without_weights(folder.path, lambda: _unet_of(folder.path))
    files = find_weights(folder, "diffusion_pytorch_model", half=placement.half)
    own = [each for each in adapters if each.stage == part.spec.name]
    adapter_files = [AdapterFile(each.name, each.folder, unet, placement) for each in own]

    def load() -> Stage:
        fill(unet, files, as_placed(placement.device, placement.dtype))
        loaded = [file.load() for file in adapter_files]
        return Stage(part.spec, Network(unet, options, loaded))

    return load


def _unet_of(folder: Path) -> UNet2DConditionModel:
    return UNet2DConditionModel.from_config(UNet2DConditionModel.load_config(folder))


def _find_finishing(spec: CascadeSpec, placement: Placement) -> Callable[[], Finishing] | None:
    """Find the weights of what finishes pictures, if anything does; what is returned loads them."""
    if spec.finishing is None:
        return None
    return partial(
        Finishing, spec.finishing, find_finishing_weights(spec.finishing, placement), placement
    )
