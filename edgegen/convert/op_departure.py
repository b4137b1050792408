"""Naming the first operator whose output departs from torch's, in one call of a signature.

The caches have told the layer (`edgegen.convert.departure`). From what departs there the way leads
back, through operators whose output TFLite does not have either, to the first whose inputs it has.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from edgegen.author import AuthoredModel
from edgegen.author.decoder import Decoder
from edgegen.author.reference import in_method, token_rows
from edgegen.author.tensor_source import TensorSource
from edgegen.contract import DECODE, INPUT_POS, LOGITS, TOKENS, prefill_signature
from edgegen.convert.operator_trace import EXACT, Operator, OperatorTrace, relative_distance
from edgegen.convert.tapped_model import TappedCall, TappedSession


@dataclass(frozen=True)
class OperatorDeparture:
    """The first operator whose output is not torch's, though its inputs are.

    Attributes:
        operator: As ATen calls it.
        module: The innermost module that it runs in, or the first that uses what it makes.
        source: The line that asks for it.
        signature: In which signature.
        position: Of the call's first token.
        nearest: How far TFLite's nearest tensor of that size is, as a share of the output's norm;
            `None` if it has none.
    """

    operator: str
    module: str
    source: str
    signature: str
    position: int
    nearest: float | None

    @property
    def told(self) -> str:
        """Say it in a few words."""
        return f"the first operator to depart is {self.operator} of {self.module} ({self.source})"


def find_op_departure(
    path: Path,
    model: AuthoredModel,
    tokens: Sequence[int],
    position: int,
    outputs: Collection[str],
    *,
    sources: Mapping[str, TensorSource],
    scratch: Path,
    prefill_len: int | None = None,
    num_threads: int | None = None,
) -> OperatorDeparture | None:
    """Run one call in TFLite and, with the same caches, in torch; find where they part.

    Disk: the TFLite model once more. Memory: all that the call computes.

    Args:
        path: The TFLite model.
        model: The authored model, a decoder.
        tokens: Token ids.
        position: The token to look at, an index of `tokens`.
        outputs: The outputs of the signature that depart.
        sources: The tensors that the TFLite model should compute with.
        scratch: A folder for what is made.
        prefill_len: The prefill signature to use; by default tokens go in one by one.
        num_threads: Of the TFLite kernels.

    Returns:
        The first in torch's order, or `None` if every operator agrees in this call.
    """
    signature = DECODE if prefill_len is None else prefill_signature(prefill_len)
    session = TappedSession(path, signature, scratch, num_threads=num_threads)
    if prefill_len is None:
        for token in tokens[: position + 1]:
            session.decode(token)
    else:
        session.restart((prefill_len,))
        session.prefill(tokens[: (position // prefill_len + 1) * prefill_len])
    call = session.last
    assert call is not None
    operators, made = _in_torch(model, call, sources, outputs)
    roots, astray = _ways_back(operators, call, made)
    if not roots:
        return None
    first = min(roots)
    found = operators[first]
    # What all layers share, such as a rotation's angles, belongs to no module: to the first user.
    modules = (operators[i].module for i in sorted(astray) if i >= first)
    return OperatorDeparture(
        operator=found.name,
        module=next((name for name in modules if name), "the decoder"),
        source=found.source,
        signature=signature,
        position=int(call.positions[0]),
        nearest=found.nearest,
    )


@torch.no_grad()
def _in_torch(
    model: AuthoredModel,
    call: TappedCall,
    sources: Mapping[str, TensorSource],
    outputs: Collection[str],
) -> tuple[list[Operator], dict[str, tuple[int, torch.Tensor]]]:
    """Repeat a call in torch, one layer in memory at a time.

    Returns:
        What torch did, and for each of `outputs` the operator it comes from, and its value.
    """
    decoder = model.module
    assert isinstance(decoder, Decoder)
    used = np.unique(call.tokens)
    inputs = {
        # Tables are read for the tokens in use alone, which are numbered anew.
        TOKENS: torch.from_numpy(np.searchsorted(used, call.tokens).astype(np.int32)),
        INPUT_POS: torch.from_numpy(call.positions),
        **{name: torch.from_numpy(cache) for name, cache in call.caches.items()},
    }
    tables = {name: token_rows(sources[name], used.tolist()) for name in decoder.token_tables}
    shared = {
        name: torch.from_numpy(source.read())
        for name, source in sources.items()
        if not name.startswith("layers.") and name not in (*tables, "lm_head.weight")
    }
    names = decoder.cache_names()
    caches = [tuple(inputs[name] for name in layer) for layer in names]
    kv_cache_len = next(cache[0].shape[2] for cache in caches if len(cache) == 2)
    made: dict[str, tuple[int, torch.Tensor]] = {}
    trace = OperatorTrace(call.taps, inputs, decoder)
    with trace.naming_modules(), trace:
        x, step = in_method(
            decoder,
            "prepare",
            {**shared, **tables},
            inputs[TOKENS],
            inputs[INPUT_POS],
            kv_cache_len,
        )
        for index, layer in enumerate(decoder.layers):
            prefix, owner = f"layers.{index}.", decoder.cache_layers[index]
            own = {
                name.removeprefix(prefix): torch.from_numpy(source.read())
                for name, source in sources.items()
                if name.startswith(prefix)
            }
            x, caches[owner] = torch.func.functional_call(layer, own, (x, step, caches[owner]))
            if owner == index:
                for name, cache in zip(names[index], caches[index], strict=True):
                    made[name] = trace.index_of(cache), cache
            if all(name in made for name in outputs):
                break
        if LOGITS in outputs:
            head = "embed_tokens.weight" if decoder.lm_head is None else "lm_head.weight"
            weight = torch.from_numpy(sources[head].read())
            logits = in_method(decoder, "head", {**shared, head: weight}, x[:, -1:])
            made[LOGITS] = trace.index_of(logits), logits
    return trace.operators, {name: made[name] for name in outputs}


def _ways_back(
    operators: Sequence[Operator],
    call: TappedCall,
    made: Mapping[str, tuple[int, torch.Tensor]],
) -> tuple[set[int], set[int]]:
    """Go back from the outputs that depart, as long as inputs do not agree either.

    Returns:
        The operators where that ends, and all that were met.
    """
    waiting = [
        index
        for name, (index, value) in made.items()
        if relative_distance(value.numpy().reshape(-1), call.outputs[name].reshape(-1)) > EXACT
    ]
    roots, met = set(), set(waiting)
    while waiting:
        index = waiting.pop()
        before = {i for i in operators[index].inputs if not operators[i].agrees}
        if not before:
            roots.add(index)
        waiting += before - met
        met |= before
    return roots, met
