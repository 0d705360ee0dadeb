"""What `Timer` does around a call: it reads clocks and memory, and adds what it found to the call's metric."""

from __future__ import annotations

import time
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar

from time_execution.formats.argument_text import argument_text
from time_execution.guard import Failed, Step
from time_execution.hooks.exception import qualified_name
from time_execution.timer import call_id, output, record
from time_execution.timer.callee import CAUGHT, TIMED
from time_execution.timer.recorded import RecordedPlan, RecordedTarget
from time_execution.types import TIMESTAMP

if TYPE_CHECKING:
    from time_execution.config import Values
    from time_execution.hooks.chain import Call, Started
    from time_execution.plan import Plan, Span
    from time_execution.settings import Snapshot


class TimerPlan(RecordedPlan):
    """How a call is timed and recorded under one snapshot of the settings."""

    __slots__ = ("_look", "_look_again")

    def __init__(self, target: TimerTarget, snapshot: Snapshot) -> None:
        super().__init__(target, snapshot)
        raises = snapshot.values.raise_errors
        self._look = Step(self._begin, kind="hook", label="Timer", raises=raises)
        self._look_again = Step(self._end, kind="hook", label="Timer", raises=raises)

    def is_wanted(self, *, awaits: bool = False) -> bool:
        """Whether this call is measured; if it is not, nobody else takes an id that was meant for it."""
        is_wanted = super().is_wanted(awaits=awaits)
        if not is_wanted:
            call_id.take(self._target.callee(self._target.func).innermost, TIMED)
        return is_wanted

    def begin(self, call: Call) -> Started | None:
        """Start the hooks that run around the call, and look at the machine last."""
        begun = _Begun(super().begin(call) or ()) if self._chain.has_generators else _Begun()
        begun.call_id = begun.arguments = begun.rss = begun.shared_by = None
        self._look.attempt(begun, call)
        if begun.shared_by is not None:  # not before: a sanitizer may call the same function, or end the program
            call_id.hand_over(begun.call_id, begun.shared_by, CAUGHT)
        return begun

    def _begin(self, begun: _Begun, call: Call) -> None:
        func, args, kwargs = call
        timer, callee = self._target.source, self._target.callee(func)
        begun.call_id = call_id.take(callee.innermost, TIMED) or call_id.new_id()
        if callee.is_caught:
            begun.shared_by = callee.innermost
        arguments = callee.bind(args, kwargs)
        begun.arguments = argument_text(arguments, max_length=timer.max_arg_length, sanitize=timer.sanitize)
        if timer.read_rss is not None:
            begun.rss = timer.read_rss()
            begun.cpu = time.process_time_ns()

    def _end(self, begun: _Begun) -> dict[str, Any]:
        read_rss, before = self._target.source.read_rss, begun.rss
        cpu = change = rss = None
        if before is not None:
            cpu = (time.process_time_ns() - begun.cpu) / 1_000_000
            rss = read_rss() or None  # 0 is what could not be read
            change = rss - before if before and rss else None
        if begun.shared_by is not None:
            call_id.forget(begun.call_id)
        told: dict[str, Any] = {}
        told[record.CALL_ID] = begun.call_id or call_id.new_id()
        told[record.CPU_MS] = cpu
        told[record.MEMORY_CHANGE_BYTES] = change
        told[record.RSS_BYTES] = rss
        told[record.ARGUMENTS] = begun.arguments
        return told

    def own_fields(self, started: Any, call: Call, exception: BaseException | None) -> dict[str, Any]:  # noqa: ARG002 - of errors
        """Return the fields that the pipeline's metric has not."""
        found = self._look_again.attempt(started)
        told: dict[str, Any] = {} if isinstance(found, Failed) else found
        if exception is None:
            told[record.OUTCOME] = record.OK
        else:
            told[record.OUTCOME] = told[record.ERROR_TYPE] = qualified_name(type(exception))
        return told

    def _eager_metric(self, span: Span, fields: dict[str, Any] | None) -> dict[str, Any]:
        metric = super()._eager_metric(span, fields)
        metric[record.STARTED] = metric[TIMESTAMP] - timedelta(0, 0, (span[1] - span[0]) / 1000)
        return metric


class TimerTarget(RecordedTarget):
    """A callable that a `Timer` measures."""

    plan_type: ClassVar[type[Plan]] = TimerPlan
    trace: ClassVar[str] = TIMED
    __slots__ = ()

    def own_backends(self, values: Values) -> tuple[Any, ...]:
        """Return what writes the records."""
        outputs = self.source.outputs
        make = partial(record.timing_record, value_field=values.duration_field)
        return (output.RecordOutput(make, outputs),) if outputs else ()


class _Begun(dict[Any, Any]):
    """The hooks that were started, and what was found before the call; None where looking failed.

    Attributes:
        shared_by: The innermost function of the call, where an `ErrorCatcher` below is to have the same id.
    """

    __slots__ = ("arguments", "call_id", "cpu", "rss", "shared_by")

    call_id: Any
    shared_by: Any
    arguments: str | None
    rss: int | None
    cpu: int

    def __bool__(self) -> bool:
        """Whether there is something to be finished: always, also without hooks."""
        return True
