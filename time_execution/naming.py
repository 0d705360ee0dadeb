"""The name of a callable's series."""

from __future__ import annotations

from typing import Any

from time_execution.signature import inside_partials


def name_of(thing: Any) -> str:
    """Return module and qualified name of a callable, without ``<locals>``.

    A partial has the name of its function, a callable object that of its class, a Celery task that of its function.

    Example:
        >>> from functools import partial
        >>> name_of(partial(int, base=2)), name_of(str.upper)
        ('builtins.int', 'builtins.str.upper')
    """
    thing = named_part(thing)
    module = getattr(thing, "__module__", None)
    if module is None:  # a method of a builtin type, bound or not
        owner = getattr(thing, "__objclass__", None) or type(getattr(thing, "__self__", thing))
        module = owner.__module__
    return f"{module}.{thing.__qualname__}".replace("<locals>.", "")


def named_part(thing: Any) -> Any:
    """Return what a callable is known by: the function of a partial or a task, the class of another object."""
    thing = inside_partials(thing)
    # A task of Celery's; while its application is not complete, a proxy of one, which has a module of its own.
    if not hasattr(thing, "__qualname__") or type(thing).__module__ == "celery.local":
        thing = getattr(thing, "__wrapped__", type(thing))
    return thing if hasattr(thing, "__qualname__") else type(thing)
