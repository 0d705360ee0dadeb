"""More than there is room for: cases D3 and D4, invariant I3."""

from __future__ import annotations

import logging
import threading
import time

import pytest

from tests.faults.children import run
from tests.faults.harness import (
    DEADLINE,
    OUTAGE,
    FaultBackend,
    Gate,
    call_many,
    check_bounds,
    check_conservation,
    in_threads,
    wait_for,
)
from tests.faults.stand_ins import Draft
from tests.patience import least
from time_execution import settings, time_execution
from time_execution.delivery.scale import LIGHT_BYTES
from time_execution.types import Metric


def test_a_queue_offered_a_hundred_times_its_size_counts_every_item(deliver, caplog):
    """With the backend down for ever, 8 threads and 10 000 calls, nothing is lost from the books (D3)."""
    caplog.set_level(logging.WARNING, "time_execution")
    delivery = deliver(FaultBackend(then=OUTAGE), queue_maxsize=100, bulk_size=10)

    @time_execution
    def measured():
        return None

    settings.configure(backends=[delivery])
    done = threading.Event()
    samples = []

    def sample():
        while not done.is_set():
            samples.append(delivery.stats())

    sampler = threading.Thread(target=sample)
    sampler.start()
    in_threads(8, lambda _: call_many(1250, measured))
    done.set()
    sampler.join(DEADLINE)
    stats = delivery.stats()
    check_conservation(stats, offered=10_000)
    assert set(stats["dropped"]) == {"queue_full"}
    assert stats["delivered"] == 0
    for sampled in samples:
        check_conservation(sampled)
        # A caller looks and then appends, without a lock: each may add one beyond the bound.
        check_bounds(sampled, max_items=100, slack=8)
    assert len([record for record in caplog.records if record.name == "time_execution"]) == 1


def test_taking_a_batch_makes_no_room_that_is_not_there(deliver):
    """What callers append while a batch is on its way out of the queue still finds the bound of items (I3)."""
    gate = Gate()
    delivery = deliver(FaultBackend([Gate(), gate]), queue_maxsize=20, bulk_size=10)
    channel = delivery.channel

    class Slow:
        """A draft whose metric takes so long to make that other threads come in between."""

        def metric(self, started, ended, wall_offset):
            while len(channel.queue) < channel.attention:  # the fast way of a measured call
                channel.append((self, 0, time.perf_counter_ns()))
            return Metric({"name": "slow"})

    slow = Slow()
    with channel.lock:
        for _ in range(20):
            channel.admit((slow, 0, time.perf_counter_ns()))
        channel.take(10)
        assert len(channel.queue) + len(channel.in_flight) <= 20
    gate.open.set()
    for step in delivery.backend._script:
        step.open.set()


def test_the_first_finished_metric_among_drafts_makes_no_room_for_heavier_ones(deliver):
    """What callers append until the bound is worked out anew for heavier metrics still finds it (I3)."""
    delivery = deliver(FaultBackend(), max_bytes=30_000, bulk_timeout=60.0)
    channel, wake = delivery.channel, delivery.channel.wake
    channel.admit((Draft(), 0, 0))
    appended = []

    def wake_late():
        while len(channel.queue) < channel.attention:  # what other threads do as long as they need not ask
            appended.append(channel.offer(Metric({"name": "light"}), LIGHT_BYTES))
        wake()

    channel.wake = wake_late
    delivery.write("a", value=1)
    channel.wake = wake
    assert delivery.stats()["bytes"] + LIGHT_BYTES * len(appended) < 30_000


