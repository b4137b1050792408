"""Qwen 2 and 2.5, R1-distill-Qwen: Llama with biases on queries, keys and values."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from edgegen.author.config import Assumed, DecoderConfig, decoder_fields
from edgegen.author.config_reader import HARMLESS, ConfigReader
from edgegen.author.decoder import Decoder
from edgegen.author.decoder_layers import PreNormLayer
from edgegen.author.layers import Attention, GatedMLP, RMSNorm, layer_masks, make_rope
from edgegen.author.models.llama import weight_map
from edgegen.author.models.qwen3 import read_upper_window

__all__ = ["build", "read_config", "tiny_config", "weight_map"]

KIND = "decoder"


def read_config(raw: Mapping[str, Any]) -> DecoderConfig:
    """Sort every key of a Qwen 2 `config.json`."""
    reader = ConfigReader.of_checkpoint(raw)
    layer_types, sliding_window = read_upper_window(reader)
    # Positions in three dimensions, of the vision models; the text models write false.
    reader.must_be("use_mrope", False)
    config = DecoderConfig(
        **decoder_fields(
            reader,
            "qwen2",
            Assumed(num_key_value_heads=32, max_position_embeddings=32768),
            layer_types=layer_types,
            sliding_window=sliding_window,
        )
    )
    reader.finish(HARMLESS)
    return config


def build(config: DecoderConfig) -> Decoder:
    """Make the decoder, as HF's `Qwen2ForCausalLM`."""

    def norm() -> RMSNorm:
        return RMSNorm(size=config.hidden_size, eps=config.norm_eps)

    def layer(layer_type: str) -> PreNormLayer:
        return PreNormLayer(
            self_attn=Attention(
                hidden_size=config.hidden_size,
                num_attention_heads=config.num_attention_heads,
                num_key_value_heads=config.num_key_value_heads,
                head_dim=config.head_dim,
                bias=True,
                output_bias=False,
                mask=layer_type,
                rope=layer_type,
            ),
            mlp=GatedMLP(
                hidden_size=config.hidden_size,
                intermediate_size=config.intermediate_size,
                hidden_act=config.hidden_act,
            ),
            input_layernorm=norm(),
            post_attention_layernorm=norm(),
        )

    return Decoder(
        vocab_size=config.vocab_size,
        hidden_size=config.hidden_size,
        layers=[layer(layer_type) for layer_type in config.layer_types],
        norm=norm(),
        ropes={name: make_rope(config.head_dim, p) for name, p in config.rope.items()},
        masks=layer_masks(config.layer_types, config.sliding_window),
        tie_word_embeddings=config.tie_word_embeddings,
    )


def tiny_config() -> dict[str, Any]:
    """Return a config whose last layer slides, with a window shorter than the tests' texts."""
    return {
        "model_type": "qwen2",
        "vocab_size": 101,
        "hidden_size": 84,
        "intermediate_size": 96,
        "num_hidden_layers": 3,
        "num_attention_heads": 7,
        "num_key_value_heads": 1,
        "max_position_embeddings": 64,
        "rms_norm_eps": 1e-6,
        "rope_theta": 1000000.0,
        "use_sliding_window": True,
        "sliding_window": 9,
        "max_window_layers": 2,
        "tie_word_embeddings": True,
    }
