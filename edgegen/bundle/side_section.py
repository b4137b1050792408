"""The side section: what a bundle's own metadata has no place for, for our tools and the app.

It is one JSON document, in a `.task` a member of its own, which engines pass over. The fields
are those of `GenerationParameters`; docs/reference/side-section.md describes them.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, fields, replace
from typing import Any

from edgegen.bundle.parameter_values import CHECKS
from edgegen.bundle.parameters import METADATA_FIELDS, GenerationParameters
from edgegen.errors import BundleError

SIDE_SECTION_MEMBER = "EDGEGEN_GENERATION"
SIDE_SECTION_VERSION = 1
# The longest published templates have some 20 kB; a section holds one of them and short texts.
MAX_SIDE_SECTION_BYTES = 1024**2

_FORMAT = "edgegen.generation"


def side_section_bytes(parameters: GenerationParameters) -> bytes:
    """Serialize all of `parameters`; equal parameters with equal sources give equal bytes.

    Raises:
        BundleError: they are longer or larger than a section may be, or hold what is no text.
    """
    values = asdict(parameters)
    unsaid = {f.name: f.default for f in fields(GenerationParameters)}
    kept = {
        name: value
        for name, value in values.items()
        if name in ("start_token", "stop_tokens")
        or (value not in (unsaid[name], (), {}) and name != "sampler")
    }
    sampler = {name: value for name, value in values["sampler"].items() if value is not None}
    if sampler:
        kept["sampler"] = sampler
    document = {"format": _FORMAT, "version": SIDE_SECTION_VERSION, "parameters": kept}
    try:
        text = json.dumps(document, ensure_ascii=False, sort_keys=True, indent=1, allow_nan=False)
        data = text.encode("utf-8") + b"\n"
    except ValueError as error:
        raise BundleError(
            f"the generation parameters cannot be written: {error}",
            "numbers must be finite and texts valid Unicode",
        ) from error
    # Whatever is written must be read again.
    parse_side_section(data)
    return data


def parse_side_section(data: bytes) -> GenerationParameters:
    """Read a side section back.

    Fields that this version does not know are refused: a later version says so by its number.

    Raises:
        BundleError: the bytes are too many, no such document, of a later version, or a value
            is not of its kind or out of its range.
    """
    if len(data) > MAX_SIDE_SECTION_BYTES:
        raise BundleError(
            f"the side section has {len(data)} bytes, expected at most {MAX_SIDE_SECTION_BYTES}",
            "shorten the chat template or the system prompt",
        )
    try:
        document = json.loads(data.decode("utf-8"), object_pairs_hook=_once)
        return _parameters(document)
    except (ValueError, RecursionError) as error:
        raise BundleError(
            f"the side section ({len(data)} bytes) is damaged: {error}",
            "make the bundle again; engines run it all the same",
        ) from error


def merge_side_section(
    parameters: GenerationParameters, side: GenerationParameters
) -> GenerationParameters:
    """Return what METADATA says, with the rest from the side section.

    Engines read METADATA alone, so where both speak METADATA counts.

    Args:
        parameters: What `parse_metadata` returned.
        side: What `parse_side_section` returned.
    """
    told = {name: getattr(parameters, name) for name in METADATA_FIELDS}
    changed = [name for name in METADATA_FIELDS if told[name] != getattr(side, name)]
    sources = {**side.sources, **dict.fromkeys(changed, "METADATA")}
    if "start_token" in changed:
        told["start_token_id"] = None
    if "stop_tokens" in changed:
        told["stop_token_ids"] = ()
    if parameters.system_prompt:
        told["system_prompt"] = parameters.system_prompt
    return replace(side, **told, sources=sources)


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError("a name stands twice in one object")
    return found


def _parameters(document: object) -> GenerationParameters:
    if not isinstance(document, dict) or document.get("format") != _FORMAT:
        raise ValueError(f"it does not say format = {_FORMAT!r}")
    version = document.get("version")
    if version != SIDE_SECTION_VERSION or isinstance(version, bool):
        raise ValueError(
            f"it is of version {version!r}, and this edgegen reads {SIDE_SECTION_VERSION}"
        )
    _known(document, ("format", "version", "parameters"), "the document")
    given = document.get("parameters")
    if not isinstance(given, dict):
        raise ValueError("parameters is no object")
    _known(given, tuple(CHECKS), "parameters")
    for name in ("start_token", "stop_tokens"):
        if name not in given:
            raise ValueError(f"parameters says no {name}")
    return GenerationParameters(**{name: CHECKS[name](name, v) for name, v in given.items()})


def _known(given: Mapping[str, Any], names: tuple[str, ...], where: str) -> None:
    unknown = sorted(set(given) - set(names))
    if unknown:
        raise ValueError(f"{where} has an unknown name {unknown[0]!r:.40}")
