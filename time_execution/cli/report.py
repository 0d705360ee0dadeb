"""Show what each function cost: calls, errors, and the time it took; below, numbers of other kinds, in their units.

Times are inclusive: a function's time contains that of the functions it calls. Percentiles are at most 2 % off.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Sequence
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any

from time_execution.cli.bounds import whole
from time_execution.cli.moments import moment
from time_execution.cli.numbers import count, duration, plural, quantity, times
from time_execution.cli.say import say
from time_execution.cli.table import Screen, fitting, render
from time_execution.report import DatabaseError, read

if TYPE_CHECKING:
    from time_execution.report import FunctionStats

EPILOG = """\
examples:
  time-execution report metrics.db --sort p95 --limit 10
  time-execution report metrics.db --since 1h --pattern 'shop.*'
  time-execution report metrics.db --html report.html
  time-execution report metrics.db --csv > report.csv
"""
_NUMBERS = ("total", "mean", "p50", "p95", "p99", "max")
_ALL_NUMBERS = ("total", "mean", "p50", "p95", "p99", "min", "max")
# What a narrow terminal does without, the first to go first.
_OPTIONAL = ("p99", "mean", "p50", "total", "max")
_SORTS = ("total", "name", "calls", "errors", "mean", "p50", "p95", "p99", "min", "max")
_WITHOUT_UNIT = {"name", "calls", "errors"}
_TABLE_LIMIT = 30
_ALIKE = 5


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Describe the options."""
    parser.add_argument("file", nargs="?", default="metrics.db", help="the database (default: %(default)s)")
    parser.add_argument("-s", "--sort", choices=_SORTS, default="total", help="what to sort by (default: %(default)s)")
    parser.add_argument("-r", "--reverse", action="store_true", help="sort the other way round: least first")
    parser.add_argument(
        "-n",
        "--limit",
        type=whole(0),
        metavar="N",
        help=f"show so many functions, and so many others, 0 for all (default: {_TABLE_LIMIT} in the table)",
    )
    add_filters(parser)
    forms = parser.add_mutually_exclusive_group()
    forms.add_argument("--json", action="store_true", help="print JSON")
    forms.add_argument("--csv", action="store_true", help="print CSV")
    forms.add_argument("--html", metavar="FILE", help="write a page with plots that works without a network")
    parser.set_defaults(run=run)


def add_filters(parser: argparse.ArgumentParser) -> None:
    """Describe the options that say which metrics count."""
    parser.add_argument("-p", "--pattern", metavar="PATTERN", help="functions whose name matches ('shop.*')")
    parser.add_argument("--since", type=moment, metavar="TIME", help="from then on: 15m, 1h, 7d ago, or an ISO time")
    parser.add_argument("--until", type=moment, metavar="TIME", help="up to then")


def run(arguments: argparse.Namespace) -> int:
    """Print or write the report; one of nothing is a report, too, but for the table."""
    try:
        stats = read(arguments.file, since=arguments.since, until=arguments.until, pattern=arguments.pattern)
        if not stats:
            say(f"nothing to report: {arguments.file} has no metric{_of_which(arguments)}{_hint(arguments)}")
        chosen = choose(stats, sort=arguments.sort, reverse=arguments.reverse, limit=_effective_limit(arguments))
        if arguments.html is not None:
            return _write_page(arguments, stats, chosen)
    except DatabaseError as exc:
        say(str(exc))
        return 1
    if arguments.json:
        print(json.dumps(_document(arguments, chosen), indent=2))
    elif arguments.csv:
        _print_csv(chosen)
    elif stats:
        print_tables(stats, chosen, sort=arguments.sort)
    return 0


def choose(stats: list[FunctionStats], *, sort: str, reverse: bool, limit: int | None) -> list[FunctionStats]:
    """Return functions in order, greatest first or names from A to Z, then other series; so many of each.

    Those without a number come last. Numbers are compared where their units are the same only.
    """
    known = [row for row in stats if getattr(row, sort) is not None]
    known.sort(key=lambda row: row.name)
    known.sort(key=_key(sort), reverse=(sort != "name") != reverse)
    ordered = known + [row for row in stats if getattr(row, sort) is None]
    others = [row for row in ordered if not row.is_timing]
    if sort not in _WITHOUT_UNIT:
        others.sort(key=lambda row: (row.kind, row.unit or ""))
    return [row for row in ordered if row.is_timing][: limit or None] + others[: limit or None]


