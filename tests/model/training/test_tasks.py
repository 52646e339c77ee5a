"""What a step computes, held against the stage that is served."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from diffusers import UNet2DConditionModel
from torch import Tensor

from model.guidance import Prediction
from model.schedule import Schedule
from model.training.conditions import Precomputed
from model.training.data.examples import Batch
from model.training.loss import Weighting, add_noise, error_weight, target
from model.training.randomness import Draws
from model.training.tasks import BaseTask, Denoising, SuperResolutionTask, downsampled, upsampled
from tests.tiny_cascade import TEXT_WIDTH

SCHEDULE = Schedule("squaredcos_cap_v2")
BATCH = 4


class Recording(torch.nn.Module):
    """In a U-Net's place: keeps what it is shown, and predicts nothing."""

    def __init__(self) -> None:
        super().__init__()
        self.device = torch.device("cpu")
        self.weight = torch.nn.Parameter(torch.zeros(()))

    def forward(self, inputs: Tensor, timesteps: Tensor, **more: Tensor) -> tuple[Tensor]:
        self.inputs, self.timesteps, self.more = inputs, timesteps, more
        return (inputs[:, :3] * self.weight,)


@pytest.fixture
def unet() -> Recording:
    return Recording()


def batch(size_px: int, device: str = "cpu") -> Batch:
    generator = torch.Generator().manual_seed(0)
    pictures = torch.rand(BATCH, 3, size_px, size_px, generator=generator) * 2 - 1
    embeddings = torch.randn(BATCH, 5, TEXT_WIDTH, generator=generator).half()
    return Batch(pictures, ("a dog",) * BATCH, embeddings).to(torch.device(device))


def draws(start: int = 0) -> Draws:
    return Draws.of(0, range(start, start + BATCH), BATCH)


def texts(device: str = "cpu") -> Precomputed:
    return Precomputed(torch.zeros(5, TEXT_WIDTH)).to(device)


@pytest.mark.parametrize("prediction", Prediction)
def test_the_error_is_that_of_the_prediction(unet: Recording, prediction: Prediction) -> None:
    denoising = Denoising(SCHEDULE, prediction, Weighting.MIN_SNR)
    found = BaseTask(unet, denoising, texts())(batch(8), draws())
    alpha_bar = SCHEDULE.alpha_bar.float()[unet.timesteps]
    rows = alpha_bar.view(-1, 1, 1, 1)
    x0 = batch(8).pictures
    noise = (unet.inputs - rows.sqrt() * x0) / (1 - rows).sqrt()
    wanted = target(prediction, x0, noise, alpha_bar)
    plain = wanted.square().mean(dim=(1, 2, 3))
    torch.testing.assert_close(found.plain, plain, rtol=1e-3, atol=1e-3)
    weight = error_weight(Weighting.MIN_SNR, prediction, alpha_bar)
    torch.testing.assert_close(found.objective, weight * found.plain)


def test_timesteps_are_spread_over_the_schedule(unet: Recording) -> None:
    task = BaseTask(unet, Denoising(SCHEDULE), texts())
    for start in range(0, 40, BATCH):
        task(batch(8), draws(start))
        assert sorted(t // 250 for t in unet.timesteps.tolist()) == [0, 1, 2, 3]


def test_as_many_captions_are_dropped_as_asked(unet: Recording) -> None:
    task = BaseTask(unet, Denoising(SCHEDULE), texts(), dropout=0.25)
    dropped = 0
    for start in range(0, 100 * BATCH, BATCH):
        task(batch(8), draws(start))
        shown = unet.more["encoder_hidden_states"]
        is_empty = (shown == 0).all(dim=(1, 2))
        assert torch.equal(shown[~is_empty], batch(8).embeddings.float()[~is_empty])  # type: ignore[union-attr]
        dropped += int(is_empty.sum())
    assert dropped == pytest.approx(100, abs=30)


def test_super_resolution_sees_what_it_will_be_served(unet: Recording) -> None:
    """The low-res picture is made, enlarged and noised as model.stage does."""
    noising = Schedule("linear")
    task = SuperResolutionTask(unet, Denoising(SCHEDULE), 4, noising=noising)
    task(batch(8), draws())
    levels = unet.more["class_labels"]
    assert levels.max() < 0.4 * 1000
    assert len(set(levels.tolist())) > 1
    alpha_bar = noising.alpha_bar.float()[levels]
    low_res = batch(8).pictures.unflatten(2, (4, 2)).unflatten(4, (4, 2)).mean(dim=(3, 5))
    torch.testing.assert_close(downsampled(batch(8).pictures, 4), low_res)
    enlarged = torch.nn.functional.interpolate(low_res, size=8, mode="bilinear", align_corners=True)
    clean = add_noise(enlarged, torch.zeros_like(enlarged), alpha_bar)
    noise = (unet.inputs[:, 3:] - clean) / (1 - alpha_bar).sqrt().view(-1, 1, 1, 1)
    assert noise.std().item() == pytest.approx(1, abs=0.1)
    assert unet.more["encoder_hidden_states"] is None


def test_crops_of_both_pictures_are_of_one_place(unet: Recording) -> None:
    """On a slope, which keeps its value at every place however it is resized."""
    slope = torch.linspace(-1, 1, 16).expand(BATCH, 3, 16, 16)
    task = SuperResolutionTask(unet, Denoising(SCHEDULE), 16, 6, max_aug_level=0.0)
    lefts = set()
    for start in range(0, 40 * BATCH, BATCH):
        given = task.given(replace(batch(16), pictures=slope), draws(start))
        assert given.x0.shape == (BATCH, 3, 6, 6)
        assert given.low_res is not None
        torch.testing.assert_close(given.low_res, given.x0, rtol=0, atol=0.05)
        lefts |= set(((given.x0[:, 0, 0, 0] + 1) * 7.5).round().int().tolist())
    assert lefts == set(range(11))


def test_enlarging_is_the_stages_own() -> None:
    picture = torch.rand(1, 3, 4, 4)
    expected = torch.nn.functional.interpolate(picture, 8, mode="bilinear", align_corners=True)
    assert torch.equal(upsampled(picture, 8), expected)


def test_nothing_is_left_on_the_cpu(tiny_cascade: Path) -> None:
    """On the meta device, where a tensor of another one is refused as on a GPU."""
    for name, size_px in (("base", 8), ("super_resolution", 16)):
        config = UNet2DConditionModel.load_config(tiny_cascade / name / "unet")
        with torch.device("meta"):
            network = UNet2DConditionModel.from_config(config)
        denoising, text = Denoising(SCHEDULE), texts("meta")
        task = (
            BaseTask(network, denoising, text)
            if name == "base"
            else SuperResolutionTask(network, denoising, 8, conditions=text)
        )
        found = task(batch(size_px, "meta"), draws())
        assert found.objective.shape == (BATCH,)
        found.objective.mean().backward()
