"""Write `edgegen/device/bench/record.schema.json` from the classes of a benchmark's record.

python scripts/bench_schema.py
"""

from __future__ import annotations

import inspect
import json
import re
from pathlib import Path
from typing import Any

import msgspec

from edgegen.device.bench import record

SCHEMA_FILE = Path(record.__file__).with_name("record.schema.json")
_ATTRIBUTE = re.compile(r"    (\w+): (.*)")


def schema() -> dict[str, Any]:
    """Return the JSON Schema of one row, with what the docstrings say of each name."""
    (found,), parts = msgspec.json.schema_components([record.Record], ref_template="#/$defs/{name}")
    for name, part in parts.items():
        doc = inspect.cleandoc(getattr(record, name).__doc__ or "")
        part["description"] = doc.partition("\n")[0]
        for attribute, told in attributes(doc).items():
            value = part["properties"][attribute]
            # What stands beside a reference counts since draft 2019-09.
            value["description"] = told
    parts["Record"]["properties"]["schema"]["const"] = record.SCHEMA
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": record.SCHEMA,
        **found,
        "$defs": dict(sorted(parts.items())),
    }


def attributes(doc: str) -> dict[str, str]:
    """Return what a docstring says of each attribute, on one line each."""
    told: dict[str, str] = {}
    name = ""
    for line in doc.partition("Attributes:\n")[2].splitlines():
        if match := _ATTRIBUTE.fullmatch(line):
            name, text = match.groups()
            told[name] = text
        elif name:
            told[name] += f" {line.strip()}"
    return told


def schema_text() -> str:
    """Return the file's text."""
    return json.dumps(schema(), indent=1, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    SCHEMA_FILE.write_text(schema_text(), encoding="utf-8")
