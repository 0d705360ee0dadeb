"""Text from a URL, a file or the environment turned into the type that an annotation asks for.

Durations (``500ms``, ``7d``) become float seconds, sizes (``16MiB``) become integers where the name ends in ``bytes``.
"""

from __future__ import annotations

import os
import re
import types
import typing
from collections.abc import Callable, Collection, Iterable, Sequence
from typing import Any, Literal

from time_execution.complaint import URL, UnfitError
from time_execution.formats.redaction import REDACTOR

_FLAGS = {"1": True, "true": True, "yes": True, "on": True, "0": False, "false": False, "no": False, "off": False}
_SECONDS = {"us": 1e-6, "ms": 1e-3, "": 1.0, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0, "w": 604800.0}
_BYTES = {"": 1, "b": 1} | {
    f"{prefix}{suffix}": base**power
    for power, prefix in enumerate("kmgt", start=1)
    for suffix, base in (("b", 1000), ("ib", 1024))
}
_QUANTITY = re.compile(r"\s*([+-]?(?:\d[\d_]*\.?\d*|\.\d+)(?:[eE][+-]?\d+)?)\s*([A-Za-z]*)\s*")
_NUMBER = re.compile(r"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?")
_SEQUENCES = (list, tuple, set, frozenset, Sequence, Collection, Iterable)

# A comma parts two backends where a URL or a class follows it; any other may belong to the URL (`kafka://a:1,b:2/t`).
_BETWEEN_BACKENDS = re.compile(r",?\s+|,(?=[A-Za-z][A-Za-z0-9+.-]*://|(?:\w+\.)+[A-Z]\w*(?:[,\s]|$))")

_Parser = Callable[[str], Any]


def convert(text: str, hint: Any, *, name: str) -> Any:
    """Return the value that a text stands for.

    Of several types, bool, int and float are tried in that order, then the others, and text last.

    Args:
        text: What was written.
        hint: The annotation of what takes it; for `Any`, numbers and ``true`` and ``false`` are recognised.
        name: What takes it is called so: a unit may be in the name.

    Raises:
        UnfitError: When the text does not fit.
    """
    kinds = _kinds(hint)
    wanted = []
    for kind in kinds:
        if str in kinds and not _goes_before_text(kind, text):
            continue
        what, parse = _parser(kind, name)
        try:
            return parse(text)
        except (ValueError, LookupError, OverflowError):
            wanted.append(what)
    if str in kinds:
        return text
    raise UnfitError(", or ".join(wanted), got="a text that is none")


def split_list(text: str) -> list[Any]:
    """Split at commas and white space; a text that starts with ``[`` is read as JSON."""
    found = _json(text)
    return found if found is not None else [item for item in re.split(r"[,\s]+", text) if item]


def split_backends(text: str) -> list[Any]:
    """Split URLs and import paths at white space, and at commas that cannot belong to a URL; or read a JSON list."""
    found = _json(text)
    if found is not None:
        return found
    items = [item.strip(",") for item in _BETWEEN_BACKENDS.split(text.strip())]
    return [part for item in items for part in ([item] if URL.match(item) else item.split(",")) if part]


def duration(text: str) -> float:
    """Return seconds: a number of them, or one with the unit us, ms, s, m, h, d or w.

    Example:
        >>> duration("1.5h")
        5400.0
    """
    number, unit = _quantity(text)
    return float(number) * _SECONDS[unit]


def size(text: str) -> int:
    """Return bytes: a number of them, or one with a unit such as kB (1000) or KiB (1024).

    Example:
        >>> size("16MiB")
        16777216
    """
    number, unit = _quantity(text)
    value = float(number) * _BYTES[unit.lower()]
    if not value.is_integer():
        raise ValueError(unit)
    return int(value)


def _quantity(text: str) -> tuple[str, str]:
    match = _QUANTITY.fullmatch(text)
    if match is None:
        raise ValueError
    return match[1], match[2]


def _kinds(hint: Any) -> list[Any]:
    """Return the members of a union, in the order in which they are to be tried."""
    members = list(typing.get_args(hint)) if typing.get_origin(hint) in {typing.Union, types.UnionType} else [hint]
    order = [bool, int, float]
    return sorted(members, key=lambda kind: order.index(kind) if kind in order else len(order))


def _parser(kind: Any, name: str) -> tuple[str, _Parser]:
    """Return what a type is called in messages, and the function that reads it or raises ValueError or LookupError."""
    simple: dict[Any, tuple[str, _Parser]] = {
        bool: ("true or false", lambda text: _FLAGS[text.strip().lower()]),
        float: ("a number, or a duration such as 500ms or 7d", duration),
        int: ("a size in bytes such as 16MiB", size) if name.endswith("bytes") else ("a whole number", int),
        type(None): ("none", {"none": None}.__getitem__),
        Any: ("a value", lambda text: text if REDACTOR.is_secret(name) else _guess(text)),
    }
    if kind in simple:
        return simple[kind]
    if typing.get_origin(kind) is Literal:
        choices = {str(choice): choice for choice in typing.get_args(kind)}
        return f"one of {', '.join(choices)}", choices.__getitem__
    if _is_sequence(kind):
        return "a list, its items parted by commas", lambda text: _sequence(text, kind, name)
    # Python 3.10 takes `dict[str, str]` for a class, which it cannot be asked about.
    bare = typing.get_origin(kind) or kind
    if isinstance(bare, type) and issubclass(bare, os.PathLike):
        return "a path", str if bare is os.PathLike else bare
    return f"an instance of {getattr(bare, '__qualname__', bare)}", _no_parser


def _no_parser(_text: str) -> Any:
    raise ValueError


def _guess(text: str) -> Any:
    if text.lower() in {"true", "false"}:
        return text.lower() == "true"
    if not _NUMBER.fullmatch(text):
        return text
    return int(text) if text.lstrip("-").isdigit() else float(text)


def _is_sequence(kind: Any) -> bool:
    return (typing.get_origin(kind) or kind) in _SEQUENCES


def _goes_before_text(kind: Any, text: str) -> bool:
    """Whether a type is tried where a text would do as well."""
    return kind in {bool, int, float} or (_is_sequence(kind) and ("," in text or text.startswith("[")))


def _sequence(text: str, kind: Any, name: str) -> Any:
    items = split_list(text)
    hint = next(iter(typing.get_args(kind)), str)
    made = [convert(item, hint, name=name) if isinstance(item, str) else item for item in items]
    origin = typing.get_origin(kind) or kind
    return made if origin not in (tuple, set, frozenset) else origin(made)


def _json(text: str) -> list[Any] | None:
    """Return the list that a JSON text holds, a single object as a list of one; None for what is not JSON."""
    if not text.lstrip().startswith(("[", "{")):
        return None
    import json  # noqa: PLC0415 - takes time to import, and is rarely needed

    try:
        found = json.loads(text)
    except ValueError:
        raise UnfitError("JSON after '[' or '{'", got="a text that is none") from None
    return found if isinstance(found, list) else [found]
