"""Pauses of the program while this package compiled, as the worker reads them without the lock."""

from __future__ import annotations

from time_execution.tracing.series import Pauses


class Watched(list[int]):
    """A list that is read by somebody else right after each append."""

    def __init__(self, pauses: Pauses, items: list[int]) -> None:
        super().__init__(items)
        self.pauses = pauses
        self.seen: list[int] = []

    def append(self, item: int) -> None:
        super().append(item)
        self.seen.append(self.pauses.within(0, 1 << 62))


def test_pauses_can_be_read_between_the_two_steps_of_counting_one():
    """The worker, which may read at any moment, finds a total for each end and never a pause that is not over."""
    pauses = Pauses()
    pauses._ends, pauses._totals = Watched(pauses, []), Watched(pauses, [0])
    for _ in range(3):
        with pauses.counted():
            pass
    assert pauses._totals.seen == [0, *pauses._totals[1:-1]]
    assert pauses._ends.seen == pauses._totals[1:]
