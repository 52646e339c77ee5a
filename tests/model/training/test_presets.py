"""Presets: the published sizes, counted twice; shapes; that a stage of one can be served."""

from itertools import pairwise
from pathlib import Path

import pytest
import torch

from model.errors import InvalidTraining
from model.loading.folder import Folder
from model.loading.stage_folder import UNetConfig
from model.training.presets import PRESETS, Preset, build, network_config

T5_XXL = 4096
PUBLISHED = {"imagen-64": 2e9, "imagen-256": 600e6, "imagen-1024": 400e6}
"""Saharia et al. 2022, section 4.1."""


@pytest.mark.parametrize("name", PRESETS)
@pytest.mark.parametrize("text_width", [192, T5_XXL])
def test_it_has_as_many_parameters_as_its_layers_by_hand(name: str, text_width: int) -> None:
    with torch.device("meta"):
        unet = build(network_config(name, text_width))
    counted = sum(parameter.numel() for parameter in unet.parameters())
    assert counted == Layers(PRESETS[name], text_width).parameters()


@pytest.mark.parametrize(("name", "published"), PUBLISHED.items())
def test_imagens_own_are_of_the_published_size(name: str, published: float) -> None:
    assert Layers(PRESETS[name], T5_XXL).parameters() == pytest.approx(published, rel=0.02)


class Layers:
    """The parameters of a U-Net from the shapes of its layers, without diffusers."""

    def __init__(self, preset: Preset, text_width: int):
        self.preset = preset
        self.text_width = text_width

    def parameters(self) -> int:
        return self.ends() + self.conditioning() + self.encoder() + self.middle() + self.decoder()

    def ends(self) -> int:
        """The first convolution, and the norm and convolution at the end."""
        pixels = 6 if self.preset.is_super_resolution else 3
        finest = self.preset.channels[0]
        return conv(3, pixels, finest) + norm(finest) + conv(3, finest, 3)

    def conditioning(self) -> int:
        """Time, noise level, pooled text; and the tokens as attention sees them."""
        finest, time, text = self.preset.channels[0], self.preset.time_channels, self.text_width
        scalar = linear(finest, time) + linear(time, time)
        pooling = norm(text) + text + 3 * linear(text, text) + linear(text, time) + norm(time)
        scalars = 2 if self.preset.is_super_resolution else 1
        return scalars * scalar + pooling + linear(text, self.preset.text_channels)

    def encoder(self) -> int:
        channels, total = self.preset.channels, 0
        for level, (before, here) in enumerate(pairwise((channels[0], *channels))):
            blocks = self.preset.blocks[level]
            total += self.residual(before, here) + (blocks - 1) * self.residual(here, here)
            total += blocks * self.attention_at(level)
            if level < len(channels) - 1:
                total += self.residual(here, here)  # half the size
        return total

    def middle(self) -> int:
        coarsest = self.preset.channels[-1]
        return 2 * self.residual(coarsest, coarsest) + self.attention(coarsest)

    def decoder(self) -> int:
        """Every block takes, beside what came before, one output of the encoder: the last first."""
        channels, total = self.preset.channels, 0
        skips = self.skips()
        before = channels[-1]
        for level in reversed(range(len(channels))):
            for _ in range(self.preset.blocks[level] + 1):
                total += self.residual(before + skips.pop(), channels[level])
                total += self.attention_at(level)
                before = channels[level]
            if level > 0:
                total += self.residual(before, before)  # twice the size
        assert not skips
        return total

    def skips(self) -> list[int]:
        """Channels of every output of the encoder, in order."""
        channels = self.preset.channels
        skips = [channels[0]]
        for level, blocks in enumerate(self.preset.blocks):
            halved = level < len(channels) - 1
            skips += [channels[level]] * (blocks + halved)
        return skips

    def residual(self, before: int, after: int) -> int:
        """Its scale and shift come from the embedding of time."""
        modulation = linear(self.preset.time_channels, 2 * after)
        shortcut = conv(1, before, after) if before != after else 0
        convolutions = norm(before) + conv(3, before, after) + norm(after) + conv(3, after, after)
        return convolutions + modulation + shortcut

    def attention_at(self, level: int) -> int:
        is_coarse = level >= len(self.preset.channels) - self.preset.attending
        return self.attention(self.preset.channels[level]) if is_coarse else 0

    def attention(self, channels: int) -> int:
        """Queries and output; keys and values of the text, and perhaps of the picture."""
        text = self.preset.text_channels
        own = (4 if self.preset.self_attention else 2) * linear(channels, channels)
        return norm(channels) + norm(text) + own + 2 * linear(text, channels)


def conv(kernel: int, before: int, after: int) -> int:
    return kernel**2 * before * after + after


def linear(before: int, after: int) -> int:
    return before * after + after


def norm(channels: int) -> int:
    return 2 * channels


@pytest.mark.parametrize("name", PRESETS)
def test_it_predicts_a_picture_of_its_size(name: str) -> None:
    config = network_config(name, 768)
    size_px = config["sample_size"]
    with torch.device("meta"):
        predicted = build(config)(
            torch.zeros(2, config["in_channels"], size_px, size_px),
            torch.zeros(2),
            encoder_hidden_states=torch.zeros(2, 7, 768),
            class_labels=torch.zeros(2) if config["in_channels"] == 6 else None,
        ).sample
    assert predicted.shape == (2, 3, size_px, size_px)


@pytest.mark.parametrize("name", PRESETS)
def test_a_stage_of_it_is_one_that_is_served(name: str, tmp_path: Path) -> None:
    with torch.device("meta"):
        build(network_config(name, 768)).save_config(tmp_path / "unet")
    read = UNetConfig.read(Folder(tmp_path))
    assert read.is_super_resolution == PRESETS[name].is_super_resolution
    assert read.text_width == 768
    assert read.sample_size == int(name.split("-")[1])


@pytest.mark.parametrize("text_width", [64, 100, 192, 512, 4096])
def test_text_of_any_width_can_be_pooled(text_width: int) -> None:
    with torch.device("meta"):
        unet = build(network_config("sr-128-tiny", text_width))
        text = torch.zeros(1, 3, text_width)
        unet(torch.zeros(1, 6, 16, 16), 0, text, class_labels=torch.zeros(1))


def test_text_and_noise_level_count(tmp_path: Path) -> None:
    unet = build(network_config("sr-128-tiny", 32))
    picture, texts = torch.randn(1, 6, 16, 16), torch.randn(2, 1, 3, 32)
    with torch.inference_mode():
        first, other_text, other_level = (
            unet(picture, 5, text, class_labels=torch.tensor([level])).sample
            for text, level in [(texts[0], 3), (texts[1], 3), (texts[0], 900)]
        )
    assert not torch.equal(first, other_text)
    assert not torch.equal(first, other_level)


def test_an_unknown_name_is_told_what_there_is() -> None:
    with pytest.raises(InvalidTraining, match=r"^network: 'imagen-65' is no preset.*imagen-64, "):
        network_config("imagen-65", 768)


def test_a_table_that_describes_no_network_is_refused() -> None:
    config = network_config("sr-128-tiny", 64)
    with pytest.raises(InvalidTraining, match=r"^network: channels, layers: .* no such field"):
        build(config | {"layers": 2, "channels": 3, "_class_name": "UNet2DConditionModel"})
    with pytest.raises(InvalidTraining, match=r"^network: cannot be built: .*block_out_channels"):
        build(config | {"block_out_channels": (32, 64)})
