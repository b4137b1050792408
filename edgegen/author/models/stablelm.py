"""StableLM 3B, Zephyr 3B, and StableLM 2: Llama with layer norms and heads that turn in part."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from torch import nn

from edgegen.author.config import Assumed, DecoderConfig, decoder_fields
from edgegen.author.config_reader import HARMLESS, ConfigReader
from edgegen.author.decoder import Decoder
from edgegen.author.decoder_layers import ParallelLayer, PreNormLayer
from edgegen.author.layers import Attention, GatedMLP, LayerNorm, PerHeadNorm, make_rope
from edgegen.author.models.llama import LAYER_NAMES, embedding_names
from edgegen.author.weights import Drop, Join, WeightMap, same_names

KIND = "decoder"


@dataclass(frozen=True)
class StableLmConfig(DecoderConfig):
    """HF's `StableLmConfig`.

    Attributes:
        use_qkv_bias: Whether the query, key and value projections have a bias.
        qk_layernorm: Whether queries and keys are normalized, each head by its own weights.
        use_parallel_residual: Whether attention and feed-forward block stand side by side.
    """

    use_qkv_bias: bool
    qk_layernorm: bool
    use_parallel_residual: bool


def read_config(raw: Mapping[str, Any]) -> StableLmConfig:
    """Sort every key of a StableLM `config.json`.

    Raises:
        ConfigError: a key asks for what is not authored.
    """
    reader = ConfigReader.of_checkpoint(raw, classes="StableLm")
    config = StableLmConfig(
        **decoder_fields(
            reader,
            "stablelm",
            Assumed(
                norm_eps=1e-5,
                norm_eps_key="layer_norm_eps",
                partial_rotary_factor=0.25,
                partial_rotary=True,
                max_position_embeddings=4096,
                num_key_value_heads=32,
            ),
        ),
        use_qkv_bias=reader.flag("use_qkv_bias", False),
        qk_layernorm=reader.flag("qk_layernorm", False),
        use_parallel_residual=reader.flag("use_parallel_residual", False),
    )
    reader.finish({**HARMLESS, "hidden_dropout": "training only"})
    return config


def build(config: StableLmConfig) -> Decoder:
    """Make the decoder, as HF's `StableLmForCausalLM`."""

    def norm() -> LayerNorm:
        return LayerNorm(size=config.hidden_size, eps=config.norm_eps)

    def head_norm(heads: int) -> PerHeadNorm | None:
        if not config.qk_layernorm:
            return None
        return PerHeadNorm(heads=heads, size=config.head_dim, eps=config.norm_eps)

    def layer() -> nn.Module:
        attention = Attention(
            hidden_size=config.hidden_size,
            num_attention_heads=config.num_attention_heads,
            num_key_value_heads=config.num_key_value_heads,
            head_dim=config.head_dim,
            bias=config.use_qkv_bias,
            output_bias=False,
            q_norm=head_norm(config.num_attention_heads),
            k_norm=head_norm(config.num_key_value_heads),
        )
        mlp = GatedMLP(
            hidden_size=config.hidden_size,
            intermediate_size=config.intermediate_size,
            hidden_act=config.hidden_act,
        )
        if config.use_parallel_residual:
            return ParallelLayer(self_attn=attention, mlp=mlp, input_layernorm=norm())
        return PreNormLayer(
            self_attn=attention,
            mlp=mlp,
            input_layernorm=norm(),
            post_attention_layernorm=norm(),
        )

    return Decoder(
        vocab_size=config.vocab_size,
        hidden_size=config.hidden_size,
        layers=[layer() for _ in range(config.num_hidden_layers)],
        norm=norm(),
        ropes={name: make_rope(config.head_dim, p) for name, p in config.rope.items()},
        tie_word_embeddings=config.tie_word_embeddings,
    )


def weight_map(config: StableLmConfig) -> WeightMap:
    """Names are HF's own; the norms of heads are stored one by one."""
    heads = {"q": config.num_attention_heads, "k": config.num_key_value_heads}
    theirs, ours = "model.layers.{layer}.", "layers.{layer}."
    return (
        *embedding_names(config.tie_word_embeddings),
        *(
            Join(
                f"{ours}self_attn.{part}_norm.weight",
                tuple(
                    f"{theirs}self_attn.{part}_layernorm.norms.{head}.weight"
                    for head in range(count)
                ),
            )
            for part, count in heads.items()
        ),
        *same_names(
            theirs,
            (*LAYER_NAMES, "input_layernorm.bias", "post_attention_layernorm.bias"),
            ours,
        ),
        Drop(f"{theirs}self_attn.rotary_emb.inv_freq", "computed from the config"),
    )


def tiny_config() -> dict[str, Any]:
    """Return a config with biases, grouped queries and norms of heads, a quarter turning."""
    return {
        "model_type": "stablelm",
        "vocab_size": 97,
        "hidden_size": 96,
        "intermediate_size": 136,
        "num_hidden_layers": 2,
        "num_attention_heads": 6,
        "num_key_value_heads": 2,
        "hidden_act": "silu",
        "max_position_embeddings": 64,
        "layer_norm_eps": 1e-5,
        "rope_theta": 10000.0,
        "partial_rotary_factor": 0.25,
        "use_qkv_bias": True,
        "qk_layernorm": True,
        "use_parallel_residual": False,
        "tie_word_embeddings": False,
    }
