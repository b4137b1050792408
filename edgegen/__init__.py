"""edgegen takes a trained PyTorch language model all the way onto a phone.

The verbs of the command line are functions here, loaded when first used: importing the
package loads neither torch nor any converter.
"""

from __future__ import annotations

import importlib
from typing import Any

__version__ = "0.1.0"

# public name -> module that defines it. A name here never equals a subpackage's
# (`edgegen.author` is the package; its function is `author_model`).
_PUBLIC = {
    "EdgegenError": "edgegen.errors",
    "author_model": "edgegen.author",
    "bench": "edgegen.device.bench.run",
    "build": "edgegen.pipeline",
    "connect": "edgegen.device.transports",
    "convert_checkpoint": "edgegen.conversion",
    "convert_model": "edgegen.convert",
    "convert_recipes": "edgegen.convert",
    "generate": "edgegen.bundle",
    "inspect_bundle": "edgegen.bundle",
    "merge_adapter": "edgegen.author",
    "open_bundle": "edgegen.bundle",
    "open_checkpoint": "edgegen.author",
    "plan": "edgegen.planning",
    "tune": "edgegen.tuning",
    "verify": "edgegen.verification",
    "write_bundle": "edgegen.bundle",
}

__all__ = ["__version__", *sorted(_PUBLIC)]


def __getattr__(name: str) -> Any:
    if name not in _PUBLIC:
        raise AttributeError(f"module 'edgegen' has no attribute {name!r}")
    return getattr(importlib.import_module(_PUBLIC[name]), name)


def __dir__() -> list[str]:
    return __all__
