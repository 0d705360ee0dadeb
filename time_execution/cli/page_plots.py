"""The pictures of the page: bars for each function, columns over time, histograms."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import timedelta
from html import escape
from itertools import pairwise
from typing import TYPE_CHECKING

from time_execution.cli.axis import Mark, decades, height_of, heights, moments
from time_execution.cli.numbers import change, count, plural, quantity, short_count, size
from time_execution.cli.page_text import local_text, moment_text, name_text, number_text, span_text
from time_execution.cli.plot import bar, chart, columns, deviation

if TYPE_CHECKING:
    from time_execution.cli.findings import Detail, Timeline
    from time_execution.report import FunctionStats, Resources

_SHOWN_BARS = 12
_BRIEF = timedelta(seconds=30)
_ROUND_ENDINGS = (".00", ".0")


def totals(rows: Sequence[FunctionStats]) -> str:
    """Return bars of the time that functions took in all."""
    highest = max((row.total or 0.0 for row in rows), default=0.0) or 1.0
    items = "".join(
        f"<div><dt>{name_text(row.name)}</dt><dd>{bar((row.total or 0.0) / highest)}</dd>"
        f'<dd class="number">{number_text(row.total, row)}</dd></div>'
        for row in rows[:_SHOWN_BARS]
    )
    return (
        f'<section><h2>Time per function</h2><dl class="panel bars">{items}</dl>'
        '<p class="quiet small">Total time of the functions that took most of it. It contains that of the functions '
        "they call, so the bars do not add up.</p></section>"
    )


def memory(taken: Mapping[str, Resources]) -> str:
    """Return bars of how much memory the process gained or gave back in the calls of each function."""
    head = "<section><h2>Memory change per function</h2>"
    known = [(name, each, each.memory_change) for name, each in taken.items() if each.memory_change is not None]
    found = sorted(known, key=lambda item: (-abs(item[2]), item[0]))[:_SHOWN_BARS]
    if not found:
        return (
            f'{head}<p class="quiet">No memory was recorded. <code>@Timer(track_resources=True)</code> and '
            "<code>ResourcesHook(rss=True)</code> do.</p></section>"
        )
    low, high = min(0.0, *(number for _, _, number in found)), max(0.0, *(number for _, _, number in found))
    items = "".join(
        f'<div title="{escape(_memory_title(each))}"><dt>{name_text(name)}</dt><dd>{deviation(number, low, high)}</dd>'
        f'<dd class="number">{change(number)}</dd></div>'
        for name, each, number in found
    )
    return (
        f'{head}<dl class="panel bars">{items}</dl><p class="quiet small">By how much the process grew during all '
        "calls of a function, those of functions that it calls, and whatever other threads did meanwhile.</p></section>"
    )


def _memory_title(taken: Resources) -> str:
    held = f"; at most {size(taken.max_rss)} held after one" if taken.max_rss is not None else ""
    least, most = change(taken.least_memory_change), change(taken.most_memory_change)
    mean = f"{change(taken.mean_memory_change)} a call on average"
    return f"{plural(taken.calls, 'call')}: {mean}, from {least} to {most}{held}"


def calls_over_time(timeline: Timeline, stats: Sequence[FunctionStats]) -> str:
    """Return columns of the calls of all functions."""
    of_which = "" if timeline.is_whole else ", of the functions above"
    plot = time_plot(timeline, [row.name for row in stats if row.is_timing])
    return f'<section><h2>Calls over time{of_which}</h2><div class="panel">{plot}</div></section>'


def time_plot(timeline: Timeline, names: Sequence[str], thing: str = "call") -> str:
    """Return columns of the calls of these functions together."""
    calls, failures = timeline.counts(names), timeline.failures(names)
    length = timeline.width * timeline.slots
    timespec = "milliseconds" if length < _BRIEF else "seconds"
    titles = [
        f"{local_text(timeline.start + timeline.width * slot, timespec)}: {plural(number, thing)}"
        + (f", {plural(failed, 'error')}" if failed else "")
        for slot, (number, failed) in enumerate(zip(calls, failures, strict=True))
    ]
    bad = [failed / number if number else 0.0 for number, failed in zip(calls, failures, strict=True)]
    note = "; errors in red at the foot" if any(failures) else ""
    most = f"at most {count(max(calls, default=0))} in {span_text(timeline.width)}"
    label = f"{plural(sum(calls), thing)} in {span_text(length)}, {most}"
    top = height_of(max(calls, default=0))
    drawn = columns(calls, titles, label=label, bad=bad, top=top)
    is_one_day = timeline.start.astimezone().date() == timeline.end.astimezone().date()
    start, end = moment_text(timeline.start, timespec), moment_text(timeline.end, timespec, has_date=not is_one_day)
    return (
        f"<figure>{chart(drawn, across=moments(timeline.start, length), up=heights(top, short_count))}"
        f'<figcaption class="small">{escape(label + note)}, from {start} to {end}</figcaption></figure>'
    )


def histogram(detail: Detail, thing: str) -> str:
    """Return columns of how many values are how great, on a logarithmic scale."""
    found, row = detail.histogram, detail.stats
    if not found:
        return '<p class="quiet">no numbers</p>'
    ends = [(quantity(each.low, row.unit), quantity(each.high, row.unit)) for each in found]
    titles = [f"{low} to {high}: {plural(each.calls, thing)}" for (low, high), each in zip(ends, found, strict=True)]
    half, most, nearly_all = (quantity(number, row.unit) for number in (row.p50, row.p95, row.p99))
    label = f"half within {half}, 95 % within {most}, 99 % within {nearly_all}"
    top = height_of(max(each.calls for each in found))
    drawn = columns([each.calls for each in found], titles, label=label, top=top)
    is_whole = all(before.high == after.low for before, after in pairwise(found))
    marks = decades(found[0].low, found[-1].high, lambda number: _round_text(number, row.unit)) if is_whole else []
    scale = "; logarithmic scale" if marks else ""
    return (
        f"<figure>{chart(drawn, across=marks or _ends(ends), up=heights(top, short_count))}"
        f'<figcaption class="small">{escape(label + scale)}</figcaption></figure>'
    )


def _ends(ends: Sequence[tuple[str, str]]) -> list[Mark]:
    """Return where a scale begins and ends that has no round numbers between."""
    return [Mark(0.0, ends[0][0]), Mark(1.0, ends[-1][1])] if len(ends) > 1 else [Mark(0.5, ends[0][0])]


def _round_text(number: float, unit: str | None) -> str:
    """Return a round number without the zeros that say how exact it is."""
    figures, space, rest = quantity(number, unit).partition(" ")
    for ending in _ROUND_ENDINGS:
        figures = figures.removesuffix(ending)
    return f"{figures}{space}{rest}"
