"""What every backend inherits, and how a backend of any shape is called.

A backend overrides one of three methods and gets the other two: `write` (one metric), `bulk_write` (upstream's batch)
or `write_many` (a batch, with a result for each metric). Delivery and pipeline never look at a backend themselves:
they ask `batch_sender` for the one function that sends a batch to it.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

from time_execution.exceptions import BackendRejected, BackendUnavailable, ConfigurationError
from time_execution.formats.timestamp import with_datetimes, with_nanoseconds
from time_execution.signature import excess, mismatch, shape_of
from time_execution.types import HOSTNAME, NAME, STORED, Metric, Reject, Result, Results, Retry

if TYPE_CHECKING:
    from types import TracebackType
    from urllib.parse import SplitResult

    from typing_extensions import Self

    from time_execution.delivery.channel import Channel

_METHODS = ("write_many", "bulk_write", "write")
_EITHER_WAY = inspect.Parameter.POSITIONAL_OR_KEYWORD
BatchSender = Callable[[Sequence[Metric]], Results]


class BaseMetricsBackend:
    """Base of all backends: override `write`, `bulk_write` or `write_many`; the other two follow from it.

    The worker of a `ThreadedBackend` alone calls the backend behind it. One that is configured directly is called by
    whichever thread made the metric, by several at once: it guards its own state.

    Attributes:
        wants_nanoseconds: True when ``timestamp`` should arrive as integer nanoseconds instead of a datetime.
        repr_fields: The attributes that `repr` may show; never one that holds a secret.
        batches_at_once: How many batches a delivery hands over in one call when so many wait: to ``write_batches``,
            which the class has to define, in place of `write_many`.

    Raises:
        TypeError: When a subclass that overrides none of the three methods is constructed.

    Example:
        >>> class Printer(BaseMetricsBackend):
        ...     def write(self, name, **data):
        ...         print(name, data)
        >>> Printer().bulk_write([{"name": "a.b", "value": 1.5}])
        a.b {'value': 1.5}
    """

    wants_nanoseconds: ClassVar[bool] = False
    repr_fields: ClassVar[tuple[str, ...]] = ()
    batches_at_once: ClassVar[int] = 1

    def __new__(cls, *_args: Any, **_kwargs: Any) -> Self:
        """Refuse a subclass that cannot store anything, before the first metric meets it."""
        if not any(_has(cls, method) for method in _METHODS):
            msg = f"{cls.__qualname__} overrides none of write(), bulk_write() and write_many(); it must have one"
            raise TypeError(msg)
        return super().__new__(cls)

    def write(self, /, name: str, **data: Any) -> None:
        """Store one metric; returns when it is stored.

        Raises:
            BackendRejected: When the metric will never be stored.
            BackendUnavailable: When it was not stored now.
        """
        raise_unless_stored(self.write_many([Metric({NAME: name, **data}, kind="value")]))

    def bulk_write(self, metrics: Sequence[dict[str, Any]]) -> None:
        """Store a batch; returns when all of it is stored.

        Args:
            metrics: Flat dicts, each with its ``name``; not changed.

        Raises:
            BackendRejected: When a metric will never be stored; the others were tried all the same.
            BackendUnavailable: When a metric was not stored now.
        """
        batch = [metric.copy() if isinstance(metric, Metric) else Metric(metric, kind="value") for metric in metrics]
        raise_unless_stored(self.write_many(batch))

    def write_many(self, metrics: Sequence[Metric]) -> Results:
        """Store a batch and say of each metric whether it is stored, to be sent again, or rejected.

        Returns:
            A result for each metric, in order, or None when all are stored.

        Raises:
            BackendError: When nothing of the batch was stored; its class says what is to be done.
        """
        results = batch_sender(self, derived=False)(metrics)
        return None if results is None else list(results)

    def flush(self, timeout: float | None = None) -> bool:  # noqa: ARG002 - the signature every backend shares
        """Wait until everything offered before is settled; True when it is.

        Called by whichever thread asks for it, also for a backend behind a `ThreadedBackend`: when that has delivered.

        Args:
            timeout: The longest wait, in seconds; None waits as long as it takes.
        """
        return True

    def close(self, timeout: float | None = None) -> None:
        """Release what the backend holds; idempotent.

        Args:
            timeout: The longest wait, in seconds, for what is still to be written.
        """

    def idle(self) -> None:
        """Do what is due without metrics, such as answering a heartbeat or ending an interval.

        Called by the worker of a `ThreadedBackend` every ``queue_timeout`` seconds while nothing waits, and in the
        pauses after failures; nobody calls it for a backend that is configured directly. What it raises is counted and
        logged, and does no more harm.
        """

    def after_fork(self) -> None:
        """Forget sockets and files inherited from the parent; called in the child before its first metric."""

    @classmethod
    def options_from_url(cls, url: SplitResult) -> dict[str, Any]:  # noqa: ARG003 - for those that override it
        """Return constructor arguments from the parts of a URL before its query.

        The query's options are added by the caller, converted to the types in the constructor's annotations.

        Args:
            url: The parsed URL, for instance of ``sqlite:///metrics.db?retention=7d``.
        """
        return {}

    def __enter__(self) -> Self:
        """Return the backend itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Close the backend."""
        self.close()

    def __repr__(self) -> str:
        """Return the class with the fields of `repr_fields`, so that no secret is shown by accident."""
        fields = ", ".join(f"{field}={getattr(self, field, None)!r}" for field in self.repr_fields)
        return f"{type(self).__name__}({fields})"


class QueuedBackend(BaseMetricsBackend):
    """A backend that only queues: a measured call may append to its channel, and never waits for it.

    The pipeline knows it by this class, so that importing the package need not import what stands behind it.

    Attributes:
        channel: The queue.
    """

    channel: Channel

    def enqueue(self, metric: Mapping[str, Any]) -> None:  # noqa: ARG002 - for those that override it
        """Queue a copy of a metric, in a form that any store can keep, and return; a plain dict counts as a timing."""
        raise TypeError(f"{type(self).__qualname__} must override enqueue()")


def batch_sender(backend: Any, *, derived: bool = True, size: int | None = None) -> BatchSender:
    """Return the function that sends a batch to a backend of any of the three shapes.

    The batch is used as it is where possible; ``timestamp`` is put into the shape the backend wants.

    Args:
        backend: An instance with ``write_many``, ``bulk_write`` or ``write``; it need not extend our base class.
        derived: Whether an inherited `write_many` counts; False is for the base class itself.
        size: Of a batch, where several may come in one call; `batches_at_once` says how many.

    Raises:
        ConfigurationError: As `way_to_write` does.
        TypeError: When the backend has none of the three.
    """
    send: BatchSender
    way = way_to_write(backend, derived=derived)
    if size is not None and batches_at_once(backend) > 1:
        send = _in_batches(backend.write_batches, size)
    elif way == "write_many":
        send = backend.write_many
    elif way == "bulk_write":
        send = _whole_batch(backend.bulk_write)
    else:
        send = _one_by_one(backend.write, _first_parameter(backend.write))
    shape = with_nanoseconds if getattr(backend, "wants_nanoseconds", False) else with_datetimes
    return lambda metrics: send(shape(metrics))


def way_to_write(backend: Any, *, derived: bool = True) -> str:
    """Return the method by which a backend is written to: ``write_many``, else ``bulk_write``, else ``write``.

    Args:
        backend: An instance; it need not extend our base class.
        derived: Whether an inherited `write_many` counts.

    Raises:
        ConfigurationError: When calling that method would store nothing: its body would not run, or it does not take
            what it is called with.
        TypeError: When the backend has none of the three.
    """
    way = next((method for method in _METHODS[not derived :] if _has(backend, method)), None)
    if way is None:
        msg = f"{type(backend).__qualname__} is no backend: it has none of write(), bulk_write() and write_many()"
        raise TypeError(msg)
    method, shown = getattr(backend, way), f"{way}() of {type(backend).__qualname__}"
    shape = shape_of(method)
    if shape in {"coroutine", "asynchronous generator"}:
        raise ConfigurationError(f"{shown} is asynchronous; backends are synchronous")
    if shape == "generator" and way != "write_many":
        raise ConfigurationError(f"{shown} is a generator, whose body would never run")
    if way == "write":
        taken, problem = "(name, **data)", excess(method, "name", **dict.fromkeys((HOSTNAME, "any other field")))
    else:
        taken, problem = "a batch", mismatch(method, [])
    if problem is not None:
        raise ConfigurationError(f"{shown} must take {taken}: {problem}")
    return way


def batches_at_once(backend: Any) -> int:
    """Return how many batches a backend takes in one call; 1 where `write_many` was overridden after `write_batches`.

    Raises:
        ConfigurationError: When ``batches_at_once`` is no number of batches, or there is no ``write_batches``.
    """
    count = backend.batches_at_once if isinstance(backend, BaseMetricsBackend) else 1
    if type(count) is not int or count < 1:
        raise ConfigurationError(f"{type(backend).__qualname__}.batches_at_once must be a whole number of at least 1")
    if count > 1 and not callable(getattr(backend, "write_batches", None)):
        raise ConfigurationError(f"{type(backend).__qualname__}.batches_at_once needs a method write_batches()")
    methods = (name for cls in type(backend).__mro__ for name in ("write_batches", "write_many") if name in vars(cls))
    return 1 if count == 1 or next(methods) == "write_many" else count


def idle_call(backend: Any) -> Callable[[], object]:
    """Return what to call while a backend has nothing to do; for one that is none of ours, what does nothing."""
    return backend.idle if isinstance(backend, BaseMetricsBackend) else bool


def is_backend(value: object) -> bool:
    """Whether an object can be written to: it has ``write``, ``bulk_write`` or ``write_many``."""
    return any(callable(getattr(value, method, None)) for method in _METHODS)


class PlainWriter(NamedTuple):
    """The ``write`` of a backend that has nothing better.

    Attributes:
        write: The method itself.
        taken: The name that its own ``self`` takes up: a field of that name must step aside.
        by_name: Whether the series may come under the keyword ``name``.
        send: Hands it any metric.
    """

    write: Callable[..., None]
    taken: str | None
    by_name: bool
    send: Callable[[Mapping[str, Any]], None]


def plain_writer(backend: Any) -> PlainWriter | None:
    """Return how to write to a backend that has ``write`` and nothing better, and takes a datetime; or None."""
    if not _has(backend, "write") or _has(backend, "write_many") or _has(backend, "bulk_write"):
        return None
    if getattr(backend, "wants_nanoseconds", False):  # which `batch_sender` sees to
        return None
    write: Callable[..., None] = backend.write
    taken = _first_parameter(write)

    def send(metric: Mapping[str, Any]) -> None:
        fields = step_aside(metric, taken)
        write(fields.pop(NAME, ""), **fields)

    return PlainWriter(write, taken, _takes_name(write), send)


def single_sender(backend: Any) -> Callable[[dict[str, Any]], None]:
    """Return the function that writes one metric, in the calling thread, to a backend that takes batches.

    The backend gets a copy of its own; a plain dict counts as a timing.

    Raises:
        TypeError: When the backend has no method to write with.
    """
    send = batch_sender(backend)

    def send_one(metric: dict[str, Any]) -> None:
        if isinstance(metric, Metric):
            copy = metric.copy()
        else:
            copy = Metric.__new__(Metric)  # its constructor would show in what a measured call costs
            copy.update(metric)
        results = send([copy])
        if results is not None:
            raise_unless_stored(results)

    return send_one


def raise_unless_stored(results: Results) -> None:
    """Raise for the first result that is not `Stored`.

    Raises:
        BackendRejected: For a `Reject`.
        BackendUnavailable: For a `Retry`.
    """
    for result in results or ():
        if isinstance(result, Reject):
            raise BackendRejected(f"{result.reason}: {result.detail}" if result.detail else result.reason)
        if isinstance(result, Retry):
            raise BackendUnavailable(result.reason)


def _has(backend: Any, method: str) -> bool:
    """Whether a backend, or a class of one, has a method of its own, not the one derived from the others."""
    cls = backend if isinstance(backend, type) else type(backend)
    inherited = getattr(cls, method, None) is getattr(BaseMetricsBackend, method)
    return callable(getattr(backend, method, None)) and not inherited


def _in_batches(write_batches: Callable[[Sequence[Sequence[Metric]]], Results], size: int) -> BatchSender:
    return lambda metrics: write_batches([metrics[first : first + size] for first in range(0, len(metrics), size)])


def _whole_batch(bulk_write: Callable[[list[Metric]], Any]) -> BatchSender:
    """Adapt upstream's ``bulk_write``: it returns nothing when all is stored and raises when nothing is."""

    def send(metrics: Sequence[Metric]) -> None:
        bulk_write([metric.copy() for metric in metrics])  # a copy: what it changes must not be sent again

    return send


