"""The decorator: one wrapper for each kind of callable, chosen when decorating.

The fast way of a wrapper is all that a call pays for when no hook and no direct backend has to see it: two readings
of the clock, two comparisons and an append. Everything else goes through `_call` and its siblings.
"""

from __future__ import annotations

import functools
import inspect
from _thread import get_ident
from collections.abc import AsyncGenerator, Callable, Generator, Sequence
from fnmatch import fnmatchcase
from time import perf_counter_ns as clock
from typing import TYPE_CHECKING, Any, TypeVar, overload

from time_execution.block import Block
from time_execution.construction import measure_construction
from time_execution.naming import name_of
from time_execution.pipeline import is_inside
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
            extra_hooks: Run after the hooks of the settings.
            disable_default_hooks: Leave out the hooks of the settings.
            get_fqn: Returns the series for a callable; an older way to set `name`.

        Raises:
            TypeError: When `func` cannot be called.
        """

        def decorate(wrapped: Any) -> Any:
            def target(inner: Any) -> Target:
                return Target(
                    inner,
                    name or (get_fqn or name_of)(inner),
                    extra_hooks=extra_hooks or (),
                    disable_default_hooks=disable_default_hooks,
                )

            return _decorate(wrapped, target)

        return decorate if func is None else decorate(func)

    def block(self, name: str, **fields: Any) -> Block:
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
        return property(fget, fset, fdel, wrapped.__doc__)
    if isinstance(wrapped, functools.cached_property):
        return functools.cached_property(_decorate(wrapped.func, target))
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
    kind = _kind_of(func)
    wrapper: Any = functools.wraps(func)(_WRAPPERS[kind](func, target))
    for extra in ("cache_info", "cache_clear", "cache_parameters"):  # what `functools.lru_cache` adds, outside __dict__
        if hasattr(func, extra):
            setattr(wrapper, extra, getattr(func, extra))
    wrapper.fqn = target.name
    wrapper.get_fqn = lambda: target.name
    return wrapper


def _kind_of(func: Any) -> str:
    for candidate in (func, getattr(type(func), "__call__", None)):  # noqa: B004 - its kind is asked, not its presence
        if inspect.iscoroutinefunction(candidate):
            return "coroutine"
        if inspect.isasyncgenfunction(candidate):
            return "async generator"
        if inspect.isgeneratorfunction(candidate):
            return "generator"
    if inspect.iscoroutinefunction(inspect.unwrap(func)):
        return "awaitable"  # a plain function around a coroutine function: what it returns is to be awaited
    return "function"


# ---- the wrappers: the fast way ------------------------------------------------------------------------------------


def _function(func: Callable[..., Any], target: Target) -> Callable[..., Any]:
    settings = live

    def wrapper(*args: Any, **kwargs: Any) -> Any:
        plan = target.plan
        if plan.version != settings.version:
            return _call(target, args, kwargs)
        started = clock()
        try:
            return func(*args, **kwargs)
        finally:
            ended = clock()
            line = plan.line
            if len(plan.queue) < line.attention and get_ident() != line.owner:
                plan.append((plan, started, ended))
            else:
                line.admit((plan, started, ended))

    return wrapper


def _coroutine(func: Callable[..., Any], target: Target) -> Callable[..., Any]:
    settings = live

    async def wrapper(*args: Any, **kwargs: Any) -> Any:
        plan = target.plan
        if plan.version != settings.version:
            return await _call_async(target, args, kwargs)
        started = clock()
        try:
            return await func(*args, **kwargs)
        finally:
            ended = clock()
            line = plan.line
            if len(plan.queue) < line.attention and get_ident() != line.owner:
                plan.append((plan, started, ended))
            else:
                line.admit((plan, started, ended))

    return wrapper


# ---- the slow way: settings changed, a hook or a direct backend has to see the metric, several queues ---------------


def _plan_of(target: Target) -> Plan | None:
    """Return the plan for this call, or None when it is not to be measured."""
    plan = target.plan
    if plan.serial != live.version:
        plan = target.refresh()
    if (plan.partial and not plan.is_wanted()) or (is_inside() and plan.is_reentrant()):
        return None
    return plan


def _call(target: Target, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    plan, func = _plan_of(target), target.func
    if plan is None:
        return func(*args, **kwargs)
    call = (func, args, kwargs)
    hooks = plan.begin(call)
    started = clock()
    try:
        response = func(*args, **kwargs)
    except BaseException as exc:
        plan.finish(hooks, (started, clock()), call, None, exc)
        raise
    plan.finish(hooks, (started, clock()), call, response)
    return response


async def _call_async(target: Target, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    plan, func = _plan_of(target), target.func
    if plan is None:
        return await func(*args, **kwargs)
    call = (func, args, kwargs)
    return await _await(plan, plan.begin(call), func(*args, **kwargs), call)


async def _await(plan: Plan, hooks: Started | None, awaitable: Any, call: Call) -> Any:
    started = clock()
    try:
        response = await awaitable
    except Exception as exc:
        await plan.finish_async(hooks, (started, clock()), call, None, exc)
        raise
    except BaseException as exc:  # cancelled or closed: nothing may be awaited any more
        plan.finish(hooks, (started, clock()), call, None, exc)
        raise
    await plan.finish_async(hooks, (started, clock()), call, response)
    return response


def _awaitable(func: Callable[..., Any], target: Target) -> Callable[..., Any]:
    """Wrap a plain function around a coroutine function: it may return something to await, or the result itself."""

    def wrapper(*args: Any, **kwargs: Any) -> Any:
        plan = _plan_of(target)
        if plan is None:
            return func(*args, **kwargs)
        call = (func, args, kwargs)
        hooks = plan.begin(call)
        started = clock()
        try:
            response = func(*args, **kwargs)
        except BaseException as exc:
            plan.finish(hooks, (started, clock()), call, None, exc)
            raise
        if inspect.isawaitable(response):
            return _await(plan, hooks, response, call)
        plan.finish(hooks, (started, clock()), call, response)
        return response

    return wrapper


def _generator(func: Callable[..., Generator[Any, Any, Any]], target: Target) -> Callable[..., Any]:
    def wrapper(*args: Any, **kwargs: Any) -> Generator[Any, Any, Any]:
        plan = _plan_of(target)
        if plan is None:
            return (yield from func(*args, **kwargs))
        call = (func, args, kwargs)
        hooks = plan.begin(call)
        started = clock()
        try:
            response = yield from func(*args, **kwargs)
        except BaseException as exc:
            error = None if isinstance(exc, GeneratorExit) else exc  # to be closed is no failure
            plan.finish(hooks, (started, clock()), call, None, error)
            raise
        plan.finish(hooks, (started, clock()), call, response)
        return response

    return wrapper


def _async_generator(func: Callable[..., AsyncGenerator[Any, Any]], target: Target) -> Callable[..., Any]:
    async def wrapper(*args: Any, **kwargs: Any) -> AsyncGenerator[Any, Any]:
        plan = _plan_of(target)
        call = (func, args, kwargs)
        hooks = plan.begin(call) if plan is not None else None
        error: BaseException | None = None
        generator = func(*args, **kwargs)
        started = clock()
        try:
            value = await generator.asend(None)
            while True:  # what ``yield from`` does, which asynchronous generators do not have
                try:
                    sent = yield value
                except GeneratorExit:
                    await generator.aclose()
                    raise
                except BaseException as exc:  # noqa: BLE001 - thrown in by the consumer, and meant for the generator
                    value = await generator.athrow(exc)
                else:
                    value = await generator.asend(sent)
        except StopAsyncIteration:
            pass  # exhausted
        except GeneratorExit:
            raise
        except BaseException as exc:
            error = exc
            raise
        finally:
            if plan is not None:
                span = (started, clock())
                if error is None or isinstance(error, Exception):
                    await plan.finish_async(hooks, span, call, None, error)
                else:
                    plan.finish(hooks, span, call, None, error)

    return wrapper


_WRAPPERS: dict[str, Callable[[Any, Target], Callable[..., Any]]] = {
    "function": _function,
    "coroutine": _coroutine,
    "awaitable": _awaitable,
    "generator": _generator,
    "async generator": _async_generator,
}
