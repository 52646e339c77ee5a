"""DeepFloyd IF's folders as they are: the same pictures as by diffusers' pipelines."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import pytest
import torch
from diffusers import DPMSolverMultistepScheduler, IFPipeline, IFSuperResolutionPipeline
from diffusers.pipelines.deepfloyd_if import pipeline_if, pipeline_if_superresolution
from diffusers.schedulers import scheduling_ddpm
from numpy.typing import NDArray
from torch import Tensor

from model.cascade import Cascade
from model.loading.scheduler_config import COSINE_MIN_LOG_SNR_HALF
from model.noise import noise
from model.plan import StageSettings

pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")

Picture: TypeAlias = NDArray[Any]

PROMPT = " A Photo of a RED cat"
NEGATIVE = "two dogs and an apple"
SEED = 5
STEPS = {"20": 10, "40": 8}
GUIDANCE = {"20": 7.0, "40": 4.0}
NOISE_LEVEL = 250


@pytest.fixture(scope="module")
def cascade(if_folders: Path) -> Cascade:
    cascade = Cascade.load(if_folders, "cpu,float32")
    cascade.finishing = None  # its own tests are in test_finishing.py
    return cascade


@pytest.fixture(scope="module")
def pipelines(if_folders: Path) -> dict[str, Any]:
    options = {"dtype": torch.float32, "safety_checker": None, "requires_safety_checker": False}
    one = IFPipeline.from_pretrained(if_folders / "one", watermarker=None, **options)
    two = IFSuperResolutionPipeline.from_pretrained(if_folders / "two", **options)
    for pipeline in (one, two):
        pipeline.set_progress_bar_config(disable=True)
    return {"20": one, "40": two}


@pytest.fixture(params=["ddpm", "dpmpp"])
def sampler(request: pytest.FixtureRequest, pipelines: dict[str, Any]) -> Iterator[str]:
    """diffusers with the folders' own scheduler, and as IF's authors use it with a solver."""
    trained = {name: pipeline.scheduler for name, pipeline in pipelines.items()}
    if request.param == "dpmpp":
        for name, pipeline in pipelines.items():
            pipeline.scheduler = DPMSolverMultistepScheduler.from_config(
                trained[name].config, lambda_min_clipped=COSINE_MIN_LOG_SNR_HALF
            )
    yield request.param
    for name, pipeline in pipelines.items():
        pipeline.scheduler = trained[name]


def test_pictures_are_those_of_diffusers(
    cascade: Cascade, pipelines: dict[str, Any], sampler: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn = our_pictures(cascade, sampler)
    expected = their_pictures(pipelines, monkeypatch)
    for name, picture in drawn.items():
        assert picture.std() > 0.1
        np.testing.assert_allclose(picture, expected[name], rtol=0, atol=1 / 255)


def test_a_mistake_in_the_prompt_would_show(cascade: Cascade) -> None:
    drawn = our_pictures(cascade, "ddpm")
    for change in ({"prompt": "two dogs"}, {"negative_prompt": ""}):
        other = our_pictures(cascade, "ddpm", **change)
        assert all(np.abs(drawn[name] - other[name]).max() > 4 / 255 for name in drawn)


def test_embeddings_are_those_of_the_pipeline(cascade: Cascade, pipelines: dict[str, Any]) -> None:
    theirs = torch.cat(
        pipelines["20"].encode_prompt(PROMPT, negative_prompt=NEGATIVE, clean_caption=False)
    )
    ours = cascade.text.encode([PROMPT, NEGATIVE])
    assert ours.shape == (2, 77, 32)
    torch.testing.assert_close(ours.float(), theirs, rtol=1e-3, atol=1e-3)


def our_pictures(cascade: Cascade, sampler: str, **changes: str) -> dict[str, Picture]:
    """Each [H, W, 3] in [0, 1], by the name of the stage that it is finished at."""
    asked: dict[str, Any] = {"prompt": PROMPT, "negative_prompt": NEGATIVE} | changes
    settings = {
        "20": StageSettings(STEPS["20"], sampler, GUIDANCE["20"]),
        "40": StageSettings(STEPS["40"], sampler, GUIDANCE["40"], aug_level=NOISE_LEVEL / 1000),
    }
    return {
        name: cascade.generate(**asked, seed=SEED, size=int(name), settings=settings).pixels.numpy()
        / 255
        for name in STEPS
    }


def their_pictures(
    pipelines: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> dict[str, Picture]:
    """The same, by pipelines that are given our noise."""

    def draw(name: str, first: list[str], **inputs: Any) -> Tensor:
        steps = [f"{name}/step/{step}" for step in range(STEPS[name])]
        purposes = iter([f"{name}/{purpose}" for purpose in first] + steps)

        def our_noise(shape: tuple[int, ...], **_: object) -> Tensor:
            return noise(SEED, next(purposes), tuple(shape)[1:])[None]

        for module in (pipeline_if, pipeline_if_superresolution, scheduling_ddpm):
            monkeypatch.setattr(module, "randn_tensor", our_noise)
        images: Tensor = pipelines[name](
            PROMPT,
            negative_prompt=NEGATIVE,
            clean_caption=False,
            num_inference_steps=STEPS[name],
            guidance_scale=GUIDANCE[name],
            output_type="pt",
            **inputs,
        ).images
        return images

    base = draw("20", ["initial"])
    larger = draw("40", ["initial", "augmentation"], image=base, noise_level=NOISE_LEVEL)
    return {"20": _as_picture(base), "40": _as_picture(larger)}


def _as_picture(images: Tensor) -> Picture:
    return (images[0] / 2 + 0.5).clamp(0, 1).permute(1, 2, 0).numpy()
