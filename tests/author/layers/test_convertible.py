"""Every building block converts by itself, and computes what others compute.

Many cases share a conversion, because each takes seconds however little it converts.
"""

from __future__ import annotations

import functools
import importlib
import inspect
import pkgutil
from collections.abc import Iterator
from types import ModuleType

import litert_torch.hlfb
import pytest
import torch
from torch import nn

import edgegen.author.layers as layers
from edgegen.author import decoder_layers
from edgegen.author.layers.composites import composites
from edgegen.contract import (
    CACHE_UPDATE,
    COMPOSITES,
    GROUP_NORM,
    RMS_NORM,
    ROPE,
    RUNTIME_BMM,
    SDPA,
    SWIGLU,
)
from tests.author.layers.cases import Case
from tests.author.layers.layer_cases import LAYER_CASES
from tests.author.layers.mixer_cases import MIXER_CASES
from tests.author.layers.plain_cases import PLAIN_CASES
from tests.author.layers.special_cases import SPECIAL_CASES
from tests.author.layers.test_diffusion import CONVERTED
from tests.author.packs import Inside, Pack, Tensors, as_tuple

CASES = {**PLAIN_CASES, **SPECIAL_CASES, **MIXER_CASES, **LAYER_CASES}
PACK_SIZE = 25
TFLITE_ATOL = 1e-4


@functools.cache
def case(name: str) -> Case:
    return CASES[name]()


@functools.cache
def pack(names: tuple[str, ...], composite: str | None = None) -> Pack | Exception:
    cases = [case(name) for name in names]
    try:
        with composites([composite] if composite else []):
            return Pack([c.module for c in cases], [c.calls[0] for c in cases])
    except Exception as error:
        return error


def converted(
    name: str, names: tuple[str, ...], composite: str | None = None
) -> tuple[list[Tensors], Inside]:
    """Return what a case computes in TFLite for each of its calls, and what it became."""
    made = pack(names, composite)
    if isinstance(made, Exception):
        # Only the one that cannot be converted fails, not all that were packed with it.
        names = (name,)
        made = pack(names, composite)
    if isinstance(made, Exception):
        raise made
    index = names.index(name)
    found = []
    for call in case(name).calls:
        inputs = [case(other).calls[0] for other in names]
        inputs[index] = call
        found.append(made.run(inputs)[index])
    return found, made.inside(index)


def packed_with(name: str, names: tuple[str, ...]) -> tuple[str, ...]:
    first = names.index(name) // PACK_SIZE * PACK_SIZE
    return names[first : first + PACK_SIZE]


@torch.no_grad()
def computed(name: str) -> list[Tensors]:
    """Return what a case computes in torch for each of its calls."""
    return [as_tuple(case(name).module(*call)) for call in case(name).calls]


def assert_close(found: list[Tensors], expected: list[Tensors], atol: float, *, what: str) -> None:
    for number, (ours, theirs) in enumerate(zip(found, expected, strict=True)):
        for output, (one, other) in enumerate(zip(ours, theirs, strict=False)):
            # Rows that pad a call are compared only where somebody says what they are.
            shown = one.narrow(1, 0, other.shape[1]) if other.dim() > 1 else one
            torch.testing.assert_close(
                shown,
                other,
                atol=atol,
                rtol=1e-5,
                msg=lambda text, at=(number, output): (
                    f"{what}, call {at[0]}, output {at[1]}: {text}"
                ),
            )


@pytest.mark.parametrize("name", CASES)
def test_block_computes_what_others_compute(name: str) -> None:
    assert_close(computed(name), list(case(name).expected), case(name).atol, what=name)


@pytest.mark.parametrize("name", CASES)
def test_block_converts_and_says_the_same_in_tflite(name: str) -> None:
    found, inside = converted(name, packed_with(name, tuple(CASES)))

    assert inside.complaints() == []
    assert_close(found, computed(name), TFLITE_ATOL, what=name)


