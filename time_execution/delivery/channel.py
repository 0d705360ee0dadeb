"""The queue, what is in flight, and the counters of one delivery: all its state, under one lock, and no thread.

The calling threads touch three things without the lock: `Channel.attention`, the queue, and the sizes in its `Scale`.
A measured call, or a light finished metric, is appended when the queue is shorter than `attention`, which costs it one
comparison; otherwise it comes to `admit`. So `attention` says when somebody has to look: at the first metric when the
worker sleeps, at the one that fills a batch, at the one that finds the queue full, and always once the channel is
closed.
"""

from __future__ import annotations

import os
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from time_execution.delivery.accounting import Ledger
from time_execution.delivery.entry import Entry, EntryMaker, Item, weight_of
from time_execution.delivery.scale import Scale
from time_execution.delivery.statement import statement

if TYPE_CHECKING:
    from time_execution.delivery.spool import SpoolStore
    from time_execution.types import Metric

Overflow: TypeAlias = Literal["drop_oldest", "drop_newest", "block", "spool"]
_ALWAYS = -1
_NEVER = 1 << 60
_ADOPT_ROWS = 500


class Channel:
    """All state of one delivery. Thread-safe; never blocks but for the overflow policy ``block``.

    Args:
        max_items: The most metrics that may wait or be in flight.
        max_bytes: The most bytes they may weigh, estimated; None for no bound.
        batch_items: A batch of so many leaves at once.
        linger: The longest that a metric waits for its batch to fill, in seconds.
        overflow: Which metric gives way when the queue is full.
        block_timeout: The longest that ``block`` holds up a caller, in seconds.
        clock: Returns seconds, never going back.
    """

    def __init__(
        self,
        *,
        max_items: int = 10_000,
        max_bytes: int | None = 16 * 1024 * 1024,
        batch_items: int = 500,
        linger: float = 1.0,
        overflow: Overflow = "drop_oldest",
        block_timeout: float = 0.1,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.max_items, self.max_bytes = max_items, max_bytes
        self.batch_items, self.linger = batch_items, linger
        self.overflow, self.block_timeout = overflow, block_timeout
        self.clock = clock
        self.store: SpoolStore | None = None
        self.durable = False
        self.wake: Callable[[], None] = lambda: None  # until there is a worker
        self.on_fork: Callable[[], None] = self.after_fork
        # Read by the calling threads without the lock.
        self.queue: deque[Item] = deque()
        self.append = self.queue.append
        self.closed = self._abandoned = False
        self._patience = 0.2
        self._reset()

    def _reset(self) -> None:
        """Start from nothing; what is done at construction and in a forked child."""
        self.pid = os.getpid()
        self._make_locks()
        self.ledger = Ledger()
        self.in_flight: list[Entry] = []
        self.scale = Scale(self.queue)
        self.pressed = False
        self.flight_bytes = self.spool_flight = 0
        self.flush_target = self._flush_mark = self._spool_appended = 0
        self.owner = 0
        self._entry_maker = EntryMaker(self.clock)
        self._spool_base: dict[str, int] = {}
        self.attention = _ALWAYS if self.closed or self.durable else 0

    def _make_locks(self) -> None:
        """Make locks of the kind that threads have now; gevent's cannot wait for one of the system's."""
        self._ident = threading.get_ident  # kept for finalizers, too, which run when the modules are gone
        self.lock = threading.RLock()
        self.changed = threading.Condition(self.lock)

    def use_spool(self, store: SpoolStore, *, durable: bool) -> None:
        """Keep on disk what overflows or cannot leave; with ``durable``, everything, before the caller goes on."""
        self.store = store
        self.durable = durable
        self.set_attention(sleeping=True, lingering=False)

    def offer(self, metric: Metric, size: int) -> None:
        """Queue a finished metric.

        Args:
            metric: Kept, not copied: nobody else may hold it or what is in it.
            size: Its estimated weight in bytes.
        """
        if self.closed:
            self._refuse()
            return
        item = (metric, size, time.perf_counter_ns())
        light = size <= self.scale.light and os.getpid() == self.pid
        if light and len(self.queue) < self.attention and threading.get_ident() != self.owner:
            self.scale.sizes.append(size)
            self.append(item)
        else:
            self.admit(item)

    def put(self, item: Item) -> None:
        """Queue an item the fast way where that is allowed; the decorator's wrappers have the same lines inlined."""
        if len(self.queue) < self.attention and threading.get_ident() != self.owner:
            self.append(item)
        else:
            self.admit(item)

    def admit(self, item: Item) -> None:
        """Take an item on the slow way: wake the worker, apply the overflow policy, or count it as rejected."""
        if self.closed:  # first, and with nothing global: finalizers come here when the modules are gone
            self._refuse()
            return
        if threading.get_ident() == self.owner:
            with self.lock:
                self.ledger.reject("reentrant")
            return
        self.check_process()
        with self.lock:
            self._take_in(item)
            self.wake()

    def _take_in(self, item: Item) -> None:
        if self.closed:  # while this thread waited for the lock
            self.ledger.reject("after_close")
        elif self.durable and self._write_through(item):
            return
        elif self._has_room(item) or self._make_room(item):
            self._enqueue(item)

    def _refuse(self) -> None:
        """Count a metric that came too late; waits once, and not again, for a lock that an ended thread still holds."""
        held = self.lock.acquire(timeout=self._patience)
        # What the worker itself calls while it delivers the rest is as much its own as before.
        self.ledger.reject("reentrant" if self._ident() == self.owner else "after_close")
        if held:
            self.lock.release()
        else:
            self._patience = 0.0

    def check_process(self) -> None:
        """Notice a fork without fork hooks, as under uWSGI (what was appended by then goes uncounted), or gevent."""
        if os.getpid() != self.pid:
            self.on_fork()
        elif threading.get_ident is not self._ident and not self.owner:
            self._make_locks()

    def _enqueue(self, item: Item) -> None:
        self.attention = 0  # until it is set anew: as it is, it may count on drafts alone
        self.scale.add(item)
        self.append(item)
        if self.max_bytes is not None and not self._is_within(self.max_bytes // 2):
            self.pressed = True  # heavy metrics: do not wait for their number to make a batch

    def _dequeue(self) -> Item:
        item = self.queue.popleft()
        self.ledger.taken += 1
        self.scale.remove((item,))
        return item

    @property
    def bytes(self) -> int:
        """The estimated weight of what waits and what is in flight."""
        return self.scale.exactly() + self.flight_bytes

    def _is_within(self, max_bytes: int) -> bool:
        """Whether what waits and what is in flight weighs no more than so much."""
        return self.scale.at_most() + self.flight_bytes <= max_bytes or self.bytes <= max_bytes

    def _has_room(self, item: Item) -> bool:
        if len(self.queue) + len(self.in_flight) - self.spool_flight >= self.max_items:
            return False
        return self.max_bytes is None or self._is_within(self.max_bytes - weight_of(item))

    def _make_room(self, item: Item) -> bool:
        """Apply the overflow policy; True when the item may now be queued. What gives way is counted."""
        if weight_of(item) > (self.max_bytes or _NEVER):
            self.ledger.reject("too_large")
            return False
        self.pressed = True  # so that the worker does not wait for a batch to fill
        if self.overflow == "block":
            self.wake()
            self.changed.wait_for(lambda: self.closed or self._has_room(item), self.block_timeout)
            if self.closed:
                self.ledger.reject("after_close")
                return False
        elif self.overflow == "spool":
            self._spool_oldest()
        if self.overflow in {"drop_oldest", "spool"}:
            while self.queue and not self._has_room(item):
                self._dequeue()
                self.ledger.drop("queue_full")
        if self._has_room(item):
            return True
        self.ledger.reject("queue_full")
        return False

    def _write_through(self, item: Item) -> bool:
        """Put an item on the disk at once; False when the disk refuses."""
        stored = self._to_disk(self._entry_maker.entries([item], after=self.ledger.taken))
        self.ledger.taken += stored
        return stored

    def _spool_oldest(self) -> bool:
        """Move the oldest batch of the queue to the disk; False when the queue is empty, or the disk refuses."""
        before = self.ledger.taken
        items = [self._dequeue() for _ in range(min(len(self.queue), self.batch_items))]
        if items and self._to_disk(self._entry_maker.entries(items, after=before)):
            return True
        count = len(items)
        self.queue.extendleft(reversed(items))
        self.ledger.taken -= count  # not back to what it was: a signal handler may have counted meanwhile
        self.scale.put_back(items)
        return False

    def _to_disk(self, entries: Sequence[Entry]) -> bool:
        """Write entries that are in no spool yet to the disk: all, or none when it refuses or there is no spool."""
        if self.store is None:
            return False
        stored = self.store.append([entry.metric for entry in entries])
        self._spool_appended += stored
        if stored and any(entry.ticket <= self.flush_target for entry in entries):
            self._flush_mark = self._spool_appended
        return stored == len(entries)

    def waiting(self) -> int:
        """Return how many metrics could be taken now: those in flight again, the spooled, the queued."""
        return len(self.in_flight) + self.spooled + len(self.queue)

    @property
    def spooled(self) -> int:
        """Metrics that lie in the spool and are not in flight."""
        return (len(self.store) if self.store is not None else 0) - self.spool_flight

    def take(self, limit: int) -> list[Entry]:
        """Return the next batch, oldest first; it stays counted as in flight until it is settled.

        What failed before comes first, then the spool (it holds what is older), then the queue.
        """
        if len(self.in_flight) < limit and self.store is not None and self.spooled > 0:
            self._take_spooled(limit - len(self.in_flight))
        if len(self.in_flight) < limit and self.spooled <= 0:
            count = min(limit - len(self.in_flight), len(self.queue))
            if self.attention > 0:  # what leaves the queue still counts, until the worker looks again
                self.attention = max(0, self.attention - count)
            # At once, unlike elsewhere: no signal handler can come here amid it, in the worker's thread.
            items = [self.queue.popleft() for _ in range(count)]
            self.scale.remove(items)
            fresh = self._entry_maker.entries(items, after=self.ledger.taken)
            self.ledger.taken += count
            self.flight_bytes += sum([entry.size for entry in fresh])
            self.in_flight += fresh
        self.pressed = False
        self.changed.notify_all()
        return self.in_flight[:limit]

    def _take_spooled(self, limit: int) -> None:
        after = max((entry.key for entry in self.in_flight if entry.key is not None), default=None)
        now = self.clock()
        rows = self.store.peek(limit, after=after) if self.store is not None else []
        self.in_flight += [Entry(metric, 0, now, 0, key) for key, metric in rows]
        self.spool_flight += len(rows)

    def release(self, count: int, kept: Sequence[Entry] = ()) -> None:
        """End the flight of the first entries but those kept, which stay in front; their fate is counted already."""
        gone = self.in_flight[:count]
        if kept:
            stays = {id(entry) for entry in kept}
            gone = [entry for entry in gone if id(entry) not in stays]
        self.in_flight[:count] = kept
        self.flight_bytes -= sum([entry.size for entry in gone])
        if self.store is not None and (keys := [entry.key for entry in gone if entry.key is not None]):
            self.store.delete(keys)
            self.spool_flight -= len(keys)
        self.changed.notify_all()

    def set_attention(self, *, sleeping: bool, lingering: bool) -> None:
        """Say from which length of the queue on a caller must come to `admit`.

        Args:
            sleeping: Nobody would see a metric: the worker is to be woken or started by the next one.
            lingering: The worker waits for a batch to fill.
        """
        if self.closed or self.durable:
            self.attention = _ALWAYS
        elif sleeping:
            self.attention = 0
        else:
            room = self.max_items - len(self.in_flight) + self.spool_flight
            # Half of the bound is enough to end the wait for a full batch: see `pressed`.
            due = _NEVER if self.max_bytes is None else self.max_bytes // (2 if lingering else 1)
            room = min(room, self.scale.room(due - self.flight_bytes))
            self.attention = min(room, self.batch_items - 1) if lingering else room

    def close(self) -> None:
        """Refuse what comes from now on; what waits is due at once. The lock is held."""
        self.closed = True
        self.attention = _ALWAYS
        self.flush_target = _NEVER
        self.changed.notify_all()

    def park_some(self) -> bool:
        """Move a batch that is only in memory to the spool; False when there is none, or the disk refuses."""
        fresh = [entry for entry in self.in_flight if entry.key is None][: self.batch_items]
        if not fresh:
            is_moved = self._spool_oldest()
        elif is_moved := self._to_disk(fresh):
            moved = {id(entry) for entry in fresh}
            self.in_flight = [entry for entry in self.in_flight if id(entry) not in moved]
            weight = sum([entry.size for entry in fresh])
            self.flight_bytes -= weight
        self.changed.notify_all()
        return is_moved

    def abandon(self) -> int:
        """End the delivery: what is left goes to the spool, or is dropped and its number returned. The lock is held."""
        before = self.ledger.dropped.total()
        while self.park_some():
            pass
        self.ledger.drop("shutdown", len(self.in_flight) - self.spool_flight)
        self.in_flight = []
        self.flight_bytes = self.spool_flight = 0
        self._abandoned = True
        self._drop_stragglers()
        if self.store is not None:
            self.store.close()
        return self.ledger.dropped.total() - before

    def _drop_stragglers(self) -> None:
        """Count what a caller appended in the instant between its look at `attention` and the end."""
        while self.queue:
            self._dequeue()
            self.ledger.drop("shutdown")

    def flush_ticket(self) -> tuple[int, int]:
        """Return what `is_settled` needs to tell whether all that was offered so far is settled. The lock is held."""
        goal = self.ledger.taken + len(self.queue)
        self.flush_target = max(self.flush_target, goal)
        return goal, self._spool_appended

    def is_settled(self, ticket: tuple[int, int]) -> bool:
        """Whether all that was offered before a ticket was drawn is settled, one way or another. The lock is held."""
        goal, mark = ticket
        if self.ledger.taken < goal or any(0 < entry.ticket <= goal for entry in self.in_flight):
            return False
        if self.store is None:
            return True
        gone = self._spool_appended - len(self.store) - self.store.duplicates
        return gone >= max(mark, self._flush_mark)

    def is_urgent(self) -> bool:
        """Whether somebody waits for what is pending. The lock is held."""
        offered = self.ledger.taken + len(self.queue)
        return self.flush_target > 0 and not self.is_settled((min(self.flush_target, offered), 0))

    def adopt(self) -> bool:
        """Take over rows of processes that are gone, some at a time; False when there are no more. The lock is held."""
        rows = self.store.adopt(limit=_ADOPT_ROWS) if self.store is not None else 0
        self.ledger.adopted += rows
        self._spool_appended += rows
        return rows > 0

    def spool_losses(self) -> dict[str, int]:
        """Return reason -> rows that this process's spool gave up."""
        if self.store is None:
            return {}
        return {reason: n - self._spool_base.get(reason, 0) for reason, n in self.store.dropped.items()}

    def after_fork(self) -> None:
        """Begin afresh in a forked child: what the parent queued is the parent's to deliver."""
        self.queue.clear()
        self._reset()
        if self.store is not None:
            self.store.after_fork()
            self._spool_base = dict(self.store.dropped)

    def stats(self) -> dict[str, Any]:
        """Return the counters of one instant; see `time_execution.delivery.statement`."""
        with self.lock:
            if self._abandoned:
                self._drop_stragglers()
            return statement(self)
