"""Servers that say what they want, item by item or as a whole, or nothing with sense: cases D6, D7, D8 and D10."""

from __future__ import annotations

import math
from collections import Counter
from itertools import pairwise
from typing import cast

import pytest

from tests.faults.harness import DEADLINE, OUTAGE, FakeClock, FaultBackend, check_conservation, longest, tick, wait_for
from time_execution.delivery.retry import Backoff
from time_execution.exceptions import (
    BackendDenied,
    BackendRejected,
    BackendThrottled,
    BatchTooLarge,
)
from time_execution.types import STORED, Reject, Retry, Stored


def throw(hint):
    raise BackendThrottled(retry_after=hint)


@pytest.mark.parametrize(
    ("hint", "at_least", "at_most"),
    [
        (5, 5.0, 7.0),
        (7.5, 7.5, 9.5),
        (0, 0.0, 2.0),
        (-3, 0.0, 2.0),
        (10**9, 30.0, 32.0),
        (10**400, 30.0, 32.0),
        (math.inf, 30.0, 32.0),
        (math.nan, 0.0, 2.0),
        ("soon", 0.0, 2.0),
        ("5", 0.0, 6.0),
        (None, 0.0, 2.0),
    ],
)
@pytest.mark.parametrize("answer", [throw, lambda hint: [Retry("throttled", after=hint)]], ids=["raised", "result"])
def test_a_server_that_asks_for_a_pause_gets_it_within_reason(deliver, hint, at_least, at_most, answer):
    """A pause asked for is kept, a huge one is cut to the cap, nonsense is ignored, and the worker lives (D7)."""
    clock = FakeClock(0.0)
    attempts = []

    def throttle_once(metrics):
        attempts.append(clock.now)
        return answer(hint) if len(attempts) == 1 else [STORED]

    delivery = deliver(FaultBackend(then=throttle_once), clock=clock, retry=Backoff(base=1.0, cap=30.0, jitter=longest))
    delivery.write("a", value=1)
    while len(attempts) < 2 and clock.now < 100.0:
        tick(delivery, clock, 0.25)
    assert at_least <= attempts[1] - attempts[0] <= at_most
    check_conservation(delivery.stats(), offered=1)
    assert delivery.stats()["worker_restarts"] == 0


def test_of_several_pauses_asked_for_the_longest_is_kept(deliver):
    """Wherever in a batch it was asked for (D7)."""
    clock, attempts = FakeClock(0.0), []

    def answer(metrics):
        attempts.append(clock.now)
        return [Retry("busy", after=after) for after in (2.0, 9.0, 1.0, None)] if len(attempts) == 1 else None

    retry = Backoff(base=1.0, cap=30.0, jitter=longest)
    delivery = deliver(FaultBackend(then=answer), clock=clock, retry=retry, bulk_size=4)
    for value in range(4):
        delivery.write("a", value=value)
    while len(attempts) < 2 and clock.now < 100.0:
        tick(delivery, clock, 0.25)
    assert 9.0 <= attempts[1] - attempts[0] <= 11.0


def test_a_refusal_of_the_credentials_is_asked_again_only_once_a_cap(deliver):
    """A permanent error is tried once in each longest pause, the state says so, and nothing is given up (D10)."""
    clock = FakeClock(0.0)
    attempts = []

    def deny(metrics):
        attempts.append(clock.now)
        raise BackendDenied("401")

    delivery = deliver(
        FaultBackend(then=deny), clock=clock, retry=Backoff(base=0.1, cap=10.0, max_age=None, jitter=lambda low, _: low)
    )
    for value in range(10):
        delivery.write("a", value=value)
    while clock.now < 100.0:
        delivery.write("a", value=0)
        tick(delivery, clock, 0.5)
    assert 5 <= len(attempts) <= 11
    assert all(later - earlier >= 10.0 for earlier, later in pairwise(attempts))
    stats = delivery.stats()
    assert stats["state"] == "open"
    assert stats["last_error"].startswith("BackendDenied")
    check_conservation(stats, offered=210, pending=210)


def test_a_batch_too_large_is_halved_until_it_fits(deliver):
    """A server that takes three metrics at a time gets all of a hundred, in order, but the one it cannot take (D8)."""
    store = FaultBackend()

    def small(metrics):
        if len(metrics) > 3 or any(metric["value"] == 57 for metric in metrics):
            raise BatchTooLarge("413")
        store.keep(metrics)

    store._then = small
    clock = FakeClock()  # stands still: halving must need no pause
    delivery = deliver(store, clock=clock, bulk_size=50, bulk_timeout=0.0)
    for value in range(100):
        delivery.write("a", value=value)
    assert delivery.flush(DEADLINE)
    stats = delivery.stats()
    check_conservation(stats, offered=100, pending=0)
    assert store.values() == [value for value in range(100) if value != 57]
    assert stats["dropped"] == {"BatchTooLarge": 1}


def test_a_limit_on_the_size_of_batches_is_not_tried_anew_with_each(deliver):
    """Once a server has shown how much it takes at a time, few requests are wasted on more (D8)."""
    store = FaultBackend()

    def small(metrics):
        if len(metrics) > 60:
            raise BatchTooLarge("413")
        store.keep(metrics)

    store._then = small
    delivery = deliver(store, bulk_size=100, queue_maxsize=10_000, bulk_timeout=10.0)
    for value in range(5000):
        delivery.write("a", value=value)
    assert delivery.flush(DEADLINE)
    refused = len([attempt for attempt in store.attempts if len(attempt) > 60])
    assert refused <= len(store.attempts) / 4, (refused, len(store.attempts))


