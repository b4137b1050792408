"""Which values generation parameters may have: one check for each, wherever it comes from."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

from edgegen.bundle.parameters import PROMPT_FIELDS, Sampler

Check = Callable[[str, Any], Any]

MAX_TEXT_CHARACTERS = 256 * 1024  # the longest published templates have some 20 thousand
MAX_ITEMS = 256  # of a list or an object
_MAX_ID = 2**31 - 1


def text(name: str, value: object) -> str:
    """Return `value` if it is a text that UTF-8 can hold.

    Raises:
        ValueError: it is not; so say all functions here.
    """
    if not isinstance(value, str):
        raise ValueError(f"{name} is {_kind(value)}, expected text")
    if len(value) > MAX_TEXT_CHARACTERS:
        raise ValueError(
            f"{name} has {len(value)} characters, expected at most {MAX_TEXT_CHARACTERS}"
        )
    if any("\ud800" <= character <= "\udfff" for character in value):
        raise ValueError(f"{name} holds half a character, which UTF-8 cannot write")
    return value


def is_jinja(value: str) -> bool:
    """Tell whether a text can be a template: one without these writes the same for every chat."""
    return "{{" in value or "{%" in value


def template_file(name: str, value: object) -> str:
    """Return the content of a template's file; `none` and names have no file."""
    content = text(name, value)
    if not is_jinja(content):
        raise ValueError(f"{name} is no Jinja template, there is neither {{{{ nor {{% in it")
    return content


def texts(name: str, value: object) -> tuple[str, ...]:
    """Return a list of texts, or one text alone, as a tuple."""
    if isinstance(value, str):
        return (text(name, value),)
    return tuple(text(name, item) for item in _list(name, value))


def whole_number(least: int, most: int) -> Callable[[str, object], int]:
    """Return what checks that a value is a whole number in that range, ends included."""

    def check(name: str, value: object) -> int:
        # bool is an int in Python, but `true` is no number.
        if isinstance(value, bool) or not isinstance(value, int):
            raise ValueError(f"{name} is {_kind(value)}, expected a whole number")
        if not least <= value <= most:
            # Not the number itself: Python refuses to print the longest ones.
            raise ValueError(f"{name} is out of range, expected {least} to {most}")
        return value

    return check


def real_number(least: float, most: float) -> Callable[[str, object], float]:
    """Return what checks that a value is a number in that range, ends included."""

    def check(name: str, value: object) -> float:
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise ValueError(f"{name} is {_kind(value)}, expected a number")
        if (isinstance(value, float) and math.isnan(value)) or not least <= value <= most:
            raise ValueError(f"{name} is out of range, expected {least:g} to {most:g}")
        return float(value)

    return check


def flag(name: str, value: object) -> bool:
    """Return `value` if it is true or false."""
    if not isinstance(value, bool):
        raise ValueError(f"{name} is {_kind(value)}, expected true or false")
    return value


def _ids(name: str, value: object) -> tuple[int, ...]:
    return tuple(whole_number(0, _MAX_ID)(name, item) for item in _list(name, value))


def _table(name: str, value: object) -> dict[str, str]:
    if not isinstance(value, dict) or len(value) > MAX_ITEMS:
        raise ValueError(f"{name} is {_kind(value)}, expected at most {MAX_ITEMS} named texts")
    return {text(name, key): text(f"{name}.{key:.40}", item) for key, item in value.items()}


def _list(name: str, value: object) -> list[Any] | tuple[Any, ...]:
    if not isinstance(value, list | tuple):
        raise ValueError(f"{name} is {_kind(value)}, expected a list")
    if len(value) > MAX_ITEMS:
        raise ValueError(f"{name} has {len(value)} entries, expected at most {MAX_ITEMS}")
    return value


def _kind(value: object) -> str:
    names: dict[type, str] = {
        dict: "an object",
        list: "a list",
        tuple: "a list",
        str: "text",
        bool: "true or false",
        int: "a number",
        float: "a number",
        type(None): "nothing",
    }
    return names.get(type(value), type(value).__name__)


# What says nothing where no token is drawn.
DRAWING = ("temperature", "top_k", "top_p")
SAMPLER_CHECKS: dict[str, Check] = {
    "do_sample": flag,
    "temperature": real_number(0.0, 100.0),
    "top_k": whole_number(1, _MAX_ID),
    "top_p": real_number(0.0, 1.0),
    "seed": whole_number(0, _MAX_ID),
}


def with_sampling(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return what somebody said, with `do_sample` where it follows from the rest.

    Who names a temperature, `top_k` or `top_p` wants tokens to be drawn with them. Only a
    temperature of 0 says the opposite.
    """
    said = dict(values)
    if "do_sample" not in said and any(name in said for name in DRAWING):
        said["do_sample"] = said.get("temperature") != 0
    return said


def sampler(name: str, value: object) -> Sampler:
    """Return an object of sampler fields as a `Sampler`."""
    if not isinstance(value, dict):
        raise ValueError(f"{name} is {_kind(value)}, expected an object")
    for key in value:
        if key not in SAMPLER_CHECKS:
            raise ValueError(f"{name} has an unknown name {key!r:.40}")
    return Sampler(**{key: SAMPLER_CHECKS[key](f"{name}.{key}", v) for key, v in value.items()})


# Every field of GenerationParameters.
CHECKS: dict[str, Check] = {
    "start_token": text,
    "stop_tokens": texts,
    **dict.fromkeys(PROMPT_FIELDS, text),
    "enable_bytes_to_unicode_mapping": flag,
    "system_prompt": text,
    "start_token_id": whole_number(0, _MAX_ID),
    "stop_token_ids": _ids,
    "pad_token": text,
    "pad_token_id": whole_number(0, _MAX_ID),
    "sampler": sampler,
    "max_tokens": whole_number(1, _MAX_ID),
    "max_output_tokens": whole_number(1, _MAX_ID),
    "chat_template": text,
    "template_tokens": _table,
    "supports_thinking": flag,
    "sources": _table,
}
