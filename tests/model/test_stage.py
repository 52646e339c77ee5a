"""One step for many trajectories equals one step for each."""

from collections.abc import Sequence
from dataclasses import replace
from itertools import combinations
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from diffusers import (
    DDIMScheduler,
    DDPMScheduler,
    DPMSolverMultistepScheduler,
    UNet2DConditionModel,
)
from torch import Tensor

from model.errors import NotFinite
from model.guidance import Prediction, Threshold
from model.loading.scheduler_config import COSINE_MIN_LOG_SNR_HALF
from model.network import Network
from model.noise import noise
from model.plan import StageSettings
from model.samplers import Variance
from model.schedule import Schedule
from model.stage import Stage, StageSpec
from model.trajectory import TextCondition, Trajectory
from tests.faults import memory_for, spoiling
from tests.model.reference import TEXT, PseudoNetwork, Reference, read, stage_for
from tests.tiny_cascade import TEXT_WIDTH

# diffusers hands tensors to numpy in a way that numpy is about to drop.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")

MIXED = [
    StageSettings(steps=3, sampler="ddim", guidance_scale=4.0, aug_level=0.1),
    StageSettings(steps=7, sampler="dpmpp", guidance_scale=1.0, aug_level=0.3),
    StageSettings(steps=5, sampler="dpmpp", guidance_scale=9.0, aug_level=0.0),
    StageSettings(steps=1, sampler="ddim", guidance_scale=1.0, aug_level=1.0),
    StageSettings(steps=4, sampler="ddpm", guidance_scale=1.0, aug_level=0.2),
    StageSettings(6, "dpmpp_sde", 3.0, aug_level=0.2, guidance_interval=(0.3, 0.7)),
]
SOME_TEXT = TextCondition(*torch.ones(2, 5, TEXT_WIDTH))
LOW_RES = torch.linspace(-1, 1, 3 * 8 * 8).view(3, 8, 8)


@pytest.fixture(scope="module", params=["base", "super_resolution"])
def stage(tiny_cascade: Path, request: pytest.FixtureRequest) -> Stage:
    """Each of the two, with its network."""
    return build(tiny_cascade, request.param)


@pytest.fixture(scope="module")
def base(tiny_cascade: Path) -> Stage:
    return build(tiny_cascade, "base")


@pytest.fixture(scope="module")
def super_resolution(tiny_cascade: Path) -> Stage:
    return build(tiny_cascade, "super_resolution")


def build(folder: Path, part: str) -> Stage:
    unet = UNet2DConditionModel.from_pretrained(folder / part / "unet").requires_grad_(False)
    size_px = unet.config.sample_size
    spec = StageSpec(
        name=str(size_px),
        size_px=size_px,
        multiple=2,
        schedule=Schedule(),
        prediction=Prediction.V,
        defaults=MIXED[0],
        noising_schedule=Schedule() if part == "super_resolution" else None,
    )
    return Stage(spec, Network(unet))


def begin(stage: Stage) -> list[Trajectory]:
    """Trajectories that differ in all that rows may differ in."""
    generator = torch.Generator().manual_seed(0)
    texts = torch.randn(len(MIXED), 2, 5, TEXT_WIDTH, generator=generator)
    low_res = LOW_RES if stage.spec.is_super_resolution else None
    return [
        stage.start(seed, settings, TextCondition(*text), low_res)
        for seed, (settings, text) in enumerate(zip(MIXED, texts, strict=True))
    ]


def step_to_the_end(stage: Stage, trajectories: Sequence[Trajectory]) -> None:
    """All together, as long as there are any."""
    while flying := [t for t in trajectories if not t.is_finished]:
        stage.step(flying)


def test_rows_of_a_mixed_batch_equal_rows_stepped_alone(stage: Stage) -> None:
    together, alone = begin(stage), begin(stage)
    step_to_the_end(stage, together)
    for trajectory in alone:
        step_to_the_end(stage, [trajectory])
    for one, other in zip(together, alone, strict=True):
        # Kernels add in another order for another batch; 1/255 would be 8e-3 here.
        torch.testing.assert_close(one.x, other.x, rtol=0, atol=1e-4)


IN_COMMON: dict[str, Any] = {
    "beta_schedule": "squaredcos_cap_v2",
    "timestep_spacing": "leading",
    "thresholding": True,
    "dynamic_thresholding_ratio": 0.95,
    "sample_max_value": 1.5,
}


