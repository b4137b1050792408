"""Progress of transfers on stderr: how much, how fast, how long still."""

from __future__ import annotations

from types import TracebackType

from rich.console import Console
from rich.progress import (
    BarColumn,
    DownloadColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeRemainingColumn,
    TransferSpeedColumn,
)

from edgegen.progress import Advance
from edgegen.report.tables import printable


class TransferBars:
    """A `Reporter` that draws one bar per transfer; several may run at once."""

    def __init__(self) -> None:
        self._progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            DownloadColumn(binary_units=True),
            TransferSpeedColumn(),
            TimeRemainingColumn(),
            console=Console(stderr=True),
            transient=True,
        )
        self._open: dict[str, TaskID] = {}

    def __enter__(self) -> TransferBars:
        self._progress.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._progress.stop()

    def start(self, name: str, total: int | None, unit: str) -> Advance:
        """Draw a bar."""
        task = self._open[name] = self._progress.add_task(printable(name), total=total)
        return lambda amount: self._progress.advance(task, amount)

    def finish(self, name: str) -> None:
        """Remove the bar of that transfer."""
        self._progress.remove_task(self._open.pop(name))
