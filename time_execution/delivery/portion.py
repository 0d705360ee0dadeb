"""How much is sent at once, and which metric is to blame when a backend fails without saying on what.

A backend that stores a whole batch or raises may be down, or may choke on a metric that it will never store and that
keeps all behind it from being sent. The two look alike, so the second is believed only when it is proved: the batches
shrink until a metric fails alone, and it goes only when others, sent in between, are stored each time. A backend that
fails at random fails on those as well.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from time_execution.delivery.channel import Channel
    from time_execution.delivery.entry import Entry
    from time_execution.delivery.retry import Failure

_PATIENCE = 3
_PROOFS = 8
_MOST_SUSPECTS = 8
_GOOD_BATCHES = 20


class Portion:
    """The size of the next batch of one channel, and what it begins with.

    Used by the worker alone, with the channel's lock held.

    Args:
        channel: Whose batches these are.
        window: How many batches the backend takes at once; fewer are sent where they would fill half of the queue's
            bound, since what is on its way gives way to nothing.

    Attributes:
        limit: The most metrics of the next batch.
    """

    def __init__(self, channel: Channel, *, window: int) -> None:
        self._channel = channel
        self._window = max(1, min(window, channel.max_items // (2 * channel.batch_items)))
        self._is_wary = False
        self.limit = channel.batch_items
        self._good = 0
        self._is_searching = False
        self._suspects: dict[Entry, int] = {}  # what failed alone -> how often another was stored meanwhile
        self._turn = 0

    def size(self, *, failures: int) -> int:
        """Return how many metrics to send: whole batches, as many at once as wait, or one that is not full.

        One batch at a time after a failure, and as long as one may be too large or hold a metric that is to blame; and
        out of the spool, of which no more than a batch should come twice after a death.

        Args:
            failures: How often in a row the backend has failed.
        """
        channel = self._channel
        if self._window == 1 or failures or self._is_wary or self._suspects or channel.spooled > 0:
            return self.limit
        return self.limit * max(1, min(self._window, channel.waiting() // self.limit))

    def halve(self, count: int) -> None:
        """Make the next batch half as large as one that failed; `count` metrics may have been several batches."""
        self.limit = max(1, min(count, self._channel.batch_items) // 2)
        self._is_wary = True
        self._good = 0

    def settled(self) -> None:
        """Note that the backend had an answer for each metric of a batch, now released; let batches grow again."""
        waiting = self._waiting()
        was_neighbour = len(waiting) == len(self._suspects)
        self._suspects = {entry: proofs + was_neighbour for entry, proofs in waiting.items()}
        self._turn = 0
        if waiting:
            return
        self._good += 1
        whole = self._channel.batch_items
        if self._is_searching:
            if self._good > 1:  # both halves of what failed are stored: it was no metric's fault
                self.limit = min(whole, self.limit * 2)
            self._is_searching = self.limit < whole
        elif self._good % _GOOD_BATCHES == 0:  # a limit that the server set is tried again, but seldom
            self.limit = min(whole, self.limit + self.limit // 4 + 1)
        self._is_wary = self._is_searching or self.limit < whole

    def blames(self, batch: Sequence[Entry], failure: Failure) -> bool:
        """Whether a batch that failed is one metric that failed alone before, each time while others were stored."""
        return failure.is_obscure and len(batch) == 1 and self._suspects.get(batch[0], 0) >= _PROOFS

    def narrow(self, rest: Sequence[Entry], *, failures: int) -> bool:
        """Look for the metric that the backend fails on, once it has failed often enough to suspect one.

        Args:
            rest: What it failed on and what stays in flight, in front of all else.
            failures: How often in a row it has failed.

        Returns:
            Whether the next batch is a smaller one.
        """
        if not rest or not (self._is_searching or failures >= _PATIENCE):
            return False
        self._is_searching = True
        if len(rest) > 1:
            self._suspects = {}
            self.halve(len(rest))
            return True
        self.halve(1)
        self._suspects = self._waiting()
        if rest[0] not in self._suspects:  # one more that fails: it may be the backend, so what was proved is not
            self._suspects = dict.fromkeys((*self._suspects, rest[0]), 0)
        self._turn += 1
        self._let_another_go_first()
        return False

    def _waiting(self) -> dict[Entry, int]:
        """Return the suspects that are still in flight: some are stored at last, given up, or gone to the disk."""
        front = self._channel.in_flight[: len(self._suspects) + 1]
        return {entry: proofs for entry, proofs in self._suspects.items() if entry in front}

    def _let_another_go_first(self) -> None:
        """Put in front what was not tried since one was last stored; when too many failed, start again in order."""
        front = self._channel.take(len(self._suspects) + 1)
        in_order = [*self._suspects, *(entry for entry in front if entry not in self._suspects)]
        if self._turn >= min(len(in_order), _MOST_SUSPECTS):  # nobody can vouch for them: as in an outage
            self._suspects = {}
            self._turn = 0
        first = in_order.pop(self._turn)
        self._channel.in_flight[: len(front)] = [first, *in_order]
