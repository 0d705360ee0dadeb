"""What backends that tell people have in common: what is sent, what is held back, and what a failure costs."""

from __future__ import annotations

import logging
import threading

import pytest

from tests.forked import ends_well_in_a_child, needs_fork
from time_execution.backends.messenger import MaybeSentError, MessengerBackend
from time_execution.backends.threaded import ThreadedBackend
from time_execution.delivery.retry import Backoff
from time_execution.exceptions import (
    BackendDenied,
    BackendRejected,
    BackendThrottled,
    BackendTimeout,
    BackendUnavailable,
    ConfigurationError,
)
from time_execution.testing.clock import FakeClock
from time_execution.types import STORED, Metric, Reject

INTERVAL = 300.0


class Letters(MessengerBackend):
    """Keeps what it is to send; does with each attempt what its script says first."""

    server = "the post"

    def __init__(self, *script, rate=10, clock=None, timeout=10.0):
        self.clock = FakeClock() if clock is None else clock
        super().__init__(interval=INTERVAL, rate=rate, timeout=timeout, clock=self.clock)
        self.script = list(script)
        self.attempts = []
        self.sent = []
        self.released = 0

    def _send(self, told, key, timeout):
        self.attempts.append((told.title, key, timeout))
        step = self.script.pop(0) if self.script else None
        if isinstance(step, Exception):
            raise step
        if step is not None:
            step()
        self.sent.append(told)

    def _release(self, timeout):
        self.released += 1

    @property
    def titles(self):
        return [told.title for told in self.sent]


def record(message="boom", number=None):
    fields = {"name": "log", "level": "CRITICAL", "logger": "shop", "message": message}
    return Metric(fields, kind="event", id=None if number is None else f"0f-{number}")


def records(*messages):
    return [record(message, number) for number, message in enumerate(messages)]


def results_and_error(outcome):
    results = []
    try:
        for result in outcome:
            results.append(result)  # noqa: PERF402 - what came before an error counts
    except Exception as exc:
        return results, exc
    return results, None


def summed_up(told):
    return [(int(line.split()[0]), line.partition(": ")[2]) for line in told.lines]


def test_one_of_a_kind_is_sent_and_the_rest_is_summed_up_with_its_exact_number():
    """Ten thousand at once through a queue are two messages: a notice, and a summary when the interval ends."""
    backend = Letters()
    with ThreadedBackend(backend, queue_timeout=0.05, bulk_timeout=0.01) as queue:
        for _ in range(10_000):
            queue.enqueue(record())
        assert queue.flush(20)
        assert queue.stats()["delivered"] == 10_000
        assert backend.titles == ["CRITICAL shop: boom"]
        told = threading.Event()
        backend.script = [told.set]
        backend.clock.advance(INTERVAL)
        assert told.wait(10)
    assert backend.titles[1:] == ["9999 more messages in the last 5 min"]
    assert summed_up(backend.sent[1]) == [(9999, "CRITICAL shop: boom")]
    assert backend.stats() == {"sent": 2, "held_back": 9999, "summed_up": 9999}


def test_ten_thousand_kinds_are_no_more_messages_than_the_rate_and_one_summary():
    """None is left out of the summary."""
    backend = Letters(rate=10)
    assert backend.write_many(records(*(f"boom {'x' * number}" for number in range(10_000)))) == [STORED] * 10_000
    assert len(backend.sent) == 10
    backend.close()
    assert len(backend.sent) == 11
    assert sum(number for number, _ in summed_up(backend.sent[10])) == 9990


def test_a_summary_is_sent_by_the_next_batch():
    """Where nobody calls `idle`, as for a backend that is configured directly."""
    backend = Letters()
    backend.write_many(records("a", "a"))
    backend.clock.advance(INTERVAL)
    backend.write_many(records("b"))
    assert backend.titles == ["CRITICAL shop: a", "CRITICAL shop: b", "1 more message in the last 5 min"]


def test_nothing_is_summed_up_before_its_time():
    """Idling within the interval sends nothing."""
    backend = Letters()
    backend.write_many(records("a", "a"))
    backend.clock.advance(INTERVAL - 1)
    backend.idle()
    assert len(backend.sent) == 1


def test_closing_sends_the_summary_and_is_idempotent():
    """What was held back is told even if its interval has not ended."""
    backend = Letters()
    backend.write_many(records("a", "a", "a"))
    backend.close(3.0)
    backend.close()
    assert backend.titles[1:] == ["2 more messages in the last 1 s"]
    assert backend.attempts[1][2] == 3.0


