"""Files that are named like those of MediaPipe's web engine, for tests that run none."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from edgegen.bundle.preview import web_engine


def engine_folder(folder: Path, **manifest: Any) -> Path:
    """Fill a folder; `manifest` goes over its package.json."""
    for name in web_engine.FILES:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(name.encode())
    content = {"name": web_engine.PACKAGE, "version": "0.10.29", **manifest}
    (folder / "package.json").write_text(json.dumps(content))
    return folder
