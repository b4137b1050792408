"""The model's operators: what GPU delegates refuse, and how the caches are written.

What is refused was found by asking LiteRT-LM 0.18.1's GPU delegate and MediaPipe's web engine
0.10.29 (docs/architecture.md has the tables); `gpu.py` asks the delegate itself.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from edgegen.bundle.doctor.findings import Remark, failed, passed, skipped, warned
from edgegen.bundle.doctor.graph import Operator, SignatureGraph
from edgegen.bundle.doctor.subject import Subject
from edgegen.contract import (
    CACHE_UPDATE,
    KV_CACHE_K_PREFIX,
    KV_CACHE_V_PREFIX,
    ROPE,
    RUNTIME_BMM,
    SDPA,
    SWIGLU,
)

_CACHES = (KV_CACHE_K_PREFIX, KV_CACHE_V_PREFIX)
_COMPOSITE = "STABLEHLO_COMPOSITE:"
_BLOCK_WRITES = ("DYNAMIC_UPDATE_SLICE", f"{_COMPOSITE}{CACHE_UPDATE}")
_SCATTERS = ("STABLEHLO_SCATTER", "SCATTER_ND")
# These change how a tensor is laid out or stored, and nothing else.
_VIEWS = ("RESHAPE", "TRANSPOSE", "CAST", "QUANTIZE", "DEQUANTIZE", "EXPAND_DIMS", "SQUEEZE")
_MOST_STEPS = 64
_SHOWN = 3

_GPU, _WEB = "LiteRT-LM's GPU delegate", "MediaPipe's web engine"
_WRITE_BLOCKS = (
    "write the cache as one block from input_pos[0] on (dynamic_update_slice), as edgegen does"
)
_COMPUTE_MASK = (
    "compute the mask from input_pos in the graph, or take it as the input `mask`; a table that "
    "rows are gathered from cannot stay"
)
# Operator -> who refuses it, and what to do instead.
REFUSALS: dict[str, tuple[tuple[str, ...], str]] = {
    "STABLEHLO_SCATTER": ((_GPU, _WEB), _WRITE_BLOCKS),
    "SCATTER_ND": ((_GPU, _WEB), _WRITE_BLOCKS),
    "GATHER_ND": ((_GPU, _WEB), _COMPUTE_MASK),
    "ONE_HOT": ((_GPU,), "select with a comparison instead of using its result as a number"),
    "TOPK_V2": ((_GPU,), "leave picking to the runtime; compute every expert of a mixture"),
    f"{_COMPOSITE}{CACHE_UPDATE}": ((_WEB,), "leave the composite out"),
    f"{_COMPOSITE}{RUNTIME_BMM}": ((_WEB,), "leave the composite out"),
    f"{_COMPOSITE}{ROPE}": ((_WEB,), "leave the composite out"),
    f"{_COMPOSITE}{SWIGLU}": ((_WEB,), "leave the composite out"),
}


def cache_writes(subject: Subject) -> Iterator[Remark]:
    """Caches are written in one block, not row by row."""
    writers: Counter[str] = Counter()
    for graph in subject.graphs.values():
        for name, number in graph.outputs.items():
            if not name.startswith(_CACHES):
                continue
            writer = _writer(graph, number)
            if writer in _SCATTERS:
                yield failed(
                    f"{graph.name} writes {name} by {writer}, row by row to the places that "
                    "input_pos names: an engine pads short chunks with places that are none, so "
                    "prompts shorter than a prefill spoil the cache (wrong text on the CPU), and "
                    "GPU delegates refuse the operator",
                    _WRITE_BLOCKS,
                )
                return
            writers[writer or "nothing"] += 1
    odd = sorted(name for name in writers if name not in (*_BLOCK_WRITES, "nothing"))
    if not writers:
        yield skipped("there is no K or V cache")
    elif odd:
        yield warned(
            f"caches are written by {', '.join(odd)}, which nobody has measured; expected "
            "DYNAMIC_UPDATE_SLICE"
        )
    else:
        yield passed(f"by {', '.join(f'{name} ({n})' for name, n in writers.most_common())}")


def _writer(graph: SignatureGraph, number: int) -> str | None:
    """Return the operator that put a tensor's new content there, if one did."""
    for _ in range(_MOST_STEPS):
        maker = graph.maker(number)
        if maker is None or not maker.inputs:
            return None
        if maker.name not in _VIEWS or maker.inputs[0] < 0:
            return maker.name
        number = maker.inputs[0]
    return None


