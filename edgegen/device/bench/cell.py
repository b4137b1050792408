"""One cell of the matrix: what is measured, again and again."""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from edgegen.bundle.contents import Bundle
from edgegen.bundle.engine_types import Activations, Delegate
from edgegen.device.bench.record import BundleFacts, Failure
from edgegen.device.bench.workload import Workload

_UNSAFE = re.compile(r"[^A-Za-z0-9._+@-]+")


@dataclass(frozen=True)
class Cell:
    """A bundle on a device, with all that a run is told.

    Attributes:
        label: What the bundle is called within the benchmark.
        bundle: The bundle.
        facts: What is known of it.
        device: `host`, or a serial number.
        runner: A key of `edgegen.device.runners.RUNNERS`.
        delegate: Who computes.
        workload: What is computed.
        threads: CPU threads, `None` for the engine's choice.
        activations: Precision between layers, `None` for the engine's choice.
        cpu_mask: CPUs to pin the process to, as a bit mask.
    """

    label: str
    bundle: Bundle
    facts: BundleFacts
    device: str
    runner: str
    delegate: Delegate
    workload: Workload
    threads: int | None = None
    activations: Activations | None = None
    cpu_mask: int | None = None

    @property
    def name(self) -> str:
        """Its name, the same for the same thing in every benchmark, and good for a file."""
        label = _UNSAFE.sub("_", self.label)
        if label != self.label:  # another label may look the same now
            whole = self.label.encode("utf-8", "surrogateescape")
            label += "-" + hashlib.sha256(whole).hexdigest()[:6]
        parts = [label, self.device, self.delegate, self.workload.name]
        if self.runner != "host":
            parts.insert(2, self.runner)
        if self.threads is not None:
            parts.append(f"t{self.threads}")
        if self.activations is not None:
            parts.append(self.activations)
        if self.cpu_mask is not None:
            parts.append(f"c{self.cpu_mask:x}")
        return _UNSAFE.sub("_", "-".join(parts))

    def misfit(self) -> Failure | None:
        """Return why no engine can run it: its tokens do not fit the KV cache."""
        capacity = self.facts.kv_cache_len
        # The engine wants a prompt, of one token at least.
        needed = self.workload.tokens + (
            0 if self.workload.prefill_tokens or self.workload.depth else 1
        )
        if capacity is None or needed <= capacity:
            return None
        return Failure(
            "refused",
            f"{self.workload.name} takes {needed} tokens, which do not fit the KV cache of "
            f"{capacity}",
            f"ask for at most {capacity} together, or build with a larger --kv-cache-len",
        )


def labels(paths: Sequence[Path]) -> list[str]:
    """Name bundles by their files, and by their folders as well where these are the same."""
    names = [path.stem for path in paths]
    counts = Counter(names)
    longer = [
        name if counts[name] == 1 else f"{path.absolute().parent.name}-{path.name}"
        for name, path in zip(names, paths, strict=True)
    ]
    counts = Counter(longer)
    return [
        name if counts[name] == 1 else f"{name}-{number}" for number, name in enumerate(longer, 1)
    ]