def _one_by_one(write: Callable[..., None], taken: str | None) -> BatchSender:
    """Adapt a plain ``write``: what it raises for one metric leaves those before it stored."""

    def send(metrics: Sequence[Metric]) -> Iterator[Result]:
        for metric in metrics:
            fields = step_aside(metric, taken)
            name = fields.pop(NAME, "")
            try:
                write(name, **fields)
            except BackendRejected as exc:
                yield Reject(type(exc).__name__, str(exc))
            else:
                yield STORED

    return send


def step_aside(fields: Mapping[str, Any], taken: str | None) -> dict[str, Any]:
    """Return a copy of the fields in which one that a method's own ``self`` takes up has a trailing underscore."""
    return {f"{key}_" if key == taken else key: value for key, value in fields.items()}


def _takes_name(write: Callable[..., Any]) -> bool:
    """Whether the first argument of a callable may come under the keyword ``name``."""
    try:
        first = next(iter(inspect.signature(write).parameters.values()), None)
    except (TypeError, ValueError):  # written in C
        return False
    return first is not None and first.name == NAME and first.kind is _EITHER_WAY


def _first_parameter(write: Callable[..., Any]) -> str | None:
    """Return the name that a bound method's ``self`` takes up, so that a field of that name can step aside."""
    function = getattr(write, "__func__", None)
    if function is None:
        return None
    first = next(iter(inspect.signature(function).parameters.values()), None)
    return first.name if first is not None and first.kind is _EITHER_WAY else None
