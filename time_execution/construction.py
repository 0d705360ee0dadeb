"""Measuring the construction of a class while it stays the same class.

Its ``__init__`` is wrapped in place (``__new__`` where it has only that), so identity, subclassing and pickling are
untouched. Of several wrapped initialisers that one construction runs through, only the outermost measures.
"""

from __future__ import annotations

import functools
import inspect
import threading
from collections.abc import Callable
from typing import Any

Wrap = Callable[[Callable[..., Any]], Callable[..., Any]]


class _UnderConstruction(threading.local):
    def __reduce__(self) -> str:
        """Be found by name, where a measured class is loaded that cloudpickle pickled whole."""
        return "_under_construction"


_under_construction = _UnderConstruction()


def measure_construction(cls: Any, wrap: Wrap, *, kind: object = None) -> Any:
    """Measure how long making an instance of a class takes, and return the class.

    A subclass is measured under the name of the decorated class, by way of its call of ``super().__init__()``.

    Args:
        cls: Changed in place.
        wrap: Returns the measured form of a function.
        kind: What it measures for; initialisers that measure for something else measure beside it.
    """
    if cls.__init__ is object.__init__ and _has_new(cls):
        original = vars(cls).get("__new__")
        new = _inherited_new(cls) if original is None else getattr(original, "__func__", original)
        cls.__new__ = staticmethod(_once(new, wrap(new), kind))
    else:
        init = vars(cls).get("__init__") or _inherited_init(cls)
        cls.__init__ = _once(init, wrap(init), kind)
    return cls


def _once(plain: Callable[..., Any], measured: Callable[..., Any], kind: object) -> Callable[..., Any]:
    """Return a function that measures unless it is called on behalf of another one that measures the same subject.

    The subject is the object, or for a constructor the class. The same function entered again for a subject that it
    measures already is a construction of its own: a constructor that makes its parts.
    """

    @functools.wraps(plain)
    def outermost(subject: Any, /, *args: Any, **kwargs: Any) -> Any:
        active: dict[tuple[int, object], Any] = _under_construction.__dict__.setdefault("active", {})
        mark = id(subject), kind
        outer = active.get(mark)
        if outer is not None and outer is not outermost:
            return plain(subject, *args, **kwargs)
        active[mark] = outermost
        try:
            return measured(subject, *args, **kwargs)
        finally:
            if outer is None:
                del active[mark]

    # What it is measured by shows as on any wrapper; `functools.wraps` has copied what the plain one has.
    outermost.__dict__ = {**vars(measured), **vars(outermost)}
    return outermost


def _has_new(cls: Any) -> bool:
    return cls.__new__ is not object.__new__


def _inherited_init(cls: Any) -> Callable[..., None]:
    """Return an initialiser that goes on along the method resolution order, as if the class had none."""

    def __init__(self: Any, *args: Any, **kwargs: Any) -> None:  # noqa: N807 - users see this name
        following = super(cls, self).__init__
        if getattr(following, "__objclass__", None) is not object:
            following(*args, **kwargs)
        elif not _has_new(type(self)):
            if (args or kwargs) and "__dataclass_fields__" in vars(type(self)):
                raise TypeError("put @time_execution above @dataclass: it measures the __init__ that dataclass makes")
            if (args or kwargs) and type(self).__init__ is cls.__init__:
                msg = f"{type(self).__name__}() takes no arguments"  # what Python says of a class that has neither
                raise TypeError(msg)
            following(*args, **kwargs)
        # Otherwise the arguments were meant for ``__new__``, and ``object.__init__`` would complain of them.

    if cls.__init__ is not object.__init__:
        return functools.wraps(cls.__init__)(__init__)
    # That of `object` claims to take anything, and frameworks would look for it in a request.
    __init__.__signature__ = inspect.Signature(  # type: ignore[attr-defined]
        [inspect.Parameter("self", inspect.Parameter.POSITIONAL_ONLY)]
    )
    __init__.__qualname__ = f"{cls.__qualname__}.__init__"
    __init__.__module__ = cls.__module__
    return __init__


def _inherited_new(cls: Any) -> Callable[..., Any]:
    """Return a constructor that goes on along the method resolution order, as if the class had none."""

    def __new__(subclass: type, *args: Any, **kwargs: Any) -> Any:  # noqa: N807 - users see this name
        return super(cls, subclass).__new__(subclass, *args, **kwargs)

    return functools.wraps(cls.__new__)(__new__)
