"""From a finished metric to the backends: the one way that every source takes.

`Sinks` are the backends of a snapshot, told apart once into those with a queue and those written to directly. What a
backend raises stops at its guard; what a direct backend measures about itself is not written again.
"""

from __future__ import annotations

import threading
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

from time_execution.backends.base import QueuedBackend, plain_writer, single_sender
from time_execution.guard import Step, faults
from time_execution.hooks.chain import label_of
from time_execution.settings import Snapshot, current
from time_execution.types import NAME, Metric

if TYPE_CHECKING:
    from time_execution.delivery.channel import Channel

IN_HOOKS, IN_BACKENDS = "in hooks", "in backends"
inside_task: ContextVar[bool] = ContextVar("time_execution_inside", default=False)
"""Whether an asynchronous hook awaits what runs now; for all else, `Place.within` says it."""


class Place:
    """Where in the pipeline a thread is, so that the pipeline does not measure itself without end.

    Attributes:
        within: `IN_HOOKS`, `IN_BACKENDS`, or None while the application's own code runs.
    """

    __slots__ = ("within",)

    def __init__(self) -> None:
        self.within: str | None = None


class _ThisThread(threading.local):
    """Keeps a place for each thread: one look-up a call, a third of what setting a context variable costs."""

    def __init__(self) -> None:
        self.place = Place()


this_thread = _ThisThread()


class Sinks:
    """The backends of a snapshot, ready to be called. Immutable and thread-safe.

    Attributes:
        channels: The queues of the `ThreadedBackend` instances.
        writers: Each direct backend that has a plain ``write`` and no more: how to hand it any metric; the ``write``
            itself; and the field that bars ``write(**metric)``, for which a metric needs a ``name``, too.
        has_others: Whether there are backends beside the writers.
        has_direct: Whether there is any backend that the caller itself writes to.
    """

    __slots__ = ("_batching", "_queued", "channels", "has_direct", "has_others", "writers")

    def __init__(self, backends: tuple[Any, ...], *, raises: bool = False) -> None:
        self._queued = tuple(backend for backend in backends if isinstance(backend, QueuedBackend))
        self.channels: tuple[Channel, ...] = tuple(backend.channel for backend in self._queued)
        direct = [backend for backend in backends if not isinstance(backend, QueuedBackend)]
        self.has_direct = bool(direct)
        writers, batching = [], []
        for backend in direct:
            plain = plain_writer(backend)
            call = single_sender(backend) if plain is None else plain.send
            step = Step(call, kind="backend", label=label_of(backend), raises=raises)
            if plain is None:
                batching.append(step)
            else:
                writers.append((step, plain.write, plain.taken if plain.by_name else NAME))
        self.writers = tuple(writers)
        self._batching = tuple(batching)
        self.has_others = bool(self._queued or batching)

    def put(self, metric: dict[str, Any]) -> None:
        """Hand a metric to each backend; one that fails is counted and keeps no other from it."""
        place = this_thread.place
        if self.has_direct and place.within is IN_BACKENDS:
            faults.count("backend", str(metric.get(NAME)), "reentrant")
            return
        before, place.within = place.within, IN_HOOKS
        try:
            self.put_inside(metric, place)
        finally:
            place.within = before

    def put_inside(self, metric: dict[str, Any], place: Place) -> None:
        """Do what `put` does for a caller that has set the thread's place, and will set it back."""
        self.put_others(metric, place)
        for step, _, _ in self.writers:
            step.attempt(metric)

    def put_others(self, metric: dict[str, Any], place: Place) -> None:
        """Hand a metric to all but the writers."""
        for backend in self._queued:
            backend.enqueue(metric)
        place.within = IN_BACKENDS
        for step in self._batching:
            step.attempt(metric)


def sinks_of(snapshot: Snapshot) -> Sinks:
    """Return the sinks of a snapshot; made once for each."""
    sinks: Sinks | None = snapshot.sinks
    if sinks is None:
        sinks = snapshot.sinks = Sinks(snapshot.values.backends, raises=snapshot.values.raise_errors)
    return sinks


def emit(metric: Metric) -> None:
    """Hand a finished metric to the backends in force here; what sources other than the decorator call.

    Never raises what a backend raises, unless ``settings.raise_errors`` is set.

    Args:
        metric: Not changed and not kept.
    """
    snapshot = current()
    if snapshot.values.enabled:
        sinks_of(snapshot).put(metric.copy())


def write_metric(name: str, **fields: Any) -> None:
    """Write a metric by hand: no field is added, no hook runs.

    A backend that is written to directly gets exactly these fields; a queue and our own stores add ``timestamp`` when
    it is absent. Never raises what a backend raises.

    Args:
        name: The series.
        **fields: The rest of the document; ``value`` is the number that stores plot.

    Example:
        >>> write_metric("cpu.load.1m", value=0.25)
    """
    emit(Metric({NAME: name, **fields}, kind="value"))
