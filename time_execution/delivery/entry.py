"""What waits in a queue, and what is on its way: their shapes and weights."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, TypeAlias

from time_execution.types import TIMESTAMP, Metric

if TYPE_CHECKING:
    from collections.abc import Callable

    from time_execution.types import Draft

Item: TypeAlias = "tuple[Draft, int, int] | tuple[Metric, int, int]"
"""What waits in the queue: a draft and two readings of the clock, or a metric, its size in bytes and one reading."""

DRAFT_BYTES = 150
"""What a queued draft weighs: a tuple of three, two integers and a slot of the queue."""

_LOOKS = 5
_CLOSE = 20_000  # nanoseconds between two looks at clocks that nobody came between


class Entry:
    """A metric on its way.

    Attributes:
        size: What it weighs, in bytes.
        born: When it was made, by the channel's clock.
        ticket: Its ordinal among those that left the queue, from 1; 0 when it came from the spool.
        key: Its key when it lies in the spool.
    """

    __slots__ = ("born", "key", "metric", "size", "ticket")

    def __init__(self, metric: Metric, size: int, born: float, ticket: int, key: int | None = None) -> None:
        self.metric = metric
        self.size = size
        self.born = born
        self.ticket = ticket
        self.key = key


def weight_of(item: Item) -> int:
    """Return what an item weighs while it waits, in bytes."""
    return item[1] if isinstance(item[0], Metric) else DRAFT_BYTES


def _wall_offset() -> int:
    """Return what makes a reading of ``time.perf_counter_ns()`` nanoseconds since the epoch.

    A thread that is held up between its looks at the two clocks, be it by other threads for one of the interpreter's
    turns of 5 ms, would be off by as long: so it looks again.
    """
    found = []
    for _ in range(_LOOKS):
        before = time.perf_counter_ns()
        wall = time.time_ns()
        took = time.perf_counter_ns() - before
        found.append((took, wall - before))
        if took < _CLOSE:
            break
    return min(found)[1]


class EntryMaker:
    """Makes entries of what leaves a queue: metrics of drafts, and an id for each that no other process gives.

    Used with the channel's lock held; a forked child makes its own.

    Args:
        clock: The channel's.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._process = os.urandom(8).hex()
        self._sequence = 0

    def entries(self, items: Sequence[Item], *, after: int) -> list[Entry]:
        """Return an entry for each item, in order.

        Args:
            items: What leaves the queue; a finished metric is changed in place.
            after: The ticket of what left before.
        """
        wall_offset = _wall_offset()
        born_offset = self._clock() - time.perf_counter_ns() * 1e-9
        process, ordinal, count = self._process, self._sequence, len(items)
        self._sequence = ordinal + count  # at once: a signal handler may come here in the midst of it
        entries = []
        for ticket, item in enumerate(items, after + 1):
            subject = item[0]
            if isinstance(subject, Metric):
                metric, size = subject, item[1]
                if TIMESTAMP not in metric:
                    metric[TIMESTAMP] = item[2] + wall_offset
            else:
                metric, size = subject.metric(item[1], item[2], wall_offset), DRAFT_BYTES
            ordinal += 1
            metric.id = f"{process}-{ordinal}"
            entries.append(Entry(metric, size, item[2] * 1e-9 + born_offset, ticket))
        return entries
