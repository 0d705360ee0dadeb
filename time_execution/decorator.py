"""The decorator: one wrapper for each kind of callable, chosen when decorating.

The fast way of a wrapper is all that a call pays for when no hook and no direct backend has to see it: two readings
of the clock, two comparisons and an append. Where hooks that run after the call, or direct backends, have to see it,
`Plan.tell` is what it pays for besides. Everything else goes through `_call` and its siblings.
"""

from __future__ import annotations

import functools
import inspect
import types
from _thread import get_ident
from collections.abc import AsyncGenerator, Callable, Generator, Sequence
from fnmatch import fnmatchcase
from time import perf_counter_ns
from typing import TYPE_CHECKING, Any, TypeVar, overload

from time_execution import config
from time_execution.block import Block
from time_execution.construction import measure_construction
from time_execution.hooks.chain import NONE_STARTED
from time_execution.naming import name_of, named_part
from time_execution.pipeline import inside_task, this_thread
from time_execution.plan import Plan, Target
from time_execution.settings import live

if TYPE_CHECKING:
    from time_execution.hooks.chain import Call, Started
    from time_execution.types import AnyHook

F = TypeVar("F")


class TimeExecution:
    """Measure what a callable costs: `time_execution` is the one instance.

    As a decorator, bare or with parameters, on functions, methods, coroutine functions, generators, asynchronous
    generators, classes, partials, callable objects and Celery tasks, above and below ``staticmethod``, ``classmethod``
    and ``property``. The decorated thing keeps its signature, its kind and its type to a type checker; its result,
    its exception and its timing are its own. Generators are measured from the first ``next`` until they are exhausted
    or closed; a class keeps its identity, and its construction is measured. Thread-safe.

    Example:
        >>> @time_execution
        ... def hello():
        ...     return "World"
        >>> hello()
        'World'
    """

    @overload
    def __call__(self, func: F, /) -> F: ...

    @overload
    def __call__(
        self,
        func: None = None,
        /,
        *,
        name: str | None = None,
        extra_hooks: Sequence[AnyHook] | None = None,
        disable_default_hooks: bool = False,
        get_fqn: Callable[[Any], str] | None = None,
    ) -> Callable[[F], F]: ...

    def __call__(
        self,
        func: Any = None,
        /,
        *,
        name: str | None = None,
        extra_hooks: Sequence[AnyHook] | None = None,
        disable_default_hooks: bool = False,
        get_fqn: Callable[[Any], str] | None = None,
    ) -> Any:
        """Decorate a callable, or return a decorator that does; one decorator may be used many times.

        Args:
            func: What to measure.
            name: Its series; by default the fully qualified name, without ``<locals>``.
            extra_hooks: Run after the hooks of the settings; callables or import paths.
            disable_default_hooks: Leave out the hooks of the settings.
            get_fqn: Returns the series for a callable; an older way to set `name`.

        Raises:
            ConfigurationError: When a hook cannot be called.
            TypeError: When `func` cannot be called.
        """
        hooks = tuple(config.resolve_hook(hook, index=index) for index, hook in enumerate(extra_hooks or ()))

        def decorate(wrapped: Any) -> Any:
            def target(inner: Any) -> Target:
                series = name or (get_fqn or name_of)(inner)
                return Target(inner, series, extra_hooks=hooks, disable_default_hooks=disable_default_hooks)

            return _decorate(wrapped, target)

        return decorate if func is None else decorate(func)

    def block(self, name: str, /, **fields: Any) -> Block:
        """Return a context manager, for ``with`` and ``async with``, that measures a block of code.

        Args:
            name: The series.
            **fields: Constant fields of the metric.

        Example:
            >>> with time_execution.block("orders.import", source="csv"):
            ...     total = sum(range(1000))
        """
        return Block(name, fields)

    def methods(self, cls: type, pattern: str = "*", **options: Any) -> type:
        """Measure each method that a class itself defines and whose name matches; returns the class.

        Special methods (``__len__`` and the like) are measured only when the pattern names them with underscores.

        Args:
            cls: Changed in place.
            pattern: Matched against the method's name with `fnmatch`.
            **options: As for the decorator.
        """
        for attribute, member in list(vars(cls).items()):
            special = attribute.startswith("__")
            if special and not pattern.startswith("__"):
                continue
            plain = member.__func__ if isinstance(member, (staticmethod, classmethod)) else member
            if inspect.isfunction(plain) and fnmatchcase(attribute, pattern):
                setattr(cls, attribute, self(**options)(member))
        return cls

    def __repr__(self) -> str:
        """Return the name users know it by."""
        return "time_execution"


