"""Which notices people are told at once, and which are only counted for a summary: a state machine without I/O.

Knows neither records nor destinations; whoever sends notices asks it, under a lock of its own.
"""

from __future__ import annotations

import math
import time
from collections import deque
from collections.abc import Callable, Iterable
from typing import NamedTuple

from time_execution.argument_check import check_counts, check_seconds

OTHERS = "(others)"
"""The fingerprint and the title under which kinds beyond `max_kinds` are counted together."""

_MAX_KINDS = 1000


class Summary(NamedTuple):
    """How many notices of one kind were held back.

    Attributes:
        fingerprint: The kind.
        title: Of the first of them.
        suppressed: How many there were; at least 1.
        since: When the first of them came, by the clock of the limit, in seconds.
    """

    fingerprint: str
    title: str
    suppressed: int
    since: float


class NoticeLimit:
    """Admits one notice of a kind in an interval, and so many of all kinds together; counts the rest.

    Any stretch of time as long as the interval has at most `rate` admissions, at most one for each kind, and one round
    of summaries. Each notice that was held back is in exactly one summary, which is due when the interval of its kind
    ends, within one interval of its coming. Memory is bounded by `rate` and `max_kinds`. Not thread-safe.

    Args:
        interval: In seconds.
        rate: How many notices an interval may have.
        clock: Returns seconds, never going back.
        max_kinds: So many kinds are counted apart; further ones count as `OTHERS`.

    Raises:
        ConfigurationError: When `interval`, `rate` or `max_kinds` is wrong.

    Example:
        >>> limit = NoticeLimit(300.0, 10, clock=lambda: 0.0)
        >>> [limit.admit("boom", "It went boom") for _ in range(3)]
        [True, False, False]
        >>> limit.due()
        []
        >>> limit.due(at_once=True)
        [Summary(fingerprint='boom', title='It went boom', suppressed=2, since=0.0)]
    """

    def __init__(
        self,
        interval: float = 300.0,
        rate: int = 10,
        clock: Callable[[], float] = time.monotonic,
        *,
        max_kinds: int = _MAX_KINDS,
    ) -> None:
        check_seconds(interval=interval)
        check_counts(rate=rate, max_kinds=max_kinds)
        self.interval = interval
        self.rate = rate
        self._clock = clock
        self._max_kinds = max_kinds
        self._admitted: deque[tuple[float, str]] = deque()  # of the last interval, the oldest first
        self._told: dict[str, float] = {}  # the kinds among them that are not to come again
        self._held: dict[str, Summary] = {}
        self._due_at = math.inf
        self._summed_up = -math.inf

    @property
    def suppressed(self) -> int:
        """How many notices are held back, and in no summary as yet."""
        return sum(summary.suppressed for summary in self._held.values())

    def admit(self, fingerprint: str, title: str = "") -> bool:
        """Whether a notice of this kind may be sent now; if not, it is counted for a summary.

        Args:
            fingerprint: The kind.
            title: What a summary calls it.
        """
        now = self._clock()
        self._forget(now)
        if fingerprint not in self._told and len(self._admitted) < self.rate:
            self._admitted.append((now, fingerprint))
            self._told[fingerprint] = now
            return True
        self._due_at = min(self._due_at, self._told.get(fingerprint, now) + self.interval)
        self._hold(Summary(fingerprint, title, 1, now))
        return False

    def needs_title(self, fingerprint: str) -> bool:
        """Whether the title of a notice of this kind would show in a summary; not that of a second one."""
        return fingerprint not in self._held and len(self._held) < self._max_kinds

    def withdraw(self, fingerprint: str, *, is_doubtful: bool = False) -> None:
        """Take the admission of this kind back: its notice was not sent, and asks again.

        Args:
            fingerprint: The kind.
            is_doubtful: It may have been sent after all, so it counts among the `rate` of its interval.
        """
        now = self._told.pop(fingerprint, None)
        if now is not None and not is_doubtful:
            self._admitted.remove((now, fingerprint))

    def due(self, *, at_once: bool = False) -> list[Summary]:
        """Return the summaries that are due, those of the most notices first, and begin to count anew.

        Where the interval of one kind has ended, all kinds that were held back are summed up: one round in an interval.

        Args:
            at_once: Whether it has ended or not, as at the end of a program.
        """
        now = self._clock()
        if not at_once and now < max(self._due_at, self._summed_up + self.interval):
            return []
        found = sorted(self._held.values(), key=lambda summary: -summary.suppressed)
        self._held.clear()
        self._due_at = math.inf
        if found:
            self._summed_up = now
        return found

    def put_back(self, summaries: Iterable[Summary], *, is_doubtful: bool = False) -> None:
        """Hold back what `due` gave, since nobody was told; due again at once.

        Args:
            summaries: What it gave.
            is_doubtful: Somebody may have been told after all, so they are not due before another interval.
        """
        held, self._held = self._held, {}
        for summary in (*summaries, *held.values()):  # the earlier ones first: titles and times are theirs
            self._hold(summary)
        if not is_doubtful:
            self._summed_up = -math.inf
        self._due_at = self._clock()

    def _hold(self, summary: Summary) -> None:
        known = self._held.get(summary.fingerprint)
        if known is None and len(self._held) >= self._max_kinds:
            summary = summary._replace(fingerprint=OTHERS, title=OTHERS)
            known = self._held.get(OTHERS)
        if known is not None:
            summary = known._replace(suppressed=known.suppressed + summary.suppressed)
        self._held[summary.fingerprint] = summary

    def _forget(self, now: float) -> None:
        """Drop the admissions that are an interval ago."""
        while self._admitted and now - self._admitted[0][0] >= self.interval:
            moment, fingerprint = self._admitted.popleft()
            if self._told.get(fingerprint) == moment:
                del self._told[fingerprint]
