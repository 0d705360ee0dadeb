"""What a tracker's wrappers and blocks share: the line that is open in a context, and the output it goes to."""

from __future__ import annotations

from collections.abc import Callable
from contextvars import ContextVar, Token
from typing import Any

from time_execution import config
from time_execution.forking import on_fork
from time_execution.guard import Step, Untouched, faults, label_of
from time_execution.settings import current
from time_execution.signature import shape_of
from time_execution.tracker.line import Line, turn
from time_execution.tracker.misuse import Misuse


class Recorder:
    """Keeps the open line of each context, and hands it to the output when its entry point ends. Thread-safe.

    Args:
        output: Called with the text of a line.

    Attributes:
        enter: Makes a line that of this context; returns a token.
        leave: Undoes that, by the token.
        get: Returns the line of this context, or None.
        label: What the output is called in counters and log lines.

    Raises:
        ConfigurationError: When the output cannot be called, or returns before it has done anything.
    """

    __slots__ = ("_call", "_misuse", "enter", "get", "label", "leave", "output")

    def __init__(self, output: Callable[[str], object]) -> None:
        given: object = output
        is_right = callable(given) and shape_of(given) == "function"
        config.expect("a function that takes a text", given, where="output", is_right=is_right)
        self.output = output
        self._call = _print if output is print else output
        self.label = label_of(output)
        self._misuse = Misuse()
        variable: ContextVar[Line | None] = ContextVar("time_execution_tracker", default=None)
        self.enter, self.leave, self.get = variable.set, variable.reset, variable.get
        on_fork(turn.after_fork)

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle the output; lines are open in this process only."""
        return Recorder, (self.output,)

    def line_for(self, name: str) -> Line | None:
        """Return the open line of this context; None, with a warning, where there is none."""
        line = self.get()
        if line is not None and line.is_open:
            return line
        self.warn_outside(name)
        return None

    def warn_outside(self, name: str) -> None:
        """Warn that something is used where no entry point is open."""
        self._misuse.tell(
            f"{name!r} is used outside of an entry point, so no line shows it: "
            "call it from a function that is decorated with the tracker itself"
        )

    def add(self, line: Line, name: str, key: str, elapsed: int) -> None:
        """Add a latency to a line; a warning where the entry point has ended meanwhile."""
        if not line.add(key, elapsed):
            self._misuse.tell(
                f"{name!r} ended later than the entry point that it was started in, so no line shows it: "
                "have the entry point wait for what it starts"
            )

    def end(self, line: Line, token: Token[Line | None], key: str, elapsed: int) -> None:
        """Close a line and hand it to the output; what that raises is counted and logged.

        Args:
            line: Of the entry point that has ended.
            token: From `enter`.
            key: The entry point's name as JSON.
            elapsed: How long it took, in nanoseconds.
        """
        line.is_speaking = True  # and stays in its place, so that an output that calls an entry point is noticed
        line.is_open = False
        try:
            outer = token.old_value
            if type(outer) is Line and outer.is_speaking:
                faults.count("hook", self.label, "reentrant")
            else:
                self._call(line.text(key, elapsed))
        except Exception as exc:  # noqa: BLE001 - answers for others' code, as `guard.Step` does; that would cost a call
            self._fail(exc)
        finally:
            line.is_speaking = False
            self.step_out(token)

    def end_failed(self, line: Line, token: Token[Line | None], key: str, elapsed: int, exc: BaseException) -> None:
        """Do what `end` does for an entry point that raised, whose exception stays as it is."""
        with Untouched(exc):
            self.end(line, token, key, elapsed)

    def step_out(self, token: Token[Line | None]) -> None:
        """Give a context back the line that it had before."""
        try:  # not `contextlib.suppress`, which would show in what a line costs
            self.leave(token)
        except ValueError:
            return  # a coroutine that was thrown away is closed in another context, which has no line of ours

    def _fail(self, exc: Exception) -> None:
        raises = current().values.raise_errors
        Step(self.output, kind="hook", label=self.label, raises=raises).fail(exc)


def _print(text: str) -> None:
    """Print a line in one write: the end of it by itself could fall behind another thread's line."""
    print(f"{text}\n", end="")  # noqa: T201 - the default output
