"""A line's identifiers and texts as fields of a metric."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from time_execution.settings import current
from time_execution.types import CORE_FIELDS, HOOK_ERROR, ORIGIN

_TAKEN = frozenset({*CORE_FIELDS, ORIGIN, HOOK_ERROR, "sample_rate"})


def beside_core(fields: Mapping[str, Any]) -> dict[str, Any]:
    """Return fields for a metric; those called as one that every metric has get an underscore at the end."""
    taken = _TAKEN | {current().values.duration_field}
    return {_unlike(name, taken, fields) if name in taken else name: value for name, value in fields.items()}


def _unlike(name: str, taken: Collection[str], fields: Mapping[str, Any]) -> str:
    while name in taken or name in fields:
        name += "_"
    return name
