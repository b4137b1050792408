from __future__ import annotations

import functools
from pathlib import Path

import pytest

from tests.bundle.doctor.models import Made, convert
from tests.bundle.doctor.plants import Convert


@pytest.fixture(scope="session")
def converted(tmp_path_factory: pytest.TempPathFactory) -> Convert:
    """Small decoders, each converted when first asked for."""

    @functools.cache
    def convert_once(made: Made) -> Path:
        return convert(made, tmp_path_factory.mktemp("made"))

    return convert_once
