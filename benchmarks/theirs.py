"""diffusers' IFPipeline and IFSuperResolutionPipeline, loaded and called as their users do."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from diffusers import IFPipeline, IFSuperResolutionPipeline
from PIL.Image import Image
from torch import Tensor

from benchmarks.sized_cascades import BASE, SUPER_RESOLUTION


@dataclass(frozen=True)
class Asked:
    """Of the base and of super-resolution."""

    steps: tuple[int, int]
    guidance_scale: tuple[float, float]


def usual_dtype(device: torch.device) -> torch.dtype:
    """As their documentation has it: IF's fp16 files on a GPU, else what comes without asking."""
    return torch.float16 if device.type == "cuda" else torch.float32


class Pipelines:
    """Both stages of a folder that sized_cascades.py wrote."""

    def __init__(self, folder: Path, device: torch.device, dtype: torch.dtype):
        self._base = _load(IFPipeline, folder / BASE, device, dtype)
        self._super_resolution = _load(
            IFSuperResolutionPipeline, folder / SUPER_RESOLUTION, device, dtype
        )

    def encode(self, prompts: Sequence[str]) -> tuple[Tensor, Tensor]:
        """The prompts, and as many empty ones: each [len(prompts), 77, width]."""
        prompt, negative = self._base.encode_prompt(list(prompts))
        return prompt, negative

    def draw(
        self, text: tuple[Tensor, Tensor], asked: Asked, generator: torch.Generator | None = None
    ) -> list[Image]:
        """One call of each pipeline for all prompts."""
        shared = {
            "prompt_embeds": text[0],
            "negative_prompt_embeds": text[1],
            "generator": generator,
        }
        low_res = self._base(
            num_inference_steps=asked.steps[0],
            guidance_scale=asked.guidance_scale[0],
            output_type="pt",
            **shared,
        ).images
        images: list[Image] = self._super_resolution(
            image=low_res,
            num_inference_steps=asked.steps[1],
            guidance_scale=asked.guidance_scale[1],
            **shared,
        ).images
        return images


def _load(kind: Any, folder: Path, device: torch.device, dtype: torch.dtype) -> Any:
    pipeline = kind.from_pretrained(folder, dtype=dtype).to(device)
    pipeline.set_progress_bar_config(disable=True)
    return pipeline