@pytest.mark.parametrize(
    ("overflow", "kept", "outcome"),
    [
        ("drop_oldest", [0, 7, 8, 9, 10], ("dropped", 6)),
        ("drop_newest", [0, 1, 2, 3, 4], ("rejected", 6)),
        ("block", [0, 1, 2, 3, 4], ("rejected", 6)),
        ("spool", list(range(11)), ("spooled", 0)),
    ],
)
def test_each_overflow_policy_keeps_precisely_its_set(deliver, tmp_path, overflow, kept, outcome):
    """With one metric under way, room for four more and ten offered, each policy keeps what it says (D4)."""
    store = FaultBackend()
    gate = Gate(store.keep)
    store._script.append(gate)
    options = {"spool": {"spool": tmp_path / "spool"}, "block": {"block_timeout": 0.01}}.get(overflow, {})
    delivery = deliver(store, queue_maxsize=5, bulk_size=1, overflow=overflow, **options)
    delivery.write("a", value=0)
    gate.wait()
    for value in range(1, 11):
        delivery.write("a", value=value)
    stats = delivery.stats()
    check_conservation(stats, offered=11)
    check_bounds(stats, max_items=5)
    where, count = outcome
    if where == "spooled":
        assert stats["spooled"] > 0
    else:
        assert stats[where] == {"queue_full": count}
    gate.open.set()
    assert delivery.flush(DEADLINE)
    assert store.values() == kept
    check_conservation(delivery.stats(), offered=11, pending=0)


def test_block_goes_on_as_soon_as_there_is_room(deliver):
    """A caller that waits for room is let in when the worker makes some, long before its time is up (D4)."""
    store = FaultBackend()
    gate = Gate(store.keep)
    store._script.append(gate)
    delivery = deliver(store, queue_maxsize=2, bulk_size=1, overflow="block", block_timeout=DEADLINE)
    delivery.write("a", value=0)
    gate.wait()
    delivery.write("a", value=1)
    threading.Timer(0.05, gate.open.set).start()
    began = time.monotonic()
    delivery.write("a", value=2)
    assert time.monotonic() - began < DEADLINE / 2
    assert delivery.flush(DEADLINE)
    assert store.values() == [0, 1, 2]


@pytest.mark.serial
def test_block_never_holds_a_caller_longer_than_it_says(deliver):
    """Sixteen callers that wait for room that never comes are back within block_timeout + 50 ms (D4)."""
    gate = Gate()
    delivery = deliver(FaultBackend([gate]), queue_maxsize=1, bulk_size=1, overflow="block", block_timeout=0.1)
    delivery.write("a", value=0)
    gate.wait()

    rounds = 0

    def write(thread):
        longest = 0.0
        for _ in range(3):
            began = time.monotonic()
            delivery.write("a", value=thread)
            longest = max(longest, time.monotonic() - began)
        return longest

    def longest_of_all():
        nonlocal rounds
        rounds += 1
        return max(in_threads(16, write))

    assert least(longest_of_all, 0.150) <= 0.150
    check_conservation(delivery.stats(), offered=1 + 48 * rounds)
    assert delivery.stats()["rejected"] == {"queue_full": 48 * rounds}
    gate.open.set()


def test_block_with_a_worker_that_died_waits_for_a_new_one(deliver):
    """A queue that is full because the worker died is emptied by a new worker, not rejected for want of one (D4)."""
    store = FaultBackend([SystemExit])
    delivery = deliver(store, queue_maxsize=2, bulk_size=2, overflow="block", block_timeout=DEADLINE)
    delivery.write("a", value=0)
    delivery.write("a", value=1)
    assert wait_for(delivery, lambda: not delivery._worker.is_alive() or store.stored)
    delivery.write("a", value=2)
    assert delivery.flush(DEADLINE)
    assert store.values() == [0, 1, 2]
    assert delivery.stats()["rejected"] == {}


@pytest.mark.parametrize("overflow", ["block", "drop_oldest"])
def test_a_queue_that_is_full_by_bytes_leaves_at_once(deliver, overflow):
    """A healthy backend gets what has no room, although the batch is not full by number and may linger for a minute."""
    store = FaultBackend()
    options = {"block_timeout": 1.0} if overflow == "block" else {}
    delivery = deliver(store, max_bytes=10_000, bulk_timeout=60.0, overflow=overflow, **options)
    for value in range(30):
        delivery.write("a", value=value, text="x" * 1000)
        with delivery.channel.lock:  # let the worker have a turn, as a caller that does something else would
            delivery.channel.changed.wait_for(lambda: delivery.channel.bytes < 5000, 0.1)
        stats = delivery.stats()
        assert (stats["dropped"], stats["rejected"]) == ({}, {})
    assert delivery.flush(DEADLINE)
    check_conservation(delivery.stats(), offered=30, pending=0)
    assert store.values() == list(range(30))


