"""Cases of blocks that look at other tokens, and of the layers around them."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import torch
from torch import nn
from torch.nn import functional
from transformers import (
    Lfm2Config,
    LlamaConfig,
)
from transformers.models.bloom.modeling_bloom import build_alibi_tensor
from transformers.models.gemma2 import modeling_gemma2 as gemma2
from transformers.models.gpt_oss import modeling_gpt_oss as gpt_oss
from transformers.models.lfm2.modeling_lfm2 import Lfm2ShortConv
from transformers.models.llama import modeling_llama as llama

from edgegen.author.layers import (
    AcrossHeads,
    AlibiMask,
    Attention,
    CausalMask,
    RMSNorm,
    ShortConv,
    alibi_slopes,
    make_rope,
)
from edgegen.author.layers.bidirectional import BidirectionalAttention, BidirectionalMask
from edgegen.author.layers.cross_attention import CrossAttention
from edgegen.author.layers.mask import MASKED
from edgegen.author.rope_parameters import RopeParameters
from tests.author.layers.cases import (
    DECODE,
    EPS,
    PADDED,
    TWO_CHUNKS,
    Case,
    Chunks,
    D,
    H,
    InStep,
    K,
    N,
    S,
    function,
    ints,
    over_time,
    plain,
    random,
    randomized,
)

F = 24
SIZES = {"hidden_size": D, "intermediate_size": F, "num_attention_heads": N}
HEADS = {"num_attention_heads": N, "num_key_value_heads": K, "head_dim": H}
ROPE = make_rope(H, RopeParameters())

Norm = Callable[[torch.Tensor], torch.Tensor]


def causal(tokens: int, window: int | None = None) -> torch.Tensor:
    """Return `[1, 1, T, T]`, which torch's own functions take for additive."""
    ones = torch.ones(tokens, tokens)
    hidden = ones.triu(1) if window is None else ones.triu(1) + ones.tril(-window)
    return torch.where(hidden > 0, MASKED, 0.0)[None, None]


def alibi(tokens: int) -> torch.Tensor:
    return build_alibi_tensor(torch.ones(1, tokens), N, torch.float32)[None] + causal(tokens)


def rotated(x: torch.Tensor) -> torch.Tensor:
    """Rotate `[1, heads, T, H]` as Llama does."""
    embedding = llama.LlamaRotaryEmbedding(LlamaConfig(**SIZES, head_dim=H))
    cos, sin = embedding(x, torch.arange(x.shape[2])[None])
    return llama.apply_rotary_pos_emb(x, x, cos, sin)[0]


def attention_of_others(
    ours: Attention,
    *,
    mask: Callable[[int], torch.Tensor] = causal,
    q_norm: Norm | None = None,
    k_norm: Norm | None = None,
    v_norm: Norm | None = None,
    kv: tuple[torch.Tensor, torch.Tensor] | None = None,
) -> Callable[[torch.Tensor], torch.Tensor]:
    """Compute the attention of `ours` over a whole text by functions of torch and transformers."""

    def split(x: torch.Tensor, projection: nn.Module) -> torch.Tensor:
        projected = functional.linear(x, projection.weight, projection.bias)
        return projected.reshape(*x.shape[:2], -1, ours.head_dim).transpose(1, 2)

    def place(x: torch.Tensor, norm: Norm | None) -> torch.Tensor:
        # Norms take [B, T, heads, H], rotations [B, heads, T, H].
        steps: list[Norm] = [] if ours.rope is None else [rotated]
        if norm is not None:

            def turned(x: torch.Tensor) -> torch.Tensor:
                return norm(x.transpose(1, 2)).transpose(1, 2)

            steps.insert(0 if ours.norm_first else len(steps), turned)
        for step in steps:
            x = step(x)
        return x

    def attend(x: torch.Tensor) -> torch.Tensor:
        q = place(split(x, ours.q_proj), q_norm)
        if kv is None:
            before = split(x, ours.k_proj)
            v = before if ours.v_proj is None else split(x, ours.v_proj)
            k = place(before, k_norm)
            if v_norm is not None:
                v = v_norm(v.transpose(1, 2)).transpose(1, 2)
        else:
            k, v = (values[:, :, : x.shape[1]] for values in kv)
        group = q.shape[1] // k.shape[1]
        fake = SimpleNamespace(num_key_value_groups=group, training=False, sinks=ours.sinks)
        shared = (q, k, v, mask(x.shape[1]))
        if ours.sinks is not None:
            made, _ = gpt_oss.eager_attention_forward(fake, *shared, ours.scale)
        elif ours.logit_softcapping is not None:
            made, _ = gemma2.eager_attention_forward(
                fake, *shared, scaling=ours.scale, softcap=ours.logit_softcapping
            )
        else:
            made = functional.scaled_dot_product_attention(
                *shared, scale=ours.scale, enable_gqa=True
            ).transpose(1, 2)
        return functional.linear(made.flatten(2), ours.o_proj.weight, ours.o_proj.bias)

    return attend


