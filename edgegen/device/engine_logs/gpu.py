"""What a log shows of a GPU: that one was loaded, and that it took the model."""

from __future__ import annotations

import itertools
import re
from dataclasses import dataclass

from edgegen.bundle.engine_gpu import (
    enough_graphs,
    fallbacks,
    of_signatures,
    replaced_nodes,
    whole_on_gpu,
)
from edgegen.bundle.engine_log import gpu_adapter
from edgegen.device.bench.record import DelegationFacts

_REGISTERED = re.compile(
    r"RegisterAccelerator: [^\n]{0,80}name=(GPU[^\n,]{0,80})"
    r"|GPU accelerator(?:\([^)\n]{0,200}\))?(?: is)? registered"
    r"|(?:loaded|linked) GPU accelerator(?:\([^)\n]{0,200}\))?(?: is)? registered"
)
_REFUSED = re.compile(r"GPU accelerator could not be (?:dynamically )?loaded and registered")
_OPENCL = re.compile(r"Loaded OpenCL library with")
_STARTED = re.compile(r"Initializing (\w{1,20})-based API from (?:serialized data|graph)")
_SHOWN = 6
_MOST_GRAPHS = 1000


@dataclass(frozen=True)
class GpuEvidence:
    """What speaks for a GPU and against it.

    Attributes:
        registered: Whether an accelerator for a GPU was registered.
        refused: Whether one could not be loaded.
        opencl_loaded: Whether OpenCL was.
        apis_started: The APIs that delegates started, one for each graph: `OpenCL`, `WebGPU`.
        fallbacks: Lines that tell of work left to the CPU, without those known as harmless.
        adapter: The GPU that was chosen.
    """

    registered: bool = False
    refused: bool = False
    opencl_loaded: bool = False
    apis_started: tuple[str, ...] = ()
    fallbacks: tuple[str, ...] = ()
    adapter: str | None = None


def parse_delegations(log: str) -> tuple[DelegationFacts, ...]:
    """Return what each delegate took, in the order of the log.

    The signature is empty where the log does not name it; partitions are 0 where it does not
    count them.
    """
    return tuple(DelegationFacts(*one) for one in replaced_nodes(log))


def parse_gpu_evidence(log: str) -> GpuEvidence:
    """Return what a log shows of a GPU."""
    registered = _REGISTERED.search(log)
    named = next((found[1] for found in _REGISTERED.finditer(log) if found[1]), None)
    started = itertools.islice(_STARTED.finditer(log), _MOST_GRAPHS)
    return GpuEvidence(
        registered=registered is not None,
        refused=_REFUSED.search(log) is not None,
        opencl_loaded=_OPENCL.search(log) is not None,
        apis_started=tuple(found[1] for found in started),
        fallbacks=fallbacks(log),
        adapter=gpu_adapter(log) or (named.strip() if named else None),
    )


def why_not_on_gpu(
    evidence: GpuEvidence,
    delegations: tuple[DelegationFacts, ...],
    signatures: int | None = None,
) -> tuple[str, str] | None:
    """Return why a log does not show that a GPU computed, and its lines; `None` if it does.

    Wanted are a GPU that was loaded, delegates of a GPU that took decode and all of prefill whole,
    and no line that tells of work left to the CPU. Where a log counts no nodes at all, as many
    graphs that started a GPU's API stand for that.

    Args:
        evidence: What the log shows.
        delegations: What delegates took, by the log or by the app.
        signatures: How many signatures the bundle has, `None` if that is unknown.
    """
    lines = "\n".join(evidence.fallbacks[:_SHOWN])
    if evidence.refused and not evidence.registered:
        return "no accelerator for a GPU could be loaded", lines
    if not (evidence.registered or evidence.opencl_loaded or evidence.apis_started):
        return "the log does not show that an accelerator for a GPU was loaded", lines
    if not delegations and len(evidence.apis_started) < enough_graphs(signatures):
        return "the log does not show that a delegate took prefill and decode", lines
    if delegations and not whole_on_gpu(delegations, signatures):
        told = "; ".join(_shown(d) for d in of_signatures(delegations)[:_SHOWN])
        return f"the GPU did not take prefill and decode whole: {told or 'neither is named'}", lines
    if evidence.fallbacks:
        return "the log tells of work that was left to the CPU", lines
    return None


def _shown(delegation: DelegationFacts) -> str:
    name = delegation.signature or "a graph"
    return f"{name}: {delegation.delegate} {delegation.nodes_delegated}/{delegation.nodes_total}"
