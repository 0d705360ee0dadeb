"""Backends made of what stands for one: a class, an import path, a factory, or an instance as it is.

Whatever the making raises becomes a `ConfigurationError` that names the place and tells no secret. What a URL or a dict
stands for is for `time_execution.config` to read; it makes them here as well.
"""

from __future__ import annotations

import inspect
import io
from collections.abc import Callable, Mapping, Sequence
from typing import Any, cast

from time_execution.backends.base import is_backend, way_to_write
from time_execution.backends.registry import TABLE, import_string
from time_execution.complaint import Place, kind_of
from time_execution.exceptions import ConfigurationError

_WANTED = "an instance, a class, the import path of one, or a factory"


def make_backend(
    spec: Any, args: Sequence[Any] | None = None, kwargs: Mapping[str, Any] | None = None, *, where: str
) -> Any:
    """Return the backend that a class, an import path or a factory makes, or an instance as it is.

    Args:
        spec: What stands for the backend.
        args: Positional arguments for what makes one; messages call them ``backend_args``, as users do.
        kwargs: Keyword arguments for what makes one; messages call them ``backend_kwargs``.
        where: How messages name it.

    Raises:
        ConfigurationError: When it stands for no backend, the backend cannot be made, or the arguments are none.
        MissingExtraError: When the backend's client is not installed.
    """
    place = Place(where, spec)
    args = () if args is None else args
    _check_arguments(args, kwargs, place)
    found = imported(spec, place) if isinstance(spec, str) else spec
    if is_maker(found):
        return make(found, args, kwargs or {}, place)
    backend = checked(found, place, "got")
    if args or kwargs:
        raise place.error(
            "backend_args and backend_kwargs need a class, an import path of one or a factory, not an instance"
        )
    return backend


def is_maker(found: Any) -> bool:
    """Whether something makes a backend, as a class of backends or a factory does, and is none itself."""
    return is_backend(found) if isinstance(found, type) else callable(found) and not is_backend(found)


def make(target: Callable[..., Any], args: Sequence[Any], kwargs: Mapping[str, Any], place: Place) -> Any:
    """Return the backend that a class or a factory makes.

    Raises:
        ConfigurationError: When it raises, or what it made is no backend.
    """
    place.learn(_by_name(target, args, kwargs))
    if not isinstance(target, type):
        return checked(attempt(target, args, kwargs, place, doing="the factory failed"), place, "the factory returned")
    without = "" if args or kwargs else " without arguments"
    doing = f"making {target.__qualname__}{without} failed"
    return checked(attempt(target, args, kwargs, place, doing=doing), place, "it made")


def attempt(
    target: Callable[..., Any], args: Sequence[Any], kwargs: Mapping[str, Any], place: Place, *, doing: str
) -> Any:
    """Call what makes a backend or a hook; whatever it raises becomes a `ConfigurationError` that tells no secret."""
    try:
        return target(*args, **kwargs)
    except Exception as exc:  # noqa: BLE001 - a constructor may raise anything, and show a password in it
        failure = place.failure(doing, exc)
    raise failure


def checked(made: Any, place: Place, how: str) -> Any:
    """Return a backend that can be written to.

    Raises:
        ConfigurationError: When it is none, or its way to write could store nothing.
    """
    if isinstance(made, io.IOBase):
        raise place.error(f"{how} {kind_of(made)}; a stream is written to through StreamBackend(stream)")
    if isinstance(made, type) or not is_backend(made):
        what = f"the class {made.__qualname__}" if isinstance(made, type) else kind_of(made)
        raise place.error(f"{how} {what}, which has no write(), bulk_write() or write_many(); expected {_WANTED}")
    try:
        way_to_write(made)
    except ConfigurationError as exc:
        complaint = str(exc)
    else:
        return made
    raise place.error(complaint)


def imported(path: str, place: Place) -> Any:
    """Return what an import path names.

    Raises:
        ConfigurationError: When it is no import path, or leads nowhere.
    """
    scheme = path.partition(":")[0]
    if scheme in TABLE and not path.startswith(f"{scheme}://"):
        raise place.error(f"a URL is written {scheme}://…")
    try:
        return import_string(path)
    except ConfigurationError as exc:
        failure = place.failure("it cannot be imported", exc)
    raise failure


def _check_arguments(args: Any, kwargs: Any, place: Place) -> None:
    if not isinstance(args, (list, tuple)):
        raise place.error(f"backend_args must be a list or a tuple, not {kind_of(args)}")
    if not (kwargs is None or isinstance(kwargs, Mapping)):
        raise place.error(f"backend_kwargs must be a dict, not {kind_of(kwargs)}")
    if not all(isinstance(name, str) for name in kwargs or ()):
        raise place.error("backend_kwargs must be a dict whose keys are names")


def _by_name(target: Callable[..., Any], args: Sequence[Any], kwargs: Mapping[str, Any]) -> dict[str, Any]:
    """Return arguments by the names of their parameters, which say which of them are secrets."""
    # Not the class itself: there, some Python versions prefer a ``__new__`` that only checks and takes anything.
    function = cast("Any", target).__init__ if isinstance(target, type) else target
    bound = (None, *args) if isinstance(target, type) else args
    try:
        return inspect.signature(function).bind_partial(*bound, **kwargs).arguments
    except (TypeError, ValueError):  # calling it will say what is wrong
        return {**kwargs, "": args}