@functools.cache
def carriers(composite: str) -> tuple[str, ...]:
    """Return the cases whose block draws the boundary, found by running them all."""
    drawn: set[str] = set()

    class Recorder:
        def __init__(self, name: str, attr: object) -> None:
            drawn.add(name)

        def mark(self, *tensors: torch.Tensor) -> torch.Tensor | Tensors:
            return tensors if len(tensors) > 1 else tensors[0]

        mark_inputs = mark_outputs = mark

    found = []
    with pytest.MonkeyPatch.context() as patch, composites([composite]), torch.no_grad():
        patch.setattr(litert_torch.hlfb, "StableHLOCompositeBuilder", Recorder)
        for name in CASES:
            drawn.clear()
            case(name).module(*case(name).calls[0])
            if composite in drawn:
                found.append(name)
    return tuple(found)


WITH_COMPOSITE = {
    RMS_NORM: ("RMSNorm", "RMSNorm, unit_offset", "AcrossHeads", "PreNormLayer"),
    GROUP_NORM: ("LayerNorm, bias=True, scale=True", "ParallelLayer"),
    SDPA: ("Attention", "Attention, decode", "Attention, one KV head for all", "CrossAttention"),
    CACHE_UPDATE: ("Attention", "Attention, padded chunk", "Attention, decode"),
    RUNTIME_BMM: ("Attention", "Attention, padded chunk", "Attention, decode"),
    ROPE: ("Attention", "Attention, decode", "PostNormLayer"),
    SWIGLU: ("GatedMLP", "GatedMLP, bias", "SandwichNormLayer"),
}


@pytest.mark.parametrize("composite", COMPOSITES)
def test_blocks_with_a_composite_are_found(composite: str) -> None:
    assert set(WITH_COMPOSITE[composite]) <= set(carriers(composite))


@pytest.mark.parametrize("composite", COMPOSITES)
def test_composite_is_in_the_graph_and_changes_no_number(composite: str) -> None:
    wrong = []
    for name in carriers(composite):
        names = packed_with(name, carriers(composite))
        try:
            found, inside = converted(name, names, composite)
            assert inside.composites[composite] > 0, "no boundary in the graph"
            assert inside.complaints() == []
            assert_close(found, computed(name), TFLITE_ATOL, what=name)
        except Exception as error:
            wrong.append(f"{name}: {error}")

    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize("composite", COMPOSITES)
def test_composite_is_drawn_only_when_asked_for(composite: str) -> None:
    for name in WITH_COMPOSITE[composite]:
        _, inside = converted(name, packed_with(name, tuple(CASES)))
        assert not inside.composites, name


def modules_of_layers() -> Iterator[ModuleType]:
    for found in pkgutil.iter_modules(layers.__path__):
        yield importlib.import_module(f"{layers.__name__}.{found.name}")
    yield decoder_layers


def subjects() -> set[type]:
    """Return the blocks that have a case here, or are part of one of the diffusion cases."""
    found = {type(case(name).subject) for name in CASES}
    for make, _ in CONVERTED.values():
        found |= {type(module) for module in make().modules()}
    return found


def test_every_exported_block_has_a_case() -> None:
    exported = [getattr(layers, name) for name in layers.__all__]
    blocks = [block for block in exported if inspect.isclass(block) and block is not layers.Step]
    assert any(issubclass(block, nn.Module) for block in blocks)

    missing = [block.__name__ for block in blocks if block not in subjects()]

    assert not missing, f"add a case to tests/author/layers for {', '.join(missing)}"


def test_every_block_in_the_folder_has_a_case() -> None:
    missing = [
        f"{module.__name__}.{name}"
        for module in modules_of_layers()
        for name, block in vars(module).items()
        if inspect.isclass(block)
        and issubclass(block, nn.Module)
        and block.__module__ == module.__name__
        and block not in subjects()
    ]

    assert not missing, f"add a case to tests/author/layers for {', '.join(missing)}"


def test_every_activation_has_a_case() -> None:
    assert {f"activation {name}" for name in layers.ACTIVATIONS} <= set(CASES)