def test_a_limit_on_the_size_of_batches_is_outgrown_once_the_server_takes_more(deliver):
    """What was too large once is tried again later: batches become whole without a restart (D8)."""
    store = FaultBackend()

    def small_at_first(metrics):
        if len(metrics) > 25 and len(store.attempts) < 10:
            raise BatchTooLarge("413")
        store.keep(metrics)

    store._then = small_at_first
    delivery = deliver(store, bulk_size=100, queue_maxsize=10_000, bulk_timeout=10.0)
    for value in range(8000):
        delivery.write("a", value=value)
    assert delivery.flush(DEADLINE)
    sizes = [len(attempt) for attempt in store.attempts]
    assert sizes[5] == 25
    assert max(sizes[10:]) == 100
    assert store.values() == list(range(8000))


def test_results_are_taken_item_by_item(deliver):
    """Of a mixed answer, what is stored is not sent again, what is refused is counted, the rest comes again (D6)."""
    answers = {0: STORED, 1: Retry("busy"), 2: Reject("mapping"), 3: Stored(duplicate=True), 4: Retry("busy")}
    seen: Counter[int] = Counter()

    def mixed(metrics):
        results = []
        for metric in metrics:
            seen[metric["value"]] += 1
            results.append(answers[metric["value"] % 5] if seen[metric["value"]] == 1 else STORED)
        return results

    delivery = deliver(FaultBackend(then=mixed), bulk_size=100)
    for value in range(1000):
        delivery.write("a", value=value)
    assert delivery.flush(DEADLINE)
    stats = delivery.stats()
    check_conservation(stats, offered=1000, pending=0)
    assert stats["dropped"] == {"mapping": 200}
    assert stats["delivered"] == 800
    assert stats["duplicates_suppressed"] == 200
    assert stats["retried"] == 400
    assert {value: times for value, times in seen.items() if times > 1 and value % 5 not in {1, 4}} == {}


@pytest.mark.parametrize(
    "answer",
    [
        [True, True, True],
        [None, None, None],
        "yes",
        5,
        {"errors": False},
        [Reject("bad"), True, STORED],
        [Reject("bad"), None, Retry()],
        [Reject(cast("str", ["unhashable"])), STORED, STORED],
        [Reject(cast("str", None)), STORED, STORED],
        [Retry("busy", after=cast("float", "5")), STORED, STORED],
        [Retry("busy", after=math.nan), Retry("busy", after=0.001), STORED],
        [],
        [STORED],
        [STORED] * 9,
    ],
    ids=repr,
)
def test_an_answer_without_sense_breaks_neither_books_nor_worker(deliver, answer):
    """Whatever a backend returns once, the books are right at every moment, and what is left is sent again."""
    store = FaultBackend([lambda _: answer])
    delivery = deliver(store, bulk_size=3, bulk_timeout=10.0)
    for value in range(3):
        delivery.write("a", value=value)
    done = wait_for(delivery, lambda: len(store.attempts) >= 2 or not delivery.channel.waiting())
    check_conservation(delivery.stats(), offered=3)
    delivery.write("a", value=3)
    assert delivery.flush(DEADLINE), delivery.stats()
    stats = delivery.stats()
    check_conservation(stats, offered=4, pending=0)
    assert done
    assert stats["worker_restarts"] == 0
    assert sum(stats["dropped"].values()) <= 1


def test_an_iterator_that_breaks_off_keeps_what_it_reported(deliver):
    """Results before an exception hold; the exception speaks for the metrics after them."""

    def two_then(error):
        def answer(metrics):
            yield STORED
            yield Reject("mapping")
            raise error

        return answer

    store = FaultBackend([two_then(OUTAGE), two_then(BackendRejected("no")), two_then(BatchTooLarge("413"))])
    delivery = deliver(store, bulk_size=8, bulk_timeout=10.0)
    for value in range(8):
        delivery.write("a", value=value)
    assert delivery.flush(DEADLINE)
    stats = delivery.stats()
    check_conservation(stats, offered=8, pending=0)
    assert store.attempts[0] == list(range(8))
    assert store.attempts[1] == list(range(2, 8))
    assert stats["delivered"] == 2
    assert stats["dropped"] == {"mapping": 2, "BackendRejected": 4}


def test_a_generator_of_answers_is_heard_to_its_end(deliver):
    """What a backend does after its last answer, such as a commit, is done before the batch counts as sent (D6)."""
    committed: list[int] = []

    def answer(metrics):
        yield from [STORED] * len(metrics)
        committed.append(len(metrics))

    delivery = deliver(FaultBackend(then=answer))
    for value in range(10):
        delivery.write("a", value=value)
    assert delivery.flush(DEADLINE)
    assert sum(committed) == delivery.stats()["delivered"] == 10


def test_what_is_no_answer_is_no_success(deliver):
    """A metric whose answer makes no sense is sent again, with those after it, and those before it are not (D6)."""
    store = FaultBackend([lambda _: [STORED, True, STORED]])
    delivery = deliver(store, bulk_size=3, bulk_timeout=10.0)
    for value in range(3):
        delivery.write("a", value=value)
    assert delivery.flush(DEADLINE)
    assert store.attempts == [[0, 1, 2], [1, 2]]
    assert delivery.stats()["last_error"] == "TypeError"


def test_what_is_sent_again_keeps_its_order(deliver):
    """A metric that was to come again goes before those that an exception left without an answer (D6)."""

    def one_and_break_off(metrics):
        yield from (Retry("busy"), STORED)
        raise OUTAGE

    store = FaultBackend([one_and_break_off])
    delivery = deliver(store, bulk_size=4, bulk_timeout=10.0)
    for value in range(4):
        delivery.write("a", value=value)
    assert delivery.flush(DEADLINE)
    assert store.attempts == [[0, 1, 2, 3], [0, 2, 3]]
