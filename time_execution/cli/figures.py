"""What is known of functions and other series, in order: as tables for people, as JSON and CSV for programs."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any

from time_execution.cli.numbers import change, count, duration, plural, quantity, size, times
from time_execution.cli.table import Screen, fitting, render
from time_execution.formats.number import finite_number

if TYPE_CHECKING:
    from time_execution.report import FunctionStats, Resources

_NUMBERS = ("total", "mean", "p50", "p95", "p99", "max")
_ALL_NUMBERS = ("total", "mean", "p50", "p95", "p99", "min", "max")
# The columns of resources, and what they show; what they are called where a program reads them.
_RESOURCES = {"cpu": "mean_cpu", "memory": "mean_memory_change", "rss": "max_rss"}
_WIRE = {"mean_cpu_ms": "mean_cpu", "mean_memory_change_bytes": "mean_memory_change", "max_rss_bytes": "max_rss"}
# What a narrow terminal does without, the first to go first.
_OPTIONAL = ("p99", "mean", "p50", "rss", "memory", "total", "cpu", "max")
_WITHOUT_UNIT = {"name", "calls", "errors"}

SORTS = ("total", "name", "calls", "errors", "mean", "p50", "p95", "p99", "min", "max", *_RESOURCES)
"""What functions may be sorted by."""


def choose(
    stats: list[FunctionStats], *, sort: str, reverse: bool, limit: int | None, taken: Mapping[str, Resources]
) -> list[FunctionStats]:
    """Return functions in order, greatest first or names from A to Z, then other series; so many of each.

    Those without a number come last. Numbers are compared where their units are the same only.
    """
    key = _key(sort, taken)
    known = [row for row in stats if key(row) is not None]
    known.sort(key=lambda row: row.name)
    known.sort(key=key, reverse=(sort != "name") != reverse)
    ordered = known + [row for row in stats if key(row) is None]
    others = [row for row in ordered if not row.is_timing]
    if sort not in _WITHOUT_UNIT:
        others.sort(key=lambda row: (row.kind, row.unit or ""))
    return [row for row in ordered if row.is_timing][: limit or None] + others[: limit or None]


def print_tables(
    stats: list[FunctionStats], chosen: list[FunctionStats], *, sort: str, taken: Mapping[str, Resources]
) -> None:
    """Print a table of the functions chosen, one of the numbers of other kinds, and a line on all."""
    screen = Screen(sys.stdout)
    functions, others = [row for row in chosen if row.is_timing], [row for row in chosen if not row.is_timing]
    parts = []
    if functions:
        more_heads = tuple(_RESOURCES) if any(row.name in taken for row in functions) else ()
        rows = [
            (
                *(row.name, count(row.calls), count(row.errors)),
                *(_aligned(getattr(row, number)) for number in _NUMBERS),
                *(_resource(taken.get(row.name), title) for title in more_heads),
            )
            for row in functions
        ]
        parts.append(_table(screen, ("function", "calls", "errors", *_NUMBERS, *more_heads), rows, sort=sort))
    if others:
        rows = [
            (row.name, row.unit or "-", count(row.calls), count(row.errors), *(_number(row, each) for each in _NUMBERS))
            for row in others
        ]
        parts.append(_table(screen, ("value", "unit", "count", "errors", *_NUMBERS), rows, sort=sort))
    more = len(stats) - len(chosen)
    hidden = f"; {count(more)} not shown (--limit 0 shows all)" if more else ""
    parts.append(f"{screen.safe(summary(stats))}{hidden}")
    print("\n\n".join(parts))


def summary(stats: list[FunctionStats]) -> str:
    """Return what everything comes to, in a sentence."""
    functions, others = [row for row in stats if row.is_timing], [row for row in stats if not row.is_timing]
    calls, errors = sum(row.calls for row in functions), count_errors(stats)
    first, last = min(row.first_seen for row in stats), max(row.last_seen for row in stats)
    parts = [plural(len(functions), "function"), plural(calls, "call")] if functions else []
    parts += [f"{plural(len(others), 'value')} written {times(sum(row.calls for row in others))}"] if others else []
    parts += [plural(errors, "error") if errors else "no errors", _between(first, last)]
    return ", ".join(parts)


def count_errors(stats: Sequence[FunctionStats]) -> int:
    """Return how many calls and writings failed; an event tells of what may be among them already."""
    return sum(row.errors for row in stats if row.kind != "event")


def _table(screen: Screen, heads: Sequence[str], rows: Sequence[Sequence[str]], *, sort: str) -> str:
    optional = [title for title in _OPTIONAL if title != sort and title in heads]
    heads, rows, gone = fitting(screen, heads, rows, optional=optional)
    missing = f"\n(no room for {', '.join(gone)})" if gone else ""
    return render(screen, heads, rows, red=frozenset({"errors"})) + missing


def _between(first: datetime, last: datetime) -> str:
    """Return a range of minutes in local time."""
    begin, end = first.astimezone(), last.astimezone()
    day = "" if begin.date() == end.date() else "%Y-%m-%d "
    until = "" if f"{begin:%Y%m%d%H%M}" == f"{end:%Y%m%d%H%M}" else f" to {end:{day}%H:%M}"
    return f"{begin:%Y-%m-%d %H:%M}{until} {end:%Z}"


def _aligned(milliseconds: float | None) -> str:
    """Return a duration whose unit takes two places, so that numbers stand under each other."""
    return _with_unit(duration(milliseconds), 2)


def _with_unit(text: str, places: int) -> str:
    number, _, unit = text.partition(" ")
    return f"{number} {unit:<{places}}"


def _number(row: FunctionStats, name: str) -> str:
    """Return a number whose unit stands beside it."""
    return quantity(getattr(row, name))


def _resource(taken: Resources | None, title: str) -> str:
    """Return what is known of a resource."""
    number = getattr(taken, _RESOURCES[title], None)
    if title == "cpu":
        return _aligned(number)
    return _with_unit(change(number) if title == "memory" else size(number), len("KiB"))


def _key(sort: str, taken: Mapping[str, Resources]) -> Callable[[FunctionStats], Any]:
    attribute = _RESOURCES.get(sort)
    if attribute is None:
        return lambda row: getattr(row, sort)
    return lambda row: getattr(taken.get(row.name), attribute, None)


def document(chosen: list[FunctionStats], taken: Mapping[str, Resources]) -> dict[str, Any]:
    """Return functions and values as JSON has them."""
    functions = [row for row in chosen if row.is_timing]
    has_resources = any(row.name in taken for row in functions)
    return {
        "functions": [_fields(row) | (_taken(taken.get(row.name)) if has_resources else {}) for row in functions],
        "values": [_fields(row) for row in chosen if not row.is_timing],
    }


def print_csv(chosen: list[FunctionStats], taken: Mapping[str, Resources]) -> None:
    """Print a row for each function and value."""
    import csv

    from time_execution.formats.spreadsheet import neutral

    has_resources = any(row.name in taken for row in chosen)
    heads = ("name", "kind", "unit", "calls", "errors", *_ALL_NUMBERS, "first_seen", "last_seen")
    reconfigure = getattr(sys.stdout, "reconfigure", None)
    if reconfigure is not None:
        reconfigure(newline="")  # the lines end as the format says, also where text files' lines end otherwise
    writer = csv.writer(sys.stdout, lineterminator="\r\n")
    writer.writerow((*heads, *_WIRE) if has_resources else heads)
    for row in chosen:
        fields = _fields(row) | (_taken(taken.get(row.name)) if has_resources else {})
        writer.writerow([neutral(cell) if isinstance(cell, str) else cell for cell in fields.values()])


def iso(value: datetime | None) -> str | None:
    """Return a moment as JSON and CSV have it."""
    # Whole seconds have no fraction.
    return None if value is None else value.astimezone(timezone.utc).isoformat().replace("+00:00", "Z")


def _fields(row: FunctionStats) -> dict[str, Any]:
    fields: dict[str, Any] = {"name": row.name, "kind": row.kind, "unit": row.unit}
    fields |= {"calls": row.calls, "errors": row.errors}
    # What sums of numbers beyond all measure come to, JSON cannot tell.
    fields |= {number: finite_number(getattr(row, number)) for number in _ALL_NUMBERS}
    return fields | {"first_seen": iso(row.first_seen), "last_seen": iso(row.last_seen)}


def _taken(taken: Resources | None) -> dict[str, Any]:
    return {name: getattr(taken, attribute, None) for name, attribute in _WIRE.items()}