def theirs() -> list[tuple[Any, StageSettings]]:
    """A scheduler for each sampler, with the settings that ask for the same here."""
    solver = IN_COMMON | {"lambda_min_clipped": COSINE_MIN_LOG_SNR_HALF}
    sde = solver | {"algorithm_type": "sde-dpmsolver++"}
    return [
        (learned_range(), StageSettings(6, "ddpm", 4.0)),
        (DDIMScheduler(**IN_COMMON), StageSettings(9, "ddim", 1.0, eta=0.5)),
        (DPMSolverMultistepScheduler(**solver), StageSettings(4, "dpmpp", 2.0)),
        (DPMSolverMultistepScheduler(**solver, solver_order=1), StageSettings(5, "dpmpp_1", 1.0)),
        (DPMSolverMultistepScheduler(**sde), StageSettings(16, "dpmpp_sde", 1.5)),
        (DPMSolverMultistepScheduler(**sde, solver_order=1), StageSettings(3, "dpmpp_sde_1", 3.0)),
    ]


def learned_range() -> Any:
    return DDPMScheduler(**IN_COMMON, variance_type="learned_range")


def test_each_row_of_a_mixed_batch_is_what_its_own_scheduler_of_diffusers_draws() -> None:
    network = PseudoNetwork("smooth")
    rows = theirs()
    stage = stage_for(read(learned_range()), rows[0][1], network)
    together = [stage.start(seed, asked, TEXT) for seed, (_, asked) in enumerate(rows)]
    step_to_the_end(stage, together)
    for seed, (trajectory, (scheduler, asked)) in enumerate(zip(together, rows, strict=True)):
        expected = Reference(scheduler, network, asked, seed).run()
        torch.testing.assert_close(trajectory.x, expected, rtol=0, atol=1e-5)


def start(
    settings: StageSettings, network: PseudoNetwork, variance: Variance = Variance.FIXED_SMALL
) -> tuple[Stage, Trajectory]:
    stage = stage_for(read(DDPMScheduler(**IN_COMMON, variance_type=variance)), settings, network)
    return stage, stage.start(0, settings, TEXT)


def test_only_a_guided_step_asks_the_network_twice() -> None:
    """The times of the steps are 0.8, 0.6, 0.4, 0.2 and 0, and a thousandth more."""
    network = PseudoNetwork()
    asked = StageSettings(5, "ddim", guidance_scale=3.0, guidance_interval=(0.3, 0.7))
    stage, trajectory = start(asked, network)
    step_to_the_end(stage, [trajectory])
    assert network.rows == [1, 2, 2, 1, 1]


def test_a_batch_of_guided_and_unguided_images_is_one_forward() -> None:
    network = PseudoNetwork()
    asked = StageSettings(5, "ddim", guidance_scale=3.0)
    stage, guided = start(asked, network)
    stage.step([stage.start(1, replace(asked, guidance_scale=1.0), TEXT), guided])
    assert network.rows == [3]


def test_images_of_other_shapes_are_stepped_apart_and_as_they_are_alone() -> None:
    network = PseudoNetwork()
    stage, square = start(StageSettings(4, "ddpm", 2.0), network)
    asked = StageSettings(4, "ddpm", 2.0, width=8, height=2)
    wide, alone = (stage.start(1, asked, TEXT) for _ in range(2))
    step_to_the_end(stage, [square, wide])
    assert network.rows == [2] * 8
    assert wide.x.shape == (3, 2, 8)
    step_to_the_end(stage, [alone])
    assert torch.equal(wide.x, alone.x)


@pytest.mark.parametrize(
    ("spread", "fixed"), [(-1.0, Variance.FIXED_SMALL), (1.0, Variance.FIXED_LARGE)]
)
def test_a_predicted_variance_at_a_bound_is_the_fixed_one(spread: float, fixed: Variance) -> None:
    asked = StageSettings(7, "ddpm", guidance_scale=2.0)
    drawn = []
    for network, variance in (
        (PseudoNetwork(spread), Variance.LEARNED_RANGE),
        (PseudoNetwork(), fixed),
    ):
        stage, trajectory = start(asked, network, variance)
        stage.step([trajectory])
        drawn.append(trajectory.x)
    torch.testing.assert_close(*drawn, rtol=0, atol=1e-5)


def test_no_two_seeds_or_steps_share_their_noise() -> None:
    asked = StageSettings(4, "ddpm", guidance_scale=1.0)
    stage, first = start(asked, PseudoNetwork())
    second = stage.start(1, asked, TEXT)
    fresh = [stage._fresh_noise(first), stage._fresh_noise(second)]
    stage.step([second, first])
    fresh.append(stage._fresh_noise(first))
    assert not any(torch.equal(one, other) for one, other in combinations(fresh, 2))


