"""The weight of a queue to which callers append without a lock."""

from __future__ import annotations

from collections import deque
from contextlib import suppress
from typing import TYPE_CHECKING

from time_execution.delivery.entry import DRAFT_BYTES
from time_execution.types import Metric

if TYPE_CHECKING:
    from collections.abc import Sequence

    from time_execution.delivery.entry import Item

LIGHT_BYTES = 1536
"""What a finished metric may weigh to be appended without asking. Most are lighter; and as many as a queue holds by
default keep the default bound of bytes, so that nobody has to add them up."""


class Scale:
    """Weighs a queue: at any time it knows a bound, and adds up when that is not enough.

    Used with the channel's lock held, but for `sizes` and `light`. A signal handler may queue metrics in the midst of
    any method: what is done here may happen in any order, and counts all the same.

    Args:
        queue: What is weighed.

    Attributes:
        sizes: What finished metrics weigh that were appended; a caller adds to it before it adds to the queue.
        light: The most that a finished metric may weigh to be appended without asking; 0 until the first one came.
    """

    def __init__(self, queue: deque[Item]) -> None:
        self.sizes: deque[int] = deque()
        self.light = 0
        self._queue = queue
        self._count = 0
        self._bytes = 0

    def at_most(self) -> int:
        """Return what the queue weighs at most, in bytes, without adding up."""
        return self._bytes + (len(self._queue) - self._count) * max(self.light, DRAFT_BYTES)

    def exactly(self) -> int:
        """Return what the queue weighs, in bytes; each metric is added once, however often this is asked."""
        # Not asked beforehand whether one is left: a signal handler might take it in between.
        with suppress(IndexError):
            while True:
                size = self.sizes.popleft()
                self._count += 1
                self._bytes += size
        return self._bytes + (len(self._queue) - self._count) * DRAFT_BYTES

    def room(self, max_bytes: int) -> int:
        """Return the length up to which callers may append by themselves: the queue then weighs `max_bytes` at most."""
        length = len(self._queue)  # first, since what comes meanwhile is in the weight already
        return length + (max_bytes - self.exactly()) // max(self.light, DRAFT_BYTES)

    def add(self, item: Item) -> None:
        """Count an item that `Channel.admit` is about to queue."""
        if isinstance(item[0], Metric):
            self.light = LIGHT_BYTES
            self.sizes.append(item[1])

    def remove(self, items: Sequence[Item]) -> None:
        """Count items that left the queue."""
        sizes = [item[1] for item in items if isinstance(item[0], Metric)]
        count, weight = len(sizes), sum(sizes)  # before: a call amid a subtraction is where a handler could come in
        self._count -= count
        self._bytes -= weight

    def put_back(self, items: Sequence[Item]) -> None:
        """Count items that had left the queue and are in it again."""
        self.sizes.extend(item[1] for item in items if isinstance(item[0], Metric))
