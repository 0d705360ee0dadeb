"""The wrapper of a measured function: one for each kind of callable.

The fast way of a wrapper is all that a call pays for when no hook and no direct backend has to see it: two readings
of the clock, three comparisons and an append. Where hooks that run after the call, or direct backends, have to see it,
`Plan.tell` is what it pays for besides. Everything else goes through `_call` and its siblings.

A wrapper has the globals of the function that it wraps, and uses none of them: they may hold a ``len`` of their own,
and be gone when a finalizer calls. Whatever it needs is a local of the closure.
"""

from __future__ import annotations

import functools
import inspect
import types
from _thread import get_ident
from collections.abc import AsyncGenerator, Callable, Generator
from time import perf_counter_ns
from typing import TYPE_CHECKING, Any

from time_execution.hooks.chain import NONE_STARTED
from time_execution.naming import named_part
from time_execution.pipeline import awaiting_hooks, this_thread
from time_execution.settings import live
from time_execution.signature import inside_partials, shape_of

if TYPE_CHECKING:
    from time_execution.hooks.chain import Call, Started
    from time_execution.plan import Plan, Target


def wrap(func: Any, target: Target) -> Any:
    """Return a callable that measures a function and looks like it.

    Args:
        func: Any callable but a class.
        target: Learns what it is that it measures.
    """
    target.func = func
    kind = _kind_of(func)
    wrapper: Any = {**_WRAPPERS, **target.wrappers}[kind](func, target)
    if kind == "function" and not _binds(func):
        wrapper = Measured(func, wrapper, target)
    else:
        wrapper = functools.update_wrapper(_at_home(wrapper, func), func)
    named = named_part(func)
    for attribute in ("__module__", "__name__", "__qualname__"):  # a partial's or an object's are those of its type
        setattr(wrapper, attribute, getattr(named, attribute, None) or getattr(wrapper, attribute))
    for extra in ("cache_info", "cache_clear", "cache_parameters"):  # what `functools.lru_cache` adds, outside __dict__
        if hasattr(func, extra):
            setattr(wrapper, extra, getattr(func, extra))
    target.mark(wrapper)
    return wrapper


