"""Decoder layers put together at random from the building blocks."""

from __future__ import annotations

from dataclasses import dataclass
from random import Random
from typing import Any

import torch
from hypothesis import strategies as st
from torch import nn

from edgegen.author.decoder_layers import (
    ParallelLayer,
    PostNormLayer,
    PreNormLayer,
    SandwichNormLayer,
)
from edgegen.author.layers import (
    ACTIVATIONS,
    MLP,
    AcrossHeads,
    AlibiMask,
    Attention,
    CausalMask,
    GatedMLP,
    LayerNorm,
    PerHeadNorm,
    RMSNorm,
    SparseMoE,
    Step,
    alibi_slopes,
    make_rope,
)
from edgegen.author.rope_parameters import RopeParameters
from tests.author.layers.cases import randomized
from tests.author.packs import Tensors

FORMS = {
    "pre": ("input_layernorm", "post_attention_layernorm"),
    "post": ("post_attention_layernorm", "post_feedforward_layernorm"),
    "sandwich": (
        "input_layernorm",
        "post_attention_layernorm",
        "pre_feedforward_layernorm",
        "post_feedforward_layernorm",
    ),
    "parallel": ("input_layernorm",),
    "parallel, two norms": ("input_layernorm", "mlp_layernorm"),
}
NORMS = ("rms", "rms, unit offset", "rms, bare", "layer", "layer, no bias", "layer, bare")
HEAD_NORMS = (None, *NORMS, "per head", "across heads")
ROPES = (None, "default", "linear", "dynamic", "llama3", "longrope", "yarn", "proportional")
MASKS = ("causal", "window", "chunk", "alibi")
MLPS = ("gated", "plain", "experts")


@dataclass(frozen=True)
class RopeChoice:
    """A rotation; `turning` channels of each head turn."""

    rope_type: str
    theta: float
    factor: float
    trained: int
    turning: int
    attention_factor: float = 1.0
    short_factor: tuple[float, ...] = ()
    long_factor: tuple[float, ...] = ()


@dataclass(frozen=True)
class Composition:
    """One or two layers and two calls; its repr is all that it takes to make it again.

    Attributes:
        readers: How many more layers follow that read the first one's cache.
        calls: How many real tokens each call has.
        padding: Rows that pad the first call.
        second_padded: Whether the second call is as long as the first, by padding, and so runs
            the same graph.
        kv_cache_len: S.
    """

    seed: int
    form: str
    norm: str
    eps: float
    residual_multiplier: float
    hidden_size: int
    num_attention_heads: int
    num_key_value_heads: int
    head_dim: int
    bias: bool
    output_bias: bool
    head_norm: str | None
    norm_first: bool
    bare_v_norm: bool
    own_v: bool
    scale: float | None
    logit_softcapping: float | None
    sinks: bool
    mask: str
    mask_size: int
    rope: RopeChoice | None
    mlp: str
    hidden_act: str
    intermediate_size: int
    mlp_bias: bool
    num_experts: int
    num_experts_per_tok: int
    norm_topk_prob: bool
    readers: int
    calls: tuple[int, int]
    padding: int
    second_padded: bool
    kv_cache_len: int


def random_rope(random: Random) -> tuple[RopeChoice | None, int]:
    """Draw a rotation and a head_dim, which is odd only where a channel may stand still."""
    kind = random.choice(ROPES)
    if kind is None:
        return None, random.randint(2, 9)
    # The base of `dynamic` grows by a power R / (R - 2).
    pairs = random.randint(2 if kind == "dynamic" else 1, 4)
    still = random.randint(0, 3)
    if kind == "proportional":  # turns in pairs over the whole head
        still *= 2
    divided = pairs if kind == "longrope" else 0
    scaled = kind in ("longrope", "yarn")
    choice = RopeChoice(
        rope_type=kind,
        theta=random.choice([100.0, 10000.0, 500000.0]),
        factor=1.0 if kind == "default" else random.choice([2.0, 4.0, 8.0]),
        trained=random.randint(2, 12),
        turning=2 * pairs,
        attention_factor=random.choice([1.0, 1.2]) if scaled else 1.0,
        short_factor=tuple(random.choices([1.0, 1.5, 2.0], k=divided)),
        long_factor=tuple(random.choices([2.0, 3.0, 4.0], k=divided)),
    )
    return choice, 2 * pairs + still


