"""From a finished metric to the backends: the one way that every source takes.

`Sinks` are the backends of a snapshot, told apart once into those with a queue and those written to directly. What a
backend raises stops at its guard; what a direct backend measures about itself is not written again.
"""

from __future__ import annotations

from _thread import get_ident
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

from time_execution.backends.base import QueuedBackend, plain_writer, single_sender, step_aside
from time_execution.guard import Step, faults
from time_execution.hooks.chain import label_of
from time_execution.settings import Snapshot, current
from time_execution.types import NAME, Metric

if TYPE_CHECKING:
    from time_execution.delivery.channel import Channel

IN_HOOKS, IN_BACKENDS = "in hooks", "in backends"
inside: dict[int, str] = {}
"""What of the pipeline runs in a thread right now, by its ident, so that it does not measure itself without end.

A dict and not a context variable, which costs a measured call twice as much to set and reset; for what an asynchronous
hook awaits, `inside_task` says the same.
"""
inside_task: ContextVar[bool] = ContextVar("time_execution_inside", default=False)


def enter() -> str | None:
    """Mark that a hook is about to run in this thread; returns what `leave` needs."""
    ident = get_ident()
    before = inside.get(ident)
    inside[ident] = IN_HOOKS
    return before


def leave(before: str | None) -> None:
    """Go back to what was marked before `enter`."""
    if before is None:
        inside.pop(get_ident(), None)
    else:
        inside[get_ident()] = before


class Sinks:
    """The backends of a snapshot, ready to be called. Immutable and thread-safe.

    Attributes:
        channels: The queues of the `ThreadedBackend` instances.
        has_direct: Whether there is any other backend, one that the caller itself writes to.
    """

    __slots__ = ("_batching", "_plain", "_queued", "channels", "has_direct")

    def __init__(self, backends: tuple[Any, ...], *, raises: bool = False) -> None:
        self._queued = tuple(backend for backend in backends if isinstance(backend, QueuedBackend))
        self.channels: tuple[Channel, ...] = tuple(backend.channel for backend in self._queued)
        direct = [backend for backend in backends if not isinstance(backend, QueuedBackend)]
        self.has_direct = bool(direct)
        self._plain: list[tuple[Step, str | None]] = []
        self._batching: list[Step] = []
        for backend in direct:
            plain = plain_writer(backend)
            call = single_sender(backend) if plain is None else plain[0]
            step = Step(call, kind="backend", label=label_of(backend), raises=raises)
            if plain is None:
                self._batching.append(step)
            else:
                self._plain.append((step, plain[1]))

    def put(self, metric: dict[str, Any]) -> None:
        """Hand a metric to each backend; one that fails is counted and keeps no other from it. Uses the metric up."""
        if self.has_direct and inside.get(get_ident()) is IN_BACKENDS:
            faults.count("backend", str(metric.get(NAME)), "reentrant")
            return
        before = enter()
        try:
            self.put_inside(metric, get_ident())
        finally:
            leave(before)

    def put_inside(self, metric: dict[str, Any], ident: int) -> None:
        """Do what `put` does for a caller that has entered `inside`, and will leave it; uses the metric up."""
        for backend in self._queued:
            backend.enqueue(metric)
        inside[ident] = IN_BACKENDS
        for step in self._batching:
            step.attempt(metric)
        if self._plain:
            name = metric.pop(NAME, "")
            for step, taken in self._plain:
                try:
                    step.call(name, **(metric if taken not in metric else step_aside(metric, taken)))
                except Exception as exc:  # noqa: BLE001 - see `guard`
                    step.fail(exc)


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
