"""`ErrorCapture`: logs the exception of a stretch of code, with what it is about."""

from __future__ import annotations

import logging
import sys
from contextlib import suppress
from typing import TYPE_CHECKING, Any, TypeVar

from time_execution.argument_check import check_switches
from time_execution.decorator import decorate
from time_execution.logs.errors import ErrorScope, scope_in_force
from time_execution.logs.handled import HandledTarget, Handling, leave, scope_around
from time_execution.logs.line import Origin, write
from time_execution.naming import name_of

if TYPE_CHECKING:
    from types import TracebackType

    from typing_extensions import Self

F = TypeVar("F")


class ErrorCapture:
    """Log an exception that leaves a block of code, with its traceback, and let it pass or end there.

    For ``with`` and ``async with``; may be used again, within itself, and by several threads and tasks at once. As a
    decorator it does the same for each call. The line is of the level `ERROR`, so the
    exception is also an event of the pipeline, once: see `time_execution.logs.record_error`. What is no `Exception`,
    such as ``KeyboardInterrupt`` or ``CancelledError``, passes unlogged.

    Args:
        component: The field of that name, where given.
        user_id: The same.
        reraise: Let the exception pass; else the block just ends, and a decorated function returns None.
        **extra: Further fields; secrets in them are masked.

    Attributes:
        failed: Whether the block that was entered or left last ended by an exception.

    Raises:
        ConfigurationError: When `reraise` is neither true nor false.

    Example:
        >>> from time_execution.logs import configure, reset
        >>> configure(log_console=False, log_files=False)
        >>> with ErrorCapture("orders", user_id=42, reraise=False, order=7) as capture:
        ...     1 / 0
        >>> capture.failed
        True
        >>> reset()
    """

    def __init__(
        self, /, component: str | None = None, user_id: Any = None, *, reraise: bool = True, **extra: Any
    ) -> None:
        check_switches(**{"ErrorCapture: reraise": reraise})
        named = {"component": component, "user_id": user_id}
        self.reraise = reraise
        self.failed = False
        self._fields = {key: value for key, value in named.items() if value is not None} | extra
        # For each block that is open: the scope in force there, and the same if it was opened for this block.
        self._open: list[tuple[ErrorScope | None, ErrorScope | None]] = []

    def __enter__(self) -> Self:
        """Begin the block."""
        self.failed = False
        opened = scope_around()
        self._open.append((scope_in_force(), opened))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> bool:
        """Log an exception; returns whether it ends here."""
        return self._end(exc, sys._getframe(1))  # noqa: SLF001 - `logging` goes this way, too

    async def __aenter__(self) -> Self:
        """Begin the block."""
        return self.__enter__()

    async def __aexit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> bool:
        """Log an exception; returns whether it ends here."""
        return self._end(exc, sys._getframe(1))  # noqa: SLF001 - see above

    def _end(self, exc: BaseException | None, frame: Any) -> bool:
        opened = self._left()
        try:
            if exc is None or not isinstance(exc, Exception):
                return False
            self.failed = True
            origin = Origin(frame.f_code.co_filename, frame.f_lineno, frame.f_code.co_name)
            what = self._fields.get("component") or origin.function
            write(logging.ERROR, origin, "%s failed: %s", what, exc, exception=exc, fields=self._fields)
            return not self.reraise
        finally:
            leave(opened)

    def _left(self) -> ErrorScope | None:
        """Return the scope that was opened for the block that ends, which is one of this context if there is any."""
        here, blocks = scope_in_force(), self._open
        with suppress(IndexError, ValueError):  # it was never entered, or another thread was faster
            block = next((each for each in reversed(tuple(blocks)) if each[0] is here), None)
            if block is None:
                return blocks.pop()[1]
            blocks.remove(block)  # those that are equal are of the same scope
            return block[1]
        return None

    def __call__(self, func: F) -> F:
        """Return a form of a callable whose exceptions are logged with the same fields.

        Raises:
            TypeError: When it cannot be called.
        """
        handling = Handling(reraise=self.reraise, fields=self._fields)
        handled: F = decorate(func, lambda inner: HandledTarget(inner, name_of(inner), handling))
        return handled
