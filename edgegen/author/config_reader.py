"""Taking keys out of a `config.json` so that nothing in it is silently dropped.

Every key falls into one of three groups: used here, known to be harmless (with the reason),
or unknown, which is an error that names it. An ignored `sliding_window` would convert without
complaint and say something else.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
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


class ConfigReader:
    """Takes keys out of a raw config and accounts for every one of them."""

    def __init__(self, raw: Mapping[str, Any]) -> None:
        self._raw = raw
        self._seen: set[str] = set()

    @classmethod
    def of_checkpoint(cls, raw: Mapping[str, Any]) -> ConfigReader:
        """Start to read a whole `config.json`.

        Raises:
            ConfigError: its weights are quantized already, or it brings code of its own.
        """
        _refuse_foreign_weights_and_code(raw)
        return cls(raw)

    def integer(
        self, key: str, default: int | None = None, *, least: int = 1, most: int = 1 << 20
    ) -> int:
        """Take a whole number in least..most; without `default` the key is mandatory."""
        value = self._take(key, default)
        if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
            raise self._wrong(key, value, f"a whole number from {least} to {most}")
        return value

    def number(self, key: str, default: float | None, *, least: float | None = None) -> float:
        """Take a finite number: at least `least`, positive where that is not given."""
        value = self._take(key, default)
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise self._wrong(key, value, "a number")
        enough = value > 0 if least is None else value >= least
        if not enough or not value < _LARGEST_NUMBER:  # false for not-a-number, too
            expected = "a positive number" if least is None else f"a number from {least:g}"
            raise self._wrong(key, value, f"{expected} of ordinary size")
        return float(value)

    def optional_number(self, key: str) -> float | None:
        """Take a positive number, or `None` where the key is absent or null."""
        self._seen.add(key)
        return self.number(key, None) if self.is_set(key) else None

    def optional_integer(self, key: str, *, most: int = 1 << 31) -> int | None:
        """Take a whole number in 1..most, or `None` where the key is absent or null."""
        self._seen.add(key)
        return self.integer(key, most=most) if self.is_set(key) else None

    def numbers(self, key: str, count: int) -> tuple[float, ...]:
        """Take a list of exactly `count` positive numbers; it is mandatory."""
        value = self._take(key, None)
        if not isinstance(value, list) or not all(
            isinstance(n, int | float) and not isinstance(n, bool) and 0 < n < _LARGEST_NUMBER
            for n in value
        ):
            raise self._wrong(key, value, "a list of positive numbers")
        if len(value) != count:
            raise self._wrong(key, value, f"a list of {count} numbers, not of {len(value)}")
        return tuple(float(n) for n in value)

    def words(
        self, key: str, default: Sequence[str], choices: tuple[str, ...], count: int
    ) -> tuple[str, ...]:
        """Take a list of exactly `count` words, each one of `choices`."""
        value = self._take(key, list(default))
        if not isinstance(value, list) or any(word not in choices for word in value):
            raise self._wrong(key, value, f"a list of {', '.join(choices)}")
        if len(value) != count:
            raise self._wrong(key, value, f"a list of {count} words, not of {len(value)}")
        return tuple(value)

    def integers(self, key: str, default: Sequence[int], *, most: int = 1 << 31) -> tuple[int, ...]:
        """Take a list of whole numbers in 0..most."""
        value = self._take(key, list(default))
        if not isinstance(value, list) or not all(
            isinstance(n, int) and not isinstance(n, bool) and 0 <= n <= most for n in value
        ):
            raise self._wrong(key, value, f"a list of whole numbers up to {most}")
        return tuple(value)

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

    def has(self, key: str) -> bool:
        """Tell whether the key is there, be it null."""
        return key in self._raw

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
                "add it with its reason to HARMLESS in edgegen/author/config_reader.py",
            )

    def _take(self, key: str, default: object) -> Any:
        self._seen.add(key)
        value = self._raw.get(key)
        if value is None:
            if default is None:
                raise ConfigError(
                    f"config.json has no {key}, which the architecture needs",
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
