"""Row buckets, byte for byte; compilation; and that a step never waits for the device."""

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from diffusers import UNet2DConditionModel
from torch import Tensor
from torch._dynamo.utils import counters
from torch.utils._python_dispatch import TorchDispatchMode, _disable_current_modes

from model.adapters import Adapter, LowRank
from model.calibration import calibrate
from model.guidance import Prediction, Threshold
from model.network import Network, NetworkOptions, Rows
from model.plan import StageSettings
from model.samplers import Sampler, Variance
from model.schedule import Schedule
from model.stage import Stage, StageSpec
from model.trajectory import TextCondition, Trajectory
from tests.tiny_cascade import TEXT_WIDTH

TOKENS = 5


@pytest.fixture(scope="module")
def base(tiny_cascade: Path) -> Any:
    return UNet2DConditionModel.from_pretrained(tiny_cascade / "base" / "unet")


@pytest.fixture(scope="module")
def super_resolution(tiny_cascade: Path) -> Any:
    return UNet2DConditionModel.from_pretrained(tiny_cascade / "super_resolution" / "unet")


def random_rows(count: int, size_px: int, is_super_resolution: bool = False) -> Rows:
    def images() -> Tensor:
        return torch.randn(count, 3, size_px, size_px)

    def levels() -> Tensor:
        return torch.randint(0, 1000, (count,))

    text = torch.randn(count, TOKENS, TEXT_WIDTH)
    if is_super_resolution:
        return Rows(images(), levels(), text, images(), levels())
    return Rows(images(), levels(), text)


def stage_of(network: Network, sampler: str = "dpmpp") -> Stage:
    spec = StageSpec("8", 8, 2, Schedule(), Prediction.V, StageSettings(4, sampler, 3.0))
    return Stage(spec, network)


def begin(stage: Stage, seed: int, steps: int = 4) -> Trajectory:
    text = TextCondition(*torch.randn(2, TOKENS, TEXT_WIDTH, generator=seeded(seed)))
    scale = 1.0 if seed % 3 == 0 else 2.0 + seed
    sampler = ("dpmpp", "ddim", "ddpm", "dpmpp_sde")[seed % 4]
    return stage.start(seed, StageSettings(steps, sampler, scale), text)


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize("buckets", [(1,), (4,), (2, 4, 8)])
@torch.inference_mode()
def test_buckets_change_no_prediction(super_resolution: Any, buckets: tuple[int, ...]) -> None:
    rows = random_rows(11, 16, is_super_resolution=True)
    padded = Network(super_resolution, NetworkOptions(buckets))(rows)
    torch.testing.assert_close(padded, Network(super_resolution)(rows), rtol=0, atol=1e-5)


class CountedForwards(Network):
    """Notes how many rows each forward of the U-Net had."""

    def __init__(self, unet: Any, buckets: tuple[int, ...]):
        super().__init__(unet, NetworkOptions(buckets))
        self.counts: list[int] = []

    def _run(self, rows: Rows) -> Tensor:
        self.counts.append(len(rows))
        return super()._run(rows)


@pytest.mark.parametrize(
    ("rows", "forwards"), [(1, [1]), (3, [4]), (4, [4]), (5, [4, 1]), (11, [4, 4, 4])]
)
@torch.inference_mode()
def test_a_batch_is_cut_into_the_largest_bucket_and_the_rest_padded(
    base: Any, rows: int, forwards: list[int]
) -> None:
    network = CountedForwards(base, (4, 1))
    assert len(network(random_rows(rows, 8))) == rows
    assert network.counts == forwards


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_with_one_bucket_an_image_is_the_same_to_the_last_bit_in_any_batch(
    base: Any, dtype: torch.dtype
) -> None:
    stage = stage_of(Network(copy.deepcopy(base).to(dtype), NetworkOptions((4,))))

    def draw(together: list[int]) -> dict[int, Tensor]:
        """Images that join one after the other, each when the one before has taken a step."""
        waiting, flying, done = list(together), dict[int, Trajectory](), dict[int, Tensor]()
        while waiting or flying:
            if waiting:
                seed = waiting.pop(0)
                flying[seed] = begin(stage, seed)
            stage.step(list(flying.values()))
            for seed in [seed for seed, image in flying.items() if image.is_finished]:
                done[seed] = stage.finish(flying.pop(seed))
        return done

    alone = {seed: draw([seed])[seed] for seed in range(7)}
    for together in ([0, 1, 2, 3, 4, 5, 6], [6, 2, 4], [5, 0]):
        drawn = draw(together)
        assert all(torch.equal(drawn[seed], alone[seed]) for seed in together)


