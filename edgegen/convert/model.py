"""From an authored model to a multi-signature TFLite file."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from edgegen.author import AuthoredModel
from edgegen.author.tensor_source import TensorSource
from edgegen.convert.recipes import find_recipe
from edgegen.convert.spec import ExportSpec, check_spec
from edgegen.errors import ConversionError
from edgegen.files import atomic_output, refuse_overwrite

if TYPE_CHECKING:
    from edgegen.convert.quantize import WeightPlan


@dataclass(frozen=True)
class TfliteModel:
    """A converted model.

    Attributes:
        path: The file.
        spec: Its signatures.
        recipe: How its weights are stored.
        source: The authored model it came from.
        plans: How each matrix is stored.
    """

    path: Path
    spec: ExportSpec
    recipe: str
    source: AuthoredModel
    plans: tuple[WeightPlan, ...] = field(repr=False)

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
    force: bool = False,
) -> TfliteModel:
    """Convert a model to one TFLite file with a signature for each prefill length and decode.

    Args:
        model: The authored model.
        output: The `.tflite` to write; it appears only when complete.
        spec: The signatures; by default `ExportSpec()`.
        recipe: A key of `edgegen.convert.recipes.RECIPES`.
        force: Replace an existing file.

    Raises:
        ConversionError: the recipe is unknown, or the model cannot be converted as asked.
        CheckpointError: a weight cannot be read.
        OutputError: the file cannot be written.
    """
    from edgegen.convert.graph import bind_weights
    from edgegen.convert.merge import merge_signatures
    from edgegen.convert.quantize import plan_weights
    from edgegen.convert.skeleton import trace_skeleton
    from edgegen.convert.stream import stream_weights

    chosen, spec = find_recipe(recipe), spec or ExportSpec()
    check_spec(spec, model.config.max_position_embeddings)
    path = Path(output)
    refuse_overwrite(path, force=force)
    _require_finite_vectors(model)
    graph = merge_signatures(trace_skeleton(model.checkpoint.path, spec))
    plans = plan_weights(graph, bind_weights(graph), chosen)
    with atomic_output(path, force=force) as temporary:
        stream_weights(graph, plans, model.sources, temporary)
    return TfliteModel(path, spec, recipe, model, tuple(plans))


def _require_finite_vectors(model: AuthoredModel) -> None:
    """Check norms and biases; matrices are checked while they stream."""
    for name, entry in model.sources.items():
        if len(entry.shape) < 2 and not np.isfinite(entry.read()).all():
            raise ConversionError(
                f"{name} holds infinite values or values that are not numbers",
                "the checkpoint is damaged or training diverged; no recipe can store it",
            )
