"""What the worker does for the spool between two batches."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from time_execution.delivery.channel import Channel
    from time_execution.quietlog import QuietLog

_ADOPT_EVERY = 60.0


class SpoolUpkeep:
    """Takes over what processes that are gone have left, and tells what the spool has to say.

    Used by the worker alone, without the channel's lock.

    Args:
        channel: Whose spool it is; without one, nothing is done.
        log: Where news are told.
        label: Names the backend in log lines.
    """

    def __init__(self, channel: Channel, log: QuietLog, label: str) -> None:
        self._channel = channel
        self._log = log
        self._label = label
        self._adopt_at = -math.inf

    def adopt(self) -> None:
        """Take over the spools of processes that are gone: at first, and from time to time when our own is empty."""
        channel = self._channel
        if channel.store is None or channel.spooled or channel.clock() < self._adopt_at:
            return
        self._adopt_at = channel.clock() + _ADOPT_EVERY
        while channel.store.claim():  # reads whole files, so without the lock
            with channel.lock:
                if not channel.adopt():
                    break  # there is no room for them now
        self.tell_news()

    def tell_news(self) -> None:
        """Log what the spool has to say; a handler may be measured itself, hence without the lock."""
        store = self._channel.store
        while store is not None and store.news:
            self._log.tell(f"{self._label}.spool", f"{self._label}: {store.news.popleft()}")
