"""`ScriptedBackend`: a backend that fails when and how a test tells it to, and remembers what it stored."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from time_execution.backends.base import BaseMetricsBackend
from time_execution.exceptions import BackendUnavailable
from time_execution.types import STORED, Metric, Result, Results, Stored


@dataclass(frozen=True, slots=True)
class Hold:
    """A step that waits for an event, then stores the batch.

    Attributes:
        event: Set it to let the batch pass.
        timeout: The longest wait, in seconds; after it the batch fails, so that no test hangs.
    """

    event: threading.Event = field(default_factory=threading.Event)
    timeout: float = 10.0


@dataclass(frozen=True, slots=True)
class StoreThenRaise:
    """A step that stores the batch and then raises: the server did its work and its answer got lost."""

    exception: BaseException | type[BaseException]


Step: TypeAlias = (
    BaseException
    | type[BaseException]
    | Sequence[Result]
    | Hold
    | StoreThenRaise
    | Callable[[Sequence[Metric]], Results]
    | None
)


class ScriptedBackend(BaseMetricsBackend):
    """Answer each batch by the next step of a script.

    A step is None (store the batch), an exception (raise it), a list of results (one for each metric; those that say
    `Stored` are stored), a `Hold`, a `StoreThenRaise`, or a function of the batch that returns results. Attributes
    may be read from any thread while a worker writes.

    Args:
        script: The steps, in order.
        then: The step for every batch after the last.

    Attributes:
        stored: Every metric stored, in order; one that was stored twice is there twice.
        batches: Every batch handed in, in order, as lists of metrics.
        closed: How many times `close` was called.

    Example:
        >>> backend = ScriptedBackend([BackendUnavailable()])
        >>> backend.write("a", value=1)
        Traceback (most recent call last):
        time_execution.exceptions.BackendUnavailable
        >>> backend.write("b", value=2)
        >>> [metric["name"] for metric in backend.stored]
        ['b']
    """

    def __init__(self, script: Iterable[Step] = (), *, then: Step = None) -> None:
        self._script = iter(script)
        self._then = then
        self._changed = threading.Condition()
        self.stored: list[Metric] = []
        self.batches: list[list[Metric]] = []
        self.closed = 0

    @property
    def ids(self) -> list[str | None]:
        """The id of each metric stored, in order."""
        return [metric.id for metric in self.stored]

    def write_many(self, metrics: Sequence[Metric]) -> Results:
        """Do what the script says."""
        batch = [metric.copy() for metric in metrics]
        with self._changed:
            self.batches.append(batch)
            self._changed.notify_all()
            step: Any = next(self._script, self._then)
        return self._play(step, batch)

    def _play(self, step: Any, batch: list[Metric]) -> Results:
        if isinstance(step, BaseException) or (isinstance(step, type) and issubclass(step, BaseException)):
            raise step
        if isinstance(step, Hold) and not step.event.wait(step.timeout):
            raise BackendUnavailable("nobody set the event of a blocking step")
        if isinstance(step, StoreThenRaise):
            self._store(batch)
            raise step.exception
        results: list[Result] = [STORED] * len(batch)
        if callable(step):
            results = list(step(batch) or results)
        elif isinstance(step, Sequence):
            results = list(step)
        self._store([metric for metric, result in zip(batch, results, strict=False) if isinstance(result, Stored)])
        return results

    def _store(self, metrics: list[Metric]) -> None:
        with self._changed:
            self.stored.extend(metrics)
            self._changed.notify_all()

    def wait_for_stored(self, count: int, timeout: float = 10.0) -> bool:
        """Wait until so many metrics are stored; False when they are not within `timeout` seconds."""
        with self._changed:
            return self._changed.wait_for(lambda: len(self.stored) >= count, timeout)

    def wait_for_batches(self, count: int, timeout: float = 10.0) -> bool:
        """Wait until so many batches were handed in; False when they were not within `timeout` seconds."""
        with self._changed:
            return self._changed.wait_for(lambda: len(self.batches) >= count, timeout)

    def close(self, timeout: float | None = None) -> None:  # noqa: ARG002 - the signature every backend shares
        """Count the call."""
        self.closed += 1

    def after_fork(self) -> None:
        """Replace the lock, which another thread of the parent may have held."""
        self._changed = threading.Condition()
