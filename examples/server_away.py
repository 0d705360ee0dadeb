"""A store that is away for a while: retries, and books that balance.

Run it as ``python examples/server_away.py``. The store of this example fails for the first batches, as a
server does that is being restarted. Nothing is lost: what could not be sent waits in the queue, within its bounds.
"""

from __future__ import annotations

from collections.abc import Sequence

from time_execution import flush, settings, time_execution
from time_execution.backends.base import BaseMetricsBackend
from time_execution.backends.threaded import ThreadedBackend
from time_execution.delivery.retry import Backoff
from time_execution.exceptions import BackendUnavailable
from time_execution.types import Metric


class Restarting(BaseMetricsBackend):
    def __init__(self, *, fails: int) -> None:
        self.fails = fails
        self.stored: list[Metric] = []

    def write_many(self, metrics: Sequence[Metric]) -> None:
        if self.fails:
            self.fails -= 1
            raise BackendUnavailable("being restarted")
        self.stored += metrics


store = Restarting(fails=3)
queue = ThreadedBackend(store, bulk_timeout=0.05, retry=Backoff(base=0.02))
settings.configure(backends=[queue])


@time_execution
def work() -> None:
    pass


for _ in range(2000):
    work()
assert flush(timeout=10)

stats = queue.stats()
print({key: stats[key] for key in ("offered", "accepted", "delivered", "retries", "pending", "dropped", "rejected")})
assert stats["offered"] == 2000 == stats["delivered"] == len(store.stored)
assert stats["retries"] >= 3
