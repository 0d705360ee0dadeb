"""What a `ThreadedBackend` tells: its numbers, its state, its dead letters and its log lines."""

from __future__ import annotations

import threading
import time

import pytest

from tests.faults.harness import DEADLINE, FakeClock, FaultBackend, Gate, longest, quick, tick, wait_for
from time_execution.delivery.retry import Backoff
from time_execution.delivery.spool import Spool
from time_execution.exceptions import BackendDenied, BackendRejected, BackendUnavailable
from time_execution.types import STORED, Reject

KEYS = {
    "offered",
    "accepted",
    "rejected",
    "delivered",
    "dropped",
    "pending",
    "queued",
    "in_flight",
    "spooled",
    "adopted",
    "retries",
    "retried",
    "duplicates_suppressed",
    "dead_letters",
    "corrupt_files",
    "bytes",
    "oldest_age",
    "last_error",
    "disk_error",
    "worker_restarts",
    "state",
    "failures",
}


def test_stats_has_every_key_from_the_start(deliver):
    """All keys are there before the first metric, and all that count are zero."""
    stats = deliver(FaultBackend()).stats()
    assert set(stats) >= KEYS
    assert {key: value for key, value in stats.items() if value} == {"state": "ok"}


def test_stats_tell_the_age_of_what_waits(deliver):
    """`oldest_age` grows while the oldest metric waits, and is zero when nothing does."""
    gate = Gate()
    delivery = deliver(FaultBackend([gate]))
    delivery.write("a", value=1)
    gate.wait()
    first = delivery.stats()["oldest_age"]
    threading.Event().wait(0.02)
    second = delivery.stats()["oldest_age"]
    assert 0.0 < first < second < DEADLINE
    gate.open.set()
    assert delivery.flush(DEADLINE)
    assert delivery.stats()["oldest_age"] == 0.0


def test_stats_tell_the_age_of_what_only_waits_in_the_queue(deliver):
    """`oldest_age` counts from the write, though no batch has left yet."""
    delivery = deliver(FaultBackend(), bulk_timeout=60.0)
    before = time.perf_counter()
    delivery.write("a", value=1)
    written = time.perf_counter()
    threading.Event().wait(0.02)
    delivery.write("a", value=2)
    least = time.perf_counter() - written
    age = delivery.stats()["oldest_age"]
    assert least <= age <= time.perf_counter() - before


def test_stats_tell_the_age_of_what_lies_in_the_spool(deliver, tmp_path):
    """`oldest_age` counts on while the backend is down and the metrics are on the disk."""
    disk_clock = FakeClock()
    spool = Spool(tmp_path / "spool", clock=disk_clock)
    delivery = deliver(FaultBackend(then=BackendUnavailable), spool=spool, bulk_size=1)
    for value in range(3):
        delivery.write("a", value=value)
    assert not delivery.flush(DEADLINE)
    assert len(delivery.channel.store) == 3
    assert wait_for(delivery, lambda: delivery.channel.spool_flight)  # that one was taken a moment ago
    disk_clock.advance(1000.0)
    assert 1000.0 <= delivery.stats()["oldest_age"] < 1000.0 + DEADLINE


def test_the_state_follows_the_backend(deliver):
    """`state` goes from ok over failing to open, and back with the first success."""
    clock = FakeClock(0.0)
    store = FaultBackend([OSError] * 6)
    delivery = deliver(store, clock=clock, retry=Backoff(base=1.0, cap=1.0, jitter=longest))
    states = [delivery.stats()["state"]]
    delivery.write("a", value=1)
    while delivery.channel.waiting() and clock.now < 100.0:
        tick(delivery, clock, 0.25)
        states.append(delivery.stats()["state"])
    order = [state for index, state in enumerate(states) if index == 0 or states[index - 1] != state]
    assert order == ["ok", "failing", "open", "ok"]
    assert delivery.stats()["last_error"] == "OSError"


@pytest.mark.parametrize(("failures", "state"), [(0, "ok"), (1, "failing"), (4, "failing"), (5, "open")])
def test_the_circuit_is_open_from_the_fifth_failure_in_a_row_on(deliver, failures, state):
    """`state` and `failures` agree."""
    delivery = deliver(FaultBackend())
    delivery._worker.failures = failures
    assert (delivery.stats()["state"], delivery.stats()["failures"]) == (state, failures)


@pytest.mark.parametrize("error", [ValueError("hunter2"), KeyError("hunter2"), ConnectionError("hunter2")])
def test_stats_show_no_words_of_a_client(deliver, error):
    """The text of an exception that is not ours may hold a secret, or the very metrics."""
    delivery = deliver(FaultBackend(then=error))
    delivery.write("a", value=1)
    assert wait_for(delivery, lambda: delivery.stats()["last_error"] == type(error).__name__)
    assert "hunter2" not in str(delivery.stats())


