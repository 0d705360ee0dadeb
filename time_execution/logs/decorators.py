"""`log_function_call` and `handle_errors`: what users put on functions."""

from __future__ import annotations

import functools
import logging
from collections.abc import Callable
from typing import Any, TypeVar, overload

from time_execution.argument_check import check_counts
from time_execution.config import expect
from time_execution.decorator import decorate
from time_execution.logs.calls import CallTarget
from time_execution.logs.handled import HandledTarget, Handling
from time_execution.logs.options import level_number
from time_execution.naming import name_of

F = TypeVar("F")


@overload
def log_function_call(level: int | str = logging.INFO, *, max_length: int = 1000) -> Callable[[F], F]: ...


@overload
def log_function_call(func: F, /) -> F: ...


def log_function_call(level: Any = logging.INFO, *, max_length: int = 1000) -> Any:
    """Log each call when it ends: its arguments, what it returned or raised, and how long that took.

    On whatever `time_execution.time_execution` takes: functions, coroutine functions, generators of both kinds, which
    are logged when they are exhausted, methods, properties, classes. The line has the extra fields ``call`` (the name),
    ``arguments``, ``returned`` or ``error_type``, and ``duration_ms``. Arguments are taken down before the call, as
    `time_execution.timer.Timer` does: named, summarised, secrets masked, without running any of their code. A call
    costs next to nothing while the application's logger does not take the level. What the function returns or raises is
    untouched. Thread-safe.

    Args:
        level: Of the lines, a number or a name.
        max_length: Cut the text of each argument and of the result to so many characters.

    Raises:
        ConfigurationError: When an argument is wrong.
        TypeError: When what is decorated cannot be called.

    Example:
        >>> @log_function_call(level="DEBUG")
        ... def divide(a, b):
        ...     return a / b
        >>> divide(6, 3)
        2.0
    """
    if _is_decorated(level):  # without parentheses
        return log_function_call()(level)
    number = level_number(level, where="log_function_call(): level")
    check_counts(**{"log_function_call(): max_length": max_length})

    def decorator(func: Any) -> Any:
        return decorate(func, lambda inner: CallTarget(inner, name_of(inner), number, max_length))

    return decorator


@overload
def handle_errors(
    reraise: bool = True,  # noqa: FBT001, FBT002 - a name of long standing
    fallback_value: Any = None,
    *,
    fallback_function: Callable[..., Any] | None = None,
) -> Callable[[F], F]: ...


@overload
def handle_errors(func: F, /) -> F: ...


def handle_errors(
    reraise: Any = True,  # noqa: FBT002 - see above
    fallback_value: Any = None,
    *,
    fallback_function: Callable[..., Any] | None = None,
) -> Any:
    """Log each exception of a callable with its traceback, and let it pass, or return something in its place.

    On whatever `time_execution.time_execution` takes; a class only where exceptions pass. A generator whose exception
    is kept back ends, and returns the fallback; where `fallback_function` is a generator itself, its items follow. A
    task that a function returns is its caller's to handle.
    ``KeyboardInterrupt``, ``SystemExit``, ``CancelledError`` and all else that is no `Exception` passes unlogged. The
    lines are of the level `ERROR`, so each exception is also an event of the pipeline, once: see
    `time_execution.logs.record_error`. An exception that passes is the same object, and unchanged. Thread-safe.

    Args:
        reraise: Let exceptions pass; then there is no fallback.
        fallback_value: What is returned in the place of a result, the same object each time.
        fallback_function: Called with the arguments of the call, returns that; for a coroutine function, what it
            returns is awaited where it can be. What it raises goes on to the caller.

    Raises:
        ConfigurationError: When an argument is wrong, both fallbacks are given, one for a class, or an asynchronous one
            for a generator that is not.
        TypeError: When what is decorated cannot be called.

    Example:
        >>> from time_execution.logs import configure, reset
        >>> configure(log_console=False, log_files=False)
        >>> @handle_errors(reraise=False, fallback_value=0)
        ... def divide(a, b):
        ...     return a / b
        >>> divide(1, 0)
        0
        >>> reset()
    """
    if _is_decorated(reraise):  # without parentheses
        return handle_errors()(reraise)
    expect("True or False", reraise, where="handle_errors(): reraise", is_right=isinstance(reraise, bool))
    is_right = fallback_function is None or callable(fallback_function)
    expect("a callable", fallback_function, where="handle_errors(): fallback_function", is_right=is_right)
    is_one = fallback_value is None or fallback_function is None
    expect("a single fallback", fallback_function, where="handle_errors(): fallback_function", is_right=is_one)
    handling = Handling(reraise=reraise, fallback_value=fallback_value, fallback_function=fallback_function)

    def decorator(func: Any) -> Any:
        return decorate(func, lambda inner: HandledTarget(inner, name_of(inner), handling))

    return decorator


def _is_decorated(thing: Any) -> bool:
    """Whether something is no option, but what a decorator is put on."""
    return callable(thing) or isinstance(thing, (classmethod, property, functools.cached_property))
