"""How `edgegen verify` ends."""

from __future__ import annotations

from pathlib import Path

import pytest

from edgegen.cli import main
from edgegen.convert import ExportSpec
from edgegen.ladder import Rung
from edgegen.verification import Verification

SPEC = ExportSpec((16, 32), 64)


def test_a_failed_rung_is_status_1(
    capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    failed = Verification(
        Path("hf"), None, "none", SPEC, "cpu", 9, (Rung("a > b", "failed", "apart"),)
    )
    monkeypatch.setattr("edgegen.verification.verify", lambda *a, **k: failed)
    assert main(["verify", "hf"]) == 1
    assert "1  a > b: apart\n" in capfd.readouterr().out
