"""What a case is: a building block, what it is given, and what somebody else makes of that."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from edgegen.author.layers import CausalMask, Rope, Step
from edgegen.contract import PARAM_TENSOR_SHAPE
from tests.author.packs import Tensors, as_tuple

D, N, K, H = 16, 4, 2, 8
S = 12
EPS = 1e-5


@dataclass(frozen=True)
class Case:
    """One block in one setting.

    Attributes:
        subject: The block.
        module: It, or what calls it.
        calls: Inputs, all of the same shapes.
        expected: For each call the first outputs, of which rows that pad may be missing.
        atol: How far they may be away.
    """

    subject: object
    module: nn.Module
    calls: Sequence[Tensors]
    expected: Sequence[Tensors]
    atol: float = 1e-5


def random(*shape: int, seed: int = 1) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def ints(*values: int) -> torch.Tensor:
    return torch.tensor(values, dtype=torch.int32)


def randomized(module: nn.Module, seed: int = 0) -> nn.Module:
    """Fill the parameters: vectors around 1, matrices so that sizes stay about as they are."""
    generator = torch.Generator().manual_seed(seed)
    for parameter in module.parameters():
        values = torch.randn(parameter.shape, generator=generator)
        one = parameter.dim() < 2
        parameter.data.copy_(1 + 0.3 * values if one else values * parameter.shape[-1] ** -0.5)
    return module.eval()


def like(ours: nn.Module, theirs: nn.Module, names: dict[str, str] | None = None) -> nn.Module:
    """Give both the same random weights; `names` are parts of theirs that ours spells otherwise."""
    state = randomized(theirs).state_dict()
    for old, new in (names or {}).items():
        state = {name.replace(old, new): value for name, value in state.items()}
    ours.load_state_dict({name: state[name] for name in ours.state_dict()})
    return ours.eval()


class Calling(nn.Module):
    """A function of a block, as a module."""

    def __init__(self, block: object, function: Callable[..., Any]) -> None:
        super().__init__()
        self.block = block
        self.function = function

    def forward(self, *inputs: torch.Tensor) -> Any:
        return self.function(*inputs)


@torch.no_grad()
def plain(
    block: nn.Module,
    theirs: Callable[..., torch.Tensor | Tensors],
    *calls: Tensors,
    atol: float = 1e-5,
) -> Case:
    """Make the case of a block that keeps nothing; `theirs` takes the same inputs."""
    return Case(block, block, calls, [as_tuple(theirs(*call)) for call in calls], atol)


@torch.no_grad()
def function(
    subject: object,
    ours: Callable[..., torch.Tensor | Tensors],
    theirs: Callable[..., torch.Tensor | Tensors],
    *calls: Tensors,
    atol: float = 1e-5,
) -> Case:
    """Make the case of what is no module, or of a module's method."""
    expected = [as_tuple(theirs(*call)) for call in calls]
    return Case(subject, Calling(subject, ours), calls, expected, atol)


class InStep(nn.Module):
    """A mixer or a layer together with the step that it is run in."""

    def __init__(
        self, block: nn.Module, masks: dict[str, Any], ropes: dict[str, Rope], *, writes: bool
    ) -> None:
        super().__init__()
        self.block = block
        self.masks = masks
        self.ropes = ropes
        self.writes = writes

    def forward(self, x: torch.Tensor, input_pos: torch.Tensor, *cache: torch.Tensor) -> Tensors:
        step = Step(
            input_pos=input_pos,
            start=input_pos[0],
            angles={name: rope.angles(input_pos, S) for name, rope in self.ropes.items()},
            masks={name: mask(input_pos, S) for name, mask in self.masks.items()},
            rope_bases={name: r.base for name, r in self.ropes.items() if r.base is not None},
            # No CPU kernel reads it, but what some composites bound must be given it.
            params=input_pos[:1].repeat(7).reshape(PARAM_TENSOR_SHAPE),
        )
        output, updated = self.block(x, step, cache)
        return (output, *updated) if self.writes else (output,)


Chunks = Sequence[tuple[int, int]]
"""Where each call starts, and how many of its tokens are real."""
TWO_CHUNKS = ((0, 4), (4, 4))
PADDED = ((0, 4), (4, 2), (6, 4))
DECODE = tuple((position, 1) for position in range(5))


@torch.no_grad()
def over_time(
    block: nn.Module,
    expected: Callable[[torch.Tensor], torch.Tensor],
    chunks: Chunks = TWO_CHUNKS,
    *,
    mask: Any = None,
    rope: Rope | None = None,
    cache: Tensors | None = None,
    subject: object = None,
) -> Case:
    """Make the case of a block with a cache, of which later calls read what earlier ones wrote.

    Args:
        block: A mixer or a layer.
        expected: What somebody else makes of the whole text `[1, all T, D]` in one go.
        chunks: The calls.
        mask: By default a causal one.
        rope: The rotation, if any.
        cache: A cache that the block only reads; by default an empty one of its own.
        subject: By default the block.
    """
    ropes = {} if rope is None else {"full_attention": rope}
    module = InStep(
        block, {"full_attention": mask or CausalMask()}, ropes, writes=cache is None
    ).eval()
    mixer: Any = getattr(block, "self_attn", block)
    kept = cache or tuple(torch.zeros(shape) for shape in mixer.cache_shapes(S).values())
    tokens = max(real for _, real in chunks)
    text = random(1, sum(real for _, real in chunks), D)
    whole = expected(text)
    calls, parts = [], []
    for start, real in chunks:
        padding = tokens - real
        x = torch.cat([text[:, start : start + real], random(1, padding, D, seed=9)], dim=1)
        positions = torch.cat([torch.arange(start, start + real), torch.zeros(padding)]).int()
        calls.append((x, positions, *kept))
        parts.append((whole[:, start : start + real],))
        if cache is None:
            kept = module(*calls[-1])[1:]
    return Case(subject or block, module, calls, parts)
