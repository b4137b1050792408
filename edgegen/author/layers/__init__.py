"""Building blocks that are known to convert.

Layers take plain keyword arguments, never a config; `edgegen/author/models` turns configs
into layers. Parameter names are Hugging Face's. Shapes use the legend of `edgegen.contract`:
`B` batch, `T` tokens in this call, `S` KV-cache length, `N` query heads, `K` KV heads,
`H` head_dim, `D` hidden_size, `F` intermediate_size, `V` vocab_size.
"""

from edgegen.author.layers.attention import Attention
from edgegen.author.layers.mask import causal_mask
from edgegen.author.layers.mlp import ACTIVATIONS, GatedMLP
from edgegen.author.layers.norm import RMSNorm
from edgegen.author.layers.rope import apply_rope, rope_angles, rope_inv_freq

__all__ = [
    "ACTIVATIONS",
    "Attention",
    "GatedMLP",
    "RMSNorm",
    "apply_rope",
    "causal_mask",
    "rope_angles",
    "rope_inv_freq",
]
