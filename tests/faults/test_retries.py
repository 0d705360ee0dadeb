"""Failures that pass, answers that are lost, pauses in between: cases D1, D2 and D9."""

from __future__ import annotations

from collections import Counter
from itertools import pairwise

import pytest

from tests.faults.harness import (
    DEADLINE,
    OUTAGE,
    FakeClock,
    FaultBackend,
    call_many,
    check_conservation,
    in_threads,
    longest,
    tick,
    wait_for,
)
from time_execution import settings, time_execution, write_metric
from time_execution.backends.base import BaseMetricsBackend
from time_execution.delivery.retry import Backoff
from time_execution.exceptions import (
    BackendUnavailable,
)
from time_execution.types import Metric, Retry, Stored


def as_it_is(inner):
    return inner


class OnlyBulkWrite(BaseMetricsBackend):
    def __init__(self, inner):
        self.inner = inner

    def bulk_write(self, metrics):
        self.inner.write_many(metrics)


class OnlyWrite(BaseMetricsBackend):
    def __init__(self, inner):
        self.inner = inner

    def write(self, name, **data):
        self.inner.write_many([Metric({"name": name, **data})])


@pytest.mark.parametrize(
    ("shape", "error"),
    # What an error means and how a backend is called are two matters: each shape once, and each error once.
    [(as_it_is, OUTAGE), (as_it_is, BackendUnavailable), (OnlyBulkWrite, OSError), (OnlyWrite, KeyError("x"))],
    ids=["many-ConnectionError", "many-BackendUnavailable", "bulk-OSError", "write-KeyError"],
)
def test_one_failure_loses_nothing(deliver, shape, error):
    """Whatever a backend raises once, in any of the three shapes, all of 10 000 measured calls arrive, once (D1)."""
    store = FaultBackend([error])
    delivery = deliver(shape(store), queue_maxsize=10_000)

    @time_execution
    def measured():
        return None

    with settings(backends=[delivery]):
        call_many(5000, measured)
        for value in range(5000):
            write_metric("by.hand", value=value)
        assert delivery.flush(DEADLINE)
    stats = delivery.stats()
    check_conservation(stats, offered=10_000, pending=0)
    assert stats["delivered"] == len(store.stored) == 10_000
    assert stats["retries"] == 1
    assert [m["value"] for m in store.stored if m["name"] == "by.hand"] == list(range(5000))


def test_what_a_plain_write_stored_before_it_failed_is_not_sent_again(deliver):
    """A backend that has only `write` and fails on the third metric gets the first two once (D1)."""
    store = FaultBackend([None, None, OUTAGE])
    delivery = deliver(OnlyWrite(store), bulk_timeout=10.0)
    for value in range(5):
        delivery.write("a", value=value)
    assert delivery.flush(DEADLINE)
    assert store.values() == [0, 1, 2, 3, 4]
    assert store.attempts == [[0], [1], [2], [2], [3], [4]]
    assert delivery.stats()["retried"] == 3


def test_an_outage_below_the_bound_loses_nothing_and_keeps_each_producers_order(deliver):
    """After 30 s without a server all arrives, in order for each thread, after pauses that grow to a cap (D2)."""
    clock = FakeClock(0.0)
    pauses, attempts = [], []

    def draw(_low, high):
        pauses.append(high)
        return high

    def down_for_30_seconds(metrics):
        attempts.append(clock.now)
        if clock.now < 30.0:
            raise OUTAGE
        store.keep(metrics)

    store = FaultBackend(then=down_for_30_seconds)
    retry = Backoff(base=0.5, cap=8.0, jitter=draw)
    delivery = deliver(store, clock=clock, retry=retry, queue_maxsize=1000, bulk_size=50)
    in_threads(4, lambda thread: [delivery.write(f"t{thread}", value=value) for value in range(100)])
    while delivery.stats()["pending"] and clock.now < 120.0:
        tick(delivery, clock, 0.1)
        check_conservation(delivery.stats(), offered=400)
    check_conservation(delivery.stats(), offered=400, pending=0)
    for thread in range(4):
        assert [m["value"] for m in store.stored if m["name"] == f"t{thread}"] == list(range(100))
    assert pauses == sorted(pauses)
    assert pauses[:6] == [0.5, 1.0, 2.0, 4.0, 8.0, 8.0]
    waited = [later - earlier for earlier, later in pairwise(attempts)]
    assert all(wait >= pause for wait, pause in zip(waited, pauses, strict=False))
    assert len({m.id for m in store.stored}) == 400


