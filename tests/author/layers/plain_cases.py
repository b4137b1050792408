"""Cases of blocks that keep nothing between calls, beside torch's and transformers' own."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import nn
from torch.nn import functional
from transformers import (
    LlamaConfig,
    PhiConfig,
    Qwen3MoeConfig,
    StableLmConfig,
    masking_utils,
)
from transformers.activations import ACT2FN
from transformers.models.bloom.modeling_bloom import build_alibi_tensor
from transformers.models.gemma.modeling_gemma import GemmaRMSNorm
from transformers.models.gemma3.modeling_gemma3 import _bidirectional_window_overlay
from transformers.models.llama.modeling_llama import LlamaMLP, LlamaRMSNorm, apply_rotary_pos_emb
from transformers.models.olmo2.modeling_olmo2 import Olmo2RMSNorm
from transformers.models.phi.modeling_phi import PhiMLP
from transformers.models.qwen3_moe.modeling_qwen3_moe import Qwen3MoeSparseMoeBlock
from transformers.models.stablelm.modeling_stablelm import (
    StableLmLayerNormPerHead,
    StableLmRotaryEmbedding,
)

from edgegen.author.layers import (
    ACTIVATIONS,
    MLP,
    AcrossHeads,
    AlibiMask,
    CausalMask,
    Embedding,
    GatedMLP,
    LayerNorm,
    PerHeadNorm,
    RMSNorm,
    Rope,
    SparseMoE,
    alibi_slopes,
    apply_rope,
    make_rope,
)
from edgegen.author.layers.bidirectional import BidirectionalMask
from edgegen.author.layers.kv_cache import update_k, update_v
from edgegen.author.layers.mask import MASKED
from edgegen.author.rope_parameters import RopeParameters
from tests.author.layers.cases import (
    EPS,
    Case,
    D,
    H,
    K,
    N,
    S,
    function,
    ints,
    like,
    plain,
    random,
    randomized,
)

TEXT = (1, 5, D)
HEADS = (1, 5, N, H)
F = 24
BELOW, ABOVE = ints(3, 4, 5, 6, 7), ints(40, 41, 42, 43, 44)
TRAINED = 32


def layer_norm(bias: bool, scale: bool) -> Case:
    ours = randomized(LayerNorm(size=D, eps=EPS, bias=bias, scale=scale))

    def theirs(x: torch.Tensor) -> torch.Tensor:
        return functional.layer_norm(x, (D,), ours.weight, ours.bias, EPS)

    return plain(ours, theirs, (3 + 2 * random(*TEXT),))


def per_head_norm() -> Case:
    theirs = randomized(StableLmLayerNormPerHead(H, N, eps=EPS))
    ours = PerHeadNorm(heads=N, size=H, eps=EPS)
    ours.weight.data = torch.cat([norm.weight.data for norm in theirs.norms])
    return plain(ours, lambda x: theirs(x.transpose(1, 2)).transpose(1, 2), (random(*HEADS),))


def across_heads() -> Case:
    norm = Olmo2RMSNorm(N * H, EPS)
    ours = AcrossHeads(RMSNorm(size=N * H, eps=EPS))
    like(ours.norm, norm)
    return plain(ours, lambda x: norm(x.flatten(2)).reshape(x.shape), (random(*HEADS),))


def gated_mlp(bias: bool, tokens: int = 5) -> Case:
    config = LlamaConfig(hidden_size=D, intermediate_size=F, num_attention_heads=N, mlp_bias=bias)
    theirs = LlamaMLP(config)
    ours = GatedMLP(hidden_size=D, intermediate_size=F, hidden_act="silu", bias=bias)
    return plain(like(ours, theirs), theirs, (random(1, tokens, D),))


def mlp(bias: bool, tokens: int = 5) -> Case:
    theirs = PhiMLP(PhiConfig(hidden_size=D, intermediate_size=F, hidden_act="gelu_new"))
    ours = MLP(hidden_size=D, intermediate_size=F, hidden_act="gelu_new", bias=bias)
    like(ours, theirs)
    if not bias:
        theirs.fc1.bias.data.zero_()
        theirs.fc2.bias.data.zero_()
    return plain(ours, theirs, (random(1, tokens, D),))


def moe(experts: int, picked: int, norm: bool, tokens: int = 5) -> Case:
    config = Qwen3MoeConfig(
        hidden_size=D,
        moe_intermediate_size=F,
        num_experts=experts,
        num_experts_per_tok=picked,
        norm_topk_prob=norm,
    )
    theirs = randomized(Qwen3MoeSparseMoeBlock(config))
    ours = SparseMoE(
        hidden_size=D,
        moe_intermediate_size=F,
        num_experts=experts,
        num_experts_per_tok=picked,
        hidden_act="silu",
        norm_topk_prob=norm,
    )
    both = theirs.experts.gate_up_proj.data  # [E, 2F, D]
    ours.gate.weight.data = theirs.gate.weight.data
    ours.gate_proj.weight.data = both[:, :F].reshape(-1, D)
    ours.up_proj.weight.data = both[:, F:].reshape(-1, D)
    ours.down_proj.weight.data = theirs.experts.down_proj.data.transpose(0, 1).reshape(D, -1)
    return plain(ours, theirs, (random(1, tokens, D),))


ROPES: dict[str, dict[str, Any]] = {
    "default": {},
    "partial": {"partial_rotary_factor": 0.5},
    "linear": {"factor": 4.0},
    "linear, partial": {"factor": 4.0, "partial_rotary_factor": 0.5},
    "dynamic": {"factor": 4.0},
    "dynamic, partial": {"factor": 4.0, "partial_rotary_factor": 0.75},
    "llama3": {"factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0},
    "longrope": {
        "factor": 4.0,
        "attention_factor": 1.25,
        "short_factor": [1.0, 1.1, 1.2, 1.3],
        "long_factor": [1.0, 2.0, 3.0, 4.0],
    },
    "yarn": {"factor": 4.0, "attention_factor": 1.13},
    "yarn, not truncated": {"factor": 4.0, "attention_factor": 1.0, "truncate": False},
    "proportional": {"partial_rotary_factor": 0.5},
    "proportional, scaled": {"partial_rotary_factor": 0.25, "factor": 8.0},
}


def rope_of(name: str, values: dict[str, Any]) -> tuple[Rope, Callable[[], nn.Module]]:
    """Return our rotation and what makes theirs, which remembers what it has seen."""
    kind = name.split(",")[0].replace("partial", "default")
    lists = {key: tuple(value) for key, value in values.items() if isinstance(value, list)}
    ours = make_rope(
        H,
        RopeParameters(
            **{**values, **lists}, rope_type=kind, original_max_position_embeddings=TRAINED
        ),
    )

    def theirs() -> nn.Module:
        section = {"rope_type": kind, "rope_theta": 10000.0, **values}
        section.setdefault("partial_rotary_factor", 1.0)
        if kind in ("llama3", "longrope", "yarn"):
            section["original_max_position_embeddings"] = TRAINED
        config = StableLmConfig(
            hidden_size=N * H,
            num_attention_heads=N,
            max_position_embeddings=TRAINED if kind == "dynamic" else 4 * TRAINED,
            rope_parameters=section,
        )
        return StableLmRotaryEmbedding(config)

    return ours, theirs


def rope(name: str, values: dict[str, Any]) -> Case:
    ours, make_theirs = rope_of(name, values)

    def turned(x: torch.Tensor, input_pos: torch.Tensor) -> torch.Tensor:
        return apply_rope(x, *ours.angles(input_pos, 64))

    def theirs(x: torch.Tensor, input_pos: torch.Tensor) -> torch.Tensor:
        cos, sin = make_theirs()(x, input_pos[None])
        size = cos.shape[-1]
        found, _ = apply_rotary_pos_emb(x[..., :size], x[..., :size], cos, sin, unsqueeze_dim=2)
        return torch.cat([found, x[..., size:]], dim=-1)

    x = random(*HEADS)
    return function(ours, turned, theirs, (x, BELOW), (x, ABOVE))


def causal_mask(window: int | None, chunk: int | None) -> Case:
    ours = CausalMask(window, chunk)
    sees = masking_utils.causal_mask_function
    if window is not None:
        sees = masking_utils.sliding_window_causal_mask_function(window)
    if chunk is not None:
        sees = masking_utils.chunked_causal_mask_function(chunk, torch.zeros(1, dtype=torch.int32))

    def theirs(input_pos: torch.Tensor) -> torch.Tensor:
        rows = [[bool(sees(0, 0, p, torch.tensor(s))) for s in range(S)] for p in input_pos]
        return torch.where(torch.tensor(rows), 0.0, MASKED).reshape(1, 1, -1, S)

    calls = (ints(0, 1, 2, 3), ints(5, 6, 7, 8), ints(9, 10, 0, 0))
    return function(ours, lambda p: ours(p, S), theirs, *((call,) for call in calls), atol=0.0)


def alibi_mask(heads: int, scale: float) -> Case:
    ours = AlibiMask(alibi_slopes(heads), scale)

    def theirs(input_pos: torch.Tensor) -> torch.Tensor:
        # Theirs leans by the slot alone, which softmax cannot tell from the distance.
        lean = build_alibi_tensor(torch.ones(1, S), heads, torch.float32)  # [N, 1, S]
        lean = (lean - lean[:, 0, input_pos.long(), None]) * scale  # [N, T, S]
        visible = torch.arange(S) <= input_pos[:, None]
        return (lean + torch.where(visible, 0.0, MASKED))[None]

    calls = (ints(0, 1, 2, 3), ints(8, 9, 10, 11))
    # A masked score of -1e4 has no more than three digits after the point.
    return function(ours, lambda p: ours(p, S), theirs, *((call,) for call in calls), atol=1e-3)


def bidirectional_mask(window: int | None) -> Case:
    ours = BidirectionalMask(window)

    def theirs(length: torch.Tensor) -> torch.Tensor:
        near = _bidirectional_window_overlay(window or S)
        places = torch.arange(S)
        seen = [[bool(near(0, 0, q, k)) and bool(k < length) for k in places] for q in places]
        expected = torch.where(torch.tensor(seen), 0.0, MASKED).reshape(1, 1, S, S)
        return expected if window else expected[:, :, :1]

    return function(ours, lambda n: ours(n, S), theirs, (ints(4),), (ints(S),), atol=0.0)


def update(ours: Callable[..., torch.Tensor], dims: tuple[int, ...], slots: int) -> Case:
    """`dims` brings `[B, T, K, H]` into the layout of the cache, with its slots at `slots`."""
    shape = [1, K, S, H] if slots == 2 else [1, K, H, S]

    def theirs(cache: torch.Tensor, new: torch.Tensor, start: torch.Tensor) -> torch.Tensor:
        first = int(start)
        written = cache.clone()
        written.narrow(slots, first, new.shape[1]).copy_(new.permute(dims))
        return written

    cache, new = random(*shape), random(1, 3, K, H, seed=2)
    calls = [(cache, new, ints(start)[0]) for start in (0, 4, S - 3)]
    return function(ours, ours, theirs, *calls, atol=0.0)


def embedding() -> Case:
    ours = randomized(Embedding(11, D))
    return plain(
        ours, lambda x: functional.embedding(x, ours.weight), (ints(0, 10, 3)[None],), atol=0.0
    )


def rms_norm(theirs: nn.Module, unit_offset: bool) -> Case:
    ours = RMSNorm(size=D, eps=EPS, unit_offset=unit_offset)
    return plain(like(ours, theirs), theirs, (2 * random(*TEXT),))


def bare_rms_norm() -> Case:
    ours = RMSNorm(size=D, eps=EPS, scale=False)
    return plain(ours, lambda x: functional.rms_norm(x, (D,), eps=EPS), (2 * random(*TEXT),))


# transformers spells the tanh form out, and ends up elsewhere in the last digits.
def activation(name: str) -> Case:
    return function(
        ACTIVATIONS[name], ACTIVATIONS[name], ACT2FN[name], (4 * random(*TEXT),), atol=1e-4
    )


PLAIN_CASES: dict[str, Callable[[], Case]] = {
    "RMSNorm": lambda: rms_norm(LlamaRMSNorm(D, EPS), False),
    "RMSNorm, unit_offset": lambda: rms_norm(GemmaRMSNorm(D, EPS), True),
    "RMSNorm, no scale": bare_rms_norm,
    **{
        f"LayerNorm, bias={bias}, scale={scale}": lambda b=bias, s=scale: layer_norm(b, s)
        for bias in (False, True)
        for scale in (False, True)
    },
    "PerHeadNorm": per_head_norm,
    "AcrossHeads": across_heads,
    **{f"activation {name}": lambda n=name: activation(n) for name in ACTIVATIONS},
    "GatedMLP": lambda: gated_mlp(False),
    "GatedMLP, bias": lambda: gated_mlp(True),
    "GatedMLP, bias, one token": lambda: gated_mlp(True, tokens=1),
    "MLP": lambda: mlp(True),
    "MLP, one token": lambda: mlp(True, tokens=1),
    "MLP, no bias": lambda: mlp(False),
    "SparseMoE, 2 of 4": lambda: moe(4, 2, True),
    "SparseMoE, 3 of 5, shares as they are": lambda: moe(5, 3, False),
    "SparseMoE, one token": lambda: moe(4, 2, True, tokens=1),
    "SparseMoE, 1 of 3": lambda: moe(3, 1, True),
    **{f"rope {name}": lambda n=name, v=values: rope(n, v) for name, values in ROPES.items()},
    "CausalMask": lambda: causal_mask(None, None),
    "CausalMask, window": lambda: causal_mask(3, None),
    "CausalMask, window of one": lambda: causal_mask(1, None),
    "CausalMask, window of the cache": lambda: causal_mask(S, None),
    "CausalMask, chunk": lambda: causal_mask(None, 4),
    "AlibiMask, 4 heads": lambda: alibi_mask(4, 1.0),
    "AlibiMask, 6 heads, scaled": lambda: alibi_mask(6, 0.25),
    "BidirectionalMask": lambda: bidirectional_mask(None),
    "BidirectionalMask, window": lambda: bidirectional_mask(3),
    "update_k": lambda: update(update_k, (0, 2, 1, 3), 2),
    "update_v": lambda: update(update_v, (0, 2, 3, 1), 3),
    "Embedding": embedding,
}