@pytest.mark.filterwarnings("ignore::DeprecationWarning:torch")  # torch warns of itself
def test_calibration_compiles_all_that_steps_need_and_the_pictures_stay_the_same(base: Any) -> None:
    plain = stage_of(Network(base))
    compiled = stage_of(Network(base, NetworkOptions((2,), compiled=True)))
    calibrate(compiled.network, compiled.one_row(torch.zeros(TOKENS, TEXT_WIDTH)))
    graphs = counters["stats"]["unique_graphs"]
    assert graphs > 0
    expected, drawn = (begin(stage, seed=1) for stage in (plain, compiled))
    for stage, image in ((plain, expected), (compiled, drawn)):
        while not image.is_finished:
            stage.step([image])
    torch.testing.assert_close(drawn.x, expected.x, rtol=0, atol=1e-4)
    assert counters["stats"]["unique_graphs"] == graphs


@pytest.mark.filterwarnings("ignore::DeprecationWarning:torch")  # torch warns of itself
def test_only_the_networks_own_shape_is_compiled(base: Any) -> None:
    network = Network(base, NetworkOptions((2,), compiled=True))

    def compiled(*args: object, **kwargs: object) -> None:
        raise AssertionError("compiled for a shape that any client may ask for")

    network._compiled = compiled
    with torch.inference_mode():
        assert network(random_rows(2, 12)).shape == (2, 3, 12, 12)
        with pytest.raises(AssertionError):
            network(random_rows(2, 8))


def test_a_compiled_network_needs_buckets(base: Any) -> None:
    with pytest.raises(ValueError, match="needs buckets"):
        Network(base, NetworkOptions(compiled=True))


class NothingCrosses(TorchDispatchMode):
    """Refuses whatever takes a CPU tensor to the device: on a GPU, such a copy can wait for it."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]

    def __torch_dispatch__(
        self, function: Callable[..., Any], types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        result = function(*args, **(kwargs or {}))
        before = {each.device.type for each in args if isinstance(each, Tensor)}
        if isinstance(result, Tensor) and result.device.type == "meta" and "cpu" in before:
            raise AssertionError(f"{function} brings a tensor from the CPU")
        return result


class NoisyStage(Stage):
    """Fresh noise has to cross, since it is drawn on the CPU; only that."""

    def _fresh_noise(self, image: Trajectory) -> Tensor:
        with _disable_current_modes():
            return super()._fresh_noise(image)


@pytest.mark.parametrize("is_super_resolution", [False, True])
def test_a_step_neither_reads_from_the_device_nor_copies_to_it(
    base: Any, super_resolution: Any, is_super_resolution: bool
) -> None:
    """On the meta device, which has no values, reading one raises by itself."""
    config = dict((super_resolution if is_super_resolution else base).config)
    with torch.device("meta"):
        unet = UNet2DConditionModel.from_config(config | {"out_channels": 6})
    spec = StageSpec(
        "8",
        8,
        2,
        Schedule(),
        Prediction.EPSILON,
        StageSettings(4, "ddpm", 3.0),
        noising_schedule=Schedule() if is_super_resolution else None,
        threshold=Threshold(cap=1.5, ratio=0.95),
        variance=Variance.LEARNED_RANGE,
    )
    query = LowRank(torch.empty(2, 16, device="meta"), torch.empty(16, 2, device="meta"))
    adapter = Adapter("ink", {"mid_block.attentions.0.to_q": query})
    stage = NoisyStage(spec, Network(unet.eval(), adapters=[adapter]))
    text = TextCondition(*torch.randn(2, TOKENS, TEXT_WIDTH))
    low_res = torch.zeros(3, 2, 2) if is_super_resolution else None
    aug_level = 0.1 if is_super_resolution else None
    images = [
        stage.start(
            0,
            StageSettings(2, sampler, scale, aug_level, adapters={"ink": scale - 1}),
            text,
            low_res,
        )
        for sampler, scale in zip(Sampler, (1.0, 2.0, 3.0, 1.0, 2.0, 3.0), strict=True)
    ]
    with NothingCrosses():
        stage.step(images)
        stage.step(images)
    assert all(image.is_finished for image in images)


def test_that_guard_notices_a_copy() -> None:
    with NothingCrosses(), pytest.raises(AssertionError, match="from the CPU"):
        torch.zeros(2).to("meta")
    with pytest.raises((RuntimeError, NotImplementedError)):
        torch.zeros(2, device="meta")[0].item()
