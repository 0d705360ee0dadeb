"""Running the hooks of one measured function, in order, each shielded from the others and the caller from all.

Three shapes of hook are told apart once, when a plan is compiled: plain, generator (runs around the call) and
``async def`` (awaited on asynchronous functions; skipped and counted on others).
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Generator, Sequence
from typing import Any, TypeAlias

from time_execution.guard import Failed, Step, faults, label_of
from time_execution.signature import shape_of
from time_execution.types import HOOK_ERROR

_PLAIN, _GENERATOR, _ASYNC = "function", "generator", "coroutine"
Started: TypeAlias = "dict[_Link, Generator[Any, Any, Any] | Failed]"
"""Generator hooks that wait at their ``yield``, or `Failed` in their place."""
NONE_STARTED: Started = {}

Call: TypeAlias = "tuple[Any, tuple[Any, ...], dict[str, Any]]"
"""What was called: the function, its positional arguments, its keyword arguments."""


class _Link:
    """A hook in its chain: how to call it, how to go on with it where it is a generator, how to merge its answer."""

    __slots__ = ("kind", "merge", "resume", "step")

    def __init__(self, hook: Callable[..., Any], *, raises: bool, following: Step | None) -> None:
        label = label_of(hook)
        self.kind = shape_of(hook)
        self.step = Step(hook, kind="hook", label=label, raises=raises, following=following)
        self.resume = Step(_resume, kind="hook", label=label, raises=raises)
        self.merge = Step(_merge, kind="hook", label=label, raises=raises)

    def add(self, found: Any, metric: dict[str, Any]) -> None:
        """Merge what the hook returned; note it on the metric when it failed, or returned what cannot be merged."""
        if found is not None and type(found) is not Failed:
            found = self.merge.attempt(found, metric)
        if type(found) is Failed:
            metric[HOOK_ERROR] = found.error


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

    __slots__ = ("first", "has_async", "has_generators", "is_plain", "links")

    def __init__(self, hooks: Sequence[Callable[..., Any]], *, series: str, raises: bool = False) -> None:
        self.first: Step | None = None
        links = []
        for hook in reversed(hooks):
            links.append(_Link(_with_series(hook, series), raises=raises, following=self.first))
            self.first = links[-1].step
        self.links = tuple(reversed(links))
        kinds = {link.kind for link in links}
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
        for link in self.links:
            if link.kind != _GENERATOR:
                continue
            waiting = link.step.attempt(func=func, func_args=args, func_kwargs=dict(kwargs))
            if type(waiting) is not Failed:
                found = link.resume.attempt(waiting, None)
                waiting = found if type(found) is Failed else waiting
            started[link] = waiting
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
        for link in self.links:
            if link.kind == _PLAIN:
                link.add(link.step.attempt(**context), metric)
            elif link.kind == _GENERATOR:
                _finish_generator(link, started[link], context)
            else:
                faults.count("hook", link.step.label, "async hook skipped on a synchronous function")

    async def finish_async(
        self, metric: dict[str, Any], started: Started, call: Call, response: Any, exception: BaseException | None
    ) -> None:
        """Run the hooks as `finish` does, awaiting the asynchronous ones."""
        context = _context(metric, call, response, exception)
        for link in self.links:
            if link.kind == _PLAIN:
                link.add(link.step.attempt(**context), metric)
            elif link.kind == _GENERATOR:
                _finish_generator(link, started[link], context)
            else:
                link.add(await link.step.attempt_async(context), metric)


def _merge(found: Any, metric: dict[str, Any]) -> None:
    if found:
        metric.update(found)


def _finish_generator(link: _Link, waiting: Any, context: dict[str, Any]) -> None:
    metric = context["metric"]
    if type(waiting) is not Failed:
        waiting = link.resume.attempt(waiting, (context["response"], context["exception"], metric))
    link.add(waiting, metric)


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


def _with_series(hook: Callable[..., Any], series: str) -> Callable[..., Any]:
    """Return a hook, told the series beforehand if it is a generator hook that takes it."""
    if shape_of(hook) == _GENERATOR and "series" in inspect.signature(hook).parameters:
        return functools.partial(hook, series=series)
    return hook
