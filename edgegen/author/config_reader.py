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
    "auto_map": "code of its own is refused before; this is a copy of transformers'",
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
    "transformers.js_config": "how another library stores its own export",
    "transformers_version": "where it came from",
    "unk_token_id": "read by the bundle step",
    "unsloth_fixed": "a mark of the exporter",
    "unsloth_version": "a mark of the exporter",
    "use_bfloat16": "training only",
    "use_cache": "the cache is always there",
}

# How to generate, not what to compute: older versions of transformers write these here, too.
_GENERATION = (
    "bad_words_ids",
    "begin_suppress_tokens",
    "decoder_start_token_id",
    "diversity_penalty",
    "do_sample",
    "early_stopping",
    "encoder_no_repeat_ngram_size",
    "exponential_decay_length_penalty",
    "forced_bos_token_id",
    "forced_eos_token_id",
    "length_penalty",
    "max_length",
    "min_length",
    "no_repeat_ngram_size",
    "num_beam_groups",
    "num_beams",
    "num_return_sequences",
    "output_scores",
    "remove_invalid_values",
    "repetition_penalty",
    "return_dict_in_generate",
    "suppress_tokens",
    "temperature",
    "tf_legacy_loss",
    "top_k",
    "top_p",
    "torchscript",
    "typical_p",
)
HARMLESS |= dict.fromkeys(_GENERATION, "how to run it, not what to compute")

# Defaults that older versions of transformers write out: harmless at this value and no other.
_HARMLESS_AT: dict[str, object] = {
    "add_cross_attention": False,
    "is_decoder": False,
    "is_encoder_decoder": False,
    "pruned_heads": {},
    "tie_encoder_decoder": False,
}

_LARGEST_NUMBER = 1e30


class ConfigReader:
    """Takes keys out of a raw config and accounts for every one of them."""

    def __init__(
        self,
        raw: Mapping[str, Any],
        names: Mapping[str, str] | None = None,
        path: tuple[str, ...] = (),
    ) -> None:
        self._raw = raw
        self._names = names or {}
        self._path = path
        self._seen: set[str] = set()

    @classmethod
    def of_checkpoint(
        cls,
        raw: Mapping[str, Any],
        *,
        names: Mapping[str, str] | None = None,
        classes: str | None = None,
    ) -> ConfigReader:
        """Start to read a whole `config.json`.

        Args:
            raw: The config.
            names: What the architecture calls a key that others call otherwise: GPT-2 has
                `n_embd` for `hidden_size`. As HF's `attribute_map`.
            classes: What the names of the architecture's HF classes begin with, such as
                `Phi3`. Models that were published before transformers knew them still point
                at a file with the same classes, which is no code of their own.

        Raises:
            ConfigError: its weights are quantized already, or it brings code of its own.
        """
        _refuse_foreign_weights_and_code(raw, classes)
        return cls(raw, names)

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
        self._see(key)
        return self.number(key, None) if self.is_set(key) else None

    def optional_integer(self, key: str, *, most: int = 1 << 31) -> int | None:
        """Take a whole number in 1..most, or `None` where the key is absent or null."""
        self._see(key)
        return self.integer(key, most=most) if self.is_set(key) else None

    def numbers(
        self,
        key: str,
        count: int,
        *,
        default: Sequence[float] | None = None,
        least: float | None = None,
    ) -> tuple[float, ...]:
        """Take a list of exactly `count` numbers: at least `least`, positive by default.

        Without `default` it is mandatory.
        """
        value = self._take(key, None if default is None else list(default))
        expected = "positive numbers" if least is None else f"numbers from {least:g}"
        if not isinstance(value, list) or not all(
            isinstance(n, int | float)
            and not isinstance(n, bool)
            and (n > 0 if least is None else n >= least)
            and n < _LARGEST_NUMBER
            for n in value
        ):
            raise self._wrong(key, value, f"a list of {expected}")
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

    def integers(
        self,
        key: str,
        default: Sequence[int],
        *,
        count: int | None = None,
        least: int = 0,
        most: int = 1 << 31,
    ) -> tuple[int, ...]:
        """Take a list of whole numbers in least..most; exactly `count` of them, if given."""
        value = self._take(key, list(default))
        if not isinstance(value, list) or not all(
            isinstance(n, int) and not isinstance(n, bool) and least <= n <= most for n in value
        ):
            raise self._wrong(key, value, f"a list of whole numbers from {least} to {most}")
        if count is not None and len(value) != count:
            raise self._wrong(key, value, f"a list of {count} numbers, not of {len(value)}")
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
        return ConfigReader(value, path=(*self._path, key)) if value else None

    def is_set(self, key: str) -> bool:
        """Tell whether the key is there and not null."""
        return self._raw.get(self._names.get(key, key)) is not None

    def has(self, key: str) -> bool:
        """Tell whether the key is there, be it null."""
        return self._names.get(key, key) in self._raw

    def finish(self, harmless: Mapping[str, str], what: str = "config.json") -> None:
        """Raise `ConfigError` for keys that nobody took and that could change the numbers.

        A key that is null asks for nothing, and passes.
        """
        unknown = {
            key: value
            for key, value in self._raw.items()
            if key not in self._seen
            and key not in harmless
            and value is not None
            and not (key in _HARMLESS_AT and value == _HARMLESS_AT[key])
        }
        if unknown:
            listing = ", ".join(f"{key}={shown(value)}" for key, value in sorted(unknown.items()))
            raise ConfigError(
                f"{what} asks for features that edgegen does not author: {listing}",
                "ignoring them would change what the model computes; if a key is harmless, "
                "add it with its reason to HARMLESS in edgegen/author/config_reader.py",
                keys=[(*self._path, key) for key in sorted(unknown)],
            )

    def _take(self, key: str, default: object) -> Any:
        name = self._see(key)
        value = self._raw.get(name)
        if value is None:
            if default is None:
                raise ConfigError(
                    f"config.json has no {name}, which the architecture needs",
                    "pass a checkpoint folder with the config.json that transformers writes",
                )
            return default
        return value

    def _see(self, key: str) -> str:
        """Note that the key was taken; return its name in this config."""
        name = self._names.get(key, key)
        self._seen.add(name)
        return name

    def _wrong(self, key: str, value: object, expected: str) -> ConfigError:
        name = self._names.get(key, key)
        return ConfigError(
            f"config.json has {name}={shown(value)}, expected {expected}",
            "correct config.json, or use a checkpoint that edgegen can author",
            keys=[(*self._path, name)],
        )


