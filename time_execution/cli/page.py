"""The report as one HTML file: it needs no network, and whatever names and fields hold is text in it, never markup."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from html import escape
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING

from time_execution.cli import findings
from time_execution.cli.figures import count_errors
from time_execution.cli.numbers import plural, times
from time_execution.cli.page_plots import calls_over_time, histogram, memory, time_plot, totals
from time_execution.cli.page_tables import functions, slowest_of_all, slowest_of_one, values
from time_execution.cli.page_text import moment_text, name_text, number_text

if TYPE_CHECKING:
    from time_execution.cli.findings import Detail, Timeline
    from time_execution.report import FunctionStats, Resources

_SHOWN_DETAILS = 20
_OPEN_DETAILS = 3
_WORTH_OPENING = 2


@dataclass(frozen=True, slots=True)
class Told:
    """What the page is about.

    Attributes:
        database: The metrics database.
        files: What it was made of, or itself: the paths as they were given.
        stats: All functions in the range.
        chosen: Those in the table, in its order.
        taken: What is known of resources, by name.
        since: The beginning of the range.
        until: Its end.
        pattern: What names had to match; None for all.
        cut: Files of which the end is missing.
    """

    database: str
    files: Sequence[str]
    stats: Sequence[FunctionStats]
    chosen: Sequence[FunctionStats]
    taken: Mapping[str, Resources]
    since: datetime | None
    until: datetime | None
    pattern: str | None = None
    cut: Sequence[str] = ()


def page(told: Told) -> str:
    """Return the page.

    Raises:
        DatabaseError: When the database cannot be read any more.
    """
    timings = [row for row in told.chosen if row.is_timing]
    others = [row for row in told.chosen if not row.is_timing]
    number = sum(row.is_timing for row in told.stats)
    greatest = sorted(timings, key=lambda row: -(row.total or 0.0))[:_SHOWN_DETAILS]
    shown = [*greatest, *others[:_SHOWN_DETAILS]]
    parts = [_head(told)]
    if told.chosen:
        timeline = findings.timeline(told.database, told.stats, shown, since=told.since, until=told.until)
        if timings:
            parts.append(totals(greatest, number))
            if timeline is not None:
                parts.append(calls_over_time(timeline, told.stats))
            parts.append(memory({row.name: told.taken[row.name] for row in timings if row.name in told.taken}))
            slowest = findings.slowest_of_all(told.database, timings, since=told.since, until=told.until)
            parts += [slowest_of_all(slowest), functions(timings, told.taken, number)]
        if others:
            parts.append(values(others, len(told.stats) - number))
        details = findings.details(told.database, shown, since=told.since, until=told.until)
        parts.append(_details(details, timeline))
    return _document(told, "".join(parts))


def _document(told: Told, body: str) -> str:
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
<title>{escape(_named(told))}: what functions cost</title>
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


def _named(told: Told) -> str:
    return ", ".join(Path(name).name for name in told.files)


def _head(told: Told) -> str:
    about = f'<p class="quiet">{escape(_named(told))}{_range(told.stats)}</p>'
    title = f"<header><h1>What functions cost</h1>{about}{_asked(told)}{_damage(told)}"
    if not told.stats:
        is_database = [told.database] == list(told.files)
        how = f"<p>To make some: <code>time-execution run --db {escape(told.database)} script.py</code></p>"
        hint = how if is_database and told.pattern is None else ""
        return f'{title}<p class="lead">{_nothing(told)}</p>{hint}</header>'
    timings, others = ([row for row in told.stats if row.is_timing is wanted] for wanted in (True, False))
    errors = count_errors(told.stats)
    failed = f'<span class="trouble-text">{plural(errors, "error")}</span>' if errors else "no errors"
    sentences = []
    if timings:
        first = max(timings, key=lambda row: row.total or 0.0)
        calls = plural(sum(row.calls for row in timings), "call")
        took = f"{number_text(first.total, first)} in {plural(first.calls, 'call')}"
        sentences += [
            f"{calls} of {plural(len(timings), 'function')}, {failed}.",
            f"Most time passed in {name_text(first.name)}: {took}.",
        ]
    if others:
        written = times(sum(row.calls for row in others))
        sentences.append(f"{plural(len(others), 'value')} written {written}{'' if timings else f', {failed}'}.")
    return f'{title}<p class="lead">{" ".join(sentences)}</p></header>'


def _asked(told: Told) -> str:
    """Return what was asked for, if that is not everything."""
    parts = [f"names that match <code>{escape(told.pattern)}</code>"] if told.pattern is not None else []
    parts += [f"since {moment_text(told.since)}"] if told.since is not None else []
    parts += [f"until {moment_text(told.until)}"] if told.until is not None else []
    return f'<p class="quiet">Only {", ".join(parts)}</p>' if parts else ""


def _damage(told: Told) -> str:
    """Return a warning of files of which the end is missing."""
    if not told.cut:
        return ""
    names = ", ".join(f"<code>{escape(name)}</code>" for name in told.cut)
    return (
        f'<p class="warning"><strong>Not whole: {names}.</strong> The file is cut off or damaged; '
        "what follows that place is missing here.</p>"
    )


def _nothing(told: Told) -> str:
    """Return why there is nothing."""
    has_range = told.since is not None or told.until is not None
    if told.pattern is not None:
        return f"No name matches <code>{escape(told.pattern)}</code>{' in this time' if has_range else ''}."
    return "There is no metric in this time." if has_range else "There is no metric."


def _range(stats: Sequence[FunctionStats]) -> str:
    if not stats:
        return ""
    first, last = min(row.first_seen for row in stats), max(row.last_seen for row in stats)
    is_one_day = first.astimezone().date() == last.astimezone().date()
    is_one_minute = is_one_day and f"{first:%H%M}" == f"{last:%H%M}"
    until = "" if is_one_minute else f" to {moment_text(last, has_date=not is_one_day)}"
    return f" · {moment_text(first)}{until} · written {moment_text(datetime.now().astimezone(), 'seconds')}"


def _details(told: Sequence[Detail], timeline: Timeline | None) -> str:
    # Of a single call, the line says it all.
    opened = [each for each in told if each.stats.calls >= _WORTH_OPENING][:_OPEN_DETAILS]
    items = "".join(_detail(each, timeline, is_open=each in opened) for each in told)
    return f'<section><h2>One by one</h2><div class="panel">{items}</div></section>'


def _detail(detail: Detail, timeline: Timeline | None, *, is_open: bool) -> str:
    row = detail.stats
    is_timing = row.is_timing
    failed = f' · <span class="trouble-text">{plural(row.errors, "error")}</span>' if row.errors else ""
    said = (
        f"{plural(row.calls, 'call')} · {number_text(row.total, row)}" if is_timing else f"written {times(row.calls)}"
    )
    thing = "call" if is_timing else "value"
    plots = [f"<div><h3>{'How long it took' if is_timing else 'Distribution'}</h3>{histogram(detail, thing)}</div>"]
    if timeline is not None:
        when = "When it was called" if is_timing else "When it was written"
        plots.append(f"<div><h3>{when}</h3>{time_plot(timeline, [row.name], thing)}</div>")
    slowest = slowest_of_one(detail.slowest, is_timing=is_timing) if detail.slowest else ""
    return (
        f"<details{' open' if is_open else ''}><summary>{name_text(row.name)}"
        f'<span class="quiet small">{said}{failed}</span></summary>'
        f'<div class="pair">{"".join(plots)}</div>{slowest}</details>'
    )
