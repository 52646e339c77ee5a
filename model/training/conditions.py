"""What the U-Net attends to while it is trained: captions' embeddings, some of them dropped."""

from typing import Protocol

import torch
from torch import Tensor, nn
from transformers import PreTrainedTokenizerBase, T5EncoderModel

from model.training.data.examples import Batch


class Conditions(Protocol):
    """Turns captions into embeddings, on the network's device.

    dropped: [B] bool; a dropped caption is the empty prompt (Ho & Salimans 2022, alg. 1).
    """

    def __call__(self, batch: Batch, dropped: Tensor) -> Tensor:
        """[B, tokens, width] float."""
        ...


class Encoded(nn.Module):
    """Captions are encoded as they come. trained: gradients flow into the encoder."""

    def __init__(
        self,
        tokenizer: PreTrainedTokenizerBase,
        encoder: T5EncoderModel,
        max_tokens: int,
        trained: bool = False,
    ):
        super().__init__()
        self.encoder = encoder.requires_grad_(trained).train(trained)
        self._tokenizer = tokenizer
        self._max_tokens = max_tokens
        self._trained = trained

    def forward(self, batch: Batch, dropped: Tensor) -> Tensor:
        kept = [
            "" if drop else caption
            for caption, drop in zip(batch.captions, dropped.tolist(), strict=True)
        ]
        tokens = self._tokenizer(
            kept,
            padding="max_length",
            max_length=self._max_tokens,
            truncation=True,
            return_tensors="pt",
        ).to(self.encoder.device)
        with torch.set_grad_enabled(self._trained and torch.is_grad_enabled()):
            hidden: Tensor = self.encoder(tokens.input_ids, tokens.attention_mask)[0]
        return hidden.float()


class Precomputed(nn.Module):
    """Embeddings come with the examples. empty: [tokens, width], of the empty prompt."""

    empty: Tensor

    def __init__(self, empty: Tensor):
        super().__init__()
        self.register_buffer("empty", empty.float(), persistent=False)

    def forward(self, batch: Batch, dropped: Tensor) -> Tensor:
        assert batch.embeddings is not None, "with_embeddings() gives them to every example"
        embeddings = batch.embeddings.to(self.empty.device, torch.float32)
        return torch.where(dropped.to(self.empty.device)[:, None, None], self.empty, embeddings)
