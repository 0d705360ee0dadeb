"""The thread that takes batches from a channel, sends them, and acts on what came of it.

One daemon thread for each channel, started by the first metric and looked after by every later one that comes to
`Channel.admit`. It owns the backend: it alone sends, and it alone closes, so a client may keep one connection.
"""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from time_execution.delivery import lifecycle
from time_execution.delivery.answer import answers_of
from time_execution.delivery.portion import Portion
from time_execution.delivery.retry import Backoff, Failure, Verdict, understand
from time_execution.delivery.upkeep import SpoolUpkeep
from time_execution.types import STORED, Metric, Reject, Result, Retry, Stored

if TYPE_CHECKING:
    from collections.abc import Callable

    from time_execution.delivery.channel import Channel
    from time_execution.delivery.entry import Entry
    from time_execution.delivery.refusals import Refusals
    from time_execution.quietlog import QuietLog
    from time_execution.types import Results

THREAD_NAME = "TimeExecutionThread"
_OPEN_AFTER = 5
_SHORTEST_SLEEP = 0.05


class Worker:
    """Drives one channel into one backend.

    Args:
        channel: Where metrics wait.
        send: Sends a batch; see `time_execution.backends.base.batch_sender`.
        on_start: Called when a thread is started, by whoever starts it, with the channel's lock held; must not raise.
        idle: Called while there is nothing to send, and in the pauses after failures, once in `queue_timeout` seconds;
            must not raise.
        close_backend: Called once, in the worker's thread, when the channel is closed.
        backoff: How long to wait after a failure, and when to give up.
        window: How many batches are sent at once when so many wait.
        refusals: What deals with metrics that the backend does not take.
        queue_timeout: The longest sleep of the idle thread, in seconds.
        limit: The thread ends after so many metrics, and a fresh one takes over; None for never.
        log: Where trouble is told.
        label: Names the backend in log lines.

    Attributes:
        thread: The thread, or None while there is none.
        failures: How many attempts in a row have failed.
        stopping: Whether the thread is to close the backend and end.
        finished: Whether the backend is closed, or never will be.
    """

    def __init__(
        self,
        channel: Channel,
        send: Callable[[Sequence[Metric]], Results],
        *,
        on_start: Callable[[], object],
        idle: Callable[[], object],
        close_backend: Callable[[], None],
        backoff: Backoff,
        window: int,
        refusals: Refusals,
        queue_timeout: float,
        limit: int | None,
        log: QuietLog,
        label: str,
    ) -> None:
        self._channel = channel
        self._send = send
        self._on_start = on_start
        self._idle = idle
        self._close_backend = close_backend
        self._backoff = backoff
        self._window = window
        self._refusals = refusals
        self._queue_timeout = max(queue_timeout, _SHORTEST_SLEEP)
        self._limit = limit
        self._log = log
        self._label = label
        channel.wake = self.wake
        self.reset()

    def reset(self) -> None:
        """Forget the thread, which a fork did not copy, and all it knew."""
        self.thread: threading.Thread | None = None
        self.failures = self._sent_before = 0
        self.stopping = self.finished = False
        self._is_starting = self._has_sent = self._died = self._hopeless = self._is_lasting = False
        self._sleeping = True
        self._due_at: float | None = None
        self._retry_at = self._idle_at = -math.inf
        self._upkeep = SpoolUpkeep(self._channel, self._log, self._label)
        self._portion = Portion(self._channel, window=self._window)

    def wake(self) -> None:
        """See to it that somebody deals with what was just queued; start the thread if there is none."""
        channel = self._channel
        if channel.waiting() and not self.stopping:
            self.start()
        full = channel.pressed or len(channel.queue) >= channel.batch_items
        if self._sleeping or (full and self._due_at is not None):
            self._sleeping = False
            self._due_at = None if full else channel.clock() + channel.linger
            channel.changed.notify_all()
        channel.set_attention(sleeping=not self.is_alive(), lingering=self._due_at is not None)

    def is_alive(self) -> bool:
        """Whether the thread runs."""
        return self.thread is not None and self.thread.is_alive()

    def start(self) -> None:
        """Start the thread unless it runs; at the end of the interpreter, when none can start, do nothing."""
        # Starting a thread runs signal handlers and finalizers, which may write a metric and so come here again.
        if self.is_alive() or self._is_starting:
            return
        if self._died:
            self._channel.ledger.worker_restarts += 1
            self._died = False
        self._is_starting = True
        try:
            self.thread = threading.Thread(target=self._run, name=THREAD_NAME, daemon=True)
            self.thread.start()
        except RuntimeError:  # an interpreter that is ending refuses new threads, an isolated one has no daemons
            self.thread = None
            self._hopeless = True
        else:
            self._hopeless = False
            lifecycle.come_last()
            self._on_start()
        finally:
            self._is_starting = False

    def hurry(self) -> None:
        """Send what waits at once, even in the middle of a pause after a failure."""
        self._retry_at = -math.inf
        self._is_lasting = False  # it is tried once more
        self.wake()
        self._channel.changed.notify_all()

    def parked(self) -> bool:
        """Whether the backend is down and all that is left lies in the spool: waiting longer would change nothing."""
        channel = self._channel
        return bool(self.failures and channel.store is not None and not channel.queue and not channel.flight_bytes)

    def is_done(self) -> bool:
        """Whether nothing more will be delivered, now or ever."""
        is_in_vain = self._channel.closed and self._is_lasting
        return self.stopping or self._hopeless or is_in_vain or self.parked()

    def stop(self) -> None:
        """Tell the thread to close the backend and end; what it is doing right now no longer counts.

        The thread alone closes the backend, so one is started for it; where none can be any more, at the end of the
        interpreter, the backend is left as it is: every batch was stored for good when it was confirmed.
        """
        self.stopping = True
        self.start()
        if not self.is_alive():
            self.finished = True
        self._channel.changed.notify_all()

    def _run(self) -> None:
        me = threading.current_thread()
        channel = self._channel
        handled = 0
        try:
            with channel.lock:
                channel.owner = threading.get_ident()
            while self._limit is None or handled < self._limit:
                if not self.stopping:
                    self._upkeep.adopt()
                batch = self._next_batch(me)
                if batch is None:
                    break
                if not batch:
                    self._idle()
                    continue
                self._deliver(me, batch)
                self._park(me)
                self._upkeep.tell_news()
                handled += len(batch)
        except BaseException as exc:  # noqa: BLE001 - whatever ends the thread, its batch is kept and a new one starts
            self._die()
            self._log.tell(f"{self._label}.died", f"{self._label}: worker ended by {type(exc).__name__}; restarting")
        finally:
            self._leave(me)

    def _leave(self, me: threading.Thread) -> None:
        channel = self._channel
        with channel.lock:
            if self.thread is not me:
                return
            channel.owner = 0
            self.thread = None
            self._sleeping = True
            self._due_at = None
            channel.set_attention(sleeping=True, lingering=False)
            closing = self.stopping
            if channel.waiting() and not closing:
                self.start()  # it died, or has had its share
            channel.changed.notify_all()
        if closing:
            self._close_backend()
            with channel.lock:
                self.finished = True
                channel.changed.notify_all()

    def _die(self) -> None:
        """Remember that the thread ended by accident: the next one pauses first, lest they die in a row."""
        with self._channel.lock:
            self._died = True
            self._sent_before = len(self._channel.in_flight)
            self.failures += 1
            self._retry_at = self._channel.clock() + self._backoff.pause(self.failures)

    def _next_batch(self, me: threading.Thread) -> list[Entry] | None:
        """Wait until a batch is due and take it; an empty one to idle on, None when the thread should end."""
        channel = self._channel
        with channel.lock:
            while not self.stopping and self.thread is me:
                seen = len(channel.queue)
                pause = self._pause()
                if pause <= 0:
                    return self._take()
                channel.set_attention(sleeping=self._sleeping, lingering=self._due_at is not None)
                if len(channel.queue) > seen:
                    continue  # came without a word, since `attention` had not changed yet
                if (self._sleeping or self.failures) and channel.clock() >= self._idle_at:
                    self._idle_at = channel.clock() + self._queue_timeout
                    return []
                channel.changed.wait(min(pause, self._queue_timeout))
            return None

    def _pause(self) -> float:
        """Return how long nothing is due, in seconds; infinity when nothing waits."""
        channel = self._channel
        now = channel.clock()
        self._sleeping = not channel.waiting()
        if self._sleeping:
            self._due_at = None
            return math.inf
        if channel.in_flight or channel.spooled or channel.is_urgent():
            self._due_at = None
            return self._retry_at - now
        if channel.pressed or len(channel.queue) >= channel.batch_items:
            return self._retry_at - now
        if self._due_at is None:
            self._due_at = now + channel.linger
        return self._due_at - now

    def _take(self) -> list[Entry]:
        channel = self._channel
        self._due_at = None
        batch = channel.take(self._portion.size(failures=self.failures))
        channel.set_attention(sleeping=False, lingering=False)
        again = min(self._sent_before, len(batch))
        if again:
            channel.ledger.retries += 1
            channel.ledger.retried += again
        # What was sent at once, and now is not, is behind it still.
        self._sent_before = min(self._sent_before, len(channel.in_flight)) - again
        return batch

    def _deliver(self, me: threading.Thread, batch: list[Entry]) -> None:
        results: list[Result] = []
        failure: Failure | None = None
        try:
            outcome = self._send([entry.metric for entry in batch])
            # Consumed here, so that what an iterator reported before it raised is kept.
            results.extend(answers_of(outcome, len(batch)))
        except Exception as exc:  # noqa: BLE001 - the one place that answers for whatever a backend raises
            failure = understand(exc)
            count = f"{len(batch)} metric{'s' * (len(batch) > 1)}"
            self._log.tell(
                f"{self._label}.{failure.reason}",
                f"{self._label}: {failure.text}, with {count}; {failure.verdict.value}",
            )
        except BaseException:
            if results:  # of nothing it would be a success, after which the pause begins anew
                self._settle(me, batch[: len(results)], results, None)
            raise
        if failure is None:
            results += [Retry("no result")] * (len(batch) - len(results))
        self._settle(me, batch, results[: len(batch)], failure)

    def _settle(self, me: threading.Thread, batch: list[Entry], results: list[Result], failure: Failure | None) -> None:
        """Count what became of a batch, keep what is to be sent again, and set the pause before that."""
        channel, rest = self._channel, batch[len(results) :]
        if not rest and results.count(STORED) == len(results):  # the usual case; compares identities
            with channel.lock:
                if self.thread is me and not self.stopping:
                    channel.ledger.delivered += len(batch)
                    channel.release(len(batch))
                    self._schedule(stored=len(batch), failed=0, kept=[], failure=failure, after=None)
            return
        self._refusals.tell(results)
        if failure is not None and (failure.verdict is not Verdict.RETRY or self._portion.blames(batch, failure)):
            results, rest = self._refused(batch, results, failure), []
        letters = self._refusals.write(batch, results)
        with channel.lock:
            if self.thread is not me or self.stopping:
                return  # closed meanwhile: these metrics are counted already
            ledger, kept = channel.ledger, []
            ledger.dead_letters += letters
            stored = 0
            after: float | None = failure.after if failure is not None else None
            for entry, result in zip(batch, results, strict=False):
                if isinstance(result, Stored):
                    stored += 1
                    ledger.duplicates += result.duplicate
                elif isinstance(result, Reject):
                    ledger.drop(result.reason)
                else:
                    kept.append(entry)
                    ledger.last_error = result.reason
                    after = max(after or 0.0, result.after or 0.0)
            ledger.delivered += stored
            failed = len(kept) + len(rest)
            kept = self._unexpired(kept + rest)
            self._sent_before += len(kept)
            channel.release(len(batch), kept)
            self._schedule(stored=stored, failed=failed, kept=kept, failure=failure, after=after)

    def _park(self, me: threading.Thread) -> None:
        """Bring what waits to the disk when somebody waits for it and the backend is down: the safest place to be had.

        A batch at a time, so that a caller who wants the lock gets it in between.
        """
        channel = self._channel
        while channel.store is not None and self.failures:
            with channel.lock:
                is_wanted = self.thread is me and not self.stopping and channel.is_urgent()
                if not (is_wanted and channel.park_some()):
                    return
            time.sleep(0)

    def _refused(self, batch: list[Entry], results: list[Result], failure: Failure) -> list[Result]:
        """Turn a refusal of all that has no result into a result for each; a batch too large is halved instead."""
        rest = len(batch) - len(results)
        if failure.verdict is Verdict.SPLIT and len(batch) > 1:
            self._portion.halve(len(batch))
            return results + [Retry(failure.reason)] * rest
        refused: list[Result] = [Reject(failure.reason, failure.text)] * rest
        if failure.verdict is not Verdict.REJECT:  # what was logged of the failure did not say so
            self._refusals.tell(refused)
        return results + refused

    def _schedule(
        self, *, stored: int, failed: int, kept: Sequence[Entry], failure: Failure | None, after: float | None
    ) -> None:
        channel = self._channel
        self._is_lasting = failure is not None and failure.is_lasting
        if failure is not None:
            channel.ledger.last_error = failure.text
        if stored and not self._has_sent:
            self._has_sent = True
            lifecycle.come_last()  # a client that closes itself at exit has told the interpreter so by now
        if not failed:
            self.failures = 0
            self._retry_at = -math.inf
            self._portion.settled()
            return
        if failure is not None and failure.verdict is Verdict.SPLIT:
            self._retry_at = -math.inf  # a smaller batch is a different question: no need to wait
            return
        if stored:
            self.failures = 1
        elif not (failure and kept and failure.is_obscure and self._portion.narrow(kept, failures=self.failures + 1)):
            self.failures += 1  # else the question is a new one, though not one to be put at once
        pause = self._backoff.pause(self.failures, after=after, denied=failure is not None and failure.denied)
        self._retry_at = channel.clock() + pause

    def _unexpired(self, entries: list[Entry]) -> list[Entry]:
        """Give up what has become too old to be sent again."""
        max_age = self._backoff.max_age
        if max_age is None or not entries:
            return entries
        oldest = self._channel.clock() - max_age
        # What lies in the spool is judged by the spool's own max_age.
        young = [entry for entry in entries if entry.key is not None or entry.born >= oldest]
        self._channel.ledger.drop("expired", len(entries) - len(young))
        return young

    def health(self) -> dict[str, Any]:
        """Return ``state`` (``open``: the circuit is), ``failures`` in a row and ``disk_error``."""
        state = "ok" if not self.failures else "failing" if self.failures < _OPEN_AFTER else "open"
        store = self._channel.store
        disk_error = store.last_error if store is not None and store.degraded else self._refusals.disk_error
        return {"state": state, "failures": self.failures, "disk_error": disk_error}
