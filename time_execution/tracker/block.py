"""The context manager behind ``tracker.timer``."""

from __future__ import annotations

from time import perf_counter_ns as clock
from typing import TYPE_CHECKING

from time_execution.settings import live
from time_execution.tracker.line import LATENCY, MANY, Line
from time_execution.tracker.tracked import Run

if TYPE_CHECKING:
    from types import TracebackType

    from typing_extensions import Self

    from time_execution.tracker.tracked import Tracked


class TimedBlock:
    """Times the code of a ``with`` or ``async with`` statement; hooks run as for a function without arguments.

    Not to be shared between threads or tasks; may be used again after it was left.

    Attributes:
        tracked: The name, and what goes with it.
    """

    __slots__ = ("_line", "_run", "_started", "tracked")
    _line: Line | None
    _run: Run | None
    _started: int
    tracked: Tracked

    @property
    def name(self) -> str:
        """The name in the line."""
        return self.tracked.label

    def __enter__(self) -> Self:
        """Start the clock."""
        tracked = self.tracked
        if tracked.idle != live.version:
            self._line, self._run = None, Run(tracked, (self, (), {}))
            return self
        line = self._line = tracked.recorder.get()
        if line is None or not line.is_open:
            self._line = self._run = None
            tracked.recorder.warn_outside(tracked.label)
        self._started = clock()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Stop the clock and tell the line; an exception passes."""
        ended = clock()
        line = self._line
        if line is None:
            if self._run is not None:
                self._run.end(exception=exc)
            return
        tracked, elapsed = self.tracked, ended - self._started
        if line.is_open and len(line) < MANY:  # what `Line.add` would do
            line.append((tracked.key, elapsed, LATENCY))
        else:
            tracked.recorder.add(line, tracked.label, tracked.key, elapsed)

    async def __aenter__(self) -> Self:
        """Start the clock."""
        if self.tracked.idle == live.version:
            return self.__enter__()
        self._line, self._run = None, Run(self.tracked, (self, (), {}), awaits=True)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Stop the clock and tell the line, awaiting asynchronous hooks; an exception passes."""
        if self._line is None and self._run is not None:
            await self._run.end_async(exception=exc)
        else:
            self.__exit__(kind, exc, traceback)

    def __repr__(self) -> str:
        """Show the name."""
        return f"{type(self).__name__}({self.name!r})"
