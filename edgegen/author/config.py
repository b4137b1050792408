"""A decoder's shape, as read from `config.json`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from edgegen.author.config_reader import ConfigReader
from edgegen.author.layers.activations import ACTIVATIONS
from edgegen.author.rope_parameters import RopeParameters, read_rope_by_layer_type
from edgegen.errors import ConfigError

FULL_ATTENTION = "full_attention"
SLIDING_ATTENTION = "sliding_attention"
# Far above any model, and low enough that rows can be listed for each channel of each head.
MOST_HEADS, MOST_HEAD_DIM = 1024, 2048
# Where the number of stored tensors does not bound it before anything is built.
MOST_LAYERS = 1024


@dataclass(frozen=True)
class DecoderConfig:
    """What decoders have in common, under the names of Hugging Face's `config.json`.

    An architecture with more to say derives a class of its own.

    Attributes:
        norm_eps: HF's `rms_norm_eps`, `layer_norm_eps` and the like.
        layer_types: `full_attention` or `sliding_attention` (or an architecture's own) for
            each layer.
        sliding_window: Positions that a sliding layer sees; `None` where no layer slides.
        rope: The rotary embedding of each layer type.
    """

    model_type: str
    vocab_size: int
    hidden_size: int
    intermediate_size: int
    num_hidden_layers: int
    num_attention_heads: int
    num_key_value_heads: int
    head_dim: int
    max_position_embeddings: int
    hidden_act: str
    norm_eps: float
    layer_types: tuple[str, ...]
    sliding_window: int | None
    rope: Mapping[str, RopeParameters]
    tie_word_embeddings: bool


@dataclass(frozen=True)
class Assumed:
    """What an architecture assumes where `config.json` is silent: its HF class's defaults.

    `config.json` leaves out what equals the defaults of all models, so these must be right.

    Attributes:
        hidden_act: The activation.
        act_keys: Keys that may name it, the first that is set goes.
        norm_eps: Value of the norm's epsilon.
        norm_eps_key: Its key.
        rope_theta: The rotary base.
        partial_rotary_factor: Share of each head's channels that turn.
        partial_rotary: Whether the HF class acts on that key at all.
        max_position_embeddings: The longest context.
        num_key_value_heads: K; `None` for as many as query heads.
        head_dim: H; `None` for D / N.
        intermediate_size: F; `None` if the config must say it.
        tie_word_embeddings: Whether the head shares the embedding.
        has_rope: Whether there are rotary embeddings at all.
    """

    hidden_act: str = "silu"
    act_keys: tuple[str, ...] = ("hidden_act",)
    norm_eps: float = 1e-6
    norm_eps_key: str = "rms_norm_eps"
    rope_theta: float = 10000.0
    partial_rotary_factor: float = 1.0
    partial_rotary: bool = False
    max_position_embeddings: int = 2048
    num_key_value_heads: int | None = None
    head_dim: int | None = None
    intermediate_size: int | None = None
    tie_word_embeddings: bool = False
    has_rope: bool = True


def decoder_fields(
    reader: ConfigReader,
    model_type: str,
    assumed: Assumed = Assumed(),
    *,
    layer_types: Sequence[str] | None = None,
    sliding_window: int | None = None,
) -> dict[str, Any]:
    """Take the keys that decoders have in common; the caller takes its own and finishes.

    Args:
        reader: The config.
        model_type: The architecture's name.
        assumed: Its defaults.
        layer_types: The type of each layer; by default all see the full context.
        sliding_window: As in `DecoderConfig`.

    Returns:
        The fields of `DecoderConfig`.

    Raises:
        ConfigError: a key is missing or has a wrong value.
    """
    heads = reader.integer("num_attention_heads", most=MOST_HEADS)
    hidden = reader.integer("hidden_size")
    layers = reader.integer("num_hidden_layers")
    # HF's defaults are for absent keys; null asks for what follows from the other keys.
    usual_dim = None if reader.has("head_dim") else assumed.head_dim
    head_dim = reader.integer("head_dim", usual_dim or max(1, hidden // heads), most=MOST_HEAD_DIM)
    usual_kv = None if reader.has("num_key_value_heads") else assumed.num_key_value_heads
    kv_heads = reader.integer("num_key_value_heads", usual_kv or heads)
    positions = reader.integer(
        "max_position_embeddings", assumed.max_position_embeddings, most=1 << 31
    )
    # Only the half-split form of RoPE is computed; the interleaved one pairs other channels.
    reader.must_be("rope_interleaved", False)
    layer_types = tuple(layer_types or [FULL_ATTENTION] * layers)
    if SLIDING_ATTENTION in layer_types and sliding_window is None:
        raise ConfigError(
            "config.json has layers of type sliding_attention, but no sliding_window in use",
            "set sliding_window, and use_sliding_window where the architecture has it",
        )
    rope: Mapping[str, RopeParameters] = {}
    if assumed.has_rope:
        rope = read_rope_by_layer_type(
            reader,
            layer_types,
            head_dim=head_dim,
            max_position_embeddings=positions,
            rope_theta=assumed.rope_theta,
            partial_rotary_factor=assumed.partial_rotary_factor,
        )
    _check_heads(heads, kv_heads)
    for parameters in rope.values():
        if parameters.partial_rotary_factor != 1.0 and not assumed.partial_rotary:
            raise ConfigError(
                f"config.json has partial_rotary_factor={parameters.partial_rotary_factor:g}, but "
                f"models of type {model_type} turn whole heads",
                "take the key out of config.json; transformers does not act on it either",
            )
        _check_rotary_size(head_dim, parameters)
    act_key = next((key for key in assumed.act_keys if reader.is_set(key)), assumed.act_keys[0])
    return {
        "model_type": model_type,
        "vocab_size": reader.integer("vocab_size", most=1 << 24),
        "hidden_size": hidden,
        "intermediate_size": reader.integer("intermediate_size", assumed.intermediate_size),
        "num_hidden_layers": layers,
        "num_attention_heads": heads,
        "num_key_value_heads": kv_heads,
        "head_dim": head_dim,
        "max_position_embeddings": positions,
        "hidden_act": reader.word(act_key, assumed.hidden_act, tuple(sorted(ACTIVATIONS))),
        "norm_eps": reader.number(assumed.norm_eps_key, assumed.norm_eps),
        "layer_types": layer_types,
        "sliding_window": sliding_window,
        "rope": rope,
        "tie_word_embeddings": reader.flag("tie_word_embeddings", assumed.tie_word_embeddings),
    }


def read_layer_types(reader: ConfigReader, default: Sequence[str]) -> tuple[str, ...]:
    """Take `layer_types`: full or sliding attention for each layer.

    Raises:
        ConfigError: another word, or another number of layers than `num_hidden_layers`.
    """
    layers = reader.integer("num_hidden_layers")
    return reader.words("layer_types", default, (FULL_ATTENTION, SLIDING_ATTENTION), layers)


def _check_heads(heads: int, kv_heads: int) -> None:
    if heads % kv_heads:
        raise ConfigError(
            f"config.json has num_attention_heads={heads}, which is not "
            f"a multiple of num_key_value_heads={kv_heads}",
            "each KV head must serve the same number of query heads",
        )


def _check_rotary_size(head_dim: int, parameters: RopeParameters) -> None:
    size = int(head_dim * parameters.partial_rotary_factor)
    if size % 2 or not 0 < size <= head_dim:
        share = parameters.partial_rotary_factor
        part = f" and partial_rotary_factor={share:g}" if share != 1.0 else ""
        raise ConfigError(
            f"config.json has head_dim={head_dim}{part}, expected an even number"
            + (" of rotated channels" if part else ""),
            "rotary embeddings turn pairs of channels",
        )
