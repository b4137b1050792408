"""T5, T5 1.1 and Flan-T5: encoder and decoder with learned biases for relative positions."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from torch import nn

from edgegen.author.config import MOST_HEADS, MOST_LAYERS
from edgegen.author.config_reader import HARMLESS, ConfigReader
from edgegen.author.decoder_layers import PreNormLayer
from edgegen.author.encoder_decoder import CrossDecoderLayer, EncoderDecoder, Stack
from edgegen.author.layers import ACTIVATIONS, MLP, Attention, GatedMLP, RMSNorm
from edgegen.author.layers.bidirectional import BidirectionalAttention
from edgegen.author.layers.cross_attention import CrossAttention
from edgegen.author.layers.relative_bias import RelativeBias
from edgegen.author.weights import Column, Copy, Drop, Entry, Rename, WeightMap
from edgegen.errors import ConfigError

KIND = "encoder-decoder"

# Scores are not scaled: the factor is in the weights.
_SCALE = 1.0
_GATED = "gated-"
_HARMLESS = {
    "classifier_dropout": "training only",
    "dropout_rate": "training only",
    "initializer_factor": "training only",
    "output_past": "the cache is always there",
    "task_specific_params": "read by pipelines",
}


@dataclass(frozen=True)
class T5Config:
    """HF's `T5Config`, under the names that other architectures have for the same.

    Attributes:
        num_hidden_layers: Layers of the encoder.
        num_decoder_layers: Layers of the decoder.
        max_position_embeddings: The trained length, which positions do not limit.
        is_gated_act: Whether the feed-forward blocks are gated.
        tie_word_embeddings: Whether the head shares the embedding, and is scaled then.
        decoder_start_token_id: What a decoder is given first.
    """

    model_type: str
    vocab_size: int
    hidden_size: int
    intermediate_size: int
    num_hidden_layers: int
    num_decoder_layers: int
    num_attention_heads: int
    head_dim: int
    max_position_embeddings: int
    relative_attention_num_buckets: int
    relative_attention_max_distance: int
    hidden_act: str
    is_gated_act: bool
    norm_eps: float
    tie_word_embeddings: bool
    decoder_start_token_id: int


def read_config(raw: Mapping[str, Any]) -> T5Config:
    """Sort every key of a T5 `config.json`.

    Raises:
        ConfigError: a key asks for what is not authored.
    """
    reader = ConfigReader.of_checkpoint(raw, classes="T5")
    acts = tuple(sorted(ACTIVATIONS))
    projection = reader.word(
        "feed_forward_proj", "relu", (*acts, *(f"{_GATED}{act}" for act in acts))
    )
    gated, act = projection.startswith(_GATED), projection.removeprefix(_GATED)
    # HF's class takes the tanh form for the one name that the published models have.
    act = "gelu_new" if projection == "gated-gelu" else act
    layers = reader.integer("num_layers", 6)
    # The head of T5 is the embedding, and its input is scaled. That of T5 1.1 is its own, which
    # HF's class notes under another name.
    tied = reader.flag("tie_word_embeddings", True)
    pad = reader.integer("pad_token_id", 0, least=0)
    config = T5Config(
        model_type="t5",
        vocab_size=reader.integer("vocab_size", most=1 << 24),
        hidden_size=reader.integer("d_model"),
        intermediate_size=reader.integer("d_ff"),
        num_hidden_layers=layers,
        num_decoder_layers=reader.integer("num_decoder_layers", layers, most=MOST_LAYERS),
        num_attention_heads=reader.integer("num_heads", most=MOST_HEADS),
        head_dim=reader.integer("d_kv"),
        max_position_embeddings=reader.integer("n_positions", 512),
        relative_attention_num_buckets=reader.integer(
            "relative_attention_num_buckets", 32, most=1024
        ),
        relative_attention_max_distance=reader.integer("relative_attention_max_distance", 128),
        hidden_act=act,
        is_gated_act=gated,
        norm_eps=reader.number("layer_norm_epsilon", 1e-6),
        tie_word_embeddings=reader.flag("scale_decoder_outputs", tied),
        decoder_start_token_id=reader.integer("decoder_start_token_id", pad, least=0),
    )
    reader.must_be("is_encoder_decoder", True)
    reader.must_be("is_decoder", False)
    reader.must_be("is_gated_act", gated)
    reader.must_be("dense_act_fn", act)
    reader.finish({**HARMLESS, **_HARMLESS})
    _check_buckets(config)
    return config


def _check_buckets(config: T5Config) -> None:
    buckets, distance = (
        config.relative_attention_num_buckets,
        config.relative_attention_max_distance,
    )
    # Both stacks have the same number, and the encoder halves it for its two sides.
    if buckets < 4 or buckets % 2 or distance <= buckets // 2:
        raise ConfigError(
            f"config.json has relative_attention_num_buckets={buckets} and "
            f"relative_attention_max_distance={distance}, expected an even number of buckets, "
            "4 or more, and a distance above half of it",
            "near distances have a bucket each, and farther ones share the rest",
        )


def build(config: T5Config) -> EncoderDecoder:
    """Make the model, as HF's `T5ForConditionalGeneration`."""

    def norm() -> RMSNorm:
        return RMSNorm(size=config.hidden_size, eps=config.norm_eps)

    def attention(kind: type[Attention]) -> Attention:
        return kind(
            hidden_size=config.hidden_size,
            num_attention_heads=config.num_attention_heads,
            num_key_value_heads=config.num_attention_heads,
            head_dim=config.head_dim,
            rope=None,
            scale=_SCALE,
        )

    def mlp() -> nn.Module:
        return (GatedMLP if config.is_gated_act else MLP)(
            hidden_size=config.hidden_size,
            intermediate_size=config.intermediate_size,
            hidden_act=config.hidden_act,
            bias=False,
        )

    def bias(bidirectional: bool) -> RelativeBias:
        return RelativeBias(
            num_buckets=config.relative_attention_num_buckets,
            max_distance=config.relative_attention_max_distance,
            num_attention_heads=config.num_attention_heads,
            bidirectional=bidirectional,
        )

    def encoder_layer() -> PreNormLayer:
        return PreNormLayer(
            self_attn=attention(BidirectionalAttention),
            mlp=mlp(),
            input_layernorm=norm(),
            post_attention_layernorm=norm(),
        )

    def decoder_layer() -> CrossDecoderLayer:
        return CrossDecoderLayer(
            self_attn=attention(Attention),
            encoder_attn=CrossAttention(
                hidden_size=config.hidden_size,
                num_attention_heads=config.num_attention_heads,
                head_dim=config.head_dim,
                scale=_SCALE,
            ),
            mlp=mlp(),
            self_attn_layer_norm=norm(),
            encoder_attn_layer_norm=norm(),
            final_layer_norm=norm(),
        )

    return EncoderDecoder(
        vocab_size=config.vocab_size,
        hidden_size=config.hidden_size,
        encoder=Stack(
            layers=[encoder_layer() for _ in range(config.num_hidden_layers)],
            relative_bias=bias(bidirectional=True),
            norm=norm(),
        ),
        decoder=Stack(
            layers=[decoder_layer() for _ in range(config.num_decoder_layers)],
            relative_bias=bias(bidirectional=False),
            norm=norm(),
        ),
        tie_word_embeddings=config.tie_word_embeddings,
        logit_multiplier=config.hidden_size**-0.5 if config.tie_word_embeddings else 1.0,
    )


