"""Shapes of U-Nets by name: Imagen's three, and small ones. Knows nothing of their training."""

import inspect
from collections.abc import Mapping
from dataclasses import dataclass
from math import gcd
from typing import Any

from diffusers import UNet2DConditionModel

from model.errors import InvalidTraining


@dataclass(frozen=True)
class Preset:
    """The shape of a U-Net, the finest of its levels first.

    channels and blocks: of each level; a block is a residual block of the encoder, and the decoder
    has one more at each level. attending: of so many levels, the coarsest, each block is followed
    by attention to the text and, with self_attention, to the picture. head_channels: of an
    attention head. text_channels: what a token of the text is projected to. time_channels: of the
    embedding of time, noise level and pooled text together. groups: of the group norms.
    """

    size_px: int
    channels: tuple[int, ...]
    blocks: tuple[int, ...]
    attending: int
    text_channels: int
    time_channels: int
    head_channels: int = 64
    groups: int = 32
    self_attention: bool = True
    is_super_resolution: bool = False


# Imagen's own are those of Saharia et al. 2022, appendix F, as near as diffusers' U-Net comes.
#
# The base is Nichol & Dhariwal's (2021) with text: 512 channels times 1, 2, 3 and 4, three blocks,
# attention at 32, 16 and 8 px. Super-resolution is the Efficient U-Net: 128, 256, 512 and 1024
# channels at 1/2 to 1/16 of the size, attention at 1/16, at 1024 px to the text alone. It has
# nothing but its first and last convolution at the full size; diffusers' U-Net has to have a level
# there, which is thin here.
#
# The paper's 2, 4, 8 and 8 blocks would be 790 million parameters in diffusers' U-Net, where every
# block of the decoder takes in a skip connection of its own. Fewer at the two coarsest levels give
# the published sizes. Left open in the paper, and chosen for those sizes too: text_channels and
# time_channels.
PRESETS: Mapping[str, Preset] = {
    "imagen-64": Preset(
        size_px=64,
        channels=(512, 1024, 1536, 2048),
        blocks=(3, 3, 3, 3),
        attending=3,
        text_channels=512,
        time_channels=512,
    ),
    "imagen-256": Preset(
        size_px=256,
        channels=(64, 128, 256, 512, 1024),
        blocks=(1, 2, 4, 7, 5),
        attending=1,
        text_channels=512,
        time_channels=512,
        is_super_resolution=True,
    ),
    "imagen-1024": Preset(
        size_px=1024,
        channels=(64, 128, 256, 512, 1024),
        blocks=(1, 2, 4, 7, 2),
        attending=1,
        text_channels=512,
        time_channels=512,
        self_attention=False,
        is_super_resolution=True,
    ),
    "base-64-small": Preset(
        size_px=64,
        channels=(128, 256, 384, 512),
        blocks=(2, 2, 2, 2),
        attending=3,
        text_channels=256,
        time_channels=512,
    ),
    "sr-256-small": Preset(
        size_px=256,
        channels=(32, 64, 128, 256, 384),
        blocks=(1, 1, 2, 2, 2),
        attending=1,
        text_channels=256,
        time_channels=256,
        is_super_resolution=True,
    ),
    "base-32-tiny": Preset(
        size_px=32,
        channels=(32, 96, 160, 224),
        blocks=(1, 2, 2, 2),
        attending=2,
        text_channels=128,
        time_channels=128,
        head_channels=32,
        groups=16,
    ),
    "sr-128-tiny": Preset(
        size_px=128,
        channels=(32, 48, 64, 64),
        blocks=(1, 1, 1, 1),
        attending=1,
        text_channels=128,
        time_channels=128,
        head_channels=32,
        groups=8,
        is_super_resolution=True,
    ),
}
"""With T5-XXL: 2.0 billion parameters, 590 million, 400 million. With T5-base: 107, 49, 19 and 4
million."""


def network_config(name: str, text_width: int) -> dict[str, Any]:
    """A preset as unet/config.json writes it. text_width: of the text encoder's embeddings.

    Raises InvalidTraining for a name that there is not.
    """
    preset = PRESETS.get(name)
    if preset is None:
        raise InvalidTraining(f"network: {name!r} is no preset: give one of {', '.join(PRESETS)}")
    plain = len(preset.channels) - preset.attending
    attending = preset.attending
    config: dict[str, Any] = {
        "sample_size": preset.size_px,
        "in_channels": 6 if preset.is_super_resolution else 3,
        "out_channels": 3,
        "block_out_channels": preset.channels,
        "layers_per_block": preset.blocks,
        "down_block_types": ("ResnetDownsampleBlock2D",) * plain
        + ("SimpleCrossAttnDownBlock2D",) * attending,
        "mid_block_type": "UNetMidBlock2DSimpleCrossAttn",
        "up_block_types": ("SimpleCrossAttnUpBlock2D",) * attending
        + ("ResnetUpsampleBlock2D",) * plain,
        "only_cross_attention": not preset.self_attention,
        "cross_attention_dim": preset.text_channels,
        "cross_attention_norm": "group_norm",
        "encoder_hid_dim": text_width,
        "encoder_hid_dim_type": "text_proj",
        # The text pooled by attention, which is added to the embedding of time (section 2.4).
        "addition_embed_type": "text",
        "addition_embed_type_num_heads": text_width // gcd(text_width, 64),
        "attention_head_dim": preset.head_channels,
        "time_embedding_dim": preset.time_channels,
        "resnet_time_scale_shift": "scale_shift",
        "norm_num_groups": preset.groups,
    }
    if preset.is_super_resolution:
        config["class_embed_type"] = "timestep"  # of the noise level
        config["resnet_out_scale_factor"] = 2**0.5  # what is added to a sum of two
    return config


def build(config: Mapping[str, Any]) -> UNet2DConditionModel:
    """The untrained network of a unet/config.json, on torch's default device, in its default type.

    Raises InvalidTraining for what it does not describe.
    """
    fields = {name: value for name, value in config.items() if not name.startswith("_")}
    unknown = fields.keys() - inspect.signature(UNet2DConditionModel).parameters.keys()
    if unknown:
        raise InvalidTraining(
            f"network: {', '.join(sorted(unknown))}: UNet2DConditionModel has no such field"
        )
    try:
        return UNet2DConditionModel(**fields)
    except (ValueError, TypeError, AssertionError, NotImplementedError) as error:
        raise InvalidTraining(f"network: cannot be built: {error}") from error
