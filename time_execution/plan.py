"""What a call needs to know, compiled once for each measured thing and each version of the settings."""

from __future__ import annotations

import random
import weakref
from collections import deque
from datetime import datetime, timezone
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any, ClassVar

from time_execution import config
from time_execution.forking import on_fork
from time_execution.guard import Untouched, faults
from time_execution.hooks.chain import NONE_STARTED, Call, Chain, Started
from time_execution.pipeline import IN_BACKENDS, IN_HOOKS, AsyncHooks, Place, Sinks, inside_task, sinks_of, this_thread
from time_execution.settings import current, live
from time_execution.types import CORE_FIELDS, HOOK_ERROR, HOSTNAME, NAME, ORIGIN, TIMESTAMP, VALUE, Metric

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from time_execution.config import Values
    from time_execution.delivery.channel import Channel
    from time_execution.settings import Snapshot

_UTC = timezone.utc
_now = datetime.now
_new_metric = Metric.__new__  # its constructor in Python would cost as much as the rest of a metric
_NO_CHANNEL: Any = None
_NO_VERSION = 0
_NO_SIZE = -1
# Not the module's own generator: a program that seeds it counts on its numbers.
_chance = random.Random()  # noqa: S311 - no secret
_draw = _chance.random

Span = tuple[int, int]
"""Two readings of ``time.perf_counter_ns()``: when a call began and when it ended."""


