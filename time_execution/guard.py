"""Keeps what hooks and backends raise away from the measured call, and counts it.

The call path holds no ``except Exception`` but the one that a `Guard` stands for: ``with guard: hook(...)``.
"""

from __future__ import annotations

import threading
from collections import Counter
from typing import TYPE_CHECKING, Literal

from time_execution.quietlog import QuietLog

if TYPE_CHECKING:
    from types import TracebackType

    from typing_extensions import Self

_MAX_KINDS = 1000


class Faults:
    """Counts what went wrong on the call path, by who and what; thread-safe, and bounded in memory."""

    def __init__(self) -> None:
        self.log = QuietLog()
        self._lock = threading.RLock()
        self._counts: Counter[tuple[str, str, str]] = Counter()

    def count(self, kind: str, label: str, error: str) -> None:
        """Count one fault.

        Args:
            kind: ``hook`` or ``backend``.
            label: Which of them.
            error: The exception's class name, or what happened.
        """
        key = (kind, label, error)
        with self._lock:
            if key not in self._counts and len(self._counts) >= _MAX_KINDS:
                key = (kind, "other", "other")
            self._counts[key] += 1

    def as_dict(self) -> dict[str, dict[str, int]]:
        """Return ``{"hook": {"label: error": count}, "backend": {…}}``."""
        found: dict[str, dict[str, int]] = {"hook": {}, "backend": {}}
        with self._lock:
            for (kind, label, error), count in self._counts.items():
                found.setdefault(kind, {})[f"{label}: {error}"] = count
        return found

    def clear(self) -> None:
        """Set all counts to zero."""
        with self._lock:
            self._counts.clear()

    def after_fork(self) -> None:
        """Start from zero in a forked child, with locks of its own."""
        self.__init__()  # type: ignore[misc]


faults = Faults()


class Guard:
    """A context manager that swallows an `Exception`, counts it and logs it once a window; reusable and thread-safe.

    What is no `Exception` passes: ``KeyboardInterrupt``, ``SystemExit``, ``CancelledError``, ``GeneratorExit``.

    Attributes:
        last: Class name of the exception swallowed last.
    """

    __slots__ = ("_kind", "_label", "_raise_errors", "last")

    def __init__(self, kind: Literal["hook", "backend"], label: str, *, raise_errors: bool = False) -> None:
        self._kind = kind
        self._label = label
        self._raise_errors = raise_errors
        self.last = ""

    def __enter__(self) -> Self:
        """Return the guard."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> bool:
        """Swallow an exception unless ``settings.raise_errors`` is set."""
        if kind is None or not issubclass(kind, Exception):
            return False
        self.last = kind.__name__
        faults.count(self._kind, self._label, self.last)
        faults.log.tell(
            f"{self._kind}.{self._label}.{self.last}", f"{self._kind} {self._label} raised {self.last}; it is skipped"
        )
        return not self._raise_errors
