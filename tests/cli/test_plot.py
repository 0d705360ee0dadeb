"""Plots as SVG: as high and as long as their numbers, and their words are text."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from time_execution.cli import plot
from time_execution.cli.axis import Mark
from time_execution.cli.plot import bar, chart, columns, deviation


@pytest.mark.parametrize(
    ("share", "width"), [(0.0, "0.00"), (0.25, "25.00"), (1.0, "100.00"), (-1, "0.00"), (7, "100.00")]
)
def test_a_bar_is_as_long_as_its_share(share, width):
    """And never longer than its track."""
    assert re.findall(r'<rect class="(\w+)" width="([\d.]+)"', bar(share)) == [("track", "100"), ("mark", width)]


def rectangles(svg):
    """Return kind, place, top and height of each column."""
    pattern = r'<rect class="(\w+)" x="([\d.]+)" y="([\d.]+)" width="[\d.]+" height="([\d.]+)"/>'
    return [(kind, float(x), float(y), float(height)) for kind, x, y, height in re.findall(pattern, svg)]


def test_columns_stand_on_the_ground_in_proportion():
    """The highest fills the plot, one of nothing is left out, and one of next to nothing can still be seen."""
    svg = columns([1, 4, 0, 0.001], ["a", "b", "c", "d"], label="words")
    assert 'viewBox="0 0 4 100"' in svg
    found = rectangles(svg)
    assert [(y, height) for _, _, y, height in found] == [(75.0, 25.0), (0.0, 100.0), (98.5, 1.5)]
    assert [int(x) for _, x, _, _ in found] == [0, 1, 3]
    assert re.findall("<title>(.*?)</title>", svg) == ["a", "b", "d"]


def test_trouble_is_at_the_foot():
    """As high as its share of the column, over which it is drawn, and seen though it is small."""
    svg = columns([10, 20, 20], ["a", "b", "c"], label="words", bad=[0.5, 0.0, 0.001])
    assert [(kind, y, height) for kind, _, y, height in rectangles(svg)] == [
        ("mark", 50.0, 50.0),
        ("trouble", 75.0, 25.0),
        ("mark", 0.0, 100.0),
        ("mark", 0.0, 100.0),
        ("trouble", 98.5, 1.5),
    ]


@pytest.mark.parametrize("values", [[], [0, 0]])
def test_a_plot_of_nothing_is_one(values):
    """With its words, and nothing drawn."""
    svg = columns(values, ["x"] * len(values), label="nothing")
    assert rectangles(svg) == []
    assert svg.startswith(f'<svg class="plot" viewBox="0 0 {max(1, len(values))} 100"')


def test_words_are_text():
    """Also where a program handed them over."""
    svg = columns([1], ["<b>\"'&"], label="<i>\"'&")
    assert "<title>&lt;b&gt;&quot;&#x27;&amp;</title>" in svg
    assert 'aria-label="&lt;i&gt;&quot;&#x27;&amp;"' in svg


def test_a_plot_may_be_higher_than_its_columns():
    """So that it ends at a round number."""
    assert [(y, height) for _, _, y, height in rectangles(columns([5], ["a"], label="words", top=10))] == [(50.0, 50.0)]


def test_a_short_column_can_be_pointed_at():
    """What is shown under the pointer belongs to the whole height."""
    assert '<rect class="over" x="1" width="1" height="100"/>' in columns([100, 1], ["a", "b"], label="words")


@pytest.mark.parametrize(
    ("value", "low", "high", "left", "width"),
    [
        (5, -5, 15, "25.00", "25.00"),
        (-5, -5, 15, "0.00", "25.00"),
        (0, 0, 0, "0.00", "0.00"),
        (3, 0, 3, "0.00", "100.00"),
    ],
)
def test_a_deviation_begins_at_zero(value, low, high, left, width):
    """To the right or to the left, with a line where zero is."""
    found = deviation(value, low, high)
    kind = "mark" if value >= 0 else "mark less"
    assert f'class="{kind}" x="{left}" width="{width}"' in found
    assert f'd="M{-low / ((high - low) or 1) * 100:.2f} 0V1"' in found


def test_marks_are_at_their_places_and_their_words_are_text():
    """Those at the ends of the axis stay inside of it."""
    marks = [Mark(0.0, "<a>"), Mark(0.5, "b"), Mark(1.0, "c")]
    found = chart("<svg></svg>", across=[marks], up=marks, unit="<calls>")
    across = re.findall(r'<text class="(\w+)" x="([\d.]+)%" y="1.25em">(.*?)</text>', found)
    assert across == [("middle", "0.00", "&lt;a&gt;"), ("middle", "50.00", "b"), ("middle", "100.00", "c")]
    up = re.findall(r'<text x="100%" y="([\d.]+)%">(.*?)</text>', found)
    assert up == [("100.00", "&lt;a&gt;"), ("50.00", "b"), ("0.00", "c")]
    assert "<svg></svg>" in found
    assert '<p class="unit" aria-hidden="true">&lt;calls&gt;</p>' in found


@pytest.mark.parametrize("length", [1, 5, 12, 26])
@pytest.mark.parametrize("number", [2, 5, 9])
def test_marks_never_touch_at_any_width(length, number):
    """Of each width those are shown that stand side by side there, which are fewer on a narrow screen; one at least."""
    choices = [[Mark(n / (number - 1), f"{n}" * length) for n in range(0, number, every)] for every in (1, 2, 4, 20)]
    found = chart("", across=choices, up=[], unit="calls")
    pattern = r'<g class="([\w ]+)"><line [^>]*><text class="(\w+)" x="([\d.]+)%" [^>]*>(.*?)</text></g>'
    shown = {}
    for classes, anchor, place, text in re.findall(pattern, found):
        for width in classes.split():
            shown.setdefault(int(width[1:]), []).append((float(place) / 100, anchor, len(text)))
    assert len(shown) == 9
    for width, found_marks in shown.items():
        marks = sorted(found_marks)
        for room in (width - 50, width + 60):
            lefts = [x * room - {"first": 0, "middle": 0.5, "last": 1}[anchor] * size * 8 for x, anchor, size in marks]
            ends = [left + size * 8 for left, (_, _, size) in zip(lefts, marks, strict=True)]
            assert all(end < left for end, left in zip(ends, lefts[1:], strict=False))
            assert len(marks) == 1 or (lefts[0] >= -50 and ends[-1] <= room + 20)
    counts = [len(shown[width]) for width in sorted(shown)]
    assert counts == sorted(counts)


def test_the_style_has_a_rule_for_each_width():
    """Marks are shown by the style alone: from one width to the next, none left out."""
    style = Path(plot.__file__).with_name("page.css").read_text("utf-8")
    rules = re.findall(r"@container \((?:(\d+)px <= width < (\d+)px|width >= (\d+)px)\) { \.across \.w(\d+) ", style)
    lows = [int(low or last) for low, _, last, _ in rules]
    assert lows == [int(name) for *_, name in rules] == list(plot._WIDTHS)
    assert [int(high) for _, high, _, _ in rules[:-1]] == lows[1:]
