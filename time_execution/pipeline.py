"""From a finished metric to the backends: the one way that every source takes.

`Sinks` are the backends of a snapshot, told apart once into those with a queue and those written to directly. What a
backend raises stops at its guard; what a direct backend measures about itself is not written again.
"""

from __future__ import annotations

import threading
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

from time_execution.backends.base import QueuedBackend, plain_writer, single_sender
from time_execution.guard import Step, faults, label_of
from time_execution.settings import Snapshot, current
from time_execution.types import CORE_FIELDS, NAME, Metric

if TYPE_CHECKING:
    from collections.abc import Callable

    from time_execution.delivery.channel import Channel

IN_HOOKS, IN_BACKENDS = "in hooks", "in backends"


class AsyncHooks:
    """The asynchronous hooks of one call; true while they are awaited, also to a task that they started."""

    __slots__ = ("ended",)

    def __init__(self) -> None:
        self.ended = False

    def __bool__(self) -> bool:
        """Whether they have not ended."""
        return not self.ended


inside_task: ContextVar[AsyncHooks | None] = ContextVar("time_execution_inside", default=None)
"""The asynchronous hooks that await what runs now; for all else, `Place.within` says it."""


def awaiting_hooks() -> AsyncHooks | None:
    """Return the asynchronous hooks that await what runs now, if any."""
    return inside_task.get()


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

    def __reduce__(self) -> str:
        """Be found by name, where a measured function is loaded that cloudpickle pickled whole."""
        return "this_thread"


this_thread = _ThisThread()


class Outlet(Step):
    """A backend as the pipeline calls it: guarded, and with the next one at hand. Immutable and thread-safe.

    Attributes:
        call: Hands it any metric.
        write: The ``write`` of a backend that has nothing better; else None. It takes a metric's fields by keyword, if
            there is a ``name`` among them and none called as `taken` says.
        taken: The name that the method's own ``self`` takes up.
    """

    __slots__ = ("taken", "write")

    def __init__(self, backend: Any, *, raises: bool, following: Outlet | None) -> None:
        self.write: Callable[..., None] | None = None
        self.taken: str | None = None
        call = backend.enqueue if isinstance(backend, QueuedBackend) else self._sender(backend)
        super().__init__(call, kind="backend", label=label_of(backend), raises=raises, following=following)

    def _sender(self, backend: Any) -> Callable[[dict[str, Any]], None]:
        plain = plain_writer(backend)
        if plain is None:
            return single_sender(backend)
        if plain.by_name and plain.taken not in CORE_FIELDS:
            self.write, self.taken = plain.write, plain.taken
        return plain.send


class Sinks:
    """The backends of a snapshot, ready to be called. Immutable and thread-safe.

    Attributes:
        channels: The queues of the `ThreadedBackend` instances.
        first: The first backend, which leads to the others; or None.
        has_direct: Whether there is any backend that the caller itself writes to.
    """

    __slots__ = ("channels", "first", "has_direct")

    def __init__(self, backends: tuple[Any, ...], *, raises: bool = False) -> None:
        self.channels: tuple[Channel, ...] = tuple(
            backend.channel for backend in backends if isinstance(backend, QueuedBackend)
        )
        self.has_direct = len(self.channels) < len(backends)
        self.first: Outlet | None = None
        for backend in reversed(backends):
            self.first = Outlet(backend, raises=raises, following=self.first)

    def put(self, metric: dict[str, Any]) -> None:
        """Hand a metric to each backend; one that fails is counted and keeps no other from it."""
        place = this_thread.place
        if self.has_direct and place.within is IN_BACKENDS:
            faults.count("backend", str(metric.get(NAME)), "reentrant")
            return
        before = place.within
        try:
            self.put_inside(metric, place)
        finally:
            place.within = before

    def put_inside(self, metric: dict[str, Any], place: Place) -> None:
        """Do what `put` does for a caller that will set the thread's place back."""
        place.within = IN_BACKENDS
        outlet = self.first
        while outlet is not None:
            outlet.attempt(metric)
            outlet = outlet.following


def sinks_of(snapshot: Snapshot, *own: Any) -> Sinks:
    """Return the sinks of a snapshot, made once for each; or those of a source that has backends of its own besides."""
    if own:
        return Sinks((*snapshot.values.backends, *own), raises=snapshot.values.raise_errors)
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
        sinks_of(snapshot).put(metric)


def write_metric(name: str, **fields: Any) -> None:
    """Write a metric by hand: no field is added, no hook runs, and it is neither sampled nor filtered by its name.

    A backend that is written to directly gets exactly these fields; a queue and our own stores add ``timestamp`` when
    it is absent. Never raises what a backend raises. `emit` writes a `Metric` with a kind and a unit.

    Args:
        name: The series.
        **fields: The rest of the document; ``value`` is the number that stores plot.

    Example:
        >>> write_metric("cpu.load.1m", value=0.25)
    """
    metric = Metric.__new__(Metric)  # its constructor would cost half as much as all the rest
    metric[NAME] = name
    metric.update(fields)
    metric.kind = "value"
    emit(metric)
