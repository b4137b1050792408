"""Whether a GPU computed: one rule for the logs of this machine's engine and of a device's."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import NamedTuple, Protocol, TypeVar

from edgegen.bundle.engine_types import Delegation
from edgegen.contract import DECODE, prefill_length
from edgegen.errors import EngineError

# Signature, subgraph and partitions are told by some releases only.
_DELEGATION = re.compile(
    r"Replacing (\d{1,9}) out of (\d{1,9}) node\(s\) with delegate \(([^)\n]{1,80})\) node"
    r"(?:, yielding (\d{1,9}) partitions?)?(?: for subgraph \d{1,9}(?: \(([^)\n]{0,80})\))?)?"
)
# LITERT_CL, LITERT_GL, LITERT_WEBGPU, TfLiteGpuDelegateV2 and so on.
_GPU_NAME = re.compile(r"(?:^|_)(?:CL|GL|VULKAN)$|GPU|OPENCL|OPENGL|METAL", re.IGNORECASE)
_FALLBACK = re.compile(
    r"(?:falling back|fall back|fallback|falls back) to (?:the )?CPU"
    r"|the remaining \d{1,9} operations will run on the CPU",
    re.IGNORECASE,
)
# Such words that tell of no graph's work.
_HARMLESS = {
    # Choosing a token from the logits; without its library it is done on the CPU.
    "sampling": re.compile(r"to CPU (?:sampl|Temperature)", re.IGNORECASE),
    "nothing left": re.compile(r"the remaining 0 operations", re.IGNORECASE),
}
_LINE, _WORDS, _MOST_LINES = 200, 20, 50
_UNNAMED_AT_LEAST = 2  # prefill and decode, where nobody knows how many signatures there are


class Taken(Protocol):
    """How much of a graph a delegate took; `Delegation` is such."""

    @property
    def delegate(self) -> str:
        """The delegate's own name."""

    @property
    def nodes_delegated(self) -> int:
        """Nodes that it computes."""

    @property
    def nodes_total(self) -> int:
        """Nodes of the graph."""

    @property
    def signature(self) -> str:
        """Its signature, empty where the log does not name it."""


_Taken = TypeVar("_Taken", bound=Taken)


class Replaced(NamedTuple):
    """A line of the log about a delegate; the signature is empty and partitions are 0 if untold."""

    delegate: str
    nodes_delegated: int
    nodes_total: int
    partitions: int
    signature: str


def replaced_nodes(log: str) -> list[Replaced]:
    """Return what delegates took, in the order of the log."""
    return [
        Replaced(name, int(taken), int(total), int(partitions or 0), signature or "")
        for taken, total, name, partitions, signature in _DELEGATION.findall(log)
    ]


def fallbacks(log: str) -> tuple[str, ...]:
    """Return the first lines that tell of work left to the CPU, without those known as harmless."""
    found: list[str] = []
    for match in _FALLBACK.finditer(log):
        words = log[match.start() : match.end() + _WORDS]
        if any(known.search(words) for known in _HARMLESS.values()):
            continue
        line = _line(log, match)
        if not found or line != found[-1]:
            found.append(line)
        if len(found) == _MOST_LINES:
            break
    return tuple(found)


def on_gpu(taken: Taken) -> bool:
    """Tell whether a GPU's delegate took a graph whole, and whether there was one to take."""
    whole = taken.nodes_delegated == taken.nodes_total > 0
    return whole and _GPU_NAME.search(taken.delegate) is not None


def of_signatures(delegations: Sequence[_Taken]) -> list[_Taken]:
    """Return those that are of prefill or decode, as far as the log names them.

    Composites have graphs of their own, which are parts of those.
    """
    return [
        d
        for d in delegations
        if not d.signature or d.signature == DECODE or prefill_length(d.signature) is not None
    ]


def whole_on_gpu(delegations: Sequence[Taken], signatures: int | None) -> bool:
    """Tell whether a GPU took decode and all of prefill that the log tells of.

    Where the log names no signatures, as many graphs must have been taken as there are.

    Args:
        delegations: What the log tells.
        signatures: How many signatures the bundle has, `None` if that is unknown.
    """
    wanted = of_signatures(delegations)
    if not all(map(on_gpu, wanted)):
        return False
    named = {d.signature for d in wanted if d.signature}
    if DECODE in named and any(name != DECODE for name in named):
        return True
    return not named and len(wanted) >= enough_graphs(signatures)


def enough_graphs(signatures: int | None) -> int:
    """Return how many graphs without names stand for prefill and decode."""
    return max(signatures or 0, _UNNAMED_AT_LEAST)


def check_gpu_ran(log: str) -> None:
    """Raise `EngineError` unless the log shows that a GPU ran prefill and decode whole.

    Without this a run that fell back to the CPU would pass as a GPU result.
    """
    found, left = delegations(log), fallbacks(log)
    if left or not whole_on_gpu(found, None):
        told = [f"{d.signature}: {d.delegate} {d.nodes_delegated}/{d.nodes_total}" for d in found]
        raise EngineError(
            "the engine was asked to use the GPU but its log does not show that the GPU ran "
            f"prefill and decode; it shows: {'; '.join([*told, *left]) or 'no delegate at all'}",
            "nothing can be said about the GPU here; run it with --delegate cpu",
        )


def delegations(log: str) -> tuple[Delegation, ...]:
    """Return what each delegate took of a signature, in the order of the log."""
    return tuple(Delegation(*one) for one in replaced_nodes(log) if one.signature)


def _line(log: str, found: re.Match[str]) -> str:
    # Not further than that: a line may be as long as the log.
    first, last = max(0, found.start() - _LINE), min(len(log), found.end() + _LINE)
    begin = max(log.rfind("\n", first, found.start()) + 1, first)
    end = log.find("\n", found.end(), last)
    return log[begin : last if end < 0 else end].strip()
