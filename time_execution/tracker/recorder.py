"""What a tracker's wrappers and blocks share: the line that is open in a context, and the output it goes to."""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextvars import ContextVar, Token
from typing import Any

from time_execution import config
from time_execution.forking import on_fork
from time_execution.guard import Step, Untouched, faults, label_of
from time_execution.settings import current
from time_execution.signature import shape_of
from time_execution.tracker.line import LATENCY, Item, Line, turn
from time_execution.tracker.misuse import Misuse

_MISSING = Token.MISSING


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
        advice = "call it from a function that is decorated with the tracker itself"
        if threading.current_thread() is not threading.main_thread():
            advice += ", and in a thread that such a function starts, by contextvars.copy_context().run"
        self._misuse.tell(f"{name!r} is used outside of an entry point, so no line shows it: {advice}")

    def add(self, line: Line, name: str, key: str, elapsed: int) -> None:
        """Add a latency to a line; a warning where the entry point has ended meanwhile."""
        if not line.add((key, elapsed, LATENCY)):
            self._misuse.tell(
                f"{name!r} ended later than the entry point that it was started in, so no line shows it: "
                "have the entry point wait for what it starts"
            )

    def note(self, item: Item) -> None:
        """Add what was noted by hand to the line of this context; a warning where none is open."""
        line = self.get()
        if line is None or not line.add(item):
            self.warn_outside(item[0])

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
            if outer is not None and outer is not _MISSING and outer.is_speaking:
                faults.count("hook", self.label, "reentrant")
            else:
                self._call(line.text(key, elapsed))
            line.is_speaking = False
        except BaseException as exc:  # noqa: BLE001 - what is no Exception, `_fail` raises again
            self._fail(exc, line, token)
            return
        try:  # not `step_out`, whose call would show in what a line costs
            self.leave(token)
        except ValueError:
            return  # as there

    def end_failed(self, line: Line, token: Token[Line | None], key: str, elapsed: int, exc: BaseException) -> None:
        """Do what `end` does for an entry point that raised, whose exception stays as it is."""
        with Untouched(exc):
            self.end(line, token, key, elapsed)

    def step_out(self, token: Token[Line | None]) -> None:
        """Give a context back the line that it had before."""
        try:
            self.leave(token)
        except ValueError:
            return  # a coroutine that was thrown away is closed in another context, which has no line of ours

    def _fail(self, exc: BaseException, line: Line, token: Token[Line | None]) -> None:
        """Step out of a line that the output did not take, and count it.

        Raises:
            BaseException: What is no Exception, such as an interrupt; with `raise_errors` the others, too.
        """
        line.is_speaking = False
        self.step_out(token)
        if not isinstance(exc, Exception):
            raise exc
        raises = current().values.raise_errors
        Step(self.output, kind="hook", label=self.label, raises=raises, told="output").fail(exc)


def _print(text: str) -> None:
    """Print a line in one write: the end of it by itself could fall behind another thread's line."""
    print(f"{text}\n", end="")  # noqa: T201 - the default output
