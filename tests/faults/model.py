"""A delivery's channel and worker, and a model of them made of lists, for hypothesis to find where they differ (D18).

No thread runs here: the machine does what the worker's thread would do, step by step, on a clock of its own.
"""

from __future__ import annotations

from collections import Counter
from typing import Any, ClassVar, cast

from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
)

from tests.faults.harness import FakeClock, check_conservation
from tests.faults.stand_ins import Disk, Draft, Killed, StillWorker
from time_execution.delivery.channel import Channel
from time_execution.delivery.refusals import Refusals
from time_execution.delivery.retry import Backoff
from time_execution.exceptions import BackendDenied, BackendRejected, BackendThrottled, BatchTooLarge
from time_execution.quietlog import QuietLog
from time_execution.types import STORED, Metric, Reject, Retry, Stored

MAX_ITEMS = 7
BATCH = 3
MAX_AGE = 100.0
SIZE = 100
ANSWERS = st.lists(
    st.sampled_from([STORED, STORED, Stored(duplicate=True), Retry(), Retry("busy", after=5.0), Reject("refused")]),
    min_size=BATCH,
    max_size=BATCH,
)
ERRORS = st.sampled_from([OSError, BackendThrottled(retry_after=20.0), BackendDenied, BackendRejected, BatchTooLarge])


