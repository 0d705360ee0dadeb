"""Several batches in one call, for backends that have them on their way at once."""

from __future__ import annotations

import threading

import pytest

from tests.faults.harness import DEADLINE, check_conservation, wait_for
from time_execution.backends.base import BaseMetricsBackend
from time_execution.backends.threaded import ThreadedBackend
from time_execution.delivery.retry import Backoff
from time_execution.delivery.spool import Spool
from time_execution.exceptions import BackendUnavailable, BatchTooLarge, ConfigurationError
from time_execution.types import STORED


class Several(BaseMetricsBackend):
    """Takes three batches at once; `then` is called with their sizes, and may raise, or answer."""

    batches_at_once = 3

    def __init__(self, then=lambda _sizes: None):
        self.gate = threading.Event()
        self.then = then
        self.sizes = []
        self.handed = []
        self.values = []

    def write_many(self, metrics):
        raise AssertionError("a delivery hands over batches")

    def write_batches(self, batches):
        self.gate.wait(DEADLINE)
        sizes = [len(batch) for batch in batches]
        self.sizes.append(sizes)
        self.handed.append([metric["value"] for batch in batches for metric in batch])
        answer = self.then(sizes)
        self.values += [metric["value"] for batch in batches for metric in batch]
        return answer


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


def test_one_too_large_alone_does_not_keep_the_others(deliver):
    """Where a batch is a single metric, several of them are not asked for again as if they were smaller."""

    def refuse(sizes):
        if 7 in backend.handed[-1]:
            raise BatchTooLarge("413")

    backend = Several(refuse)
    backend.gate.set()
    delivery = filled(deliver, backend, 30, bulk_size=1)
    assert delivery.flush(DEADLINE)
    assert backend.values == [value for value in range(30) if value != 7]
    assert delivery.stats()["dropped"] == {"BatchTooLarge": 1}
    assert [7] in backend.handed
    assert len(backend.handed) < 30


def test_a_poisonous_metric_is_found_among_them(deliver):
    """As without several batches: it goes once others were stored in between, eight times."""

    def fail(sizes):
        if 7 in backend.handed[-1]:
            raise RuntimeError("poison")

    backend = Several(fail)
    backend.gate.set()
    delivery = filled(deliver, backend, 40, bulk_size=1, retry=Backoff(base=1e-4, cap=1e-4))
    assert delivery.flush(DEADLINE)
    assert backend.values == [value for value in range(40) if value != 7]
    assert delivery.stats()["dropped"] == {"RuntimeError": 1}


@pytest.mark.parametrize(("overflow", "lost"), [("spool", 0), ("drop_oldest", 20), ("drop_newest", 20)])
def test_what_gives_way_is_still_there_to_give_way(deliver, overflow, lost, tmp_path):
    """Half of the bound at least is not on its way, however many batches the backend would take."""
    backend = Several()
    options = {"overflow": overflow} | ({"spool": tmp_path} if overflow == "spool" else {})
    delivery = filled(deliver, backend, 40, queue_maxsize=40, **options)
    assert wait_for(delivery, lambda: delivery.stats()["in_flight"] == 20)
    for value in range(40, 60):
        delivery.write("a", value=value)
    backend.gate.set()
    assert delivery.flush(DEADLINE)
    gone = {"spool": [], "drop_oldest": [*range(20, 40)], "drop_newest": [*range(40, 60)]}[overflow]
    assert sorted(backend.values) == [value for value in range(60) if value not in gone]
    check_conservation(delivery.stats(), offered=60, pending=0)
    assert len(gone) == lost


def test_what_lies_in_a_spool_comes_a_batch_at_a_time(deliver, tmp_path):
    """A process that dies has no more than that to send twice."""
    backend = Several()
    backend.gate.set()
    delivery = filled(deliver, backend, 30, spool=Spool(tmp_path, durable=True))
    assert delivery.flush(DEADLINE)
    assert backend.sizes == [[10]] * 3


class Filtering(Several):
    """Overrides what it always could."""

    def write_many(self, metrics):
        self.values += [metric["value"] for metric in metrics]


def test_a_subclass_that_overrides_write_many_is_called(deliver):
    """What it does to the metrics is not passed by."""
    backend = Filtering()
    delivery = filled(deliver, backend, 30)
    assert delivery.flush(DEADLINE)
    assert backend.values == [*range(30)]
    assert backend.sizes == []


@pytest.mark.parametrize(
    ("members", "told"),
    [
        ({"batches_at_once": 2}, r"needs a method write_batches\(\)"),
        *(({"batches_at_once": count}, "a whole number of at least 1") for count in (0, 2.5, None, "8", True)),
    ],
)
def test_what_cannot_take_several_is_refused_at_once(members, told):
    """Not by the worker, metric by metric."""
    backend = type("Wrong", (BaseMetricsBackend,), {"write_many": lambda self, metrics: None} | members)()
    with pytest.raises(ConfigurationError, match=f"Wrong.batches_at_once .*{told}|{told}"):
        ThreadedBackend(backend)


def iter_then(exc, results):
    """Yield results, then raise."""
    yield from results
    raise exc
