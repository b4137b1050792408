"""Rotary position embeddings (https://arxiv.org/abs/2104.09864), half-split form.

Channel i pairs with i + R/2. Checkpoints that pair neighbours (2i with 2i + 1) have the rows of
their query and key projections reordered when they are read (`edgegen.author.weights`).
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import torch

from edgegen.author.layers.composites import bounded, is_enabled
from edgegen.author.layers.step import Step
from edgegen.author.rope_parameters import RopeParameters
from edgegen.contract import ROPE


@dataclass(frozen=True)
class Rope:
    """The rotation of one kind of layer.

    Attributes:
        inv_freq: Angular step per position of each channel pair, float32 `[R/2]`; R is
            `head_dim` or less where only a part of each head turns.
        attention_factor: Multiplies cosine and sine.
        long_inv_freq: The steps once the context is longer than `long_after` (`longrope`).
        long_after: Positions.
        growth: `(factor, theta)` where the base grows with the context past `long_after`
            (`dynamic`).
        base: The base of the steps where all channels turn and nothing else has a say.
    """

    inv_freq: torch.Tensor = field(repr=False)
    attention_factor: float = 1.0
    long_inv_freq: torch.Tensor | None = field(default=None, repr=False)
    long_after: int = 0
    growth: tuple[float, float] | None = None
    base: float | None = None

    def angles(
        self, input_pos: torch.Tensor, kv_cache_len: int
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Return cosine and sine `[1, T, 1, R/2]` for positions `[T]`.

        Computed in the graph: a table would have to be gathered, which the GPU delegate
        refuses. The context's length decides in the graph only where it can pass
        `long_after` at all.
        """
        inv_freq = self.inv_freq
        if kv_cache_len > self.long_after:
            length = input_pos.max() + 1
            if self.long_inv_freq is not None:
                inv_freq = torch.where(length > self.long_after, self.long_inv_freq, inv_freq)
            elif self.growth is not None:
                inv_freq = self._grown(length)
        angles = input_pos.float().reshape(1, -1, 1, 1) * inv_freq.reshape(1, 1, 1, -1)
        cos, sin = torch.cos(angles), torch.sin(angles)
        if self.attention_factor == 1.0:
            return cos, sin
        return cos * self.attention_factor, sin * self.attention_factor

    def _grown(self, length: torch.Tensor) -> torch.Tensor:
        assert self.growth is not None
        factor, theta = self.growth
        size = 2 * self.inv_freq.shape[0]
        longer = torch.clamp(length.float(), min=float(self.long_after))
        stretch = factor * longer / self.long_after - (factor - 1)
        # theta * stretch ** (R / (R - 2)), to the power of -2i / R, in logarithms.
        log_base = math.log(theta) + torch.log(stretch) * (size / (size - 2))
        exponents = torch.arange(0, size, 2, dtype=torch.float32) / size
        return torch.exp(-exponents * log_base)


def make_rope(head_dim: int, parameters: RopeParameters) -> Rope:
    """Compute a rotation as `transformers.modeling_rope_utils` does.

    Args:
        head_dim: H.
        parameters: As read from `config.json`.
    """
    p = parameters
    size = int(head_dim * p.partial_rotary_factor)
    if p.rope_type == "proportional":
        return Rope(_proportional_inv_freq(head_dim, p))
    inv_freq = _inv_freq(size, p.rope_theta)
    match p.rope_type:
        case "linear":
            return Rope(inv_freq / p.factor)
        case "llama3":
            return Rope(_llama3_inv_freq(inv_freq, p))
        case "yarn":
            return Rope(_yarn_inv_freq(inv_freq, size, p), p.attention_factor)
        case "longrope":
            short = torch.tensor(p.short_factor, dtype=torch.float32, device="cpu")
            long = torch.tensor(p.long_factor, dtype=torch.float32, device="cpu")
            return Rope(
                inv_freq / short,
                p.attention_factor,
                inv_freq / long,
                p.original_max_position_embeddings,
            )
        case "dynamic":
            return Rope(
                inv_freq,
                long_after=p.original_max_position_embeddings,
                growth=(p.factor, p.rope_theta),
            )
    return Rope(inv_freq, base=p.rope_theta if size == head_dim else None)


