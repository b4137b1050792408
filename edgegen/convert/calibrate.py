"""Quantizing activations ahead of time, with scales from what a text makes of them.

This is ai-edge-quantizer's ordinary path: unlike all recipes that stream it has the whole model in
memory, in float32 and as it becomes. Matrix products alone take and give integers, because the
runtimes keep their caches in float32 (asked to quantize all it can, the library makes int8 caches
and logits, and a copy of each matrix for each signature).
"""

from __future__ import annotations

import io
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from ai_edge_quantizer import calibrator, qtyping, quantizer, recipe_manager
from ai_edge_quantizer.utils import qsv_utils

from edgegen.convert.recipes import QuantizerRecipe
from edgegen.convert.replay import ReplaySession
from edgegen.convert.spec import ExportSpec, prefill_chunks
from edgegen.errors import ConversionError
from edgegen.progress import stage

MIN_TOKENS = 64
# Of the text's end; what comes before goes through each prefill.
DECODED_TOKENS = 32
# Flatbuffers, which the library makes in memory, end at 2 GiB.
_MOST_FLOAT_BYTES = 2**31 - 2**20

Inputs = Mapping[str, npt.NDArray[Any]]
See = Callable[[str, Inputs], None]


def quantize_calibrated(
    floats: Path, output: Path, *, activation_bits: int, tokens: Sequence[int], spec: ExportSpec
) -> None:
    """Write a float32 model with int8 weights and activations of fixed scales.

    Memory: about six times the model in float32.

    Args:
        floats: A `.tflite` in float32 with the signatures of `spec`.
        output: The file to write; the caller makes sure that it is a temporary name.
        activation_bits: 8 or 16.
        tokens: Token ids of the text, start token included; see `check_calibration`. What does
            not fit the cache is left out.
        spec: The signatures.

    Raises:
        ConversionError: as `check_calibration`.
    """
    check_calibration(floats.stat().st_size, len(tokens), spec)
    entries = _entries(activation_bits)
    ranges = _ranges(floats, entries, tokens[: spec.kv_cache_len], spec)
    made = quantizer.Quantizer(str(floats), entries)
    with stage("quantize"), _quiet():
        result = made.quantize(ranges)
    output.write_bytes(result.quantized_model)


def check_calibration(float_bytes: int, token_count: int, spec: ExportSpec) -> None:
    """Refuse what cannot be calibrated.

    Args:
        float_bytes: Size of the model in float32.
        token_count: Tokens of the text, start token included.
        spec: The signatures.

    Raises:
        ConversionError: there are too few tokens, or too little room for them in the cache, or
            the model is too large for the library.
    """
    if token_count < MIN_TOKENS:
        raise ConversionError(
            f"there are {token_count} tokens to calibrate on, expected at least {MIN_TOKENS}",
            "give a longer text",
        )
    if spec.kv_cache_len < MIN_TOKENS:
        raise ConversionError(
            f"a KV cache of {spec.kv_cache_len} tokens has no room for the {MIN_TOKENS} that "
            "calibration needs",
            f"pass --kv-cache-len {MIN_TOKENS} or more",
        )
    if float_bytes > _MOST_FLOAT_BYTES:
        raise ConversionError(
            f"the model takes {float_bytes:,} bytes in float32, and static recipes hold one of at "
            f"most {_MOST_FLOAT_BYTES:,}",
            "choose a dynamic recipe, which streams",
        )


def _ranges(
    floats: Path, entries: QuantizerRecipe, tokens: Sequence[int], spec: ExportSpec
) -> dict[str, Any]:
    """Return what the library wants to know of each tensor, which is its range."""
    manager = recipe_manager.RecipeManager()
    manager.load_quantization_recipe(entries)
    # By the runtime's own counts: the library's other way keeps a copy of all weights for each
    # signature. And the whole range, not a moving average of it: products that clip what came
    # once cost the shipped model 17 times the KL.
    ranges = calibrator.Calibrator(
        str(floats),
        num_threads=1,
        mode=calibrator.CalibrationMode.CALIBRATION_PROFILER_BASED,
        qsv_update_func=qsv_utils.min_max_update,
    )

    def see(signature: str, inputs: Inputs) -> None:
        with _quiet():  # one call at a time, so that one call's caches alone are in memory
            ranges.calibrate({signature: [inputs]}, manager)

    _replay(floats, tokens, spec, see)
    found: dict[str, Any] = ranges.get_model_qsvs()
    return found


def _entries(activation_bits: int) -> QuantizerRecipe:
    """Return the library's recipe: products with static activations, embeddings without."""
    manager = recipe_manager.RecipeManager()
    manager.add_dynamic_config(
        regex=".*", operation_name=qtyping.TFLOperationName.EMBEDDING_LOOKUP, num_bits=8
    )
    manager.add_static_config(
        regex=".*",
        operation_name=qtyping.TFLOperationName.FULLY_CONNECTED,
        activation_num_bits=activation_bits,
        weight_num_bits=8,
    )
    entries: QuantizerRecipe = manager.get_quantization_recipe()
    return entries


def _replay(floats: Path, tokens: Sequence[int], spec: ExportSpec, see: See) -> None:
    """Put the text through each prefill signature, and its end through decode."""
    prompt = tokens[: len(tokens) - DECODED_TOKENS]
    # Each length by itself, as far as whole chunks fit the cache: behind its end one would be
    # written over earlier tokens.
    prompts = {n: prompt[: spec.kv_cache_len // n * n] for n in spec.prefill_lens}
    calls = DECODED_TOKENS + len(prefill_chunks(len(prompt), spec.prefill_lens))
    calls += sum(len(prefill_chunks(len(one), (n,))) for n, one in prompts.items())
    with stage("calibrate", calls, "calls") as advance:

        def told(signature: str, inputs: Inputs) -> None:
            see(signature, inputs)
            advance(1)

        session = _Watched(floats, told)
        for length, one in prompts.items():
            session.restart((length,))
            session.prefill(one)
        session.restart()  # by the calls that an engine would make
        session.prefill(prompt)
        for token in tokens[len(prompt) :]:
            session.decode(token)


class _Watched(ReplaySession):
    """A session that shows what its signatures are given."""

    def __init__(self, path: Path, see: See) -> None:
        super().__init__(path)
        self._see = see

    def _run(
        self,
        signature: str,
        tokens: npt.NDArray[np.int32],
        positions: npt.NDArray[np.int32],
        count: int,
    ) -> dict[str, Any]:
        self._see(signature, self._inputs(tokens, positions, count))
        return super()._run(signature, tokens, positions, count)


@contextmanager
def _quiet() -> Iterator[None]:
    """Silence the library's progress bars and summaries, which it prints, and its warnings."""
    with (
        redirect_stdout(io.StringIO()),
        redirect_stderr(io.StringIO()),
        warnings.catch_warnings(),
    ):
        warnings.simplefilter("ignore")
        yield
