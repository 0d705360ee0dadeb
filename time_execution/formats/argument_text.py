"""The arguments of a call as one line of text: named, summarised, redacted, sanitized and cut."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from datetime import datetime
from functools import lru_cache
from typing import Any, Protocol

from time_execution.formats.redaction import LONGEST_WORD, MASK, REDACTOR
from time_execution.formats.snapshot import MAX_BYTES, MAX_TEXT, snapshot
from time_execution.formats.timestamp import to_iso

_MANY = 100
_LONGEST_NAME = 256
# What is counted for brackets and quotes before they show, some for each of the levels that a copy has.
_SLACK = 128
_WORD = 1 << 63
_CUT = "…"
# What a copy may take for each character that is shown, of empty texts most, and for a few values beside.
_BYTES_EACH = 32
_BYTES_MORE = 4096

_redact_text = REDACTOR.redact_text


class Sanitizer(Protocol):
    """What a user wants done to texts before they are shown; its ``function`` is None where that is nothing."""

    @property
    def function(self) -> Callable[[str], str] | None:
        """The user's own function."""
        ...

    def __call__(self, text: str) -> str:
        """Return the clean text."""
        ...


class _Nothing:
    """Leaves texts as they are."""

    function = None

    def __call__(self, text: str) -> str:
        """Return the text."""
        return text


AS_IT_IS: Sanitizer = _Nothing()


def argument_text(arguments: dict[str, Any], *, max_length: int | None, sanitize: Sanitizer = AS_IT_IS) -> str:
    """Return ``x=5, y='abc'``: each argument by name, at a bounded cost and without running any of its code.

    Plain values are shown as Python writes them. What has more than a hundred items is told by its type and length, a
    data frame or an array by its type and shape, an object of any other class by its class. Secrets are masked, by
    name and by shape. Of more than a hundred arguments, or of more than a record takes, the first are shown. What will
    not be shown is hardly looked at: secrets are looked for up to the cut, and as far beyond it as one may reach.

    Args:
        arguments: By name; those that a call has of its own, for ``**kwargs``, may hold anything.
        max_length: Cut the text of each argument to so many characters, after it was sanitized; None for no such cut.
        sanitize: Is handed each argument as ``name=text``.
    """
    texts: list[str] = []
    size = 0
    # A sanitizer may look for something that lies across the cut, or make what comes before it shorter.
    longest_value = MAX_TEXT if max_length is None else max_length + (LONGEST_WORD if sanitize.function else 0)
    for given, value in arguments.items():
        if len(texts) == _MANY or size > MAX_TEXT:
            texts.append(f"…[{len(arguments)} arguments]")
            break
        key = given if type(given) is str else str.__str__(given)  # of a class of its own, whose code is not run
        name, is_secret = (_name_text if len(key) <= _LONGEST_NAME else _long_name_text)(key)
        # What most arguments are, without another call.
        is_small = type(value) is int and -_WORD < value < _WORD and not is_secret
        if is_small:
            text = f"{name}={value}"
        else:
            room = min(longest_value, max(1, MAX_TEXT - size))
            text = f"{name}={_value_text(key, value, is_secret=is_secret, room=room)}"
        if sanitize.function is not None:
            text = sanitize(text)
        if max_length is not None and len(text) > (longest := len(name) + 1 + max_length):
            text = text[:longest] + _CUT
        texts.append(text)
        size += len(text)
    return ", ".join(texts)


@lru_cache(4096)
def _name_text(name: str) -> tuple[str, bool]:
    """Return a name as it may be shown, and whether what it stands for is a secret."""
    return _redact_text(name), REDACTOR.is_secret(name)


def _long_name_text(name: str) -> tuple[str, bool]:
    """Do the same for a name that is too long to be kept."""
    return _redact_text(name, max_text=_LONGEST_NAME), REDACTOR.is_secret(name)


def _value_text(name: str, value: Any, *, is_secret: bool, room: int) -> str:
    kind = type(value)
    if not is_secret:
        if value is None or kind is float or kind is bool:
            return repr(value)
        if kind is str:
            return repr(_redact_text(value, max_text=room))
        if _is_container(kind) and len(value) > _MANY:
            return f"<{kind.__name__} of {len(value)}>"
    copy = snapshot(value, max_bytes=min(MAX_BYTES, room * _BYTES_EACH + _BYTES_MORE))
    (clean,) = REDACTOR.redact({name: copy}, max_total=room + len(name) + _SLACK).values()
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