def rotate(x: torch.Tensor, step: Step, name: str) -> torch.Tensor:
    """Rotate `[B, T, heads, H]` by the rotation of that name."""
    base = step.rope_bases.get(name)
    if is_enabled(ROPE) and base is not None:
        return _rotate_composite(x, step.input_pos, base)
    return apply_rope(x, *step.angles[name])


def apply_rope(x: torch.Tensor, cos: torch.Tensor, sin: torch.Tensor) -> torch.Tensor:
    """Rotate the first R channels of `[B, T, heads, H]` by angles `[1, T, 1, R/2]`."""
    half = cos.shape[-1]
    first, second = x[..., :half], x[..., half : 2 * half]
    turned = [first * cos - second * sin, second * cos + first * sin]
    if 2 * half < x.shape[-1]:
        turned.append(x[..., 2 * half :])
    return torch.cat(turned, dim=-1)


def _rotate_composite(x: torch.Tensor, input_pos: torch.Tensor, base: float) -> torch.Tensor:
    """Draw the runtimes' rotation, which computes the angles and takes `[B, heads, T, H]`.

    Positions are `[1, 1, T, 1]`, with tokens on the same axis: of positions `[T]` the GPU's
    kernel takes all the nodes and writes other text.
    """

    def turn(x: torch.Tensor, positions: torch.Tensor) -> torch.Tensor:
        angles = positions.float() * _inv_freq(x.shape[-1], base)  # [1, 1, T, H/2]
        return apply_rope(x, torch.cos(angles), torch.sin(angles))

    attributes = {"min_timescale": 1.0, "max_timescale": float(base), "proportion": 1.0}
    positions = input_pos.reshape(1, 1, -1, 1)
    return bounded(ROPE, attributes, turn, x.transpose(1, 2), positions).transpose(1, 2)


def _inv_freq(size: int, theta: float) -> torch.Tensor:
    # On the CPU even while the parameters are built on the meta device: this is computed,
    # not loaded.
    return 1.0 / theta ** (torch.arange(0, size, 2, dtype=torch.float32, device="cpu") / size)


def _llama3_inv_freq(inv_freq: torch.Tensor, p: RopeParameters) -> torch.Tensor:
    """Keep short wavelengths, divide long ones by `factor` and blend between."""
    turns = p.original_max_position_embeddings * inv_freq / (2 * math.pi)
    keep = (turns - p.low_freq_factor) / (p.high_freq_factor - p.low_freq_factor)
    keep = keep.clamp(0.0, 1.0)
    return inv_freq / p.factor * (1 - keep) + inv_freq * keep


def _yarn_inv_freq(inv_freq: torch.Tensor, size: int, p: RopeParameters) -> torch.Tensor:
    """Keep fast channels and divide slow ones (https://arxiv.org/abs/2309.00071)."""

    def channel(turns: float) -> float:
        """Return the channel that turns so often over the trained length."""
        wavelengths = p.original_max_position_embeddings / (turns * 2 * math.pi)
        return size * math.log(wavelengths) / (2 * math.log(p.rope_theta))

    low, high = channel(p.beta_fast), channel(p.beta_slow)
    if p.truncate:
        low, high = math.floor(low), math.ceil(high)
    low, high = max(low, 0), min(high, size - 1)
    if low == high:
        high += 0.001  # as the original, to have no division by zero
    pairs = torch.arange(size // 2, dtype=torch.float32, device="cpu")
    slow = ((pairs - low) / (high - low)).clamp(0.0, 1.0)
    return inv_freq / p.factor * slow + inv_freq * (1 - slow)


def _proportional_inv_freq(head_dim: int, p: RopeParameters) -> torch.Tensor:
    """Turn a part of the channels with the steps of the whole head; the rest stands still."""
    turning = int(p.partial_rotary_factor * head_dim // 2)
    inv_freq = _inv_freq(head_dim, p.rope_theta)
    inv_freq[turning:] = 0.0
    return inv_freq / p.factor