class Model(RuleBasedStateMachine):
    """What must be true of a delivery: a list of what waits, in order, and a counter for everything else.

    Attributes:
        seen: What came about in all histories played so far, and how often.
    """

    spool = False
    seen: ClassVar[Counter[str]] = Counter()

    @initialize(
        overflow=st.sampled_from(["drop_oldest", "drop_newest", "block"]),
        max_bytes=st.sampled_from([None, 5 * 150]),
        batch=st.sampled_from([1, BATCH]),
        window=st.sampled_from([1, 2, 3]),
    )
    def begin(self, overflow, max_bytes, batch=BATCH, window=1):
        self.clock = FakeClock()
        self.overflow: Any = overflow if not self.spool else "spool"
        self.channel: Any = Channel(
            max_items=MAX_ITEMS,
            max_bytes=max_bytes,
            batch_items=batch,
            linger=1.0,
            overflow=cast("Any", self.overflow),
            block_timeout=0.0,
            clock=self.clock,
        )
        self.disk: Any = Disk(capacity=6)
        if self.spool:
            self.channel.use_spool(cast("Any", self.disk), durable=False)
        self.log = QuietLog(interval=1e9)
        self.worker: Any = StillWorker(
            self.channel,
            self.send,
            on_start=bool,
            idle=bool,
            close_backend=lambda: None,
            backoff=Backoff(base=1.0, cap=30.0, max_age=MAX_AGE, jitter=lambda _, high: high),
            window=window,
            refusals=Refusals(None, self.log, "model"),
            queue_timeout=0.5,
            limit=None,
            log=self.log,
            label="model",
        )
        self.next_value = 0
        self.reset()

    def teardown(self):
        if hasattr(self, "channel"):
            self.seen["histories"] += 1
            self.remember()

    def remember(self):
        """Add up what came about since the beginning or the last fork."""
        stats = self.channel.stats()
        self.seen.update({what: stats[what] for what in ("delivered", "retries", "worker_restarts")})
        self.seen.update(stats["dropped"])
        self.seen.update(stats["rejected"])

    def reset(self):
        self.waiting = []  # values, the oldest first: in flight, then queued
        self.flying = 0
        self.offered = 0
        self.stored = []
        self.lost: Counter[str] = Counter()
        self.rejected: Counter[str] = Counter()
        self.closed = False
        self.tickets = []  # what `flush` waits with, and for which values

    # ---- the caller ------------------------------------------------------------------------------------------------

    @rule(count=st.integers(min_value=1, max_value=5), measured=st.booleans())
    def put(self, count, measured):
        for _ in range(count):
            value = self.next_value
            self.next_value += 1
            self.offered += 1
            if not self.spool:
                self.expect(150 if measured else SIZE)
            if not measured:
                self.channel.offer(Metric({"name": "written", "value": value}), SIZE)
            elif len(self.channel.queue) < self.channel.attention:  # the fast way of a measured call
                self.channel.append((Draft(), value, value))
            else:
                self.channel.admit((Draft(), value, value))

    def expect(self, weight):
        """Say what becomes of the next value by the rules of the overflow policy."""
        value = self.next_value - 1
        if self.closed:
            self.rejected["after_close"] += 1
            return

        def has_room():
            bound = self.channel.max_bytes
            queued = [self.weights[v] for v in self.waiting]
            return len(queued) < MAX_ITEMS and (bound is None or sum(queued) + weight <= bound)

        self.weights = getattr(self, "weights", {})
        while not has_room() and self.overflow == "drop_oldest" and len(self.waiting) > self.flying:
            self.waiting.pop(self.flying)
            self.lost["queue_full"] += 1
        if has_room():
            self.weights[value] = weight
            self.waiting.append(value)
        else:
            self.rejected["queue_full"] += 1

    # ---- the worker ------------------------------------------------------------------------------------------------

    def send(self, metrics):
        self.sent = [metric["value"] for metric in metrics]
        assert len({metric.id for metric in metrics}) == len(metrics)
        return self.answer(metrics)

    def deliver(self, answer):
        """Do one round of the worker's loop, if one is due; returns the batch that was sent."""
        worker, channel = self.worker, self.channel
        self.answer = answer
        with channel.lock:
            if worker.thread is None or worker.stopping or worker._pause() > 0:
                return None
            batch = worker._take()
        self.flying = len(channel.in_flight)
        before = [entry.metric["value"] for entry in batch]
        if not self.spool:
            assert before == self.waiting[: len(before)]  # the oldest, in order
        try:
            worker._deliver(worker.thread, batch)
        except BaseException as exc:
            if not isinstance(exc, Killed):
                raise
            self.die()
        return before

    def die(self):
        """Do what the end of the worker's thread does when something killed it."""
        self.worker._die()
        self.worker._leave(self.worker.thread)

    def settle(self, batch, results):
        """Keep the books of the model for a batch."""
        kept = []
        for value, result in zip(batch, results, strict=True):
            if isinstance(result, Stored):
                self.stored.append(value)
            elif isinstance(result, Reject):
                self.lost[result.reason] += 1
            else:
                kept.append(value)
        self.waiting[: len(batch)] = kept
        self.flying += len(kept) - len(batch)

    @rule(answers=ANSWERS)
    def answered(self, answers):
        batch = self.deliver(lambda metrics: answers[: len(metrics)])
        if batch is not None and not self.spool:
            self.settle(batch, answers[: len(batch)])

    @rule()
    def acknowledged(self):
        batch = self.deliver(lambda metrics: None)
        if batch is not None and not self.spool:
            self.settle(batch, [STORED] * len(batch))

    @rule(answers=ANSWERS, error=ERRORS, reported=st.integers(min_value=0, max_value=BATCH))
    def failed(self, answers, error, reported):
        def answer(metrics):
            yield from answers[: min(reported, len(metrics))]
            raise error

        batch = self.deliver(answer)
        if batch is None or self.spool:
            return
        results = list(answers[: min(reported, len(batch))])
        rest = len(batch) - len(results)
        kind = error if isinstance(error, type) else type(error)
        if kind is BackendRejected or (kind is BatchTooLarge and len(batch) == 1):
            results += [Reject(kind.__name__)] * rest
        else:
            results += [Retry()] * rest
        self.settle(batch, results)

    @rule(answers=ANSWERS, reported=st.integers(min_value=0, max_value=BATCH))
    def crashed(self, answers, reported):
        def answer(metrics):
            yield from answers[: min(reported, len(metrics))]
            raise Killed

        batch = self.deliver(answer)
        if batch is not None and not self.spool:
            reported = min(reported, len(batch))
            self.settle(batch, [*answers[:reported], *[Retry()] * (len(batch) - reported)])

    @rule(seconds=st.sampled_from([0.5, 1.0, 5.0, 40.0]))
    def wait(self, seconds):
        self.clock.advance(seconds)

    # ---- everything else -------------------------------------------------------------------------------------------

    @rule()
    def flush(self):
        with self.channel.lock:
            self.tickets.append((self.channel.flush_ticket(), set(self.waiting)))
            self.worker.wake()

    @rule(full=st.booleans())
    def disk_fills(self, full):
        self.disk.is_full = full

    # A child and a closed delivery have nothing to lose at first: histories that begin so show little.

    @precondition(lambda self: self.offered > MAX_ITEMS)
    @rule()
    def fork(self):
        self.seen["forks"] += 1
        self.remember()
        self.channel.after_fork()
        self.worker.reset()
        closed = self.closed
        self.reset()
        self.closed = closed

    @precondition(lambda self: self.offered > MAX_ITEMS and not self.closed)
    @rule()
    def close(self):
        with self.channel.lock:
            self.channel.close()
            self.worker.hurry()
        self.closed = True

    @precondition(lambda self: self.closed)
    @rule()
    def end(self):
        with self.channel.lock:
            before = self.channel.stats()["pending"]
            lost = self.channel.abandon()
            self.worker.stop()
        if not self.spool:
            assert lost == before == len(self.waiting)
            if lost:
                self.lost["shutdown"] += lost
            self.waiting.clear()
            self.flying = 0

    # ---- what always holds -----------------------------------------------------------------------------------------

    @invariant()
    def books_are_right(self):
        if not hasattr(self, "channel"):
            return
        stats = self.channel.stats()
        check_conservation(stats, offered=self.offered)
        assert stats["queued"] + stats["in_flight"] - self.channel.spool_flight <= MAX_ITEMS
        if self.channel.max_bytes is not None:
            assert stats["bytes"] <= self.channel.max_bytes
        if not stats["pending"]:
            assert stats["bytes"] == 0
        if self.spool:
            return
        expired = stats["dropped"].get("expired", 0) - self.lost["expired"]
        if expired:  # they are the oldest, among those sent in vain: the model learns which from the channel
            self.expire(expired)
        assert {reason: count for reason, count in self.lost.items() if count} == stats["dropped"]
        assert {reason: count for reason, count in self.rejected.items() if count} == stats["rejected"]
        assert stats["delivered"] == len(self.stored)
        flying = [entry.metric["value"] for entry in self.channel.in_flight]
        queued = [item[0]["value"] if isinstance(item[0], Metric) else item[1] for item in self.channel.queue]
        assert flying + queued == self.waiting
        assert len(set(self.stored)) == len(self.stored)
        for ticket, values in self.tickets:
            assert self.channel.is_settled(ticket) == values.isdisjoint(self.waiting)

    def expire(self, count):
        left = {entry.metric["value"] for entry in self.channel.in_flight}
        gone = [value for value in self.waiting[: self.flying] if value not in left]
        assert len(gone) == count
        self.waiting = [value for value in self.waiting if value not in set(gone)]
        self.flying -= count
        self.lost["expired"] += count

    @invariant()
    def somebody_looks_after_what_waits(self):
        """Nothing waits without a worker that knows, or a caller whose next metric will start one."""
        if not hasattr(self, "channel") or self.closed:
            return
        if self.channel.queue and self.worker.thread is None:
            assert self.channel.attention <= 0


class ModelWithSpool(Model):
    """The same with a disk to overflow to: each metric is in one place or counted, never in two."""

    spool = True

    @invariant()
    def nothing_is_in_two_places(self):
        if not hasattr(self, "channel"):
            return
        memory = [entry.metric["value"] for entry in self.channel.in_flight if entry.key is None]
        memory += [item[0]["value"] if isinstance(item[0], Metric) else item[1] for item in self.channel.queue]
        everywhere = memory + [metric["value"] for metric in self.disk.rows.values()]
        assert len(set(everywhere)) == len(everywhere)
        assert self.channel.spooled >= 0