time_execution = TimeExecution()
time_execution_async = time_execution


def _decorate(wrapped: Any, target: Callable[[Any], Target]) -> Any:
    """Choose what a thing of this kind is wrapped in."""
    if isinstance(wrapped, (staticmethod, classmethod)):
        return type(wrapped)(_decorate(wrapped.__func__, target))
    if isinstance(wrapped, property):
        fget, fset, fdel = (part and _decorate(part, target) for part in (wrapped.fget, wrapped.fset, wrapped.fdel))
        return type(wrapped)(fget, fset, fdel, wrapped.__doc__)
    if isinstance(wrapped, functools.cached_property):
        return type(wrapped)(_decorate(wrapped.func, target))
    if isinstance(wrapped, type):
        return measure_construction(wrapped, lambda function: _wrap(function, target(wrapped)))
    if not callable(wrapped):
        msg = f"time_execution measures callables, not {type(wrapped).__name__}"
        raise TypeError(msg)
    if callable(getattr(wrapped, "delay", None)) and callable(getattr(wrapped, "run", None)):
        wrapped.run = _wrap(wrapped.run, target(wrapped))  # a Celery task stays the task that its worker knows
        return wrapped
    return _wrap(wrapped, target(wrapped))


def _wrap(func: Any, target: Target) -> Any:
    target.func = func
    wrapper: Any = _WRAPPERS[_kind_of(func)](func, target)
    functools.update_wrapper(wrapper, func)
    named = named_part(func)
    for attribute in ("__module__", "__name__", "__qualname__"):  # a partial's or an object's are those of its type
        setattr(wrapper, attribute, getattr(named, attribute, None) or getattr(wrapper, attribute))
    for extra in ("cache_info", "cache_clear", "cache_parameters"):  # what `functools.lru_cache` adds, outside __dict__
        if hasattr(func, extra):
            setattr(wrapper, extra, getattr(func, extra))
    wrapper.fqn = target.name
    wrapper.get_fqn = lambda: target.name
    return wrapper


def _kind_of(func: Any) -> str:
    inner = func
    while isinstance(inner, functools.partial):
        inner = inner.func
    if getattr(getattr(inner, "__code__", None), "co_flags", 0) & inspect.CO_ITERABLE_COROUTINE:
        return "generator coroutine"  # made by `types.coroutine`
    for candidate in (inner, getattr(type(inner), "__call__", None)):  # noqa: B004 - its kind is asked, not its presence
        if inspect.iscoroutinefunction(candidate):
            return "coroutine"
        if inspect.isasyncgenfunction(candidate):
            return "async generator"
        if inspect.isgeneratorfunction(candidate):
            return "generator"
    if inspect.iscoroutinefunction(inspect.unwrap(inner)):
        return "awaitable"  # a plain function around a coroutine function
    return "function"


def _function(func: Callable[..., Any], target: Target) -> Callable[..., Any]:
    # Locals of the closure, not globals: a finalizer may call this when the module's globals are gone already.
    settings, clock, ident, here = live, perf_counter_ns, get_ident, this_thread

    def wrapper(*args: Any, **kwargs: Any) -> Any:
        plan = target.plan
        if plan.version == settings.version:
            started = clock()
            try:
                return func(*args, **kwargs) if kwargs else func(*args)
            finally:
                ended = clock()
                line, append = plan.line, plan.append
                if len(plan.queue) < line.attention and ident() != line.owner:
                    append((plan, started, ended))
                else:
                    line.admit((plan, started, ended))
        place = here.place
        if plan.telling != settings.version or place.within:
            return _call(target, args, kwargs)
        started = clock()
        try:
            response = func(*args, **kwargs) if kwargs else func(*args)
        except BaseException as exc:
            plan.finish(NONE_STARTED, (started, clock()), (func, args, kwargs), exception=exc)
            raise
        plan.tell(place, started, clock(), func, args, kwargs, response)
        return response

    return wrapper