def attention(
    chunks: Chunks = TWO_CHUNKS,
    *,
    our_mask: Any = None,
    their_mask: Callable[[int], torch.Tensor] = causal,
    norms: dict[str, Norm] | None = None,
    **settings: Any,
) -> Case:
    ours = Attention(**{"hidden_size": D, **HEADS, **settings})
    randomized(ours)
    theirs = attention_of_others(ours, mask=their_mask, **(norms or {}))
    rope = ROPE if ours.rope else None
    return over_time(ours, theirs, chunks, mask=our_mask, rope=rope)


def rms(size: int = H) -> RMSNorm:
    return RMSNorm(size=size, eps=EPS)


def normed_attention(across: bool = False, v: bool = False, **settings: Any) -> Case:
    """Give queries, keys and perhaps values norms, whose weights are drawn first."""

    def make(heads: int) -> tuple[nn.Module, Norm]:
        ours = AcrossHeads(rms(heads * H)) if across else rms()
        inner = ours.norm if across else ours

        def theirs(x: torch.Tensor) -> torch.Tensor:
            flat = x.flatten(2) if across else x
            return functional.rms_norm(flat, flat.shape[-1:], inner.weight, EPS).reshape(x.shape)

        return ours, theirs

    names = {"q_norm": N, "k_norm": K, **({"v_norm": K} if v else {})}
    made = {name: make(heads) for name, heads in names.items()}
    return attention(
        norms={name: theirs for name, (_, theirs) in made.items()},
        **{name: ours for name, (ours, _) in made.items()},
        **settings,
    )


def reading_attention() -> Case:
    ours = Attention(hidden_size=D, **HEADS, own_kv=False)
    randomized(ours)
    k, v = random(1, K, S, H, seed=3), random(1, K, S, H, seed=4)
    theirs = attention_of_others(ours, kv=(k, v))
    return over_time(ours, theirs, rope=ROPE, cache=(k, v.transpose(2, 3).contiguous()))


def bidirectional_attention(window: int | None) -> Case:
    ours = BidirectionalAttention(hidden_size=D, **HEADS)
    randomized(ours)
    sees = BidirectionalMask(window)
    length = 9

    def near(tokens: int) -> torch.Tensor:
        ones = torch.ones(tokens, tokens)
        hidden = ones * 0 if window is None else ones.triu(window) + ones.tril(-window)
        hidden[:, length:] = 1
        return torch.where(hidden > 0, MASKED, 0.0)[None, None]

    module = InStep(
        ours,
        {"full_attention": lambda _, tokens: sees(ints(length), tokens)},
        {"full_attention": ROPE},
        writes=False,
    )
    text = random(1, S, D)
    with torch.no_grad():
        expected = attention_of_others(ours, mask=near)(text)[:, :length]
    return Case(ours, module, [(text, torch.arange(S).int())], [(expected,)])


