"""What storing some weights otherwise does to a decoder's predictions, measured in torch.

One walk through the layers measures many variants of a model. Each layer's weights are read once;
a variant is carried along from the first layer in which it differs. In memory are one layer in
float32, the same layer as one variant stores it, and an activation `[T, D]` for each variant; at
the end a few rows of the head, or all of it where an algorithm looks at all rows at once.

Activations are float32. What int8 kernels lose by rounding them is left out: it is much the same
for all ways to store weights.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch

from edgegen.author import AuthoredModel
from edgegen.author.decoder import Decoder
from edgegen.author.layers.kv_cache import Cache
from edgegen.author.layers.step import Step
from edgegen.author.reference import in_method, token_rows
from edgegen.author.tensor_source import TensorSource
from edgegen.convert.plan import WeightPlan
from edgegen.convert.quantize import grid_rows, quantize_rows
from edgegen.progress import Advance, stage

Variant = Mapping[str, WeightPlan]
"""How some parameters are stored, by name; all others are as in the checkpoint."""

# Activations of all variants of one walk; with more variants there are more walks.
_STATE_BYTES = 512_000_000
# A block of the head, and of one variant's logits with it.
_BLOCK_BYTES = 32_000_000
# Of a larger matrix evenly spaced runs of rows tell how far storing moves its values.
_SAMPLE_VALUES = 500_000
_SAMPLE_RUNS = 16


@dataclass(frozen=True)
class Divergence:
    """How far a variant is from the model as the checkpoint has it.

    Attributes:
        kl: Mean KL divergence of the next token's distributions, in nats.
        top1_agreement: Share of positions after which the same token is likeliest.
    """

    kl: float
    top1_agreement: float


def divergences(
    model: AuthoredModel, parts: Sequence[Sequence[int]], variants: Sequence[Variant], *, told: str
) -> list[Divergence]:
    """Compare variants of a decoder with the decoder.

    Args:
        model: The decoder.
        parts: Token ids of texts; what follows each of them is compared.
        variants: What to store otherwise.
        told: The name under which progress is shown.

    Returns:
        The mean over all tokens, for each variant.
    """
    assert isinstance(model.module, Decoder)
    found: list[list[Divergence]] = []
    longest = max(map(tuple, parts), key=len)
    at_once = max(1, _STATE_BYTES // _Walk(model, longest).state_nbytes)
    rounds = [variants[i : i + at_once] for i in range(0, len(variants), at_once)]
    steps = len(parts) * len(rounds) * (len(model.module.layers) + 1)
    with stage(told, steps, "layers") as advance:
        for tokens in parts:  # of one text at a time is anything in memory
            walk = _Walk(model, tuple(tokens))
            found.append([one for r in rounds for one in walk.measure(r, advance)])
    shares = [len(tokens) / sum(map(len, parts)) for tokens in parts]
    return [
        Divergence(
            sum(share * one.kl for share, one in zip(shares, each, strict=True)),
            sum(share * one.top1_agreement for share, one in zip(shares, each, strict=True)),
        )
        for each in zip(*found, strict=True)
    ]


def mean_squared_errors(source: TensorSource, plans: Sequence[WeightPlan]) -> list[float]:
    """Return for each plan the mean square of what storing a matrix so changes of its values.

    Raises:
        ConversionError: a value is infinite or not a number, or float16 cannot hold it.
    """
    count, width = source.shape
    runs = max(1, min(_SAMPLE_RUNS, count * width // (_SAMPLE_VALUES // _SAMPLE_RUNS)))
    length = min(-(-count // runs), max(1, _SAMPLE_VALUES // (runs * width)))
    rows = np.concatenate(
        [
            source.read_rows(start, start + length)
            for start in np.linspace(0, count - length, runs).astype(int).tolist()
        ]
    )
    return [quantize_rows(plan, rows).squared_error / rows.size for plan in plans]


@dataclass(frozen=True)
class _State:
    """What goes from layer to layer.

    Attributes:
        x: `[1, T, ...]`.
        step: What all layers share.
        caches: Those that a later layer reads, by the layer that filled them.
    """

    x: torch.Tensor
    step: Step
    caches: Mapping[int, Cache] = field(default_factory=dict)


class _Walk:
    """One text on its way through a decoder."""

    def __init__(self, model: AuthoredModel, tokens: tuple[int, ...]) -> None:
        assert isinstance(model.module, Decoder)
        self.decoder = model.module
        self.sources = model.sources
        self.tokens = tokens
        tied = self.decoder.lm_head is None
        self.head_name = "embed_tokens.weight" if tied else "lm_head.weight"
        # Read for the tokens in use, or a few rows at a time.
        self.in_parts = {*self.decoder.token_tables, self.head_name}
        self.outside = {
            name: torch.from_numpy(source.read())
            for name, source in self.sources.items()
            if not name.startswith("layers.") and name not in self.in_parts
        }
        self.empty = self.decoder.empty_caches(len(tokens))
        self.start = self._start({})

    @property
    def state_nbytes(self) -> int:
        """Bytes of a variant's state, at most."""
        owners = self.decoder.cache_layers
        shared = {owner for owner in owners if owners.count(owner) > 1}
        tensors = [self.start.x, *(tensor for owner in shared for tensor in self.empty[owner])]
        return sum(tensor.nbytes for tensor in tensors)

    @torch.no_grad()
    def measure(self, variants: Sequence[Variant], advance: Advance) -> list[Divergence]:
        """Take the model and its variants from the tokens to the logits."""
        reference, states = self.start, dict[int, _State]()
        for i, variant in enumerate(variants):
            if any(name in variant for name in (*self.outside, *self.decoder.token_tables)):
                states[i] = self._start(variant)
        for index in range(len(self.decoder.layers)):
            prefix = f"layers.{index}."
            own = {
                name: torch.from_numpy(source.read())
                for name, source in self.sources.items()
                if name.startswith(prefix)
            }
            for i, variant in enumerate(variants):
                changed = {
                    name: _stored(variant[name], own[name]) for name in own if name in variant
                }
                if changed or i in states:
                    before = states.get(i, reference)
                    states[i] = self._through(index, {**own, **changed}, before)
            reference = self._through(index, own, reference)
            advance(1)
        # What is finished takes the place of the state that it came from.
        finished = [
            self._finished(states.pop(i, reference), variant) for i, variant in enumerate(variants)
        ]
        found = self._compare(variants, finished, self._finished(reference, {}))
        advance(1)
        return found

    @torch.no_grad()
    def _start(self, variant: Variant) -> _State:
        """Embed the tokens."""
        used = sorted(set(self.tokens))
        # Tables have the rows of the tokens in use alone, which are numbered anew.
        renumbered = torch.tensor([[used.index(token) for token in self.tokens]], dtype=torch.int32)
        positions = torch.arange(len(self.tokens), dtype=torch.int32)
        rows = {
            name: _stored_rows(self.sources[name], used, variant.get(name))
            for name in self.decoder.token_tables
        }
        state = {**self._outside(variant), **rows}
        count = len(self.tokens)
        return _State(*in_method(self.decoder, "prepare", state, renumbered, positions, count))

    def _outside(self, variant: Variant) -> dict[str, torch.Tensor]:
        return {
            name: _stored(variant[name], value) if name in variant else value
            for name, value in self.outside.items()
        }

    def _through(self, index: int, own: Mapping[str, torch.Tensor], state: _State) -> _State:
        """Run a layer."""
        owners = self.decoder.cache_layers
        owner = owners[index]
        cache = state.caches.get(owner, self.empty[owner])
        named = {name.removeprefix(f"layers.{index}."): value for name, value in own.items()}
        layer = self.decoder.layers[index]
        x, updated = torch.func.functional_call(layer, named, (state.x, state.step, cache))
        caches = {**state.caches, owner: updated}
        read_later = owners[index + 1 :]
        kept = {owner: cache for owner, cache in caches.items() if owner in read_later}
        return _State(x, state.step, kept)

    def _finished(self, state: _State, variant: Variant) -> torch.Tensor:
        """Return what the head takes, `[T, D]`."""
        finished: torch.Tensor = in_method(self.decoder, "finish", self._outside(variant), state.x)
        return finished[0]

    def _compare(
        self, variants: Sequence[Variant], finished: list[torch.Tensor], reference: torch.Tensor
    ) -> list[Divergence]:
        """Compare the distributions, with one way to store the head after the other."""
        found: dict[int, Divergence] = {}
        plans = [variant.get(self.head_name) for variant in variants]
        for plan in plans:
            members = [i for i, other in enumerate(plans) if other == plan and i not in found]
            if members:
                outputs = [finished[i] for i in members]
                found.update(zip(members, self._with_head(plan, outputs, reference), strict=True))
        return [found[i] for i in range(len(variants))]

    def _with_head(
        self, plan: WeightPlan | None, outputs: list[torch.Tensor], reference: torch.Tensor
    ) -> list[Divergence]:
        """Compare outputs with the reference's, each `[T, D]`, a block of V at a time."""
        source, decoder = self.sources[self.head_name], self.decoder
        vocab_size, width = source.shape
        bias = self.outside.get("head_bias", torch.zeros(vocab_size))
        whole = None
        if plan is not None and plan.needs_all_rows:
            whole = _stored(plan, torch.from_numpy(source.read()))
        meter = _Meter(len(outputs), len(reference))
        block = max(1, _BLOCK_BYTES // (4 * max(width, len(reference))))
        for start in range(0, vocab_size, block):
            stop = min(start + block, vocab_size)
            exact = torch.from_numpy(source.read_rows(start, stop))
            if whole is not None:
                stored = whole[start:stop]
            else:
                stored = exact if plan is None else _stored(plan, exact)
            added = bias[start:stop]
            meter.begin(decoder.adjust_logits(reference @ exact.T + added))
            for i, output in enumerate(outputs):
                meter.add(i, decoder.adjust_logits(output @ stored.T + added))
        return meter.divergences()


class _Meter:
    """The divergence of M distributions over V from one, of which V comes in blocks.

    In float64, because the divergence is a small difference of large sums.
    """

    def __init__(self, count: int, tokens: int) -> None:
        self._reference = _Seen(tokens)
        self._found = [_Seen(tokens) for _ in range(count)]
        self._gaps = torch.zeros((count, tokens), dtype=torch.float64)
        self._logits = self._shares = torch.empty(0)

    def begin(self, reference: torch.Tensor) -> None:
        """Take the reference's logits `[T, V']` of the next V' tokens."""
        before = self._reference.log_sum
        self._reference.add(reference)
        self._gaps *= (before - self._reference.log_sum).exp()
        self._logits = reference.double()
        # Of the tokens so far, [T, V'].
        self._shares = (self._logits - self._reference.log_sum[:, None]).exp()

    def add(self, index: int, found: torch.Tensor) -> None:
        """Take one of M's logits `[T, V']` of the same tokens."""
        self._found[index].add(found)
        self._gaps[index] += (self._shares * (self._logits - found)).sum(-1)

    def divergences(self) -> list[Divergence]:
        """Return the mean over T for each of M."""
        made = []
        for gaps, found in zip(self._gaps, self._found, strict=True):
            # Never below 0 but for rounding.
            kl = (gaps - self._reference.log_sum + found.log_sum).clamp(min=0)
            same = found.likeliest == self._reference.likeliest
            made.append(Divergence(float(kl.mean()), float(same.double().mean())))
        return made


class _Seen:
    """What is known of one distribution for each of T, from the blocks so far."""

    def __init__(self, tokens: int) -> None:
        self.log_sum = torch.full((tokens,), -torch.inf, dtype=torch.float64)
        self.likeliest = torch.zeros(tokens, dtype=torch.int64)
        self._best = torch.full((tokens,), -torch.inf)
        self._count = 0

    def add(self, logits: torch.Tensor) -> None:
        """Take logits `[T, V']` of the next V' tokens."""
        best, place = logits.max(-1)
        self.likeliest = torch.where(best > self._best, place + self._count, self.likeliest)
        self._best = torch.maximum(best, self._best)
        self._count += logits.shape[-1]
        self.log_sum = torch.logaddexp(self.log_sum, logits.double().logsumexp(-1))


def _stored(plan: WeightPlan, values: torch.Tensor) -> torch.Tensor:
    """Round values to what is stored of them."""
    return torch.from_numpy(grid_rows(plan, values.numpy()))


def _stored_rows(
    table: TensorSource, tokens: Sequence[int], plan: WeightPlan | None
) -> torch.Tensor:
    if plan is not None and plan.needs_all_rows:
        # Tokens past the end of a table have its first row, as in `token_rows`.
        rows = [token if token < table.shape[0] else 0 for token in tokens]
        return _stored(plan, torch.from_numpy(table.read()))[rows]
    read = token_rows(table, tokens)
    return read if plan is None else _stored(plan, read)
