"""flush, stats and shutdown over all configured backends."""

from __future__ import annotations

import functools
import sys
import threading
import time
from types import SimpleNamespace
from typing import Any

import pytest

from tests.kept import Kept
from time_execution import flush, settings, shutdown, stats, time_execution, write_metric
from time_execution.backends.threaded import ThreadedBackend
from time_execution.source_backends import register


class Full(Kept):
    """A custom backend with everything that operations look for."""

    def __init__(self, *, done: Any = True, error: Exception | None = None) -> None:
        super().__init__()
        self.done = done
        self.error = error
        self.calls: list[tuple[str, Any]] = []

    def flush(self, timeout=None):
        self.calls.append(("flush", timeout))
        if self.error:
            raise self.error
        return self.done

    def close(self, timeout=None):
        self.calls.append(("close", timeout))
        if self.error:
            raise self.error

    def stats(self):
        return {"written": len(self.metrics)}


class Older(Kept):
    """A custom backend whose flush and close take nothing."""

    def __init__(self) -> None:
        super().__init__()
        self.calls: list[str] = []

    def flush(self):
        self.calls.append("flush")

    def close(self):
        self.calls.append("close")


class Hanging(Kept):
    """Stores nothing until it is let go."""

    def __init__(self) -> None:
        super().__init__()
        self.go = threading.Event()

    def write(self, name, **data):
        self.go.wait(30)
        super().write(name, **data)


# ---- flush ---------------------------------------------------------------------------------------------------------


def test_flush_without_backends_or_with_simple_ones_has_nothing_to_wait_for():
    """A backend without a flush of its own is settled at once."""
    assert flush() is True
    settings.configure(backends=[Kept()])
    assert flush(0.0) is True


def test_flush_waits_for_every_queue():
    """True means that everything written before has arrived everywhere."""
    stores = [Kept(), Kept()]
    settings.configure(backends=[ThreadedBackend(store, bulk_timeout=60) for store in stores])
    for n in range(100):
        write_metric(f"m{n}")
    assert flush(30) is True
    assert [len(store.metrics) for store in stores] == [100, 100]


def test_flush_keeps_to_its_timeout_over_all_backends_together():
    """Eight backends that hang take no longer than one, and the answer is False."""
    stores = [Hanging() for _ in range(8)]
    settings.configure(backends=[ThreadedBackend(store, bulk_timeout=0.01) for store in stores])
    write_metric("m")
    started = time.monotonic()
    assert flush(0.4) is False
    assert 0.3 < time.monotonic() - started < 2
    for store in stores:
        store.go.set()
    assert flush(10) is True


@pytest.mark.parametrize(("answer", "expected"), [(True, True), (None, True), (False, False)])
def test_only_a_plain_false_says_that_something_is_left(answer, expected):
    """Custom backends may return nothing from flush; the others are asked in any case."""
    first, last = Full(done=answer), Full()
    settings.configure(backends=[first, last])
    assert flush(5) is expected
    assert [name for name, _ in last.calls] == ["flush"]
    assert 0 <= first.calls[0][1] <= 5


def test_flush_without_a_timeout_passes_none():
    """Waiting as long as it takes is passed on as such."""
    backend = Full()
    settings.configure(backends=[backend])
    flush()
    assert backend.calls == [("flush", None)]


def test_custom_backend_may_take_no_timeout():
    """A flush and a close without parameters, as any class may have them, are called all the same."""
    backend = Older()
    settings.configure(backends=[backend])
    assert flush(1.0) is True
    shutdown(1.0)
    assert backend.calls == ["flush", "close"]


def test_backend_that_fails_to_flush_keeps_no_other_from_it():
    """What one raises is no reason to leave another's metrics in memory; the answer is that something is left."""
    bad, store = Full(error=OSError("down")), Kept()
    settings.configure(backends=[bad, ThreadedBackend(store, bulk_timeout=60)])
    write_metric("m")
    assert flush(10) is False
    assert store.names == ["m"]
    assert stats()["errors"]["backend"] == {"Full: OSError": 1}


# ---- shutdown ------------------------------------------------------------------------------------------------------


def test_shutdown_delivers_and_closes_everything():
    """What is queued arrives, every backend is closed, and what is written later is counted as rejected."""
    store, plain = Kept(), Full()
    threaded = ThreadedBackend(store, bulk_timeout=60)
    settings.configure(backends=[threaded, plain])
    work = time_execution(name="work")(lambda: 7)
    work()
    shutdown()
    assert store.names == ["work"]
    assert threaded.is_closed()
    assert [name for name, _ in plain.calls] == ["close"]
    assert work() == 7
    assert threaded.stats()["rejected"] == {"after_close": 1}
    shutdown()


def test_shutdown_keeps_to_its_timeout_over_all_backends_together():
    """Backends that hang share one deadline, and what they hold is counted as dropped."""
    stores = [Hanging() for _ in range(8)]
    queues = [ThreadedBackend(store, bulk_timeout=0.01) for store in stores]
    settings.configure(backends=queues)
    write_metric("m")
    started = time.monotonic()
    shutdown(0.4)
    assert time.monotonic() - started < 2
    for store in stores:
        store.go.set()
    for queue in queues:
        counted = queue.stats()
        assert counted["accepted"] == counted["delivered"] + sum(counted["dropped"].values()) + counted["pending"]


def test_backend_that_fails_to_close_keeps_no_other_open():
    """Closing goes on, and the failure is counted rather than raised at the end of a program."""
    first, last = Full(error=OSError("down")), Full()
    settings.configure(backends=[first, last])
    shutdown()
    assert last.calls == [("close", None)]
    assert stats()["errors"]["backend"] == {"Full: OSError": 1}


