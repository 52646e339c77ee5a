"""FID and CLIP score by torchmetrics, with weights that the caller has.

Knows nothing of how pictures were drawn. Pictures are uint8 [H, W, 3], as a cascade finishes them.
"""

import pickle
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torchmetrics.image.fid import FrechetInceptionDistance
from torchmetrics.multimodal.clip_score import CLIPScore
from transformers import AutoTokenizer, CLIPImageProcessorPil, CLIPModel

from model.errors import InvalidCascade

_REMEDY = (
    "give weights-inception-2015-12-05-6726825d.pth, from the releases of torch-fidelity at GitHub,"
    " or the folder that it is in"
)


class FrechetDistance:
    """How far what a network sees in drawn pictures is from what it sees in real ones.

    The Frechet distance between two Gaussians (Heusel et al. 2017, sec. 3), of which two pictures
    each are the least. features: from uint8 [B, 3, H, W] to [B, features].
    """

    def __init__(self, features: nn.Module, device: torch.device) -> None:
        self._metric = FrechetInceptionDistance(feature=features).to(device)
        self._device = device

    @torch.inference_mode()
    def add(self, pictures: Sequence[Tensor], *, real: bool) -> None:
        self._metric.update(_as_batch(pictures).to(self._device), real=real)

    def value(self) -> float:
        return float(self._metric.compute())


def read_inception(path: Path) -> nn.Module:
    """The network that FID is told with: 2048 features, resized as TensorFlow did.

    path: a file of its weights as torch-fidelity has them, or the folder of one. Raises
    InvalidCascade.
    """
    weights = _find_inception(path)
    try:
        metric = FrechetInceptionDistance(
            feature_extractor_weights_path=str(weights), antialias=False
        )
    except ModuleNotFoundError as error:
        raise InvalidCascade(
            "FID needs torch-fidelity: `pip install torch-fidelity`, where torchvision, which it"
            " needs, is that of the torch there is"
        ) from error
    except (AttributeError, RuntimeError, TypeError) as error:
        raise InvalidCascade(f"{weights} holds other weights than FID's: {_REMEDY}") from error
    return metric.inception


def _find_inception(path: Path) -> Path:
    """The file, known to hold tensors alone: torch-fidelity would run whatever else is in it."""
    found = sorted(path.glob("*inception*.pth")) if path.is_dir() else [path]
    if len(found) != 1 or not found[0].is_file():
        raise InvalidCascade(f"{path}: no file of Inception's weights, or several: {_REMEDY}")
    try:
        torch.load(found[0], weights_only=True, map_location="meta")
    except (pickle.UnpicklingError, EOFError, RuntimeError) as error:
        raise InvalidCascade(f"{found[0]} holds no weights: {_REMEDY}") from error
    return found[0]


class ClipScore:
    """100 times the cosine between picture and caption as CLIP sees them, on average.

    Hessel et al. 2021, without their weight of 2.5. folder: of transformers' CLIPModel, with its
    tokenizer and preprocessor_config.json. Raises InvalidCascade.
    """

    def __init__(self, folder: Path, device: torch.device) -> None:
        pair = _load_clip(folder)
        self._drawn, self._real = (CLIPScore(lambda: pair).to(device) for _ in range(2))
        self._device = device

    @torch.inference_mode()
    def add(self, pictures: Sequence[Tensor], captions: Sequence[str], *, real: bool) -> None:
        metric = self._real if real else self._drawn
        metric.update(list(_as_batch(pictures).to(self._device)), list(captions))

    def value(self, *, real: bool) -> float:
        return float((self._real if real else self._drawn).compute())


def _as_batch(pictures: Sequence[Tensor]) -> Tensor:
    return torch.stack([picture.permute(2, 0, 1) for picture in pictures])


class _Clip(nn.Module):
    """A CLIP as torchmetrics wants it, which does not know the outputs of transformers 5."""

    def __init__(self, clip: CLIPModel) -> None:
        super().__init__()
        self.clip = clip
        self.config = clip.config

    def get_image_features(self, pixels: Tensor) -> Tensor:
        features: Tensor = self.clip.get_image_features(pixels).pooler_output
        return features

    def get_text_features(self, tokens: Tensor, mask: Tensor) -> Tensor:
        features: Tensor = self.clip.get_text_features(tokens, mask).pooler_output
        return features


class _Processor:
    """A CLIP's, which keeps the last token of a caption that it cuts: it is the one looked at."""

    def __init__(self, folder: Path, most_tokens: int) -> None:
        self._tokenizer = AutoTokenizer.from_pretrained(folder)
        self._images = CLIPImageProcessorPil.from_pretrained(folder)
        self._most_tokens = most_tokens

    def __call__(
        self, text: list[str] | None = None, images: list[Tensor] | None = None, **options: Any
    ) -> Any:
        if text is None:
            return self._images(images, return_tensors="pt")
        return self._tokenizer(text, truncation=True, max_length=self._most_tokens, **options)


def _load_clip(folder: Path) -> tuple[_Clip, _Processor]:
    if not folder.is_dir():  # else it would be looked for at the hub
        raise InvalidCascade(f"{folder}: there is no such folder: give that of a CLIPModel")
    try:
        clip = CLIPModel.from_pretrained(folder, use_safetensors=True).eval()
        return _Clip(clip), _Processor(folder, clip.config.text_config.max_position_embeddings)
    except (OSError, ValueError) as error:
        raise InvalidCascade(
            f"{folder} is no folder of a CLIPModel with its tokenizer and preprocessor: {error}"
        ) from error
