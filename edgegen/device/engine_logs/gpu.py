"""What a log shows of a GPU: that one was loaded, and that it took the model."""

from __future__ import annotations

import re
from dataclasses import dataclass

from edgegen.bundle.engine_log import gpu_adapter
from edgegen.contract import DECODE, prefill_length
from edgegen.device.bench.record import DelegationFacts

# Wider than the host engine's own: on phones a signature is named only at times.
_DELEGATION = re.compile(
    r"Replacing (\d{1,9}) out of (\d{1,9}) node\(s\) with delegate \(([^)\n]{1,80})\) node"
    r"(?:, yielding (\d{1,9}) partitions?)?(?: for subgraph \d{1,9}(?: \(([^)\n]{0,80})\))?)?"
)
_GPU_NAME = re.compile(r"(?:^|_)(?:CL|GL|VULKAN)$|GPU|OPENCL|OPENGL|METAL", re.IGNORECASE)
_REGISTERED = re.compile(
    r"RegisterAccelerator: [^\n]{0,80}name=(GPU[^\n,]{0,80})"
    r"|GPU accelerator(?:\([^)\n]{0,200}\))?(?: is)? registered"
    r"|(?:loaded|linked) GPU accelerator(?:\([^)\n]{0,200}\))?(?: is)? registered"
)
_REFUSED = re.compile(r"GPU accelerator could not be (?:dynamically )?loaded and registered")
_OPENCL = re.compile(r"Loaded OpenCL library with")
_STARTED = re.compile(r"Initializing (\w{1,20})-based API from (?:serialized data|graph)")
_FALLBACK = re.compile(
    r"[Ff]alling back to CPU(?! (?:sampl|Temperature))|[Ff]allback to CPU"
    r"|the remaining \d{1,9} operations will run on the CPU"
)
_SHOWN = 6


@dataclass(frozen=True)
class GpuEvidence:
    """What speaks for a GPU and against it.

    Attributes:
        registered: Whether an accelerator for a GPU was registered.
        refused: Whether one could not be loaded.
        opencl_loaded: Whether OpenCL was.
        apis_started: The APIs that delegates started, one for each graph: `OpenCL`, `WebGPU`.
        fallbacks: Lines that tell of work left to the CPU.
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
    return tuple(
        DelegationFacts(name, int(taken), int(total), int(partitions or 0), signature or "")
        for taken, total, name, partitions, signature in _DELEGATION.findall(log)
    )


def parse_gpu_evidence(log: str) -> GpuEvidence:
    """Return what a log shows of a GPU."""
    registered = _REGISTERED.search(log)
    named = next((name for name in _REGISTERED.findall(log) if name), None)
    return GpuEvidence(
        registered=registered is not None,
        refused=_REFUSED.search(log) is not None,
        opencl_loaded=_OPENCL.search(log) is not None,
        apis_started=tuple(_STARTED.findall(log)),
        fallbacks=tuple(_line(log, found) for found in _FALLBACK.finditer(log)),
        adapter=gpu_adapter(log) or (named.strip() if named else None),
    )


def _line(log: str, found: re.Match[str]) -> str:
    begin = max(log.rfind("\n", 0, found.start()) + 1, found.start() - 200)
    end = log.find("\n", found.end())
    return log[begin : min(len(log) if end < 0 else end, found.end() + 200)].strip()


def on_gpu(delegation: DelegationFacts) -> bool:
    """Tell whether a GPU's delegate took a graph whole."""
    whole = delegation.nodes_delegated == delegation.nodes_total > 0
    return whole and _GPU_NAME.search(delegation.delegate) is not None


def why_not_on_gpu(
    evidence: GpuEvidence, delegations: tuple[DelegationFacts, ...]
) -> tuple[str, str] | None:
    """Return why a log does not show that a GPU computed, and its lines; `None` if it does.

    Wanted are a GPU that was loaded, and delegates of a GPU that took prefill and decode whole.
    Where a log counts no nodes at all, two graphs that started a GPU's API stand for that.
    """
    lines = "\n".join(evidence.fallbacks[:_SHOWN])
    if evidence.refused and not evidence.registered:
        return "no accelerator for a GPU could be loaded", lines
    if not (evidence.registered or evidence.opencl_loaded or evidence.apis_started):
        return "the log does not show that an accelerator for a GPU was loaded", lines
    if not delegations:
        if len(evidence.apis_started) >= 2 and not evidence.fallbacks:
            return None
        return "the log does not show that a delegate took prefill and decode", lines
    # Composites have graphs of their own, which nobody delegates; they are not named in lines.
    wanted = [d for d in delegations if _is_text(d.signature)]
    taken = [d for d in wanted if on_gpu(d)]
    told = "; ".join(_shown(d) for d in wanted[:_SHOWN])
    named = {d.signature for d in taken if d.signature}
    unnamed = [d for d in taken if not d.signature]
    proven = (DECODE in named and any(map(prefill_length, named))) or len(unnamed) >= 2
    if proven and len(taken) == len(wanted):
        return None
    return f"the GPU did not take prefill and decode whole: {told or 'neither is named'}", lines


def _is_text(signature: str) -> bool:
    return not signature or signature == DECODE or prefill_length(signature) is not None


def _shown(delegation: DelegationFacts) -> str:
    name = delegation.signature or "a graph"
    return f"{name}: {delegation.delegate} {delegation.nodes_delegated}/{delegation.nodes_total}"
