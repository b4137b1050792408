"""Recipes of the user's own, from a JSON file.

The file is a list of entries such as

    {"pattern": "mlp", "weights": "int4", "granularity": "block32"}

Each says how to store the weights whose names its pattern occurs in; the last one that matches
a weight counts, and what none matches stays float32. docs/reference/recipes.md has the details.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgegen.errors import ConversionError, did_you_mean

if TYPE_CHECKING:
    from edgegen.convert.recipes import QuantizerRecipe

_INTEGERS = {"int8": 8, "int4": 4}
_FLOATS = ("float16", "float32")
_GRANULARITIES = {"channel": "CHANNELWISE"} | {
    f"block{size}": f"BLOCKWISE_{size}" for size in (32, 64, 128, 256)
}
_ALGORITHMS = {"min_max": "min_max_uniform_quantize", "octav": "OCTAV", "mse": "MSE"}
_MODES = ("dynamic", "weight_only")
# Key -> what it may be; the first is what it is where nothing is said.
_OPTIONS = {
    "granularity": tuple(_GRANULARITIES),
    "algorithm": tuple(_ALGORITHMS),
    "mode": _MODES,
}
_KEYS = ("pattern", "weights", *_OPTIONS)


def read_recipe_file(path: Path) -> tuple[list[dict[str, str]], bool]:
    """Read a recipe and check all that can be checked without a model.

    Returns:
        Its entries, with what was not said filled in, and whether any of them computes in int8.

    Raises:
        ConversionError: the file cannot be read, or an entry is not one.
    """
    try:
        found = json.loads(path.read_text())
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "not a text"
        raise ConversionError(
            f"the recipe {path} cannot be read: {reason}",
            "give a JSON file, or one of the names that `edgegen list recipes` prints",
        ) from None
    except json.JSONDecodeError as error:
        raise ConversionError(
            f"the recipe {path} is not valid JSON: {error}", "correct the file at that place"
        ) from None
    if not isinstance(found, list) or not found:
        raise ConversionError(
            f"the recipe {path} holds {_kind(found)}, expected a list of entries",
            'such as [{"pattern": ".*", "weights": "int8"}]',
        )
    entries = [_entry(f"entry {number} of {path}", e) for number, e in enumerate(found, 1)]
    patterns = [entry["pattern"] for entry in entries]
    for number, pattern in enumerate(patterns, 1):
        if pattern in patterns[: number - 1]:
            raise ConversionError(
                f"entry {number} of {path} has the pattern {pattern!r} of entry "
                f"{patterns.index(pattern) + 1} again",
                "the later entry would count alone; leave the other one out",
            )
    return entries, any(entry.get("mode") == "dynamic" for entry in entries)


def quantizer_entries(entries: list[dict[str, str]]) -> QuantizerRecipe:
    """Return the entries in ai-edge-quantizer's form, with parameters' names for scopes."""
    return [_in_librarys_form(entry) for entry in entries]


def with_defaults(entry: dict[str, str]) -> dict[str, str]:
    """Fill in what an entry does not say; of floats nothing is left to say."""
    if entry["weights"] in _FLOATS:
        return dict(entry)
    return {key: known[0] for key, known in _OPTIONS.items()} | entry


def exact_pattern(name: str) -> str:
    """Return the pattern that matches the weight of that name alone."""
    return f"^{re.escape(name)}$"


def format_entries(entries: list[dict[str, str]]) -> str:
    """Return the text of a recipe file: an entry on each line."""
    lines = ",\n".join(f"  {json.dumps(entry)}" for entry in entries)
    return f"[\n{lines}\n]\n"


def _kind(value: object) -> str:
    names = {dict: "an object", list: "an empty list", str: "a text", type(None): "null"}
    return names.get(type(value), "a number")


def _entry(where: str, given: object) -> dict[str, str]:
    if not isinstance(given, dict):
        raise ConversionError(
            f"{where} is {_kind(given)}, expected an object",
            'such as {"pattern": ".*", "weights": "int8"}',
        )
    for key in given:
        if key not in _KEYS:
            raise ConversionError(f"{where} has an unknown key {key!r}", did_you_mean(key, _KEYS))
    for key in ("pattern", "weights"):
        if not isinstance(given.get(key), str):
            raise ConversionError(
                f"{where} says no {key}" if key not in given else f"{where}: {key} is not a text",
                'an entry is like {"pattern": ".*", "weights": "int8"}',
            )
    _require_one_of(where, "weights", given["weights"], (*_INTEGERS, *_FLOATS))
    try:
        re.compile(given["pattern"])
    except re.error as error:
        raise ConversionError(
            f"{where}: the pattern {given['pattern']!r} is no regular expression: {error}",
            "a dot and brackets that stand for themselves need a backslash",
        ) from None
    if given["weights"] in _FLOATS:
        for key in _OPTIONS:
            if key in given:
                raise ConversionError(
                    f"{where} says {key}, but {given['weights']} weights have none",
                    f"leave {key!r} out",
                )
        return dict(given)
    for key, known in _OPTIONS.items():
        _require_one_of(where, key, given.get(key, known[0]), known)
    entry = with_defaults(given)
    _require_known_to_the_library(where, entry)
    return entry


def _require_one_of(where: str, key: str, value: object, known: tuple[str, ...]) -> None:
    if value not in known:
        raise ConversionError(f"{where}: {key} is {value!r}", did_you_mean(str(value), known))


def _require_known_to_the_library(where: str, entry: dict[str, str]) -> None:
    from ai_edge_quantizer import algorithm_manager, qtyping

    made = _in_librarys_form(entry)
    config = qtyping.OpQuantizationConfig.from_dict(made["op_config"])
    operator = qtyping.TFLOperationName.FULLY_CONNECTED
    try:
        algorithm_manager.check_op_quantization_config(made["algorithm_key"], operator, config)
        known = entry["algorithm"] != "mse" or entry["granularity"] == "channel"
    except ValueError:
        known = False
    if not known:
        options = ", ".join(f"{key} {entry[key]}" for key in _OPTIONS)
        raise ConversionError(
            f"{where}: ai-edge-quantizer has no {entry['weights']} with {options}",
            "blocks are for int4, dynamic, and not for mse",
        )


def _in_librarys_form(entry: dict[str, str]) -> dict[str, Any]:
    algorithm, weights = "no_quantize", entry["weights"]
    config: dict[str, Any] = {}
    if weights == "float16":
        algorithm = "float_casting"
        config = _op_config({"num_bits": 16, "dtype": "FLOAT"}, dynamic=False)
    elif weights in _INTEGERS:
        algorithm = _ALGORITHMS[entry["algorithm"]]
        tensor = {
            "num_bits": _INTEGERS[weights],
            "symmetric": True,
            "granularity": _GRANULARITIES[entry["granularity"]],
            "dtype": "INT",
        }
        config = _op_config(tensor, dynamic=entry["mode"] == "dynamic")
    return {
        "regex": entry["pattern"],
        "operation": "*",
        "algorithm_key": algorithm,
        "op_config": config,
    }


def _op_config(tensor: dict[str, Any], *, dynamic: bool) -> dict[str, Any]:
    return {
        "weight_tensor_config": tensor,
        "compute_precision": "INTEGER" if dynamic else "FLOAT",
        "explicit_dequantize": not dynamic,
    }
