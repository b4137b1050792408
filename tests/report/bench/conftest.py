"""Benchmarks' folders for all tests of reports."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from edgegen.report.bench import Report, report_of
from tests.report.bench.examples import BUNDLE, runs, write_run


@pytest.fixture(scope="session")
def folders(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A baseline, and a benchmark of a new bundle that is 9 % faster."""
    base = tmp_path_factory.mktemp("benchmarks")
    old = write_run(base / "old", runs(seed=7, failures=False, run_id="20261120T090000Z-11aa"))
    new = runs(seed=1, speed=1.09, bundle=replace(BUNDLE, sha256="6e" * 32))
    return old, write_run(base / "new", new)


@pytest.fixture(scope="session")
def report(folders: tuple[Path, Path]) -> Report:
    """The new benchmark beside the baseline."""
    old, new = folders
    return report_of([new], baseline=old)
