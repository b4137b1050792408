"""What a build would give and cost, told from the checkpoint's headers alone."""

from __future__ import annotations

import math
import os
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from edgegen.author import AuthoredModel, author_model, open_checkpoint
from edgegen.author.decoder import Decoder
from edgegen.author.footprint import SignatureFootprint, signature_footprints
from edgegen.author.layers.embedding import Embedding
from edgegen.bundle.task import MODEL_ALIGNMENT
from edgegen.bundle.tokenizer import SentencePieceTokenizer, open_exact_tokenizer
from edgegen.bundle.tokenizers.hugging_face import HfTokenizer
from edgegen.convert.recipes import Recipe, find_recipe
from edgegen.convert.spec import ExportSpec, check_spec, fitting_spec
from edgegen.errors import ConversionError, TokenizerError

# The graph: bytes of an operation with its tensors, of what each signature has once, and of what
# storing a weight otherwise than in float32 adds wherever it is used. Fitted to the files that
# tests/test_planning.py builds.
OPERATOR_BYTES = 150
SIGNATURE_BYTES = 5_000
QUANTIZED_USE_BYTES = 140
ROTATED_USE_BYTES = 390
SCALE_BYTES = 12  # float32, and an int64 zero point; for each use
BLOCK_SCALE_BYTES = 2  # float16, once
WEIGHT_ALIGNMENT = 64
_BUNDLE_BYTES = 600  # METADATA and the zip's directory

# Time and memory of a build: benchmarks/README.md has the measurements behind them.
START_S = 9.3
TRACED_LAYER_S = 0.51  # for each signature, of one core
LAYER_S = 0.02  # for each signature: to stamp, merge and write its operators
STREAM_BYTES_PER_S = 470e6
START_BYTES = 1050 * 1024**2
TRACED_LAYER_BYTES = 1024**2  # for each signature
# What static recipes take, which the library holds in memory: the float32 model so many times,
# and each of their calls twice at that rate.
CALIBRATED_COPIES = 6.2
CALIBRATION_START_BYTES = 500 * 1024**2
CALIBRATION_FLOP_PER_S = 25e9


@dataclass(frozen=True)
class RecipePlan:
    """What one recipe would give.

    Attributes:
        recipe: Its name.
        tflite_bytes: Size of the `.tflite`.
        bundle_bytes: Size of the bundle; `None` where no tokenizer can be bundled.
        device_bytes: Memory on the device: the file's weights, one copy of the KV cache and the
            activations of the largest operation. An engine that repacks weights takes more.
    """

    recipe: str
    tflite_bytes: int
    bundle_bytes: int | None
    device_bytes: int


@dataclass(frozen=True)
class BuildPlan:
    """What a build would give and cost.

    Attributes:
        checkpoint: The folder.
        parameter_count: Parameters of the model.
        spec: Its signatures.
        kv_cache_bytes: Size of all caches by their length S, that of `spec` and others.
        activation_bytes: The most that one operation of any signature reads and writes, without
            weights and caches.
        host_bytes: Peak memory of a conversion, all processes together.
        host_s: Seconds of a conversion.
        recipes: What each recipe would give.
    """

    checkpoint: Path
    parameter_count: int
    spec: ExportSpec
    kv_cache_bytes: Mapping[int, int]
    activation_bytes: int
    host_bytes: int
    host_s: float
    recipes: tuple[RecipePlan, ...]

    def as_dict(self) -> dict[str, Any]:
        """Return the plan as plain JSON values."""
        return {"schema": "edgegen.plan/1", **asdict(self), "checkpoint": str(self.checkpoint)}


def plan(
    checkpoint: str | Path,
    *,
    recipes: Sequence[str] = ("dynamic_wi8_afp32",),
    prefill_lens: Sequence[int] | None = None,
    kv_cache_lens: Sequence[int] = (),
    kv_cache_dtype: str = "float32",
) -> BuildPlan:
    """Tell what building a checkpoint would give, reading no weights.

    Args:
        checkpoint: The folder.
        recipes: As in `edgegen.convert.recipes`.
        prefill_lens: T of each prefill signature.
        kv_cache_lens: S of the build, then others whose caches are of interest.
        kv_cache_dtype: `float32` or `float16`.

    Raises:
        EdgegenError: the checkpoint, a recipe or a length cannot be used.
    """
    for name in recipes:
        find_recipe(name)
    model = author_model(open_checkpoint(checkpoint))
    if not isinstance(model.module, Decoder):
        raise ConversionError(
            f"the checkpoint is a model of the kind {model.kind}, and plans are for decoders",
            "`edgegen convert` makes a .tflite of it",
        )
    longest = model.config.max_position_embeddings
    spec = fitting_spec(
        longest,
        prefill_lens,
        kv_cache_lens[0] if kv_cache_lens else None,
        kv_cache_dtype=kv_cache_dtype,
    )
    check_spec(spec, longest)
    return plan_model(model, spec, recipes, kv_cache_lens)