# ---- stats ---------------------------------------------------------------------------------------------------------


def test_stats_has_each_backend_under_its_label():
    """Labels name the class, of a queue with what it delivers to; one that repeats gets a number."""
    settings.configure(backends=[Full(), Full(), ThreadedBackend(Kept()), Kept(), ThreadedBackend(Kept())])
    write_metric("m")
    assert flush(10)
    found = stats()["backends"]
    assert list(found) == ["Full", "Full#2", "ThreadedBackend(Kept)", "Kept", "ThreadedBackend(Kept)#2"]
    assert (found["Full"], found["Kept"]) == ({"written": 1}, {})
    assert found["ThreadedBackend(Kept)"]["delivered"] == 1


def test_backend_whose_stats_fail_hides_no_others():
    """Looking at the numbers works when it is needed most."""

    class Broken(Kept):
        def stats(self):
            raise OSError("down")

    settings.configure(backends=[Broken(), Full()])
    assert stats()["backends"]["Full"] == {"written": 0}


def test_stats_are_a_copy():
    """What is done to the answer changes no counter."""
    settings.configure(backends=[Kept()], hooks=[lambda **_: 1 / 0])
    time_execution(name="work")(lambda: 7)()
    stats()["errors"]["hook"].clear()
    assert list(stats()["errors"]["hook"].values()) == [1]


def test_operations_follow_the_block_they_are_called_in():
    """Inside a block, its backends are meant."""
    outer, inner = Full(), Full()
    settings.configure(backends=[outer])
    with settings(backends=[inner]):
        flush()
        assert list(stats()["backends"]) == ["Full"]
    assert (outer.calls, len(inner.calls)) == ([], 1)


class Closing(Full):
    """Tells when it begins to close and when it is closed, and what it makes of a time-out."""

    def __init__(self, log: list[str], name: str, *, wait: threading.Event | None = None) -> None:
        super().__init__()
        self.log, self.name, self.wait = log, name, wait

    def begin_close(self):
        self.log.append(f"{self.name} begins")

    def close(self, timeout=None):
        self.log.append(f"{self.name} ends")


def test_all_begin_to_close_before_the_first_is_waited_for():
    """What each has left is then delivered at the same time."""
    log: list[str] = []
    settings.configure(backends=[Closing(log, "a"), Closing(log, "b")])
    shutdown()
    assert log == ["a begins", "b begins", "a ends", "b ends"]


@pytest.mark.parametrize("operation", [flush, shutdown])
def test_time_that_is_used_up_leaves_none_and_never_less(operation, monkeypatch):
    """A backend whose turn comes too late is asked not to wait; a negative time-out might mean for ever to it."""
    readings = iter([100.0, 100.0, 107.0, 108.0])
    monkeypatch.setattr(
        sys.modules["time_execution.operations"], "time", SimpleNamespace(monotonic=lambda: next(readings))
    )
    backends = [Full(), Full(), Full()]
    settings.configure(backends=backends)
    operation(5.0)
    assert [timeout for backend in backends for _, timeout in backend.calls] == [5.0, 0.0, 0.0]


def test_operations_that_do_not_say_what_they_take_are_called_without_anything():
    """A function written in C need not have a signature."""
    store: dict[str, int] = {"left": 1}
    backend = Kept()
    backend.flush = functools.partial(dict.pop, store, "left")  # type: ignore[attr-defined]
    backend.close = type("Silent", (), {"__signature__": 1, "__call__": lambda self: store.update(closed=1)})()  # type: ignore[attr-defined]
    settings.configure(backends=[backend])
    flush(1.0)
    shutdown(1.0)
    assert store == {"closed": 1}


def test_labels_of_equal_backends_are_numbered():
    """However many there are of one kind, each has its line."""
    settings.configure(backends=[Full(), Full(), Full()])
    assert list(stats()["backends"]) == ["Full", "Full#2", "Full#3"]


def test_stats_of_a_backend_that_fail_are_its_error():
    """The name of the exception's class stands in their place."""

    class Broken(Kept):
        def stats(self):
            raise LookupError

    settings.configure(backends=[Broken()])
    (found,) = stats()["backends"].values()
    assert found == {"error": "LookupError"}


# ---- backends of sources -------------------------------------------------------------------------------------------


def test_flush_covers_the_backends_of_sources():
    """What a source writes to on its own is flushed with what is configured, and its failure is an answer as well."""
    own, configured = Full(done=False), Full()
    register(own)
    settings.configure(backends=[configured])
    assert flush(5) is False
    assert [name for backend in (configured, own) for name, _ in backend.calls] == ["flush", "flush"]


def test_stats_have_the_backends_of_sources_last():
    """They stand under their labels, after those of the settings."""
    own = Older()
    register(own)
    settings.configure(backends=[Full()])
    assert list(stats()["backends"]) == ["Full", "Older"]


def test_backend_that_is_also_configured_is_asked_once():
    """One backend is one, however it is known."""
    both = Full()
    register(both)
    settings.configure(backends=[both])
    flush(5)
    assert list(stats()["backends"]) == ["Full"]
    shutdown(1)
    assert [name for name, _ in both.calls] == ["flush", "close"]


def test_shutdown_delivers_what_sources_have_queued():
    """A queue of a source is emptied and closed as a configured one is."""
    store = Kept()
    own = ThreadedBackend(store, bulk_timeout=60)
    register(own)
    own.write("m")
    shutdown(10)
    assert store.names == ["m"]
    assert own.is_closed()
    assert own.stats()["pending"] == 0
