"""From an authored model to a multi-signature TFLite file."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from edgegen.author import AuthoredModel
from edgegen.author.tensor_source import TensorSource
from edgegen.convert.recipes import Recipe, find_recipe
from edgegen.convert.spec import ExportSpec, check_encoder_lens, check_spec
from edgegen.errors import ConversionError
from edgegen.files import atomic_output, refuse_overwrite

if TYPE_CHECKING:
    from edgegen.convert.plan import WeightPlan
    from edgegen.convert.quantization_error import QuantizationError


@dataclass(frozen=True)
class TfliteModel:
    """A converted model.

    Attributes:
        path: The file.
        spec: Its signatures.
        recipe: How its weights are stored.
        source: The authored model it came from.
        plans: How each matrix is stored.
        quantization_errors: What storing changed of each matrix.
    """

    path: Path
    spec: ExportSpec
    recipe: str
    source: AuthoredModel
    plans: tuple[WeightPlan, ...] = field(repr=False)
    quantization_errors: tuple[QuantizationError, ...] = field(repr=False)

    @property
    def grid_sources(self) -> dict[str, TensorSource]:
        """The model's tensors with the values that the recipe stores.

        With these, the authored module computes what the bundle should: only the rounding
        of activations can differ.
        """
        from edgegen.convert.grid import GridSource

        plans = {plan.weight.name: plan for plan in self.plans}
        return {
            name: GridSource.of(entry, plans[name]) if name in plans else entry
            for name, entry in self.source.sources.items()
        }


def convert_model(
    model: AuthoredModel,
    output: str | Path,
    *,
    spec: ExportSpec | None = None,
    recipe: str = "dynamic_wi8_afp32",
    calibration: Sequence[int] | None = None,
    force: bool = False,
) -> TfliteModel:
    """Convert a model to one TFLite file with a signature for each prefill length and decode.

    Args:
        model: The authored model.
        output: The `.tflite` to write; it appears only when complete.
        spec: The signatures; by default `ExportSpec()`.
        recipe: A key of `edgegen.convert.recipes.RECIPES`, or the path of a JSON file.
        calibration: As `convert_recipes`.
        force: Replace an existing file.

    Raises:
        ConversionError: the recipe is unknown, or the model cannot be converted as asked.
        CheckpointError: a weight cannot be read.
        OutputError: the file cannot be written.
    """
    made = convert_recipes(model, {recipe: output}, spec=spec, calibration=calibration, force=force)
    return made[recipe]


def convert_recipes(
    model: AuthoredModel,
    outputs: Mapping[str, str | Path],
    *,
    spec: ExportSpec | None = None,
    calibration: Sequence[int] | None = None,
    force: bool = False,
) -> dict[str, TfliteModel]:
    """Convert a model with several recipes, and trace it but once.

    Args:
        model: The authored model.
        outputs: The `.tflite` to write for each recipe.
        spec: The signatures; by default `ExportSpec()`.
        calibration: Token ids of a text, for the recipes that fix the scales of activations.
        force: Replace existing files.

    Returns:
        The converted model of each recipe.

    Raises:
        ConversionError: a recipe is unknown, or the model cannot be converted as asked.
        CheckpointError: a weight cannot be read.
        OutputError: a file cannot be written.
    """
    from ai_edge_litert.tools import flatbuffer_utils

    from edgegen.convert.merge import merge_signatures
    from edgegen.convert.skeleton import trace_skeleton

    spec = spec or ExportSpec()
    recipes = {name: find_recipe(name) for name in outputs}
    _check_signatures(model, spec)
    for recipe in recipes.values():
        _check_calibration(model, recipe, spec, calibration)
    for path in outputs.values():
        refuse_overwrite(Path(path), force=force)
    _require_finite_constants(model)
    skeleton = merge_signatures(trace_skeleton(model, spec))
    content = flatbuffer_utils.convert_object_to_bytearray(skeleton) if len(outputs) > 1 else None
    made = {}
    for name, path in outputs.items():
        # Binding and streaming change the graph, so each recipe starts from a fresh one.
        graph = skeleton if content is None else _parse(content)
        with atomic_output(Path(path), force=force) as temporary:
            if recipes[name].activation_bits is None:
                stored = _stream(graph, recipes[name], model, temporary)
            else:
                stored = _calibrate(graph, recipes[name], model, spec, calibration, temporary)
        made[name] = TfliteModel(Path(path), spec, name, model, *stored)
    return made


_Stored = tuple[tuple["WeightPlan", ...], tuple["QuantizationError", ...]]


def _stream(graph: Any, recipe: Recipe, model: AuthoredModel, output: Path) -> _Stored:
    from edgegen.convert.graph import bind_weights
    from edgegen.convert.plan import plan_weights
    from edgegen.convert.stream import stream_weights

    plans = plan_weights(graph, bind_weights(graph), recipe)
    return tuple(plans), stream_weights(graph, plans, model.sources, output)


def _calibrate(
    graph: Any,
    recipe: Recipe,
    model: AuthoredModel,
    spec: ExportSpec,
    calibration: Sequence[int] | None,
    output: Path,
) -> _Stored:
    """Stream in float32, beside the output, and let ai-edge-quantizer go on from there."""
    from ai_edge_litert.tools import flatbuffer_utils

    from edgegen.convert.calibrate import quantize_calibrated

    assert calibration is not None
    assert recipe.activation_bits is not None
    content = flatbuffer_utils.convert_object_to_bytearray(graph)
    with tempfile.TemporaryDirectory(prefix=f".{output.name}.", dir=output.parent) as scratch:
        weights, floats = Path(scratch, "weights"), Path(scratch, "floats.tflite")
        for path in (weights, floats):
            path.touch()
        # What storing the weights changes, which is the same without fixed scales.
        stored = _stream(_parse(content), recipe, model, weights)
        weights.unlink()
        _stream(graph, find_recipe("none"), model, floats)
        quantize_calibrated(
            floats,
            output,
            activation_bits=recipe.activation_bits,
            tokens=calibration,
            spec=spec,
        )
    return stored


def _check_calibration(
    model: AuthoredModel, recipe: Recipe, spec: ExportSpec, calibration: Sequence[int] | None
) -> None:
    """Refuse what a static recipe could not store, before the long work."""
    from edgegen.convert.calibrate import check_calibration

    if recipe.activation_bits is None:
        return
    if model.kind != "decoder":
        raise ConversionError(
            f"the recipe {recipe.name} is for decoders; the model is of the kind {model.kind}",
            "choose a dynamic recipe",
        )
    if calibration is None:
        raise ConversionError(
            f"the recipe {recipe.name} fixes the scales of activations, for which it needs a text",
            "give one like what the model will read with --calibration FILE",
        )
    check_calibration(4 * model.parameter_count, len(calibration), spec)


def _check_signatures(model: AuthoredModel, spec: ExportSpec) -> None:
    """Refuse what the model, or its runtime, could not take."""
    asked = {
        "a mask input": ("--mask-input", spec.mask_input),
        f"a KV cache of {spec.kv_cache_dtype}": (
            "--kv-cache-dtype",
            spec.kv_cache_dtype != "float32",
        ),
    }
    for what, (option, given) in asked.items():
        if given and model.kind != "decoder":
            raise ConversionError(
                f"{what} was asked for, which decoders have; the model is of the kind {model.kind}",
                f"leave {option} out",
            )
    if model.kind == "decoder":
        check_spec(spec, model.config.max_position_embeddings)
    elif model.kind != "diffusion":  # whose signatures have no length
        longest = spec.kv_cache_len
        if model.kind == "encoder":
            longest = model.config.max_position_embeddings
        check_encoder_lens(spec, longest)


def _parse(content: bytes | bytearray) -> Any:
    from ai_edge_litert.tools import flatbuffer_utils

    return flatbuffer_utils.convert_bytearray_to_object(bytearray(content))


def _require_finite_constants(model: AuthoredModel) -> None:
    """Check norms and biases; what streams is checked while it does."""
    from edgegen.convert.trace import is_streamed

    for name, entry in model.sources.items():
        if not is_streamed(entry.shape) and not np.isfinite(entry.read()).all():
            raise ConversionError(
                f"{name} holds infinite values or values that are not numbers",
                "the checkpoint is damaged or training diverged; no recipe can store it",
            )
