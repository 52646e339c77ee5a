"""Rows with other adapters in one batch, each as peft draws it alone; and rows with none."""

from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from diffusers import UNet2DConditionModel
from torch import Tensor, nn
from torch._dynamo.utils import counters

from model.adapters import AdaptedLayer, AdaptedUNet, Adapter, Asked, LowRank
from model.guidance import Prediction
from model.loading.adapter_file import AdapterFile
from model.loading.folder import Folder
from model.network import Network, NetworkOptions, Rows
from model.placement import Placement
from model.plan import StageSettings
from model.schedule import Schedule
from model.stage import Stage, StageSpec
from model.trajectory import TextCondition, Trajectory
from tests.adapters import WIDELY, with_random_adapter, write_adapter
from tests.tiny_cascade import TEXT_WIDTH

pytestmark = [
    # peft says so of every second adapter, and torch, where it compiles, warns of itself.
    pytest.mark.filterwarnings("ignore:Already found a `peft_config` attribute"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning:torch"),
]

TOKENS = 5
CPU = torch.device("cpu")

ASKED = [{}, {"ink": 1.0}, {"clay": 0.5}, {"ink": 0.5, "clay": -1.5}, {"ink": 0.0}]
"""By row."""

SETTINGS: dict[str, Any] = {
    "ink": {"rank": 3, "alpha": 4.5, "targets": WIDELY},
    "clay": {"rank": 2, "alpha": 2},
}


@pytest.fixture(scope="module")
def folder(tiny_cascade: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Both adapters of the tiny cascade's base."""
    folder = tmp_path_factory.mktemp("adapters")
    for name, settings in SETTINGS.items():
        write_adapter(folder / name, tiny_cascade / "base", name, **settings)
    return folder


def new_unet(tiny_cascade: Path, dtype: torch.dtype = torch.float32) -> Any:
    unet = UNet2DConditionModel.from_pretrained(tiny_cascade / "base" / "unet")
    return unet.to(dtype).requires_grad_(False)


def adapted(
    tiny_cascade: Path,
    folder: Path,
    options: NetworkOptions | None = None,
    dtype: torch.dtype = torch.float32,
) -> Network:
    unet, placement = new_unet(tiny_cascade, dtype), Placement(CPU, dtype)
    files = [AdapterFile(name, Folder(folder / name), unet, placement) for name in SETTINGS]
    return Network(unet, options, [file.load() for file in files])


def peft_unet(tiny_cascade: Path, asked: dict[str, float]) -> Any:
    """With the adapters that are asked for, as diffusers and peft run them."""
    unet = new_unet(tiny_cascade)
    for name in asked:
        with_random_adapter(unet, name, **SETTINGS[name])
    if asked:
        unet.set_adapters(list(asked), weights=list(asked.values()))
    return unet


def random_rows(count: int, scales: Tensor | None = None) -> Rows:
    generator = torch.Generator().manual_seed(0)
    return Rows(
        torch.randn(count, 3, 8, 8, generator=generator),
        torch.randint(0, 1000, (count,), generator=generator),
        torch.randn(count, TOKENS, TEXT_WIDTH, generator=generator),
        adapter_scales=scales,
    )


def scales_of(asked: list[dict[str, float]]) -> Tensor:
    return torch.tensor([[each.get(name, 0.0) for name in SETTINGS] for each in asked])


@torch.inference_mode()
def test_each_row_of_a_batch_has_its_own_adapters_as_peft_runs_them_alone(
    tiny_cascade: Path, folder: Path
) -> None:
    rows = random_rows(len(ASKED), scales_of(ASKED))
    together = adapted(tiny_cascade, folder)(rows)
    plain = random_rows(len(ASKED))
    alone = torch.cat(
        [Network(peft_unet(tiny_cascade, asked))(plain[i : i + 1]) for i, asked in enumerate(ASKED)]
    )
    torch.testing.assert_close(together, alone, rtol=0, atol=1e-5)
    without = Network(new_unet(tiny_cascade))(plain)
    assert ((together - without).abs().amax(dim=(1, 2, 3)) > 1e-2).tolist() == [
        False,
        True,
        True,
        True,
        False,
    ]


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@torch.inference_mode()
def test_a_row_without_adapters_is_the_same_to_the_last_bit_beside_rows_with_any(
    tiny_cascade: Path, folder: Path, dtype: torch.dtype
) -> None:
    network = adapted(tiny_cascade, folder, dtype=dtype)
    without = Network(new_unet(tiny_cascade, dtype))(random_rows(len(ASKED)))
    beside = network(random_rows(len(ASKED), scales_of(ASKED)))
    for row in (0, 4):
        assert torch.equal(beside[row], without[row])
    assert torch.equal(network(random_rows(len(ASKED))), without)


@torch.inference_mode()
def test_what_a_row_does_not_ask_for_cannot_spoil_it(tiny_cascade: Path, folder: Path) -> None:
    """As where a half type overflows. A batch that asks for none does not look at adapters."""
    network = adapted(tiny_cascade, folder)
    layers = [layer for layer in network.unet.modules() if isinstance(layer, AdaptedLayer)]
    for layer in layers:
        layer.down.fill_(torch.inf)
    drawn = network(random_rows(2, scales_of([{}, {"ink": 1.0}])))
    assert drawn[0].isfinite().all()
    assert not drawn[1].isfinite().all()
    for layer in layers:
        layer.up.fill_(torch.nan)
    assert network(random_rows(2)).isfinite().all()


@pytest.mark.parametrize(
    ("base", "shape"),
    [
        (nn.Linear(6, 5), (3, 6)),
        (nn.Linear(6, 5, bias=False), (3, 4, 7, 6)),
        (nn.Conv2d(6, 5, 1), (3, 6, 4, 4)),
        (nn.Conv2d(6, 5, 3, stride=2, padding=1), (3, 6, 9, 8)),
        (nn.Conv2d(6, 5, (3, 1), padding=(2, 0), dilation=2), (3, 6, 9, 8)),
    ],
    ids=str,
)
@torch.inference_mode()
def test_a_layer_does_what_it_would_with_merged_weights(
    base: nn.Linear | nn.Conv2d, shape: tuple[int, ...]
) -> None:
    x = torch.randn(shape)
    kernel = base.weight.shape[2:]
    parts = [
        LowRank(torch.randn(rank, 6, *kernel), torch.randn(5, rank, *(1 for _ in kernel)))
        for rank in (1, 3)
    ]
    scales = torch.tensor([[0.0, 0.7], [1.0, 0.0], [-2.0, 0.3]])
    layer = AdaptedLayer(base, list(enumerate(parts)), Asked(scales))
    for row, drawn in enumerate(layer(x)):
        merged = base.weight.clone()
        for scale, part in zip(scales[row], parts, strict=True):
            merged += scale * torch.einsum("or,ri...->oi...", part.up.flatten(1), part.down)
        expected = (
            F.conv2d(x[row], merged, base.bias, base.stride, base.padding, base.dilation)
            if isinstance(base, nn.Conv2d)
            else F.linear(x[row], merged, base.bias)
        )
        torch.testing.assert_close(drawn, expected, rtol=0, atol=1e-4)


def stage_of(network: Network) -> Stage:
    defaults = StageSettings(3, "dpmpp", 3.0)
    return Stage(StageSpec("8", 8, 2, Schedule(), Prediction.V, defaults), network)


def begin(stage: Stage, seed: int, adapters: dict[str, float]) -> Trajectory:
    generator = torch.Generator().manual_seed(seed)
    text = TextCondition(*torch.randn(2, TOKENS, TEXT_WIDTH, generator=generator))
    scale = 1.0 if seed % 2 else 3.0
    return stage.start(seed, StageSettings(3 + seed % 3, "ddim", scale, adapters=adapters), text)


def draw(stage: Stage, *images: Trajectory) -> list[Tensor]:
    while flying := [image for image in images if not image.is_finished]:
        stage.step(flying)
    return [image.x for image in images]


def test_a_guided_picture_is_adapted_in_both_of_its_rows(tiny_cascade: Path, folder: Path) -> None:
    stage = stage_of(adapted(tiny_cascade, folder))
    fused = peft_unet(tiny_cascade, {"clay": 0.8})
    fused.fuse_lora()
    reference = stage_of(Network(fused))
    (drawn,) = draw(stage, begin(stage, 2, {"clay": 0.8}))
    (expected,) = draw(reference, begin(reference, 2, {}))
    torch.testing.assert_close(drawn, expected, rtol=0, atol=1e-4)
    (without,) = draw(stage, begin(stage, 2, {}))
    assert (drawn - without).abs().max() > 0.05


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_with_one_bucket_a_picture_is_the_same_whatever_adapters_are_beside_it(
    tiny_cascade: Path, folder: Path, dtype: torch.dtype
) -> None:
    stage = stage_of(adapted(tiny_cascade, folder, NetworkOptions((4,)), dtype))
    alone = [draw(stage, begin(stage, *each))[0] for each in enumerate(ASKED)]
    together = draw(stage, *(begin(stage, *each) for each in enumerate(ASKED)))
    assert all(torch.equal(one, other) for one, other in zip(alone, together, strict=True))


class Small(nn.Module):
    """In the place of a U-Net, to be compiled in no time."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Linear(6, 5), nn.Conv1d(3, 3, 1)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.second(self.first(x))
        return y


@torch.inference_mode()
def test_scales_are_an_input_of_a_compiled_graph() -> None:
    part = LowRank(torch.randn(2, 6), torch.randn(5, 2))
    small: Any = AdaptedUNet(Small(), [Adapter("ink", {"first": part})])
    compiled: Any = torch.compile(small, backend="aot_eager", dynamic=False)
    graphs = counters["stats"]["unique_graphs"]
    for scales in ([0.0, 0.0], [1.0, 0.0], [-0.5, 2.0]):
        x, adapter_scales = torch.randn(2, 3, 6), torch.tensor(scales)[:, None]
        drawn = compiled(x, adapter_scales=adapter_scales)
        torch.testing.assert_close(drawn, small(x, adapter_scales=adapter_scales))
    assert counters["stats"]["unique_graphs"] == graphs + 1


@torch.inference_mode()
def test_a_compiled_network_is_given_scales_also_where_no_row_has_any(
    tiny_cascade: Path, folder: Path
) -> None:
    """Or else a second graph would be compiled in the middle of a step."""
    network = adapted(tiny_cascade, folder, NetworkOptions((2, 4), compiled=True))
    seen: list[list[list[float]]] = []

    def compiled(x: Tensor, *_: Tensor, adapter_scales: Tensor, **__: object) -> tuple[Tensor]:
        seen.append(adapter_scales.tolist())
        return (x,)

    network._compiled = compiled
    network(random_rows(2))
    network(random_rows(3, scales_of([{"ink": 1.0}, {}, {"clay": 0.5}])))
    assert seen == [[[0.0, 0.0]] * 2, [[1.0, 0.0], [0.0, 0.0], [0.0, 0.5], [0.0, 0.5]]]


def test_an_adapter_that_the_stage_does_not_have_is_refused(
    tiny_cascade: Path, folder: Path
) -> None:
    with pytest.raises(
        ValueError, match="there is no adapter chalk at stage 8; there is ink, clay"
    ):
        begin(stage_of(adapted(tiny_cascade, folder)), 0, {"ink": 1.0, "chalk": 1.0})
    with pytest.raises(ValueError, match="there is no adapter ink at stage 8; there is none"):
        begin(stage_of(Network(new_unet(tiny_cascade))), 0, {"ink": 1.0})
