"""What a forked child begins afresh with: settings, counters, chances, and backends that are written to directly."""

from __future__ import annotations

import gc
import os
import random
import threading
import weakref

import pytest

from tests.kept import Kept
from time_execution import settings, stats, time_execution
from time_execution.backends.threaded import ThreadedBackend
from time_execution.guard import faults
from time_execution.settings import live

forks = pytest.mark.skipif(not hasattr(os, "fork"), reason="forks")


def in_child(answer):
    """Return what a function returns, as text, in a forked child; a child that hangs is ended."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.write(writer, str(answer()).encode())
        finally:
            os._exit(0)
    os.close(writer)
    watchdog = threading.Timer(10.0, os.kill, (child, 9))
    watchdog.start()
    with os.fdopen(reader, encoding="utf-8") as stream:
        text = stream.read()
    os.waitpid(child, 0)
    watchdog.cancel()
    watchdog.join()
    return text


class Elsewhere:
    """A thread that has a block of settings open, or holds the lock of the settings, while a test goes on."""

    def __init__(self, context):
        self._context, self._entered, self._left = context, threading.Event(), threading.Event()
        self._thread = threading.Thread(target=self._run)

    def _run(self):
        with self._context:
            self._entered.set()
            self._left.wait(30)

    def __enter__(self):
        self._thread.start()
        self._entered.wait(30)

    def __exit__(self, *_):
        self._left.set()
        self._thread.join()


@forks
def test_block_of_another_thread_is_none_of_the_childs():
    """Its thread is gone: were it counted on, every call of the child would go the slow way for good."""
    settings.configure(backends=[Kept()])
    with Elsewhere(settings(origin="elsewhere")):
        assert live.version != live.snapshot.version
        assert in_child(lambda: live.version == live.snapshot.version) == "True"


@forks
def test_block_of_the_forking_thread_is_open_in_the_child_until_it_is_left():
    """The child goes on in the middle of it."""
    settings.configure(backends=[Kept()])

    def leave():
        with settings(origin="more inside"):
            found = [settings.origin]
        found.append(settings.origin)
        block.__exit__(None, None, None)
        return [*found, settings.origin, live.version == live.snapshot.version]

    with Elsewhere(settings(origin="elsewhere")):
        block = settings(origin="here")
        with block:
            assert in_child(leave) == str(["more inside", "here", None, True])


@forks
def test_settings_that_another_thread_is_changing_lock_up_no_child():
    """The lock is the child's own."""
    settings.configure(backends=[Kept()])

    def change():
        settings.configure(origin="child")
        return settings.origin

    with Elsewhere(live.lock):
        assert in_child(change) == "child"


class Failing:
    """A direct backend that stores nothing."""

    def write(self, name, **data):
        raise ValueError


@forks
def test_child_counts_from_zero_without_any_queue():
    """The counts are said to be those of this process."""
    settings.configure(backends=[Failing()])
    time_execution(lambda: None)()
    assert stats()["errors"]["backend"]
    assert in_child(lambda: stats()["errors"]) == str({"hook": {}, "backend": {}})


@forks
@pytest.mark.parametrize("lock", [lambda: faults._lock, lambda: faults.log._lock], ids=["of the counts", "of the log"])
def test_child_counts_and_logs_though_a_thread_held_the_lock(lock):
    """The locks are the child's own, so that a failing backend cannot hang it."""
    settings.configure(backends=[Failing()])

    def fail():
        time_execution(lambda: None)()
        return stats()["errors"]["backend"]

    with Elsewhere(lock()):
        assert in_child(fail) == str({"Failing: ValueError": 1})


@forks
def test_backend_that_fails_as_it_is_told_of_a_fork_is_counted_in_the_child():
    """The counts are set to zero before, not after."""
    settings.configure(backends=[Broken()])
    assert in_child(lambda: stats()["errors"]["backend"]) == str({"Broken: ValueError": 1})


class Forgetful(Kept):
    """Says how often it was told of a fork."""

    def __init__(self):
        super().__init__()
        self.forks = 0

    def after_fork(self):
        self.forks += 1


class Broken(Kept):
    """Cannot forget."""

    def after_fork(self):
        raise ValueError


@forks
def test_direct_backends_are_told_of_a_fork_before_the_childs_first_metric():
    """Once each, those of the block around as well, whatever another one makes of it; one behind a queue by that."""
    first, second, behind = Forgetful(), Forgetful(), Forgetful()
    settings.configure(backends=[Broken(), first, ThreadedBackend(behind)])
    with settings(backends=[first, second]):
        assert in_child(lambda: (first.forks, second.forks, behind.forks)) == "(1, 1, 1)"
    assert (first.forks, second.forks) == (0, 0)


@forks
def test_children_draw_chances_of_their_own():
    """Workers of one parent would otherwise all measure the same calls."""

    def measured():
        settings.configure(backends=[kept := Kept()])
        function = time_execution(lambda: None)
        drawn = []
        for _ in range(64):
            before = len(kept.metrics)
            function()
            drawn.append(len(kept.metrics) - before)
        return drawn

    settings.configure(backends=[Kept()], sample_rate=0.5)
    time_execution(lambda: None)()
    assert in_child(measured) != in_child(measured)


def test_sampling_leaves_the_programs_random_numbers_alone():
    """A program that seeds them gets the same ones, measured or not."""
    function = time_execution(random.random)
    random.seed(1)
    expected = [function() for _ in range(10)]
    settings.configure(backends=[Kept()], sample_rate=0.5)
    random.seed(1)
    assert [function() for _ in range(10)] == expected


def test_backends_of_a_block_end_with_it():
    """What was measured inside keeps nothing of it."""
    settings.configure(backends=[Kept()])
    function = time_execution(lambda: None)

    def run():
        with settings(backends=[backend := Kept()]):
            function()
            assert len(backend.metrics) == 1
        return weakref.ref(backend)

    gc.collect()
    gc.disable()
    try:
        assert run()() is None
    finally:
        gc.enable()
