"""What stands on the page as text: names, numbers and moments, each escaped, the exact value under the pointer."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from datetime import datetime, timezone
from html import escape
from typing import TYPE_CHECKING, Any

from time_execution.cli.numbers import change, duration, quantity, size
from time_execution.formats.number import finite_number

if TYPE_CHECKING:
    from time_execution.report import Call, FunctionStats

_MAX_FIELDS = 300
# The fields of resources, and how they are shown.
_RESOURCES: Mapping[str, tuple[tuple[str, ...], Callable[[float | None], str]]] = {
    "cpu": (("cpu_ms",), duration),
    "memory": (("memory_change_bytes", "rss_change_bytes"), change),
    "rss": (("rss_bytes",), size),
}
_OF_RESOURCES = frozenset(field for fields, _ in _RESOURCES.values() for field in fields)
# What `Timer` says twice.
_CALL_ID = "call_id"
_TOLD_OTHERWISE = frozenset({"started", "outcome", _CALL_ID})
_MAX_ID = 8
_ARGUMENTS = "arguments"
_FIRST = ("error_type", "message", _ARGUMENTS)

RESOURCES = tuple(_RESOURCES)
"""What `resource_text` knows of a call."""


def name_text(name: str) -> str:
    """Return a name that breaks after its dots, where it must."""
    return f'<span class="name">{escape(name).replace(".", ".<wbr>")}</span>'


def number_text(value: float | None, of: FunctionStats | Call) -> str:
    """Return a number with its unit, and its exact value under the pointer."""
    if value is None:
        return "-"
    return f'<span title="{escape(exact(value, of.unit))}">{escape(quantity(value, of.unit))}</span>'


def exact(value: float, unit: str | None) -> str:
    """Return a number with all that is known of it, not escaped."""
    return f"{value:,.6f} {unit or ''}".rstrip()


def resource_text(call: Call, resource: str) -> str:
    """Return what a call took of a resource; nothing when that is not known."""
    fields, shown = _RESOURCES[resource]
    number = next((call.fields[field] for field in fields if field in call.fields), None)
    return shown(finite_number(number)) if type(number) in {int, float} else ""


def fields_text(call: Call) -> str:
    """Return what else is known of a call, resources and its id aside; of much, its beginning."""
    left_out = _OF_RESOURCES | _TOLD_OTHERWISE if _CALL_ID in call.fields else _OF_RESOURCES
    told = [(key, value) for key, value in call.fields.items() if key not in left_out]
    text = ", ".join(_field(key, value) for key, value in sorted(told, key=lambda field: _rank(field[0])))
    return escape(text if len(text) <= _MAX_FIELDS else f"{text[:_MAX_FIELDS]}…")


def moment_text(moment: datetime, timespec: str = "minutes", *, has_date: bool = True) -> str:
    """Return local time with its zone, and UTC under the pointer."""
    shown = escape(local_text(moment, timespec, has_date=has_date))
    utc = moment.astimezone(timezone.utc).strftime("%Y-%m-%d %H:%M:%S UTC")
    return f'<time datetime="{moment.isoformat()}" title="{utc}">{shown}</time>'


def local_text(moment: datetime, timespec: str, *, has_date: bool = True) -> str:
    """Return local time with its zone, not escaped."""
    local = moment.astimezone()
    date = f"{local:%Y-%m-%d} " if has_date else ""
    return f"{date}{local.time().isoformat(timespec)} {local:%Z}"


def call_id_text(call: Call) -> str:
    """Return the beginning of a call's id, the whole under the pointer; nothing when it has none."""
    value = call.fields.get(_CALL_ID)
    if value is None:
        return ""
    whole = value if isinstance(value, str) else json.dumps(value)
    short = whole if len(whole) <= _MAX_ID else f"{whole[:_MAX_ID]}…"
    return f'<span class="name" title="{escape(whole)}">{escape(short)}</span>'


def _rank(key: str) -> int:
    """Return where a field stands among the others."""
    return _FIRST.index(key) if key in _FIRST else len(_FIRST)


def _field(key: str, value: Any) -> str:
    if key == _ARGUMENTS and isinstance(value, str):
        return f"({value})"
    return f"{key}={value if isinstance(value, str) else json.dumps(value)}"
