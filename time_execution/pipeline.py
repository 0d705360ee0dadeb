"""From a finished metric to the backends: the one way that every source takes.

`Sinks` are the backends of a snapshot, told apart once into those with a queue and those written to directly. What a
backend raises stops at its guard; what a direct backend measures about itself is not written again.
"""

from __future__ import annotations

from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

from time_execution.backends.base import single_sender
from time_execution.backends.threaded import ThreadedBackend
from time_execution.guard import Guard, faults
from time_execution.hooks.chain import label_of
from time_execution.settings import Snapshot, current
from time_execution.types import NAME, Metric

if TYPE_CHECKING:
    from collections.abc import Callable

    from time_execution.delivery.channel import Channel

IDLE, IN_HOOKS, IN_BACKENDS = 0, 1, 2
inside: ContextVar[int] = ContextVar("time_execution_inside", default=IDLE)
"""What of the pipeline runs in this context right now, so that it does not measure itself without end."""


class Sinks:
    """The backends of a snapshot, ready to be called. Immutable and thread-safe.

    Attributes:
        channels: The queues of the `ThreadedBackend` instances.
        direct: Function and guard of each of the others.
    """

    __slots__ = ("channels", "direct", "queued")

    def __init__(self, backends: tuple[Any, ...], *, raise_errors: bool = False) -> None:
        self.queued = tuple(backend for backend in backends if isinstance(backend, ThreadedBackend))
        self.channels: tuple[Channel, ...] = tuple(backend.channel for backend in self.queued)
        self.direct: tuple[tuple[Callable[[Metric], None], Guard], ...] = tuple(
            (single_sender(backend), Guard("backend", label_of(backend), raise_errors=raise_errors))
            for backend in backends
            if not isinstance(backend, ThreadedBackend)
        )

    def put(self, metric: Metric) -> None:
        """Hand a metric to each backend; one that fails is counted and keeps no other from its copy."""
        for backend in self.queued:
            backend.enqueue(metric)
        if not self.direct:
            return
        if inside.get() == IN_BACKENDS:
            faults.count("backend", str(metric.get(NAME)), "reentrant")
            return
        token = inside.set(IN_BACKENDS)
        try:
            for send, guard in self.direct:
                with guard:
                    send(metric.copy())
        finally:
            inside.reset(token)


def sinks_of(snapshot: Snapshot) -> Sinks:
    """Return the sinks of a snapshot; made once for each."""
    sinks: Sinks | None = snapshot.sinks
    if sinks is None:
        sinks = snapshot.sinks = Sinks(snapshot.values.backends, raise_errors=snapshot.values.raise_errors)
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
