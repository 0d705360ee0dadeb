"""What is tracked, and one call of it: the line on the one hand, the configured backends on the other."""

from __future__ import annotations

import json
from contextvars import Token
from datetime import datetime, timezone
from time import perf_counter_ns as clock
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

from time_execution.guard import Untouched
from time_execution.hooks.chain import NONE_STARTED
from time_execution.naming import name_of, named_part
from time_execution.pipeline import emit
from time_execution.plan import Span, Target
from time_execution.settings import current
from time_execution.tracker.field import beside_core
from time_execution.tracker.line import Line
from time_execution.types import HOSTNAME, NAME, ORIGIN, TIMESTAMP, VALUE, Metric

if TYPE_CHECKING:
    from time_execution.hooks.chain import Call, Started
    from time_execution.plan import Plan
    from time_execution.tracker.recorder import Recorder

_NEVER = 0


class Run:
    """One call of a thing that is tracked. For the thread or task that makes the call.

    Args:
        tracked: What is called.
        call: The function and its arguments.
        awaits: Asynchronous hooks are awaited for it.
    """

    __slots__ = ("_call", "_feed", "_line", "_started", "_tracked")

    def __init__(self, tracked: Tracked, call: Call, *, awaits: bool = False) -> None:
        self._tracked = tracked
        self._call = call
        self._feed = tracked.feed(call, awaits=awaits)
        self._line = self._open()
        self._started = clock()

    def _open(self) -> Line | None:
        """Return the line that the call belongs to; None where there is none."""
        return self._tracked.recorder.line_for(self._tracked.label)

    def _close(self, elapsed: int) -> Line | None:
        """Tell the line, and return it if it is this call's own."""
        tracked = self._tracked
        if self._line is not None:
            tracked.recorder.add(self._line, tracked.label, tracked.key, elapsed)
        return None

    def pause(self) -> None:
        """Let the consumer of a generator go on with its own line."""

    def resume(self) -> None:
        """Go on with the line of this call."""

    def end(self, *, response: Any = None, exception: BaseException | None = None) -> None:
        """Tell the line and the backends how long the call took; an exception is left as it was."""
        span = (self._started, clock())
        with Untouched(exception):
            line = self._close(span[1] - span[0])
            if self._feed is not None:
                self._feed.finish(span, self._call, response=response, exception=exception, line=line)

    async def end_async(self, *, response: Any = None, exception: BaseException | None = None) -> None:
        """Do what `end` does, awaiting asynchronous hooks."""
        span = (self._started, clock())
        with Untouched(exception):
            line = self._close(span[1] - span[0])
            if self._feed is not None:
                await self._feed.finish_async(span, self._call, response=response, exception=exception, line=line)


class EntryRun(Run):
    """One call of an entry point, which has a line of its own."""

    __slots__ = ("_token",)
    _line: Line
    _token: Token[Line | None]

    def _open(self) -> Line:
        line = Line()
        self._token = self._tracked.recorder.enter(line)
        return line

    def _close(self, elapsed: int) -> Line:
        self._tracked.recorder.end(self._line, self._token, self._tracked.key, elapsed)
        return self._line

    def pause(self) -> None:
        """Give the context back the line that it had before."""
        self._tracked.recorder.step_out(self._token)

    def resume(self) -> None:
        """Make the line that of the context again."""
        self._token = self._tracked.recorder.enter(self._line)


class Tracked(Target):
    """A thing that is tracked. Thread-safe.

    Args:
        func: What is called; None for a block of code.
        name: Its name in the line, and of its series; None for the function's own name, and the fully qualified one.
        recorder: Of the tracker.

    Attributes:
        label: The name in the line.
        key: The same as JSON.
        idle: The version of the settings under which no backend wants to hear of it.
        run_type: What a call of it is.

    Raises:
        ConfigurationError: When the name is empty.
    """

    __slots__ = ("idle", "key", "label", "recorder")
    run_type: ClassVar[type[Run]] = Run

    def __init__(self, func: Any, name: str | None, recorder: Recorder) -> None:
        super().__init__(func, name_of(func) if name is None else name)
        self.label: str = _own_name(named_part(func)) if name is None else name
        self.key = json.dumps(self.label)
        self.recorder = recorder
        self.idle = self.plan.serial if self.plan.skip else _NEVER

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle what is tracked; the version of the settings is this process's."""
        return _restore, (type(self), self.name, self.label, self.recorder), (None, {"func": self.func})

    def feed(self, call: Call, *, awaits: bool) -> Feed | None:
        """Return what tells the backends of a call that begins now; None when nobody wants to hear of it."""
        plan = self.refresh()
        if plan.skip:
            self.idle = plan.serial
            return None
        is_wanted = plan.is_wanted(awaits=awaits)
        return Feed(plan, plan.begin(call) if is_wanted else None, is_wanted)


def _own_name(thing: Any) -> str:
    return str(getattr(thing, "__name__", None) or thing.__qualname__.rpartition(".")[2])


def _restore(kind: type[Tracked], name: str, label: str, recorder: Recorder) -> Tracked:
    tracked = kind(None, name, recorder)
    tracked.label, tracked.key = label, json.dumps(label)
    return tracked


class Feed(NamedTuple):
    """What the backends are told of one call.

    Attributes:
        plan: How it is measured.
        hooks: What `Plan.begin` returned.
        is_wanted: Whether the call itself is measured; sampling may leave it out.
    """

    plan: Plan
    hooks: Started | None
    is_wanted: bool

    def finish(
        self, span: Span, call: Call, *, response: Any, exception: BaseException | None, line: Line | None
    ) -> None:
        """Hand over the timing, with what an entry point's line identifies it by, and then the numbers of the line."""
        if self.is_wanted:
            fields = _fields_of(line)
            hooks = self.hooks or NONE_STARTED if fields else self.hooks  # a draft would have no room for fields
            self.plan.finish(hooks, span, call, response=response, exception=exception, fields=fields)
        _emit_numbers(line)

    async def finish_async(
        self, span: Span, call: Call, *, response: Any, exception: BaseException | None, line: Line | None
    ) -> None:
        """Do what `finish` does, awaiting asynchronous hooks."""
        if self.is_wanted:
            fields = _fields_of(line)
            hooks = self.hooks or NONE_STARTED if fields else self.hooks
            await self.plan.finish_async(hooks, span, call, response=response, exception=exception, fields=fields)
        _emit_numbers(line)


def _fields_of(line: Line | None) -> dict[str, Any] | None:
    """Return the texts among a line's metrics and its identifiers, which win where both have a name."""
    noted = None if line is None else line.noted()
    if noted is None:
        return None
    texts = {name: value for name, value in noted.metrics.items() if isinstance(value, str)}
    return beside_core(texts | noted.identifiers) or None


def _emit_numbers(line: Line | None) -> None:
    """Write a metric for each number among a line's metrics, with the identifiers as fields."""
    noted = None if line is None else line.noted()
    if noted is None or not noted.metrics:
        return
    snapshot = current()
    fields: dict[str, Any] = {HOSTNAME: snapshot.hostname, TIMESTAMP: datetime.now(timezone.utc)}
    if snapshot.values.origin is not None:
        fields[ORIGIN] = snapshot.values.origin
    fields |= beside_core(noted.identifiers)
    for name, value in noted.metrics.items():
        if isinstance(value, (int, float)):
            emit(Metric({NAME: name, VALUE: int(value) if isinstance(value, bool) else value, **fields}, kind="value"))
