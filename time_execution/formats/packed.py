"""Metrics as JSON that keeps every type and bit: the form of the spool and of dead letters, read by this module only.

No code of the values runs: what is not plain becomes its snapshot first.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable
from datetime import datetime
from typing import Any, cast, get_args

from time_execution.formats.json import safe
from time_execution.formats.labels import given_labels
from time_execution.formats.snapshot import MAX_INT_BITS, snapshot_fields
from time_execution.types import Kind, Metric

_KINDS = frozenset(get_args(Kind))
_SURROGATE_PAIR = re.compile("[\ud800-\udbff][\udc00-\udfff]")
_write_plain = json.JSONEncoder(ensure_ascii=False, allow_nan=False, check_circular=False, separators=(",", ":")).encode


def pack(metric: Metric) -> str:
    r"""Return a metric as one line of JSON from which `unpack` restores it exactly.

    Whatever `time_execution.formats.snapshot.snapshot` returns survives, type and bit: integers of any size,
    datetimes, NaN, infinities, negative zero, lone surrogates, and the attributes ``kind``, ``unit``, ``id`` and
    ``labels``. Other values are replaced by their snapshot. What JSON lacks is an object with a single key,
    ``{"$datetime": "..."}``, ``{"$float": "nan"}`` or ``{"$utf8": "<hex>"}``; a key of the metric's own that begins
    with ``$`` is written with one more. Thread-safe; the metric is not changed.

    Example:
        >>> pack(Metric({"name": "a", "value": float("inf")}, id="0f-1"))
        '{"kind":"timing","unit":null,"id":"0f-1","fields":{"name":"a","value":{"$float":"inf"}}}'
    """
    row: dict[str, Any] = {"kind": metric.kind, "unit": metric.unit, "id": metric.id, "fields": metric}
    if labels := given_labels(metric):
        row = {"labels": labels, **row}
    text = ""
    if _is_flat(metric):
        try:
            text = _write_plain(row)
        except ValueError:  # a number that is none, or an integer of too many digits
            text = ""
    if not text or '"$' in text or (not text.isascii() and _SURROGATE_PAIR.search(text)):
        try:
            row["fields"] = _tag_dict(metric)
        except (TypeError, RecursionError):
            row["fields"] = _tag_dict(snapshot_fields(metric)[0])
        if labels:
            row["labels"] = [_tag(label) for label in labels]
        text = _write_plain(row)
    return safe(text)


def unpack(text: str) -> Metric:
    """Return the metric that `pack` wrote.

    Raises:
        ValueError: When the text is damaged, or was not written by `pack`.
    """
    try:
        row = json.loads(text, object_hook=_untag_dict) if '"$' in text else json.loads(text)
    except (RecursionError, TypeError) as exc:
        raise ValueError("not a packed metric") from exc
    match row:
        case {"kind": str(kind), "unit": str() | None as unit, "id": str() | None as key, "fields": dict(fields)} if (
            kind in _KINDS
        ):
            labels = row.get("labels", [])
            if type(labels) is list and all(type(label) is str for label in labels):
                return Metric(fields, kind=cast("Kind", kind), unit=unit, id=key, labels=tuple(labels))
    raise ValueError("not a packed metric")


def _is_flat(fields: dict[str, Any]) -> bool:
    """Say whether the encoder of the standard library would run no code of the values."""
    for value in fields.values():
        kind = type(value)
        if not (kind is str or kind is float or kind is int or kind is bool or value is None):
            return False
    return True


def _tag(value: Any) -> Any:
    """Return a snapshot's value in terms of JSON alone; what is none raises `TypeError`."""
    kind = type(value)
    if kind is str:
        return {"$utf8": _to_hex(value)} if _SURROGATE_PAIR.search(value) else value
    if kind is float:
        return value if math.isfinite(value) else {"$float": repr(value)}
    if kind is bool or value is None or (kind is int and value.bit_length() <= MAX_INT_BITS):
        return value
    if kind is datetime:
        return {"$datetime": value.isoformat()}
    if kind is list:
        return [_tag(item) for item in value]
    if kind is dict:
        return _tag_dict(value)
    raise TypeError(kind)


def _tag_dict(fields: dict[str, Any]) -> dict[str, Any]:
    return {_tag_key(key): _tag(value) for key, value in fields.items()}


def _tag_key(key: str) -> str:
    if type(key) is not str:
        raise TypeError(type(key))
    if _SURROGATE_PAIR.search(key):
        return f"$utf8:{_to_hex(key)}"
    return f"${key}" if key.startswith("$") else key


def _untag_dict(tagged: dict[str, Any]) -> Any:
    """Undo `_tag` and `_tag_key` for one JSON object, innermost first."""
    if len(tagged) == 1:
        ((tag, value),) = tagged.items()
        restore = _RESTORE.get(tag)
        if restore is not None:
            return restore(value)
    return {_untag_key(key) if key.startswith("$") else key: value for key, value in tagged.items()}


def _untag_key(key: str) -> str:
    return _from_hex(key[len("$utf8:") :]) if key.startswith("$utf8:") else key[1:]


def _to_hex(text: str) -> str:
    return text.encode("utf-8", "surrogatepass").hex()


def _from_hex(digits: str) -> str:
    return bytes.fromhex(digits).decode("utf-8", "surrogatepass")


_RESTORE: dict[str, Callable[[Any], Any]] = {
    "$datetime": datetime.fromisoformat,
    "$float": float,
    "$utf8": _from_hex,
}
