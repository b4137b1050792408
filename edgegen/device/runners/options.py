"""What a user may say to the runner of a device, beside what each run is asked for."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class RunnerOptions:
    """How to open a runner.

    Attributes:
        engine_dir: Folder of this machine with the engine's program and its libraries.
        app: Package of the app that measures, where it is another than edgegen's own.
        folder: Folder of the device for bundles and engines; by default one that suits it.
        python: Python of a board, with LiteRT-LM's package in it.
        cancel: Set from another thread, it ends what the runner waits for.
    """

    engine_dir: Path | None = None
    app: str | None = None
    folder: str | None = None
    python: str | None = None
    cancel: threading.Event | None = None
