"""Several batches in one call, for backends that have them on their way at once."""

from __future__ import annotations

import threading

import pytest

from tests.faults.harness import DEADLINE, check_conservation
from time_execution.backends.base import BaseMetricsBackend
from time_execution.delivery.retry import Backoff
from time_execution.exceptions import BackendUnavailable, BatchTooLarge
from time_execution.types import STORED, Reject


class Several(BaseMetricsBackend):
    """Takes three batches at once; `then` is called with their sizes, and may raise, or answer."""

    batches_at_once = 3

    def __init__(self, then=lambda _sizes: None):
        self.gate = threading.Event()
        self.then = then
        self.sizes = []
        self.values = []

    def write_many(self, metrics):
        raise AssertionError("a delivery hands over batches")

    def write_batches(self, batches):
        self.gate.wait(DEADLINE)
        sizes = [len(batch) for batch in batches]
        self.sizes.append(sizes)
        answer = self.then(sizes)
        self.values += [metric["value"] for batch in batches for metric in batch]
        return answer


class Single(BaseMetricsBackend):
    """Says that it takes several, and leaves it to the base class what becomes of them."""

    batches_at_once = 3

    def __init__(self):
        self.calls = []

    def write_many(self, metrics):
        self.calls.append([metric["value"] for metric in metrics])
        return [Reject("odd") if metric["value"] % 2 else STORED for metric in metrics] if len(self.calls) > 1 else None


def filled(deliver, backend, count, **options):
    """Return a delivery in whose queue so many metrics wait, batches of 10; the worker has not seen them."""
    delivery = deliver(backend, **{"bulk_size": 10, "bulk_timeout": 60.0, "retry": Backoff(base=0.01)} | options)
    with delivery.channel.lock:
        for value in range(count):
            delivery.write("a", value=value)
    return delivery


def test_whole_batches_are_handed_over_together(deliver):
    """As many as wait, three at most; what makes no whole batch waits for more, unless somebody waits for it."""
    backend = Several()
    delivery = filled(deliver, backend, 58)
    backend.gate.set()
    delivery.write("a", value=58)
    assert delivery.flush(DEADLINE)
    assert backend.sizes == [[10, 10, 10], [10, 10], [9]]
    assert backend.values == [*range(59)]
    check_conservation(delivery.stats(), offered=59, pending=0)


def test_after_a_failure_batches_come_one_at_a_time(deliver):
    """A backend that is down, or does not like one of them, is not asked for three."""
    failures = iter([True, True, False])

    def fail_twice(_sizes):
        if next(failures, False):
            raise BackendUnavailable("down")

    backend = Several(fail_twice)
    backend.gate.set()
    delivery = filled(deliver, backend, 60)
    assert delivery.flush(DEADLINE)
    assert backend.sizes[:3] == [[10, 10, 10], [10], [10]]
    assert sum(map(sum, backend.sizes[3:])) == 50
    assert backend.values == [*range(60)]
    stats = delivery.stats()
    check_conservation(stats, offered=60, pending=0)
    assert stats["retried"] == 10 + 10 + 20


def test_what_is_too_large_is_less_than_a_batch_the_next_time(deliver):
    """Halving what came at once would ask the same again."""

    def small(sizes):
        if max(sizes) > 5:
            raise BatchTooLarge("413")

    backend = Several(small)
    backend.gate.set()
    delivery = filled(deliver, backend, 30)
    assert delivery.flush(DEADLINE)
    assert backend.sizes == [[10, 10, 10], *[[5]] * 6]
    check_conservation(delivery.stats(), offered=30, pending=0)


def test_what_went_out_before_the_one_too_large_is_not_sent_again(deliver):
    """The results that come before the exception hold."""

    def first_only(sizes):
        if len(sizes) > 1:
            return iter_then(BatchTooLarge("413"), [STORED] * sizes[0])
        return None

    backend = Several(first_only)
    backend.gate.set()
    delivery = filled(deliver, backend, 30)
    assert delivery.flush(DEADLINE)
    assert backend.sizes == [[10, 10, 10], [5], [5], [5], [5]]
    stats = delivery.stats()
    check_conservation(stats, offered=30, pending=0)
    assert (stats["delivered"], stats["retried"]) == (30, 5 * 4)


def iter_then(exc, results):
    """Yield results, then raise."""
    yield from results
    raise exc


@pytest.mark.parametrize("count", [1, 10, 30])
def test_a_backend_that_overrides_nothing_gets_them_one_by_one(deliver, count):
    """The results of one stand beside the silence of another, which means that all are stored."""
    backend = Single()
    delivery = filled(deliver, backend, count)
    assert delivery.flush(DEADLINE)
    assert backend.calls == [[*range(first, min(first + 10, count))] for first in range(0, count, 10)]
    stats = delivery.stats()
    odd = sum(value % 2 for value in range(10, count))
    assert (stats["delivered"], stats["dropped"]) == (count - odd, {"odd": odd} if odd else {})
