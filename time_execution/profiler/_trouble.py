"""What goes wrong around profiled calls: counted for each profiler, logged once in a window, kept from the call."""

from __future__ import annotations

import logging
import threading
import weakref
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Literal

from time_execution.exceptions import ConfigurationError
from time_execution.forking import on_fork
from time_execution.guard import Failed, Faults, Step, faults
from time_execution.settings import current

if TYPE_CHECKING:
    from time_execution.profiler.types import LoggerLike

KINDS = ("instrument", "callback", "handler")
_AS_STEPS: dict[str, Literal["hook", "backend"]] = {"callback": "hook", "handler": "backend"}
# One lock for the changes of all profilers, which are few.
_changing = threading.RLock()
# Not a WeakSet: one cannot be looked through while another thread adds to it.
_counting: dict[int, weakref.ref[Faults]] = {}


class Trouble:
    """The counts of one profiler. Thread-safe and fork-safe.

    Attributes:
        logger: Where wrong values are told; None for this package's own logger.
    """

    def __init__(self) -> None:
        self.logger: LoggerLike | None = None
        self._counts = Faults()

    def count(self, kind: str, label: str, error: str) -> None:
        """Count one fault, here and for `time_execution.stats`."""
        key, known = id(self._counts), _counting
        if key not in known:
            known[key] = weakref.ref(self._counts, lambda _: known.pop(key, None))
            on_fork(_after_fork)
        self._counts.count(kind, label, error)

    def tell(self, kind: str, label: str, error: str, message: str, *, logger: LoggerLike | None = None) -> None:
        """Count one fault, and log it unless one like it was logged within the window.

        Args:
            kind: One of `KINDS`.
            label: What had it.
            error: What happened, in a few words.
            message: What to log.
            logger: Where, if not to this profiler's.
        """
        self.count(kind, label, error)
        faults.count(kind, label, error)
        through = self.logger if logger is None else logger
        self._counts.log.tell(f"{kind}.{label}.{error}", message, through=through)

    def as_dict(self) -> dict[str, dict[str, int]]:
        """Return ``{kind: {"label: error": count}}``, with every kind."""
        found = self._counts.as_dict()
        return {kind: found.get(kind, {}) for kind in KINDS}


class Guard(Step):
    """A callback or a handler, called so that what it raises stops here, is counted, and is logged once a window.

    As for hooks, what is no `Exception` passes, and so does what a signal handler raised.

    Args:
        call: What is called.
        kind: ``callback`` or ``handler``.
        label: Which of them.
        trouble: Where it is counted besides.
    """

    __slots__ = ("_trouble",)

    def __init__(self, call: Callable[..., Any], *, kind: str, label: str, trouble: Trouble) -> None:
        super().__init__(call, kind=_AS_STEPS[kind], label=label, raises=False, told=kind)
        self._trouble = trouble

    def fail(self, exc: Exception) -> Failed:
        """Count and log an exception, and return its name.

        Raises:
            Exception: The same one, when a signal handler raised it or ``settings.raise_errors`` is set.
        """
        self._trouble.count(self._told, self.label, type(exc).__name__)
        failed = super().fail(exc)
        if current().values.raise_errors:
            try:
                raise exc
            finally:
                del exc  # whose traceback now holds this frame
        return failed


def checked_logger(logger: Any) -> LoggerLike:
    """Return a logger that was given as such or by its name.

    Raises:
        ConfigurationError: When it is neither.
    """
    if isinstance(logger, str):
        return logging.getLogger(logger)
    if not all(callable(getattr(logger, name, None)) for name in ("log", "debug", "warning", "isEnabledFor")):
        raise ConfigurationError(f"logger must be a logger or its name, not {type(logger).__name__}")
    found: LoggerLike = logger
    return found


def changing() -> threading.RLock:
    """Return the lock under which profilers are changed."""
    on_fork(_after_fork)
    return _changing


def _after_fork() -> None:
    """Begin afresh in a forked child: counts at zero, and no lock that another thread of the parent held."""
    global _changing  # noqa: PLW0603 - one for all profilers
    _changing = threading.RLock()
    for counts in [reference() for reference in list(_counting.values())]:
        if counts is not None:
            counts.after_fork()
