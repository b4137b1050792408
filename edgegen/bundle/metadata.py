"""The METADATA member of a bundle: written by MediaPipe, read by a few lines of our own.

METADATA is a protocol buffer (MediaPipe's `LlmParameters`). The wheel writes it in native
code and ships no Python classes for it, so reading takes the handful of fields below off the
wire format; that also works where MediaPipe is not installed.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from edgegen.bundle.mediapipe_generator import generate
from edgegen.bundle.parameters import METADATA_FIELDS, GenerationParameters
from edgegen.errors import BundleError

# LlmParameters, as MediaPipe 0.10.35 writes it (tests compare with its bundler).
_STOP_TOKEN, _START_TOKEN, _MAPPINGS, _USER_TEMPLATE, _TEMPLATES = 5, 6, 7, 8, 17
_BYTES_TO_UNICODE = 1  # inside _MAPPINGS
_ROLES = {1: "user", 2: "model", 3: "system"}  # inside _TEMPLATES
_SESSION_PREFIX, _PREFIX, _SUFFIX = 1, 2, 3  # inside a template

_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5


def metadata_bytes(parameters: GenerationParameters) -> bytes:
    """Serialize what METADATA has places for, with MediaPipe's own generator.

    It takes a system prompt or the system's prefix and suffix, not both; with both, the system
    prompt is left to the side section. MediaPipe's web engine puts METADATA's system prompt
    before every prompt, as it is; LiteRT-LM does not look at it.

    Raises:
        BundleError: MediaPipe is not installed, or a text cannot pass through its C interface.
    """
    values = {name: getattr(parameters, name) for name in METADATA_FIELDS}
    if not (parameters.prompt_prefix_system or parameters.prompt_suffix_system):
        values["system_prompt"] = parameters.system_prompt
    texts = [value for value in values.values() if isinstance(value, str)]
    for text in (*texts, *parameters.stop_tokens):
        if "\0" in text:
            raise BundleError(
                f"generation parameter {text!r} holds a NUL character",
                "remove it: the text would end there",
            )
    try:
        return generate({**values, "stop_tokens": list(parameters.stop_tokens)})
    except ImportError as error:
        raise BundleError(
            f"writing a bundle needs MediaPipe's bundler, which cannot be imported: {error}",
            'install it: pip install "edgegen[convert]"',
        ) from error


def parse_metadata(data: bytes) -> GenerationParameters:
    """Read METADATA back; fields that edgegen does not write are passed over.

    Raises:
        BundleError: the bytes are not such a message.
    """
    try:
        return _parse(data)
    except (ValueError, IndexError) as error:
        raise BundleError(
            f"METADATA ({len(data)} bytes) is damaged: {error}", "build or download it again"
        ) from error


def unknown_fields(data: bytes) -> bytes:
    """Return the fields of METADATA that edgegen does not write, as they are.

    Raises:
        BundleError: the bytes are not such a message.
    """
    known = (_STOP_TOKEN, _START_TOKEN, _MAPPINGS, _USER_TEMPLATE, _TEMPLATES)
    kept, begin = b"", 0
    try:
        for number, _, end in _spans(data):
            if number not in known:
                kept += data[begin:end]
            begin = end
    except (ValueError, IndexError) as error:
        raise BundleError(
            f"METADATA ({len(data)} bytes) is damaged: {error}", "build or download it again"
        ) from error
    return kept


def _parse(data: bytes) -> GenerationParameters:
    start, stops, mapped = "", [], False
    by_role: dict[str, Any] = {}
    older: dict[str, Any] = {}
    session: dict[str, Any] = {}
    for number, value in _fields(data):
        if number == _STOP_TOKEN:
            stops.append(_text(value))
        elif number == _START_TOKEN:
            start = _text(value)
        elif number == _MAPPINGS:
            # A list of numbers, packed or one by one.
            numbers = value if isinstance(value, bytes) else bytes([value & 0xFF])
            mapped = mapped or _BYTES_TO_UNICODE in numbers
        elif number == _USER_TEMPLATE:
            older = _template("user", value)
            for part, text in _fields(_message(value)):
                if part == _SESSION_PREFIX:
                    session["system_prompt"] = _text(text)
        elif number == _TEMPLATES:
            for role, template in _fields(_message(value)):
                if role in _ROLES:
                    by_role.update(_template(_ROLES[role], template))
    # Bundles from before there was a template per role have the user's only.
    texts = {**session, **(by_role or older)}
    return GenerationParameters(
        start, tuple(stops), enable_bytes_to_unicode_mapping=mapped, **texts
    )


def _template(role: str, value: int | bytes) -> dict[str, Any]:
    names = {_PREFIX: f"prompt_prefix_{role}", _SUFFIX: f"prompt_suffix_{role}"}
    return {names[n]: _text(v) for n, v in _fields(_message(value)) if n in names}


def _message(value: int | bytes) -> bytes:
    if not isinstance(value, bytes):
        raise ValueError("a number stands where text was expected")
    return value


def _text(value: int | bytes) -> str:
    return _message(value).decode("utf-8")


def _fields(data: bytes) -> Iterator[tuple[int, int | bytes]]:
    """Yield (field number, value) of one message; numbers as int, the rest as bytes."""
    for number, value, _ in _spans(data):
        yield number, value


def _spans(data: bytes) -> Iterator[tuple[int, int | bytes, int]]:
    """Yield number, value and end of each field."""
    position = 0
    while position < len(data):
        key, position = _varint(data, position)
        number, wire_type = key >> 3, key & 7
        if wire_type == _VARINT:
            value, position = _varint(data, position)
            yield number, value, position
            continue
        if wire_type == _BYTES:
            size, position = _varint(data, position)
        elif wire_type in (_FIXED32, _FIXED64):
            size = 4 if wire_type == _FIXED32 else 8
        else:
            raise ValueError(f"unknown wire type {wire_type}")
        if size > len(data) - position:
            raise ValueError("a field is longer than what is left")
        begin, position = position, position + size
        yield number, data[begin:position], position


def _varint(data: bytes, position: int) -> tuple[int, int]:
    value = 0
    for shift in range(0, 70, 7):
        byte = data[position]
        position += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, position
    raise ValueError("a number has no end")