def weight_map(config: T5Config) -> WeightMap:
    """A layer's parts are numbered; the first layer of each stack holds the bias of all."""
    # Part of a layer, ours and its number, with the norm before it.
    encoder = {
        "self_attn": (0, "SelfAttention", "input_layernorm"),
        "mlp": (1, "DenseReluDense", "post_attention_layernorm"),
    }
    decoder = {
        "self_attn": (0, "SelfAttention", "self_attn_layer_norm"),
        "encoder_attn": (1, "EncDecAttention", "encoder_attn_layer_norm"),
        "mlp": (2, "DenseReluDense", "final_layer_norm"),
    }
    attention = {f"{p}_proj": p for p in "qkvo"}
    gated = {"gate_proj": "wi_0", "up_proj": "wi_1", "down_proj": "wo"}
    mlp = gated if config.is_gated_act else {"fc1": "wi", "fc2": "wo"}
    heads = config.num_attention_heads
    entries: list[Entry] = [Rename("embed_tokens.weight", "shared.weight")]
    for stack, parts in (("encoder", encoder), ("decoder", decoder)):
        first = f"{stack}.block.0.layer.0.SelfAttention.relative_attention_bias.weight"
        entries.append(Rename(f"{stack}.norm.weight", f"{stack}.final_layer_norm.weight"))
        entries += [
            Rename(f"{stack}.relative_bias.heads.{head}", first, (Column(head, heads),))
            for head in range(heads)
        ]
        entries.append(Copy(f"{stack}.embed_tokens.weight", of="shared.weight"))
        for part, (number, theirs, norm) in parts.items():
            ours, layer = f"{stack}.layers.{{layer}}", f"{stack}.block.{{layer}}.layer.{number}"
            entries.append(Rename(f"{ours}.{norm}.weight", f"{layer}.layer_norm.weight"))
            for name, source in (mlp if part == "mlp" else attention).items():
                stored = f"{layer}.{theirs}.{source}.weight"
                entries.append(Rename(f"{ours}.{part}.{name}.weight", stored))
    unused = "decoder.block.0.layer.1.EncDecAttention.relative_attention_bias.weight"
    entries.append(Drop(unused, "attention to the encoder has no bias; the first T5 stored one"))
    if config.tie_word_embeddings:
        entries.append(Copy("lm_head.weight", of="shared.weight"))
    else:
        entries.append(Rename("lm_head.weight", "lm_head.weight"))
        # What transformers 5 makes of T5 1.1 from scratch: shared after all, but not scaled.
        entries.append(Rename("lm_head.weight", "shared.weight"))
    return entries


def tiny_config() -> dict[str, Any]:
    """Return a config of stacks of different depths, with distances beyond the last bucket."""
    return {
        "model_type": "t5",
        "vocab_size": 97,
        "d_model": 60,
        "d_kv": 16,
        "d_ff": 136,
        "num_layers": 3,
        "num_decoder_layers": 2,
        "num_heads": 5,
        "n_positions": 64,
        "relative_attention_num_buckets": 12,
        "relative_attention_max_distance": 20,
        "layer_norm_epsilon": 1e-6,
        "feed_forward_proj": "gated-gelu",
        "is_encoder_decoder": True,
        "decoder_start_token_id": 0,
        "pad_token_id": 0,
        "eos_token_id": 1,
        "tie_word_embeddings": True,
    }
