"""The layers of a composition again: one token and one head at a time, in float64, no cache."""

from __future__ import annotations

import math
from typing import Any

import torch
from transformers import StableLmConfig
from transformers.activations import ACT2FN
from transformers.models.bloom.modeling_bloom import _get_alibi_slopes
from transformers.models.stablelm.modeling_stablelm import StableLmRotaryEmbedding

from tests.author.compositions import Composition, rope_parameters

Weights = dict[str, torch.Tensor]


def plain_layers(c: Composition, state: Weights, text: torch.Tensor) -> torch.Tensor:
    """Map a whole text `[T, D]` to `[T, D]`."""
    weights = {name: value.double() for name, value in state.items()}
    cos, sin = _angles(c)
    x = text.double()
    kept: tuple[torch.Tensor, torch.Tensor] | None = None
    for number in range(1 + c.readers):
        prefix = f"layers.{number}."
        own = {n.removeprefix(prefix): v for n, v in weights.items() if n.startswith(prefix)}
        layer = _Layer(c, own, cos, sin)
        x, kept = layer.run(x, kept)
    return x


def _angles(c: Composition) -> tuple[torch.Tensor, torch.Tensor]:
    """Return cosine and sine `[T, R/2]` by transformers, one call after the other."""
    if c.rope is None:
        return torch.empty(0), torch.empty(0)
    section: dict[str, Any] = {
        "rope_type": c.rope.rope_type,
        "rope_theta": c.rope.theta,
        "partial_rotary_factor": rope_parameters(c).partial_rotary_factor,
    }
    if c.rope.rope_type != "default":
        section["factor"] = c.rope.factor
    if c.rope.rope_type in ("llama3", "longrope", "yarn"):
        section["original_max_position_embeddings"] = c.rope.trained
    if c.rope.rope_type in ("longrope", "yarn"):
        section["attention_factor"] = c.rope.attention_factor
    if c.rope.rope_type == "longrope":
        section |= {"short_factor": [*c.rope.short_factor], "long_factor": [*c.rope.long_factor]}
    if c.rope.rope_type == "llama3":
        section |= {"low_freq_factor": 1.0, "high_freq_factor": 4.0}
    config = StableLmConfig(
        hidden_size=c.head_dim,
        num_attention_heads=1,
        num_key_value_heads=1,
        max_position_embeddings=c.rope.trained if c.rope.rope_type == "dynamic" else 4096,
        rope_parameters=section,
    )
    embedding = StableLmRotaryEmbedding(config)
    found, start = [], 0
    for count in c.calls:
        positions = torch.arange(start, start + count)
        embedding(torch.empty(0), positions[None])  # which settles the frequencies for this call
        turns = positions[:, None].double() * embedding.inv_freq.double()
        factor = embedding.attention_scaling
        found.append((torch.cos(turns) * factor, torch.sin(turns) * factor))
        start += count
    return torch.cat([cos for cos, _ in found]), torch.cat([sin for _, sin in found])


