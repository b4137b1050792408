"""A phone's double, and engines for it that are shell scripts."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from edgegen.bundle import open_bundle
from edgegen.bundle.contents import Bundle
from edgegen.device.bench.workload import Workload
from edgegen.device.runners import litert_lm
from edgegen.device.runners.interface import RunRequest
from edgegen.device.runners.options import RunnerOptions
from edgegen.device.testing import Adbd
from edgegen.device.transports.interface import Transport
from tests.device.doubles import reach_directly
from tests.device.runners.fakes import HELP, engine_folder

# What `logcat` does where a test does not say more.
QUIET_LOGCAT = 'case " $* " in *" -d "*) exit 0;; esac; exec sleep 600'


@dataclass
class Phone:
    """A double and the way to it.

    Attributes:
        double: The device.
        transport: The way.
        folder: The folder for bundles and engines, by this machine's name for it: what lies in
            pushed files is not translated.
    """

    double: Adbd
    transport: Transport
    folder: str

    def options(self, **more: Any) -> RunnerOptions:
        return RunnerOptions(folder=self.folder, **more)

    @property
    def work(self) -> Path:
        return Path(self.folder) / "bench"


@pytest.fixture
def phone(tmp_path: Path) -> Iterator[Callable[..., Phone]]:
    """Make a phone; options go to the double."""
    home = tmp_path / "home"
    home.mkdir()
    with ExitStack() as stack:

        def make(commands: dict[str, str] | None = None, **options: Any) -> Phone:
            root = tmp_path / "phone"
            root.mkdir()
            double = stack.enter_context(
                Adbd(root, commands={"logcat": QUIET_LOGCAT, **(commands or {})}, **options)
            )
            transport = stack.enter_context(reach_directly(double, home))
            return Phone(double, transport, f"{double.root}/data/local/tmp/edgegen")

        yield make


@pytest.fixture(scope="session")
def bundle(demo_task: Path) -> Bundle:
    return open_bundle(demo_task)


@pytest.fixture
def run(phone, bundle, tmp_path):
    """Run a script once as the engine, on a fresh phone; return the outcome."""

    def runs(body, *, help_text=HELP, name="litert_lm_advanced_main", device=None, **asked):
        here = device or phone()
        engines = engine_folder(tmp_path / "engines", body, help_text=help_text, name=name)
        asked = {"workload": Workload(16, 8), "timeout_s": 30.0, "sample_interval_s": 0.05, **asked}
        with litert_lm.open(here.transport, here.options(engine_dir=engines)) as runner:
            runner.prepare(bundle)
            return runner.run(RunRequest(bundle, **asked))

    return runs
