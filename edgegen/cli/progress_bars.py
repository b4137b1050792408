"""Progress drawn with rich on stderr; what is finished disappears."""

from __future__ import annotations

from types import TracebackType

from rich.console import Console
from rich.progress import (
    BarColumn,
    DownloadColumn,
    MofNCompleteColumn,
    Progress,
    SpinnerColumn,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
)
from rich.table import Column

from edgegen.progress import Advance


class ProgressBars:
    """A `Reporter` that draws one bar per open stage."""

    def __init__(self) -> None:
        console = Console(stderr=True)
        columns = (SpinnerColumn(), TextColumn("{task.description}"), BarColumn())
        self._bytes = Progress(
            *columns, DownloadColumn(), TimeElapsedColumn(), console=console, transient=True
        )
        self._things = Progress(
            *columns,
            MofNCompleteColumn(table_column=Column(no_wrap=True)),
            TimeElapsedColumn(),
            console=console,
            transient=True,
        )
        self._open: dict[str, tuple[Progress, TaskID]] = {}

    def __enter__(self) -> ProgressBars:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for name in list(self._open):
            self.finish(name)

    def start(self, name: str, total: int | None, unit: str) -> Advance:
        """Draw a bar, or a spinner where the total is unknown."""
        bars = self._bytes if unit == "B" else self._things
        # rich allows one live display at a time: stop the other kind while this one draws.
        other = self._things if bars is self._bytes else self._bytes
        other.stop()
        bars.start()
        task = bars.add_task(name, total=total)
        self._open[name] = (bars, task)
        return lambda amount: bars.advance(task, amount)

    def finish(self, name: str) -> None:
        """Remove the bar of that stage."""
        bars, task = self._open.pop(name)
        bars.remove_task(task)
        if not bars.tasks:
            bars.stop()
