"""What a call needs to know, compiled once for each measured thing and each version of the settings."""

from __future__ import annotations

import random
from _thread import get_ident
from collections import deque
from datetime import datetime, timezone
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any

from time_execution.guard import faults
from time_execution.hooks.chain import NONE_STARTED, Call, Chain, Started
from time_execution.pipeline import IN_HOOKS, Sinks, inside, inside_task, sinks_of
from time_execution.settings import current, live
from time_execution.types import HOSTNAME, NAME, ORIGIN, TIMESTAMP, Metric

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from time_execution.delivery.channel import Channel
    from time_execution.settings import Snapshot

_UTC = timezone.utc
_now = datetime.now
_new_metric = Metric.__new__  # its constructor in Python would cost as much as the rest of a metric
_NO_LINE: Any = None
_NO_VERSION = 0

Span = tuple[int, int]
"""Two readings of ``time.perf_counter_ns()``: when a call began and when it ended."""


class Plan:
    """How one thing is measured under one snapshot. Immutable once compiled; a `Draft` for the queue.

    Attributes:
        version: The version of the settings for which a call may take the fast way, or 0 when it never may.
        serial: The version of the settings that this was compiled for.
        line: On the fast way, the one channel to append to; `queue` and `append` are its own.
        skip: Nothing is measured: switched off, or filtered out by name.
        partial: Not every call is measured.
        eager: The metric is made by the caller, since hooks or a direct backend must see it.
    """

    __slots__ = (
        "append",
        "chain",
        "duration_field",
        "eager",
        "has_hooks",
        "line",
        "partial",
        "queue",
        "sample_rate",
        "serial",
        "sinks",
        "skip",
        "template",
        "version",
    )

    def __init__(self, target: Target, snapshot: Snapshot) -> None:
        values = snapshot.values
        self.serial = snapshot.version
        self.skip = not values.enabled or not _is_wanted(target.name, values.include, values.exclude)
        self.duration_field = values.duration_field
        self.sample_rate = values.sample_rate
        self.sinks: Sinks = sinks_of(snapshot)
        default_hooks = () if target.disable_default_hooks else values.hooks
        self.chain = Chain((*default_hooks, *target.extra_hooks), raises=values.raise_errors)
        self.has_hooks = bool(self.chain)
        self.eager = bool(self.has_hooks or self.sinks.direct)
        # In the order of the document that users know from upstream.
        self.template: dict[str, Any] = {NAME: target.name, self.duration_field: 0.0, HOSTNAME: snapshot.hostname}
        if values.origin is not None:
            self.template[ORIGIN] = values.origin
        if target.fields:
            self.template.update(target.fields)
        if self.sample_rate < 1.0:
            self.template["sample_rate"] = self.sample_rate
        channels = self.sinks.channels
        self.partial = self.skip or self.sample_rate < 1.0
        fast = not (self.partial or self.eager) and len(channels) == 1
        self.version = self.serial if fast else _NO_VERSION
        self.line: Channel = channels[0] if fast else _NO_LINE
        self.queue: deque[Any] = self.line.queue if fast else deque()
        self.append: Callable[[Any], None] = self.queue.append

    def metric(self, started: int, ended: int, wall_offset: int) -> Metric:
        """Return the metric of a call, its timestamp in integer nanoseconds; see `types.Draft`."""
        metric = _new_metric(Metric)
        metric.update(self.template)
        metric[self.duration_field] = (ended - started) / 1e6
        metric[TIMESTAMP] = ended + wall_offset
        return metric

    def is_wanted(self) -> bool:
        """Whether this call is measured: switched on, not filtered out by name, and drawn when only a share is."""
        return not self.skip and random.random() < self.sample_rate  # noqa: S311 - no secret depends on it

    def is_reentrant(self) -> bool:
        """Whether measuring this call, made by a hook or a backend, could go on without end; counted when so."""
        if self.eager:
            faults.count("hook", str(self.template[NAME]), "reentrant")
        return self.eager

    def begin(self, call: Call) -> Started | None:
        """Start the hooks that run around the call; returns them, or None when a draft will do for the metric."""
        if not self.chain.has_generators:
            return NONE_STARTED if self.eager else None
        ident = get_ident()
        inside[ident] = IN_HOOKS
        try:
            return self.chain.begin(*call)
        finally:
            del inside[ident]

    def finish(
        self,
        started: Started | None,
        span: Span,
        call: Call,
        response: Any = None,
        exception: BaseException | None = None,
        fields: dict[str, Any] | None = None,
    ) -> None:
        """Make the metric of a call that just ended, run the hooks, and hand it to the backends.

        Args:
            started: What `begin` returned.
            span: When the call began and ended.
            call: The function and its arguments.
            response: What it returned.
            exception: What it raised.
            fields: More fields of this one metric.
        """
        if started is None:
            for channel in self.sinks.channels:
                channel.admit((self, *span))
            return
        metric = self._eager_metric(span, fields)
        ident = get_ident()
        inside[ident] = IN_HOOKS
        try:
            if self.has_hooks:
                self.chain.finish(metric, started, call, response, exception)
            self.sinks.put_inside(metric, ident)
        finally:
            inside.pop(ident, None)

    async def finish_async(
        self,
        started: Started | None,
        span: Span,
        call: Call,
        response: Any = None,
        exception: BaseException | None = None,
        fields: dict[str, Any] | None = None,
    ) -> None:
        """Do what `finish` does, awaiting asynchronous hooks."""
        if started is None or not self.chain.has_async:
            self.finish(started, span, call, response, exception, fields)
            return
        metric = self._eager_metric(span, fields)
        token = inside_task.set(True)
        try:
            await self.chain.finish_async(metric, started, call, response, exception)
        finally:
            inside_task.reset(token)
        self.sinks.put(metric)

    def _eager_metric(self, span: Span, fields: dict[str, Any] | None) -> dict[str, Any]:
        metric = self.template.copy()
        metric[self.duration_field] = (span[1] - span[0]) / 1e6
        metric[TIMESTAMP] = _now(_UTC)
        if fields:
            metric.update(fields)
        return metric


