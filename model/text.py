"""The frozen text encoder: prompts in, one embedding a prompt out. Knows nothing of stages."""

import hashlib
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor
from transformers import AutoTokenizer, PreTrainedTokenizerBase, T5EncoderModel

from model.errors import InvalidCascade

_SAMPLED_BYTES = 1 << 20


class TextEncoder:
    """A T5 encoder with its tokenizer.

    Prompts are padded to `max_tokens`, padding included in what the U-Nets see, as in DeepFloyd IF.
    """

    def __init__(
        self,
        tokenizer: PreTrainedTokenizerBase,
        encoder: T5EncoderModel,
        max_tokens: int,
        identity: str,
    ):
        self.max_tokens = max_tokens
        self.identity = identity
        self._tokenizer = tokenizer
        self._encoder = encoder.eval()

    @classmethod
    def load(
        cls, folder: Path, max_tokens: int, device: torch.device, dtype: torch.dtype
    ) -> "TextEncoder":
        """Load folder/tokenizer and folder/text_encoder (safetensors only)."""
        tokenizer_folder, encoder_folder = folder / "tokenizer", folder / "text_encoder"
        for needed in (tokenizer_folder, encoder_folder):
            if not needed.is_dir():
                raise InvalidCascade(f"{needed} is missing: a text encoder's folder holds it")
        tokenizer = AutoTokenizer.from_pretrained(tokenizer_folder)
        encoder = T5EncoderModel.from_pretrained(
            encoder_folder, dtype=dtype, use_safetensors=True
        ).to(device)
        identity = fingerprint([tokenizer_folder, encoder_folder], max_tokens)
        return cls(tokenizer, encoder, max_tokens, identity)

    @torch.inference_mode()
    def encode(self, prompts: Sequence[str]) -> Tensor:
        """[len(prompts), max_tokens, width] float16 on the CPU.

        A prompt longer than max_tokens is cut; the empty prompt is the unconditional one.
        """
        tokens = self._tokenizer(
            list(prompts),
            padding="max_length",
            max_length=self.max_tokens,
            truncation=True,
            return_tensors="pt",
        ).to(self._encoder.device)
        hidden: Tensor = self._encoder(tokens.input_ids, tokens.attention_mask).last_hidden_state
        return hidden.to("cpu", torch.float16)


def fingerprint(folders: Sequence[Path], max_tokens: int) -> str:
    """Names an encoder by content, so that workers which share it share embeddings.

    Reads small files whole and of large ones the length and both ends: T5-XXL's nine gigabytes
    would otherwise be read twice at every start.
    """
    digest = hashlib.sha256(f"max_tokens={max_tokens}".encode())
    for folder in folders:
        for file in sorted(folder.iterdir()):
            digest.update(f"\0{file.name}\0{file.stat().st_size}\0".encode())
            with file.open("rb") as content:
                digest.update(content.read(_SAMPLED_BYTES))
                if file.stat().st_size > 2 * _SAMPLED_BYTES:
                    content.seek(-_SAMPLED_BYTES, 2)
                digest.update(content.read(_SAMPLED_BYTES))
    return digest.hexdigest()[:32]
