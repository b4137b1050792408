"""Building blocks that are known to convert.

Layers take plain keyword arguments, never a config; `edgegen/author/models` turns configs
into layers. Parameter names are Hugging Face's. Shapes use the legend of `edgegen.contract`:
`B` batch, `T` tokens in this call, `S` KV-cache length, `N` query heads, `K` KV heads,
`H` head_dim, `D` hidden_size, `F` intermediate_size, `V` vocab_size.
"""

from edgegen.author.layers.activations import ACTIVATIONS
from edgegen.author.layers.attention import Attention
from edgegen.author.layers.embedding import Embedding
from edgegen.author.layers.mask import AlibiMask, CausalMask, alibi_slopes, layer_masks
from edgegen.author.layers.mlp import MLP, GatedMLP
from edgegen.author.layers.moe import SparseMoE
from edgegen.author.layers.norm import AcrossHeads, LayerNorm, PerHeadNorm, RMSNorm
from edgegen.author.layers.rope import Rope, apply_rope, make_rope
from edgegen.author.layers.short_conv import ShortConv
from edgegen.author.layers.step import Step

__all__ = [
    "ACTIVATIONS",
    "MLP",
    "AcrossHeads",
    "AlibiMask",
    "Attention",
    "CausalMask",
    "Embedding",
    "GatedMLP",
    "LayerNorm",
    "PerHeadNorm",
    "RMSNorm",
    "Rope",
    "ShortConv",
    "SparseMoE",
    "Step",
    "alibi_slopes",
    "apply_rope",
    "layer_masks",
    "make_rope",
]
