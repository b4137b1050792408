"""What happens when an engine that a test needs is not on this machine."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import NoReturn

import pytest

REQUIRE = "EDGEGEN_REQUIRE_ENGINES"


def engine_missing(reason: str) -> NoReturn:
    """Skip the running test, or fail it where every engine is meant to be installed.

    A skipped engine test on the build machine would look like a passed one for months.
    """
    if os.environ.get(REQUIRE) == "1":
        pytest.fail(f"{reason} ({REQUIRE}=1 forbids skipping)", pytrace=False)
    pytest.skip(reason)


def require_program(*names: str, install: str) -> Path:
    """Return the first program of `names` on PATH; skip or fail where there is none.

    Args:
        *names: What the program is called on different systems.
        install: What a user does to get it.
    """
    for name in names:
        found = shutil.which(name)
        if found:
            return Path(found)
    engine_missing(f"no {' or '.join(names)} on PATH: {install}")


def require_file(path: Path, install: str) -> Path:
    """Return `path`; skip or fail where it does not exist."""
    if not path.exists():
        engine_missing(f"no {path}: {install}")
    return path
