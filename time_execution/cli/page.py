"""The report as one HTML file: it needs no network, and whatever names and fields hold is text in it, never markup."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Sequence
from datetime import datetime, timedelta, timezone
from html import escape
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING

from time_execution.cli import findings
from time_execution.cli.numbers import count, duration, plural, quantity, short_count, times
from time_execution.cli.plot import bar, columns
from time_execution.formats.timestamp import to_datetime

if TYPE_CHECKING:
    from time_execution.cli.findings import Detail, Timeline
    from time_execution.report import Call, FunctionStats

_SHOWN_BARS = 12
_SHOWN_DETAILS = 12
_OPEN_DETAILS = 3
_WORTH_OPENING = 2
_MAX_FIELDS = 300
_COLUMNS = ("calls", "errors", "total", "mean", "p50", "p95", "p99", "max")
_VALUE_COLUMNS = ("unit", "calls", "errors", "total", "mean", "p50", "p95", "min", "max")
_ALWAYS_SHOWN = {"unit", "p95", "errors"}
_BRIEF = timedelta(seconds=30)


def write_page(
    target: str,
    database: str,
    stats: Sequence[FunctionStats],
    chosen: Sequence[FunctionStats],
    *,
    since: datetime | None,
    until: datetime | None,
) -> None:
    """Write the page.

    Args:
        target: The file.
        database: What was read.
        stats: All functions in the range.
        chosen: Those in the table, in its order.
        since: The beginning of the range.
        until: Its end.

    Raises:
        OSError: When the file cannot be written.
        DatabaseError: When the database cannot be read any more.
    """
    functions = [row for row in chosen if row.is_timing]
    values = [row for row in chosen if not row.is_timing]
    greatest = sorted(functions, key=lambda row: -(row.total or 0.0))[:_SHOWN_DETAILS]
    told = [*greatest, *values[:_SHOWN_DETAILS]]
    parts = [_head(database, stats)]
    if chosen:
        timeline = findings.timeline(database, stats, told, since=since, until=until)
        if functions:
            parts += [_totals(greatest), _calls_over_time(timeline, stats), _functions(functions)]
        if values:
            parts.append(_values(values))
        parts.append(_details(findings.details(database, told, since=since, until=until), timeline))
    Path(target).write_text(_document(database, "".join(parts)), encoding="utf-8", errors="backslashreplace")


def _document(database: str, body: str) -> str:
    folder = files(__package__)
    style = folder.joinpath("page.css").read_text("utf-8")
    script = folder.joinpath("page.js").read_text("utf-8") if 'id="functions"' in body else ""
    allowed = f"style-src {_digest(style)}; script-src {_digest(script)}"
    policy = f"default-src 'none'; {allowed}; base-uri 'none'; form-action 'none'"
    return f"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="{policy}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{escape(Path(database).name)}: what functions cost</title>
<style>{style}</style>
</head>
<body>
{body}
<script>{script}</script>
</body>
</html>
"""


def _digest(text: str) -> str:
    """Return how the policy names the one text that it allows."""
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


def _head(database: str, stats: Sequence[FunctionStats]) -> str:
    title = f'<header><h1>What functions cost</h1><p class="quiet">{escape(Path(database).name)}{_range(stats)}</p>'
    if not stats:
        return (
            f'{title}<p class="lead">There is no metric in this range.</p><p>To make some: '
            f"<code>time-execution run --db {escape(database)} script.py</code></p></header>"
        )
    functions, values = ([row for row in stats if row.is_timing is wanted] for wanted in (True, False))
    errors = sum(row.errors for row in stats)
    failed = f'<span class="trouble-text">{plural(errors, "error")}</span>' if errors else "no errors"
    sentences = []
    if functions:
        first = max(functions, key=lambda row: row.total or 0.0)
        calls = plural(sum(row.calls for row in functions), "call")
        sentences += [
            f"{calls} of {plural(len(functions), 'function')}, {failed}.",
            f"Most time passed in {_name(first.name)}: {_number(first.total, first)} in {plural(first.calls, 'call')}.",
        ]
    if values:
        written = times(sum(row.calls for row in values))
        sentences.append(f"{plural(len(values), 'value')} written {written}{'' if functions else f', {failed}'}.")
    return f'{title}<p class="lead">{" ".join(sentences)}</p></header>'


def _range(stats: Sequence[FunctionStats]) -> str:
    if not stats:
        return ""
    first, last = min(row.first_seen for row in stats), max(row.last_seen for row in stats)
    is_one_day = first.astimezone().date() == last.astimezone().date()
    until = "" if first == last else f" to {_moment(last, has_date=not is_one_day)}"
    return f" · {_moment(first)}{until} · written {_moment(datetime.now().astimezone(), 'seconds')}"


