"""Runners: the ways to measure a bundle, by the name of the device."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol

from edgegen.bundle.contents import Bundle
from edgegen.bundle.engine_types import Measurement
from edgegen.device.runners import host
from edgegen.device.samples import BenchSpec, DeviceFacts


class Runner(Protocol):
    """Measures bundles on one kind of device. A module with these functions is one."""

    def describe(self) -> DeviceFacts:
        """Return what measures."""

    def measurements(self, bundle: Bundle, spec: BenchSpec) -> Iterator[Measurement]:
        """Yield `warmup` + `repeats` measurements, each of a fresh process.

        The first one finds no prepared weights, all later ones do.

        Raises:
            EngineError: the engine failed or ran other counts.
        """


# To add a runner: write its module beside `host.py` and name it here.
RUNNERS: dict[str, Runner] = {"host": host}
