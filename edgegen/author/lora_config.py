"""Reading a PEFT folder's `adapter_config.json` so that nothing in it is silently dropped.

As in `config.json`, every key falls into one of three groups: used here, known to be harmless
(with the reason), or an error that names it. PEFT has many variants of LoRA that store the
same two matrices and mean something else by them.

The rules of which module gets which rank are those of `peft.tuners.tuners_utils.
check_target_module_exists` and `peft.utils.other.get_pattern_key`.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edgegen.author.checkpoint import read_json_object
from edgegen.author.config_reader import shown
from edgegen.errors import ConfigError

CONFIG_FILE = "adapter_config.json"

# Python's matcher can take time without end where a group is repeated: `(a+)+`.
_REPEATED_GROUP = re.compile(r"\)[*+{]")
_MOST_PATTERN = 2000

# The matrices that models tie, by the last part of their modules' names.
EMBEDDINGS = ("embed_tokens", "wte", "word_embeddings")
HEAD = "lm_head"

# Keys that cannot change what a trained adapter adds to the base.
HARMLESS = {
    "auto_mapping": "where the base's class is defined",
    "corda_config": "`init_lora_weights` says whether it was used",
    "eva_config": "`init_lora_weights` says whether it was used",
    "inference_mode": "frees or freezes the matrices",
    "loftq_config": "`init_lora_weights` says whether it was used",
    "lora_dropout": "training only",
    "lora_ga_config": "`init_lora_weights` says whether it was used",
    "megatron_core": "`megatron_config` says whether it was used",
    "merge_weights": "when to merge, in old versions",
    "peft_version": "where it came from",
    "qalora_group_size": "`use_qalora` says whether it was used",
    "revision": "where the base came from",
    "runtime_config": "trades memory for time, not the arithmetic",
    "unsloth_fixed": "a mark of Unsloth's",
    "velora_config": "compresses what the backward pass keeps",
}

# Keys that must say no, and what they would do.
REFUSED = {
    "alora_invocation_tokens": "the adapter would apply to some tokens only",
    "arrow_config": "adapters would be chosen for each token",
    "enable_lora": "LoRA on parts of a fused matrix",
    "kasa_config": "the base loses singular values",
    "layer_replication": "layers of the base are repeated",
    "lora_bias": "a bias would be added",
    "megatron_config": "modules are Megatron's",
    "monteclora_config": "the adapter is sampled",
    "target_parameters": "LoRA on parameters that are no modules",
    "trainable_token_indices": "single embeddings are replaced",
    "use_bdlora": "matrices are stored in blocks",
    "use_dora": "each row would be rescaled",
    "use_qalora": "inputs are averaged in groups",
}

# Ways to fill the matrices before training that leave the base as it was. The others (pissa,
# olora, corda, loftq, lora_ga) change it, and the adapter fits that changed base only.
_INITS = (True, False, None, "gaussian", "eva", "orthogonal", "mica")

_LARGEST_RANK = 1 << 16
MERGE_ELSEWHERE = (
    "merge it with peft instead: PeftModel.from_pretrained(base, adapter).merge_and_unload(), "
    "then save_pretrained(folder), and build from that folder"
)


@dataclass(frozen=True)
class LoraConfig:
    """What `adapter_config.json` says about the matrices, under PEFT's names.

    Module names are those of the base model, such as `model.layers.0.self_attn.q_proj`.
    """

    r: int
    lora_alpha: float
    use_rslora: bool
    fan_in_fan_out: bool
    rank_pattern: Mapping[str, int]
    alpha_pattern: Mapping[str, float]
    target_modules: tuple[str, ...] | str | None
    exclude_modules: tuple[str, ...] | str
    modules_to_save: tuple[str, ...]
    layers_to_transform: tuple[int, ...]
    layers_pattern: tuple[str, ...]
    ensure_weight_tying: bool
    base_model_name_or_path: str | None

    def rank(self, module: str) -> int:
        """Return r of a module's matrices."""
        return self.rank_pattern.get(_pattern_key(self.rank_pattern, module), self.r)

    def scaling(self, module: str) -> float:
        """Return what B A is multiplied with: alpha / r, for rsLoRA alpha / sqrt(r)."""
        alpha = self.alpha_pattern.get(_pattern_key(self.alpha_pattern, module), self.lora_alpha)
        rank = self.rank(module)
        return alpha / (math.sqrt(rank) if self.use_rslora else rank)

    def targets(self, module: str) -> bool | None:
        """Tell whether the module gets LoRA matrices; `None` if the config leaves it open."""
        if self.saves(module) or _listed(self.exclude_modules, module):
            return False
        # PEFT writes down what it chose; where it did not, only the tensors tell.
        if self.target_modules is None or self.target_modules == "all-linear":
            return None
        if not _listed(self.target_modules, module):
            return False
        return not self.layers_to_transform or self._layer(module) in self.layers_to_transform

    def saves(self, module: str) -> bool:
        """Tell whether the module is stored as a whole, itself or as part of a larger one."""
        parts = module.split(".")
        above = (".".join(parts[: i + 1]) for i in range(len(parts)))
        return any(name.endswith(self.modules_to_save) for name in above)

    def _layer(self, module: str) -> int | None:
        for pattern in self.layers_pattern or (r"[^.]*",):
            start = "(?:^|.*?\\.)" if self.layers_pattern else ".*?\\."
            found = re.match(rf"{start}{pattern}\.(?P<layer>\d+)\.", module)
            if found:
                return int(found["layer"])
        return None


