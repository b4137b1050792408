"""What to measure: bundles, devices, delegates and tests, from arguments or a TOML file."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Any

from edgegen.bundle.dimensions import Dimensions, read_dimensions
from edgegen.bundle.engine_types import DELEGATES, Activations, Delegate
from edgegen.bundle.formats import open_bundle
from edgegen.device.bench.bundle_facts import read_bundle_facts
from edgegen.device.bench.cell import Cell, labels
from edgegen.device.bench.method import LONGEST_S, Method
from edgegen.device.bench.record import BundleFacts
from edgegen.device.bench.workload import Workload, parse_workload
from edgegen.device.runners import HOST, runner_for
from edgegen.errors import BundleError, DeviceError, EngineError, did_you_mean

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

DEFAULT_DECODE_TOKENS = 128
ACTIVATIONS: tuple[Activations, ...] = ("f32", "f16")
_MAX_TOML_BYTES = 1024**2


@dataclass(frozen=True)
class Matrix:
    """Everything is measured with everything.

    Attributes:
        bundles: Files.
        devices: `host`, or serial numbers.
        runner: A key of `RUNNERS`; by default what measures on each device.
        delegates: Who computes.
        tests: What to compute, by its names; empty for one that fits each bundle.
        threads: CPU threads, `None` for the engine's choice.
        activations: Precisions between layers, `None` for the engine's choice.
        cpu_masks: CPUs to pin to, as bit masks; `None` for all.
        engine_dir: Folder with the engine's program, for runners that need one.
        app: Package of the app that measures, for the runner of that name.
        python: Python of a board, with LiteRT-LM's package in it.
        method: How each cell is measured.
    """

    bundles: tuple[Path, ...]
    devices: tuple[str, ...] = (HOST,)
    runner: str | None = None
    delegates: tuple[Delegate, ...] = ("cpu",)
    tests: tuple[Workload, ...] = ()
    threads: tuple[int | None, ...] = (None,)
    activations: tuple[Activations | None, ...] = (None,)
    cpu_masks: tuple[int | None, ...] = (None,)
    engine_dir: Path | None = None
    app: str | None = None
    python: str | None = None
    method: Method = field(default_factory=Method)


def cells_of(matrix: Matrix) -> list[Cell]:
    """Open the bundles and return the matrix's cells, in order.

    Raises:
        BundleError: one is not usable.
        DeviceError: there is no such runner, or it does not measure there.
        EngineError: a test fits none of the bundles.
    """
    paths = list(dict.fromkeys(matrix.bundles))
    runners = {device: runner_for(device, matrix.runner) for device in matrix.devices}
    bundles = [open_bundle(path) for path in paths]
    fitting = [fitting_workload(one.path, read_dimensions(one)) for one in bundles]
    known = [read_bundle_facts(bundle) for bundle in bundles]
    cells = [
        Cell(label, bundle, facts, device, runners[device], delegate, workload, n, precision, mask)
        for device in dict.fromkeys(matrix.devices)
        for label, bundle, facts, fits in zip(labels(paths), bundles, known, fitting, strict=True)
        for delegate in dict.fromkeys(matrix.delegates)
        for workload in dict.fromkeys(matrix.tests or (fits,))
        for n in dict.fromkeys(matrix.threads)
        for precision in dict.fromkeys(matrix.activations)
        for mask in dict.fromkeys(matrix.cpu_masks)
    ]
    for workload in matrix.tests:
        misfits = [cell.misfit() for cell in cells if cell.workload == workload]
        if misfits and all(misfits):
            assert misfits[0] is not None
            raise EngineError(misfits[0].message, misfits[0].hint)
    return cells


def plan_of(matrix: Matrix, cells: Sequence[Cell]) -> dict[str, Any]:
    """Return what decides whether a folder holds the same benchmark."""
    return {
        "cells": [
            {
                "cell": cell.name,
                "bundle": cell.facts.name,
                "sha256": cell.facts.sha256,
                "device": cell.device,
                "runner": cell.runner,
                "delegate": cell.delegate,
                "workload": cell.workload.name,
                "threads": cell.threads,
                "activations": cell.activations,
                "cpu_mask": cell.cpu_mask,
            }
            for cell in cells
        ],
        "method": asdict(matrix.method),
    }


def fitting_workload(
    path: Path,
    dimensions: Dimensions | BundleFacts,
    prefill_tokens: int | None = None,
    decode_tokens: int | None = None,
) -> Workload:
    """Choose the counts that were not given so that they fit the KV cache.

    Raises:
        BundleError: the model has no KV cache or no prefill signature.
        EngineError: the counts that were given do not fit.
    """
    capacity = dimensions.kv_cache_len
    if capacity is None or not dimensions.prefill_lens:
        raise BundleError(
            f"the model in {path} has no decode signature with a KV cache, or no prefill_N, "
            "expected both",
            "convert the checkpoint with edgegen build",
        )
    if prefill_tokens is None:
        room = capacity - decode_tokens if decode_tokens else capacity // 2
        fitting = [length for length in dimensions.prefill_lens if length <= room]
        prefill_tokens = max(fitting, default=max(1, room))
    if decode_tokens is None:
        decode_tokens = max(1, min(DEFAULT_DECODE_TOKENS, capacity - prefill_tokens))
    if prefill_tokens + decode_tokens > capacity:
        raise EngineError(
            f"{prefill_tokens} prompt tokens and {decode_tokens} answer tokens do not fit the "
            f"KV cache of {capacity}",
            f"ask for at most {capacity} together, or build with a larger --kv-cache-len",
        )
    return Workload(prefill_tokens, decode_tokens)


def read_matrix(path: Path) -> Matrix:
    """Read a TOML file; its paths are relative to its folder.

    Raises:
        DeviceError: it cannot be read, or says what is not known.
    """
    try:
        if path.stat().st_size > _MAX_TOML_BYTES:
            raise DeviceError(f"{path} is larger than 1 MiB, expected a matrix of bundles", None)
        told = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise DeviceError(f"{path} cannot be read: {error.strerror}", "check the path") from error
    except (UnicodeDecodeError, tomllib.TOMLDecodeError, RecursionError) as error:
        raise DeviceError(f"{path} is no TOML: {error}", "see https://toml.io") from error
    reader = _Reader(path, told)
    method = Method(**dict(reader.method()))
    return replace(Matrix(**dict(reader.matrix())), method=method)


_NUMBER = "number of at most a week's seconds"
_METHOD = {one.name: one for one in fields(Method)}
_TYPES: Mapping[str, Callable[[Any], bool]] = {
    "text": lambda value: isinstance(value, str) and bool(value),
    "whole number": lambda value: type(value) is int and value >= 1,
    _NUMBER: lambda value: type(value) in (int, float) and 0 <= value <= LONGEST_S,
    "name of a delegate (cpu, gpu)": lambda value: value in DELEGATES,
    "precision (f32, f16)": lambda value: value in ACTIVATIONS,
    "mask of CPUs in hex, such as 'f0'": lambda value: (
        isinstance(value, str) and parse_mask(value) is not None
    ),
}
# key of the file -> field of the matrix, type, whether there may be several
_KEYS = {
    "bundles": ("bundles", "text", True),
    "devices": ("devices", "text", True),
    "runner": ("runner", "text", False),
    "delegates": ("delegates", "name of a delegate (cpu, gpu)", True),
    "tests": ("tests", "text", True),
    "threads": ("threads", "whole number", True),
    "activations": ("activations", "precision (f32, f16)", True),
    "cpu_masks": ("cpu_masks", "mask of CPUs in hex, such as 'f0'", True),
    "engine_dir": ("engine_dir", "text", False),
    "app": ("app", "text", False),
    "python": ("python", "text", False),
}


def parse_mask(text: str) -> int | None:
    """Return the bit mask that a hexadecimal number stands for, `None` if it is none."""
    try:
        mask = int(text, 16)
    except ValueError:
        return None
    return mask if 0 < mask < 1 << 1024 else None


class _Reader:
    """Checks a file's keys and values, one by one."""

    def __init__(self, path: Path, told: Mapping[str, Any]) -> None:
        self._path, self._told = path, told
        for key in told:
            if key not in _KEYS and key not in _METHOD:
                raise DeviceError(
                    f"{path} has the unknown key '{key}'", did_you_mean(key, (*_KEYS, *_METHOD))
                )
        if not told.get("bundles"):
            raise DeviceError(f"{path} names no bundles", 'name them: bundles = ["model.task"]')

    def matrix(self) -> Iterator[tuple[str, Any]]:
        """Yield the fields of the matrix that the file has."""
        for key, (name, kind, several) in _KEYS.items():
            if key not in self._told:
                continue
            value = self._told[key]
            values = value if isinstance(value, list) and several else [value]
            for one in values:
                self._check(key, one, kind)
            if not values:
                raise DeviceError(f"{key} of {self._path} is empty", "leave it out, or name one")
            made = tuple(self._made(name, one) for one in values)
            yield name, made if several else made[0]

    def method(self) -> Iterator[tuple[str, Any]]:
        """Yield the fields of the method that the file has."""
        for name in _METHOD.keys() & self._told.keys():
            whole = name in ("repeats", "warmup")
            self._check(name, self._told[name], "whole number" if whole else _NUMBER)
            if name in ("timeout_s", "sample_interval_s") and not self._told[name]:
                raise DeviceError(f"{name} of {self._path} is 0, expected more", None)
            yield name, self._told[name]

    def _check(self, key: str, value: Any, kind: str) -> None:
        if not _TYPES[kind](value):
            raise DeviceError(
                f"{key} of {self._path} is {value!r}, expected a {kind}", "correct it there"
            )

    def _made(self, name: str, value: Any) -> Any:
        if name in ("bundles", "engine_dir"):
            return self._path.parent / value
        if name == "tests":
            return parse_workload(value)
        return parse_mask(value) if name == "cpu_masks" else value
