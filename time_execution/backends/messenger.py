"""What backends that tell people have in common: few messages, and a summary of those that were held back."""

from __future__ import annotations

import contextlib
import os
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from time_execution.argument_check import check_timeouts
from time_execution.backends.base import BaseMetricsBackend
from time_execution.exceptions import (
    BackendError,
    BackendRejected,
    BackendThrottled,
    BackendTimeout,
    BackendUnavailable,
)
from time_execution.formats.notice import Notice, fingerprint_of, notice, summary_notice, title_of
from time_execution.formats.snapshot import snapshot_metric
from time_execution.notice_limit import NoticeLimit
from time_execution.quietlog import QuietLog
from time_execution.types import STORED, Metric, Reject, Result, Results

_PAUSE = 30.0
"""Seconds after a failure before a summary is tried again, where no server asked for a pause of its own."""


class MaybeSentError(BackendUnavailable):
    """A message was not confirmed, or not for everybody: somebody may have got it."""


class MessengerBackend(BaseMetricsBackend):
    """Base of backends that tell people of records: subclasses send a notice, and say what failed.

    A record counts as stored when its message was sent, or when it is held back: since one of its kind was told within
    the interval, or too many were. What was held back comes in a summary, which `write_many`, `idle` or `close` sends.
    Thread-safe (one sends at a time) and fork-safe: a child has held nothing back.

    Args:
        interval: Seconds in which one kind is told once.
        rate: How many messages an interval has, summaries aside.
        timeout: The longest wait for the server, in seconds.
        clock: Returns seconds, never going back; tests hand in their own.

    Raises:
        ConfigurationError: When an argument is wrong.
    """

    server: str = "the server"
    """How messages about trouble name it."""

    def __init__(
        self, *, interval: float, rate: int, timeout: float, clock: Callable[[], float] = time.monotonic
    ) -> None:
        check_timeouts(timeout=timeout)
        self._timeout = timeout
        self._clock = clock
        self._new_limit: Callable[[], NoticeLimit] = lambda: NoticeLimit(interval, rate, clock)
        self._log = QuietLog()
        self._begin()

    def _begin(self) -> None:
        """Set what changes as records come."""
        self._lock = threading.Lock()
        self._limit = self._new_limit()
        self._counts = {"sent": 0, "held_back": 0, "summed_up": 0}
        self._not_before = self._clock()
        self._process = os.getpid()  # last: another thread that sees it must not find the parent's lock

    def _send(self, told: Notice, key: str | None, timeout: float) -> None:  # noqa: ARG002 - for those that override it
        """Send a notice.

        Args:
            told: The notice.
            key: The same for each attempt to send it; None for a summary, and where there was no queue.
            timeout: The longest wait for each answer, in seconds.

        Raises:
            BackendRejected: When it will never be taken.
            MaybeSentError: When it is to be sent again though it may have been sent.
            BackendError: When it was not sent now.
        """
        raise TypeError(f"{type(self).__qualname__} must override _send()")

    def _release(self, timeout: float) -> None:
        """Let go of what the messages of one batch were sent with; does not raise."""

    def write_many(self, metrics: Sequence[Metric]) -> Results:
        """Tell what is to be told at once, and count the rest. Blocks for as long as the server takes.

        Raises:
            BackendError: What is to be done with the records after those that have a result.
        """
        results: list[Result] = []
        with self._exclusively():
            try:
                for metric in metrics:
                    results.append(self._tell(metric))  # noqa: PERF401 - what came before a failure counts
                with contextlib.suppress(BackendError):  # it was put back
                    self._sum_up()
            except BackendError as exc:
                trouble = exc
            else:
                return results
            finally:
                self._release(self._timeout)
        return _until(trouble, results)

    def idle(self) -> None:
        """Send the summary if one is due.

        Raises:
            BackendError: When that failed; it is tried again later.
        """
        if self._process == os.getpid() and self._lock.acquire(blocking=False):
            try:
                self._sum_up()
            finally:
                self._release(self._timeout)
                self._lock.release()

    def close(self, timeout: float | None = None) -> None:
        """Send the summary of all that was held back; idempotent. Where that fails, a line of the log has the number.

        Args:
            timeout: The longest wait, in seconds; None for the backend's own.
        """
        longest = self._timeout if timeout is None else min(timeout, self._timeout)
        with contextlib.suppress(BackendTimeout), self._exclusively(longest):
            try:
                if longest > 0:
                    self._sum_up(at_once=True, timeout=longest)
            except BackendError as exc:
                reason = f"{type(exc).__name__}: {exc}"
            else:
                reason = "no time was left"
            finally:
                self._release(longest)
            if self._limit.suppressed:
                name = type(self).__name__
                self._log.tell("close", f"{name}: records in no summary: {self._limit.suppressed} ({reason})")

    def after_fork(self) -> None:
        """Start anew in a child: what was held back is the parent's to tell."""
        if self._process != os.getpid():
            self._log.after_fork()
            self._begin()

    def stats(self) -> dict[str, Any]:
        """Return ``sent`` (messages), ``held_back`` (records so far), and ``summed_up`` (those told in summaries)."""
        return dict(self._counts)

    @contextlib.contextmanager
    def _exclusively(self, longest: float | None = None) -> Iterator[None]:
        self.after_fork()
        if not self._lock.acquire(timeout=2 * self._timeout if longest is None else max(0.0, longest)):
            raise BackendTimeout(f"{self.server}: another thread is still sending")
        try:
            yield
        finally:
            self._lock.release()

    def _tell(self, metric: Metric) -> Result:
        """Send a record or hold it back.

        Raises:
            BackendError: When it was to be sent, and was not.
        """
        if metric.id is None:  # it comes from no queue, and may hold anything
            metric = snapshot_metric(metric)[0]
        limit, fingerprint = self._limit, fingerprint_of(metric)
        if not limit.admit(fingerprint, title_of(metric) if limit.needs_title(fingerprint) else ""):
            self._counts["held_back"] += 1
            return STORED
        try:
            self._send(notice(metric), metric.id, self._timeout)
        except BackendRejected as exc:  # as would be the next one of its kind, which waits for its turn
            return Reject("refused", str(exc))
        except BackendError as exc:
            limit.withdraw(fingerprint, is_doubtful=isinstance(exc, MaybeSentError))
            self._pause(exc)
            raise
        self._counts["sent"] += 1
        self._not_before = self._clock()
        return STORED

    def _sum_up(self, *, at_once: bool = False, timeout: float | None = None) -> None:
        """Send the summary if one is due.

        Raises:
            BackendError: When it was not sent, and put back.
        """
        now = self._clock()
        summaries = [] if now < self._not_before and not at_once else self._limit.due(at_once=at_once)
        if not summaries:
            return
        try:
            self._send(summary_notice(summaries, now=now), None, self._timeout if timeout is None else timeout)
        except BackendError as exc:
            # One that is refused is not sent again and again.
            is_doubtful = isinstance(exc, (MaybeSentError, BackendRejected))
            self._limit.put_back(summaries, is_doubtful=is_doubtful)
            self._pause(exc)
            raise
        self._counts["sent"] += 1
        self._counts["summed_up"] += sum(summary.suppressed for summary in summaries)

    def _pause(self, exc: BackendError) -> None:
        asked = exc.retry_after if isinstance(exc, BackendThrottled) else None
        self._not_before = self._clock() + (asked or _PAUSE)


def _until(trouble: BackendError, results: list[Result]) -> Iterator[Result]:
    """Yield results, and raise for the metrics after them."""
    yield from results
    raise trouble
