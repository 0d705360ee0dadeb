"""What `handle_errors` does around a call: one wrapper for each kind of callable.

As with measured things, a wrapper has the globals of the function that it wraps, and uses none of them.
"""

from __future__ import annotations

import inspect
import logging
import types
from collections.abc import AsyncGenerator, Callable, Generator, Mapping
from typing import Any, ClassVar

from time_execution.exceptions import ConfigurationError
from time_execution.logs.errors import ErrorScope, scope_in_force
from time_execution.logs.line import Origin, origin_of, write
from time_execution.plan import Target
from time_execution.signature import shape_of


class Handling:
    """What becomes of an exception. Immutable and thread-safe.

    Args:
        reraise: Whether it goes on.
        fallback_value: What is returned in its place.
        fallback_function: Returns that, from the arguments of the call.
        fields: Extra fields of the lines.

    Attributes:
        goes_on: Whether the fallback is itself a generator, whose items take the place of those that do not come.
    """

    __slots__ = ("_fallback_value", "fallback_function", "fields", "goes_on", "reraise")

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
        self.goes_on = False if fallback_function is None else "generator" in shape_of(fallback_function)

    def fallback(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Return what takes the place of a result; what the function raises goes on to the caller."""
        return self._fallback_value if self.fallback_function is None else self.fallback_function(*args, **kwargs)


class HandledTarget(Target):
    """A callable whose exceptions are logged.

    Args:
        func: What is called.
        name: What lines call it.
        handling: What becomes of an exception.

    Raises:
        ConfigurationError: When it is a class and something is to be returned in place of what it makes.
    """

    wrappers: ClassVar[Mapping[str, Callable[[Any, Any], Callable[..., Any]]]] = {}
    __slots__ = ("_origin", "handling")

    def __init__(self, func: Any, name: str, handling: Handling) -> None:
        if isinstance(func, type) and not handling.reraise:
            raise ConfigurationError(f"handle_errors(): nothing can take the place of a {name} that was not made")
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
    handling, failure, enter, left, is_awaitable = target.handling, Exception, scope_around, leave, inspect.isawaitable

    async def wrapper(*args: Any, **kwargs: Any) -> Any:
        scope = enter()
        try:
            return await func(*args, **kwargs)
        except failure as exc:
            target.log(exc)
            if handling.reraise:
                raise
            found = handling.fallback(args, kwargs)
            return await found if is_awaitable(found) else found
        finally:
            left(scope)

    return wrapper


def _awaitable(func: Callable[..., Any], target: HandledTarget) -> Callable[..., Any]:
    """Wrap a plain function around a coroutine function; a task that it returns is the caller's to handle."""
    is_coroutine = inspect.iscoroutine

    async def call(*args: Any, **kwargs: Any) -> Any:
        response = func(*args, **kwargs)
        return await response if is_coroutine(response) else response

    handled = _coroutine(call, target)

    def wrapper(*args: Any, **kwargs: Any) -> Any:
        return handled(*args, **kwargs)

    return wrapper


def _generator(func: Callable[..., Generator[Any, Any, Any]], target: HandledTarget) -> Callable[..., Any]:
    handling, failure = target.handling, Exception

    def wrapper(*args: Any, **kwargs: Any) -> Generator[Any, Any, Any]:
        try:
            return (yield from func(*args, **kwargs))
        except failure as exc:
            target.log(exc)
            if handling.reraise:
                raise
        found = handling.fallback(args, kwargs)  # not above: it may take long, and the exception would live as long
        return (yield from found) if handling.goes_on else found

    return wrapper


def _generator_coroutine(func: Callable[..., Generator[Any, Any, Any]], target: HandledTarget) -> Callable[..., Any]:
    return types.coroutine(_generator(func, target))


def _async_generator(  # noqa: C901 - ``yield from`` written out
    func: Callable[..., AsyncGenerator[Any, Any]], target: HandledTarget
) -> Callable[..., Any]:
    handling, closed, exhausted = target.handling, GeneratorExit, StopAsyncIteration
    failure, anything = Exception, BaseException

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
        if handling.goes_on:
            async for item in handling.fallback(args, kwargs):
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
