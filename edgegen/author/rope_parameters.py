"""Reading rotary embeddings from `config.json`, in the older and the newer spelling."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

from edgegen.author.config_reader import ConfigReader
from edgegen.errors import ConfigError

ROPE_TYPES = ("default", "linear", "dynamic", "llama3", "longrope", "proportional", "yarn")
_LARGEST_POSITION = 1 << 31


@dataclass(frozen=True)
class RopeParameters:
    """One rotary embedding, under the names of HF's `rope_parameters`.

    Attributes:
        rope_type: One of `ROPE_TYPES`.
        rope_theta: Base of the angular steps.
        partial_rotary_factor: Share of each head's channels that turn.
        factor: How many times longer than the trained length.
        attention_factor: Multiplies cosine and sine (`longrope`, `yarn`).
        original_max_position_embeddings: The trained length.
        low_freq_factor, high_freq_factor: `llama3`; wavelengths between original/high and
            original/low are blended.
        beta_fast, beta_slow, truncate: `yarn`.
        short_factor, long_factor: `longrope`, a divisor for each channel pair.
    """

    rope_type: str = "default"
    rope_theta: float = 10000.0
    partial_rotary_factor: float = 1.0
    factor: float = 1.0
    attention_factor: float = 1.0
    original_max_position_embeddings: int = 0
    low_freq_factor: float = 1.0
    high_freq_factor: float = 4.0
    beta_fast: float = 32.0
    beta_slow: float = 1.0
    truncate: bool = True
    short_factor: tuple[float, ...] = ()
    long_factor: tuple[float, ...] = ()


@dataclass(frozen=True)
class _Outside:
    """What `config.json` says beside the section, or what the architecture assumes."""

    rope_theta: float
    partial_rotary_factor: float
    max_position_embeddings: int
    original_max_position_embeddings: int | None
    head_dim: int


def read_rope(
    reader: ConfigReader,
    *,
    head_dim: int,
    max_position_embeddings: int,
    rope_theta: float = 10000.0,
    partial_rotary_factor: float = 1.0,
) -> RopeParameters:
    """Take `rope_parameters` (newer), or `rope_theta` and `rope_scaling` (older).

    Args:
        reader: The config.
        head_dim: H.
        max_position_embeddings: As read from the same config.
        rope_theta: What the architecture assumes where the config does not say.
        partial_rotary_factor: The same.

    Raises:
        ConfigError: a key is wrong or unknown, or the two spellings disagree.
    """
    outside = _outside(reader, head_dim, max_position_embeddings, rope_theta, partial_rotary_factor)
    sections = [reader.section(key) for key in ("rope_parameters", "rope_scaling")]
    found = [_read_section(section, outside) for section in sections if section]
    if not found:
        return RopeParameters(
            rope_theta=outside.rope_theta, partial_rotary_factor=outside.partial_rotary_factor
        )
    if any(values != found[0] for values in found):
        raise ConfigError(
            "config.json has rope_parameters and rope_scaling, and they say different things",
            "keep the one that the model was trained with",
        )
    return found[0]


def read_rope_by_layer_type(
    reader: ConfigReader,
    layer_types: Sequence[str],
    *,
    head_dim: int,
    max_position_embeddings: int,
    rope_theta: float = 10000.0,
    partial_rotary_factor: float = 1.0,
) -> dict[str, RopeParameters]:
    """Take `rope_parameters`, which may hold a section for each layer type.

    One section alone holds for every layer type. The arguments are those of `read_rope`.

    Raises:
        ConfigError: as `read_rope`.
    """
    types = sorted(set(layer_types))
    nested = reader.section("rope_parameters")
    if nested is None or not any(nested.is_set(name) for name in types):
        shared = read_rope(
            reader,
            head_dim=head_dim,
            max_position_embeddings=max_position_embeddings,
            rope_theta=rope_theta,
            partial_rotary_factor=partial_rotary_factor,
        )
        return dict.fromkeys(types, shared)
    outside = _outside(reader, head_dim, max_position_embeddings, rope_theta, partial_rotary_factor)
    # With a section for each layer type, HF goes by what the section says.
    outside = replace(outside, original_max_position_embeddings=None)
    found = {}
    for name in types:
        section = nested.section(name)
        if section is None:
            raise ConfigError(
                f"config.json has rope_parameters for some layer types, but not for {name}",
                "each layer type that layer_types names needs its own section",
            )
        found[name] = _read_section(section, outside)
    nested.finish(
        dict.fromkeys(("full_attention", "sliding_attention"), "no layer is of that type"),
        "rope_parameters in config.json",
    )
    return found


def _outside(
    reader: ConfigReader,
    head_dim: int,
    max_position_embeddings: int,
    rope_theta: float,
    partial_rotary_factor: float,
) -> _Outside:
    key = "original_max_position_embeddings"
    return _Outside(
        reader.number("rope_theta", rope_theta),
        reader.number("partial_rotary_factor", partial_rotary_factor),
        max_position_embeddings,
        reader.integer(key, least=2, most=_LARGEST_POSITION) if reader.is_set(key) else None,
        head_dim,
    )


def _read_section(source: ConfigReader, outside: _Outside) -> RopeParameters:
    key = "rope_type" if source.is_set("rope_type") else "type"
    rope_type = source.word(key, "default", (*ROPE_TYPES, "su"))
    rope_type = "longrope" if rope_type == "su" else rope_type  # its name in the first Phi-3
    theta = source.number("rope_theta", outside.rope_theta)
    if rope_type == "yarn" and theta <= 1.0:
        raise ConfigError(
            f"config.json has rope_theta={theta:g} with rope_type yarn, expected a number above 1",
            "correct config.json: yarn divides by the logarithm of it",
        )
    partial = source.number("partial_rotary_factor", outside.partial_rotary_factor)
    values = RopeParameters(rope_type, theta, partial)
    if rope_type != "default":
        values = _scaled(source, values, outside)
    source.finish({"type": "the older name of rope_type"}, "rope_parameters in config.json")
    return values


def _scaled(source: ConfigReader, plain: RopeParameters, outside: _Outside) -> RopeParameters:
    base = (plain.rope_type, plain.rope_theta, plain.partial_rotary_factor)
    if plain.rope_type in ("linear", "proportional"):
        return RopeParameters(*base, factor=source.number("factor", 1.0))
    if plain.rope_type == "dynamic":
        return RopeParameters(
            *base,
            factor=source.number("factor", 1.0),
            original_max_position_embeddings=outside.max_position_embeddings,
        )
    original = outside.original_max_position_embeddings
    section_original = source.integer(
        "original_max_position_embeddings",
        original or outside.max_position_embeddings,
        least=2,
        most=_LARGEST_POSITION,
    )
    original = original or section_original  # beside the section it goes first, as in HF
    if source.is_set("factor"):
        factor = source.number("factor", 1.0)
    else:
        factor = outside.max_position_embeddings / original
    if plain.rope_type == "llama3":
        return RopeParameters(
            *base,
            factor=factor,
            original_max_position_embeddings=original,
            low_freq_factor=source.number("low_freq_factor", 1.0),
            high_freq_factor=source.number("high_freq_factor", 4.0),
        )
    if plain.rope_type == "yarn":
        return RopeParameters(
            *base,
            factor=factor,
            attention_factor=_yarn_attention_factor(source, factor),
            original_max_position_embeddings=original,
            beta_fast=source.number("beta_fast", 32.0),
            beta_slow=source.number("beta_slow", 1.0),
            truncate=source.flag("truncate", True),
        )
    usual = 1.0 if factor <= 1.0 else math.sqrt(1 + math.log(factor) / math.log(original))
    pairs = int(outside.head_dim * plain.partial_rotary_factor) // 2
    return RopeParameters(
        *base,
        factor=factor,
        attention_factor=source.number("attention_factor", usual),
        original_max_position_embeddings=original,
        short_factor=source.numbers("short_factor", pairs),
        long_factor=source.numbers("long_factor", pairs),
    )


def _yarn_attention_factor(source: ConfigReader, factor: float) -> float:
    def mscale(weight: float) -> float:
        return 1.0 if factor <= 1 else 0.1 * weight * math.log(factor) + 1.0

    usual = mscale(1.0)
    if source.is_set("mscale") or source.is_set("mscale_all_dim"):
        above = source.number("mscale", 0.0, least=0.0)
        below = source.number("mscale_all_dim", 0.0, least=0.0)
        if above and below:
            usual = mscale(above) / mscale(below)
    return source.number("attention_factor", usual)