def read_lora_config(folder: Path) -> LoraConfig:
    """Sort every key of a folder's `adapter_config.json`.

    Raises:
        CheckpointError: the file is not a JSON object.
        ConfigError: a key is unknown, asks for a variant of LoRA that edgegen does not merge,
            or has a value of the wrong kind.
    """
    reader = _Reader(folder, read_json_object(folder / CONFIG_FILE))
    reader.require("peft_type", ("LORA",), "another method than LoRA")
    reader.require("task_type", (None, "CAUSAL_LM"), "another task than causal language modelling")
    reader.require("bias", ("none", None), "biases of the base are replaced")
    reader.require("init_lora_weights", _INITS, "the adapter fits a changed base only")
    for key, meaning in REFUSED.items():
        reader.require(key, (None, False, [], {}), meaning)
    config = LoraConfig(
        r=reader.rank("r", reader.take("r", 8)),
        lora_alpha=reader.number("lora_alpha", reader.take("lora_alpha", 8)),
        use_rslora=reader.flag("use_rslora"),
        fan_in_fan_out=reader.flag("fan_in_fan_out"),
        rank_pattern={k: reader.rank("rank_pattern", v) for k, v in reader.table("rank_pattern")},
        alpha_pattern={
            k: reader.number("alpha_pattern", v) for k, v in reader.table("alpha_pattern")
        },
        target_modules=reader.names("target_modules") or None,
        exclude_modules=reader.names("exclude_modules"),
        modules_to_save=_several(reader.names("modules_to_save")),
        layers_to_transform=reader.layers("layers_to_transform"),
        layers_pattern=_several(reader.names("layers_pattern")),
        ensure_weight_tying=reader.flag("ensure_weight_tying"),
        base_model_name_or_path=reader.take("base_model_name_or_path", None),
    )
    reader.finish(config)
    return config


