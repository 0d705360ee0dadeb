"""Timing one thing against another, and showing what came of it. Standard library only: the peers' processes use it.

A busy machine makes everything slower at times and nothing ever faster. So a figure is the smallest of many short
windows, floor and candidate taking turns, and it is given as a ratio to the floor of the same run; the median of the
windows' ratios stands beside it, to tell how steady the machine was.
"""

from __future__ import annotations

import asyncio
import gc
import statistics
import time
from collections.abc import Awaitable, Callable, Sequence
from itertools import repeat
from typing import NamedTuple

from tests.bench.floor import queue

Window = Callable[[int], int]
"""Makes so many calls and returns the nanoseconds they took."""


class Pair(NamedTuple):
    """What a call costs beside the floor.

    Attributes:
        floor: The floor's best window, in nanoseconds a call.
        cost: The candidate's best window, in nanoseconds a call.
        median: The median of the ratios of windows that followed each other.
    """

    floor: float
    cost: float
    median: float

    @property
    def ratio(self) -> float:
        """The candidate's best window by the floor's."""
        return self.cost / self.floor


def calling(function: Callable[[], object], clock: Callable[[], int] = time.perf_counter_ns) -> Window:
    """Return a window of plain calls."""

    def window(calls: int) -> int:
        turns = repeat(None, calls)
        started = clock()
        for _ in turns:
            function()
        return clock() - started

    return window


def awaiting(function: Callable[[], Awaitable[object]], clock: Callable[[], int] = time.perf_counter_ns) -> Window:
    """Return a window of calls that are awaited, one after the other, in one task."""

    async def burst(calls: int) -> int:
        turns = repeat(None, calls)
        started = clock()
        for _ in turns:
            await function()
        return clock() - started

    return lambda calls: asyncio.run(burst(calls))


def compare(
    floor: Window, candidate: Window, *, calls: int, repeats: int, between: Callable[[], object] | None = None
) -> Pair:
    """Time two windows in turns.

    Args:
        floor: What the candidate is held against.
        candidate: What is measured.
        calls: The calls of a window.
        repeats: The windows of each.
        between: Called after each of the candidate's windows, outside the timing.
    """
    floors, costs = [], []
    floor(calls)
    candidate(calls)
    if between is not None:
        between()
    gc.collect()
    gc.disable()
    try:
        for _ in range(repeats):
            floors.append(floor(calls) / calls)
            queue.clear()
            costs.append(candidate(calls) / calls)
            if between is not None:
                between()
    finally:
        gc.enable()
    ratios = [cost / base for base, cost in zip(floors, costs, strict=True)]
    return Pair(min(floors), min(costs), statistics.median(ratios))


class Table:
    """Rows under a head, shown as a reStructuredText simple table: the terminal and the documents get the same.

    Args:
        name: The table's marker in the documents.
        head: The columns; the first is text, the others are figures.
    """

    def __init__(self, name: str, *head: str) -> None:
        self.name = name
        self.head = head
        self.rows: list[Sequence[str]] = []

    def add(self, *cells: str) -> None:
        """Append a row; an empty cell is shown as a dash."""
        self.rows.append([cell or "-" for cell in cells])

    def render(self) -> str:
        """Return the table's lines, each ended by a newline."""
        widths = [max(len(row[column]) for row in (self.head, *self.rows)) for column in range(len(self.head))]
        rule = "  ".join("=" * width for width in widths)
        lines = [rule, _line(self.head, widths), rule, *(_line(row, widths) for row in self.rows), rule]
        return "\n".join(lines) + "\n"


def _line(cells: Sequence[str], widths: Sequence[int]) -> str:
    first, *figures = zip(cells, widths, strict=True)
    return "  ".join([first[0].ljust(first[1]), *(cell.rjust(width) for cell, width in figures)]).rstrip()


def best(function: Callable[[], float], times: int) -> float:
    """Return the smallest of what a function returns in so many calls."""
    return min(function() for _ in range(times))
