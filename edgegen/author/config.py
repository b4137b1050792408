"""Reading a decoder's `config.json` so that nothing in it is silently dropped.

Every key falls into one of three groups: used here, known to be harmless (with the reason),
or unknown, which is an error that names it. An ignored `sliding_window` would convert without
complaint and say something else.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from edgegen.errors import ConfigError

# Keys that cannot change the logits of a decoder in evaluation mode.
HARMLESS = {
    "_attn_implementation_autoset": "chooses a kernel, not the arithmetic",
    "_name_or_path": "where it came from",
    "architectures": "`model_type` names the architecture",
    "attention_dropout": "training only",
    "bos_token_id": "read by the bundle step",
    "chunk_size_feed_forward": "trades memory for time, not the arithmetic",
    "dtype": "the tensors say it themselves",
    "eos_token_id": "read by the bundle step",
    "id2label": "classification heads only",
    "initializer_range": "training only",
    "is_llama_config": "a mark of the nanotron exporter",
    "label2id": "classification heads only",
    "model_type": "chose the architecture",
    "output_attentions": "what to return, not what to compute",
    "output_hidden_states": "what to return, not what to compute",
    "pad_token_id": "padding is masked",
    "pretraining_tp": "splits matrix products; the sum is the same",
    "problem_type": "classification heads only",
    "return_dict": "what to return, not what to compute",
    "torch_dtype": "the tensors say it themselves",
    "transformers_version": "where it came from",
    "unk_token_id": "read by the bundle step",
    "use_cache": "the cache is always there",
}


_LARGEST_NUMBER = 1e30


@dataclass(frozen=True)
class RopeScaling:
    """How rotary frequencies are stretched beyond the trained length.

    Attributes:
        rope_type: `linear` or `llama3`.
        factor: How many times longer.
        low_freq_factor, high_freq_factor, original_max_position_embeddings: `llama3` only;
            wavelengths between original/high and original/low are blended.
    """

    rope_type: str
    factor: float
    low_freq_factor: float = 1.0
    high_freq_factor: float = 1.0
    original_max_position_embeddings: int = 0


@dataclass(frozen=True)
class DecoderConfig:
    """A decoder's shape, under the names of Hugging Face's `config.json`."""

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
    rms_norm_eps: float
    rope_theta: float
    rope_scaling: RopeScaling | None
    attention_bias: bool
    mlp_bias: bool
    tie_word_embeddings: bool


class ConfigReader:
    """Takes keys out of a raw config and accounts for every one of them."""

    def __init__(self, raw: Mapping[str, Any]) -> None:
        self._raw = raw
        self._seen: set[str] = set()

    def integer(self, key: str, default: int | None = None, *, most: int = 1 << 20) -> int:
        """Take a whole number in 1..most; without `default` the key is mandatory."""
        value = self._take(key, default)
        if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= most:
            raise self._wrong(key, value, f"a whole number from 1 to {most}")
        return value

    def number(self, key: str, default: float) -> float:
        """Take a positive finite number."""
        value = self._take(key, default)
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise self._wrong(key, value, "a number")
        if not 0 < value < _LARGEST_NUMBER:  # false for not-a-number, too
            raise self._wrong(key, value, "a positive number of ordinary size")
        return float(value)

    def flag(self, key: str, default: bool) -> bool:
        """Take true or false."""
        value = self._take(key, default)
        if not isinstance(value, bool):
            raise self._wrong(key, value, "true or false")
        return value

    def word(self, key: str, default: str, choices: tuple[str, ...]) -> str:
        """Take one of `choices`."""
        value = self._take(key, default)
        if value not in choices:
            raise self._wrong(key, value, f"one of {', '.join(choices)}")
        return str(value)

    def must_be(self, key: str, only: object) -> None:
        """Take a key for which one value is authored and every other is not."""
        value = self._take(key, only)
        if value != only:
            raise self._wrong(key, value, repr(only))

    def section(self, key: str) -> ConfigReader | None:
        """Take a nested object, or `None` where it is absent or null."""
        value = self._take(key, {})
        if not isinstance(value, Mapping):
            raise self._wrong(key, value, "an object")
        return ConfigReader(value) if value else None

    def is_set(self, key: str) -> bool:
        """Tell whether the key is there and not null."""
        return self._raw.get(key) is not None

    def finish(self, harmless: Mapping[str, str], what: str = "config.json") -> None:
        """Raise `ConfigError` for keys that nobody took and that could change the numbers.

        A key that is null asks for nothing, and passes.
        """
        unknown = {
            key: value
            for key, value in self._raw.items()
            if key not in self._seen and key not in harmless and value is not None
        }
        if unknown:
            listing = ", ".join(f"{key}={value!r}" for key, value in sorted(unknown.items()))
            raise ConfigError(
                f"{what} asks for features that edgegen does not author: {listing}",
                "ignoring them would change what the model computes; if a key is harmless, "
                "add it with its reason to HARMLESS in edgegen/author/config.py",
            )

    def _take(self, key: str, default: object) -> Any:
        self._seen.add(key)
        value = self._raw.get(key)
        if value is None:
            if default is None:
                raise ConfigError(
                    f"config.json has no {key}, which every decoder needs",
                    "pass a checkpoint folder with the config.json that transformers writes",
                )
            return default
        return value

    @staticmethod
    def _wrong(key: str, value: object, expected: str) -> ConfigError:
        return ConfigError(
            f"config.json has {key}={_shown(value)}, expected {expected}",
            "correct config.json, or use a checkpoint that edgegen can author",
        )


def _shown(value: object) -> str:
    try:
        text = repr(value)
    except ValueError:  # Python refuses to spell whole numbers of thousands of digits
        return "a huge number"
    return text if len(text) <= 80 else f"{text[:80]}..."


def read_decoder_config(raw: Mapping[str, Any], hidden_acts: tuple[str, ...]) -> DecoderConfig:
    """Sort every key of a Llama-family `config.json`.

    Args:
        raw: The content of `config.json`.
        hidden_acts: The activations that the architecture can compute.

    Raises:
        ConfigError: a key is missing, has a wrong value, or asks for the unknown.
    """
    _refuse_foreign_weights_and_code(raw)
    reader = ConfigReader(raw)
    heads, hidden = reader.integer("num_attention_heads"), reader.integer("hidden_size")
    # Only the half-split form of RoPE is authored; the interleaved one pairs other channels.
    reader.must_be("rope_interleaved", False)
    config = DecoderConfig(
        model_type=str(raw["model_type"]),
        vocab_size=reader.integer("vocab_size", most=1 << 24),
        hidden_size=hidden,
        intermediate_size=reader.integer("intermediate_size"),
        num_hidden_layers=reader.integer("num_hidden_layers"),
        num_attention_heads=heads,
        num_key_value_heads=reader.integer("num_key_value_heads", heads),
        head_dim=reader.integer("head_dim", max(1, hidden // heads)),
        max_position_embeddings=reader.integer("max_position_embeddings", 2048, most=1 << 31),
        hidden_act=reader.word("hidden_act", "silu", hidden_acts),
        rms_norm_eps=reader.number("rms_norm_eps", 1e-6),
        **_read_rope(reader),
        attention_bias=reader.flag("attention_bias", False),
        mlp_bias=reader.flag("mlp_bias", False),
        tie_word_embeddings=reader.flag("tie_word_embeddings", False),
    )
    reader.finish(HARMLESS)
    _check_heads(config)
    return config


def _refuse_foreign_weights_and_code(raw: Mapping[str, Any]) -> None:
    if raw.get("quantization_config") is not None:
        raise ConfigError(
            "config.json has a quantization_config: the stored weights are already quantized",
            "convert the original bf16, fp16 or fp32 checkpoint and choose a recipe instead",
        )
    if raw.get("auto_map") is not None:
        raise ConfigError(
            "config.json has an auto_map: the checkpoint brings its own modelling code",
            "code from a checkpoint is never run; use a checkpoint whose model_type "
            "transformers knows by itself",
        )


def _check_heads(config: DecoderConfig) -> None:
    if config.num_attention_heads % config.num_key_value_heads:
        raise ConfigError(
            f"config.json has num_attention_heads={config.num_attention_heads}, which is not "
            f"a multiple of num_key_value_heads={config.num_key_value_heads}",
            "each KV head must serve the same number of query heads",
        )
    if config.head_dim % 2:
        raise ConfigError(
            f"config.json has head_dim={config.head_dim}, expected an even number",
            "rotary embeddings turn pairs of channels",
        )


def _read_rope(reader: ConfigReader) -> dict[str, Any]:
    """Read RoPE from `rope_parameters` (newer) or `rope_theta` and `rope_scaling` (older)."""
    nested = reader.section("rope_parameters")
    outer_theta = reader.number("rope_theta", 10000.0)
    scaling = reader.section("rope_scaling")
    if nested is None and scaling is None:
        return {"rope_theta": outer_theta, "rope_scaling": None}
    found = [_rope_section(section, outer_theta) for section in (nested, scaling) if section]
    if any(values != found[0] for values in found):
        raise ConfigError(
            "config.json has rope_parameters and rope_scaling, and they say different things",
            "keep the one that the model was trained with",
        )
    return found[0]


def _rope_section(source: ConfigReader, outer_theta: float) -> dict[str, Any]:
    theta = source.number("rope_theta", outer_theta)
    key = "rope_type" if source.is_set("rope_type") else "type"
    rope_type = source.word(key, "default", ("default", "linear", "llama3"))
    if rope_type == "default":
        source.finish({"type": "the older name of rope_type"}, "rope_parameters in config.json")
        return {"rope_theta": theta, "rope_scaling": None}
    values = RopeScaling(rope_type, source.number("factor", 1.0))
    if rope_type == "llama3":
        values = RopeScaling(
            rope_type,
            values.factor,
            source.number("low_freq_factor", 1.0),
            source.number("high_freq_factor", 4.0),
            source.integer("original_max_position_embeddings", most=1 << 31),
        )
    source.finish({"type": "the older name of rope_type"}, "rope_parameters in config.json")
    return {"rope_theta": theta, "rope_scaling": values}
