"""Metrics that a backend does not take: a line tells of them, and those refused for good become dead letters."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING

from time_execution.types import Reject, Result, Retry

if TYPE_CHECKING:
    from time_execution.delivery.deadletter import DeadLetters
    from time_execution.delivery.entry import Entry
    from time_execution.quietlog import QuietLog

_MOST_REASONS = 3
_MOST_LETTERS = 60


class Refusals:
    """Deals with the results of one delivery that are not `Stored`; for its worker's thread.

    Args:
        letters: Where refused metrics go; None for nowhere.
        log: Where they are told.
        label: Names the backend in log lines.
    """

    def __init__(self, letters: DeadLetters | None, log: QuietLog, label: str) -> None:
        self._letters = letters
        self._log = log
        self._label = label

    @property
    def disk_error(self) -> str | None:
        """Why a dead letter was not written, the last time; or None."""
        return None if self._letters is None else self._letters.last_error

    def tell(self, results: Sequence[Result]) -> None:
        """Log what a backend answered instead of storing: how often and why, in its words for kinds of reasons."""
        for kind, outcome in ((Reject, self._outcome), (Retry, "to be sent again")):
            reasons = [result.reason for result in results if isinstance(result, kind)]
            if reasons:
                told = f"{len(reasons)} of {len(results)} metrics {outcome} ({_shown(reasons)})"
                self._log.tell(f"{self._label}.{kind.__name__}", f"{self._label}: {told}")

    def write(self, batch: Sequence[Entry], results: Sequence[Result]) -> int:
        """Write the refused metrics of a batch to the dead letters.

        Returns:
            How many of them the file took.
        """
        letters = self._letters
        refused = [(entry, result) for entry, result in zip(batch, results, strict=False) if isinstance(result, Reject)]
        if letters is None or not refused:
            return 0
        kept = sum(letters.append(entry.metric, result.reason, result.detail) for entry, result in refused)
        if kept < len(refused):
            trouble = f"{letters.path.name} did not take {len(refused) - kept} of {len(refused)} refused metrics"
            self._log.tell(f"{self._label}.letters", f"{self._label}: {trouble} ({letters.last_error or 'too large'})")
        return kept

    @property
    def _outcome(self) -> str:
        return "refused for good, " + ("and lost" if self._letters is None else f"see {self._letters.path.name}")


def _shown(reasons: Sequence[str]) -> str:
    """Return the distinct reasons, the most frequent first; a few, and cut, since a backend may say what it likes."""
    kinds = [kind for kind, _ in Counter(reasons).most_common()]
    more = [f"{len(kinds) - _MOST_REASONS} more"] if len(kinds) > _MOST_REASONS else []
    return ", ".join([ascii(kind[:_MOST_LETTERS])[1:-1] for kind in kinds[:_MOST_REASONS]] + more)