@pytest.mark.parametrize(
    "failure", [BackendUnavailable("down"), BackendTimeout("late"), BackendDenied("no"), BackendThrottled("busy")]
)
def test_what_could_not_be_sent_asks_again(failure):
    """The results before it hold; it and those after it are sent with the next attempt, and nothing is lost."""
    backend = Letters(None, failure)
    batch = records("a", "a", "b", "b", "c")
    results, error = results_and_error(backend.write_many(batch))
    assert results == [STORED, STORED]
    assert error is failure
    assert backend.write_many(batch[2:]) == [STORED] * 3
    assert backend.titles == ["CRITICAL shop: a", "CRITICAL shop: b", "CRITICAL shop: c"]
    assert backend.stats()["held_back"] == 2


def test_a_refused_attempt_takes_nothing_of_the_rate():
    """A server that is down for long leaves the rate to what comes after."""
    backend = Letters(*[BackendUnavailable("down")] * 30, rate=2)
    for _ in range(30):
        assert results_and_error(backend.write_many(records("a")))[1] is not None
    assert backend.write_many(records("a", "b", "c")) == [STORED] * 3
    assert backend.titles == ["CRITICAL shop: a", "CRITICAL shop: b"]


def test_what_may_have_been_sent_counts_for_the_rate():
    """A server whose answers are lost is not sent the same message for ever; it comes in the summary then."""
    backend = Letters(*[MaybeSentError("lost")] * 3, rate=3)
    for _ in range(3):
        assert isinstance(results_and_error(backend.write_many(records("a")))[1], MaybeSentError)
    assert backend.write_many(records("a")) == [STORED]
    assert len(backend.attempts) == 3
    backend.clock.advance(INTERVAL)
    backend.idle()
    assert summed_up(backend.sent[0]) == [(1, "CRITICAL shop: a")]


def test_what_is_refused_for_good_harms_no_other():
    """It becomes a dead letter, and those of its kind wait for their turn, lest they be refused one by one."""
    backend = Letters(BackendRejected("too rude"))
    assert backend.write_many(records("a", "a", "b")) == [Reject("refused", "too rude"), STORED, STORED]
    assert backend.titles == ["CRITICAL shop: b"]


def test_a_summary_that_could_not_be_sent_is_sent_later_with_all_that_came_meanwhile():
    """Not before a pause, though the worker idles twice a second."""
    backend = Letters(None, BackendUnavailable("down"))
    backend.write_many(records("a", "a"))
    backend.clock.advance(INTERVAL)
    with pytest.raises(BackendUnavailable):
        backend.idle()
    backend.clock.advance(29)
    backend.idle()
    assert len(backend.attempts) == 2
    backend.write_many(records("a", "a"))  # the kind may be told again by now
    assert backend.titles == ["CRITICAL shop: a", "CRITICAL shop: a", "2 more messages in the last 6 min"]


def test_a_pause_that_the_server_asks_for_is_kept_by_summaries():
    """However long."""
    backend = Letters(None, BackendThrottled("busy", retry_after=100))
    backend.write_many(records("a", "a"))
    backend.clock.advance(INTERVAL)
    with pytest.raises(BackendThrottled):
        backend.idle()
    backend.clock.advance(99)
    backend.idle()
    assert len(backend.attempts) == 2
    backend.clock.advance(1)
    backend.idle()
    assert len(backend.sent) == 2


@pytest.mark.parametrize("failure", [MaybeSentError("lost"), BackendRejected("no")])
def test_a_summary_that_may_have_been_read_or_is_refused_waits_for_another_interval(failure):
    """Its number is told with what came since then."""
    backend = Letters(None, failure)
    backend.write_many(records("a", "a"))
    backend.clock.advance(INTERVAL)
    with pytest.raises(type(failure)):
        backend.idle()
    backend.clock.advance(INTERVAL - 1)
    backend.idle()
    assert len(backend.attempts) == 2
    backend.clock.advance(1)
    backend.idle()
    assert summed_up(backend.sent[1]) == [(1, "CRITICAL shop: a")]


