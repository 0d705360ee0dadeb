"""Running the hooks of one measured function, in order, each shielded from the others and the caller from all.

Three shapes of hook are told apart once, when a plan is compiled: plain, generator (runs around the call) and
``async def`` (awaited on asynchronous functions; skipped and counted on others).
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Generator, Mapping, Sequence
from typing import Any, TypeAlias

from time_execution.guard import Guard, faults
from time_execution.types import HOOK_ERROR

_PLAIN, _GENERATOR, _ASYNC = "plain", "generator", "async"
Started: TypeAlias = "dict[int, Generator[None, Any, Any]]"
"""Generator hooks that wait at their ``yield``: position in the chain -> generator."""


class Chain:
    """The hooks of a plan. Immutable and thread-safe; falsy when there are none.

    Args:
        hooks: Called in this order; each sees what the ones before it merged.
        raise_errors: Let exceptions of hooks through; for tests.
    """

    __slots__ = ("_hooks", "_kinds", "is_async", "wraps")

    def __init__(self, hooks: Sequence[Callable[..., Any]], *, raise_errors: bool = False) -> None:
        self._hooks = tuple((hook, Guard("hook", label_of(hook), raise_errors=raise_errors)) for hook in hooks)
        self._kinds = tuple(_kind(hook) for hook in hooks)
        self.is_async = _ASYNC in self._kinds
        self.wraps = _GENERATOR in self._kinds

    def __len__(self) -> int:
        """Return the number of hooks."""
        return len(self._hooks)

    def begin(self, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any], metric: dict[str, Any]) -> Started:
        """Run each generator hook up to its ``yield``; called just before the measured function.

        Args:
            func: The measured function.
            args: Its positional arguments.
            kwargs: Its keyword arguments; generator hooks get a copy, so that the call cannot be changed.
            metric: Where a failure is noted.
        """
        started: Started = {}
        for position, (hook, guard) in enumerate(self._hooks):
            if self._kinds[position] != _GENERATOR:
                continue
            done = False
            with guard:
                generator = hook(func=func, func_args=args, func_kwargs=dict(kwargs))
                next(generator)
                started[position] = generator
                done = True
            if not done:
                metric[HOOK_ERROR] = guard.last
        return started

    def finish(self, metric: dict[str, Any], started: Started, context: dict[str, Any]) -> None:
        """Run the hooks after the call and merge what they return; asynchronous ones are skipped and counted.

        Args:
            metric: Changed in place.
            started: What `begin` returned.
            context: ``response``, ``exception``, ``metric``, ``func``, ``func_args``, ``func_kwargs``.
        """
        for position, (hook, guard) in enumerate(self._hooks):
            kind = self._kinds[position]
            if kind is _ASYNC:
                faults.count("hook", label_of(hook), "async hook skipped on a synchronous function")
                continue
            done = False
            with guard:
                found = hook(**context) if kind is _PLAIN else _resume(started.get(position), context)
                if found:
                    metric.update(found)
                done = True
            if not done:
                metric[HOOK_ERROR] = guard.last

    async def finish_async(self, metric: dict[str, Any], started: Started, context: dict[str, Any]) -> None:
        """Run the hooks as `finish` does, awaiting the asynchronous ones."""
        for position, (hook, guard) in enumerate(self._hooks):
            kind = self._kinds[position]
            done = False
            with guard:
                if kind is _GENERATOR:
                    found = _resume(started.get(position), context)
                else:
                    found = hook(**context)
                    if kind is _ASYNC:
                        found = await found
                if found:
                    metric.update(found)
                done = True
            if not done:
                metric[HOOK_ERROR] = guard.last


def _resume(generator: Generator[None, Any, Any] | None, context: dict[str, Any]) -> Mapping[str, Any] | None:
    """Hand a waiting generator hook the outcome and return what it returns."""
    if generator is None:
        return None
    try:
        generator.send((context["response"], context["exception"], context["metric"]))
    except StopIteration as stop:
        found: Mapping[str, Any] | None = stop.value
        return found
    generator.close()
    msg = "a generator hook must yield once"
    raise RuntimeError(msg)


def _kind(hook: Callable[..., Any]) -> str:
    while isinstance(hook, functools.partial):
        hook = hook.func
    for candidate in (hook, getattr(type(hook), "__call__", None)):  # noqa: B004 - its kind is asked, not its presence
        if inspect.isgeneratorfunction(candidate):
            return _GENERATOR
        if inspect.iscoroutinefunction(candidate):
            return _ASYNC
    return _PLAIN


def label_of(thing: Any) -> str:
    """Return a name for a hook or a backend: of the function, or of the object's class."""
    while isinstance(thing, functools.partial):
        thing = thing.func
    return str(getattr(thing, "__qualname__", None) or type(thing).__qualname__)
