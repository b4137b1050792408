"""The METADATA member of a bundle: written by MediaPipe, read by a few lines of our own.

METADATA is a protocol buffer (MediaPipe's `LlmParameters`). The wheel writes it in native
code and ships no Python classes for it, so reading takes the handful of fields below off the
wire format; that also works where MediaPipe is not installed.
"""

from __future__ import annotations

import ctypes
from collections.abc import Iterator

from edgegen.bundle.generation import GenerationParameters
from edgegen.errors import BundleError

# LlmParameters, as MediaPipe 0.10.35 writes it (tests compare with its bundler).
_STOP_TOKEN, _START_TOKEN, _USER_TEMPLATE, _TEMPLATES = 5, 6, 8, 17
_ROLES = {1: "user", 2: "model", 3: "system"}  # inside _TEMPLATES
_PREFIX, _SUFFIX = 2, 3  # inside a template

_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5


def metadata_bytes(parameters: GenerationParameters) -> bytes:
    """Serialize `parameters` with MediaPipe's own generator.

    Raises:
        BundleError: MediaPipe is not installed, or a text cannot pass through its C interface.
    """
    texts = [value for value in vars(parameters).values() if isinstance(value, str)]
    for text in (*texts, *parameters.stop_tokens):
        if "\0" in text:
            raise BundleError(
                f"generation parameter {text!r} holds a NUL character",
                "remove it: the text would end there",
            )
    try:
        from mediapipe.tasks.python.genai.bundler import llm_bundler
    except ImportError as error:
        raise BundleError(
            f"writing a bundle needs MediaPipe's bundler, which cannot be imported: {error}",
            'install it: pip install "edgegen[convert]"',
        ) from error

    options = llm_bundler.llm_bundler_metadata_options.LlmBundlerMetadataOptions(
        **{**vars(parameters), "stop_tokens": list(parameters.stop_tokens)}
    ).to_ctypes()
    signatures = llm_bundler._CTYPES_SIGNATURES
    library = llm_bundler.mediapipe_c_bindings.load_raw_library(signatures)
    size = ctypes.c_int()
    with llm_bundler.serial_dispatcher.SerialDispatcher(library, signatures) as native:
        buffer = native.MpLlmBundlerGenerateMetadata(ctypes.byref(options), ctypes.byref(size))
        try:
            return ctypes.string_at(buffer, size.value)
        finally:
            native.MpLlmBundlerFreeMetadata(buffer)


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


def _parse(data: bytes) -> GenerationParameters:
    start, stops = "", []
    by_role: dict[str, str] = {}
    older: dict[str, str] = {}
    for number, value in _fields(data):
        if number == _STOP_TOKEN:
            stops.append(_text(value))
        elif number == _START_TOKEN:
            start = _text(value)
        elif number == _USER_TEMPLATE:
            older = _template("user", value)
        elif number == _TEMPLATES:
            for role, template in _fields(_message(value)):
                if role in _ROLES:
                    by_role.update(_template(_ROLES[role], template))
    # Bundles from before there was a template per role have the user's only.
    return GenerationParameters(start, tuple(stops), **(by_role or older))


def _template(role: str, value: int | bytes) -> dict[str, str]:
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
    position = 0
    while position < len(data):
        key, position = _varint(data, position)
        number, wire_type = key >> 3, key & 7
        if wire_type == _VARINT:
            value, position = _varint(data, position)
            yield number, value
            continue
        if wire_type == _BYTES:
            size, position = _varint(data, position)
        elif wire_type in (_FIXED32, _FIXED64):
            size = 4 if wire_type == _FIXED32 else 8
        else:
            raise ValueError(f"unknown wire type {wire_type}")
        if size > len(data) - position:
            raise ValueError("a field is longer than what is left")
        yield number, data[position : position + size]
        position += size


def _varint(data: bytes, position: int) -> tuple[int, int]:
    value = 0
    for shift in range(0, 70, 7):
        byte = data[position]
        position += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, position
    raise ValueError("a number has no end")
