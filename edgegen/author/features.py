"""What keys of `config.json` ask for, in words, and which block computes it.

Only for telling a person what a checkpoint would need: whether it can be authored is decided by
`read_config` of its architecture and by its tensors.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Feature:
    """A property of models.

    Attributes:
        words: What model authors call it.
        block: The block in `edgegen.author` that computes it, or `None`.
    """

    words: str
    block: str | None


_ATTENTION = "layers.Attention"
_ROPE = Feature("rotary position embeddings", "layers.make_rope")
_MOE = Feature("a mixture of experts", "layers.SparseMoE")
_SHARED_EXPERTS = Feature("a mixture of experts with experts that all tokens share", None)
_LATENT = Feature("latent attention, whose keys and values are compressed", None)
_STATE_SPACE = Feature("state-space (Mamba) layers", None)
_LINEAR_ATTENTION = Feature("linear attention with a recurrent state", None)
_QK_NORM = Feature("norms on queries and keys", f"{_ATTENTION}(q_norm, k_norm)")
_WINDOW = Feature("sliding-window attention", "layers.CausalMask(sliding_window)")
_CAPPING = Feature("soft-capping of scores or logits", f"{_ATTENTION}(logit_softcapping)")
_LAYER_NORM = Feature("layer norms", "layers.LayerNorm")
_IMAGES = Feature("an image encoder", None)
_SOUND = Feature("an audio encoder", None)

FEATURES: dict[str, Feature] = {
    "alibi": Feature("ALiBi position biases", "layers.AlibiMask"),
    "attention_chunk_size": Feature("chunked attention", "layers.CausalMask(chunk_size)"),
    "attention_multiplier": Feature("a scale of the scores", f"{_ATTENTION}(scale)"),
    "attn_logit_softcapping": _CAPPING,
    "audio_config": _SOUND,
    "clip_qkv": Feature("clipping of queries, keys and values", None),
    "conv_L_cache": Feature("short convolutions", "layers.ShortConv"),
    "embedding_multiplier": Feature("scaled embeddings", "Decoder(embedding_multiplier)"),
    "final_logit_softcapping": _CAPPING,
    "first_k_dense_replace": _SHARED_EXPERTS,
    "head_dim": Feature("heads of a size of their own", f"{_ATTENTION}(head_dim)"),
    "kv_lora_rank": _LATENT,
    "layer_norm_eps": _LAYER_NORM,
    "layer_norm_epsilon": _LAYER_NORM,
    "layer_types": Feature("layers of several types", "Decoder(masks, ropes)"),
    "linear_conv_kernel_dim": _LINEAR_ATTENTION,
    "linear_num_value_heads": _LINEAR_ATTENTION,
    "logit_scale": Feature("scaled logits", "Decoder(logit_multiplier)"),
    "logits_scaling": Feature("scaled logits", "Decoder(logit_multiplier)"),
    "mamba_d_state": _STATE_SPACE,
    "moe_intermediate_size": _MOE,
    "moe_num_experts": _MOE,
    "n_routed_experts": _SHARED_EXPERTS,
    "n_shared_experts": _SHARED_EXPERTS,
    "no_rope_layers": Feature("layers without rotation", f"{_ATTENTION}(rope=None)"),
    "num_experts": _MOE,
    "num_local_experts": _MOE,
    "parallel_attn": Feature("attention and feed-forward side by side", "ParallelLayer"),
    "partial_rotary_factor": _ROPE,
    "q_lora_rank": _LATENT,
    "qk_layernorm": _QK_NORM,
    "query_pre_attn_scalar": Feature("a scale of the scores", f"{_ATTENTION}(scale)"),
    "residual_multiplier": Feature("scaled residuals", "PreNormLayer(residual_multiplier)"),
    "rope_parameters": _ROPE,
    "rope_scaling": _ROPE,
    "rope_theta": _ROPE,
    "rotary_dim": _ROPE,
    "rotary_emb_base": _ROPE,
    "rotary_pct": _ROPE,
    "shared_expert_intermediate_size": _SHARED_EXPERTS,
    "sliding_window": _WINDOW,
    "sliding_window_pattern": _WINDOW,
    "ssm_cfg": _STATE_SPACE,
    "state_size": _STATE_SPACE,
    "use_parallel_residual": Feature("attention and feed-forward side by side", "ParallelLayer"),
    "use_qk_norm": _QK_NORM,
    "vision_config": _IMAGES,
}


def words_for(key: str) -> str:
    """Say what a key asks for, or return the key itself."""
    feature = FEATURES.get(key)
    return key if feature is None else f"{feature.words} ({key})"
