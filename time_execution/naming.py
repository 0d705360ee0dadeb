"""The name of a callable's series."""

from __future__ import annotations

import functools
from typing import Any


def name_of(thing: Any) -> str:
    """Return module and qualified name of a callable, without ``<locals>``.

    A partial has the name of its function, a callable object that of its class, a Celery task that of its function.

    Example:
        >>> name_of(functools.partial(int, base=2))
        'builtins.int'
    """
    while isinstance(thing, functools.partial):
        thing = thing.func
    if not hasattr(thing, "__qualname__"):
        thing = getattr(thing, "__wrapped__", type(thing))
    name = getattr(thing, "__qualname__", None) or type(thing).__qualname__
    return f"{thing.__module__}.{name}".replace("<locals>.", "")