def test_what_is_in_flight_weighs_as_much_as_in_the_queue(deliver):
    """A heavy metric that the backend has takes up its bytes until it is settled (I3)."""
    gate = Gate()
    delivery = deliver(FaultBackend([gate]), max_bytes=10_000, overflow="drop_newest")
    delivery.write("a", text="x" * 6000)
    gate.wait()
    delivery.write("a", text="x" * 6000)
    stats = delivery.stats()
    assert stats["rejected"] == {"queue_full": 1}
    assert 6000 < stats["bytes"] <= 10_000
    gate.open.set()
    assert delivery.flush(DEADLINE)
    assert delivery.stats()["bytes"] == 0


def test_block_lets_go_of_a_caller_when_the_delivery_closes(deliver):
    """Who waits for room that cannot come any more is told so at once (D4)."""
    gate = Gate()
    delivery = deliver(FaultBackend([gate]), queue_maxsize=1, bulk_size=1, overflow="block", block_timeout=3 * DEADLINE)
    delivery.write("a", value=0)
    gate.wait()
    blocked = threading.Thread(target=delivery.write, args=("a",), kwargs={"value": 1})
    blocked.start()
    assert wait_for(delivery, lambda: delivery.channel.changed._waiters)
    delivery.begin_close()
    blocked.join(DEADLINE)
    assert not blocked.is_alive()
    assert delivery.stats()["rejected"] == {"after_close": 1}
    gate.open.set()


def test_block_by_bytes_makes_room_though_the_batch_may_linger(deliver):
    """A metric too heavy for what is left has the worker send the little that waits, and does not wait in vain (D4)."""
    store = FaultBackend()
    options = {"bulk_timeout": 60.0, "queue_timeout": 60.0, "overflow": "block", "block_timeout": DEADLINE}
    delivery = deliver(store, max_bytes=10_000, **options)
    delivery.write("a", value=0, text="x" * 3000)
    assert wait_for(delivery, lambda: delivery.channel.changed._waiters)  # the worker lingers
    delivery.write("a", value=1, text="x" * 8000)
    assert delivery.stats()["rejected"] == {}
    assert delivery.flush(DEADLINE)
    assert store.values() == [0, 1]


def test_callers_that_need_not_ask_keep_the_bound_beside_a_heavy_flight(deliver):
    """What the backend has is counted also where light metrics are appended without a lock (I3)."""
    gate = Gate()
    delivery = deliver(FaultBackend([gate]), max_bytes=20_000, overflow="drop_newest")
    delivery.write("a", text="x" * 15_000)
    gate.wait()
    for value in range(100):
        delivery.write("a", value=value)
        assert delivery.stats()["bytes"] <= 20_000
    assert delivery.stats()["rejected"]["queue_full"] > 50
    gate.open.set()


def test_memory_stays_within_its_bound(tmp_path):
    """64 MB of metrics offered to a delivery that is down grow the process by less than twice max_bytes (I3)."""
    outcome, _ = run(
        tmp_path,
        """
        import resource
        def rss():
            return int(open("/proc/self/statm").read().split()[1]) * resource.getpagesize()
        down = quick(FaultBackend(then=ConnectionError), max_bytes=16 << 20, queue_maxsize=1_000_000)
        def offer(count):
            for value in range(count):
                down.write("a", value=value, text="x" * 2000 + str(value))
        offer(100)
        before = rss()
        for _ in range(32):
            offer(1000)
            stats = down.stats()
            check_conservation(stats)
            check_bounds(stats, max_items=1_000_000, max_bytes=16 << 20)
        assert stats["dropped"]["queue_full"] > 20_000, stats
        print("grew", (rss() - before) >> 20)
        down.close(0.0)
        """,
    )
    assert outcome.code == 0, outcome
    assert int(outcome.out.split()[-1]) < 32
