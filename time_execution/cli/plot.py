"""Plots as SVG that stretches with the page; their words and marks are the page's. Pure functions of numbers."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from time_execution.cli.axis import Mark

_GAP_SHARE = 0.15
_MANY = 120
_LEAST_HEIGHT = 1.5
_HEIGHT = 100.0
_NEAR_AN_END = 0.06


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
        f'<rect class="mark" x="{_percent(left)}" width="{_percent(abs(end - zero))}" height="1"/>'
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


def chart(drawn: str, *, across: Sequence[Mark], up: Sequence[Mark]) -> str:
    """Return a plot with its axes.

    Args:
        drawn: The plot.
        across: The marks below it.
        up: Those at its left, which have lines through the plot.
    """
    lines = "".join(f'<line x1="0" x2="100%" y1="{_down(mark)}" y2="{_down(mark)}"/>' for mark in up)
    side = "".join(f'<text x="100%" y="{_down(mark)}">{escape(mark.text)}</text>' for mark in up)
    below = "".join(
        f'<line x1="{_percent(mark.place)}%" x2="{_percent(mark.place)}%" y1="0" y2="4"/>'
        f'<text class="{_anchor(mark)}" x="{_percent(mark.place)}%" y="1.25em">{escape(mark.text)}</text>'
        for mark in across
    )
    return (
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


def _anchor(mark: Mark) -> str:
    """Return how a text lies to its mark: inside the plot at either end."""
    if mark.place < _NEAR_AN_END:
        return "first"
    return "last" if mark.place > 1 - _NEAR_AN_END else "middle"


def _column(place: int, height: float, gap: float, kind: str) -> str:
    return (
        f'<rect class="{kind}" x="{place + gap / 2:g}" y="{_HEIGHT - height:.2f}" width="{1 - gap:g}" '
        f'height="{height:.2f}"/>'
    )
