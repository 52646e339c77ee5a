"""picture-book's own text encoder, untrained, and its tokens. Knows nothing of training."""

from tokenizers import Regex, Tokenizer, models, normalizers, pre_tokenizers, processors
from torch import nn
from transformers import PreTrainedTokenizerFast, T5Config, T5EncoderModel

from model.picture_book.captions import vocabulary

TEXT_WIDTH, TEXT_TOKENS = 192, 32


def new_text_encoder(tokenizer: PreTrainedTokenizerFast) -> T5EncoderModel:
    """1.4 M parameters. Its heads look to different sides of a word from the first step on."""
    encoder = T5EncoderModel(
        T5Config(
            vocab_size=len(tokenizer),
            d_model=TEXT_WIDTH,
            d_kv=48,
            d_ff=512,
            num_layers=3,
            num_heads=4,
            dropout_rate=0.0,
            feed_forward_proj="gated-gelu",
        )
    )
    places = encoder.encoder.block[0].layer[0].SelfAttention.relative_attention_bias
    nn.init.normal_(places.weight, std=1.0)
    return encoder


def new_tokenizer() -> PreTrainedTokenizerFast:
    """One token a word of the captions; case, other marks and "grey" do not matter.

    Chinese is written without spaces: at each place the longest word that is known is the token.
    """
    vocabulary_ = vocabulary()
    words = {word: i for i, word in enumerate(["<pad>", "</s>", "<unk>", *vocabulary_])}
    chinese = sorted((word for word in vocabulary_ if _is_chinese(word)), key=len, reverse=True)
    tokenizer = Tokenizer(models.WordLevel(words, unk_token="<unk>"))
    tokenizer.normalizer = normalizers.Sequence(
        [
            normalizers.NFKC(),
            normalizers.Lowercase(),
            normalizers.Replace(Regex(r"\bgrey\b"), "gray"),
            normalizers.Replace("、", ","),
            normalizers.Replace(Regex(r"[^\p{L}\p{N},\s]"), " "),
            normalizers.Replace(",", " , "),
        ]
    )
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.WhitespaceSplit(),
            pre_tokenizers.Split(Regex("|".join([*chinese, r"\p{Han}"])), "isolated"),
        ]
    )
    tokenizer.post_processor = processors.TemplateProcessing(
        single="$A </s>", special_tokens=[("</s>", words["</s>"])]
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token="<pad>",
        eos_token="</s>",
        unk_token="<unk>",
        model_max_length=TEXT_TOKENS,
    )


def _is_chinese(word: str) -> bool:
    return "\u4e00" <= word[0] <= "\u9fff"