def _coroutine(func: Callable[..., Any], target: Target) -> Callable[..., Any]:
    settings, clock, ident, here = live, perf_counter_ns, get_ident, this_thread

    async def wrapper(*args: Any, **kwargs: Any) -> Any:
        plan = target.plan
        if plan.version == settings.version:
            started = clock()
            try:
                return await (func(*args, **kwargs) if kwargs else func(*args))
            finally:
                ended = clock()
                line, append = plan.line, plan.append
                if len(plan.queue) < line.attention and ident() != line.owner:
                    append((plan, started, ended))
                else:
                    line.admit((plan, started, ended))
        if plan.telling != settings.version or here.place.within or inside_task.get():
            return await _call_async(target, args, kwargs)
        started = clock()
        try:
            response = await (func(*args, **kwargs) if kwargs else func(*args))
        except BaseException as exc:
            plan.finish(NONE_STARTED, (started, clock()), (func, args, kwargs), exception=exc)
            raise
        plan.tell(here.place, started, clock(), func, args, kwargs, response)
        return response

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
    if not plan.is_wanted():
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


def _awaitable(func: Callable[..., Any], target: Target) -> Callable[..., Any]:
    """Wrap a plain function around a coroutine function: it may return a coroutine, a task, or the result itself."""

    def wrapper(*args: Any, **kwargs: Any) -> Any:
        plan = target.refresh()
        if not plan.is_wanted():
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
            response.add_done_callback(lambda _: plan.finish(hooks, (started, perf_counter_ns()), call))
        else:
            plan.finish(hooks, (started, perf_counter_ns()), call, response=response)
        return response

    return wrapper


async def _await(plan: Plan, hooks: Started | None, started: int, awaitable: Any, call: Call) -> Any:
    try:
        response = await awaitable
    except BaseException as exc:
        await plan.finish_async(hooks, (started, perf_counter_ns()), call, exception=exc)
        raise
    await plan.finish_async(hooks, (started, perf_counter_ns()), call, response=response)
    return response


def _generator(func: Callable[..., Generator[Any, Any, Any]], target: Target) -> Callable[..., Any]:
    def wrapper(*args: Any, **kwargs: Any) -> Generator[Any, Any, Any]:
        plan = target.refresh()
        if not plan.is_wanted():
            return (yield from func(*args, **kwargs))
        call = (func, args, kwargs)
        hooks = plan.begin(call)
        started = perf_counter_ns()
        try:
            response = yield from func(*args, **kwargs)
        except BaseException as exc:
            error = None if isinstance(exc, GeneratorExit) else exc  # to be closed is no failure
            plan.finish(hooks, (started, perf_counter_ns()), call, exception=error)
            raise
        plan.finish(hooks, (started, perf_counter_ns()), call, response=response)
        return response

    return wrapper


def _generator_coroutine(func: Callable[..., Generator[Any, Any, Any]], target: Target) -> Callable[..., Any]:
    return types.coroutine(_generator(func, target))


def _async_generator(func: Callable[..., AsyncGenerator[Any, Any]], target: Target) -> Callable[..., Any]:
    async def wrapper(*args: Any, **kwargs: Any) -> AsyncGenerator[Any, Any]:
        plan = target.refresh()
        call = (func, args, kwargs)
        wanted = plan.is_wanted()
        hooks = plan.begin(call) if wanted else None
        error: BaseException | None = None
        started = perf_counter_ns()
        try:
            generator, sent, thrown = func(*args, **kwargs), None, None
            while True:  # what ``yield from`` does, which asynchronous generators do not have
                value = await (generator.asend(sent) if thrown is None else generator.athrow(thrown))
                sent = thrown = None
                try:
                    sent = yield value
                except BaseException as exc:  # noqa: BLE001 - thrown in by the consumer, and meant for the generator
                    thrown = exc
                if isinstance(thrown, GeneratorExit):
                    await generator.aclose()
                    raise thrown  # noqa: TRY301 - not in the handler above, where it would become a context
        except StopAsyncIteration:
            pass  # exhausted
        except BaseException as exc:
            error = None if isinstance(exc, GeneratorExit) else exc
            raise
        finally:
            if wanted:
                await plan.finish_async(hooks, (started, perf_counter_ns()), call, exception=error)

    return wrapper


_WRAPPERS: dict[str, Callable[[Any, Target], Callable[..., Any]]] = {
    "function": _function,
    "coroutine": _coroutine,
    "awaitable": _awaitable,
    "generator": _generator,
    "generator coroutine": _generator_coroutine,
    "async generator": _async_generator,
}
