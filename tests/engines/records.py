"""What the engine tests find of each architecture, and what the reference page says of it."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

PAGE = Path(__file__).parents[2] / "docs" / "reference" / "architectures.md"


def record(model_type: str, **found: Any) -> None:
    """Keep what was found for `scripts/architectures_page.py`, if asked to."""
    if folder := os.environ.get("EDGEGEN_ARCHITECTURE_RESULTS"):
        path = Path(folder) / f"{model_type}.json"
        before = json.loads(path.read_text()) if path.exists() else {}
        path.write_text(json.dumps({**before, **found}, indent=1, sort_keys=True) + "\n")


def page_row(model_type: str) -> list[str]:
    rows = [line for line in PAGE.read_text().splitlines() if line.startswith(f"| `{model_type}`")]
    assert len(rows) == 1, f"{PAGE.name} has {len(rows)} rows for {model_type}; see its first lines"
    return [cell.strip() for cell in rows[0].strip("|").split("|")]
