"""The shapes of picture-book's networks, untrained. Knows nothing of how they are trained."""

import torch
from diffusers import UNet2DConditionModel
from diffusers.models.attention_processor import AttnAddedKVProcessor
from tokenizers import Regex, Tokenizer, models, normalizers, pre_tokenizers, processors
from transformers import PreTrainedTokenizerFast, T5Config, T5EncoderModel

from model.picture_book.captions import vocabulary
from model.schedule import Schedule

BASE_PX, SUPER_RESOLUTION_PX = 32, 128
TEXT_WIDTH, TEXT_TOKENS = 192, 32
SCHEDULE = Schedule("squaredcos_cap_v2")


def new_base_unet() -> UNet2DConditionModel:
    """18 M parameters; attention at 8 and 4 px only, where it costs little."""
    unet = UNet2DConditionModel(
        sample_size=BASE_PX,
        in_channels=3,
        out_channels=3,
        block_out_channels=(32, 96, 160, 224),
        layers_per_block=(1, 2, 2, 2),
        down_block_types=("ResnetDownsampleBlock2D",) * 2 + ("SimpleCrossAttnDownBlock2D",) * 2,
        mid_block_type="UNetMidBlock2DSimpleCrossAttn",
        up_block_types=("SimpleCrossAttnUpBlock2D",) * 2 + ("ResnetUpsampleBlock2D",) * 2,
        cross_attention_dim=TEXT_WIDTH,
        encoder_hid_dim=TEXT_WIDTH,
        encoder_hid_dim_type="text_proj",
        addition_embed_type="text",
        addition_embed_type_num_heads=4,
        attention_head_dim=32,
        norm_num_groups=16,
        resnet_time_scale_shift="scale_shift",
        cross_attention_norm="group_norm",
    )
    unet.set_attn_processor(AttnAddedKVProcessor())  # its backward is the fast one on a CPU
    return _for_training(unet)


def new_super_resolution_unet() -> UNet2DConditionModel:
    """1.5 M parameters, convolutions alone: in flat drawings the low-res picture tells enough.

    Takes the noisy picture and the noised low-res one; the noise level of that is its class.
    """
    return _for_training(
        UNet2DConditionModel(
            sample_size=SUPER_RESOLUTION_PX,
            in_channels=6,
            out_channels=3,
            class_embed_type="timestep",
            block_out_channels=(32, 48, 64, 64),
            layers_per_block=1,
            down_block_types=("ResnetDownsampleBlock2D",) * 4,
            mid_block_type=None,
            up_block_types=("ResnetUpsampleBlock2D",) * 4,
            norm_num_groups=8,
            resnet_time_scale_shift="scale_shift",
        )
    )


def _for_training(unet: UNet2DConditionModel) -> UNet2DConditionModel:
    return unet.to(dtype=torch.bfloat16, memory_format=torch.channels_last)


def new_text_encoder(tokenizer: PreTrainedTokenizerFast) -> T5EncoderModel:
    return T5EncoderModel(
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


def new_tokenizer() -> PreTrainedTokenizerFast:
    """One token a word of the captions; case, other marks and "grey" do not matter."""
    words = {word: i for i, word in enumerate(["<pad>", "</s>", "<unk>", *vocabulary()])}
    tokenizer = Tokenizer(models.WordLevel(words, unk_token="<unk>"))
    tokenizer.normalizer = normalizers.Sequence(
        [
            normalizers.NFKC(),
            normalizers.Lowercase(),
            normalizers.Replace(Regex(r"\bgrey\b"), "gray"),
            normalizers.Replace(Regex(r"[^\p{L}\p{N},\s]"), " "),
            normalizers.Replace(",", " , "),
        ]
    )
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
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