@pytest.mark.parametrize("error", [OUTAGE, TimeoutError(), BackendUnavailable()], ids=repr)
def test_an_answer_that_is_lost_repeats_the_same_ids(deliver, error):
    """A store that takes a batch and loses its answer sees the same ids again, and can tell (D9)."""
    seen: Counter[str | None] = Counter()

    def keep_and_break(metrics):
        seen.update(metric.id for metric in metrics)
        raise error

    def keep(metrics):
        known = [metric.id in seen for metric in metrics]
        seen.update(metric.id for metric in metrics)
        return [Stored(duplicate=duplicate) for duplicate in known]

    delivery = deliver(FaultBackend([keep_and_break, keep_and_break], then=keep), bulk_size=100, bulk_timeout=10.0)
    for value in range(1000):
        delivery.write("a", value=value)
    assert delivery.flush(DEADLINE)
    stats = delivery.stats()
    assert len(seen) == 1000
    assert stats["duplicates_suppressed"] == 100
    assert stats["delivered"] == 1000
    assert stats["retried"] == 200


def test_a_backend_that_changes_its_batch_does_not_change_what_is_sent_again(deliver):
    """A custom `bulk_write` may take the dicts it is handed apart, as upstream's did: the next attempt is whole."""

    class Popping(BaseMetricsBackend):
        stored, failed = [], False

        def bulk_write(self, metrics):
            parts = [(metric.pop("name"), dict(metric)) for metric in metrics]
            if not self.failed:
                self.failed = True
                raise OUTAGE
            self.stored += parts

    backend = Popping()
    delivery = deliver(backend)
    delivery.write("a.b", value=1)
    assert delivery.flush(DEADLINE)
    assert [(name, fields["value"]) for name, fields in backend.stored] == [("a.b", 1)]
    assert delivery.stats()["retries"] == 1


def test_what_is_too_old_is_given_up_with_a_reason(deliver):
    """Metrics that could not be sent within max_age are dropped as expired when an attempt fails."""
    clock = FakeClock(0.0)
    retry = Backoff(base=1.0, cap=10.0, max_age=60.0, jitter=longest)
    delivery = deliver(FaultBackend(then=OUTAGE), clock=clock, retry=retry)
    delivery.write("a", value=1)
    while clock.now < 100.0:
        tick(delivery, clock, 0.5)
    check_conservation(delivery.stats(), offered=1, pending=0)
    assert delivery.stats()["dropped"] == {"expired": 1}


@pytest.mark.parametrize("answer", [OUTAGE, [Retry()]], ids=["raised", "answered"])
def test_a_backend_stays_down_when_all_that_it_was_sent_has_expired(deliver, answer):
    """That nothing is left to be sent again is no success: failures go on being counted, and pauses grow (D10)."""
    clock = FakeClock(0.0)
    backend = FaultBackend(then=answer)
    delivery = deliver(backend, clock=clock, retry=Backoff(base=1.0, cap=1.0, max_age=0.5, jitter=longest))
    for value in range(4):
        delivery.write("a", value=value)
        while delivery.stats()["pending"]:
            tick(delivery, clock, 0.5)
    assert delivery.stats()["dropped"] == {"expired": 4}
    assert delivery.stats()["failures"] == len(backend.attempts) > 4


@pytest.mark.parametrize(("spool", "max_age"), [(None, 300.0), ("spool", 3600.0)])
def test_by_default_metrics_are_kept_for_five_minutes_and_with_a_spool_for_an_hour(deliver, tmp_path, spool, max_age):
    """What could not be sent is tried again until then, and given up at the first failure after it (D2)."""
    clock = FakeClock(0.0)
    delivery = deliver(FaultBackend(then=OUTAGE), clock=clock, retry=None, spool=spool and tmp_path / spool)
    delivery.write("a", value=1)
    longest_pause = 31.0
    for failures, seconds in enumerate((1.0, max_age - 2 * longest_pause, longest_pause), 1):
        clock.advance(seconds)
        assert wait_for(delivery, lambda: delivery.stats()["failures"] == failures)  # noqa: B023 - done before the next
        assert delivery.stats()["pending"] == 1
    clock.advance(longest_pause + 1.0)
    assert wait_for(delivery, lambda: delivery.stats()["dropped"] == {"expired": 1})


def test_a_million_failures_do_not_overflow_the_backoff(deliver):
    """A backend that is down for weeks is still asked again."""
    delivery = deliver(FaultBackend([OUTAGE]))
    delivery._worker.failures = 1_000_000
    delivery.write("a", value=1)
    assert delivery.flush(DEADLINE)
