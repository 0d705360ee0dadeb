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
from time_execution.cli.numbers import count, duration, plural, short_count
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
_COLUMNS = (
    ("calls", "calls"),
    ("errors", "errors"),
    *((name, name) for name in ("total", "mean", "p50", "p95", "p99", "max")),
)
_ALWAYS_SHOWN = {"p95", "errors"}


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
    greatest = sorted(chosen, key=lambda row: -(row.total or 0.0))[:_SHOWN_DETAILS]
    parts = [_head(database, stats)]
    if chosen:
        times = findings.timeline(database, stats, greatest, since=since, until=until)
        told = findings.details(database, greatest, since=since, until=until)
        parts += [_totals(greatest), _calls_over_time(times), _table(chosen), _details(told, times)]
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
    title = (
        f'<header><h1>What functions cost</h1><p class="quiet">{escape(str(Path(database).name))}{_range(stats)}</p>'
    )
    if not stats:
        return (
            f'{title}<p class="lead">There is no metric in this range.</p><p>To make some: '
            f"<code>time-execution run --db {escape(database)} script.py</code></p></header>"
        )
    calls, errors = sum(row.calls for row in stats), sum(row.errors for row in stats)
    failed = f'<span class="trouble-text">{plural(errors, "error")}</span>' if errors else "no errors"
    first = max(stats, key=lambda row: row.total or 0.0)
    return (
        f'{title}<p class="lead">{plural(calls, "call")} of {plural(len(stats), "function")}, {failed}. '
        f'Most time passed in <span class="name">{escape(first.name)}</span>: {_duration(first.total)} in '
        f"{plural(first.calls, 'call')}.</p></header>"
    )


def _range(stats: Sequence[FunctionStats]) -> str:
    if not stats:
        return ""
    first, last = min(row.first_seen for row in stats), max(row.last_seen for row in stats)
    until = "" if first == last else f" to {_moment(last)}"
    return f" · {_moment(first)}{until} · written {_moment(datetime.now().astimezone(), seconds=True)}"


def _totals(rows: Sequence[FunctionStats]) -> str:
    highest = max((row.total or 0.0 for row in rows), default=0.0) or 1.0
    items = "".join(
        f'<div><dt class="name">{escape(row.name)}</dt><dd>{bar((row.total or 0.0) / highest)}</dd>'
        f'<dd class="number">{_duration(row.total)}</dd></div>'
        for row in rows[:_SHOWN_BARS]
    )
    return (
        f'<section><h2>Time per function</h2><dl class="panel bars">{items}</dl>'
        '<p class="quiet small">Total time of the functions that took most of it. It contains that of the functions '
        "they call, so the bars do not add up.</p></section>"
    )


def _calls_over_time(times: Timeline | None) -> str:
    if times is None:
        return ""
    of_which = "" if times.is_whole else ", of the functions above"
    return f'<section><h2>Calls over time{of_which}</h2><div class="panel">{_time_plot(times, None)}</div></section>'


def _time_plot(times: Timeline, name: str | None) -> str:
    calls, failures = times.counts(name), times.failures(name)
    titles = [
        f"{_local(times.start + times.width * slot, seconds=True)}: {plural(number, 'call')}"
        + (f", {plural(failed, 'error')}" if failed else "")
        for slot, (number, failed) in enumerate(zip(calls, failures, strict=True))
    ]
    bad = [failed / number if number else 0.0 for number, failed in zip(calls, failures, strict=True)]
    highest = max(calls, default=0)
    note = "; errors in red at the foot" if any(failures) else ""
    whole, slot = _span(times.width * times.slots), _span(times.width)
    label = f"{plural(sum(calls), 'call')} in {whole}, at most {count(highest)} in {slot}"
    drawn = columns(calls, titles, label=label, bad=bad)
    start, end = _moment(times.start, seconds=True), _moment(times.end, seconds=True)
    return (
        f'<figure>{drawn}<div class="scale"><span>{start}</span><span>{end}</span></div>'
        f'<figcaption class="small">{escape(label + note)}</figcaption></figure>'
    )


def _table(rows: Sequence[FunctionStats]) -> str:
    heads = "".join(f'<th scope="col"{_hidden_when_narrow(name)}>{title}</th>' for name, title in _COLUMNS)
    body = "".join(
        f'<tr><td class="name">{escape(row.name)}</td>{"".join(_cell(row, name) for name, _ in _COLUMNS)}</tr>'
        for row in rows
    )
    return (
        '<section><div class="tools"><h2>Functions</h2><label hidden>'
        '<span class="quiet small" id="shown" role="status"></span> '
        '<input id="filter" type="search" placeholder="filter by name ( / )" aria-label="filter by name"></label>'
        '</div><div class="panel scroll"><table id="functions">'
        f'<thead><tr><th scope="col">function</th>{heads}</tr></thead>'
        f"<tbody>{body}</tbody></table></div></section>"
    )


