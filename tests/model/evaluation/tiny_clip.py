"""A CLIP with random weights, whose text is read at the token </s>."""

from pathlib import Path

import torch
from tokenizers import Tokenizer, models, pre_tokenizers, processors
from transformers import CLIPConfig, CLIPImageProcessorPil, CLIPModel, PreTrainedTokenizerFast

SEEN_PX = 30
MOST_TOKENS = 8
WORDS = ("<pad>", "<s>", "<unk>", "a", "cat", "dog", "red", "</s>")


def write_tiny_clip(folder: Path) -> Path:
    """The same weights each time: those with which all cosines of the tests are positive."""
    sizes = {"hidden_size": 32, "intermediate_size": 37, "num_hidden_layers": 1}
    sizes |= {"num_attention_heads": 4, "projection_dim": 16}
    text = {**sizes, "vocab_size": len(WORDS), "pad_token_id": 0, "bos_token_id": 1}
    text |= {"eos_token_id": 7, "max_position_embeddings": MOST_TOKENS}
    vision = {**sizes, "image_size": SEEN_PX, "patch_size": 6}
    with torch.random.fork_rng():
        torch.manual_seed(6)
        config = CLIPConfig(text_config=text, vision_config=vision, projection_dim=16)
        CLIPModel(config).save_pretrained(folder)
    CLIPImageProcessorPil(
        size={"shortest_edge": SEEN_PX}, crop_size={"height": SEEN_PX, "width": SEEN_PX}
    ).save_pretrained(folder)
    words = {word: number for number, word in enumerate(WORDS)}
    tokenizer = Tokenizer(models.WordLevel(words, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>", special_tokens=[("<s>", 1), ("</s>", 7)]
    )
    PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, pad_token="<pad>", eos_token="</s>", unk_token="<unk>"
    ).save_pretrained(folder)
    return folder
