"""The pictures of the page: bars for each function, columns over time, histograms."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import timedelta
from html import escape
from itertools import pairwise
from typing import TYPE_CHECKING

from time_execution.cli.axis import Mark, decade_choices, height_of, heights, moment_choices, step_text
from time_execution.cli.numbers import change, count, plural, quantity, short_count, size
from time_execution.cli.page_text import local_text, moment_text, name_text, number_text
from time_execution.cli.plot import bar, chart, columns, deviation

if TYPE_CHECKING:
    from time_execution.cli.findings import Detail, Timeline
    from time_execution.report import FunctionStats, Resources

_SHOWN_BARS = 12
_MINUTE, _SECOND, _MILLISECOND = timedelta(minutes=1), timedelta(seconds=1), timedelta(milliseconds=1)
_ROUND_ENDINGS = (".00", ".0")


def totals(rows: Sequence[FunctionStats], number: int) -> str:
    """Return bars of the time that functions took in all.

    Args:
        rows: The functions, the one that took most first.
        number: How many there are in all.
    """
    highest = max((row.total or 0.0 for row in rows), default=0.0) or 1.0
    items = "".join(
        f"<div><dt>{name_text(row.name)}</dt><dd>{bar((row.total or 0.0) / highest)}</dd>"
        f'<dd class="number">{number_text(row.total, row)}</dd></div>'
        for row in rows[:_SHOWN_BARS]
    )
    return (
        f'<section><h2>Time per function</h2><dl class="panel bars">{items}</dl>'
        f'<p class="quiet small">Total time{_first_of(number, "that took most")}. It contains that of the functions '
        "that they call, so the bars do not add up.</p></section>"
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
        f'{head}<dl class="panel bars">{items}</dl><p class="quiet small">By how much the process grew, to the right '
        f"of the line at zero, or shrank, to its left{_first_of(len(known), 'that changed it most')}: during all "
        "calls of a function, those of functions that it calls, and whatever other threads did meanwhile.</p></section>"
    )


def _first_of(number: int, which: str) -> str:
    """Return words on the functions that are not drawn, if there are any."""
    return f"; shown are the {_SHOWN_BARS} of {count(number)} functions {which}" if number > _SHOWN_BARS else ""


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
    timespec = _timespec(timeline.width)
    width = step_text(timeline.width)
    titles = [
        f"{local_text(timeline.start + timeline.width * slot, timespec)}: {plural(number, thing)}"
        + (f", {plural(failed, 'error')}" if failed else "")
        for slot, (number, failed) in enumerate(zip(calls, failures, strict=True))
    ]
    bad = [failed / number if number else 0.0 for number, failed in zip(calls, failures, strict=True)]
    note = "; errors in red at the foot" if any(failures) else ""
    most = max(calls, default=0)
    filled = [slot for slot, number in enumerate(calls) if number]
    spread = ""
    if timeline.instant is not None:
        spread = ", all at the same moment"
    elif len(filled) == 1:
        spread = f", all within {'a day' if width == 'day' else width}"
    elif filled:
        spread = f", at most {count(most)} per {width}"
    label = plural(sum(calls), thing) + (spread if sum(calls) > 1 else "")
    top = height_of(most)
    drawn = columns(calls, titles, label=label, bad=bad, top=top)
    drawn = chart(
        drawn,
        across=moment_choices(timeline.start, length),
        up=heights(top, short_count),
        unit=f"{thing}s per {width}",
    )
    when = _when(timeline, filled, timespec)
    return f'<figure>{drawn}<figcaption class="small">{escape(label + note)}{when}</figcaption></figure>'


def _when(timeline: Timeline, filled: Sequence[int], timespec: str) -> str:
    """Return from when to when there is anything, or about when that is."""
    if not filled:
        return ""
    if timeline.instant is not None:
        return f", at {moment_text(timeline.instant, 'microseconds')}"
    start, end = (timeline.start + timeline.width * slot for slot in (filled[0], filled[-1] + 1))
    is_one_day = start.astimezone().date() == end.astimezone().date()
    shown = moment_text(start, timespec), moment_text(end, timespec, has_date=not is_one_day)
    return f", at {shown[0]}" if len(filled) == 1 else f", from {shown[0]} to {shown[1]}"


def _timespec(width: timedelta) -> str:
    """Return how exactly the beginning of a slot is to be told."""
    if width >= _MINUTE:
        return "minutes"
    if width >= _SECOND:
        return "seconds"
    return "milliseconds" if width >= _MILLISECOND else "microseconds"


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
    marks = decade_choices(found[0].low, found[-1].high, lambda number: _round_text(number, row.unit))
    is_scale = is_whole and bool(marks[0])
    scale = "; logarithmic scale" if is_scale else ""
    across = marks if is_scale else [_ends(ends), _ends(ends)[:1]]
    return (
        f"<figure>{chart(drawn, across=across, up=heights(top, short_count), unit=f'{thing}s')}"
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
