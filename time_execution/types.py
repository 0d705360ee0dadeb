"""The shapes that everything else is built from: read this module first.

A `Metric` is what sources make, hooks enrich and backends store. A `Result` is what a backend says of each metric it
was handed. The protocols name what users hand to us: hooks and clocks. Nothing here does any work.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Generator, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal, Protocol, TypeAlias

# The names of the core fields on the wire. ``value`` may be renamed by ``settings.duration_field``.
NAME = "name"
VALUE = "value"
HOSTNAME = "hostname"
TIMESTAMP = "timestamp"
ORIGIN = "origin"
HOOK_ERROR = "hook_error"
CORE_FIELDS = (NAME, VALUE, HOSTNAME, TIMESTAMP)

Kind: TypeAlias = Literal["timing", "value", "counter", "gauge", "event"]
"""What a metric is: a duration in ms, a number written by hand, an increment, a level, or a record without a number."""


class Metric(dict[str, Any]):
    """One measurement: a flat dict of what is stored, and beside it what a backend may need to know.

    The dict holds the document and nothing else: ``name`` (str), the duration in ms under ``value`` or
    ``settings.duration_field`` (float), ``hostname`` (str), ``timestamp`` (aware UTC datetime, or int nanoseconds since
    the epoch for a backend that sets `wants_nanoseconds`), ``origin`` (str) when set, and what hooks or callers added.
    The attributes are never stored by themselves, so a backend that must tell a timing from a counter can, and
    documents stay as they are.

    Equality, iteration and JSON encoding are those of `dict`. Not thread-safe, as no dict is.

    Args:
        fields: The document; copied one level deep.
        kind: What the metric is; decides names and units where a store distinguishes them.
        unit: The unit of the number under ``value``; None for a timing, whose unit is always milliseconds.
        id: Identifies this metric wherever it is sent and however often: 16 hexadecimal digits of the process, a
            dash, a sequence number. Set by delivery; None for a metric that went to a direct backend.
        labels: The names of the fields that tell series of one name apart, such as the route of a request; their values
            should be few. A field that is missing or None does not count, nor does a core field.
    """

    kind: Kind = "timing"
    unit: str | None = None
    id: str | None = None
    labels: tuple[str, ...] = ()

    def __init__(
        self,
        fields: Mapping[str, Any] | None = None,
        /,
        *,
        kind: Kind = "timing",
        unit: str | None = None,
        id: str | None = None,  # noqa: A002 - the field's standard name
        labels: tuple[str, ...] = (),
    ) -> None:
        super().__init__(fields or ())
        if kind != "timing":
            self.kind = kind
        if unit is not None:
            self.unit = unit
        if id is not None:
            self.id = id
        if labels:
            self.labels = labels

    def copy(self) -> Metric:
        """Return a shallow copy that keeps the attributes too."""
        copy = Metric.__new__(Metric)  # the constructor would cost three times as much
        copy.update(self)
        copy.__dict__.update(self.__dict__)
        return copy

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle and deep-copy with the attributes."""
        return _restore_metric, (dict(self), self.kind, self.unit, self.id, self.labels)


def _restore_metric(
    fields: dict[str, Any],
    kind: Kind,
    unit: str | None,
    id: str | None,  # noqa: A002 - the field's standard name
    labels: tuple[str, ...] = (),  # an earlier release pickled none
) -> Metric:
    return Metric(fields, kind=kind, unit=unit, id=id, labels=labels)


@dataclass(frozen=True, slots=True)
class Stored:
    """The metric is safe in the store.

    Attributes:
        duplicate: The store had it already, from an attempt whose answer was lost.
    """

    duplicate: bool = False


@dataclass(frozen=True, slots=True)
class Retry:
    """The metric was not stored this time and should be sent again.

    Attributes:
        reason: Why, in a few words; counted and logged, so it must hold no user data.
        after: Wait at least so many seconds first; None leaves it to the backoff.
    """

    reason: str = "unavailable"
    after: float | None = None


@dataclass(frozen=True, slots=True)
class Reject:
    """The metric will never be stored as it is: it goes to the dead letters.

    Attributes:
        reason: The kind of reason, from a small set; it becomes a key of the counters.
        detail: What the server said, kept beside the dead letter.
    """

    reason: str = "rejected"
    detail: str = ""


STORED = Stored()
Result: TypeAlias = Stored | Retry | Reject
Results: TypeAlias = Iterable[Result] | None
"""A result for each metric of a batch, in its order; None says that all of them are stored.

An iterator may work through the batch as it is consumed: should it raise, the results before that hold, and the
exception speaks for the metrics after them.
"""


class Hook(Protocol):
    """A callable that runs after the measured function and may add to its metric.

    It is called with keyword arguments only and returns a dict to merge into the metric, or None. It may also change
    ``metric`` in place, and rename the series through ``name``. What it raises is isolated and counted.
    """

    def __call__(  # noqa: D102 - see the class
        self,
        *,
        response: Any,
        exception: BaseException | None,
        metric: dict[str, Any],
        func: Callable[..., Any],
        func_args: tuple[Any, ...],
        func_kwargs: dict[str, Any],
    ) -> Mapping[str, Any] | None: ...


class AsyncHook(Protocol):
    """A `Hook` written with ``async def``; awaited on asynchronous functions, skipped and counted on others."""

    def __call__(  # noqa: D102 - see the class
        self,
        *,
        response: Any,
        exception: BaseException | None,
        metric: dict[str, Any],
        func: Callable[..., Any],
        func_args: tuple[Any, ...],
        func_kwargs: dict[str, Any],
    ) -> Awaitable[Mapping[str, Any] | None]: ...


HookOutcome: TypeAlias = tuple[Any, BaseException | None, dict[str, Any]]
"""What is sent into a generator hook when the function has ended: response, exception, metric."""


class GeneratorHook(Protocol):
    """A hook that starts before the measured function: it yields once, receives the outcome, returns the dict.

    One that has a parameter ``series`` is handed the name of the series, too, which is not always the function's.
    """

    def __call__(  # noqa: D102 - see the class
        self,
        *,
        func: Callable[..., Any],
        func_args: tuple[Any, ...],
        func_kwargs: dict[str, Any],
    ) -> Generator[None, HookOutcome, Mapping[str, Any] | None]: ...


AnyHook: TypeAlias = Hook | AsyncHook | GeneratorHook


class Clock(Protocol):
    """A source of time; tests hand in their own."""

    def __call__(self) -> float:
        """Return seconds."""
        ...


class Draft(Protocol):
    """What a measured call leaves in a queue instead of a metric, so that the caller pays for two readings only.

    A queue holds ``(draft, started, ended)`` with both readings of ``time.perf_counter_ns()``; the worker makes the
    metric from it.
    """

    def metric(self, started: int, ended: int, wall_offset: int) -> Metric:
        """Return the finished metric, its ``timestamp`` in integer nanoseconds.

        Args:
            started: Reading of ``time.perf_counter_ns()`` when the call began.
            ended: The same clock when it ended.
            wall_offset: What to add to that clock for nanoseconds since the epoch.
        """
        ...