@pytest.mark.parametrize(
    ("error", "shown"),
    [
        (BackendUnavailable("disk is full"), "BackendUnavailable: disk is full"),
        (OSError(28, "No space left on device"), "OSError: No space left on device"),
        (BackendDenied("for amqp://guest:hunter2@host"), "BackendDenied: for amqp://guest:***@host"),
        (BackendRejected(), "BackendRejected"),
    ],
)
def test_stats_show_the_words_of_our_errors_and_of_the_operating_system(deliver, caplog, error, shown):
    """So that somebody can act on them; secrets in them are masked, in the log as well."""
    delivery = deliver(FaultBackend(then=error))
    delivery.write("a", value=1)
    assert wait_for(delivery, lambda: delivery.stats()["last_error"] == shown), delivery.stats()
    assert wait_for(delivery, lambda: shown in caplog.text)
    assert "hunter2" not in caplog.text


def test_reasons_without_end_share_a_counter(deliver):
    """A server that invents a new reason for each metric cannot grow the counters."""

    def invent(metrics):
        return [Reject(f"reason {metric['value']}") for metric in metrics]

    delivery = deliver(FaultBackend(then=invent), queue_maxsize=1000)
    for value in range(1000):
        delivery.write("a", value=value)
    assert delivery.flush(DEADLINE)
    dropped = delivery.stats()["dropped"]
    assert sum(dropped.values()) == 1000
    assert len(dropped) <= 60


def test_a_reason_that_is_known_keeps_its_counter(deliver):
    """Once there are too many reasons only the new ones share a counter, so that the first can be told apart still."""
    delivery = deliver(FaultBackend(then=lambda metrics: [Reject(f"reason {m['value'] % 60}") for m in metrics]))
    for value in range(600):
        delivery.write("a", value=value)
    assert delivery.flush(DEADLINE)
    assert delivery.stats()["dropped"] == {f"reason {number}": 10 for number in range(50)} | {"other": 100}


def test_what_is_refused_goes_to_the_dead_letters(deliver, tmp_path):
    """Refused metrics are kept in the file, with their reason, and counted as dropped, too."""
    from time_execution.delivery.deadletter import read

    def refuse_odd(metrics):
        return [Reject("odd", "not even") if metric["value"] % 2 else STORED for metric in metrics]

    path = tmp_path / "letters.jsonl"
    delivery = deliver(FaultBackend(then=refuse_odd), dead_letters=path)
    for value in range(10):
        delivery.write("a", value=value)
    assert delivery.flush(DEADLINE)
    stats = delivery.stats()
    assert (stats["dead_letters"], stats["dropped"]) == (5, {"odd": 5})
    assert [letter.metric["value"] for letter in read(path)] == [1, 3, 5, 7, 9]
    assert {(letter.reason, letter.detail) for letter in read(path)} == {("odd", "not even")}


def test_what_the_spool_has_to_say_is_logged(tmp_path, caplog):
    """Trouble that the spool met with stands in the log, under the backend's name, once the worker holds no lock."""
    delivery = quick(FaultBackend(), spool=tmp_path / "spool")
    delivery.channel.store.news.append("the disk is full; trying again in 30 s")
    delivery.write("a", value=1)
    assert delivery.flush(DEADLINE)
    delivery.close(DEADLINE)
    assert "FaultBackend: the disk is full; trying again in 30 s" in caplog.messages
    assert not delivery.channel.store.news


def test_stats_show_what_the_backend_says_of_itself(deliver):
    """A backend that counts something of its own is heard through its delivery; one that fails to tell is not."""
    store = FaultBackend()
    delivery = deliver(store)
    assert "backend" not in delivery.stats()
    store.stats = lambda: {"corrupted": 1}
    assert delivery.stats()["backend"] == {"corrupted": 1}
    store.stats = lambda: 1 / 0
    assert "backend" not in delivery.stats()


def test_dead_letters_that_cannot_be_kept_are_told(deliver, tmp_path, caplog):
    """A disk that refuses them is shown in the numbers and said in the log; the metric stays counted as dropped."""
    letters = tmp_path / "letters" / "dead.jsonl"
    delivery = deliver(FaultBackend(then=BackendRejected("no")), dead_letters=letters)
    letters.mkdir(parents=True)  # a folder where the file should be
    delivery.write("a", value=1)
    assert wait_for(delivery, lambda: delivery.stats()["dropped"])
    stats = delivery.stats()
    assert (stats["dropped"], stats["dead_letters"]) == ({"BackendRejected": 1}, 0)
    assert "IsADirectoryError" in stats["disk_error"]
    assert wait_for(delivery, lambda: "dead.jsonl did not take 1 of 1 refused metrics" in caplog.text)


def test_a_spool_that_is_refused_is_told_while_it_is(deliver, tmp_path):
    """The disk's words are in the numbers until it takes something again."""
    path = tmp_path / "spool"
    delivery = deliver(FaultBackend(then=BackendUnavailable("down")), spool=path)
    path.write_text("in the way")
    delivery.write("a", value=1)
    assert not delivery.flush(0.3)
    assert wait_for(delivery, lambda: delivery.channel.store.degraded)
    assert "NotADirectory" in delivery.stats()["disk_error"] or "not a directory" in delivery.stats()["disk_error"]
    path.unlink()
    delivery.channel.store._file._blocked_until = 0.0
    delivery.flush(0.3)
    assert wait_for(delivery, lambda: len(delivery.channel.store) == 1)
    assert delivery.stats()["disk_error"] is None
