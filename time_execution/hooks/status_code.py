"""The HTTP status that a measured view or request ended with."""

from __future__ import annotations

from typing import Any

from time_execution.types import NAME

STATUS_CODE = "status_code"

_LOWEST, _HIGHEST = 100, 599
_DIGITS = 3
_BODIES = (str, bytes, bytearray, dict, list)


class StatusCodeHook:
    """Adds ``status_code`` (int) when the call ended with an HTTP status; otherwise nothing.

    Looked at, in this order: the exception's ``status_code``, ``code`` or ``response``, or else the response's
    ``status_code`` (Flask, Django, Starlette, requests, httpx) or ``status`` (aiohttp, urllib; a text begins with the
    number), or the second item of a tuple that begins with a body, as Flask takes them. Thread-safe.

    Args:
        rename: Also end the series' name in the status: ``app.views.index.200``.

    Example:
        >>> hook = StatusCodeHook(rename=True)
        >>> hook(
        ...     response=("Gone", 410), exception=None, metric={"name": "index"}, func=len, func_args=(), func_kwargs={}
        ... )
        {'status_code': 410, 'name': 'index.410'}
    """

    def __init__(self, *, rename: bool = False) -> None:
        self.rename = rename

    def __call__(  # noqa: D102 - described by the class
        self, *, response: Any, exception: Any, metric: dict[str, Any], func: Any, func_args: Any, func_kwargs: Any
    ) -> dict[str, Any] | None:
        status = _status_of_exception(exception) if exception is not None else _status_of(response)
        if status is None:
            return None
        if self.rename:
            return {STATUS_CODE: status, NAME: f"{metric.get(NAME)}.{status}"}
        return {STATUS_CODE: status}


def _status_of(response: Any) -> int | None:
    if isinstance(response, tuple):
        if len(response) > 1 and (isinstance(response[0], _BODIES) or _status_of(response[0]) is not None):
            return _as_status(response[1])
        return None
    status = _as_status(getattr(response, "status_code", None))
    return _as_status(getattr(response, "status", None)) if status is None else status


def _status_of_exception(exception: BaseException) -> int | None:
    if isinstance(exception, SystemExit):  # its code is the process's
        return None
    for attribute in ("status_code", "code"):
        status = _as_status(getattr(exception, attribute, None))
        if status is not None:
            return status
    return _status_of(getattr(exception, "response", None))


def _as_status(value: Any) -> int | None:
    """Return an HTTP status given as number or as text like ``404 NOT FOUND``; None for anything else."""
    if isinstance(value, str) and value[:_DIGITS].isdecimal() and not value[_DIGITS : _DIGITS + 1].strip():
        value = int(value[:_DIGITS])
    if isinstance(value, int) and _LOWEST <= value <= _HIGHEST:
        return int(value)
    return None


status_code_hook = StatusCodeHook()
"""The hook with its defaults: the field only."""
