"""What `handle_errors` does around a call: one wrapper for each kind of callable.

As with measured things, a wrapper has the globals of the function that it wraps, and uses none of them.
"""

from __future__ import annotations

import inspect
import logging
import types
from collections.abc import AsyncGenerator, Callable, Coroutine, Generator, Mapping, Sequence
from contextlib import aclosing
from typing import Any, ClassVar

from time_execution.exceptions import ConfigurationError
from time_execution.logs.errors import ErrorScope, scope_in_force
from time_execution.logs.line import Origin, origin_of, write
from time_execution.plan import Target
from time_execution.signature import Shape, inside_partials, shape_of

_ASYNCHRONOUS = ("coroutine", "asynchronous generator")


class Handling:
    """What becomes of an exception. Immutable and thread-safe.

    Args:
        reraise: Whether it goes on.
        fallback_value: What is returned in its place.
        fallback_function: Returns that, from the arguments of the call.
        fields: Extra fields of the lines.

    Attributes:
        shape: What the function is; the items of a generator take the place of those that do not come.
    """

    __slots__ = ("_fallback_value", "fallback_function", "fields", "reraise", "shape")

    def __init__(
        self,
        *,
        reraise: bool,
        fallback_value: Any = None,
        fallback_function: Callable[..., Any] | None = None,
        fields: Mapping[str, Any] | None = None,
    ) -> None:
        self.reraise = reraise
        self._fallback_value = fallback_value
        self.fallback_function = fallback_function
        self.fields = fields or {}
        self.shape: Shape = "function" if fallback_function is None else shape_of(fallback_function)

    def fallback(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Return what takes the place of a result; what the function raises goes on to the caller."""
        return self._fallback_value if self.fallback_function is None else self.fallback_function(*args, **kwargs)

    async def fallback_async(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Return the same, once it was awaited where the function returns what can be."""
        if self.fallback_function is None:
            return self._fallback_value
        found = self.fallback_function(*args, **kwargs)
        return await found if inspect.isawaitable(found) else found

    async def items(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> AsyncGenerator[Any, None]:
        """Yield the items of a fallback that is a generator; what another one returns can be returned by nobody."""
        if self.shape == "asynchronous generator":
            async with aclosing(self.fallback(args, kwargs)) as items:
                async for item in items:
                    yield item
        elif self.shape == "generator":
            for item in self.fallback(args, kwargs):
                yield item
        else:
            await self.fallback_async(args, kwargs)


class HandledTarget(Target):
    """A callable whose exceptions are logged.

    Args:
        func: What is called.
        name: What lines call it.
        handling: What becomes of an exception.

    Raises:
        ConfigurationError: When it is a class and something is to be returned in place of what it makes, or a generator
            and an asynchronous function is to do that.
    """

    wrappers: ClassVar[Mapping[str, Callable[[Any, Any], Callable[..., Any]]]] = {}
    __slots__ = ("_origin", "handling")

    def __init__(self, func: Any, name: str, handling: Handling) -> None:
        if isinstance(func, type) and not handling.reraise:
            raise ConfigurationError(f"handle_errors(): nothing can take the place of a {name} that was not made")
        if handling.shape in _ASYNCHRONOUS and _is_generator(func):
            raise ConfigurationError(f"handle_errors(): fallback_function is asynchronous, and {name} is not")
        self.handling = handling
        self._origin: Origin | None = None
        super().__init__(func, name)

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle what was asked for."""
        return _restored, (self.name, self.handling), (None, {"func": self.func})

    def hooks(self, values: Any) -> tuple[Callable[..., Any], ...]:  # noqa: ARG002 - nothing is measured
        """Return none."""
        return ()

    def mark(self, wrapper: Any) -> None:
        """Write nothing on the wrapper: it has no series."""

    def log(self, exception: Exception) -> None:
        """Write the line of an exception; never raises."""
        if self._origin is None:
            self._origin = origin_of(self.func)
        fields = self.handling.fields
        write(logging.ERROR, self._origin, "%s failed: %s", self.name, exception, exception=exception, fields=fields)


def _is_generator(func: Any) -> bool:
    """Whether it is a generator function, and no coroutine that is written as one."""
    code = getattr(inside_partials(func), "__code__", None)
    return shape_of(func) == "generator" and not getattr(code, "co_flags", 0) & inspect.CO_ITERABLE_COROUTINE


def _restored(name: str, handling: Handling) -> HandledTarget:
    return HandledTarget(None, name, handling)


def scope_around() -> ErrorScope | None:
    """Return a scope that was entered for a call, unless one is open: what handlers within it log is told once."""
    return ErrorScope().__enter__() if scope_in_force() is None else None


def leave(scope: ErrorScope | None) -> None:
    """Leave a scope that was entered for a call."""
    if scope is not None:
        scope.__exit__(None, None, None)


def _function(func: Callable[..., Any], target: HandledTarget) -> Callable[..., Any]:
    handling, failure, enter, left = target.handling, Exception, scope_around, leave

    def wrapper(*args: Any, **kwargs: Any) -> Any:
        scope = enter()
        try:
            return func(*args, **kwargs)
        except failure as exc:
            target.log(exc)
            if handling.reraise:
                raise
            return handling.fallback(args, kwargs)
        finally:
            left(scope)

    return wrapper


def _coroutine(func: Callable[..., Any], target: HandledTarget) -> Callable[..., Any]:
    handling, failure, enter, left = target.handling, Exception, scope_around, leave

    async def wrapper(*args: Any, **kwargs: Any) -> Any:
        scope = enter()
        try:
            return await func(*args, **kwargs)
        except failure as exc:
            target.log(exc)
            if handling.reraise:
                raise
            return await handling.fallback_async(args, kwargs)
        finally:
            left(scope)

    return wrapper


def _awaitable(func: Callable[..., Any], target: HandledTarget) -> Callable[..., Any]:
    """Wrap a plain function around a coroutine function; what it returns but a coroutine, such as a task, is as it was.

    Its callers await what it returns, so that what it raises before has a fallback that can be awaited, too.
    """
    handling, failure, enter, left = target.handling, Exception, scope_around, leave
    is_coroutine, awaited = inspect.iscoroutine, _awaited

    def wrapper(*args: Any, **kwargs: Any) -> Any:
        scope = enter()
        try:
            response = func(*args, **kwargs)
        except failure as exc:
            target.log(exc)
            if handling.reraise:
                raise
            return handling.fallback_async(args, kwargs)
        finally:
            left(scope)
        return awaited(response, target, args, kwargs) if is_coroutine(response) else response

    return wrapper


async def _awaited(
    coroutine: Coroutine[Any, Any, Any], target: HandledTarget, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> Any:
    scope = scope_around()
    try:
        return await coroutine
    except Exception as exc:
        target.log(exc)
        if target.handling.reraise:
            raise
        return await target.handling.fallback_async(args, kwargs)
    finally:
        leave(scope)


def _generator(
    func: Callable[..., Generator[Any, Any, Any]],
    target: HandledTarget,
    *,
    going_on: Sequence[Shape] = ("generator",),
) -> Callable[..., Any]:
    handling, failure = target.handling, Exception
    goes_on = handling.shape in going_on

    def wrapper(*args: Any, **kwargs: Any) -> Generator[Any, Any, Any]:
        try:
            return (yield from func(*args, **kwargs))
        except failure as exc:
            target.log(exc)
            if handling.reraise:
                raise
        found = handling.fallback(args, kwargs)  # not above: it may take long, and the exception would live as long
        return (yield from found) if goes_on else found

    return wrapper


def _generator_coroutine(func: Callable[..., Generator[Any, Any, Any]], target: HandledTarget) -> Callable[..., Any]:
    return types.coroutine(_generator(func, target, going_on=("generator", "coroutine")))


def _async_generator(func: Callable[..., AsyncGenerator[Any, Any]], target: HandledTarget) -> Callable[..., Any]:
    handling, closed, exhausted = target.handling, GeneratorExit, StopAsyncIteration
    failure, anything, closing_after = Exception, BaseException, aclosing

    async def wrapper(*args: Any, **kwargs: Any) -> AsyncGenerator[Any, Any]:
        thrown = closing = None
        try:
            generator, sent = func(*args, **kwargs), None
            while True:  # as in `time_execution.wrapper`
                value = await (generator.asend(sent) if thrown is None else generator.athrow(thrown))
                sent = thrown = None
                try:
                    sent = yield value
                except closed as exc:
                    closing = exc
                except anything as exc:
                    thrown = exc
                if closing is not None:
                    await generator.aclose()
                    raise closing
        except exhausted:
            return
        except failure as exc:
            target.log(exc)
            if handling.reraise:
                raise
        finally:
            thrown = closing = None
        async with closing_after(handling.items(args, kwargs)) as items:
            async for item in items:
                yield item

    return wrapper


HandledTarget.wrappers = {
    "function": _function,
    "coroutine": _coroutine,
    "awaitable": _awaitable,
    "generator": _generator,
    "generator coroutine": _generator_coroutine,
    "asynchronous generator": _async_generator,
}
