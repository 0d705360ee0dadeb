"""Each backend for itself, though another fails or waits: cases D7 and D11."""

from __future__ import annotations

from typing import Any

import pytest

from tests.faults.harness import DEADLINE, OUTAGE, FaultBackend, check_conservation
from time_execution import settings, time_execution, write_metric
from time_execution.backends.base import BaseMetricsBackend
from time_execution.exceptions import BackendThrottled


class Raising(BaseMetricsBackend):
    def write(self, name, **data):
        raise OUTAGE


@pytest.mark.parametrize("direct", [False, True], ids=["queued", "direct"])
@pytest.mark.parametrize("order", ["first", "last"])
def test_a_backend_that_always_raises_costs_the_other_nothing(deliver, direct, order):
    """Beside one that raises for ever, the healthy backend stores everything, and the caller sees nothing (D11)."""
    bad: Any = Raising() if direct else deliver(Raising())
    store = FaultBackend()
    good = deliver(store, queue_maxsize=1000)
    backends = [bad, good] if order == "first" else [good, bad]

    @time_execution
    def measured(value):
        return value

    with settings(backends=backends):
        assert [measured(value) for value in range(500)] == list(range(500))
        for value in range(500):
            write_metric("by.hand", value=value)
        assert good.flush(DEADLINE)
    assert len(store.stored) == 1000
    if not direct:
        check_conservation(bad.stats(), offered=1000)
        assert bad.stats()["delivered"] == 0


def test_one_backend_that_waits_keeps_no_other_from_flowing(deliver):
    """While one server asks for an hour's pause, a second backend stores everything (D7)."""
    waiting = deliver(FaultBackend(then=BackendThrottled(retry_after=3600.0)))
    store = FaultBackend()
    flowing = deliver(store)
    with settings(backends=[waiting, flowing]):
        for value in range(1000):
            write_metric("a", value=value)
        assert flowing.flush(DEADLINE)
    assert store.values() == list(range(1000))
    check_conservation(waiting.stats(), offered=1000, pending=1000)