class Plan:
    """How one thing is measured under one snapshot. Immutable once compiled; a `Draft` for the queue.

    Attributes:
        version: The version of the settings for which a call may take the fast way, or 0 when it never may.
        telling: The version for which a call that returns may end in `tell`, or 0 when it never may.
        serial: The version of the settings that this was compiled for.
        channel: On the fast way, the one channel to append to; `queue` and `append` are its own.
        skip: Nothing is measured: switched off, filtered out by name, or there is nobody to tell.
        partial: Not every call is measured.
        eager: The metric is made by the caller, since hooks or a direct backend must see it.
    """

    __slots__ = (
        "__weakref__",
        "_chain",
        "_core_size",
        "_duration_field",
        "_hook",
        "_outlet",
        "_sample_rate",
        "_sinks",
        "_tells",
        "_template",
        "append",
        "channel",
        "eager",
        "partial",
        "queue",
        "serial",
        "skip",
        "telling",
        "version",
    )

    def __init__(self, target: Target, snapshot: Snapshot) -> None:
        values = snapshot.values
        self.serial = snapshot.version
        self._sinks: Sinks = sinks_of(snapshot, *target.own_backends(values))
        chain = self._chain = Chain(target.hooks(values), series=target.name, raises=values.raise_errors)
        self._hook = chain.first
        self._outlet = self._sinks.first
        self._tells = False
        self.eager = bool(chain.links) or self._sinks.has_direct
        useless = not (self.eager or self._sinks.channels)
        self.skip = useless or not values.enabled or not _is_wanted(target.name, values.include, values.exclude)
        self._sample_rate = values.sample_rate
        self.partial = self.skip or values.sample_rate < 1.0
        self._duration_field = values.duration_field
        # In the order of the document that users know from upstream.
        self._template: dict[str, Any] = {NAME: target.name, values.duration_field: 0.0, HOSTNAME: snapshot.hostname}
        if values.origin is not None:
            self._template[ORIGIN] = values.origin
        if values.sample_rate < 1.0:
            self._template["sample_rate"] = values.sample_rate
            on_fork(_chance.seed)  # children of one parent would all choose the same calls
        is_core = {*self._template, TIMESTAMP} == {*CORE_FIELDS}
        self._core_size = len(CORE_FIELDS) if is_core else _NO_SIZE
        channels = self._sinks.channels
        fast = not (self.partial or self.eager) and len(channels) == 1
        self.version = self.serial if fast else _NO_VERSION
        telling = self.eager and not self.partial and chain.is_plain
        self.telling = self.serial if telling else _NO_VERSION
        self.channel: Channel = channels[0] if fast else _NO_CHANNEL
        self.queue: deque[Any] = self.channel.queue if fast else deque()
        self.append: Callable[[Any], None] = self.queue.append

    def metric(self, started: int, ended: int, wall_offset: int) -> Metric:
        """Return the metric of a call, its timestamp in integer nanoseconds; see `types.Draft`."""
        metric = _new_metric(Metric)
        metric.update(self._template)
        metric[self._duration_field] = (ended - started) / 1_000_000
        metric[TIMESTAMP] = ended + wall_offset
        return metric

    def is_wanted(self, *, awaits: bool = False) -> bool:
        """Whether this call is measured.

        Not when measuring is switched off, the name is filtered out, or the call is not among the share drawn; and not,
        though counted, when a hook or a direct backend of ours makes the call, since that could go on without end.

        Args:
            awaits: Asynchronous hooks are awaited for the call, so that it may be one of theirs.
        """
        if self.skip or (self._sample_rate < 1.0 and _draw() >= self._sample_rate):
            return False
        return not self.is_reentrant(awaits=awaits)

    def is_reentrant(self, *, awaits: bool = False) -> bool:
        """Whether a hook or a direct backend of ours makes this call, which is counted; `awaits` as for `is_wanted`."""
        if self.eager and (this_thread.place.within or (awaits and inside_task.get())):
            faults.count("hook", str(self._template[NAME]), "reentrant")
            return True
        return False

    def begin(self, call: Call) -> Started | None:
        """Start the hooks that run around the call; returns them, or None when a draft will do for the metric."""
        if not self._chain.has_generators:
            return NONE_STARTED if self.eager else None
        place = this_thread.place
        before, place.within = place.within, IN_HOOKS
        try:
            return self._chain.begin(*call)
        finally:
            place.within = before

    def finish(
        self,
        started: Started | None,
        span: Span,
        call: Call,
        *,
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
            exception: What it raised; left as it was, whatever hooks do with it.
            fields: More fields of this one metric.
        """
        if started is None:
            for channel in self._sinks.channels:
                channel.put((self, *span))
            return
        if exception is not None:
            with Untouched(exception):
                self._finish_eagerly(started, span, call, response, exception, fields)
        else:
            self._finish_eagerly(started, span, call, response, exception, fields)

    def _finish_eagerly(  # noqa: PLR0917 - handed on as they came
        self,
        started: Started,
        span: Span,
        call: Call,
        response: Any,
        exception: BaseException | None,
        fields: dict[str, Any] | None,
    ) -> None:
        if self._tells and (fields := self.own_fields(started, call, exception)) is None:
            return
        metric = self._eager_metric(span, fields)
        place = this_thread.place
        before, place.within = place.within, IN_HOOKS
        try:
            if self._hook is not None:
                self._chain.finish(metric, started, call, response, exception)
                self._name_again(metric)
            self._sinks.put_inside(metric, place)
        finally:
            place.within = before

    def own_fields(self, started: Any, call: Call, exception: BaseException | None) -> dict[str, Any] | None:  # noqa: ARG002
        """Return the fields that a source adds, once for each call; None when there is nothing to hand over.

        Asked of plans that say so by `_tells`, whose blocks have no fields beside.
        """
        return {}

    def _eager_metric(self, span: Span, fields: dict[str, Any] | None) -> dict[str, Any]:
        """Return the metric of a call that just ended, as hooks and direct backends see it."""
        metric = self._template.copy()
        metric[self._duration_field] = (span[1] - span[0]) / 1_000_000
        metric[TIMESTAMP] = _now(_UTC)
        if fields:
            metric.update(fields)
        return metric

    def _name_again(self, metric: dict[str, Any]) -> Any:
        """Return the series' name, given back where a hook took it away: no store could tell whose metric it is."""
        name = metric[NAME] = metric.get(NAME) or self._template[NAME]
        return name

    def tell(self, place: Place, started: int, ended: int, func: Any, args: Any, kwargs: Any, response: Any) -> None:  # noqa: PLR0917
        """Do what `finish` does for a call that returned, where `telling` allows; `place` is the calling thread's.

        It is what most calls pay for that hooks or direct backends have to see, so it is written out: each function
        called here, each loop over a tuple, and each dict unpacked into keywords, would show in what a call costs.
        """
        metric = self._template.copy()
        metric[self._duration_field] = (ended - started) / 1_000_000
        metric[TIMESTAMP] = _now(_UTC)
        place.within = IN_HOOKS
        try:
            hook, outlet = self._hook, self._outlet
            while hook is not None:
                call = hook.call
                try:
                    if found := call(
                        response=response, exception=None, metric=metric, func=func, func_args=args, func_kwargs=kwargs
                    ):
                        metric.update(found)
                except Exception as exc:  # noqa: BLE001 - see `guard`
                    metric[HOOK_ERROR] = hook.fail(exc).error
                hook = hook.following
            place.within = IN_BACKENDS
            try:
                name = metric[NAME] or self._name_again(metric)
                if is_core := len(metric) == self._core_size:
                    value, hostname, timestamp = metric[VALUE], metric[HOSTNAME], metric[TIMESTAMP]
            except KeyError:  # a hook put a field of its own in the place of one of these
                name, is_core = self._name_again(metric), False
            while outlet is not None:
                write = outlet.write
                try:
                    if is_core and write is not None:
                        write(name, value=value, hostname=hostname, timestamp=timestamp)  # type: ignore[possibly-undefined]
                    elif write is None or outlet.taken in metric:
                        outlet.call(metric)
                    else:
                        write(**metric)
                except Exception as exc:  # noqa: BLE001 - see `guard`
                    outlet.fail(exc)
                outlet = outlet.following
        finally:
            place.within = None

    async def finish_async(
        self,
        started: Started | None,
        span: Span,
        call: Call,
        *,
        response: Any = None,
        exception: BaseException | None = None,
        fields: dict[str, Any] | None = None,
    ) -> None:
        """Do what `finish` does, awaiting asynchronous hooks; not where `CancelledError` or the like must pass at once.

        Nothing keeps them from being awaited for an asynchronous generator that is closed, which is no failure.
        """
        if (
            started is None
            or not self._chain.has_async
            or not (exception is None or issubclass(type(exception), Exception))
        ):
            self.finish(started, span, call, response=response, exception=exception, fields=fields)
            return
        if self._tells and (fields := self.own_fields(started, call, exception)) is None:
            return
        metric = self._eager_metric(span, fields)
        hooks = AsyncHooks()
        token = inside_task.set(hooks)
        try:
            with Untouched(exception):
                await self._chain.finish_async(metric, started, call, response, exception)
            self._name_again(metric)
        finally:
            hooks.ended = True
            inside_task.reset(token)
        self._sinks.put(metric)


class Target:
    """A thing that is measured, and its plan for the settings in force. Thread-safe: plans are replaced whole.

    Sources with hooks or backends of their own, or another kind of plan, are subclasses.

    Args:
        func: What is called, and what hooks get as ``func``.
        name: The name of its series.
        extra_hooks: Run after those of the settings.
        disable_default_hooks: Leave out those of the settings.

    Attributes:
        plan_type: What it is measured by.
        wrappers: What makes its wrappers, by kind of callable, where not those of `time_execution.wrapper`.

    Raises:
        ConfigurationError: When the name is no text, or empty.
    """

    plan_type: ClassVar[type[Plan]] = Plan
    wrappers: ClassVar[Mapping[str, Callable[[Any, Any], Callable[..., Any]]]] = {}
    __slots__ = ("__weakref__", "_override", "disable_default_hooks", "extra_hooks", "func", "name", "plan")

    def __init__(
        self,
        func: Any,
        name: Any,
        *,
        extra_hooks: Sequence[Callable[..., Any]] = (),
        disable_default_hooks: bool = False,
    ) -> None:
        is_text = isinstance(name, str) and bool(name)
        config.expect("a text that is not empty", name, where="the name of a series", is_right=is_text)
        self.func = func
        self.name: str = name
        self.extra_hooks = tuple(extra_hooks)
        self.disable_default_hooks = disable_default_hooks
        self._override: Callable[[], Plan | None] = _nothing
        self.plan = self.plan_type(self, live.snapshot)

    def hooks(self, values: Values) -> tuple[Callable[..., Any], ...]:
        """Return the hooks that run under these settings, in order."""
        return self.extra_hooks if self.disable_default_hooks else (*values.hooks, *self.extra_hooks)

    def own_backends(self, values: Values) -> tuple[Any, ...]:  # noqa: ARG002 - for those that have some
        """Return the backends that get its metrics besides those of the settings."""
        return ()

    def mark(self, wrapper: Any) -> None:
        """Write on what it is wrapped in how it is called; `fqn` and `get_fqn` as upstream has them."""
        wrapper.fqn = self.name
        wrapper.get_fqn = lambda: self.name

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle what was asked for; how it is measured is up to the settings of the process that loads it."""
        return _restore, (self.name, self.extra_hooks, self.disable_default_hooks), (None, {"func": self.func})

    def refresh(self) -> Plan:
        """Return the plan for the settings in force in this context, compiling it when they changed."""
        snapshot = current()
        if snapshot is live.snapshot:
            plan = self.plan
            if plan.serial != snapshot.version:
                plan = self.plan = self.plan_type(self, snapshot)
            return plan
        override = self._override()
        if override is None or override.serial != snapshot.version:
            plans = snapshot.plans
            override = plans.get(self)
            if override is None:
                override = plans[self] = self.plan_type(self, snapshot)
            self._override = weakref.ref(override)  # so that the block's backends end with the block
        return override


def _restore(name: str, extra_hooks: tuple[Any, ...], disable_default_hooks: bool) -> Target:  # noqa: FBT001
    return Target(None, name, extra_hooks=extra_hooks, disable_default_hooks=disable_default_hooks)


def _nothing() -> None:
    return None


def _is_wanted(name: str, include: Sequence[str], exclude: Sequence[str]) -> bool:
    if include and not any(fnmatchcase(name, pattern) for pattern in include):
        return False
    return not any(fnmatchcase(name, pattern) for pattern in exclude)