def gpu_operators(subject: Subject) -> Iterator[Remark]:
    """No operator is one that GPU delegates are known to refuse."""
    say = warned if subject.excludes_gpu else failed
    excused = ", but the bundle says that it runs on a CPU only" if subject.excludes_gpu else ""
    good = True
    for name, (engines, hint) in REFUSALS.items():
        where = [
            f"{graph.name} ({places})"
            for graph in subject.graphs.values()
            if (places := told_places(graph, name))
        ]
        if not where:
            continue
        good = False
        only_web = engines == (_WEB,)
        yield (warned if only_web else say)(
            f"{name}, which {' and '.join(engines)} refuse{'s' if len(engines) == 1 else ''}: "
            f"{', '.join(where[:_SHOWN])}{', ...' if len(where) > _SHOWN else ''}{excused}",
            hint,
        )
    for remark in _composites(subject):
        good = False
        yield remark
    deep = _too_deep(subject)
    if deep:
        good = False
        yield warned(
            f"tensors of more than four dimensions, which GPU delegates refuse in many operators: "
            f"{', '.join(deep[:_SHOWN])}",
            "keep to four dimensions",
        )
    if good:
        yield passed("none that GPU delegates are known to refuse")


def _composites(subject: Subject) -> Iterator[Remark]:
    say = warned if subject.excludes_gpu else failed
    for graph in subject.graphs.values():
        names = {operator.name for operator in graph.operators}
        drawn = {name for name in (CACHE_UPDATE, RUNTIME_BMM) if f"{_COMPOSITE}{name}" in names}
        if len(drawn) == 1:
            yield say(
                f"{graph.name} draws {drawn.pop()} without its counterpart: the GPU's cache has a "
                "layout of its own, and the delegate refuses it",
                f"draw both {CACHE_UPDATE} and {RUNTIME_BMM}, or neither",
            )
            return
        for operator in graph.operators:
            if operator.name == f"{_COMPOSITE}{SDPA}" and _shares_heads(graph, operator):
                yield say(
                    f"{graph.name} draws {SDPA} with fewer heads in K and V than in the queries: "
                    "GPUs take it and answer with other text",
                    "copy K and V for each query head first, or leave the composite out",
                )
                return


def _shares_heads(graph: SignatureGraph, operator: Operator) -> bool:
    """Tell whether q `[1, T, N, H]` has more heads than k `[1, S, K, H]`."""
    shapes = [graph.tensors[i].shape for i in operator.inputs[:2] if i >= 0]
    return len(shapes) == 2 and all(len(s) == 4 for s in shapes) and shapes[0][2] > shapes[1][2]


def _too_deep(subject: Subject) -> list[str]:
    found: Counter[str] = Counter()
    for graph in subject.graphs.values():
        for operator in graph.operators:
            if any(i >= 0 and len(graph.tensors[i].shape) > 4 for i in operator.outputs):
                found[f"{operator.name} in {graph.name}"] += 1
    return [f"{name} ({count})" for name, count in found.most_common()]


def told_places(graph: SignatureGraph, name: str) -> str:
    """Say in which layers a signature has an operator, as far as that can be told.

    A layer's number is that of the last cache that flows into the operator; torch's names come
    from the converter, which keeps them in the names of tensors.
    """
    layers: dict[str, None] = {}
    scopes: dict[str, None] = {}
    count = 0
    reached = _layers(graph)
    for operator in graph.operators:
        if operator.name != name:
            continue
        count += 1
        last = max((reached.get(i, -1) for i in (*operator.inputs, *operator.outputs)), default=-1)
        layers["before the layers" if last < 0 else f"layer {last}"] = None
        for i in operator.outputs:
            if i >= 0 and (scope := _scope(graph.tensors[i].name)):
                scopes[scope] = None
    if not count:
        return ""
    shown = [*layers][:_SHOWN]
    rest = f" and {len(layers) - _SHOWN} more" if len(layers) > _SHOWN else ""
    torch = f"; torch's {', '.join([*scopes][:_SHOWN])}" if scopes else ""
    return f"{count}, {', '.join(shown)}{rest}{torch}"


def _layers(graph: SignatureGraph) -> dict[int, int]:
    """Return for each tensor the highest layer whose cache it depends on."""
    reached: dict[int, int] = {}
    for name, number in graph.inputs.items():
        if name.startswith(_CACHES) and (layer := name.rpartition("_")[2]).isdecimal():
            reached[number] = int(layer)
    for operator in graph.operators:
        last = max((reached.get(i, -1) for i in operator.inputs), default=-1)
        if last >= 0:
            reached.update((i, max(last, reached.get(i, -1))) for i in operator.outputs)
    return reached


def _scope(name: str) -> str | None:
    """Return torch's name of the module that made a tensor, such as `Linear_head`.

    The converter writes `package.Class/package.Class_attribute/...;number`.
    """
    path = name.partition(";")[0].split("/")
    attributes = [part.rpartition(".")[2] for part in path[1:] if "_" in part]
    return "/".join(attributes) or None
