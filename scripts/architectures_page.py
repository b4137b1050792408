"""Write docs/reference/architectures.md from what the engine tests found.

Run `EDGEGEN_ARCHITECTURE_RESULTS=build/architectures pytest tests/engines`, then
`python scripts/architectures_page.py build/architectures`.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from edgegen.author.models import ARCHITECTURES, architecture
from edgegen.author.traits import traits
from edgegen.cli.list import first_sentence

PAGE = Path(__file__).parents[1] / "docs" / "reference" / "architectures.md"
HEAD = """\
# Architectures

What a checkpoint's `model_type` must be, and what was seen of each architecture on the engines.
This page is made by `scripts/architectures_page.py` from the results of `tests/engines`, which
compare the last column with what they find. `edgegen check CHECKPOINT/` tells about one
checkpoint.

Each was converted with random weights and a few layers that have all of its features. **logits**
is the largest difference of a logit (or output) of the float32 TFLite model from torch's. **CPU**
is LiteRT-LM, or LiteRT where the model is no decoder, against transformers or the authored
module. **GPU** is the GPU delegate in software (SwiftShader) with `dynamic_wi8_afp32`, against
torch with the weights on the int8 grid: whether it took every node, and what came out.

| `model_type` | kind | models | supports | logits | CPU | GPU |
| --- | --- | --- | --- | --- | --- | --- |
"""


def row(name: str, found: dict[str, object]) -> str:
    """Return the table's row of one architecture."""
    chosen = architecture(name)
    cells = [
        f"`{name}`",
        chosen.KIND,
        first_sentence(chosen.__doc__).rstrip("."),
        ", ".join(traits(name)),
        f"{float(str(found['max_abs_diff'])):.0e}",
        str(found["cpu"]),
        str(found["gpu"]),
    ]
    return f"| {' | '.join(cell.replace('|', '/') for cell in cells)} |\n"


def main(folder: str) -> int:
    """Write the page; 1 if an architecture has no results."""
    rows = []
    for name in ARCHITECTURES:
        path = Path(folder) / f"{name}.json"
        found = json.loads(path.read_text()) if path.is_file() else {}
        if not {"max_abs_diff", "cpu", "gpu"} <= found.keys():
            print(f"{path} does not hold all results of {name}: run its tests", file=sys.stderr)
            return 1
        rows.append(row(name, found))
    PAGE.parent.mkdir(parents=True, exist_ok=True)
    PAGE.write_text(HEAD + "".join(rows))
    return 0


if __name__ == "__main__":
    raise SystemExit(main(*sys.argv[1:]))
