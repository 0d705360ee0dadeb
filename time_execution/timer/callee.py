"""What is known of a function before it is called."""

from __future__ import annotations

import inspect
from typing import Any

from time_execution.hooks.arguments import Parameters

# The attributes of a wrapper by which one decorator sees that the other is below it.
TIMED = "_time_execution_timed"
CAUGHT = "_time_execution_caught"


class Callee:
    """A function, or whatever else is called, as a decorator looks at it. Immutable and thread-safe.

    Args:
        func: What the decorator was put on; a stretch of code is no callable.

    Attributes:
        func: The same.
        innermost: The function that all decorators around it have in common.
        is_timed: Whether a `Timer` is below, which will be called before anything else is.
        is_caught: The same of an `ErrorCatcher`.
    """

    __slots__ = ("_parameters", "func", "innermost", "is_caught", "is_timed")

    def __init__(self, func: Any) -> None:
        self.func = func
        self._parameters = Parameters(func) if callable(func) else None
        self.innermost: object = inspect.unwrap(func) if callable(func) else None
        # A plain function around a coroutine function only makes the coroutine, for any task to await at any time.
        is_awaited_later = inspect.iscoroutinefunction(self.innermost) and not inspect.iscoroutinefunction(func)
        self.is_timed: bool = getattr(func, TIMED, False) and not is_awaited_later
        self.is_caught: bool = getattr(func, CAUGHT, False) and not is_awaited_later

    def bind(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> dict[str, Any]:
        """Return arguments under the names of their parameters."""
        return {} if self._parameters is None else self._parameters.bind(args, kwargs)
