"""The arguments of a call as one line of text: named, summarised, redacted, sanitized and cut."""

from __future__ import annotations

from collections import deque
from datetime import datetime
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from time_execution.formats.redaction import MASK, REDACTOR
from time_execution.formats.snapshot import snapshot
from time_execution.formats.timestamp import to_iso

if TYPE_CHECKING:
    from time_execution.timer.sanitizing import Sanitizing

_MANY = 100
_SHORT = 1000
_WORD = 1 << 63
_CUT = "…"

_redact_text = REDACTOR.redact_text
_is_secret = lru_cache(4096)(REDACTOR.is_secret)


def argument_text(arguments: dict[str, Any], *, max_length: int | None, sanitize: Sanitizing) -> str:
    """Return ``x=5, y='abc'``: each argument by name, at a bounded cost and without running any of its code.

    Plain values are shown as Python writes them. What has more than a hundred items is told by its type and length, a
    data frame or an array by its type and shape, an object of any other class by its class. Secrets are masked, by
    name and by shape.

    Args:
        arguments: By parameter name.
        max_length: Cut the text of each argument to so many characters, after it was sanitized; None for no such cut.
        sanitize: Is handed each argument as ``name=text``.
    """
    texts = []
    for name, value in arguments.items():
        # What most arguments are, without another call.
        is_small = type(value) is int and -_WORD < value < _WORD and not _is_secret(name)
        text = f"{name}={value}" if is_small else f"{name}={_value_text(name, value)}"
        if sanitize.function is not None:
            text = sanitize(text)
        if max_length is not None and len(text) > (longest := len(name) + 1 + max_length):
            text = text[:longest] + _CUT
        texts.append(text)
    return ", ".join(texts)


def _value_text(name: str, value: Any) -> str:
    kind = type(value)
    if not _is_secret(name):
        if value is None or kind is float or kind is bool:
            return repr(value)
        if kind is str and len(value) <= _SHORT:
            return repr(_redact_text(value))
        if _is_container(kind) and len(value) > _MANY:
            return f"<{kind.__name__} of {len(value)}>"
    clean = REDACTOR.redact({name: snapshot(value)})[name]
    if type(clean) is datetime:
        return to_iso(clean)
    # What stands for a value is no text of the caller's, and needs no quotes.
    return clean if type(clean) is str and (clean == MASK or not _is_text(value)) else repr(clean)


def _is_container(kind: type) -> bool:
    """Whether it is one of Python's own; compared by identity, for a metaclass may have a hash of its own."""
    if kind is list or kind is tuple or kind is dict or kind is set or kind is frozenset:
        return True
    return kind is bytes or kind is bytearray or kind is deque


def _is_text(value: Any) -> bool:
    return issubclass(type(value), (str, bytes, bytearray))