def _totals(rows: Sequence[FunctionStats]) -> str:
    highest = max((row.total or 0.0 for row in rows), default=0.0) or 1.0
    items = "".join(
        f"<div><dt>{_name(row.name)}</dt><dd>{bar((row.total or 0.0) / highest)}</dd>"
        f'<dd class="number">{_number(row.total, row)}</dd></div>'
        for row in rows[:_SHOWN_BARS]
    )
    return (
        f'<section><h2>Time per function</h2><dl class="panel bars">{items}</dl>'
        '<p class="quiet small">Total time of the functions that took most of it. It contains that of the functions '
        "they call, so the bars do not add up.</p></section>"
    )


def _calls_over_time(timeline: Timeline | None, stats: Sequence[FunctionStats]) -> str:
    if timeline is None:
        return ""
    of_which = "" if timeline.is_whole else ", of the functions above"
    plot = _time_plot(timeline, [row.name for row in stats if row.is_timing])
    return f'<section><h2>Calls over time{of_which}</h2><div class="panel">{plot}</div></section>'


def _time_plot(timeline: Timeline, names: Sequence[str], thing: str = "call") -> str:
    calls, failures = timeline.counts(names), timeline.failures(names)
    length = timeline.width * timeline.slots
    timespec = "milliseconds" if length < _BRIEF else "seconds"
    titles = [
        f"{_local(timeline.start + timeline.width * slot, timespec)}: {plural(number, thing)}"
        + (f", {plural(failed, 'error')}" if failed else "")
        for slot, (number, failed) in enumerate(zip(calls, failures, strict=True))
    ]
    bad = [failed / number if number else 0.0 for number, failed in zip(calls, failures, strict=True)]
    note = "; errors in red at the foot" if any(failures) else ""
    most = f"at most {count(max(calls, default=0))} in {_span(timeline.width)}"
    label = f"{plural(sum(calls), thing)} in {_span(length)}, {most}"
    drawn = columns(calls, titles, label=label, bad=bad)
    is_one_day = timeline.start.astimezone().date() == timeline.end.astimezone().date()
    start, end = _moment(timeline.start, timespec), _moment(timeline.end, timespec, has_date=not is_one_day)
    return (
        f'<figure>{drawn}<div class="scale"><span>{start}</span><span>{end}</span></div>'
        f'<figcaption class="small">{escape(label + note)}</figcaption></figure>'
    )


def _functions(rows: Sequence[FunctionStats]) -> str:
    return (
        '<section><div class="tools"><h2>Functions</h2><label hidden>'
        '<span class="quiet small" id="shown" role="status"></span> '
        '<input id="filter" type="search" placeholder="filter by name ( / )" aria-label="filter by name"></label>'
        f"</div>{_table(rows, 'function', _COLUMNS, identity='functions')}</section>"
    )


def _values(rows: Sequence[FunctionStats]) -> str:
    return (
        f"<section><h2>Values</h2>{_table(rows, 'value', _VALUE_COLUMNS, identity='values')}"
        '<p class="quiet small">Numbers that are no durations: written by hand, counted, or read off. '
        "Each is in the unit that it was written with.</p></section>"
    )


def _table(rows: Sequence[FunctionStats], first: str, names: Sequence[str], *, identity: str) -> str:
    titles = {"calls": "count"} if identity == "values" else {}
    heads = "".join(f'<th scope="col"{_hidden_when_narrow(name)}>{titles.get(name, name)}</th>' for name in names)
    body = "".join(f"<tr><td>{_name(row.name)}</td>{''.join(_cell(row, name) for name in names)}</tr>" for row in rows)
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
    return f'<td{narrow} data-value="{value!r}" title="{escape(_exact(value, row.unit))}">{escape(text)}</td>'


def _hidden_when_narrow(column: str) -> str:
    return "" if column in _ALWAYS_SHOWN else ' class="wide-screen"'


def _details(told: Sequence[Detail], timeline: Timeline | None) -> str:
    # Of a single call, the line says it all.
    opened = [each for each in told if each.stats.calls >= _WORTH_OPENING][:_OPEN_DETAILS]
    items = "".join(_detail(each, timeline, is_open=each in opened) for each in told)
    return f'<section><h2>One by one</h2><div class="panel">{items}</div></section>'


