r"""Detached copies of whatever users hand us, made of plain values only, at a bounded cost.

A snapshot is taken on the calling thread, so it must neither take long nor run anybody's code: values are read through
the methods of the built-in classes themselves, never through those of their subclasses, and what is not known becomes
``<module.QualName>``. No ``repr``, ``str``, ``==``, ``hash`` or iteration of a user's class happens here.

==============================  ==================================================================================
value                           becomes
==============================  ==================================================================================
str, int, float, bool, None     itself; of a subclass, the plain value; an int over 4 096 bits ``<int of … bits>``
datetime                        an aware datetime in UTC (a naive one is taken as UTC)
date, time; timedelta           ISO 8601 text; seconds as a float
dict, dataclass, named tuple    dict with text keys (a field declared ``repr=False`` is left out)
list, tuple, deque, set         list; a set's is sorted where its items have an order
bytes, bytearray                text: UTF-8, or what a bytes literal would hold (``\xff``)
Decimal; complex                the nearest float, or text where there is none; text
Enum member                     its value
UUID, path                      text
NumPy scalar; array             its Python value; ``<numpy.ndarray shape=… dtype=…>``
anything else                   ``<module.QualName>``
==============================  ==================================================================================

Caps: 16 384 characters a text (4 096 one of the core fields, in a metric over 16 KiB), 256 a key, 100 items a
container, 8 levels, 64 KiB and 250 values a metric, of which one that is not plain counts twice. What is cut says so in
a text that begins with ``…[``; a metric that was cut to fit as a whole has ``truncated: True``.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timezone
from enum import Enum
from itertools import islice
from typing import Any

from time_execution.formats._reader import (
    MAX_INT_BITS,
    MAX_ITEMS,
    MAX_TEXT,
    dataclass_attributes,
    describe,
    mro_of,
    read_attribute,
    read_container,
    read_int,
    reader_of,
    tuple_items,
)
from time_execution.formats.labels import given_labels
from time_execution.types import HOSTNAME, NAME, ORIGIN, TIMESTAMP, VALUE, Metric

__all__ = ["MAX_BYTES", "MAX_INT_BITS", "MAX_TEXT", "TRUNCATED", "snapshot", "snapshot_fields", "snapshot_metric"]

TRUNCATED = "truncated"
"""The field that marks a metric of which something was left out so that all of it fits."""

MAX_BYTES = 64 * 1024
MAX_VALUES = 250
MAX_DEPTH = 8
MAX_KEY = 256
MAX_CORE_TEXT = 4096

# What a dict takes, and each entry with its value. Texts count with their memory or their UTF-8, whichever is more.
_METRIC_BYTES = 240
_VALUE_BYTES = 32
# More than the longest marker takes, also where its text was already cut.
_MARKER = 64
_WORD = 1 << 63
_UTC = timezone.utc
_NO_LABELS = Metric.labels
_new_metric = Metric.__new__  # its constructor in Python would cost as much as the copying
_TOO_DEEP = f"…[cut, deeper than {MAX_DEPTH} levels]"
_CORE = frozenset((NAME, VALUE, HOSTNAME, TIMESTAMP, ORIGIN))


def snapshot(value: Any, *, max_bytes: int = MAX_BYTES) -> Any:
    """Return a detached copy of a value, made of str, int, float, bool, None, datetime, list and dict only.

    Takes less than a millisecond for any input, runs no code of the value, and never raises for one. Thread-safe; a
    container that another thread changes meanwhile is replaced by a text that says so.

    Args:
        value: Anything.
        max_bytes: About how much the copy may take; the rest is left out, and costs nothing.

    Example:
        >>> snapshot({"ids": {2, 1}, "lock": object()})
        {'ids': [1, 2], 'lock': '<builtins.object>'}
    """
    return _Copier(max_bytes).copy(value, 0)


def snapshot_fields(fields: Mapping[str, Any]) -> tuple[dict[str, Any], int]:
    """Return a detached copy of a metric's fields, in their order, and about how many bytes it takes.

    Fields that are all plain cost one pass and one copy of the dict. Of more than is kept, the core fields and numbers
    come before others, and ``truncated: True`` is added.

    Args:
        fields: A dict or `Metric`; any other mapping is read by its owner's code, so it gives no fields.
    """
    size = _plain_size(fields)
    return (dict(fields), size) if size else _Copier().copy_fields(fields)


def snapshot_metric(metric: Mapping[str, Any]) -> tuple[Metric, int]:
    """Do what `snapshot_fields` does, for a copy that keeps kind, unit and labels; a plain dict counts as a timing."""
    copy = _new_metric(Metric)
    size = _plain_size(metric)
    if size:
        copy.update(metric)
    else:
        fields, size = _Copier().copy_fields(metric)
        copy.update(fields)
    if type(metric) is not dict and isinstance(metric, Metric):
        if metric.kind != Metric.kind:
            copy.kind = metric.kind
        if metric.unit is not None:
            copy.unit = metric.unit
        if metric.labels is not _NO_LABELS and (labels := given_labels(metric)):
            copy.labels = labels
    return copy, size


def _plain_size(fields: Mapping[str, Any]) -> int:
    """Return about how many bytes a metric takes whose fields may be kept as they are, or 0 for any other."""
    if type(fields) is not dict and type(fields) is not Metric:
        return 0
    size = _METRIC_BYTES + _VALUE_BYTES * len(fields)
    for key, value in fields.items():
        if type(key) is not str:
            return 0
        size += len(key)
        kind = type(value)
        if kind is float:
            continue
        if kind is str:
            size += value.__sizeof__()
        elif kind is int:
            if not -_WORD < value < _WORD:
                return 0
        elif not (kind is bool or value is None or (kind is datetime and value.tzinfo is _UTC)):
            return 0
    return size if size <= MAX_TEXT else 0


class _Copier:
    """Copies one value or one metric, and keeps count of what is left of its caps."""

    __slots__ = ("bytes_left", "is_cut", "path", "values_left")

    def __init__(self, max_bytes: int = MAX_BYTES) -> None:
        self.bytes_left = max_bytes - _METRIC_BYTES
        self.values_left = MAX_VALUES
        self.is_cut = False
        self.path: set[int] = set()

    def copy_fields(self, fields: Any) -> tuple[dict[str, Any], int]:
        """Copy what matters most first, so that a huge field costs a metric no more than itself."""
        if not issubclass(type(fields), dict):
            return {}, _METRIC_BYTES
        items = _first_items(fields, MAX_VALUES)
        copies: dict[str, Any] = {}
        places: dict[str, int] = {}
        for index in sorted(range(len(items)), key=lambda index: _rank(*items[index])):
            if not self.has_room():
                break
            key, value = items[index]
            text = self.key(key, copies)
            is_name = text in _CORE and type(value) is str
            copies[text] = self.text(value, MAX_CORE_TEXT) if is_name else self.copy(value, 0)
            places[text] = index
        copy = {text: copies[text] for text in sorted(copies, key=places.__getitem__)}
        if self.is_cut or len(copy) < dict.__len__(fields):
            copy[TRUNCATED] = True
        return copy, MAX_BYTES - self.bytes_left

    def has_room(self) -> bool:
        """Say whether another value fits; from the first that does not, the metric counts as cut."""
        if self.values_left > 0 and self.bytes_left > 0:
            return True
        self.is_cut = True
        return False

    def copy(self, value: Any, depth: int) -> Any:
        """Return the plain form of any value."""
        kind = type(value)
        self.values_left -= 1
        self.bytes_left -= _VALUE_BYTES
        if kind is float or kind is bool or value is None:
            return value
        if kind is str:
            return self.text(value)
        return self.scalar(read_int(value)) if kind is int else self.copy_other(value, kind, depth)

    def copy_other(self, value: Any, kind: type, depth: int) -> Any:
        """Return the plain form of a value by the first of its bases that is known."""
        bases = mro_of(kind)
        # Finding out takes as long as copying a plain value, and longer for a class with many bases.
        self.values_left -= 1 + len(bases) // 4
        for base in bases[:-1]:
            read = reader_of(base, kind)
            if read is read_container:
                named = tuple_items(value) if base is tuple and kind is not tuple else None
                if named is not None:
                    return self.container(value, dict, named, depth)
                return self.container(value, base, value, depth)
            if read is not None:
                return self.scalar(read(value, base))
            if base is Enum:
                return self.copy(read_attribute(value, "_value_"), depth + 1) if depth < MAX_DEPTH else _TOO_DEEP
            attributes = dataclass_attributes(value, base)
            if attributes is not None:
                return self.container(value, dict, attributes, depth)
        return self.scalar(describe(value))

    def scalar(self, value: Any) -> Any:
        """Return what a reader made; only texts and large integers take up more than the flat rate."""
        if type(value) is str:
            return self.text(value)
        if type(value) is int:
            self.bytes_left -= value.bit_length() // 3
        return value

    def text(self, text: str, limit: int = MAX_TEXT) -> str:
        """Return a text, cut at the limit and at what is left of the metric's bytes."""
        length = len(text)
        # A text that was cut before has its marker beyond the limit, and stays as it is.
        if length > limit + _MARKER:
            text = text[:limit]
        size = _text_bytes(text)
        if size > self.bytes_left:
            self.is_cut = True
            text = text[: max(0, self.bytes_left) * len(text) // size]
        self.bytes_left -= size
        return text if len(text) == length else f"{text}…[cut, {length} characters]"

    def key(self, key: Any, taken: Mapping[str, Any]) -> str:
        """Return a key as a text that is not taken yet."""
        text = self.text(key if type(key) is str else str(self.copy(key, MAX_DEPTH - 1)), MAX_KEY)
        while text in taken:
            text = f"{text}_{len(taken)}"
        return text

    def container(self, value: Any, base: Any, contents: Any, depth: int) -> Any:
        """Copy the first of ``contents`` by the methods of ``base``; a cycle is one that comes back to ``value``."""
        if depth >= MAX_DEPTH:
            return _TOO_DEEP
        if id(value) in self.path:
            return "…[cycle]"
        self.path.add(id(value))
        try:
            length = base.__len__(contents)
            count = length if length <= MAX_ITEMS + 1 else MAX_ITEMS
            if base is dict:
                return self.mapping(_first_items(contents, count), length, depth + 1)
            items = self.sequence(list(islice(base.__iter__(contents), count)), depth + 1)
        except RuntimeError:
            return "…[changed while it was read]"
        finally:
            self.path.discard(id(value))
        if base is set or base is frozenset:
            items = _in_order(items)
        return items if len(items) == length else [*items, f"…[cut, {length} items]"]

    def mapping(self, items: list[tuple[Any, Any]], length: int, depth: int) -> dict[str, Any]:
        """Copy pairs until there is no more room."""
        copy: dict[str, Any] = {}
        for key, item in items:
            if not self.has_room():
                break
            name = self.key(key, copy)  # first: a long value leaves no room for it
            copy[name] = self.copy(item, depth)
        if len(copy) < length:
            copy["…"] = f"…[cut, {length} keys]"
        return copy

    def sequence(self, items: list[Any], depth: int) -> list[Any]:
        """Copy items until there is no more room."""
        copy: list[Any] = []
        for item in items:
            if not self.has_room():
                break
            copy.append(self.copy(item, depth))
        return copy


def _rank(key: Any, value: Any) -> int:
    """Return the place of a field when there is not room for all: core fields, numbers, the rest."""
    if type(key) is str and key in _CORE:
        return 0
    kind = type(value)
    return 1 if kind is float or kind is int or kind is bool else 2


def _first_items(fields: Any, count: int) -> list[tuple[Any, Any]]:
    """Return the first items of a dict or of what extends it; a whole view could have millions."""
    return list(islice(dict.items(fields), count))


def _text_bytes(text: str) -> int:
    size = text.__sizeof__()
    return size if text.isascii() else max(size, len(text.encode("utf-8", "surrogatepass")))


def _in_order(items: list[Any]) -> list[Any]:
    """Sort a set's copy, so that equal sets give equal documents; items without an order stay as they came."""
    try:
        return sorted(items)
    except TypeError:
        return items