class _Reader:
    """Takes keys out of an adapter's config and accounts for every one of them."""

    def __init__(self, folder: Path, raw: Mapping[str, Any]) -> None:
        self._folder = folder
        self._raw = raw
        self._seen: set[str] = set()

    def take(self, key: str, default: Any) -> Any:
        self._seen.add(key)
        value = self._raw.get(key)
        return default if value is None else value

    def require(self, key: str, accepted: tuple[Any, ...], meaning: str) -> None:
        value = self.take(key, None)
        # By kind, too: to Python 0 and False are one.
        if not any(type(value) is type(one) and value == one for one in accepted):
            raise ConfigError(
                f"adapter {self._folder} has {key}={value!r} ({meaning}), which edgegen does "
                "not merge",
                MERGE_ELSEWHERE,
            )

    def flag(self, key: str) -> bool:
        value = self.take(key, False)
        if not isinstance(value, bool):
            raise self._wrong(key, value, "true or false")
        return value

    def rank(self, key: str, value: Any) -> int:
        if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= _LARGEST_RANK:
            raise self._wrong(key, value, f"whole numbers from 1 to {_LARGEST_RANK}")
        return value

    def number(self, key: str, value: Any) -> float:
        if isinstance(value, bool) or not isinstance(value, int | float) or not abs(value) < 1e30:
            raise self._wrong(key, value, "numbers of ordinary size")
        return float(value)

    def table(self, key: str) -> list[tuple[str, Any]]:
        value = self.take(key, {})
        if not isinstance(value, dict):
            raise self._wrong(key, value, "an object of patterns and values")
        return list(value.items())

    def names(self, key: str) -> tuple[str, ...] | str:
        value = self.take(key, ())
        if isinstance(value, str):
            return value
        if not isinstance(value, list | tuple) or not all(isinstance(n, str) for n in value):
            raise self._wrong(key, value, "a list of module names")
        return tuple(value)

    def layers(self, key: str) -> tuple[int, ...]:
        value = self.take(key, [])
        several = [value] if isinstance(value, int) else value
        if not isinstance(several, list) or not all(type(n) is int for n in several):
            raise self._wrong(key, value, "a list of layer numbers")
        return tuple(several)

    def finish(self, config: LoraConfig) -> None:
        unknown = sorted(self._raw.keys() - self._seen - HARMLESS.keys())
        if unknown:
            told = ", ".join(f"{key}={shown(self._raw[key])}" for key in unknown)
            raise ConfigError(
                f"adapter {self._folder} has {CONFIG_FILE} keys that edgegen does not know: {told}",
                "they may change what the adapter computes; " + MERGE_ELSEWHERE,
            )
        wholes = [n for n in (config.target_modules, config.exclude_modules) if isinstance(n, str)]
        parts = [*config.rank_pattern, *config.alpha_pattern, *config.layers_pattern]
        for pattern in (*wholes, *parts):
            if len(pattern) > _MOST_PATTERN or _REPEATED_GROUP.search(pattern):
                raise ConfigError(
                    f"adapter {self._folder} has the pattern {shown(pattern)} in {CONFIG_FILE}, "
                    "which repeats a group or is very long: matching it could take for ever",
                    MERGE_ELSEWHERE,
                )
            try:
                re.compile(f"({pattern})")
            except re.error as error:
                raise ConfigError(
                    f"adapter {self._folder} has the pattern {pattern!r} in {CONFIG_FILE}, which "
                    f"is not a regular expression: {error}",
                    "download or copy it again",
                ) from error

    def _wrong(self, key: str, value: Any, expected: str) -> ConfigError:
        return ConfigError(
            f"adapter {self._folder} has {key}={value!r}, expected {expected}",
            f"{CONFIG_FILE} is not as peft writes it; download or copy it again",
        )


def _several(names: tuple[str, ...] | str) -> tuple[str, ...]:
    return (names,) if isinstance(names, str) else names


def _listed(names: tuple[str, ...] | str, module: str) -> bool:
    if isinstance(names, str):
        return re.fullmatch(names, module) is not None
    return module in names or module.endswith(tuple(f".{name}" for name in names))


def _pattern_key(patterns: Mapping[str, object], module: str) -> str:
    for pattern in patterns:
        if re.match(rf"(.*\.)?({pattern})$", module):
            return pattern
    return module
