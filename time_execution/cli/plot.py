"""Plots as SVG that stretches with the page; their words and scales are the page's. Pure functions of numbers."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

_GAP_SHARE = 0.15
_MANY = 120
_LEAST_HEIGHT = 1.5
_HEIGHT = 100.0


def bar(share: float) -> str:
    """Return a horizontal bar; `share` is its length, from 0 to 1."""
    width = max(0.0, min(1.0, share)) * 100
    return (
        '<svg class="bar" viewBox="0 0 100 1" preserveAspectRatio="none" aria-hidden="true">'
        f'<rect class="track" width="100" height="1"/><rect class="mark" width="{width:.2f}" height="1"/></svg>'
    )


def columns(values: Sequence[float], titles: Sequence[str], *, label: str, bad: Sequence[float] = ()) -> str:
    """Return columns side by side, the highest as high as the plot.

    Args:
        values: Their heights.
        titles: What is shown of each under the pointer.
        label: What the plot shows, in words.
        bad: The share of each that is trouble, from 0 to 1; drawn at its foot.
    """
    highest = max(values, default=0)
    gap = _GAP_SHARE if len(values) <= _MANY else 0.0
    parts = []
    for place, (value, title) in enumerate(zip(values, titles, strict=True)):
        if not value:
            continue
        height = max(_LEAST_HEIGHT, value / highest * _HEIGHT)
        parts.append(f"<g><title>{escape(title)}</title>{_column(place, height, gap, 'mark')}")
        if bad and bad[place]:
            parts.append(_column(place, max(_LEAST_HEIGHT, height * bad[place]), gap, "trouble"))
        parts.append("</g>")
    return (
        f'<svg class="plot" viewBox="0 0 {max(1, len(values))} {_HEIGHT:g}" preserveAspectRatio="none" role="img" '
        f'aria-label="{escape(label)}">{"".join(parts)}</svg>'
    )


def _column(place: int, height: float, gap: float, kind: str) -> str:
    return (
        f'<rect class="{kind}" x="{place + gap / 2:g}" y="{_HEIGHT - height:.2f}" width="{1 - gap:g}" '
        f'height="{height:.2f}"/>'
    )
