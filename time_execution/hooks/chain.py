"""Running the hooks of one measured function, in order, each shielded from the others and the caller from all.

Three shapes of hook are told apart once, when a plan is compiled: plain, generator (runs around the call) and
``async def`` (awaited on asynchronous functions; skipped and counted on others).
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Generator, Sequence
from typing import Any, TypeAlias

from time_execution.guard import Failed, Step, faults
from time_execution.types import HOOK_ERROR

_PLAIN, _GENERATOR, _ASYNC = "plain", "generator", "async"
Started: TypeAlias = "dict[int, tuple[Generator[Any, Any, Any] | Failed, Step]]"
"""Generator hooks that wait at their ``yield`` (or `Failed` in their place), and how to go on with each."""
NONE_STARTED: Started = {}

Call: TypeAlias = "tuple[Any, tuple[Any, ...], dict[str, Any]]"
"""What was called: the function, its positional arguments, its keyword arguments."""


class Chain:
    """The hooks of a plan. Immutable and thread-safe.

    Args:
        hooks: Called in this order; each sees what the ones before it merged.
        series: The name of what is measured; handed to the generator hooks that take ``series``.
        raises: Let exceptions of hooks through; for tests.

    Attributes:
        first: The first hook, from which a plan may call them one after the other itself when `is_plain`; or None.
        is_plain: Whether all of them are plain, or there is none.
    """

    __slots__ = ("first", "has_async", "has_generators", "is_plain", "steps")

    def __init__(self, hooks: Sequence[Callable[..., Any]], *, series: str, raises: bool = False) -> None:
        self.first: Step | None = None
        steps = []
        for untold in reversed(hooks):
            hook = _told(untold, series)
            self.first = Step(hook, kind="hook", label=label_of(hook), raises=raises, following=self.first)
            steps.append((self.first, _kind(hook)))
        self.steps = tuple(reversed(steps))
        kinds = {kind for _, kind in self.steps}
        self.is_plain = kinds <= {_PLAIN}
        self.has_async = _ASYNC in kinds
        self.has_generators = _GENERATOR in kinds

    def begin(self, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Started:
        """Run each generator hook up to its ``yield``; called just before the measured function.

        Args:
            func: The measured function.
            args: Its positional arguments.
            kwargs: Its keyword arguments; each generator hook gets a copy, so that the call cannot be changed.
        """
        started: Started = {}
        for step, kind in self.steps:
            if kind is not _GENERATOR:
                continue
            resume = Step(_resume, kind="hook", label=step.label, raises=step.raises)
            waiting = step.attempt(func=func, func_args=args, func_kwargs=dict(kwargs))
            if type(waiting) is not Failed:
                found = resume.attempt(waiting, None)
                waiting = found if type(found) is Failed else waiting
            started[id(step)] = waiting, resume
        return started

    def finish(
        self, metric: dict[str, Any], started: Started, call: Call, response: Any, exception: BaseException | None
    ) -> None:
        """Run the hooks after the call and merge what they return; asynchronous ones are skipped and counted.

        Args:
            metric: Changed in place.
            started: What `begin` returned.
            call: The measured function and its arguments.
            response: What it returned.
            exception: What it raised.
        """
        context = _context(metric, call, response, exception)
        for step, kind in self.steps:
            if kind is _PLAIN:
                _merge(metric, step.attempt(**context), step)
            elif kind is _GENERATOR:
                _finish_generator(metric, started, step, context)
            else:
                faults.count("hook", step.label, "async hook skipped on a synchronous function")

    async def finish_async(
        self, metric: dict[str, Any], started: Started, call: Call, response: Any, exception: BaseException | None
    ) -> None:
        """Run the hooks as `finish` does, awaiting the asynchronous ones."""
        context = _context(metric, call, response, exception)
        for step, kind in self.steps:
            if kind is _PLAIN:
                _merge(metric, step.attempt(**context), step)
            elif kind is _GENERATOR:
                _finish_generator(metric, started, step, context)
            else:
                _merge(metric, await step.attempt_async(context), step)


def _merge(metric: dict[str, Any], found: Any, step: Step) -> None:
    """Merge what a hook returned; note it on the metric when the hook failed, or returned what cannot be merged."""
    if found is None:
        return
    if type(found) is not Failed:
        merge = Step(lambda: found and metric.update(found), kind="hook", label=step.label, raises=step.raises)
        found = merge.attempt()
    if type(found) is Failed:
        metric[HOOK_ERROR] = found.error


def _finish_generator(metric: dict[str, Any], started: Started, step: Step, context: dict[str, Any]) -> None:
    waiting, resume = started[id(step)]
    if type(waiting) is not Failed:
        waiting = resume.attempt(waiting, (context["response"], context["exception"], metric))
    _merge(metric, waiting, step)


def _context(metric: dict[str, Any], call: Call, response: Any, exception: BaseException | None) -> dict[str, Any]:
    """Return what plain hooks are called with, by keyword."""
    func, args, kwargs = call
    return {
        "response": response,
        "exception": exception,
        "metric": metric,
        "func": func,
        "func_args": args,
        "func_kwargs": kwargs,
    }


def _resume(generator: Generator[Any, Any, Any], outcome: Any) -> Any:
    """Run a generator hook up to its ``yield`` (outcome None), or from there to its end, and return what it returns."""
    try:
        generator.send(outcome)
    except StopIteration as stop:
        if outcome is None:
            raise TypeError("a generator hook must yield once") from None
        return stop.value
    if outcome is not None:
        generator.close()
        raise TypeError("a generator hook must yield once")
    return None


def _told(hook: Callable[..., Any], series: str) -> Callable[..., Any]:
    """Return a hook, told the series beforehand if it is a generator hook that takes it."""
    if _kind(hook) is _GENERATOR and "series" in inspect.signature(hook).parameters:
        return functools.partial(hook, series=series)
    return hook


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