class _Layer:
    def __init__(
        self, c: Composition, weights: Weights, cos: torch.Tensor, sin: torch.Tensor
    ) -> None:
        self.c = c
        self.weights = weights
        self.cos = cos
        self.sin = sin
        self.slopes = _get_alibi_slopes(c.num_attention_heads, torch.device("cpu")).double()

    def run(
        self, x: torch.Tensor, kept: tuple[torch.Tensor, torch.Tensor] | None
    ) -> tuple[torch.Tensor, tuple[torch.Tensor, torch.Tensor]]:
        form, multiplier = self.c.form, self.c.residual_multiplier
        if form == "pre":
            mixed, kept = self.attend(self.norm("input_layernorm", x), kept)
            x = x + multiplier * mixed
            return x + multiplier * self.mlp(self.norm("post_attention_layernorm", x)), kept
        if form == "post":
            mixed, kept = self.attend(x, kept)
            x = x + self.norm("post_attention_layernorm", mixed)
            return x + self.norm("post_feedforward_layernorm", self.mlp(x)), kept
        if form == "sandwich":
            mixed, kept = self.attend(self.norm("input_layernorm", x), kept)
            x = x + self.norm("post_attention_layernorm", mixed)
            made = self.mlp(self.norm("pre_feedforward_layernorm", x))
            return x + self.norm("post_feedforward_layernorm", made), kept
        mixed, kept = self.attend(self.norm("input_layernorm", x), kept)
        two = form == "parallel, two norms"
        return x + mixed + self.mlp(self.norm("mlp_layernorm" if two else "input_layernorm", x)), (
            kept
        )

    def norm(self, name: str, x: torch.Tensor, kind: str | None = None) -> torch.Tensor:
        kind = kind or self.c.norm
        if kind.startswith("layer"):
            x = x - x.mean(-1, keepdim=True)
        x = x / torch.sqrt((x**2).mean(-1, keepdim=True) + self.c.eps)
        weight = self.weights.get(f"{name}.weight")
        if weight is not None:
            x = x * (1 + weight if kind == "rms, unit offset" else weight)
        return x + self.weights.get(f"{name}.bias", 0)

    def linear(self, name: str, x: torch.Tensor) -> torch.Tensor:
        return x @ self.weights[f"{name}.weight"].T + self.weights.get(f"{name}.bias", 0)

    def attend(
        self, x: torch.Tensor, kept: tuple[torch.Tensor, torch.Tensor] | None
    ) -> tuple[torch.Tensor, tuple[torch.Tensor, torch.Tensor]]:
        """Attend from each of `[T, D]`; `kept` are keys and values of an earlier layer."""
        c = self.c
        queries = self.placed(self.heads("q_proj", x), "q_norm")
        if kept is None:
            keys = self.heads("k_proj", x)
            values = self.heads("v_proj", x) if c.own_v else keys
            if c.bare_v_norm:
                values = values / torch.sqrt((values**2).mean(-1, keepdim=True) + c.eps)
            kept = (self.placed(keys, "k_norm"), values)
        keys, values = kept
        group = c.num_attention_heads // c.num_key_value_heads
        rows = []
        for t in range(x.shape[0]):
            seen = [s for s in range(t + 1) if self.sees(t, s)]
            attended = []
            for head in range(c.num_attention_heads):
                shared = head // group
                scores = keys[seen, shared] @ queries[t, head]
                scores = scores * (c.head_dim**-0.5 if c.scale is None else c.scale)
                if c.logit_softcapping is not None:
                    scores = c.logit_softcapping * torch.tanh(scores / c.logit_softcapping)
                if c.mask == "alibi":
                    distance = torch.tensor([float(t - s) for s in seen], dtype=torch.float64)
                    scores = scores - self.slopes[head] / c.mask_size * distance
                shares = torch.exp(scores)
                total = shares.sum()
                if c.sinks:
                    total = total + math.exp(float(self.weights["self_attn.sinks"][head]))
                attended.append((shares / total) @ values[seen, shared])
            rows.append(torch.cat(attended))
        return self.linear("self_attn.o_proj", torch.stack(rows)), kept

    def sees(self, t: int, s: int) -> bool:
        if self.c.mask == "window":
            return t - s < self.c.mask_size
        if self.c.mask == "chunk":
            return t // self.c.mask_size == s // self.c.mask_size
        return True

    def heads(self, name: str, x: torch.Tensor) -> torch.Tensor:
        return self.linear(f"self_attn.{name}", x).reshape(x.shape[0], -1, self.c.head_dim)

    def placed(self, x: torch.Tensor, name: str) -> torch.Tensor:
        """Normalize and rotate `[T, heads, H]`."""
        if self.c.norm_first:
            return self.rotated(self.head_norm(x, f"self_attn.{name}"))
        return self.head_norm(self.rotated(x), f"self_attn.{name}")

    def head_norm(self, x: torch.Tensor, name: str) -> torch.Tensor:
        kind = self.c.head_norm
        if kind is None:
            return x
        if kind == "across heads":
            return self.norm(f"{name}.norm", x.flatten(1), "rms").reshape(x.shape)
        if kind == "per head":
            weight = self.weights[f"{name}.weight"].reshape(x.shape[1:])
            normed = [self.norm("", x[:, head], "layer") for head in range(x.shape[1])]
            return torch.stack(normed, dim=1) * weight
        return self.norm(name, x, kind)

    def rotated(self, x: torch.Tensor) -> torch.Tensor:
        if self.c.rope is None:
            return x
        pairs = self.cos.shape[1]
        turned = x.clone()
        for t in range(x.shape[0]):
            for i in range(pairs):
                cos, sin = self.cos[t, i], self.sin[t, i]
                first, second = x[t, :, i], x[t, :, pairs + i]
                turned[t, :, i] = first * cos - second * sin
                turned[t, :, pairs + i] = second * cos + first * sin
        return turned

    def mlp(self, x: torch.Tensor) -> torch.Tensor:
        act = ACT2FN[self.c.hidden_act]
        if self.c.mlp == "plain":
            return self.linear("mlp.fc2", act(self.linear("mlp.fc1", x)))
        if self.c.mlp == "gated":
            gate = act(self.linear("mlp.gate_proj", x))
            return self.linear("mlp.down_proj", gate * self.linear("mlp.up_proj", x))
        return torch.stack([self.experts(token) for token in x])

    def experts(self, x: torch.Tensor) -> torch.Tensor:
        """Send one token `[D]` to its experts."""
        c, size = self.c, self.c.intermediate_size
        chances = torch.softmax(self.weights["mlp.gate.weight"] @ x, dim=-1)
        shares, picked = torch.topk(chances, c.num_experts_per_tok)
        if c.norm_topk_prob:
            shares = shares / shares.sum()
        made = torch.zeros_like(x)
        for share, expert in zip(shares, picked.tolist(), strict=True):
            rows = slice(expert * size, (expert + 1) * size)
            gate = ACT2FN[c.hidden_act](self.weights["mlp.gate_proj.weight"][rows] @ x)
            hidden = gate * (self.weights["mlp.up_proj.weight"][rows] @ x)
            made = made + share * (self.weights["mlp.down_proj.weight"][:, rows] @ hidden)
        return made
