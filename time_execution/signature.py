"""What a callable is and what it takes; asked once, when it is configured, never when it is called."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from typing import Any, Literal, TypeAlias

Shape: TypeAlias = Literal["function", "generator", "coroutine", "asynchronous generator"]


def inside_partials(thing: Any) -> Any:
    """Return what a partial calls, be it a partial of a partial; anything else as it is."""
    while isinstance(thing, functools.partial):
        thing = thing.func
    return thing


def shape_of(function: Any) -> Shape:
    """Return what calling a function, a partial or a callable object begins; anything but ``function`` runs later."""
    function = inside_partials(function)
    for candidate in (function, getattr(type(function), "__call__", None)):  # noqa: B004 - its kind is asked
        if inspect.isgeneratorfunction(candidate):
            return "generator"
        if inspect.iscoroutinefunction(candidate):
            return "coroutine"
        if inspect.isasyncgenfunction(candidate):
            return "asynchronous generator"
    return "function"


def mismatch(function: Callable[..., Any], *args: Any, **kwargs: Any) -> str | None:
    """Return why a function cannot be called with these arguments, in Python's words; None when it can."""
    return _mismatch(function, "bind", args, kwargs)


def excess(function: Callable[..., Any], *args: Any, **kwargs: Any) -> str | None:
    """Return why a function does not take these arguments, whatever others it may want; None when it does."""
    return _mismatch(function, "bind_partial", args, kwargs)


def _mismatch(function: Callable[..., Any], bind: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> str | None:
    try:
        signature = inspect.signature(function)
    except (TypeError, ValueError):  # written in C, and does not say
        return None
    try:
        getattr(signature, bind)(*args, **kwargs)
    except TypeError as exc:
        return str(exc)
    return None
