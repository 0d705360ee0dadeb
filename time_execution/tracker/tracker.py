"""`ProcessTracker`: the decorators, the timer, and what is noted by hand."""

from __future__ import annotations

import functools
from collections.abc import Callable
from time import perf_counter_ns as clock
from typing import TYPE_CHECKING, Any, TypeVar, overload

from time_execution.decorator import decorate
from time_execution.tracker.block import TimedBlock
from time_execution.tracker.line import IDENTIFIER, MANY, METRIC
from time_execution.tracker.recorder import Recorder
from time_execution.tracker.value import REFUSED, WORD, free_name, nanoseconds, plain_name, plain_value
from time_execution.tracker.wrapper import Entry, Part

if TYPE_CHECKING:
    from time_execution.hooks.chain import Call
    from time_execution.tracker.line import Item
    from time_execution.tracker.tracked import Tracked

# Quoted: no class method can be subscripted before Python 3.13.
F = TypeVar("F", bound="Callable[..., Any] | classmethod[Any, Any, Any] | property | functools.cached_property[Any]")
_MAX_PARTS = 1000


class ProcessTracker:
    """Write a line of JSON for each call of an entry point.

    The tracker itself decorates entry points, `track` the functions that they call, and `timer` times a block of code;
    `set_metric` and `set_identifier` note what else belongs to the call. Each takes a bare function or a name, and
    functions, methods, coroutine functions, generators and asynchronous generators alike; a generator is measured from
    the first ``next`` until it is exhausted or closed. When the entry point ends, by an exception as well, and before
    its caller goes on, the line is handed to the output::

        {"latencies": {"load": 1.204, "main": 5.377}, "metrics": {"rows": 17}, "request_id": "r-17"}

    Latencies are in milliseconds, cut to three decimals, in the order in which their names first finished, the entry
    point last. Of a name that was timed several times it is the sum, and the line has ``"repeats": {name: {"count": 3,
    "max": 0.7}}``. What `time_execution.settings` configures hears of each call, too.

    Each call of an entry point has a line of its own, whatever runs at the same time: threads and asyncio tasks never
    mix. A task that the entry point starts, and a thread in a copy of its context (`asyncio.to_thread`), adds to its
    line until it ends. An entry point called by another one has a line of its own, and none of its time is shown in the
    outer one. Used anywhere else, parts run as usual, and a `RuntimeWarning` says so once a place.

    Thread-safe and fork-safe: parent and child both have a line of the call that forked. The output is called on the
    thread of the entry point, which waits for it. What it raises is counted and logged, and reaches nobody.

    Args:
        output: Called with each line, without an end of line; `print`, ``logger.info``, or a function of your own.

    Raises:
        ConfigurationError: When the output cannot be called, or is an ``async def`` function or a generator.

    Example:
        >>> tracker = ProcessTracker()
        >>> @tracker.track
        ... def load():
        ...     return [1, 2]
        >>> @tracker("main")
        ... def run():
        ...     tracker.set_metric("rows", len(load()))
        >>> run()
        {"latencies": {"load": ..., "main": ...}, "metrics": {"rows": 2}}
    """

    def __init__(self, output: Callable[[str], object] = print) -> None:
        self._recorder = Recorder(output)
        self._parts = _Parts(self._recorder)

    @overload
    def __call__(self, name_or_target: str | None = None) -> Callable[[F], F]: ...

    @overload
    def __call__(self, name_or_target: F) -> F: ...

    def __call__(self, name_or_target: Any = None) -> Any:
        """Decorate an entry point, or return a decorator that does.

        Args:
            name_or_target: What to track; or its name in the line and the name of its series. By default these are its
                own name and its fully qualified one.

        Raises:
            TypeError: When it is neither.
            ValueError: When the name is empty.
        """
        return self._decorated(Entry, name_or_target, "tracker()")

    @overload
    def track(self, name_or_target: str | None = None) -> Callable[[F], F]: ...

    @overload
    def track(self, name_or_target: F) -> F: ...

    def track(self, name_or_target: Any = None) -> Any:
        """Decorate a function that entry points call, or return a decorator that does.

        Args:
            name_or_target: What to track; or its name in the line and the name of its series. By default these are its
                own name and its fully qualified one.

        Raises:
            TypeError: When it is neither.
            ValueError: When the name is empty.
        """
        return self._decorated(Part, name_or_target, "tracker.track()")

    def _decorated(self, kind: type[Tracked], given: Any, where: str) -> Any:
        name = plain_name(given, where) if isinstance(given, str) else None

        def decorator(wrapped: Any) -> Any:
            return decorate(wrapped, lambda inner: kind(inner, name, self._recorder))

        return decorator if given is None or name is not None else decorator(given)

    def timer(self, name: str) -> TimedBlock:
        """Return a context manager, for ``with`` and ``async with``, that times a block of code.

        Args:
            name: In the line, and of the series.

        Raises:
            TypeError: When the name is no text.
            ValueError: When it is empty.
        """
        try:
            part = self._parts[name]
        except TypeError:  # it has no hash, and so is no text
            part = self._parts[plain_name(name, "tracker.timer()")]
        block = TimedBlock()
        block.tracked = part
        return block

    def set_timer(self, name: str, value: float) -> None:
        """Add a latency that was measured elsewhere to the line.

        Args:
            name: In the line, and of the series.
            value: In milliseconds.

        Raises:
            TypeError: When the name is no text, or the value no number.
            ValueError: When the name is empty, or the value negative, not finite, or above 10**12.
        """
        where = "tracker.set_timer()"
        part, elapsed = self._parts[plain_name(name, where)], nanoseconds(value, where)
        line = self._recorder.line_for(part.label)
        if line is not None:
            self._recorder.add(line, part.label, part.key, elapsed)
        call: Call = (self.timer(name), (), {})
        feed = part.feed(call, awaits=False)
        if feed is not None:
            ended = clock()
            feed.finish((ended - elapsed, ended), call, response=None, exception=None, line=None)

    def set_metric(self, name: str, value: bool | float | str) -> None:  # noqa: FBT001 - one of the values
        """Note a value under ``metrics`` in the line; the last one of a name counts.

        Backends get a number as a metric of that name when the entry point ends, with the identifiers as fields, and a
        text as a field of the entry point's own metric. A number that JSON has no form for (NaN, the infinities) is
        ``null`` in the line, and no metric.

        Args:
            name: Any but ``latencies``, ``metrics`` and ``repeats``.
            value: Of a subclass, the plain value.

        Raises:
            TypeError: When the name is no text, or the value none of these.
            ValueError: When the name is empty or one of those, or the value an integer of more than 2048 bits.
        """
        form = type(value)
        if (
            type(name) is str and name not in REFUSED and (form is str or (form is int and -WORD < value < WORD))  # type: ignore[operator]
        ):
            item: Item = (name, value, METRIC)  # the most of them, checked without a call
        else:
            where = "tracker.set_metric()"
            item = free_name(name, where), plain_value(value, where), METRIC
        line = self._recorder.get()
        if line is not None and line.is_open and len(line) < MANY:  # what `Line.add` would do
            line.append(item)
        else:
            self._recorder.note(item)

    def set_identifier(self, name: str, value: bool | float | str) -> None:  # noqa: FBT001 - one of the values
        """Note what identifies the call, at the top level of the line; the last value of a name counts.

        Written as it is given, without redaction. Backends get it as a field of the entry point's metric; one called as
        a field that every metric has (``name``, ``value`` and so on) with an underscore at the end.

        Args:
            name: Any but ``latencies``, ``metrics`` and ``repeats``.
            value: Of a subclass, the plain value.

        Raises:
            TypeError: When the name is no text, or the value none of these.
            ValueError: When the name is empty or one of those, or the value an integer of more than 2048 bits.
        """
        form = type(value)
        if (
            type(name) is str and name not in REFUSED and (form is str or (form is int and -WORD < value < WORD))  # type: ignore[operator]
        ):
            item: Item = (name, value, IDENTIFIER)  # the most of them, checked without a call
        else:
            where = "tracker.set_identifier()"
            item = free_name(name, where), plain_value(value, where), IDENTIFIER
        line = self._recorder.get()
        if line is not None and line.is_open and len(line) < MANY:  # what `Line.add` would do
            line.append(item)
        else:
            self._recorder.note(item)

    def __repr__(self) -> str:
        """Show what the output is called; its own text might tell secrets."""
        return f"<{type(self).__name__} output={self._recorder.label}>"


class _Parts(dict[str, Part]):
    """What the names of timers stand for, made at the first need; always the same, while there are not too many."""

    def __init__(self, recorder: Recorder) -> None:
        super().__init__()
        self._recorder = recorder

    def __missing__(self, name: Any) -> Part:
        plain = plain_name(name, "tracker.timer()")
        if len(self) >= _MAX_PARTS:  # names made at run time must not pile up
            self.clear()
        part = self[plain] = Part(None, plain, self._recorder)
        return part

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle the recorder; the rest is made again."""
        return _Parts, (self._recorder,)
