"""The books of one delivery at one instant, as users read them through ``stats()``."""

from __future__ import annotations

import time
from collections import Counter
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from time_execution.delivery.channel import Channel


def statement(channel: Channel) -> dict[str, Any]:
    """Return the counters of a channel, whose lock is held; the equations of `accounting` hold for them.

    Returns:
        What ``ThreadedBackend.stats`` describes, but for the worker's health.
    """
    while True:
        before = _mark(channel)
        found = _read(channel)
        # A finalizer that ran in between may have written a metric: then read again.
        if _mark(channel) == before:
            return found


def _mark(channel: Channel) -> tuple[int, ...]:
    ledger = channel.ledger
    return ledger.taken, ledger.delivered, ledger.dropped.total(), ledger.rejected.total(), len(channel.in_flight)


def _read(channel: Channel) -> dict[str, Any]:
    ledger = channel.ledger
    rejected = dict(ledger.rejected)
    queued, in_flight, spooled = len(channel.queue), len(channel.in_flight), channel.spooled
    accepted = ledger.taken + queued + ledger.adopted
    return {
        "offered": accepted + sum(rejected.values()),
        "accepted": accepted,
        "rejected": rejected,
        "delivered": ledger.delivered,
        "dropped": dict(ledger.dropped + Counter(channel.spool_losses())),
        "pending": queued + in_flight + spooled,
        "queued": queued,
        "in_flight": in_flight,
        "spooled": spooled,
        "corrupt_files": 0 if channel.store is None else channel.store.corrupt_files,
        "adopted": ledger.adopted,
        "retries": ledger.retries,
        "retried": ledger.retried,
        "duplicates_suppressed": ledger.duplicates,
        "dead_letters": ledger.dead_letters,
        "bytes": channel.bytes,
        "oldest_age": _oldest_age(channel),
        "last_error": ledger.last_error,
        "worker_restarts": ledger.worker_restarts,
    }


def _oldest_age(channel: Channel) -> float:
    """Return the age of the oldest pending metric, in seconds; 0.0 when nothing is pending."""
    ages = [channel.clock() - channel.in_flight[0].born] if channel.in_flight else []
    if channel.queue:
        ages.append((time.perf_counter_ns() - channel.queue[0][2]) * 1e-9)
    if channel.store is not None and channel.spooled:
        ages.append(channel.store.oldest_age())
    return max(ages, default=0.0)
