"""Falcon 7B, 40B, 180B, 2-11B and RW-1B; Falcon 3 is Llama by its own config."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from edgegen.author.config import FULL_ATTENTION, Assumed, DecoderConfig, decoder_fields
from edgegen.author.config_reader import HARMLESS, ConfigReader
from edgegen.author.decoder import Decoder, Mask
from edgegen.author.decoder_layers import ParallelLayer, PreNormLayer
from edgegen.author.layers import (
    MLP,
    Attention,
    CausalMask,
    LayerNorm,
    alibi_slopes,
    make_rope,
)
from edgegen.author.weights import Copy, Drop, Rename, Rows, WeightMap
from edgegen.errors import ConfigError

KIND = "decoder"

_NAMES = {"intermediate_size": "ffn_hidden_size", "num_key_value_heads": "num_kv_heads"}
_NO_ROPE = "alibi takes the place of rotary embeddings"


@dataclass(frozen=True)
class FalconConfig(DecoderConfig):
    """HF's `FalconConfig`.

    Attributes:
        alibi: Whether scores lean toward near positions, in place of a rotary embedding.
        bias: Whether matrices have a bias.
        parallel_attn: Whether attention and feed-forward block stand side by side.
        num_ln_in_parallel_attn: With how many norms, then.
    """

    alibi: bool
    bias: bool
    parallel_attn: bool
    num_ln_in_parallel_attn: int


@dataclass(frozen=True)
class RoundedAlibiMask:
    """A causal mask that leans toward near positions, rounded as in HF's Falcon.

    Its `build_alibi_tensor` multiplies slope and position in bfloat16, whose eight bits make
    neighbours equal past position 256. So the published model was run, and so it answers.

    Attributes:
        slopes: How much each head's scores fall per position; see `alibi_slopes`.
        score_scale: What the products are multiplied by.
    """

    slopes: tuple[float, ...]
    score_scale: float

    def __call__(self, input_pos: torch.Tensor, kv_cache_len: int) -> torch.Tensor:
        """Return the mask `[1, N, T, S]` for positions `[T]`."""
        slopes = np.asarray(self.slopes, np.float32).reshape(1, -1, 1, 1)
        slots = np.arange(kv_cache_len, dtype=np.float32).reshape(1, 1, 1, -1)
        # A constant: bfloat16 itself has no place in the graph.
        lean = _bfloat16(_bfloat16(slopes) * _bfloat16(slots)) * np.float32(self.score_scale)
        # Softmax does not see what a row has in common. Without it the values of near slots
        # are small, and in half precision the scores do not drown in them.
        common = torch.tensor(slopes * np.float32(self.score_scale))
        rows = input_pos.float().reshape(1, 1, -1, 1) * common  # [1, N, T, 1]
        return torch.tensor(lean) - rows + CausalMask()(input_pos, kv_cache_len)


def _bfloat16(values: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """Round to the nearest bfloat16, ties to even; the values stay float32."""
    bits = values.astype(np.float32).view(np.uint32)
    even = (bits >> np.uint32(16)) & np.uint32(1)
    rounded = (bits + np.uint32(0x7FFF) + even) & np.uint32(0xFFFF0000)
    return rounded.view(np.float32)


def read_config(raw: Mapping[str, Any]) -> FalconConfig:
    """Sort every key of a Falcon `config.json`.

    Raises:
        ConfigError: a key asks for what is not authored.
    """
    reader = ConfigReader.of_checkpoint(raw, names=_NAMES, classes="Falcon")
    alibi = reader.flag("alibi", False)
    grouped = reader.flag("new_decoder_architecture", False)
    multi_query = reader.flag("multi_query", True)
    fields = decoder_fields(
        reader,
        "falcon",
        Assumed(
            hidden_act="gelu",
            act_keys=("activation",),
            norm_eps=1e-5,
            norm_eps_key="layer_norm_epsilon",
            intermediate_size=4 * reader.integer("hidden_size"),
            tie_word_embeddings=True,
            has_rope=not alibi,
        ),
    )
    hidden, heads = fields["hidden_size"], fields["num_attention_heads"]
    if hidden % heads:
        raise ConfigError(
            f"config.json has hidden_size={hidden}, which is not a multiple of "
            f"num_attention_heads={heads}",
            "each head has the same number of channels",
        )
    if not grouped and multi_query:
        fields["num_key_value_heads"] = 1  # Falcon 7B states 71, which nothing reads
    elif not grouped:
        reader.must_be("num_key_value_heads", heads)
    config = FalconConfig(
        **fields,
        alibi=alibi,
        bias=reader.flag("bias", False),
        parallel_attn=reader.flag("parallel_attn", True),
        num_ln_in_parallel_attn=reader.integer("num_ln_in_parallel_attn", 2 if grouped else 1),
    )
    if grouped:
        reader.must_be("parallel_attn", True)
    if not grouped or config.num_ln_in_parallel_attn > 2:
        reader.must_be("num_ln_in_parallel_attn", 1)
    reader.must_be("apply_residual_connection_post_layernorm", False)
    reader.must_be("ff_factor", config.intermediate_size // hidden)
    rope = dict.fromkeys(("rope_parameters", "rope_scaling", "rope_theta"), _NO_ROPE)
    harmless = {**HARMLESS, "hidden_dropout": "training only", **(rope if alibi else {})}
    reader.finish(harmless)
    return config


def build(config: FalconConfig) -> Decoder:
    """Make the decoder, as HF's `FalconForCausalLM`."""

    def norm() -> LayerNorm:
        return LayerNorm(size=config.hidden_size, eps=config.norm_eps)

    def layer() -> nn.Module:
        attention = Attention(
            hidden_size=config.hidden_size,
            num_attention_heads=config.num_attention_heads,
            num_key_value_heads=config.num_key_value_heads,
            head_dim=config.head_dim,
            bias=config.bias,
            rope=None if config.alibi else FULL_ATTENTION,
        )
        mlp = MLP(
            hidden_size=config.hidden_size,
            intermediate_size=config.intermediate_size,
            hidden_act=config.hidden_act,
            bias=config.bias,
        )
        if config.parallel_attn:
            return ParallelLayer(
                self_attn=attention,
                mlp=mlp,
                input_layernorm=norm(),
                mlp_layernorm=norm() if config.num_ln_in_parallel_attn == 2 else None,
            )
        return PreNormLayer(
            self_attn=attention,
            mlp=mlp,
            input_layernorm=norm(),
            post_attention_layernorm=norm(),
        )

    slopes = alibi_slopes(config.num_attention_heads)
    # HF scales the scores with the lean already added.
    alibi: Mask = RoundedAlibiMask(slopes, score_scale=config.head_dim**-0.5)
    return Decoder(
        vocab_size=config.vocab_size,
        hidden_size=config.hidden_size,
        layers=[layer() for _ in range(config.num_hidden_layers)],
        norm=norm(),
        ropes={name: make_rope(config.head_dim, p) for name, p in config.rope.items()},
        masks={FULL_ATTENTION: alibi} if config.alibi else None,
        tie_word_embeddings=config.tie_word_embeddings,
    )


