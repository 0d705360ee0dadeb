"""Whether a metric tells of a call that failed: one rule for every store and reader that counts errors."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

ERROR_FIELDS = ("exception", "error", "error_type")
"""The fields by which hooks say that the measured call raised; an empty one says that it did not."""

_ERROR_FIELDS = frozenset(ERROR_FIELDS)
_SCALARS = (str, int, float, bool, type(None))


def has_failed(fields: Mapping[str, Any]) -> bool:
    """Return whether one of `ERROR_FIELDS` is there and not empty: neither None, False, 0 nor an empty text.

    Runs no code of the values; one that is no plain value counts as there.

    Example:
        >>> has_failed({"error_type": "ValueError"}), has_failed({"error": None}), has_failed({"user": "anna"})
        (True, False, False)
    """
    if _ERROR_FIELDS.isdisjoint(fields):
        return False
    present = (fields[field] for field in ERROR_FIELDS if field in fields)
    return any(type(value) not in _SCALARS or bool(value) for value in present)
