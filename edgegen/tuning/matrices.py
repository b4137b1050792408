"""The matrices of a build: what each may be stored as, and the bytes that it then takes."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

from ai_edge_quantizer import qtyping

from edgegen.author import AuthoredModel
from edgegen.author.decoder import Decoder
from edgegen.author.footprint import signature_footprints
from edgegen.author.layers.embedding import Embedding
from edgegen.convert.candidates import plan_as
from edgegen.convert.plan import WeightPlan
from edgegen.convert.spec import ExportSpec
from edgegen.convert.trace import is_streamed
from edgegen.errors import ConversionError
from edgegen.planning import (
    BLOCK_SCALE_BYTES,
    QUANTIZED_USE_BYTES,
    SCALE_BYTES,
    WEIGHT_ALIGNMENT,
    plan_model,
)


@dataclass(frozen=True)
class Matrices:
    """The matrices of a build, and what each of them may be stored as.

    Attributes:
        model: The model, a decoder.
        spec: The signatures of the build.
        candidates: Names of what a matrix may be stored as.
    """

    model: AuthoredModel
    spec: ExportSpec
    candidates: tuple[str, ...]

    @cached_property
    def uses(self) -> dict[str, int]:
        """In how many signatures each matrix is used; left out is what none uses."""
        decoder, spec = self.model.module, self.spec
        assert isinstance(decoder, Decoder)
        found = signature_footprints(decoder, spec.prefill_lens, spec.kv_cache_len).values()
        counts = {
            name: sum(name in one.parameters for one in found)
            for name, source in self.model.sources.items()
            if is_streamed(source.shape)
        }
        return {name: count for name, count in counts.items() if count}

    @cached_property
    def plans(self) -> dict[str, dict[str, WeightPlan]]:
        """For each matrix the candidates that can hold it.

        Raises:
            ConversionError: none can.
        """
        decoder = self.model.module
        assert isinstance(decoder, Decoder)
        operators = qtyping.TFLOperationName
        tables = {
            f"{name}.weight"
            for name, part in decoder.named_modules()
            if isinstance(part, Embedding)
        }
        made = {}
        for name in self.uses:
            shape = self.model.sources[name].shape
            met = [operators.EMBEDDING_LOOKUP] if name in tables else [operators.FULLY_CONNECTED]
            if name == "embed_tokens.weight" and decoder.lm_head is None:
                met.append(operators.FULLY_CONNECTED)
            tried = {each: plan_as(each, name, shape, met) for each in self.candidates}
            made[name] = {each: found for each, found in tried.items() if found is not None}
            if not made[name]:
                raise ConversionError(
                    f"{name}, with {shape[1]} columns, cannot be stored as {self.listed}",
                    "add another to --weights, such as int8",
                )
        return made

    @property
    def listed(self) -> str:
        """The candidates in words."""
        return " or ".join(self.candidates)

    @cached_property
    def value_count(self) -> int:
        """Values of all matrices."""
        return sum(self.model.sources[name].value_count for name in self.uses)

    @cached_property
    def graph_bytes(self) -> int:
        """Bytes of a `.tflite` in float32 without its matrices."""
        (floats,) = plan_model(self.model, self.spec, ("none",)).recipes
        return floats.tflite_bytes - self.float_bytes

    @cached_property
    def float_bytes(self) -> int:
        """What the matrices add to a `.tflite` in float32."""
        return sum(_aligned(4 * self.model.sources[name].value_count) for name in self.uses)

    def nbytes(self, name: str, stored: WeightPlan) -> int:
        """Values and scales. Those of channels are stored again for each use, with zero points."""
        if stored.scale_shape is None:
            return stored.nbytes
        one = BLOCK_SCALE_BYTES if stored.block_size else SCALE_BYTES * self.uses[name]
        return stored.nbytes + one * math.prod(stored.scale_shape)

    def file_bytes(self, name: str, stored: WeightPlan) -> int:
        """What a matrix adds to the file."""
        marks = 0 if stored.op_config is None else QUANTIZED_USE_BYTES * self.uses[name]
        return self.nbytes(name, stored) - stored.nbytes + _aligned(stored.nbytes) + marks

    def named(self, choice: Sequence[int]) -> dict[str, str]:
        """Return the candidate of each matrix that a choice of a `Frontier` means."""
        pairs = zip(self.plans.items(), choice, strict=True)
        return {name: list(plans)[index] for (name, plans), index in pairs}


def _aligned(nbytes: int) -> int:
    return -(-nbytes // WEIGHT_ALIGNMENT) * WEIGHT_ALIGNMENT
