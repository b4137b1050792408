"""Cases of blocks that only some architectures have: those of Gemma 3n and T5."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch.nn import functional
from transformers import (
    Gemma3nTextConfig,
)
from transformers.models.gemma3n import modeling_gemma3n as gemma3n
from transformers.models.t5.modeling_t5 import T5Attention

from edgegen.author.layers.altup import AltUp, GaussianTopkMLP, Laurel
from edgegen.author.layers.per_layer_input import PerLayerGate, PerLayerInputs
from edgegen.author.layers.relative_bias import RelativeBias
from tests.author.layers.cases import (
    EPS,
    Case,
    D,
    N,
    S,
    function,
    ints,
    like,
    plain,
    random,
    randomized,
)
from tests.author.layers.plain_cases import TEXT, F


def gemma3n_config(sparsity: float = 0.0) -> Gemma3nTextConfig:
    return Gemma3nTextConfig(
        hidden_size=D,
        intermediate_size=[F],
        num_hidden_layers=1,
        layer_types=["full_attention"],
        num_kv_shared_layers=0,
        activation_sparsity_pattern=[sparsity],
        altup_num_inputs=3,
        altup_active_idx=1,
        laurel_rank=4,
        rms_norm_eps=EPS,
    )


def altup(which: str) -> Case:
    theirs = gemma3n.Gemma3nTextAltUp(gemma3n_config())
    ours = AltUp(hidden_size=D, num_inputs=3, active_idx=1, correct_scale=True, norm_eps=EPS)
    like(ours, theirs)
    versions, x = random(1, 5, 3, D), random(*TEXT, seed=2)
    if which == "predict":  # theirs has the versions first
        return function(
            ours,
            ours.predict,
            lambda v: theirs.predict(v.permute(2, 0, 1, 3)).permute(1, 2, 0, 3),
            (versions,),
        )
    if which == "correct":
        return function(
            ours,
            ours.correct,
            lambda v, x: theirs.correct(v.permute(2, 0, 1, 3), x).permute(1, 2, 0, 3),
            (versions, x),
        )
    return function(ours, ours.scaled, theirs.scale_corrected_output, (x,))


def laurel() -> Case:
    theirs = gemma3n.Gemma3nTextLaurelBlock(gemma3n_config())
    ours = Laurel(hidden_size=D, rank=4, norm_eps=EPS)
    return plain(like(ours, theirs), theirs, (random(*TEXT),))


def gaussian_topk() -> Case:
    theirs = gemma3n.Gemma3nTextMLP(gemma3n_config(0.75))
    ours = GaussianTopkMLP(
        hidden_size=D, intermediate_size=F, hidden_act="gelu_pytorch_tanh", sparsity=0.75
    )
    return plain(like(ours, theirs), theirs, (random(*TEXT),))


def per_layer_inputs(table_size: int) -> Case:
    layers, size = 3, 4
    ours = PerLayerInputs(
        vocab_size=11,
        table_size=table_size,
        hidden_size=D,
        num_hidden_layers=layers,
        per_layer_size=size,
        norm_eps=EPS,
    )
    randomized(ours)

    def theirs(tokens: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
        known = torch.where(tokens < table_size, tokens, 0)
        table = ours.embed_tokens_per_layer.weight * size**0.5
        looked_up = functional.embedding(known, table).reshape(1, -1, layers, size)
        projected = functional.linear(x, ours.per_layer_model_projection.weight) * D**-0.5
        weight = ours.per_layer_projection_norm.weight
        normed = functional.rms_norm(projected.reshape(looked_up.shape), (size,), weight, EPS)
        return (normed + looked_up) / 2**0.5

    return plain(ours, theirs, (ints(0, 3, 10, 7, 8)[None], random(*TEXT)))


def per_layer_gate() -> Case:
    ours = PerLayerGate(
        index=1, hidden_size=D, per_layer_size=4, hidden_act="gelu_pytorch_tanh", norm_eps=EPS
    )
    randomized(ours)

    def theirs(x: torch.Tensor, told: torch.Tensor) -> torch.Tensor:
        gate = functional.linear(x, ours.per_layer_input_gate.weight)
        made = functional.gelu(gate, approximate="tanh") * told[:, :, 1]
        made = functional.linear(made, ours.per_layer_projection.weight)
        return functional.rms_norm(made, (D,), ours.post_per_layer_input_norm.weight, EPS)

    return plain(ours, theirs, (random(*TEXT), random(1, 5, 3, 4, seed=2)))


def relative_bias(bidirectional: bool) -> Case:
    ours = RelativeBias(
        num_buckets=8, max_distance=10, num_attention_heads=N, bidirectional=bidirectional
    )
    randomized(ours)

    def theirs(positions: torch.Tensor) -> torch.Tensor:
        distance = torch.arange(S)[None] - positions[:, None]
        buckets = T5Attention._relative_position_bucket(distance, bidirectional, 8, 10)
        weight = torch.stack(list(ours.heads), dim=-1)  # [buckets, N]
        return functional.embedding(buckets, weight).permute(2, 0, 1)[None]

    return function(ours, lambda p: ours(p, S), theirs, (ints(0, 1, 2),), (ints(9, 10, 11),))


SPECIAL_CASES: dict[str, Callable[[], Case]] = {
    "AltUp, predict": lambda: altup("predict"),
    "AltUp, correct": lambda: altup("correct"),
    "AltUp, scaled": lambda: altup("scaled"),
    "Laurel": laurel,
    "GaussianTopkMLP": gaussian_topk,
    "PerLayerInputs": lambda: per_layer_inputs(11),
    "PerLayerInputs, smaller table": lambda: per_layer_inputs(8),
    "PerLayerGate": per_layer_gate,
    "RelativeBias, both ways": lambda: relative_bias(True),
    "RelativeBias, one way": lambda: relative_bias(False),
}
