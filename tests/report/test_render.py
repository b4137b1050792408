from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pytest

from edgegen.bundle import inspect_bundle
from edgegen.bundle.contents import Member
from edgegen.bundle.flatbuffer import WeightStorage
from edgegen.report.render import render_inspection
from edgegen.report.tables import number


def test_an_inspection_tells_what_the_file_holds(demo_task: Path) -> None:
    inspection = inspect_bundle(demo_task)
    text = render_inspection(inspection, terminal=False)

    assert text.startswith(f"{demo_task} (task, ")
    assert f"sha256 {inspection.sha256}\n" in text
    assert "prefill 16, 32, 128; kv_cache_len 512; 4 layers; vocab_size 2048; " in text
    assert re.search(r"\nstart_token +'<s>'  \(generation_config.json\)\n", text)
    assert "INT8" in text
    # Layers that differ in their number only are one line.
    assert "kv_cache_k_{0..3}  FLOAT32" in text
    assert "kv_cache_k_2" not in text


@pytest.mark.parametrize("terminal", [False, True])
def test_names_in_a_file_cannot_take_over_the_terminal(demo_task: Path, terminal: bool) -> None:
    evil = "\x1b]0;x\x07\x9b2J[bold]\u202e"
    inspection = inspect_bundle(demo_task, sha256=False)
    decode, *_ = inspection.signatures
    tensor = next(iter(decode.inputs.values()))
    renamed = replace(
        decode, name=evil, inputs={f"in{evil}": tensor}, outputs={}, operations={evil: 1}
    )
    text = render_inspection(
        replace(
            inspection,
            path=Path(evil),
            members=(Member(evil, 0, 1),),
            signatures=(renamed,),
            weights=(WeightStorage(evil, 1, 1, 1),),
            provenance={evil: 1},
        ),
        terminal=terminal,
    )
    shown = "\ufffd]0;x\ufffd\ufffd2J[bold]\ufffd"

    # Rich's own bold letters are all there is.
    plain = re.sub(r"\x1b\[\d*m", "", text) if terminal else text
    assert [c for c in plain if not c.isprintable() and c != "\n"] == []
    assert text.count(shown) == 7


def test_provenance_is_listed_by_name(demo_task: Path) -> None:
    inspection = replace(
        inspect_bundle(demo_task, sha256=False), provenance={"recipe": "none", "inputs": {}}
    )

    assert render_inspection(inspection, terminal=False).endswith("provenance: inputs, recipe\n")


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.0123, "0.01"), (9.99, "9.99"), (10.0, "10.0"), (99.96, "100.0"), (1234.5, "1234")],
)
def test_numbers_keep_three_digits(value: float, text: str) -> None:
    assert number(value) == text