def weight_map(config: FalconConfig) -> WeightMap:
    """One matrix holds, for each KV head, its query heads, its keys and its values.

    That is the layout of all three kinds: of grouped queries, of a single KV head for all, and
    of one for each query head.
    """
    ours, theirs = "layers.{layer}.", "transformer.h.{layer}."
    names = {
        "self_attn.o_proj": ("self_attention.dense",),
        "mlp.fc1": ("mlp.dense_h_to_4h",),
        "mlp.fc2": ("mlp.dense_4h_to_h",),
        "input_layernorm": ("input_layernorm", "ln_attn"),
        "mlp_layernorm": ("ln_mlp",),
        "post_attention_layernorm": ("post_attention_layernorm",),
    }
    heads = config.num_attention_heads + 2 * config.num_key_value_heads
    kinds = ("weight", "bias")
    return (
        Rename("embed_tokens.weight", "transformer.word_embeddings.weight"),
        Copy("lm_head.weight", of="transformer.word_embeddings.weight")
        if config.tie_word_embeddings
        else Rename("lm_head.weight", "lm_head.weight"),
        *(Rename(f"norm.{kind}", f"transformer.ln_f.{kind}") for kind in kinds),
        *(
            Rename(f"{ours}{name}.{kind}", f"{theirs}{source}.{kind}")
            for name, sources in names.items()
            for source in sources
            for kind in kinds
        ),
        *(
            Rename(
                f"{ours}self_attn.{part}_proj.{kind}",
                f"{theirs}self_attention.query_key_value.{kind}",
                (Rows(rows.tolist(), heads * config.head_dim),),
            )
            for part, rows in _projection_rows(config).items()
            for kind in kinds
        ),
        Drop(f"{theirs}self_attention.rotary_emb.inv_freq", "computed from the config"),
    )


def _projection_rows(config: FalconConfig) -> dict[str, npt.NDArray[np.int64]]:
    groups, size = config.num_key_value_heads, config.head_dim
    group = config.num_attention_heads // groups
    rows = np.arange(groups * (group + 2) * size).reshape(groups, group + 2, size)
    return {
        "q": rows[:, :group].reshape(-1),
        "k": rows[:, group].reshape(-1),
        "v": rows[:, group + 1].reshape(-1),
    }


def tiny_config() -> dict[str, Any]:
    """Return a config of the newer kind: grouped queries, and two norms side by side."""
    return {
        "model_type": "falcon",
        "vocab_size": 97,
        "hidden_size": 72,
        "ffn_hidden_size": 144,
        "num_hidden_layers": 2,
        "num_attention_heads": 6,
        "num_kv_heads": 2,
        "max_position_embeddings": 64,
        "layer_norm_epsilon": 1e-5,
        "rope_theta": 10000.0,
        "alibi": False,
        "bias": False,
        "multi_query": True,
        "new_decoder_architecture": True,
        "parallel_attn": True,
    }
