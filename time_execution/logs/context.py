"""The ids of the request and the trace where context does not bring them: in other threads, and in others' handlers."""

from __future__ import annotations

import functools
import logging
from collections.abc import Callable
from contextvars import copy_context
from typing import ParamSpec, TypeVar

from time_execution.formats.log_line import ABSENT, REQUEST_ID, SPAN_ID, TRACE_ID
from time_execution.guard import Step
from time_execution.hooks.request_id import get_request_id
from time_execution.hooks.trace import trace_hook

P = ParamSpec("P")
R = TypeVar("R")

TRACE_OF = Step(
    lambda: trace_hook(response=None, exception=None, metric=None, func=None, func_args=(), func_kwargs={}),
    kind="hook",
    label="trace of a line",
    raises=False,
)
"""Returns the ids of the trace; a dict, or None, or what says that it failed."""


def in_context(func: Callable[P, R]) -> Callable[P, R]:
    """Return a form of a function that runs in the context of this moment, wherever it is called.

    For the threads of a pool, which do not take the context along: ``executor.submit(in_context(work), 17)``. Request
    and trace, and all other context variables, are there what they are here; what is set there is not seen here.
    Thread-safe: it may be called many times, by many threads at once.

    Args:
        func: A function; for a coroutine function, making the coroutine is all that would run in the context.

    Example:
        >>> from concurrent.futures import ThreadPoolExecutor
        >>> from time_execution.hooks.request_id import get_request_id, reset_request_id, set_request_id
        >>> token = set_request_id("r-1")
        >>> with ThreadPoolExecutor() as executor:
        ...     executor.submit(get_request_id).result(), executor.submit(in_context(get_request_id)).result()
        (None, 'r-1')
        >>> reset_request_id(token)
    """
    context = copy_context()

    @functools.wraps(func)
    def inside(*args: P.args, **kwargs: P.kwargs) -> R:
        return context.copy().run(func, *args, **kwargs)  # a context can be entered once at a time

    return inside


class ContextFilter(logging.Filter):
    """Gives each line ``request_id``, ``trace_id`` and ``span_id``, for the formats of handlers that are not ours.

    ``-`` stands for one that there is not; what a line has already stays. Lets every line through. Thread-safe; put it
    on a handler rather than a logger, for loggers do not filter what comes from below them.

    Example:
        >>> handler = logging.StreamHandler()
        >>> handler.addFilter(ContextFilter())
        >>> handler.setFormatter(logging.Formatter("%(request_id)s %(message)s"))
    """

    def __init__(self) -> None:
        super().__init__()

    def filter(self, record: logging.LogRecord) -> bool:
        """Add what is missing; returns True."""
        attributes = record.__dict__
        found = TRACE_OF.attempt()
        ids = found if type(found) is dict else {}
        attributes.setdefault(REQUEST_ID, get_request_id() or ABSENT)
        for name in (TRACE_ID, SPAN_ID):
            attributes.setdefault(name, ids.get(name, ABSENT))
        return True
