"""What a call needs to know, compiled once for each measured thing and each version of the settings."""

from __future__ import annotations

import random
import time
from collections import deque
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any

from time_execution.formats.timestamp import to_datetime
from time_execution.guard import faults
from time_execution.hooks.chain import Chain, Started
from time_execution.pipeline import IDLE, IN_HOOKS, Sinks, inside, sinks_of
from time_execution.settings import current, live
from time_execution.types import HOSTNAME, NAME, ORIGIN, TIMESTAMP, Metric

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from time_execution.delivery.channel import Channel
    from time_execution.settings import Snapshot

_NO_LINE: Any = None
_NO_VERSION = 0


class Plan:
    """How one thing is measured under one snapshot. Immutable once compiled; a `Draft` for the queue.

    Attributes:
        version: The version of the settings for which a call may take the fast way, or 0 when it never may.
        serial: The version of the settings that this was compiled for.
        line: On the fast way, the one channel to append to; `queue` and `append` are its own.
        skip: Nothing is measured: switched off, or filtered out by name.
        eager: The metric is made by the caller, since hooks or a direct backend must see it.
    """

    __slots__ = (
        "append",
        "chain",
        "duration_field",
        "eager",
        "line",
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
        self.chain = Chain((*default_hooks, *target.extra_hooks), raise_errors=values.raise_errors)
        self.eager = bool(self.chain or self.sinks.direct)
        # In the order of the document that users know from upstream.
        self.template: dict[str, Any] = {NAME: target.name, self.duration_field: 0.0, HOSTNAME: snapshot.hostname}
        if values.origin is not None:
            self.template[ORIGIN] = values.origin
        if target.fields:
            self.template.update(target.fields)
        if self.sample_rate < 1.0:
            self.template["sample_rate"] = self.sample_rate
        channels = self.sinks.channels
        fast = not (self.skip or self.eager or self.sample_rate < 1.0) and len(channels) == 1
        self.version = self.serial if fast else _NO_VERSION
        self.line: Channel = channels[0] if fast else _NO_LINE
        self.queue: deque[Any] = self.line.queue if fast else deque()
        self.append: Callable[[Any], None] = self.queue.append

    def metric(self, started: int, ended: int, wall_offset: int) -> Metric:
        """Return the metric of a call, its timestamp in integer nanoseconds; see `types.Draft`."""
        metric = Metric(self.template)
        metric[self.duration_field] = (ended - started) / 1e6
        metric[TIMESTAMP] = ended + wall_offset
        return metric

    def is_sampled(self) -> bool:
        """Draw whether this call is measured."""
        return bool(self.sample_rate >= 1.0 or random.random() < self.sample_rate)  # noqa: S311 - no secret depends on it

    # ---- the eager way ---------------------------------------------------------------------------------------------

    def begin(self, target: Target, args: tuple[Any, ...], kwargs: dict[str, Any], *, eager: bool = False) -> Begun:
        """Start the metric and the hooks that run around the call; None when a draft will do."""
        if not (self.eager or eager):
            return None
        metric = Metric(self.template)
        if not self.chain.wraps:
            return metric, {}
        token = inside.set(IN_HOOKS)
        try:
            return metric, self.chain.begin(target.func, args, kwargs, metric)
        finally:
            inside.reset(token)

    def finish(self, target: Target, begun: Begun, span: Span, outcome: Outcome) -> None:
        """Complete the metric of a call that just ended, run the hooks and hand it to the backends."""
        if begun is None:
            for channel in self.sinks.channels:
                channel.admit((self, *span))
            return
        metric, hooks = begun
        self._complete(metric, span)
        if self.chain:
            token = inside.set(IN_HOOKS)
            try:
                self.chain.finish(metric, hooks, _context(target, metric, outcome))
            finally:
                inside.reset(token)
        self.sinks.put(metric)

    async def finish_async(self, target: Target, begun: Begun, span: Span, outcome: Outcome) -> None:
        """Complete the metric as `finish` does, awaiting asynchronous hooks."""
        if begun is None or not self.chain.is_async:
            self.finish(target, begun, span, outcome)
            return
        metric, hooks = begun
        self._complete(metric, span)
        token = inside.set(IN_HOOKS)
        try:
            await self.chain.finish_async(metric, hooks, _context(target, metric, outcome))
        finally:
            inside.reset(token)
        self.sinks.put(metric)

    def _complete(self, metric: Metric, span: Span) -> None:
        metric[self.duration_field] = (span[1] - span[0]) / 1e6
        metric[TIMESTAMP] = to_datetime(time.time_ns())


Begun = tuple[Metric, Started] | None
"""A metric that a call has started, and its waiting hooks; None when a draft will do."""

Span = tuple[int, int]
"""Two readings of ``time.perf_counter_ns()``: when a call began and when it ended."""
Outcome = tuple[Any, "BaseException | None", tuple[Any, ...], dict[str, Any]]
"""How a call ended: response, exception, and the arguments it had."""


def _context(target: Target, metric: Metric, outcome: Outcome) -> dict[str, Any]:
    response, exception, args, kwargs = outcome
    return {
        "response": response,
        "exception": exception,
        "metric": metric,
        "func": target.func,
        "func_args": args,
        "func_kwargs": kwargs,
    }


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

    def wants(self, plan: Plan) -> bool:
        """Whether this call is measured: not when filtered out, not sampled, or made by a hook or a backend of ours."""
        if plan.skip or not plan.is_sampled():
            return False
        if plan.eager and inside.get() != IDLE:
            faults.count("hook", self.name, "reentrant")
            return False
        return True


def _is_wanted(name: str, include: Sequence[str], exclude: Sequence[str]) -> bool:
    if include and not any(fnmatchcase(name, pattern) for pattern in include):
        return False
    return not any(fnmatchcase(name, pattern) for pattern in exclude)