class Measured:
    """The measured form of a partial, a callable object, a bound method or a builtin.

    A function would not do: as an attribute of a class it would pass ``self`` on, it could not be pickled, and what the
    object has besides its call would be out of reach. Pickled where its parts can be.
    """

    def __init__(self, func: Any, call: Callable[..., Any], target: Target) -> None:
        functools.update_wrapper(self, func, updated=())
        self.__call, self.__target = call, target

    def __call__(self, /, *args: Any, **kwargs: Any) -> Any:
        """Call it, and measure that."""
        return self.__call(*args, **kwargs)

    def __getattr__(self, name: str) -> Any:
        """Return an attribute of the object itself."""
        if name == "__deepcopy__":  # which would copy the object without us
            raise AttributeError(name)
        return getattr(self.__wrapped__, name)

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle and copy the object and how it is measured."""
        return wrap, (self.__wrapped__, self.__target)

    def __repr__(self) -> str:
        """Return what the object says of itself."""
        return repr(self.__wrapped__)


def _binds(func: Any) -> bool:
    """Whether a callable that is an attribute of a class is a method there."""
    if isinstance(func, (functools.partial, types.MethodType)):  # some have a ``__get__``, which binds nothing
        return False
    return hasattr(type(func), "__get__")


def _at_home(wrapper: Any, func: Any) -> Any:
    """Return a wrapper with the globals of the function itself, where doctest and frameworks look for its names."""
    home = getattr(inspect.unwrap(named_part(func)), "__globals__", None)
    if home is None:  # written in C, or an object that is called
        return wrapper
    return types.FunctionType(wrapper.__code__, home, wrapper.__name__, None, wrapper.__closure__)


def _kind_of(func: Any) -> str:
    inner = inside_partials(func)
    if getattr(getattr(inner, "__code__", None), "co_flags", 0) & inspect.CO_ITERABLE_COROUTINE:
        return "generator coroutine"  # made by `types.coroutine`
    shape = shape_of(inner)
    if shape != "function":
        return shape
    if inspect.iscoroutinefunction(inspect.unwrap(inner)):
        return "awaitable"  # a plain function around a coroutine function
    return "function"


def _function(func: Callable[..., Any], target: Target) -> Callable[..., Any]:
    settings, clock, ident, here, size = live, perf_counter_ns, get_ident, this_thread, len
    call, none_started, anything = _call, NONE_STARTED, BaseException

    def wrapper(*args: Any, **kwargs: Any) -> Any:
        plan = target.plan
        if plan.version == settings.version:
            started = clock()
            try:
                return func(*args, **kwargs) if kwargs else func(*args)
            finally:
                ended = clock()
                channel, append = plan.channel, plan.append
                if size(plan.queue) < channel.attention and ident() != channel.owner:
                    append((plan, started, ended))
                else:
                    channel.admit((plan, started, ended))
        place = here.place
        if plan.telling != settings.version or place.within:
            return call(target, args, kwargs)
        started = clock()
        try:
            response = func(*args, **kwargs) if kwargs else func(*args)
        except anything as exc:
            plan.finish(none_started, (started, clock()), (func, args, kwargs), exception=exc)
            raise
        plan.tell(place, started, clock(), func, args, kwargs, response)
        return response

    return wrapper


def _coroutine(func: Callable[..., Any], target: Target) -> Callable[..., Any]:
    settings, clock, ident, here, size, awaited = live, perf_counter_ns, get_ident, this_thread, len, awaiting_hooks
    call, none_started, anything = _call_async, NONE_STARTED, BaseException

    async def wrapper(*args: Any, **kwargs: Any) -> Any:
        plan = target.plan
        if plan.version == settings.version:
            started = clock()
            try:
                return await (func(*args, **kwargs) if kwargs else func(*args))
            finally:
                ended = clock()
                channel, append = plan.channel, plan.append
                if size(plan.queue) < channel.attention and ident() != channel.owner:
                    append((plan, started, ended))
                else:
                    channel.admit((plan, started, ended))
        if plan.telling != settings.version or here.place.within or awaited():
            return await call(target, args, kwargs)
        started = clock()
        try:
            response = await (func(*args, **kwargs) if kwargs else func(*args))
        except anything as exc:
            plan.finish(none_started, (started, clock()), (func, args, kwargs), exception=exc)
            raise
        plan.tell(here.place, started, clock(), func, args, kwargs, response)
        return response

    return wrapper


def _awaitable(func: Callable[..., Any], target: Target) -> Callable[..., Any]:  # noqa: ARG001 - one shape for all
    """Wrap a plain function around a coroutine function: it may return a coroutine, a task, or the result itself."""
    call = _call_awaitable

    def wrapper(*args: Any, **kwargs: Any) -> Any:
        return call(target, args, kwargs)

    return wrapper


def _generator(func: Callable[..., Generator[Any, Any, Any]], target: Target) -> Callable[..., Any]:
    clock, closed, anything = perf_counter_ns, GeneratorExit, BaseException

    def wrapper(*args: Any, **kwargs: Any) -> Generator[Any, Any, Any]:
        plan = target.refresh()
        if not plan.is_wanted():
            return (yield from func(*args, **kwargs))
        call = (func, args, kwargs)
        hooks = plan.begin(call)
        started = clock()
        try:
            response = yield from func(*args, **kwargs)
        except closed:  # which is no failure
            plan.finish(hooks, (started, clock()), call)
            raise
        except anything as exc:
            plan.finish(hooks, (started, clock()), call, exception=exc)
            raise
        plan.finish(hooks, (started, clock()), call, response=response)
        return response

    return wrapper


def _generator_coroutine(func: Callable[..., Generator[Any, Any, Any]], target: Target) -> Callable[..., Any]:
    return types.coroutine(_generator(func, target))


def _async_generator(func: Callable[..., AsyncGenerator[Any, Any]], target: Target) -> Callable[..., Any]:
    clock, closed, exhausted, anything = perf_counter_ns, GeneratorExit, StopAsyncIteration, BaseException

    async def wrapper(*args: Any, **kwargs: Any) -> AsyncGenerator[Any, Any]:
        plan = target.refresh()
        call = (func, args, kwargs)
        wanted = plan.is_wanted(awaits=True)
        hooks = plan.begin(call) if wanted else None
        error = thrown = closing = None
        started = clock()
        try:
            generator, sent = func(*args, **kwargs), None
            while True:  # what ``yield from`` does, which asynchronous generators do not have
                value = await (generator.asend(sent) if thrown is None else generator.athrow(thrown))
                sent = thrown = None
                try:
                    sent = yield value
                except closed as exc:
                    closing = exc
                except anything as exc:  # thrown in by the consumer, and meant for the generator
                    thrown = exc
                if closing is not None:  # not in the handler above, where it would become a context
                    await generator.aclose()
                    raise closing
        except exhausted:
            return
        except closed:  # which is no failure
            raise
        except anything as exc:
            error = exc
            raise
        finally:
            try:
                if wanted:
                    await plan.finish_async(hooks, (started, clock()), call, exception=error)
            finally:  # an exception holds this frame: were it held in turn, both would outlive their use
                error = thrown = closing = None

    return wrapper


def _call(target: Target, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    plan, func = target.plan, target.func
    if plan.serial != live.version:
        plan = target.refresh()
    if (plan.partial or this_thread.place.within) and not plan.is_wanted():
        return func(*args, **kwargs)
    call = (func, args, kwargs)
    hooks = plan.begin(call)
    started = perf_counter_ns()
    try:
        response = func(*args, **kwargs)
    except BaseException as exc:
        plan.finish(hooks, (started, perf_counter_ns()), call, exception=exc)
        raise
    plan.finish(hooks, (started, perf_counter_ns()), call, response=response)
    return response


async def _call_async(target: Target, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    plan, func = target.refresh(), target.func
    if not plan.is_wanted(awaits=True):
        return await func(*args, **kwargs)
    call = (func, args, kwargs)
    hooks = plan.begin(call)
    started = perf_counter_ns()
    try:
        response = await func(*args, **kwargs)
    except BaseException as exc:
        await plan.finish_async(hooks, (started, perf_counter_ns()), call, exception=exc)
        raise
    await plan.finish_async(hooks, (started, perf_counter_ns()), call, response=response)
    return response


def _call_awaitable(target: Target, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    plan, func = target.refresh(), target.func
    if not plan.is_wanted(awaits=True):
        return func(*args, **kwargs)
    call = (func, args, kwargs)
    hooks = plan.begin(call)
    started = perf_counter_ns()
    try:
        response = func(*args, **kwargs)
    except BaseException as exc:
        plan.finish(hooks, (started, perf_counter_ns()), call, exception=exc)
        raise
    if inspect.iscoroutine(response):
        return _await(plan, hooks, started, response, call)
    if callable(getattr(response, "add_done_callback", None)):  # a task or a future: the caller's to keep
        response.add_done_callback(lambda future: _settle(plan, hooks, started, future, call))
    else:
        plan.finish(hooks, (started, perf_counter_ns()), call, response=response)
    return response


async def _await(plan: Plan, hooks: Started | None, started: int, awaitable: Any, call: Call) -> Any:
    try:
        response = await awaitable
    except BaseException as exc:
        await plan.finish_async(hooks, (started, perf_counter_ns()), call, exception=exc)
        raise
    await plan.finish_async(hooks, (started, perf_counter_ns()), call, response=response)
    return response


def _settle(plan: Plan, hooks: Started | None, started: int, future: Any, call: Call) -> None:
    """Measure a task or a future that is done; were it asked for its exception, that would count as handling it."""
    from asyncio import CancelledError  # noqa: PLC0415 - whoever makes tasks has loaded it

    span = (started, perf_counter_ns())
    exception = getattr(future, "_exception", None)
    if future.cancelled():
        plan.finish(hooks, span, call, exception=CancelledError())
    elif exception is not None:
        plan.finish(hooks, span, call, exception=exception)
    else:
        plan.finish(hooks, span, call, response=future.result())


_WRAPPERS: dict[str, Callable[[Any, Target], Callable[..., Any]]] = {
    "function": _function,
    "coroutine": _coroutine,
    "awaitable": _awaitable,
    "generator": _generator,
    "generator coroutine": _generator_coroutine,
    "asynchronous generator": _async_generator,
}
