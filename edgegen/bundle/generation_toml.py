"""Generation parameters of the user's own, from a TOML file.

    stop_tokens = ["</s>", "<|im_end|>"]
    system_prompt = "Be brief."

    [sampler]
    temperature = 0.7

docs/how-to/prompt-and-sampler.md has all of it.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from edgegen.bundle.parameter_values import (
    CHECKS,
    MAX_TEXT_CHARACTERS,
    SAMPLER_CHECKS,
    is_jinja,
    template_file,
    with_sampling,
)
from edgegen.errors import BundleError, did_you_mean

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

_MAX_BYTES = 1024**2
_TABLE = "sampler"
_TEMPLATE_FILE = "chat_template_file"  # beside the TOML file, or wherever it says
NO_TEMPLATE = "none"
_NOT_SAID = ("sampler", "start_token_id", "stop_token_ids", "pad_token_id")
_NAMES = tuple(name for name in CHECKS if name not in (*_NOT_SAID, "template_tokens", "sources"))


def read_parameters_file(path: Path, *, template_names: bool = False) -> dict[str, Any]:
    """Read a file of generation parameters.

    Args:
        path: The file.
        template_names: `chat_template` may be a name, which the caller looks up in a checkpoint.

    Returns:
        Fields of `GenerationParameters` and of `Sampler`, checked and flat; `do_sample` follows
        from the rest of the sampler where it is not said.

    Raises:
        BundleError: the file cannot be read, is no TOML, or has an unknown key or a value that is
            not of its kind or out of its range.
    """
    try:
        document = tomllib.loads(_read(path, _MAX_BYTES))
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise BundleError(
            f"{path} is not valid TOML: {error}", "correct the file at that place"
        ) from None
    found = _table(path, document, (*_NAMES, _TABLE, _TEMPLATE_FILE), "")
    sampler = found.pop(_TABLE, {})
    if _TEMPLATE_FILE in found:
        template = path.parent / found.pop(_TEMPLATE_FILE)
        if "chat_template" in found:
            raise BundleError(
                f"{path} says both chat_template and {_TEMPLATE_FILE}", "leave one of them out"
            )
        try:
            content = _read(template, 4 * MAX_TEXT_CHARACTERS)
            found["chat_template"] = template_file("it", content)
        except ValueError as error:
            raise BundleError(
                f"{template} cannot be the chat template: {error}", f"correct {_TEMPLATE_FILE}"
            ) from None
    elif "chat_template" in found and not template_names:
        check_no_name(str(path), found["chat_template"])
    return {**found, **with_sampling(sampler)}


def check_no_name(where: str, template: str) -> None:
    """Raise `BundleError` unless a text is a template or `none`, where there is none to name."""
    if not is_jinja(template) and template != NO_TEMPLATE:
        raise BundleError(
            f"{where}: chat_template is {template!r:.80}, which is neither a Jinja template nor a "
            f"file that is there, and the only known name is {NO_TEMPLATE!r}",
            "check the path: --chat-template FILE, or chat_template_file in a TOML file",
        )


def _table(
    path: Path, given: dict[str, Any], names: tuple[str, ...], prefix: str
) -> dict[str, Any]:
    checks = {**CHECKS, **SAMPLER_CHECKS, _TEMPLATE_FILE: CHECKS["chat_template"]}
    found = {}
    for name, value in given.items():
        if name not in names:
            hint = did_you_mean(name, names)
            if name in SAMPLER_CHECKS:
                hint = f"put it into the table [{_TABLE}]"
            raise BundleError(f"{path} has an unknown key {prefix + name!r}", hint)
        if name == _TABLE and isinstance(value, dict):
            found[name] = _table(path, value, tuple(SAMPLER_CHECKS), f"{_TABLE}.")
            continue
        try:
            found[name] = checks[name](prefix + name, value)
        except ValueError as error:
            raise BundleError(f"{path}: {error}", f"correct {prefix + name}") from None
    return found


def _read(path: Path, most: int) -> str:
    try:
        with path.open("rb") as file:
            content = file.read(most + 1)
        text = content.decode("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "not a text in UTF-8"
        raise BundleError(f"{path} cannot be read: {reason}", "check the path") from None
    if len(content) > most:
        raise BundleError(f"{path} has more than {most} bytes", "this is not the right file")
    return text
