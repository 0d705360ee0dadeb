"""How a profiler works at the moment: its metrics, handlers and callbacks, made ready to be called.

A mode is compiled when something is changed, and replaced whole, so a call reads one attribute to know all of it.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from time_execution.complaint import kind_of
from time_execution.exceptions import ConfigurationError
from time_execution.guard import label_of
from time_execution.pipeline import IN_BACKENDS, IN_HOOKS, this_thread
from time_execution.profiler._instrument import MetricWrapper
from time_execution.profiler._trouble import Guard, Trouble, changing
from time_execution.profiler.handlers import tell_errors
from time_execution.profiler.metrics import ResponseSize, TimeProfiler
from time_execution.quietlog import logger
from time_execution.signature import mismatch, shape_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from time_execution.profiler.tree import Entry
    from time_execution.profiler.types import Record

TIME_PROFILER = "time_profiler"
RESPONSE_SIZE = "response_size"
CALLBACKS: dict[str, tuple[str, str, str]] = {
    "before_root_func": ("func", "args", "kwargs"),
    "before_func": ("func", "args", "kwargs"),
    "after_func": ("fn_result", "args", "kwargs"),
    "after_root_func": ("fn_result", "args", "kwargs"),
}
"""What each callback is called with."""


class Callback:
    """An attribute that holds what is called around profiled functions; what cannot be called so is refused at once."""

    def __set_name__(self, owner: type[Any], name: str) -> None:
        self._name = name

    def __get__(self, instance: Any, owner: type[Any]) -> Any:
        return self if instance is None else instance.callbacks.get(self._name)

    def __set__(self, instance: Any, callback: Callable[..., object] | None) -> None:
        if callback is not None:
            caller_of(self._name, callback)
        with changing():
            instance.change(callbacks={**instance.callbacks, self._name: callback})


class Mode:
    """A profiler's metrics, handlers and callbacks at one moment. Immutable and thread-safe.

    Args:
        metrics: By name.
        handlers: By name.
        callbacks: By name, as they were given; absent or None for none.
        trouble: Where faults are counted.
        is_on: Whether anything is measured and handled at all.
        error_raised_label: Whether records say that the call raised.

    Attributes:
        measures: Whether there is anything to do for a call, should somebody take the records.
        hands_over: Whether that is so, and a handler takes them.
        time: The metric of what calls take; or None.
        time_record: What its records have in common; to be copied.
        watches: Whether there is more to do after a call than to record its time.
        size: The metric of how large responses of roots are; or None.
        before_root: Called with a function and its arguments, and so on for the other three; None for none.
    """

    def __init__(
        self,
        *,
        metrics: Mapping[str, MetricWrapper],
        handlers: Mapping[str, Any],
        callbacks: Mapping[str, Any],
        trouble: Trouble,
        is_on: bool,
        error_raised_label: bool,
    ) -> None:
        def guard(call: Callable[..., Any], kind: str, label: str) -> Guard:
            return Guard(call, kind=kind, label=label, trouble=trouble)

        given = {name: callback for name, callback in callbacks.items() if callback is not None}
        guarded = {
            name: guard(caller_of(name, callback), "callback", f"{name} {label_of(callback)}")
            for name, callback in given.items()
        }
        self.before_root, self.before, self.after, self.after_root = (guarded.get(name) for name in CALLBACKS)
        time, size = metrics.get(TIME_PROFILER), metrics.get(RESPONSE_SIZE)
        self.time = time if isinstance(time, TimeProfiler) else None
        self.size = size if isinstance(size, ResponseSize) else None
        self.watches = not (self.after is None and self.after_root is None and self.size is None)
        self.time_record: Record | None = None
        if self.time is not None:
            self.time_record = self.time.record("observe", 0.0)
        self.measures = is_on and bool(metrics or given)
        self.error_raised_label = error_raised_label
        self._handlers = tuple(guard(_handing_to(handler), "handler", name) for name, handler in handlers.items())
        self.hands_over = self.measures and bool(self._handlers)
        self._metrics = tuple(metrics.values())
        self._clean = tuple(
            guard(metric.cleanup, "callback", f"{metric.name}.cleanup")
            for metric in self._metrics
            if _cleans_up(metric)
        )
        is_told = error_raised_label and not any(hasattr(handler, "logger") for handler in handlers.values())
        into = logger if trouble.logger is None else trouble.logger
        self._errors = guard(functools.partial(tell_errors, into), "handler", "errors") if is_told else None
        self._guard = guard

    def publish(self, entries: Sequence[Entry]) -> None:
        """Hand records to the handlers, those of one metric at a time, and let the metrics clean up."""
        place = this_thread.place
        before, place.within = place.within, IN_BACKENDS
        try:
            time, times, others = self.time, [], []
            for entry in entries:
                if entry[0] is time:
                    times.append(entry[1])
                else:
                    others.append(entry)
            if times:
                self._hand_over(time, times)
            if others:
                for metric, records in self._by_metric(others):
                    self._hand_over(metric, records)
            if self._clean:
                place.within = IN_HOOKS
                for clean in self._clean:
                    clean.attempt()
        finally:
            place.within = before

    def _by_metric(self, entries: Sequence[Entry]) -> list[tuple[MetricWrapper, list[Record]]]:
        """Return the records of each metric: first those of the profiler's own, in their order."""
        # Told apart by what they are: a class of the application's may compare them as it likes.
        found: dict[int, tuple[MetricWrapper, list[Record]]] = {id(metric): (metric, []) for metric in self._metrics}
        for metric, record in entries:
            found.setdefault(id(metric), (metric, []))[1].append(record)
        return [(metric, records) for metric, records in found.values() if records]

    def _hand_over(self, metric: Any, records: list[Record]) -> None:
        for handler in self._handlers:
            handler.attempt(records[:], metric.name)  # a copy: what one does to the list is not for the next
        if self._errors is not None:
            self._errors.attempt(metric.name, records)
        if metric is not self.time and _cleans_up(metric) and not any(metric is added for added in self._metrics):
            self._guard(metric.cleanup, "callback", f"{metric.name}.cleanup").attempt()


def _handing_to(handler: Any) -> Callable[[list[Record], str], object]:
    """Return a function that looks for the method at each call: tests put others in its place."""
    return lambda records, name: handler.handle(records, name)  # noqa: PLW0108 - see above


def _cleans_up(metric: MetricWrapper) -> bool:
    return type(metric).cleanup is not MetricWrapper.cleanup


def caller_of(name: str, callback: Any) -> Callable[[Any, Any, Any], object]:
    """Return how to call a callback with its three arguments: by name, or in order where it has other names for them.

    It gets the keywords of the call in a dict of its own, for the call will be made with the other one.

    Raises:
        ConfigurationError: When it cannot be called so, or is asynchronous.
    """
    keywords = CALLBACKS[name]
    if not callable(callback):
        raise ConfigurationError(f"{name} must be a function or None, not {kind_of(callback)}")
    if shape_of(callback) != "function":
        raise ConfigurationError(f"{name} must be a plain function: its body would not run as {shape_of(callback)}")
    first, second, third = keywords
    if mismatch(callback, **dict.fromkeys(keywords)) is None:
        return lambda subject, args, kwargs: callback(**{first: subject, second: args, third: kwargs.copy()})
    problem = mismatch(callback, *keywords)
    if problem is not None:
        raise ConfigurationError(f"{name} must take {first}, args and kwargs: {problem}")
    return lambda subject, args, kwargs: callback(subject, args, kwargs.copy())
