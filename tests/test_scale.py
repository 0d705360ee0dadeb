"""What a queue weighs while callers append without a lock: a bound at any time, the sum when it is asked for."""

from __future__ import annotations

import sys
import threading
from collections import deque

import pytest

from time_execution.delivery.channel import Channel
from time_execution.delivery.entry import DRAFT_BYTES
from time_execution.delivery.scale import LIGHT_BYTES, Scale
from time_execution.types import Metric


class Draft:
    """A call that was measured."""

    def metric(self, started, ended, wall_offset):
        return Metric({"name": "draft"})


def metric(size):
    """Return a queued metric of so many bytes."""
    return Metric({"name": "a"}), size, 1


def queue(channel, *sizes):
    """Queue finished metrics of these weights."""
    for size in sizes:
        channel.offer(Metric({"name": "a"}), size)


def test_drafts_alone_weigh_what_each_weighs():
    """Nobody has to add up."""
    items = deque([(Draft(), 1, 2)] * 3)
    assert (Scale(items).at_most(), Scale(items).exactly()) == (3 * DRAFT_BYTES,) * 2


def test_bound_holds_until_it_is_added_up():
    """What was appended counts as the heaviest that may come so; added up, as what it is."""
    items = deque()
    scale = Scale(items)
    for item in ((Draft(), 1, 2), metric(400), metric(5000)):
        scale.add(item)
        items.append(item)
    assert scale.at_most() <= scale.exactly() + 3 * LIGHT_BYTES
    assert scale.exactly() == scale.exactly() == DRAFT_BYTES + 5400
    scale.remove([items.popleft()])
    scale.remove([items.popleft()])
    assert scale.exactly() == 5000
    items.appendleft(metric(400))
    scale.put_back([items[0]])
    assert scale.exactly() == 5400


def test_room_counts_on_the_heaviest_that_may_come():
    """First a draft, and a light metric as soon as there was one."""
    items = deque()
    scale = Scale(items)
    assert scale.room(10 * DRAFT_BYTES) == 10
    scale.add(metric(400))
    items.append(metric(400))
    assert scale.room(400 + 2 * LIGHT_BYTES) == 3
    assert scale.room(100) <= 1


def test_light_metric_takes_no_lock_once_there_was_one():
    """The first comes to the lock, which wakes the worker; a heavy one always does."""
    channel = Channel(batch_items=100)
    admitted = []
    admit, channel.admit = channel.admit, lambda item: (admitted.append(item[1]), admit(item))
    channel.wake = lambda: channel.set_attention(sleeping=False, lingering=True)
    queue(channel, 400, 500, LIGHT_BYTES, LIGHT_BYTES + 1, 600)
    assert admitted == [400, LIGHT_BYTES + 1]
    assert (len(channel.queue), channel.bytes) == (5, 400 + 500 + 2 * LIGHT_BYTES + 1 + 600)


@pytest.mark.parametrize("size", [200, 400, LIGHT_BYTES])
@pytest.mark.parametrize("lingering", [True, False])
def test_bound_of_bytes_is_kept_and_used(size, lingering):
    """No metric too many comes in, and none is turned away that fits."""
    channel = Channel(max_bytes=20_000, overflow="drop_newest")
    channel.wake = lambda: channel.set_attention(sleeping=False, lingering=lingering)
    queue(channel, *[size] * 200)
    assert channel.bytes == 20_000 // size * size
    assert channel.stats()["rejected"] == {"queue_full": 200 - 20_000 // size}


def test_heavy_queue_presses_the_worker_from_half_of_its_bytes_on():
    """While a batch fills, somebody looks in time, although nobody takes a lock for a light metric."""
    channel = Channel(max_bytes=10_000, batch_items=100)
    channel.wake = lambda: channel.set_attention(sleeping=False, lingering=True)
    seen = []
    for _ in range(6):
        queue(channel, 1400)
        seen.append(channel.pressed)
    assert seen == [False, False, False, True, True, True]


def test_what_was_noted_does_not_pile_up_without_a_bound():
    """A queue that nobody asks for its weight forgets what has left it."""
    channel = Channel(max_bytes=None, batch_items=10)
    channel.wake = lambda: channel.set_attention(sleeping=False, lingering=False)
    for _ in range(50):
        queue(channel, *[400] * 10)
        with channel.lock:
            channel.release(len(channel.take(10)))
            channel.set_attention(sleeping=False, lingering=False)
    assert len(channel.scale.sizes) == 0
    assert channel.bytes == 0


@pytest.mark.serial
def test_many_threads_leave_the_weight_of_what_they_queued():
    """Callers and the worker's taking interleave as they may."""
    channel = Channel(max_items=10**6, max_bytes=None)
    channel.wake = lambda: channel.set_attention(sleeping=False, lingering=False)
    done = threading.Event()
    interval = sys.getswitchinterval()

    def produce(seed):
        queue(channel, *[200 + (number * seed) % 2000 for number in range(3000)])

    def consume():
        while not done.is_set() or channel.queue:
            with channel.lock:
                channel.release(len(channel.take(50)))
                assert channel.scale.exactly() >= 0

    threads = [threading.Thread(target=produce, args=(seed,)) for seed in (7, 11, 13)]
    taker = threading.Thread(target=consume)
    sys.setswitchinterval(1e-5)
    try:
        for thread in (*threads, taker):
            thread.start()
        for thread in threads:
            thread.join()
        done.set()
        taker.join()
    finally:
        sys.setswitchinterval(interval)
    assert (len(channel.queue), channel.bytes, channel.ledger.taken) == (0, 0, 9000)