def plan_model(
    model: AuthoredModel,
    spec: ExportSpec,
    recipes: Sequence[str],
    kv_cache_lens: Sequence[int] = (),
) -> BuildPlan:
    """Tell what building a decoder would give; see `plan`."""
    decoder = model.module
    assert isinstance(decoder, Decoder)
    found = signature_footprints(decoder, spec.prefill_lens, spec.kv_cache_len)
    caches = {
        length: _cache_bytes(decoder, length, spec.kv_cache_dtype)
        for length in dict.fromkeys((spec.kv_cache_len, *kv_cache_lens))
    }
    activations = max(one.activation_bytes for one in found.values())
    made = []
    for name in recipes:
        nbytes, weights = _tflite_bytes(model, decoder, find_recipe(name), found)
        made.append(
            RecipePlan(
                recipe=name,
                tflite_bytes=nbytes,
                bundle_bytes=_bundle_bytes(model, nbytes),
                device_bytes=weights + caches[spec.kv_cache_len] + activations,
            )
        )
    host_s, host_bytes = _host_cost(model, spec, len(found), recipes)
    return BuildPlan(
        checkpoint=model.checkpoint.path,
        parameter_count=model.parameter_count,
        spec=spec,
        kv_cache_bytes=caches,
        activation_bytes=activations,
        host_bytes=host_bytes,
        host_s=host_s,
        recipes=tuple(made),
    )


def _host_cost(
    model: AuthoredModel, spec: ExportSpec, signatures: int, recipes: Sequence[str]
) -> tuple[float, int]:
    """Return seconds and peak memory of a conversion whose graph is not kept from before.

    The text of a static recipe is taken to fill the cache.
    """
    from edgegen.convert.reduction import find_reduction

    reduction = None if spec.composites else find_reduction(model.module)
    layers = model.config.num_hidden_layers
    traced = signatures * (layers if reduction is None else reduction.traced)
    cores = min(len(os.sched_getaffinity(0)), signatures)
    seconds = (
        START_S
        + TRACED_LAYER_S * traced / cores
        + LAYER_S * signatures * layers
        + model.checkpoint.nbytes * len(recipes) / STREAM_BYTES_PER_S
    )
    nbytes = START_BYTES + TRACED_LAYER_BYTES * traced
    static = sum(find_recipe(name).activation_bits is not None for name in recipes)
    if static:
        tokens = 2 * spec.kv_cache_len * (len(spec.prefill_lens) + 1)
        seconds += static * 2 * model.parameter_count * tokens / CALIBRATION_FLOP_PER_S
        held = CALIBRATION_START_BYTES + int(CALIBRATED_COPIES * 4 * model.parameter_count)
        nbytes = max(nbytes, held)
    return seconds, nbytes


def _cache_bytes(decoder: Decoder, length: int, dtype: str) -> int:
    value = np.dtype(dtype).itemsize
    shapes = decoder.cache_shapes(length)
    return sum(value * math.prod(shape) for layer in shapes for shape in layer.values())


def _bundle_bytes(model: AuthoredModel, tflite_bytes: int) -> int | None:
    try:
        tokenizer = open_exact_tokenizer(model.checkpoint.path, vocab_size=model.config.vocab_size)
    except TokenizerError:
        return None
    return MODEL_ALIGNMENT + tflite_bytes + _carried_bytes(tokenizer) + _BUNDLE_BYTES


def _carried_bytes(tokenizer: SentencePieceTokenizer | HfTokenizer) -> int:
    if isinstance(tokenizer, SentencePieceTokenizer):
        return len(tokenizer.proto)
    return len(zlib.compress(tokenizer.file.text.encode("utf-8")))  # as a .litertlm has it


def _tflite_bytes(
    model: AuthoredModel,
    decoder: Decoder,
    recipe: Recipe,
    found: Mapping[str, SignatureFootprint],
) -> tuple[int, int]:
    """Return the size of the file, and that of its weights."""
    from ai_edge_quantizer import qtyping, recipe_manager

    from edgegen.convert.graph import Weight
    from edgegen.convert.plan import WeightPlan
    from edgegen.convert.trace import is_streamed

    manager = recipe_manager.RecipeManager()
    if entries := recipe.quantizer_recipe():
        manager.load_quantization_recipe(entries)
    operators = qtyping.TFLOperationName
    tables = {
        f"{name}.weight" for name, part in decoder.named_modules() if isinstance(part, Embedding)
    }
    graph = SIGNATURE_BYTES * len(found)
    graph += OPERATOR_BYTES * sum(one.operators for one in found.values())
    weights, rotations = 0, set()
    for name, source in model.sources.items():
        uses = sum(name in one.parameters for one in found.values())
        if not uses:
            continue
        if not is_streamed(source.shape):
            graph += 4 * source.value_count
            continue
        operator = operators.EMBEDDING_LOOKUP if name in tables else operators.FULLY_CONNECTED
        algorithm, config = manager.get_quantization_configs(operator, name)
        if algorithm == "no_quantize":
            config = None
        stored = WeightPlan(Weight(name, source.shape, 0, ()), operator, config, algorithm)
        weights += -(-stored.nbytes // WEIGHT_ALIGNMENT) * WEIGHT_ALIGNMENT
        if stored.scale_shape is not None:
            scales = math.prod(stored.scale_shape)
            graph += scales * (BLOCK_SCALE_BYTES if stored.block_size else SCALE_BYTES * uses)
        if config is not None:
            graph += QUANTIZED_USE_BYTES * uses
        if stored.is_rotated:
            rotations.add(stored.rotation_size)
            graph += ROTATED_USE_BYTES * uses
    graph += sum(4 * size * size for size in rotations)  # one matrix for all rows of that size
    return graph + weights, weights
