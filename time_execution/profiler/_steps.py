"""Functions that run in several steps: in between, what their callers do is not theirs.

A generator hands control back at each item, a plain function around a coroutine function before the first step is run.
Here they are followed step by step, so that a call is the innermost one only while its own code runs.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import AsyncGenerator, Callable, Generator
from typing import TYPE_CHECKING, Any

from time_execution.naming import named_part
from time_execution.profiler.tree import MethodTreeNode, running
from time_execution.signature import inside_partials, shape_of

if TYPE_CHECKING:
    from time_execution.profiler._site import Site


def followed(func: Any, site: Site) -> Any:
    """Return a function of the same kind that is the innermost call while it runs only; or, where it is so, itself."""
    inner = inside_partials(func)
    follow: Callable[[Any, Site], Any] | None = None
    if yields(inner):
        follow = _generator if shape_of(inner) == "generator" else _async_generator
    elif shape_of(inner) == "function" and inspect.iscoroutinefunction(inspect.unwrap(inner)):
        follow = _awaitable
    if follow is None:
        return func
    steps = functools.update_wrapper(follow(func, site), func)
    named = named_part(func)
    steps.__module__, steps.__name__, steps.__qualname__ = named.__module__, named.__name__, named.__qualname__
    return steps


def yields(func: Any) -> bool:
    """Return whether a function is a generator, synchronous or not, and no coroutine that is written as one."""
    inner = inside_partials(func)
    flags = getattr(getattr(inner, "__code__", None), "co_flags", 0)
    return "generator" in shape_of(inner) and not flags & inspect.CO_ITERABLE_COROUTINE


def _call_of(site: Site) -> MethodTreeNode | None:
    """Return the call of a site that has just begun, to whoever asks first; None where it is not measured."""
    node = running.get()
    if node is None or node.site is not site or node.is_taken:
        return None
    node.is_taken = True
    return node


def _generator(func: Callable[..., Generator[Any, Any, Any]], site: Site) -> Callable[..., Any]:
    def steps(*args: Any, **kwargs: Any) -> Generator[Any, Any, Any]:
        node = _call_of(site)
        if node is None:
            return (yield from func(*args, **kwargs))
        generator = func(*args, **kwargs)
        step, given = generator.send, None
        while True:  # what ``yield from`` does, with something to do before and after each step
            try:
                item = step(given)
            except StopIteration as end:
                return end.value
            finally:  # an exception holds this frame: were it held in turn, both would outlive their use
                given = None
            node.leave()
            closing = None
            try:
                given, step = (yield item), generator.send
            except GeneratorExit as exc:
                closing = exc
            except BaseException as exc:  # noqa: BLE001 - thrown in by the consumer, and meant for the generator
                given, step = exc, generator.throw
            node.enter()
            if closing is not None:  # not in the handler above, where it would become a context
                try:
                    generator.close()
                    raise closing
                finally:
                    closing = None

    return steps


def _async_generator(func: Callable[..., AsyncGenerator[Any, Any]], site: Site) -> Callable[..., Any]:
    async def steps(*args: Any, **kwargs: Any) -> AsyncGenerator[Any, Any]:
        node = _call_of(site)
        generator = func(*args, **kwargs)
        step, given = generator.asend, None
        while True:
            try:
                item = await step(given)
            except StopAsyncIteration:
                return
            finally:
                given = None
            if node is not None:
                node.leave()
            closing = None
            try:
                given, step = (yield item), generator.asend
            except GeneratorExit as exc:
                closing = exc
            except BaseException as exc:  # noqa: BLE001 - thrown in by the consumer, and meant for the generator
                given, step = exc, generator.athrow
            if node is not None:
                node.enter()
            if closing is not None:  # not in the handler above, where it would become a context
                try:
                    await generator.aclose()
                    raise closing
                finally:
                    closing = None

    return steps


def _awaitable(func: Callable[..., Any], site: Site) -> Callable[..., Any]:
    async def entered(node: MethodTreeNode, coroutine: Any) -> Any:
        node.enter()
        return await coroutine

    def begin(*args: Any, **kwargs: Any) -> Any:
        node = _call_of(site)
        response = func(*args, **kwargs)
        if node is None:
            return response
        if inspect.iscoroutine(response):
            node.leave()
            return entered(node, response)
        if callable(getattr(response, "add_done_callback", None)):  # a task or a future, which ends elsewhere
            node.leave()
        return response

    return begin
