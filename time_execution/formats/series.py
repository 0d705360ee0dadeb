r"""The text that a series has in the store: its name, or name and labels such as ``http.requests{method=GET,route=/}``.

Reversible whatever names and values hold: a backslash stands before a comma of a value, before a comma or ``=`` of a
label, before a brace of a name that has labels, and before itself. A name without labels is its own text, unless it
looks like one with labels: then its braces have backslashes, too. Pure functions, nothing else.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from time_execution.formats.json import encode_value

MAX_VALUE = 200
"""So many characters of a label's value count."""

_WORD_BITS = 64
_IN_NAME = re.compile(r"[\\{]")
_IN_LABEL = re.compile(r"[\\,=]")
_IN_VALUE = re.compile(r"[\\,]")
_WITH_BACKSLASH = r"\\\g<0>"
_ESCAPED = re.compile(r"\\(.)", re.DOTALL)
_FAMILY = re.compile(r"((?:[^\\{]|\\.)*)(\{?)", re.DOTALL)
_PAIR = re.compile(r"((?:[^\\,=]|\\.)*)=((?:[^\\,]|\\.)*)(,|\Z)", re.DOTALL)


def series_text(family: str, labels: Mapping[str, str]) -> str:
    r"""Return the text of a series, from which `read_series` gives the name and the labels again.

    Args:
        family: The name that the metrics were written under.
        labels: Label -> value, in the order in which they are written.

    Example:
        >>> series_text("http.requests", {"route": "/users/{id}", "status": "200"})
        'http.requests{route=/users/{id},status=200}'
        >>> series_text("shop.save", {}), series_text("a{b=c}", {})
        ('shop.save', 'a\\{b=c}')
    """
    if not labels:
        return _escape(_IN_NAME, family) if _looks_labelled(family) else family
    pairs = ",".join(f"{_escape(_IN_LABEL, label)}={_escape(_IN_VALUE, value)}" for label, value in labels.items())
    return f"{_escape(_IN_NAME, family)}{{{pairs}}}"


def read_series(text: str) -> tuple[str, dict[str, str]]:
    r"""Return the name and the labels of a series: label -> value, in their order; the dict is the caller's own.

    Any text has a reading; one that `series_text` does not write is a name.

    Example:
        >>> read_series("http.requests{route=/users/{id},status=200}")
        ('http.requests', {'route': '/users/{id}', 'status': '200'})
        >>> read_series("shop.save"), read_series("a\\{b=c}")
        (('shop.save', {}), ('a{b=c}', {}))
    """
    if not _looks_labelled(text):
        return text, {}
    family, pairs = _read(text)
    return family, dict(pairs)


def label_text(value: Any) -> str | None:
    """Return the value of a label as text; None for None, which is no label.

    A text longer than `MAX_VALUE` is cut, and says so.

    Example:
        >>> label_text("GET"), label_text(200), label_text(True), label_text(None), label_text([1, "a"])
        ('GET', '200', 'true', None, '[1,"a"]')
    """
    if value is None:
        return None
    kind = type(value)
    if kind is str:
        text = value
    elif kind is float or (kind is int and value.bit_length() <= _WORD_BITS):
        text = repr(value)
    else:
        text = encode_value(value).strip('"')
    return text if len(text) <= MAX_VALUE else f"{text[:MAX_VALUE]}…[cut, {len(text)} characters]"


def _looks_labelled(text: str) -> bool:
    return text[-1:] == "}" and 0 <= text.find("{") < text.rfind("=")


@lru_cache(maxsize=20_000)
def _read(text: str) -> tuple[str, tuple[tuple[str, str], ...]]:
    """Read what looks labelled."""
    family = _FAMILY.match(text)
    if family is None or not family[2]:
        return _unescaped(text), ()
    pairs: list[tuple[str, str]] = []
    position, last = family.end(), len(text) - 1
    while (pair := _PAIR.match(text, position, last)) is not None:
        pairs.append((_unescaped(pair[1]), _unescaped(pair[2])))
        if not pair[3]:
            return _unescaped(family[1]), tuple(pairs)
        position = pair.end()
    return text, ()


def _escape(special: re.Pattern[str], text: str) -> str:
    return special.sub(_WITH_BACKSLASH, text)


def _unescaped(text: str) -> str:
    return _ESCAPED.sub(r"\1", text) if "\\" in text else text
