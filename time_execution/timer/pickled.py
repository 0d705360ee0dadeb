"""How timers and error catchers are pickled: by what they were made with, for their files are each process's own."""

from __future__ import annotations

from typing import Any


def pickled(instance: Any, base: type, arguments: dict[str, Any], own: frozenset[str]) -> tuple[Any, ...]:
    """Return what ``__reduce__`` of an instance of `base`, or of a class that extends it, is to return.

    Args:
        instance: What is pickled, with the attributes that its class has added.
        base: Whose constructor opens the files; that of a class that extends it may take other arguments.
        arguments: What that constructor was called with.
        own: The attributes that it sets.
    """
    added = {name: value for name, value in vars(instance).items() if name not in own}
    return _made_again, (base, type(instance), arguments), added or None


def _made_again(base: Any, kind: Any, arguments: dict[str, Any]) -> Any:
    made = kind.__new__(kind)
    base.__init__(made, **arguments)
    return made
