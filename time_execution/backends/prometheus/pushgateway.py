"""When metrics are pushed, and where to: for jobs that end before anybody scrapes them."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

from time_execution.backends.prometheus.exposition import push
from time_execution.exceptions import BackendError
from time_execution.quietlog import QuietLog


class Pushgateway:
    """Pushes what a registry holds, from time to time and at the end. Not thread-safe.

    What is pushed are totals, so a push that fails loses nothing as long as a later one succeeds.

    Args:
        url: The gateway's.
        job: The label ``job`` of the group.
        instance: The label ``instance`` of the group.
        login: User name and password; None for none.
        interval: The least pause between two pushes, in seconds.
        timeout: The longest wait for the gateway, in seconds: for connecting, and for each read.

    Attributes:
        failures: How many pushes failed.
    """

    def __init__(
        self, url: str, *, job: str, instance: str, login: tuple[str, str] | None, interval: float, timeout: float
    ) -> None:
        self._url = url
        self._job = job
        self._grouping_key: Mapping[str, str] = {"instance": instance}
        self._login = login
        self._interval = interval
        self._timeout = timeout
        self._log = QuietLog()
        self.after_fork()

    def after_fork(self) -> None:
        """Begin afresh in a forked child."""
        self.failures = 0
        self._is_due = False
        self._next_push = time.monotonic() + self._interval
        self._log.after_fork()

    def note(self) -> None:
        """Remember that there is something new to push."""
        self._is_due = True

    def push(self, registry: Any, timeout: float | None = None) -> None:
        """Push now.

        Raises:
            BackendUnavailable: When that failed; its class says how.
            BackendRejected: When the gateway will never take these totals.
        """
        self._next_push = time.monotonic() + self._interval
        self._is_due = False
        try:
            push(
                registry,
                self._url,
                self._job,
                grouping_key=self._grouping_key,
                login=self._login,
                timeout=self._timeout if timeout is None else min(self._timeout, max(timeout, 0.001)),
            )
        except Exception as exc:
            self._is_due = True
            self.failures += 1
            why = exc if isinstance(exc, BackendError) else type(exc).__name__
            self._log.tell("push", f"Prometheus metrics were not pushed: {why}; the next push tries them again")
            raise

    def push_if_new(self, registry: Any, timeout: float | None = None) -> bool:
        """Push what is new; False when that failed, which is counted and logged."""
        if not self._is_due:
            return True
        try:
            self.push(registry, timeout)
        except BackendError:
            return False
        return True

    def push_if_due(self, registry: Any) -> None:
        """Push what is new once the pause is over."""
        if self._is_due and time.monotonic() >= self._next_push:
            self.push_if_new(registry)
