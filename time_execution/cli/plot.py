"""Plots as SVG that stretches with the page; their words and marks are the page's. Pure functions of numbers."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from itertools import pairwise
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from time_execution.cli.axis import Mark

_GAP_SHARE = 0.15
_MANY = 120
_LEAST_HEIGHT = 1.5
_HEIGHT = 100.0
# From how many pixels on a plot with its axis shows which marks: so many that their texts do not touch.
_WIDTHS = (180, 240, 300, 360, 440, 560, 720, 900, 1100)
_BESIDE = 52
_LETTER, _BETWEEN = 8.2, 12
# How far a text may reach beyond the plot: over the numbers at its left, and into the margin at its right.
_LEFT, _RIGHT = 40, 12


def bar(share: float) -> str:
    """Return a horizontal bar; `share` is its length, from 0 to 1."""
    return _horizontal(f'<rect class="mark" width="{_percent(share)}" height="1"/>')


def deviation(value: float, low: float, high: float) -> str:
    """Return a horizontal bar that goes from zero to a number, to the left when that is negative.

    Args:
        value: The number.
        low: What the left end stands for; zero at most.
        high: What the right end stands for; zero at least.
    """
    span = (high - low) or 1.0
    zero, end = -low / span, (value - low) / span
    left = min(zero, end)
    return _horizontal(
        f'<rect class="mark{" less" if value < 0 else ""}" x="{_percent(left)}" width="{_percent(abs(end - zero))}" '
        'height="1"/>'
        f'<path class="zero" d="M{_percent(zero)} 0V1"/>'
    )


def columns(
    values: Sequence[float], titles: Sequence[str], *, label: str, bad: Sequence[float] = (), top: float | None = None
) -> str:
    """Return columns side by side.

    Args:
        values: Their heights.
        titles: What is shown of each under the pointer.
        label: What the plot shows, in words.
        bad: The share of each that is trouble, from 0 to 1; drawn at its foot.
        top: What the plot's height stands for; by default the highest.
    """
    highest = top or max(values, default=0)
    gap = _GAP_SHARE if len(values) <= _MANY else 0.0
    parts = []
    for place, (value, title) in enumerate(zip(values, titles, strict=True)):
        if not value:
            continue
        height = max(_LEAST_HEIGHT, value / highest * _HEIGHT)
        # What is pointed at is the whole height: a short column is hard to hit.
        over = f'<rect class="over" x="{place}" width="1" height="{_HEIGHT:g}"/>'
        parts.append(f"<g><title>{escape(title)}</title>{over}{_column(place, height, gap, 'mark')}")
        if bad and bad[place]:
            parts.append(_column(place, max(_LEAST_HEIGHT, height * bad[place]), gap, "trouble"))
        parts.append("</g>")
    return (
        f'<svg class="plot" viewBox="0 0 {max(1, len(values))} {_HEIGHT:g}" preserveAspectRatio="none" role="img" '
        f'aria-label="{escape(label)}">{"".join(parts)}</svg>'
    )


def chart(drawn: str, *, across: Sequence[Sequence[Mark]], up: Sequence[Mark], unit: str) -> str:
    """Return a plot with its axes.

    Args:
        drawn: The plot.
        across: The marks below it, the most first, then fewer: a plot shows those that its width has room for.
        up: Those at its left, which have lines through the plot.
        unit: What these count.
    """
    lines = "".join(f'<line x1="0" x2="100%" y1="{_down(mark)}" y2="{_down(mark)}"/>' for mark in up)
    side = "".join(f'<text x="100%" y="{_down(mark)}">{escape(mark.text)}</text>' for mark in up)
    below = "".join(
        f'<g class="{" ".join(classes)}">'
        f'<line x1="{_percent(mark.place)}%" x2="{_percent(mark.place)}%" y1="0" y2="4"/>'
        f'<text class="{anchor}" x="{_percent(mark.place)}%" y="1.25em">{escape(mark.text)}</text></g>'
        for (mark, anchor), classes in _shown(across).items()
    )
    return (
        f'<p class="unit" aria-hidden="true">{escape(unit)}</p>'
        f'<div class="chart"><svg class="up" aria-hidden="true">{side}</svg>'
        f'<div class="drawn"><svg class="lines" aria-hidden="true">{lines}</svg>{drawn}</div>'
        f'<svg class="across" aria-hidden="true">{below}</svg></div>'
    )


def _horizontal(drawn: str) -> str:
    return (
        '<svg class="bar" viewBox="0 0 100 1" preserveAspectRatio="none" aria-hidden="true">'
        f'<rect class="track" width="100" height="1"/>{drawn}</svg>'
    )


def _percent(share: float) -> str:
    return f"{max(0.0, min(1.0, share)) * 100:.2f}"


def _down(mark: Mark) -> str:
    return f"{_percent(1 - mark.place)}%"


def _shown(choices: Sequence[Sequence[Mark]]) -> dict[tuple[Mark, str], list[str]]:
    """Return marks with how their texts lie, and the classes of the widths at which they are shown."""
    found: dict[tuple[Mark, str], list[str]] = {}
    for width in _WIDTHS:
        room = width - _BESIDE
        chosen = next((marks for marks in choices if _fit(marks, room)), choices[-1][:1] if choices else ())
        for mark in chosen:
            found.setdefault((mark, _anchor(mark, room)), []).append(f"w{width}")
    return found


def _fit(marks: Sequence[Mark], room: float) -> bool:
    """Whether texts stand side by side without touching."""
    extents = [_extent(mark, room) for mark in marks]
    return bool(marks) and all(end + _BETWEEN <= start for (_, end), (start, _) in pairwise(extents))


def _extent(mark: Mark, room: float) -> tuple[float, float]:
    """Return where a text begins and ends."""
    length = len(mark.text) * _LETTER
    left = mark.place * room - {"first": 0.0, "middle": 0.5, "last": 1.0}[_anchor(mark, room)] * length
    return left, left + length


def _anchor(mark: Mark, room: float) -> str:
    """Return how a text lies to its mark: where it would reach too far out of the plot, inside of it."""
    half = len(mark.text) * _LETTER / 2
    if mark.place * room - half < -_LEFT:
        return "first"
    return "last" if mark.place * room + half > room + _RIGHT else "middle"


def _column(place: int, height: float, gap: float, kind: str) -> str:
    return (
        f'<rect class="{kind}" x="{place + gap / 2:g}" y="{_HEIGHT - height:.2f}" width="{1 - gap:g}" '
        f'height="{height:.2f}"/>'
    )
