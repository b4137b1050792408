"""Every name and layout that the runtimes demand, written once.

LiteRT-LM and MediaPipe's LLM engines find their way through a model by these names.
Changing one breaks every runtime, so nothing else in edgegen spells them out.

Shape legend, used in all of edgegen: `B` batch, `T` tokens in this call, `S` KV-cache
length, `N` query heads, `K` KV heads, `H` head_dim, `D` hidden_size, `F` intermediate_size,
`V` vocab_size.
"""

from __future__ import annotations

import re

# --- signatures -----------------------------------------------------------------------
DECODE = "decode"
_PREFILL = re.compile(r"prefill_(\d+)")

TOKENS = "tokens"  # int32 [B, T]
INPUT_POS = "input_pos"  # int32 [T]; only input_pos[0] decides where the cache is written
LOGITS = "logits"  # float32 [B, 1, V], decode only

# LiteRT-LM reads the context length off dimension 2 of the K cache when the graph has no
# mask input, so K is [B, K, S, H]. V is [B, K, H, S]: its product with the probabilities
# then contracts the last dimension of both, which is what the CPU and GPU kernels take.
KV_CACHE_K_PREFIX = "kv_cache_k_"  # float32 [B, K, S, H]
KV_CACHE_V_PREFIX = "kv_cache_v_"  # float32 [B, K, H, S]
# The last inputs of a convolution, under the name that LiteRT-LM's own exporter gives them.
# LiteRT-LM takes dimension 2 of any cache for the context's length, so they are spread over S
# rows: X values in each, as many as it takes to hold (L - 1) * D.
CONV_CACHE_PREFIX = "kv_cache_c_"  # float32 [B, 1, S, X]
# Both run on LiteRT-LM's CPU and GPU delegates; float16 takes half the memory.
KV_CACHE_DTYPES = ("float32", "float16")
CACHE_PREFIXES = (KV_CACHE_K_PREFIX, KV_CACHE_V_PREFIX, CONV_CACHE_PREFIX)

# An encoder-decoder's `encode_{T}` fills these, and its `decode` reads them.
CROSS_CACHE_K_PREFIX = "cross_kv_cache_k_"  # float32 [B, K, S, H]
CROSS_CACHE_V_PREFIX = "cross_kv_cache_v_"  # float32 [B, K, H, S]
CROSS_MASK = "cross_mask"  # float32 [B, 1, 1, S], added to the scores

# What the runtimes with kernels for the cache need to know of a call. LiteRT-LM fills this input
# wherever a signature has it: where the call's first token is written, then twice where its last
# one ends; the rest is 0. Kernels that wrap around want the number of tokens in the fourth place.
PARAM_TENSOR = "param_tensor"  # int32 [1, 1, 1, 7]
PARAM_TENSOR_SHAPE = (1, 1, 1, 7)

# Which slots each token sees: 0, or a large negative number. LiteRT-LM and MediaPipe fill this
# input wherever a signature has it; edgegen's graphs compute it unless asked for the input.
MASK = "mask"  # float32 [1, 1, T, S]

# --- named boundaries (composites) that a runtime may compute with a kernel of its own --------
RMS_NORM = "odml.rms_norm"
GROUP_NORM = "odml.group_norm"  # layer norms, too
SDPA = "odml.scaled_dot_product_attention"
CACHE_UPDATE = "odml.cache_update"
RUNTIME_BMM = "odml.runtime_bmm"
ROPE = "odml.rope"
SWIGLU = "odml.swiglu"
COMPOSITES = (RMS_NORM, GROUP_NORM, SDPA, CACHE_UPDATE, RUNTIME_BMM, ROPE, SWIGLU)


def prefill_signature(tokens: int) -> str:
    """Return the name of the signature that takes `tokens` prompt tokens at once."""
    return f"prefill_{tokens}"


def prefill_length(signature: str) -> int | None:
    """Return the T of a `prefill_{T}` signature, or `None` for any other name."""
    match = _PREFILL.fullmatch(signature)
    return int(match[1]) if match else None


def encode_signature(tokens: int) -> str:
    """Return the name of the signature that encodes up to `tokens` tokens."""
    return f"encode_{tokens}"


def kv_cache_k(layer: int) -> str:
    """Return the name of a layer's K cache, the same as input and as output."""
    return f"{KV_CACHE_K_PREFIX}{layer}"


def kv_cache_v(layer: int) -> str:
    """Return the name of a layer's V cache, the same as input and as output."""
    return f"{KV_CACHE_V_PREFIX}{layer}"


# --- members of a MediaPipe .task bundle, and the model types of a .litertlm in lower case ------
TASK_MODEL = "TF_LITE_PREFILL_DECODE"
TASK_MODELS = (
    TASK_MODEL,
    "TF_LITE_EMBEDDER",
    "TF_LITE_PER_LAYER_EMBEDDER",
    "TF_LITE_VISION_ENCODER",
    "TF_LITE_VISION_ADAPTER",
)
TASK_TOKENIZER = "TOKENIZER_MODEL"
TASK_METADATA = "METADATA"
HF_TOKENIZER = "HF_TOKENIZER"  # tokenizer.json, which only a .litertlm carries