def cross_attention(which: str) -> Case:
    ours = CrossAttention(hidden_size=D, num_attention_heads=N, head_dim=H, scale=0.5)
    randomized(ours)
    states, x = random(1, S, D), random(1, 3, D, seed=2)

    def split(x: torch.Tensor, projection: nn.Linear) -> torch.Tensor:
        return functional.linear(x, projection.weight).reshape(1, -1, N, H)

    def keys_values(states: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        return split(states, ours.k_proj), split(states, ours.v_proj)

    if which == "keys_values":
        return function(ours, ours.keys_values, keys_values, (states,))
    mask = torch.where(torch.arange(S) < 7, 0.0, MASKED).reshape(1, 1, 1, S)
    with torch.no_grad():
        k, v = keys_values(states)

    def theirs(x: torch.Tensor, k: torch.Tensor, v: torch.Tensor, mask: torch.Tensor) -> Any:
        q = split(x, ours.q_proj).transpose(1, 2)
        made = functional.scaled_dot_product_attention(
            q, k, v.transpose(2, 3), attn_mask=mask, scale=0.5
        )
        return functional.linear(made.transpose(1, 2).flatten(2), ours.o_proj.weight)

    cache = (k.transpose(1, 2).contiguous(), v.permute(0, 2, 3, 1).contiguous())
    return plain(ours, theirs, (x, *cache, mask))


def short_conv(chunks: Chunks, bias: bool = False, kernel_size: int = 3) -> Case:
    config = Lfm2Config(
        **SIZES,
        conv_L_cache=kernel_size,
        conv_bias=bias,
        num_hidden_layers=1,
        layer_types=["conv"],
    )
    theirs = randomized(Lfm2ShortConv(config, 0))
    ours = ShortConv(hidden_size=D, kernel_size=kernel_size, bias=bias)
    ours.out_proj.load_state_dict(theirs.out_proj.state_dict())
    for i, projection in enumerate((ours.b_proj, ours.c_proj, ours.x_proj)):
        projection.weight.data = theirs.in_proj.weight.data[i * D : (i + 1) * D]
        if bias:
            projection.bias.data = theirs.in_proj.bias.data[i * D : (i + 1) * D]
    for i, tap in enumerate(ours.taps):
        tap.data = theirs.conv.weight.data[:, 0, i]
    if bias:
        ours.conv_bias.data = theirs.conv.bias.data
    return over_time(ours, theirs, chunks)


MIXER_CASES: dict[str, Callable[[], Case]] = {
    "Attention": attention,
    "Attention, padded chunk": lambda: attention(PADDED),
    "Attention, decode": lambda: attention(DECODE),
    "Attention, one KV head for each": lambda: attention(num_key_value_heads=N),
    "Attention, one KV head for all": lambda: attention(num_key_value_heads=1),
    "Attention, one head": lambda: attention(num_attention_heads=1, num_key_value_heads=1),
    "Attention, biases": lambda: attention(bias=True),
    "Attention, output without bias": lambda: attention(bias=True, output_bias=False),
    "Attention, output with bias": lambda: attention(bias=False, output_bias=True),
    "Attention, q and k norms": normed_attention,
    "Attention, q, k and v norms": lambda: normed_attention(v=True),
    "Attention, norms across heads": lambda: normed_attention(across=True),
    "Attention, norms after rope": lambda: normed_attention(norm_first=False),
    "Attention, values are keys": lambda: normed_attention(v=True, own_v=False),
    "Attention, soft-capping": lambda: attention(logit_softcapping=2.0, scale=1.0),
    "Attention, sinks": lambda: attention(sinks=True),
    "Attention, scale": lambda: attention(scale=1.0),
    "Attention, window": lambda: attention(
        our_mask=CausalMask(3), their_mask=lambda tokens: causal(tokens, 3)
    ),
    "Attention, alibi, no rope": lambda: attention(
        our_mask=AlibiMask(alibi_slopes(N)), their_mask=alibi, rope=None
    ),
    "Attention, no rope": lambda: attention(rope=None),
    "Attention, cache of another": reading_attention,
    "BidirectionalAttention": lambda: bidirectional_attention(None),
    "BidirectionalAttention, window": lambda: bidirectional_attention(3),
    "CrossAttention": lambda: cross_attention("forward"),
    "CrossAttention, keys_values": lambda: cross_attention("keys_values"),
    "ShortConv": lambda: short_conv(TWO_CHUNKS),
    "ShortConv, bias": lambda: short_conv(TWO_CHUNKS, bias=True),
    "ShortConv, padded chunk": lambda: short_conv(PADDED),
    "ShortConv, padded chunk, kernel of 4": lambda: short_conv(PADDED, kernel_size=4),
    "ShortConv, decode": lambda: short_conv(DECODE),
}
