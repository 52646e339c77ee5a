"""The tokenizer: a token for each word of a caption, in either language, and none that is lost."""

import random

import pytest
from transformers import PreTrainedTokenizerFast

from model.picture_book.captions import Language, caption
from model.picture_book.networks import TEXT_TOKENS, new_tokenizer
from model.picture_book.scenes import random_scene


@pytest.fixture(scope="module")
def tokenizer() -> PreTrainedTokenizerFast:
    return new_tokenizer()


def words(tokenizer: PreTrainedTokenizerFast, text: str) -> list[str]:
    """Its tokens, but for the one that ends it."""
    *tokens, end = map(str, tokenizer.tokenize(text, add_special_tokens=True))
    assert end == "</s>"
    return tokens


@pytest.mark.parametrize("unseen", [False, True], ids=["seen", "unseen"])
@pytest.mark.parametrize("language", Language)
def test_a_caption_is_told_apart_into_known_words_and_none_is_lost(
    tokenizer: PreTrainedTokenizerFast, language: Language, unseen: bool
) -> None:
    rng = random.Random(0)
    for _ in range(2000):
        said = caption(random_scene(rng), rng, language, unseen)
        tokens = words(tokenizer, said)
        assert "<unk>" not in tokens, said
        assert "".join(tokens) == said.replace(" ", ""), tokens
        assert len(tokens) < TEXT_TOKENS, f"{said!r} is cut"


@pytest.mark.parametrize(
    ("text", "tokens"),
    [
        ("大大象", "大 大象"),
        ("一头大象", "一 头 大象"),
        ("很大的象", "很 大 的 <unk>"),
        ("一只猫在一条狗的左边", "一 只 猫 在 一 条 狗 的 左边"),
        ("蓝色背景上的红苹果", "蓝色 背景 上 的 红 苹果"),
        ("一顶巨大的皇冠、红色背景。", "一 顶 巨 大 的 皇冠 , 红色 背景"),
        ("一只猫,蓝色背景", "一 只 猫 , 蓝色 背景"),
        ("画3个雪人", "画 3 个 雪人"),
        ("一只猫 and a dog", "一 只 猫 and a dog"),
        ("A Grey cat, an ICE CREAM!", "a gray cat , an ice cream"),
        ("\uff21 cat\uff0c a dog", "a cat , a dog"),
        ("greyhound", "<unk>"),
        ("一只狐猫", "一 只 <unk> 猫"),
    ],
)
def test_words_are_found_however_they_are_written(
    tokenizer: PreTrainedTokenizerFast, text: str, tokens: str
) -> None:
    assert words(tokenizer, text) == tokens.split()