@pytest.mark.parametrize("aug_level", [0.0, 0.25, 1.0])
def test_augmentation_adds_noise_as_diffusers_does(
    super_resolution: Stage, aug_level: float
) -> None:
    asked = replace(MIXED[0], aug_level=aug_level)
    low_res = super_resolution.start(3, asked, SOME_TEXT, LOW_RES).low_res
    assert low_res is not None
    timestep = min(round(1000 * aug_level), 999)
    assert low_res.noise_level == timestep
    expected = DDPMScheduler(beta_schedule="squaredcos_cap_v2").add_noise(
        F.interpolate(LOW_RES[None], size=(16, 16), mode="bilinear", align_corners=True)[0],
        noise(3, "16/augmentation", (3, 16, 16)),
        torch.tensor([timestep]),
    )
    torch.testing.assert_close(low_res.pixels, expected, rtol=0, atol=1e-5)


@pytest.mark.parametrize("value", [float("inf"), float("-inf"), float("nan")], ids=str)
@pytest.mark.parametrize("threshold", [None, Threshold(1.0), Threshold(1.5, 0.5)], ids=str)
@pytest.mark.parametrize("spoiled_step", [0, 2])
def test_one_number_that_is_not_finite_fails_its_image_and_no_other(
    base: Stage, value: float, threshold: Threshold | None, spoiled_step: int
) -> None:
    """Though a threshold clips infinity to what an image can be."""
    stage = Stage(replace(base.spec, threshold=threshold), base.network)
    asked = StageSettings(3, "ddim", guidance_scale=4.0)
    spoiled, prompt, negative = torch.eye(3, 5 * TEXT_WIDTH).view(3, 5, TEXT_WIDTH)
    texts = [TextCondition(spoiled, negative), TextCondition(prompt, negative)]
    (failing, neighbour), undisturbed = (
        [stage.start(seed, asked, text) for seed, text in enumerate(texts)] for _ in range(2)
    )
    step_to_the_end(stage, undisturbed)
    unet = stage.network.unet
    with spoiling(unet, spoiled, value, lambda: failing.steps_done == spoiled_step):
        step_to_the_end(stage, [failing, neighbour])
    with pytest.raises(NotFinite, match="stage 8 came to numbers that are not finite"):
        stage.finish(failing)
    assert torch.equal(stage.finish(neighbour), stage.finish(undisturbed[1]))


def test_an_image_that_ends_in_infinity_fails_though_its_output_is_clipped(base: Stage) -> None:
    image = base.start(0, MIXED[0], SOME_TEXT)
    image.x[0, 0, 0] = float("-inf")
    with pytest.raises(NotFinite):
        base.finish(image)


def test_a_step_that_fails_at_its_second_shape_can_be_taken_again(base: Stage) -> None:
    one_row, two_rows = StageSettings(3, "ddpm", 1.0), StageSettings(3, "ddpm", 4.0, width=16)
    failing, undisturbed = (
        [base.start(0, one_row, SOME_TEXT), base.start(1, two_rows, SOME_TEXT)] for _ in range(2)
    )
    base.step(failing)
    with memory_for(base.network.unet, rows=1) as rows, pytest.raises(torch.OutOfMemoryError):
        base.step(failing)
    assert rows == [1, 2]
    assert [image.steps_done for image in failing] == [1, 1]
    step_to_the_end(base, failing)
    step_to_the_end(base, undisturbed)
    for one, other in zip(failing, undisturbed, strict=True):
        assert torch.equal(one.x, other.x)


def test_a_base_stage_refuses_a_low_res_image(base: Stage) -> None:
    with pytest.raises(ValueError, match="stage 8 is a base stage"):
        base.start(0, MIXED[0], SOME_TEXT, LOW_RES)


@pytest.mark.parametrize(
    ("low_res", "aug_level"), [(None, 0.1), (LOW_RES, None)], ids=["low_res", "aug_level"]
)
def test_a_super_resolution_stage_needs_a_low_res_image_and_its_level(
    super_resolution: Stage, low_res: Tensor | None, aug_level: float | None
) -> None:
    asked = replace(MIXED[0], aug_level=aug_level)
    with pytest.raises(ValueError, match="stage 16 enlarges: it needs a low-res image and an aug"):
        super_resolution.start(0, asked, SOME_TEXT, low_res)


def test_a_size_that_the_network_cannot_halve_is_refused(base: Stage) -> None:
    with pytest.raises(ValueError, match="multiples of 2 at stage 8, not 7 x 8"):
        base.start(0, replace(MIXED[0], width=7), SOME_TEXT)
