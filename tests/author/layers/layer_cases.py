"""Cases of the layers that join a mixer, a feed-forward block and norms."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import nn
from transformers import (
    Gemma2Config,
    GraniteConfig,
    LlamaConfig,
    Olmo2Config,
    PhiConfig,
)
from transformers.models.gemma2 import modeling_gemma2 as gemma2
from transformers.models.granite.modeling_granite import GraniteDecoderLayer
from transformers.models.llama import modeling_llama as llama
from transformers.models.olmo2.modeling_olmo2 import Olmo2DecoderLayer
from transformers.models.phi.modeling_phi import PhiDecoderLayer, PhiMLP

from edgegen.author.decoder_layers import (
    ParallelLayer,
    PostNormLayer,
    PreNormLayer,
    SandwichNormLayer,
)
from edgegen.author.layers import (
    MLP,
    AcrossHeads,
    Attention,
    GatedMLP,
    LayerNorm,
    RMSNorm,
)
from tests.author.layers.cases import (
    EPS,
    Case,
    D,
    H,
    K,
    N,
    like,
    over_time,
)
from tests.author.layers.mixer_cases import HEADS, ROPE, SIZES, F, causal, rms


def whole_layer(theirs: nn.Module) -> Callable[[torch.Tensor], torch.Tensor]:
    """Run a layer of transformers over a whole text."""

    def run(text: torch.Tensor) -> torch.Tensor:
        positions = torch.arange(text.shape[1])[None]
        embedding = llama.LlamaRotaryEmbedding(LlamaConfig(**SIZES, head_dim=H))
        made = theirs(
            text,
            attention_mask=causal(text.shape[1]),
            position_ids=positions,
            position_embeddings=embedding(text, positions),
        )
        output: torch.Tensor = made[0] if isinstance(made, tuple) else made
        return output

    return run


def layer_case(ours: nn.Module, theirs: nn.Module, **names: str) -> Case:
    like(ours, theirs, names)
    return over_time(ours, whole_layer(theirs), rope=ROPE)


def our_attention(**settings: Any) -> Attention:
    return Attention(**{"hidden_size": D, **HEADS, **settings})


def gated(hidden_act: str = "silu") -> GatedMLP:
    return GatedMLP(hidden_size=D, intermediate_size=F, hidden_act=hidden_act)


EAGER = {"attn_implementation": "eager"}


def pre_norm() -> Case:
    theirs = llama.LlamaDecoderLayer(
        LlamaConfig(**SIZES, num_key_value_heads=K, head_dim=H, rms_norm_eps=EPS, **EAGER), 0
    )
    ours = PreNormLayer(
        self_attn=our_attention(),
        mlp=gated(),
        input_layernorm=rms(D),
        post_attention_layernorm=rms(D),
    )
    return layer_case(ours, theirs)


def pre_norm_with_multiplier() -> Case:
    config = GraniteConfig(
        **SIZES,
        num_key_value_heads=K,
        rms_norm_eps=EPS,
        attention_multiplier=0.3,
        residual_multiplier=0.22,
        **EAGER,
    )
    config.head_dim = H
    ours = PreNormLayer(
        self_attn=our_attention(scale=0.3),
        mlp=gated(),
        input_layernorm=rms(D),
        post_attention_layernorm=rms(D),
        residual_multiplier=0.22,
    )
    return layer_case(ours, GraniteDecoderLayer(config, 0))


def post_norm() -> Case:
    config = Olmo2Config(**SIZES, num_key_value_heads=K, rms_norm_eps=EPS, **EAGER)
    config.head_dim = H
    ours = PostNormLayer(
        self_attn=our_attention(q_norm=AcrossHeads(rms(N * H)), k_norm=AcrossHeads(rms(K * H))),
        mlp=gated(),
        post_attention_layernorm=rms(D),
        post_feedforward_layernorm=rms(D),
    )
    return layer_case(
        ours, Olmo2DecoderLayer(config, 0), q_norm="q_norm.norm", k_norm="k_norm.norm"
    )


def sandwich_norm() -> Case:
    config = Gemma2Config(
        **SIZES,
        num_key_value_heads=K,
        head_dim=H,
        rms_norm_eps=EPS,
        query_pre_attn_scalar=20,
        attn_logit_softcapping=2.0,
        num_hidden_layers=1,
        layer_types=["full_attention"],
        **EAGER,
    )
    ours = SandwichNormLayer(
        self_attn=our_attention(scale=20**-0.5, logit_softcapping=2.0),
        mlp=gated("gelu_pytorch_tanh"),
        **{
            name: RMSNorm(size=D, eps=EPS, unit_offset=True)
            for name in (
                "input_layernorm",
                "post_attention_layernorm",
                "pre_feedforward_layernorm",
                "post_feedforward_layernorm",
            )
        },
    )
    return layer_case(ours, gemma2.Gemma2DecoderLayer(config, 0))


def phi_config() -> PhiConfig:
    config = PhiConfig(
        **SIZES,
        num_key_value_heads=K,
        layer_norm_eps=EPS,
        hidden_act="gelu_new",
        rope_parameters={"rope_type": "default", "rope_theta": 10000.0},
        **EAGER,
    )
    config.head_dim = H
    return config


def phi_mlp() -> MLP:
    return MLP(hidden_size=D, intermediate_size=F, hidden_act="gelu_new")


def parallel() -> Case:
    theirs = PhiDecoderLayer(phi_config(), 0)
    theirs.self_attn.rotary_ndims = H
    ours = ParallelLayer(
        self_attn=our_attention(bias=True),
        mlp=phi_mlp(),
        input_layernorm=LayerNorm(size=D, eps=EPS),
    )
    return layer_case(ours, theirs, dense="o_proj")


def parallel_with_two_norms() -> Case:
    """Put together from transformers' parts: the layer of Falcon stores its own form."""

    class Theirs(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            config = LlamaConfig(**SIZES, num_key_value_heads=K, head_dim=H, **EAGER)
            self.self_attn = llama.LlamaAttention(config, 0)
            self.mlp = PhiMLP(phi_config())
            self.input_layernorm = nn.LayerNorm(D, eps=EPS)
            self.mlp_layernorm = nn.LayerNorm(D, eps=EPS)

        def forward(self, x: torch.Tensor, **shared: Any) -> torch.Tensor:
            mixed, _ = self.self_attn(hidden_states=self.input_layernorm(x), **shared)
            return x + mixed + self.mlp(self.mlp_layernorm(x))

    ours = ParallelLayer(
        self_attn=our_attention(),
        mlp=phi_mlp(),
        input_layernorm=LayerNorm(size=D, eps=EPS),
        mlp_layernorm=LayerNorm(size=D, eps=EPS),
    )
    return layer_case(ours, Theirs())


LAYER_CASES: dict[str, Callable[[], Case]] = {
    "PreNormLayer": pre_norm,
    "PreNormLayer, multiplier": pre_norm_with_multiplier,
    "PostNormLayer": post_norm,
    "SandwichNormLayer": sandwich_norm,
    "ParallelLayer": parallel,
    "ParallelLayer, two norms": parallel_with_two_norms,
}
