"""MediaPipe's native METADATA generator, without the rest of MediaPipe.

Importing the bundler from the wheel brings torch, JAX and OpenCV along, 400 MB and four seconds,
for one call into a C library. The few modules that make that call need none of it, so they are
loaded with their packages empty, and forgotten: who wants MediaPipe imports all of it as ever.
"""

from __future__ import annotations

import ctypes
import functools
import importlib
import importlib.util
import sys
import types
from collections.abc import Mapping
from typing import Any

_PACKAGES = (
    "mediapipe",
    "mediapipe.tasks",
    "mediapipe.tasks.python",
    "mediapipe.tasks.python.core",
    "mediapipe.tasks.python.genai",
    "mediapipe.tasks.python.genai.bundler",
)
_BUNDLER, _CORE = _PACKAGES[-1], _PACKAGES[3]


def generate(options: Mapping[str, Any]) -> bytes:
    """Return METADATA for fields of `LlmBundlerMetadataOptions`.

    Raises:
        ImportError: MediaPipe is not installed, or is of a version that keeps these elsewhere.
    """
    library, make = _loaded()
    size = ctypes.c_int()
    given = make(**options).to_ctypes()
    buffer = library.MpLlmBundlerGenerateMetadata(ctypes.byref(given), ctypes.byref(size))
    try:
        return ctypes.string_at(buffer, size.value)
    finally:
        library.MpLlmBundlerFreeMetadata(buffer)


@functools.cache
def _loaded() -> tuple[Any, Any]:
    """Return the C library, and the class of its options."""
    spec = importlib.util.find_spec("mediapipe")
    if spec is None or not spec.submodule_search_locations:
        raise ModuleNotFoundError("No module named 'mediapipe'", name="mediapipe")
    root = spec.submodule_search_locations[0]
    before = {name: sys.modules.pop(name) for name in [*sys.modules] if _is_theirs(name)}
    try:
        for name in _PACKAGES:
            package = types.ModuleType(name)
            package.__path__ = ["/".join([root, *name.split(".")[1:]])]
            sys.modules[name] = package
        bindings = importlib.import_module(f"{_CORE}.mediapipe_c_bindings")
        functions = importlib.import_module(f"{_CORE}.mediapipe_c_utils").CFunction
        options = importlib.import_module(f"{_BUNDLER}.llm_bundler_metadata_options")
        structure = importlib.import_module(f"{_BUNDLER}.llm_bundler_metadata_options_c")
        signatures = (
            functions(
                "MpLlmBundlerGenerateMetadata",
                [
                    ctypes.POINTER(structure.LlmBundlerMetadataOptionsC),
                    ctypes.POINTER(ctypes.c_int),
                ],
                ctypes.POINTER(ctypes.c_char),
            ),
            functions("MpLlmBundlerFreeMetadata", [ctypes.POINTER(ctypes.c_char)], None),
        )
        library = bindings.load_raw_library(signatures)
    except AttributeError as error:
        raise ImportError(f"MediaPipe's bundler is not where it was: {error}") from error
    finally:
        for name in [name for name in sys.modules if _is_theirs(name)]:
            del sys.modules[name]
        sys.modules.update(before)
    return library, options.LlmBundlerMetadataOptions


def _is_theirs(name: str) -> bool:
    return name == "mediapipe" or name.startswith("mediapipe.")
