"""Writes the lines of our own: those of decorators and captures, which tell where the application's code stands."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from types import CodeType
from typing import Any, NamedTuple

from time_execution.guard import Failed, Step, Untouched
from time_execution.logs.handler import LABEL
from time_execution.logs.setup import setup
from time_execution.naming import named_part


class Origin(NamedTuple):
    """Where a line is said to be written.

    Attributes:
        path: The file.
        line: Its line.
        function: The function.
    """

    path: str
    line: int
    function: str


def origin_of(func: Any) -> Origin:
    """Return where a callable is defined; nowhere for what is written in C, or raises when it is asked."""
    found: Any = _ORIGIN.attempt(func)
    return _NOWHERE if isinstance(found, Failed) else found


def _origin(func: Any) -> Origin:
    code = getattr(inspect.unwrap(named_part(func)), "__code__", None)
    if isinstance(code, CodeType):
        return Origin(code.co_filename, code.co_firstlineno, code.co_name)
    return _NOWHERE._replace(function=str(getattr(named_part(func), "__name__", "?")))


def is_enabled(level: int) -> bool:
    """Whether the application's logger takes lines of a level; False also where it cannot be set up, which is told."""
    return _ENABLED.attempt(level) is True


def write(
    level: int,
    origin: Origin,
    message: str,
    *args: Any,
    exception: BaseException | None = None,
    fields: Mapping[str, Any] | None = None,
) -> bool:
    """Write a line by the application's logger. Never raises: what goes wrong is counted.

    Args:
        level: Of the line.
        origin: Where it is said to be written.
        message: Its text.
        *args: What is put into that.
        exception: What is told with it; left as it was.
        fields: Its extra fields; one whose name is taken gets a trailing ``_``.

    Returns:
        Whether all went well.
    """
    with Untouched(exception):
        return not isinstance(_WRITE.attempt(level, origin, message, args, exception, fields or {}), Failed)


def _is_enabled(level: int) -> bool:
    return (setup.application or setup.ready()).isEnabledFor(level)


def _write(  # noqa: PLR0917 - as `write` has them
    level: int,
    origin: Origin,
    message: str,
    args: tuple[Any, ...],
    exception: BaseException | None,
    fields: Mapping[str, Any],
) -> None:
    application = setup.application or setup.ready()
    if not application.isEnabledFor(level):
        return
    info: Any = None if exception is None else (type(exception), exception, exception.__traceback__)
    path, number, function = origin
    record = application.makeRecord(application.name, level, path, number, message, args, info, function)
    attributes = vars(record)
    for key, value in fields.items():
        name = key
        while name in attributes or name in _MADE_LATER:
            name = f"{name}_"
        attributes[name] = value
    application.handle(record)


_NOWHERE = Origin("(unknown file)", 0, "?")
_MADE_LATER = frozenset({"message", "asctime"})
_ORIGIN = Step(_origin, kind="hook", label=LABEL, raises=False, told="handler")
_ENABLED = Step(_is_enabled, kind="hook", label=LABEL, raises=False, told="handler")
_WRITE = Step(_write, kind="hook", label=LABEL, raises=False, told="handler")
