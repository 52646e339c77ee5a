"""Reads the configurations of a diffusers pipeline's folder: what its parts are."""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator

from model.errors import InvalidCascade
from model.loading.config_file import read_config
from model.loading.folder import Folder

OF_LATENT_SPACE = ("vae", "vqvae", "movq", "vqmodel")
"""Parts of pipelines that do not draw pixels."""


class PipelineIndex(BaseModel):
    """model_index.json: the class of the pipeline and, under the parts' names, theirs."""

    model_config = ConfigDict(extra="allow")

    class_name: str = Field(default="", alias="_class_name")

    @classmethod
    def read(cls, folder: Folder) -> "PipelineIndex":
        """That of a folder; without parts where there is no such file."""
        file = folder.path / "model_index.json"
        return read_config(file, cls, "") if file.exists() else cls()

    @property
    def is_deepfloyd(self) -> bool:
        return self.class_name.startswith("IF")

    def lists(self, part: str) -> bool:
        """Whether the pipeline has the part; [null, null] is one that it was saved without."""
        entry = (self.model_extra or {}).get(part)
        return isinstance(entry, list) and any(word is not None for word in entry)

    def check_pixel_space(self, folder: Folder) -> None:
        """Raises InvalidCascade for a pipeline of another family than DeepFloyd IF's."""
        if not self.class_name or self.is_deepfloyd:
            return
        file = folder.path / "model_index.json"
        if any(self.lists(part) for part in OF_LATENT_SPACE):
            raise InvalidCascade(
                f"{file}: {self.class_name} is a latent-space pipeline; a cascade needs"
                " pixel-space stages, such as DeepFloyd IF's"
            )
        raise InvalidCascade(
            f"{file}: {self.class_name} is no pipeline that is known here; a cascade takes IF's"
        )


class UNetConfig(BaseModel):
    """Of unet/config.json what sampling asks for; the rest is the network's own business."""

    class_name: Literal["UNet2DConditionModel"] = Field(alias="_class_name")
    sample_size: int = Field(ge=1)
    in_channels: int
    out_channels: Literal[3, 6]
    block_out_channels: tuple[int, ...] = Field(min_length=1)
    down_block_types: tuple[str, ...] = ()
    mid_block_type: str | None = None
    up_block_types: tuple[str, ...] = ()
    cross_attention_dim: int | tuple[int, ...] = 1280
    encoder_hid_dim: int | None = None
    encoder_hid_dim_type: Literal["text_proj"] | None = None
    class_embed_type: Literal["timestep"] | None = None

    @field_validator("in_channels")
    @classmethod
    def _is_of_pixels(cls, channels: int) -> int:
        if channels not in (3, 6):
            raise ValueError(
                f"{channels} is not a pixel-space stage's: a base has 3, super-resolution 6"
            )
        return channels

    @classmethod
    def read(cls, folder: Folder) -> "UNetConfig":
        """Of a stage's folder. Raises InvalidCascade that names the file and the field."""
        file = folder.path / "unet" / "config.json"
        config = read_config(file, cls, "a stage's folder holds a U-Net")
        if config.is_super_resolution != (config.class_embed_type is not None):
            raise InvalidCascade(
                f"{file}: class_embed_type must be timestep, for the noise level, where in_channels"
                " is 6, and null where it is 3"
            )
        return config

    @property
    def multiple(self) -> int:
        """What a picture's width and height must be multiples of: all blocks but one halve them."""
        halvings: int = len(self.block_out_channels) - 1
        return 1 << halvings

    @property
    def is_super_resolution(self) -> bool:
        return self.in_channels == 6

    @property
    def text_width(self) -> int | None:
        """Of the embeddings that it takes; None if it takes none."""
        if self.encoder_hid_dim is not None:
            return self.encoder_hid_dim
        blocks = (*self.down_block_types, self.mid_block_type or "", *self.up_block_types)
        if not any("CrossAttn" in block for block in blocks):
            return None
        widths = self.cross_attention_dim
        return widths if isinstance(widths, int) else widths[0]


class TextEncoderConfig(BaseModel):
    """Of text_encoder/config.json what is asked here."""

    model_type: Literal["t5"]
    d_model: int = Field(ge=1)

    @classmethod
    def read(cls, folder: Folder) -> "TextEncoderConfig":
        """Of a text encoder's folder, which has a tokenizer too. Raises InvalidCascade."""
        needed = f"{folder} is to encode text, and such a folder holds a tokenizer and a T5 encoder"
        tokenizer = folder.path / "tokenizer"
        if not tokenizer.is_dir():
            raise InvalidCascade(f"{tokenizer} is missing: {needed}")
        if not any((tokenizer / name).is_file() for name in ("tokenizer.json", "spiece.model")):
            raise InvalidCascade(
                f"{tokenizer} has neither tokenizer.json nor spiece.model: {needed}"
            )
        return read_config(folder.path / "text_encoder" / "config.json", cls, needed)
