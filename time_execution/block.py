"""Measuring a block of code: the context manager behind ``time_execution.block``."""

from __future__ import annotations

from time import perf_counter_ns as clock
from typing import TYPE_CHECKING, Any

from time_execution.exceptions import ConfigurationError
from time_execution.hooks.chain import NONE_STARTED
from time_execution.plan import Target
from time_execution.settings import current
from time_execution.types import HOSTNAME, NAME, TIMESTAMP

if TYPE_CHECKING:
    from types import TracebackType

    from typing_extensions import Self

    from time_execution.hooks.chain import Started
    from time_execution.plan import Plan

_MAX_TARGETS = 1000
_targets: dict[str, Target] = {}


class Block:
    """Measures the code of a ``with`` or ``async with`` statement; hooks run as for a function without arguments.

    Not to be shared between threads; may be used again after it was left.

    Args:
        name: The series.
        fields: Fields of the metric; more may be added inside the block, through `fields`, and as with a hook, those
            there win over what the metric has.
        target: How it is measured; by default as the blocks of that name are.

    Raises:
        ConfigurationError: When the name is no text or empty, or one of the fields is a core field of the metric.
    """

    __slots__ = ("_hooks", "_plan", "_started", "_target", "fields")

    def __init__(self, name: Any, fields: dict[str, Any], *, target: Target | None = None) -> None:
        if target is None:
            target = _targets.get(name) if isinstance(name, str) else Target(None, name)  # which refuses it
        if target is None:
            if len(_targets) >= _MAX_TARGETS:  # names made at run time must not pile up
                _targets.clear()
            target = _targets[name] = Target(None, name)
        if fields:
            _refuse_core(fields)
        self._target = target
        self.fields = fields
        self._hooks: Started = NONE_STARTED
        self._plan: Plan | None = None
        self._started = 0

    @property
    def name(self) -> str:
        """The series."""
        return self._target.name

    def __enter__(self) -> Self:
        """Start the clock."""
        return self._enter(awaits=False)

    def _enter(self, *, awaits: bool) -> Self:
        plan = self._target.refresh()
        self._plan = plan if plan.is_wanted(awaits=awaits) else None
        self._hooks = NONE_STARTED
        if plan.eager and self._plan is not None:
            self._hooks = plan.begin((self, (), self.fields)) or NONE_STARTED
        self._started = clock()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Stop the clock and hand over the metric; an exception passes."""
        span = (self._started, clock())
        if self._plan is not None:
            call = (self, (), self.fields)
            self._plan.finish(self._hooks, span, call, exception=exc, fields=self.fields)

    async def __aenter__(self) -> Self:
        """Start the clock."""
        return self._enter(awaits=True)

    async def __aexit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Stop the clock and hand over the metric, awaiting asynchronous hooks; an exception passes."""
        span = (self._started, clock())
        if self._plan is not None:
            call = (self, (), self.fields)
            await self._plan.finish_async(self._hooks, span, call, exception=exc, fields=self.fields)


def _refuse_core(fields: dict[str, Any]) -> None:
    taken = fields.keys() & {NAME, current().values.duration_field, HOSTNAME, TIMESTAMP}
    if taken:
        msg = f"block(): {', '.join(sorted(taken))} cannot be given: it is what the block measures itself"
        raise ConfigurationError(msg)
