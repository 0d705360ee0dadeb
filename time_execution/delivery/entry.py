"""What waits in a queue, and what is on its way: their shapes and weights."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

from time_execution.types import Metric

if TYPE_CHECKING:
    from time_execution.types import Draft

Item: TypeAlias = "tuple[Draft, int, int] | tuple[Metric, int, int]"
"""What waits in the queue: a draft and two readings of the clock, or a metric, its size in bytes and one reading."""

DRAFT_BYTES = 150
"""What a queued draft weighs: a tuple of three, two integers and a slot of the queue."""


class Entry:
    """A metric on its way.

    Attributes:
        size: What it weighs, in bytes.
        born: When it was made, by the channel's clock.
        ticket: The how-manieth it was to leave the queue; 0 when it came from the spool.
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