class Target:
    """A thing that is measured, and its plan for the settings in force. Thread-safe: plans are replaced whole.

    Args:
        func: What is called, and what hooks get as ``func``.
        name: The name of its series.
        extra_hooks: Run after those of the settings.
        disable_default_hooks: Leave out those of the settings.
        fields: Constant fields of its metrics.
    """

    __slots__ = ("_override", "disable_default_hooks", "extra_hooks", "fields", "func", "name", "plan")

    def __init__(
        self,
        func: Any,
        name: str,
        *,
        extra_hooks: Sequence[Callable[..., Any]] = (),
        disable_default_hooks: bool = False,
        fields: dict[str, Any] | None = None,
    ) -> None:
        self.func = func
        self.name = name
        self.extra_hooks = tuple(extra_hooks)
        self.disable_default_hooks = disable_default_hooks
        self.fields = fields or {}
        self._override: Plan | None = None
        self.plan = Plan(self, live.snapshot)

    def refresh(self) -> Plan:
        """Return the plan for the settings in force in this context, compiling it when they changed."""
        snapshot = current()
        if snapshot is live.snapshot:
            plan = self.plan
            if plan.serial != snapshot.version:
                self._override = None
                plan = self.plan = Plan(self, snapshot)
            return plan
        override = self._override
        if override is None or override.serial != snapshot.version:
            override = self._override = Plan(self, snapshot)
        return override


def _is_wanted(name: str, include: Sequence[str], exclude: Sequence[str]) -> bool:
    if include and not any(fnmatchcase(name, pattern) for pattern in include):
        return False
    return not any(fnmatchcase(name, pattern) for pattern in exclude)
