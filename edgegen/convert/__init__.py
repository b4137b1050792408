"""From an authored model to TFLite: a skeleton graph, and weights streamed into it."""

from edgegen.convert.model import TfliteModel, convert_model, convert_recipes
from edgegen.convert.spec import ExportSpec

__all__ = ["ExportSpec", "TfliteModel", "convert_model", "convert_recipes"]
