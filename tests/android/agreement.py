"""Whether the app's reader and edgegen's say the same of a bundle."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from edgegen.bundle import inspect_bundle, open_bundle
from edgegen.bundle.contents import Bundle
from edgegen.errors import EdgegenError


def kotlin_reads(command: Sequence[str], paths: Sequence[Path]) -> list[dict[str, Any]]:
    """Return what the app's reader makes of bundles."""
    done = subprocess.run(
        [*command, "read", *map(str, paths)], check=True, capture_output=True, text=True
    )
    return [json.loads(line) for line in done.stdout.splitlines()]


def python_reads(path: Path) -> dict[str, Any]:
    """Return what edgegen makes of a bundle, in the same words."""
    try:
        bundle = open_bundle(path)
    except EdgegenError as error:
        return {"refused": str(error)}
    told = _told(bundle)
    try:
        inspection = inspect_bundle(path, sha256=False)
    except EdgegenError as error:
        return {**told, "model_problem": str(error)}
    return {
        **told,
        "signatures": [
            {"name": s.name, "inputs": len(s.inputs), "outputs": len(s.outputs)}
            for s in inspection.signatures
        ],
        "prefill_lens": list(inspection.prefill_lens),
        "kv_cache_len": inspection.kv_cache_len,
        "model_problem": None,
    }


def _told(bundle: Bundle) -> dict[str, Any]:
    litertlm = bundle.format == "litertlm"
    system = bundle.foreign.system if litertlm and bundle.foreign else {}
    told = {
        "format": bundle.format,
        "size_bytes": bundle.path.stat().st_size,
        "members": [
            {"name": m.name, "offset": m.offset, "size": m.size, "role": m.role}
            for m in bundle.members
        ],
        "parameters": asdict(bundle.parameters),
        "llm_model_type": bundle.hints.llm_model_type if litertlm else None,
        "min_runtime_version": bundle.hints.min_runtime_version,
        "backends": bundle.hints.backend_constraints,
        "header": {key: str(item.value) for key, item in system.items()},
    }
    return dict(json.loads(json.dumps(told)))


def difference(kotlin: dict[str, Any], python: dict[str, Any]) -> str | None:
    """Return where two readings differ; `None` if they agree.

    edgegen checks a whole model, the app only what it reads of it: a model that edgegen refuses
    may go through, but not the other way.
    """
    if ("refused" in kotlin) != ("refused" in python):
        return f"kotlin: {kotlin.get('refused')}; python: {python.get('refused')}"
    if "refused" in kotlin:
        return None
    compared = set(python)
    if python["model_problem"] is not None:
        compared -= {"model_problem"}
    for name in sorted(compared):
        if kotlin[name] != python[name]:
            return f"{name}: kotlin {kotlin[name]!r:.300}, python {python[name]!r:.300}"
    return None
