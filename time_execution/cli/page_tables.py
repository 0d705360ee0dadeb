"""The tables of the page: functions, values, and the slowest calls."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from typing import TYPE_CHECKING

from time_execution.cli.numbers import change, count, duration, quantity, short_count, size
from time_execution.cli.page_text import (
    RESOURCES,
    call_id_text,
    exact,
    fields_text,
    moment_text,
    name_text,
    number_text,
    resource_text,
)
from time_execution.cli.plot import bar
from time_execution.formats.timestamp import to_datetime

if TYPE_CHECKING:
    from time_execution.report import Call, FunctionStats, Resources

_COLUMNS = ("calls", "errors", "total", "mean", "p50", "p95", "p99", "max")
_VALUE_COLUMNS = ("unit", "calls", "errors", "total", "mean", "p50", "p95", "min", "max")
_WIDE = ' class="wide-screen"'
_ALWAYS_SHOWN = {"unit", "p95", "errors"}
_RESOURCES = {
    "cpu": ("mean_cpu", duration, "ms", "mean CPU time of a call"),
    "memory": ("mean_memory_change", change, "bytes", "mean change of the process's memory during a call"),
    "rss": ("max_rss", size, "bytes", "most memory that the process held after a call"),
}


def functions(rows: Sequence[FunctionStats], taken: Mapping[str, Resources], number: int) -> str:
    """Return the table of functions, which can be sorted and filtered.

    Args:
        rows: The functions.
        taken: What is known of resources, by name.
        number: How many functions there are in all.
    """
    return (
        '<section><div class="tools"><h2>Functions</h2><label hidden>'
        '<span class="quiet small" id="shown" role="status"></span> '
        '<input id="filter" type="search" placeholder="filter by name ( / )" aria-label="filter by name"></label>'
        f"</div>{_table(rows, 'function', _COLUMNS, identity='functions', taken=taken)}"
        f"{_left_out(rows, number, 'functions')}</section>"
    )


def values(rows: Sequence[FunctionStats], number: int) -> str:
    """Return the table of numbers that are no durations, of which there are so many in all."""
    return (
        f"<section><h2>Values</h2>{_table(rows, 'value', _VALUE_COLUMNS, identity='values', taken={})}"
        f"{_left_out(rows, number, 'values')}"
        '<p class="quiet small">Numbers that are no durations: written by hand, counted, or read off. '
        "Each is in the unit that it was written with.</p></section>"
    )


def _left_out(rows: Sequence[FunctionStats], number: int, things: str) -> str:
    """Return what is said of rows that the table does not have."""
    if len(rows) == number:
        return ""
    return (
        f'<p class="quiet small">{count(len(rows))} of {count(number)} {things} are on this page; '
        "<code>--limit 0</code> puts all of them there.</p>"
    )


def slowest_of_all(calls: Sequence[Call]) -> str:
    """Return the table of the slowest calls of all functions, with a bar each."""
    head = "<section><h2>Slowest calls of all</h2>"
    if not calls:
        return f'{head}<p class="quiet">No call with a duration is kept singly.</p></section>'
    highest = max(call.value or 0.0 for call in calls) or 1.0
    table = _calls_table(calls, "ended", "duration", highest=highest)
    return (
        f'{head}<div class="panel scroll" tabindex="0" role="region" aria-label="slowest calls">{table}</div></section>'
    )


def slowest_of_one(calls: Sequence[Call], *, is_timing: bool) -> str:
    """Return the table of the slowest calls of one function, or the greatest values of another series."""
    title = "Slowest calls" if is_timing else "Greatest values"
    heads = ("ended", "duration") if is_timing else ("written", "value")
    return f'<h3>{title}</h3><div class="scroll">{_calls_table(calls, *heads)}</div>'


def _calls_table(calls: Sequence[Call], when: str, what: str, *, highest: float | None = None) -> str:
    """Return a table of single calls.

    Args:
        calls: What it shows.
        when: The title of the moments.
        what: The title of the numbers.
        highest: What the longest bar stands for; None for neither bars nor names.
    """
    told = [fields_text(call) for call in calls]
    known = [each for each in RESOURCES if any(resource_text(call, each) for call in calls)]
    has_hosts, has_ids = any(call.hostname for call in calls), any(call_id_text(call) for call in calls)
    days = {to_datetime(call.timestamp).astimezone().date() for call in calls}
    rows = []
    for call, text in zip(calls, told, strict=True):
        number = number_text(call.value, call)
        moment = moment_text(to_datetime(call.timestamp), "seconds", has_date=len(days) > 1)
        cells = [f"<td>{moment}</td>", f"<td>{number}</td>"]
        if highest is not None:
            drawn = bar((call.value or 0.0) / highest)
            cells = [f"<td>{name_text(call.name)}</td>", f'<td class="length">{drawn}</td>', cells[1], _wide(moment)]
        cells += [_wide(resource_text(call, each) or "-") for each in known]
        cells += [f'<td class="wide{" trouble-text" if call.is_error else ""}">{text}</td>'] if any(told) else []
        cells += [_wide(call_id_text(call) or "-")] if has_ids else []
        cells += [_wide(escape(call.hostname or ""))] if has_hosts else []
        rows.append(f"<tr>{''.join(cells)}</tr>")
    heads = (
        [_head(when), _head(what)]
        if highest is None
        else [_head("function"), '<th class="length"></th>', _head(what), _head(when, is_wide=True)]
    )
    heads += [_head(each, is_wide=True) for each in known] + ([_details_head(calls)] if any(told) else [])
    heads += [_head("call id", is_wide=True)] if has_ids else []
    heads += [_head("host", is_wide=True)] if has_hosts else []
    kind = "single" if highest is None else "ranked"
    return f'<table class="{kind}"><thead><tr>{"".join(heads)}</tr></thead><tbody>{"".join(rows)}</tbody></table>'


def _details_head(calls: Sequence[Call]) -> str:
    """Return the title of what else is known."""
    is_arguments = all("arguments" in call.fields for call in calls)
    return f'<th scope="col" class="wide">{"arguments" if is_arguments else "details"}</th>'


def _wide(content: str) -> str:
    """Return a cell that narrow screens do without."""
    return f'<td class="wide-screen">{content}</td>'


def _head(title: str, *, is_wide: bool = False) -> str:
    return f'<th scope="col"{_WIDE if is_wide else ""}>{title}</th>'


def _table(
    rows: Sequence[FunctionStats],
    first: str,
    names: Sequence[str],
    *,
    identity: str,
    taken: Mapping[str, Resources],
) -> str:
    titles = {"calls": "count"} if identity == "values" else {}
    more = list(_RESOURCES) if any(row.name in taken for row in rows) else []
    heads = "".join(f'<th scope="col"{_hidden_when_narrow(name)}>{titles.get(name, name)}</th>' for name in names)
    heads += "".join(f'<th scope="col" class="wide-screen" title="{_RESOURCES[name][3]}">{name}</th>' for name in more)
    body = "".join(
        f"<tr><td>{name_text(row.name)}</td>{''.join(_cell(row, name) for name in names)}"
        f"{''.join(_resource(taken.get(row.name), name) for name in more)}</tr>"
        for row in rows
    )
    return (
        f'<div class="panel scroll tall" tabindex="0" role="region" aria-label="{identity}"><table id="{identity}">'
        f'<thead><tr><th scope="col">{first}</th>{heads}</tr></thead><tbody>{body}</tbody></table></div>'
    )


def _cell(row: FunctionStats, column: str) -> str:
    value = getattr(row, column)
    narrow = _hidden_when_narrow(column)
    if column == "unit":
        return f"<td{narrow}>{escape(value or '-')}</td>"
    if column in {"calls", "errors"}:
        kind = ' class="trouble-text"' if column == "errors" and value else narrow
        return f'<td{kind} data-value="{value}" title="{count(value)}">{short_count(value)}</td>'
    if value is None:
        return f"<td{narrow}>-</td>"
    # A column beside it holds the unit of what is no duration.
    text = duration(value) if row.is_timing else quantity(value)
    return f'<td{narrow} data-value="{value!r}" title="{escape(exact(value, row.unit))}">{escape(text)}</td>'


def _resource(taken: Resources | None, column: str) -> str:
    attribute, shown, unit, _ = _RESOURCES[column]
    value = getattr(taken, attribute, None)
    if value is None:
        return '<td class="wide-screen">-</td>'
    return f'<td class="wide-screen" data-value="{value!r}" title="{exact(value, unit)}">{shown(value)}</td>'


def _hidden_when_narrow(column: str) -> str:
    return "" if column in _ALWAYS_SHOWN else _WIDE