def _cell(row: FunctionStats, column: str) -> str:
    value = getattr(row, column)
    narrow = _hidden_when_narrow(column)
    if column in {"calls", "errors"}:
        kind = ' class="trouble-text"' if column == "errors" and value else narrow
        return f'<td{kind} data-value="{value}" title="{count(value)}">{short_count(value)}</td>'
    if value is None:
        return f"<td{narrow}>-</td>"
    return f'<td{narrow} data-value="{value!r}" title="{value:,.6f} ms">{duration(value)}</td>'


def _hidden_when_narrow(column: str) -> str:
    return "" if column in _ALWAYS_SHOWN else ' class="wide-screen"'


def _details(told: Sequence[Detail], times: Timeline | None) -> str:
    # Of a single call, the line says it all.
    opened = [each for each in told if each.stats.calls >= _WORTH_OPENING][:_OPEN_DETAILS]
    items = "".join(_detail(each, times, is_open=each in opened) for each in told)
    return f'<section><h2>One by one</h2><div class="panel">{items}</div></section>'


def _detail(detail: Detail, times: Timeline | None, *, is_open: bool) -> str:
    row = detail.stats
    failed = f' · <span class="trouble-text">{plural(row.errors, "error")}</span>' if row.errors else ""
    plots = [f"<div><h3>How long it took</h3>{_histogram(detail)}</div>"]
    if times is not None:
        plots.append(f"<div><h3>When it was called</h3>{_time_plot(times, row.name)}</div>")
    slowest = _slowest(detail.slowest) if detail.slowest else ""
    return (
        f'<details{" open" if is_open else ""}><summary><span class="name">{escape(row.name)}</span>'
        f'<span class="quiet small">{plural(row.calls, "call")} · {_duration(row.total)}{failed}</span></summary>'
        f'<div class="pair">{"".join(plots)}</div>{slowest}</details>'
    )


def _histogram(detail: Detail) -> str:
    found, row = detail.histogram, detail.stats
    if not found:
        return '<p class="quiet">no durations</p>'
    titles = [f"{duration(each.low)} to {duration(each.high)}: {plural(each.calls, 'call')}" for each in found]
    label = f"half within {duration(row.p50)}, 95 % within {duration(row.p95)}, 99 % within {duration(row.p99)}"
    drawn = columns([each.calls for each in found], titles, label=label)
    return (
        f'<figure>{drawn}<div class="scale"><span>{duration(found[0].low)}</span><span>logarithmic</span>'
        f'<span>{duration(found[-1].high)}</span></div><figcaption class="small">{label}</figcaption></figure>'
    )


def _slowest(calls: Sequence[Call]) -> str:
    has_fields = any(call.fields for call in calls)
    rows = "".join(
        f"<tr><td>{_moment(to_datetime(call.timestamp), seconds=True)}</td><td>{_duration(call.value)}</td>"
        + (f'<td class="wide{" trouble-text" if call.is_error else ""}">{_fields(call)}</td>' if has_fields else "")
        + f'<td class="wide-screen">{escape(call.hostname or "")}</td></tr>'
        for call in calls
    )
    heads = '<th scope="col">ended</th><th scope="col">duration</th>'
    heads += '<th scope="col"></th>' if has_fields else ""
    return (
        f'<h3>Slowest calls</h3><div class="scroll"><table><thead><tr>{heads}'
        f'<th scope="col" class="wide-screen">host</th>'
        f"</tr></thead><tbody>{rows}</tbody></table></div>"
    )


def _fields(call: Call) -> str:
    parts = (f"{key}={value if isinstance(value, str) else json.dumps(value)}" for key, value in call.fields.items())
    text = ", ".join(parts)
    return escape(text if len(text) <= _MAX_FIELDS else f"{text[:_MAX_FIELDS]}…")


def _duration(milliseconds: float | None) -> str:
    """Return a duration with its exact value under the pointer."""
    if milliseconds is None:
        return "-"
    return f'<span title="{milliseconds:,.6f} ms">{duration(milliseconds)}</span>'


def _moment(moment: datetime, *, seconds: bool = False) -> str:
    """Return local time with its zone, and UTC under the pointer."""
    return (
        f'<time datetime="{moment.isoformat()}" title="{_utc(moment)}">{escape(_local(moment, seconds=seconds))}</time>'
    )


def _local(moment: datetime, *, seconds: bool = False) -> str:
    return moment.astimezone().strftime(f"%Y-%m-%d %H:%M{':%S' if seconds else ''} %Z")


def _utc(moment: datetime) -> str:
    return moment.astimezone(timezone.utc).strftime("%Y-%m-%d %H:%M:%S UTC")


def _span(width: timedelta) -> str:
    return duration(width.total_seconds() * 1e3)