def shown(value: object) -> str:
    """Spell a value from a file in a message, not more than a line of it."""
    try:
        text = repr(value)
    except ValueError:  # Python refuses to spell whole numbers of thousands of digits
        return "a huge number"
    return text if len(text) <= 80 else f"{text[:80]}..."


def _refuse_foreign_weights_and_code(raw: Mapping[str, Any], classes: str | None) -> None:
    if raw.get("quantization_config") is not None:
        raise ConfigError(
            "config.json has a quantization_config: the stored weights are already quantized",
            "convert the original bf16, fp16 or fp32 checkpoint and choose a recipe instead",
        )
    code = raw.get("auto_map")
    if code is not None and not _names_own_classes(code, classes):
        raise ConfigError(
            "config.json has an auto_map: the checkpoint brings its own modelling code",
            "code from a checkpoint is never run; use a checkpoint whose model_type "
            "transformers knows by itself",
        )


# What these entries point at has no part in the logits of the model itself.
_HEADS = ("SequenceClassification", "TokenClassification", "QuestionAnswering")
_NO_MODEL = ("AutoTokenizer", "AutoProcessor", "AutoImageProcessor", "AutoFeatureExtractor")


def _names_own_classes(auto_map: object, classes: str | None) -> bool:
    """Tell whether an `auto_map` points at classes that transformers has under that name."""
    if classes is None or not isinstance(auto_map, Mapping):
        return False
    ends = ("Config", "Model", "ForCausalLM", "LMHeadModel", "ForConditionalGeneration")
    own = {f"{classes}{end}" for end in ends}
    return all(
        str(key) in _NO_MODEL
        or str(key).removeprefix("AutoModelFor") in _HEADS
        or str(value).rpartition(".")[2] in own
        for key, value in auto_map.items()
    )