def _detail(detail: Detail, timeline: Timeline | None, *, is_open: bool) -> str:
    row = detail.stats
    is_timing = row.is_timing
    failed = f' · <span class="trouble-text">{plural(row.errors, "error")}</span>' if row.errors else ""
    said = f"{plural(row.calls, 'call')} · {_number(row.total, row)}" if is_timing else f"written {times(row.calls)}"
    thing = "call" if is_timing else "value"
    plots = [f"<div><h3>{'How long it took' if is_timing else 'Distribution'}</h3>{_histogram(detail, thing)}</div>"]
    if timeline is not None:
        when = "When it was called" if is_timing else "When it was written"
        plots.append(f"<div><h3>{when}</h3>{_time_plot(timeline, [row.name], thing)}</div>")
    slowest = _slowest(detail) if detail.slowest else ""
    return (
        f"<details{' open' if is_open else ''}><summary>{_name(row.name)}"
        f'<span class="quiet small">{said}{failed}</span></summary>'
        f'<div class="pair">{"".join(plots)}</div>{slowest}</details>'
    )


def _histogram(detail: Detail, thing: str) -> str:
    found, row = detail.histogram, detail.stats
    if not found:
        return '<p class="quiet">no numbers</p>'
    ends = [(quantity(each.low, row.unit), quantity(each.high, row.unit)) for each in found]
    titles = [f"{low} to {high}: {plural(each.calls, thing)}" for (low, high), each in zip(ends, found, strict=True)]
    half, most, nearly_all = (quantity(number, row.unit) for number in (row.p50, row.p95, row.p99))
    label = f"half within {half}, 95 % within {most}, 99 % within {nearly_all}"
    drawn = columns([each.calls for each in found], titles, label=label)
    return (
        f'<figure>{drawn}<div class="scale"><span>{escape(ends[0][0])}</span><span>logarithmic</span>'
        f'<span>{escape(ends[-1][1])}</span></div><figcaption class="small">{escape(label)}</figcaption></figure>'
    )


def _slowest(detail: Detail) -> str:
    calls, is_timing = detail.slowest, detail.stats.is_timing
    has_fields = any(call.fields for call in calls)
    rows = "".join(
        f"<tr><td>{_moment(to_datetime(call.timestamp), 'seconds')}</td><td>{_number(call.value, call)}</td>"
        + (f'<td class="wide{" trouble-text" if call.is_error else ""}">{_fields(call)}</td>' if has_fields else "")
        + f'<td class="wide-screen">{escape(call.hostname or "")}</td></tr>'
        for call in calls
    )
    heads = '<th scope="col">ended</th><th scope="col">duration</th>' if is_timing else ""
    heads = heads or '<th scope="col">written</th><th scope="col">value</th>'
    heads += '<th scope="col"></th>' if has_fields else ""
    return (
        f"<h3>{'Slowest calls' if is_timing else 'Greatest values'}</h3>"
        f'<div class="scroll"><table><thead><tr>{heads}<th scope="col" class="wide-screen">host</th>'
        f"</tr></thead><tbody>{rows}</tbody></table></div>"
    )


def _fields(call: Call) -> str:
    parts = (f"{key}={value if isinstance(value, str) else json.dumps(value)}" for key, value in call.fields.items())
    text = ", ".join(parts)
    return escape(text if len(text) <= _MAX_FIELDS else f"{text[:_MAX_FIELDS]}…")


def _name(name: str) -> str:
    """Return a name that breaks after its dots, where it must."""
    return f'<span class="name">{escape(name).replace(".", ".<wbr>")}</span>'


def _number(value: float | None, of: FunctionStats | Call) -> str:
    """Return a number with its unit, and its exact value under the pointer."""
    if value is None:
        return "-"
    return f'<span title="{escape(_exact(value, of.unit))}">{escape(quantity(value, of.unit))}</span>'


def _exact(value: float, unit: str | None) -> str:
    return f"{value:,.6f} {unit or ''}".rstrip()


def _moment(moment: datetime, timespec: str = "minutes", *, has_date: bool = True) -> str:
    """Return local time with its zone, and UTC under the pointer."""
    shown = escape(_local(moment, timespec, has_date=has_date))
    return f'<time datetime="{moment.isoformat()}" title="{_utc(moment)}">{shown}</time>'


def _local(moment: datetime, timespec: str, *, has_date: bool = True) -> str:
    local = moment.astimezone()
    date = f"{local:%Y-%m-%d} " if has_date else ""
    return f"{date}{local.time().isoformat(timespec)} {local:%Z}"


def _utc(moment: datetime) -> str:
    return moment.astimezone(timezone.utc).strftime("%Y-%m-%d %H:%M:%S UTC")


def _span(width: timedelta) -> str:
    return duration(width.total_seconds() * 1e3)
