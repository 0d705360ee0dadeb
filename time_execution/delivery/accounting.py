"""The counters of one delivery and the equations that bind them.

``offered == accepted + sum(rejected)`` and ``accepted == delivered + sum(dropped) + pending``, at any instant. Counters
change under the channel's lock only; what the calling threads append without a lock is derived, never counted twice.
"""

from __future__ import annotations

from collections import Counter

_MAX_REASONS = 50
_OTHER = "other"


class Ledger:
    """What became of the metrics that were offered. Not thread-safe: the channel's lock guards it.

    Attributes:
        taken: Metrics that have left the queue, to wherever.
        adopted: Rows taken over from the spool of a process that is gone.
        delivered: Metrics that the backend confirmed.
        retries: Attempts to send that repeated an earlier one.
        retried: Metrics sent again, counted each time.
        rejected: Reason -> metrics never accepted.
        dropped: Reason -> metrics accepted and then given up.
        duplicates: Delivered metrics that the store knew already, from an attempt whose answer was lost.
        dead_letters: Metrics written to the dead-letter file; they also count in `dropped`.
        worker_restarts: Workers that died and were replaced.
        last_error: The latest failure: its class name, and its words where those are safe to show; or None.
    """

    __slots__ = (
        "adopted",
        "dead_letters",
        "delivered",
        "dropped",
        "duplicates",
        "last_error",
        "rejected",
        "retried",
        "retries",
        "taken",
        "worker_restarts",
    )

    def __init__(self) -> None:
        self.taken = 0
        self.adopted = 0
        self.delivered = 0
        self.retries = 0
        self.retried = 0
        self.rejected: Counter[str] = Counter()
        self.dropped: Counter[str] = Counter()
        self.duplicates = 0
        self.dead_letters = 0
        self.worker_restarts = 0
        self.last_error: str | None = None

    def drop(self, reason: str, count: int = 1) -> None:
        """Count metrics given up; past a bound of distinct reasons they share one, so that a server cannot grow it."""
        if count:
            known = reason in self.dropped or len(self.dropped) < _MAX_REASONS
            self.dropped[reason if known else _OTHER] += count

    def reject(self, reason: str) -> None:
        """Count a metric that was not accepted."""
        self.rejected[reason] += 1