@pytest.mark.parametrize("timeout", [0.0, 1.0])
def test_what_no_summary_told_at_the_end_is_in_a_line_of_the_log(timeout, caplog, wake_loggers):
    """Nobody learns of it otherwise."""
    wake_loggers("time_execution")
    backend = Letters(None, BackendUnavailable("down"))
    backend.write_many(records("a", "a", "a"))
    with caplog.at_level(logging.WARNING, "time_execution"):
        backend.close(timeout)
    reason = "BackendUnavailable: down" if timeout else "no time was left"
    assert f"Letters: records in no summary: 2 ({reason})" in caplog.text


def test_a_failed_summary_does_not_fail_the_batch():
    """The records of the batch were dealt with."""
    backend = Letters(None, None, BackendUnavailable("down"))
    backend.write_many(records("a", "a"))
    backend.clock.advance(INTERVAL)
    assert backend.write_many(records("b")) == [STORED]
    assert backend.stats() == {"sent": 2, "held_back": 1, "summed_up": 0}


def test_a_message_has_the_same_key_each_time():
    """The id of the record."""
    backend = Letters(BackendUnavailable("down"))
    batch = [record("a", 7)]
    results_and_error(backend.write_many(batch))
    backend.write_many(batch)
    assert [key for _, key, _ in backend.attempts] == ["0f-7", "0f-7"]


def test_a_connection_lasts_for_a_batch():
    """It is released when the batch is over, however it ends."""
    backend = Letters(None, None, BackendUnavailable("down"))
    backend.write_many(records("a", "b"))
    assert backend.released == 1
    results_and_error(backend.write_many(records("c")))
    assert backend.released == 2


def test_behind_a_queue_an_outage_loses_nothing():
    """Records wait, and are told once the server is back."""
    backend = Letters(*[BackendUnavailable("down")] * 3)
    with ThreadedBackend(backend, bulk_timeout=0.01, retry=Backoff(base=0.01, cap=0.01)) as queue:
        for message in "abc":
            queue.enqueue(record(message))
        assert queue.flush(20)
        stats = queue.stats()
    assert (stats["delivered"], stats["dropped"]) == (3, {})
    assert backend.titles == [f"CRITICAL shop: {message}" for message in "abc"]


def test_threads_send_one_after_the_other():
    """Two batches at once never meet within the client."""
    inside, most = [], []

    def note():
        inside.append(1)
        most.append(len(inside))
        inside.pop()

    backend = Letters(*[note] * 40, rate=100)
    names = [[f"{'x' * number}{label}" for number in range(10)] for label in "abcd"]
    threads = [threading.Thread(target=backend.write_many, args=(records(*each),), daemon=True) for each in names]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)
    assert len(backend.sent) == 40
    assert set(most) == {1}


def test_who_waits_for_another_thread_waits_for_so_long():
    """A thread that hangs in the client is not waited for without end."""
    entered, leave = threading.Event(), threading.Event()

    def hang():
        entered.set()
        leave.wait(10)

    backend = Letters(hang, timeout=0.05)
    thread = threading.Thread(target=backend.write_many, args=(records("a"),), daemon=True)
    thread.start()
    try:
        assert entered.wait(10)
        with pytest.raises(BackendTimeout):
            backend.write_many(records("b"))
        backend.idle()
        backend.close(0.01)
    finally:
        leave.set()
        thread.join(10)
    assert backend.titles == ["CRITICAL shop: a"]


@needs_fork
def test_a_child_tells_nothing_of_its_parents():
    """It has held nothing back, and its first message is sent, though another thread of the parent was sending."""
    backend = Letters()
    backend.write_many(records("a", "a"))
    backend._lock.acquire()

    def work():
        backend.idle()
        backend.write_many(records("a"))
        backend.close()
        assert backend.titles == ["CRITICAL shop: a", "CRITICAL shop: a"]
        assert backend.stats() == {"sent": 1, "held_back": 0, "summed_up": 0}

    assert ends_well_in_a_child(work)
    backend._lock.release()
    backend.close()
    assert backend.titles[1:] == ["1 more message in the last 1 s"]


def test_a_subclass_has_to_send():
    """The error names the class."""
    with pytest.raises(TypeError, match="MessengerBackend must override _send"):
        MessengerBackend(interval=1, rate=1, timeout=1).write_many(records("a"))


@pytest.mark.parametrize(("options", "named"), [({"timeout": 0}, "timeout"), ({"rate": 0}, "rate")])
def test_wrong_bounds_are_refused(options, named):
    """When the backend is made, not with the first record."""
    with pytest.raises(ConfigurationError, match=named):
        Letters(**options)