def random_composition(random: Random) -> Composition:
    """Draw what is valid; all is drawn from one number, so no two are alike in many parts."""

    def one_of(*values: Any) -> Any:
        return random.choice(values)

    kv_heads = random.randint(1, 8)
    experts = random.randint(2, 4)
    rope, head_dim = random_rope(random)
    first = random.randint(2, 6)
    calls = (first, min(first, one_of(1, 1, 1, 2, 3)))
    padding = random.randint(0, 2)
    second_padded = one_of(False, True, True, True)  # graphs are what takes time
    written = first + padding if second_padded else calls[1]
    return Composition(
        seed=random.randint(0, 999),
        form=one_of(*FORMS),
        norm=one_of(*NORMS),
        # Large, so that what is nearly zero is not blown up together with its rounding errors.
        eps=one_of(1e-2, 1e-3),
        residual_multiplier=one_of(1.0, 0.25),
        hidden_size=random.randint(5, 24),
        num_attention_heads=kv_heads * random.randint(1, 8 // kv_heads),
        num_key_value_heads=kv_heads,
        head_dim=head_dim,
        bias=one_of(False, True),
        output_bias=one_of(False, True),
        head_norm=one_of(*HEAD_NORMS),
        norm_first=one_of(True, False),
        bare_v_norm=one_of(False, False, True),
        own_v=one_of(True, True, False),
        scale=one_of(None, 0.25, 1.0),
        logit_softcapping=one_of(None, None, 1.0, 5.0),
        sinks=one_of(False, False, True),
        mask=one_of(*MASKS),
        mask_size=random.randint(1, 6),
        rope=rope,
        mlp=one_of(*MLPS),
        hidden_act=one_of(*sorted(ACTIVATIONS)),
        intermediate_size=random.randint(3, 20),
        mlp_bias=one_of(False, True),
        num_experts=experts,
        num_experts_per_tok=random.randint(1, experts),
        norm_topk_prob=one_of(False, True),
        readers=one_of(0, 0, 0, 0, 0, 0, 0, 1),
        calls=calls,
        padding=padding,
        second_padded=second_padded,
        # What the calls write must fit, their padding included.
        kv_cache_len=first + max(padding, written) + random.randint(0, 6),
    )


# Choices drawn one by one hypothesis would also mutate one by one, into near twins.
compositions = st.randoms(use_true_random=True).map(random_composition)


class Stack(nn.Module):
    """The layers of a composition, which compute their own rotations and masks."""

    def __init__(self, c: Composition) -> None:
        super().__init__()
        self.layers = nn.ModuleList(_layer(c, own_kv=i == 0) for i in range(1 + c.readers))
        self.kv_cache_len = c.kv_cache_len
        self.mask = _mask(c)
        self.rope = None if c.rope is None else make_rope(c.head_dim, rope_parameters(c))
        randomized(self, c.seed)

    def forward(self, x: torch.Tensor, input_pos: torch.Tensor, *cache: torch.Tensor) -> Tensors:
        angles = {}
        if self.rope is not None:
            angles["full_attention"] = self.rope.angles(input_pos, self.kv_cache_len)
        masks = {"full_attention": self.mask(input_pos, self.kv_cache_len)}
        step = Step(input_pos=input_pos, start=input_pos[0], angles=angles, masks=masks)
        for layer in self.layers:
            x, cache = layer(x, step, cache)
        return (x, *cache)

    def empty_cache(self) -> Tensors:
        shapes = self.layers[0].self_attn.cache_shapes(self.kv_cache_len)
        return tuple(torch.zeros(shape) for shape in shapes.values())


def rope_parameters(c: Composition) -> RopeParameters:
    assert c.rope is not None
    # The half keeps the product from being rounded down to one channel less.
    partial = 1.0 if c.rope.turning == c.head_dim else (c.rope.turning + 0.5) / c.head_dim
    return RopeParameters(
        rope_type=c.rope.rope_type,
        rope_theta=c.rope.theta,
        partial_rotary_factor=partial,
        factor=c.rope.factor,
        attention_factor=c.rope.attention_factor,
        original_max_position_embeddings=c.rope.trained,
        short_factor=c.rope.short_factor,
        long_factor=c.rope.long_factor,
    )


def _mask(c: Composition) -> CausalMask | AlibiMask:
    if c.mask == "alibi":
        return AlibiMask(alibi_slopes(c.num_attention_heads), score_scale=1 / c.mask_size)
    return CausalMask(
        sliding_window=c.mask_size if c.mask == "window" else None,
        chunk_size=c.mask_size if c.mask == "chunk" else None,
    )


def _norm(kind: str, size: int, eps: float) -> nn.Module:
    if kind.startswith("layer"):
        bare = kind == "layer, bare"
        return LayerNorm(size=size, eps=eps, bias=kind == "layer", scale=not bare)
    offset = kind == "rms, unit offset"
    return RMSNorm(size=size, eps=eps, unit_offset=offset, scale=kind != "rms, bare")


def _head_norm(c: Composition, heads: int) -> nn.Module | None:
    if c.head_norm is None:
        return None
    if c.head_norm == "per head":
        return PerHeadNorm(heads=heads, size=c.head_dim, eps=c.eps)
    if c.head_norm == "across heads":
        return AcrossHeads(RMSNorm(size=heads * c.head_dim, eps=c.eps))
    return _norm(c.head_norm, c.head_dim, c.eps)


def _attention(c: Composition, own_kv: bool) -> Attention:
    return Attention(
        hidden_size=c.hidden_size,
        num_attention_heads=c.num_attention_heads,
        num_key_value_heads=c.num_key_value_heads,
        head_dim=c.head_dim,
        bias=c.bias,
        output_bias=c.output_bias,
        rope=None if c.rope is None else "full_attention",
        scale=c.scale,
        q_norm=_head_norm(c, c.num_attention_heads),
        k_norm=_head_norm(c, c.num_key_value_heads),
        v_norm=RMSNorm(size=c.head_dim, eps=c.eps, scale=False) if c.bare_v_norm else None,
        norm_first=c.norm_first,
        logit_softcapping=c.logit_softcapping,
        sinks=c.sinks,
        own_kv=own_kv,
        own_v=c.own_v,
    )


def _mlp(c: Composition) -> nn.Module:
    if c.mlp == "experts":
        return SparseMoE(
            hidden_size=c.hidden_size,
            moe_intermediate_size=c.intermediate_size,
            num_experts=c.num_experts,
            num_experts_per_tok=c.num_experts_per_tok,
            hidden_act=c.hidden_act,
            norm_topk_prob=c.norm_topk_prob,
        )
    kind = GatedMLP if c.mlp == "gated" else MLP
    return kind(
        hidden_size=c.hidden_size,
        intermediate_size=c.intermediate_size,
        hidden_act=c.hidden_act,
        bias=c.mlp_bias,
    )


def _layer(c: Composition, own_kv: bool) -> nn.Module:
    parts: dict[str, Any] = {name: _norm(c.norm, c.hidden_size, c.eps) for name in FORMS[c.form]}
    parts |= {"self_attn": _attention(c, own_kv), "mlp": _mlp(c)}
    if c.form == "pre":
        return PreNormLayer(**parts, residual_multiplier=c.residual_multiplier)
    if c.form == "post":
        return PostNormLayer(**parts)
    return SandwichNormLayer(**parts) if c.form == "sandwich" else ParallelLayer(**parts)