def print_tables(stats: list[FunctionStats], chosen: list[FunctionStats], *, sort: str) -> None:
    """Print a table of the functions chosen, one of the numbers of other kinds, and a line on all."""
    screen = Screen(sys.stdout)
    functions, others = [row for row in chosen if row.is_timing], [row for row in chosen if not row.is_timing]
    parts = []
    if functions:
        rows = [
            (row.name, count(row.calls), count(row.errors), *(_aligned(getattr(row, number)) for number in _NUMBERS))
            for row in functions
        ]
        parts.append(_table(screen, ("function", "calls", "errors", *_NUMBERS), rows, sort=sort))
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
    calls, errors = sum(row.calls for row in functions), sum(row.errors for row in stats)
    first, last = min(row.first_seen for row in stats), max(row.last_seen for row in stats)
    parts = [plural(len(functions), "function"), plural(calls, "call")] if functions else []
    parts += [f"{plural(len(others), 'value')} written {times(sum(row.calls for row in others))}"] if others else []
    parts += [plural(errors, "error") if errors else "no errors", _between(first, last)]
    return ", ".join(parts)


def _table(screen: Screen, heads: Sequence[str], rows: Sequence[Sequence[str]], *, sort: str) -> str:
    optional = [title for title in _OPTIONAL if title != sort]
    heads, rows, gone = fitting(screen, heads, rows, optional=optional)
    missing = f"\n(no room for {', '.join(gone)})" if gone else ""
    return render(screen, heads, rows, red=frozenset({"errors"})) + missing


def _between(first: datetime, last: datetime) -> str:
    """Return a range of minutes in local time."""
    begin, end = first.astimezone(), last.astimezone()
    day = "" if begin.date() == end.date() else "%Y-%m-%d "
    until = "" if begin == end else f" to {end:{day}%H:%M}"
    return f"{begin:%Y-%m-%d %H:%M}{until} {end:%Z}"


def _aligned(milliseconds: float | None) -> str:
    """Return a duration whose unit takes two places, so that numbers stand under each other."""
    number, _, unit = duration(milliseconds).partition(" ")
    return f"{number} {unit:<2}" if unit else f"{number}   "


def _number(row: FunctionStats, name: str) -> str:
    """Return a number whose unit stands beside it."""
    return quantity(getattr(row, name))


def _key(sort: str) -> Callable[[FunctionStats], Any]:
    return lambda row: getattr(row, sort)


def _effective_limit(arguments: argparse.Namespace) -> int | None:
    if arguments.limit is not None:
        return int(arguments.limit)
    return None if arguments.json or arguments.csv or arguments.html is not None else _TABLE_LIMIT


def _of_which(arguments: argparse.Namespace) -> str:
    parts = []
    if arguments.pattern:
        parts.append(f" of a name that matches {arguments.pattern!r}")
    if arguments.since or arguments.until:
        parts.append(" in that time")
    return "".join(parts)


def _hint(arguments: argparse.Namespace) -> str:
    """Return names that the pattern may have meant, if it is the pattern that leaves nothing."""
    if not arguments.pattern:
        return ""
    from difflib import get_close_matches

    names = [row.name for row in read(arguments.file, since=arguments.since, until=arguments.until)]
    words = arguments.pattern.strip("*").lower()
    alike = [name for name in names if words in name.lower()] or get_close_matches(words, names, _ALIKE)
    return f"; names like it: {', '.join(alike[:_ALIKE])}" if alike else ""


def _document(arguments: argparse.Namespace, chosen: list[FunctionStats]) -> dict[str, Any]:
    return {
        "database": arguments.file,
        "since": _iso(arguments.since),
        "until": _iso(arguments.until),
        "functions": [_fields(row) for row in chosen if row.is_timing],
        "values": [_fields(row) for row in chosen if not row.is_timing],
    }


def _fields(row: FunctionStats) -> dict[str, Any]:
    fields: dict[str, Any] = {"name": row.name, "kind": row.kind, "unit": row.unit}
    fields |= {"calls": row.calls, "errors": row.errors}
    fields |= {number: getattr(row, number) for number in _ALL_NUMBERS}
    return fields | {"first_seen": _iso(row.first_seen), "last_seen": _iso(row.last_seen)}


def _iso(value: datetime | None) -> str | None:
    return None if value is None else value.astimezone(timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")


def _print_csv(chosen: list[FunctionStats]) -> None:
    import csv

    from time_execution.formats.spreadsheet import neutral

    heads = ("name", "kind", "unit", "calls", "errors", *_ALL_NUMBERS, "first_seen", "last_seen")
    reconfigure = getattr(sys.stdout, "reconfigure", None)
    if reconfigure is not None:
        reconfigure(newline="")  # the lines end as the format says, also where text files' lines end otherwise
    writer = csv.writer(sys.stdout, lineterminator="\r\n")
    writer.writerow(heads)
    for row in chosen:
        writer.writerow([neutral(cell) if isinstance(cell, str) else cell for cell in _fields(row).values()])


def _write_page(arguments: argparse.Namespace, stats: list[FunctionStats], chosen: list[FunctionStats]) -> int:
    from time_execution.cli.page import write_page

    try:
        write_page(arguments.html, arguments.file, stats, chosen, since=arguments.since, until=arguments.until)
    except OSError as exc:
        say(f"cannot write {arguments.html}: {exc.strerror or exc}")
        return 1
    say(f"the report is in {arguments.html}; open it in a browser")
    return 0
