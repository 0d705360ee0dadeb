"""The resources hook on real work."""

from __future__ import annotations

import multiprocessing
import os
import sys
import threading
import time
from pathlib import Path

import pytest

from time_execution import time_execution
from time_execution.exceptions import MissingExtraError
from time_execution.hooks import ResourcesHook, resources_hook

unix = pytest.mark.skipif(sys.platform == "win32", reason="Windows has no getrusage")


def burn(seconds: float) -> None:
    until = time.thread_time() + seconds
    while time.thread_time() < until:
        sum(range(1000))


@unix
def test_cpu_time_and_peak_memory_are_added(measured) -> None:
    """CPU time is in milliseconds, memory in bytes."""
    metrics = measured(resources_hook)
    time_execution(burn)(0.02)
    assert 20 <= metrics[0]["cpu_ms"] <= metrics[0]["value"] + 1
    assert 5 * 2**20 < metrics[0]["max_rss_bytes"] < 2**40
    assert set(metrics[0]) == {"name", "value", "hostname", "timestamp", "cpu_ms", "max_rss_bytes"}


def test_platform_without_getrusage_has_no_peak(measured, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the peak cannot be asked for, the field is left out."""
    monkeypatch.setattr("time_execution.hooks.resources.resource", None)
    metrics = measured(resources_hook)
    time_execution(lambda: None)()
    assert "cpu_ms" in metrics[0]
    assert "max_rss_bytes" not in metrics[0]


def test_waiting_takes_no_cpu_time(measured) -> None:
    """A call that waits for another thread has next to no CPU time of its own, and the process has all of it."""
    metrics = measured(ResourcesHook(process=True))

    @time_execution
    def wait():
        worker = threading.Thread(target=burn, args=(0.05,))
        worker.start()
        worker.join()

    wait()
    assert metrics[0]["cpu_ms"] < 25
    assert metrics[0]["process_cpu_ms"] >= 49


def test_a_failed_call_has_its_resources(measured) -> None:
    """A call that raises is measured as any other."""
    metrics = measured(resources_hook)

    @time_execution
    def fail():
        burn(0.005)
        raise KeyError

    with pytest.raises(KeyError):
        fail()
    assert metrics[0]["cpu_ms"] >= 5


def test_generator_that_ends_on_another_thread_has_no_cpu_time(measured) -> None:
    """Two threads' clocks have nothing to do with each other."""
    metrics = measured(resources_hook)

    @time_execution
    def numbers():
        yield 1

    running = numbers()
    next(running)
    other = threading.Thread(target=running.close)
    other.start()
    other.join()
    assert "cpu_ms" not in metrics[0]


def test_memory_change_is_seen(measured) -> None:
    """The memory that a call leaves behind shows as its change."""
    metrics = measured(ResourcesHook(rss=True))
    kept = []
    time_execution(lambda: kept.append(bytearray(os.urandom(2**10) * 2**15)))()
    assert metrics[0]["rss_change_bytes"] > 16 * 2**20
    assert metrics[0]["rss_bytes"] > metrics[0]["rss_change_bytes"]


def _rss(hook: ResourcesHook) -> int:
    running = hook(func=len, func_args=(), func_kwargs={})
    next(running)
    with pytest.raises(StopIteration) as stopped:
        running.send((None, None, {}))
    return int(stopped.value.value["rss_bytes"])


def _child_rss(hook: ResourcesHook, pipe) -> None:
    before = _rss(hook)
    ballast = bytearray(os.urandom(2**10) * 2**16)
    pipe.send((_rss(hook) - before, len(ballast)))


@pytest.mark.skipif("fork" not in multiprocessing.get_all_start_methods(), reason="needs fork")
def test_forked_child_reads_its_own_memory() -> None:
    """A hook that was made before a fork tells of the process it runs in: what the child takes shows."""
    hook = ResourcesHook(rss=True)
    context = multiprocessing.get_context("fork")
    here, there = context.Pipe()
    child = context.Process(target=_child_rss, args=(hook, there))
    child.start()
    assert here.poll(30)
    growth, ballast = here.recv()
    child.join(30)
    assert growth > ballast // 2


def test_missing_psutil_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where psutil is needed, asking for what needs it fails when the hook is made, and names the extra."""
    monkeypatch.setattr("time_execution.memory.sys.platform", "darwin")
    monkeypatch.setitem(sys.modules, "psutil", None)
    with pytest.raises(MissingExtraError, match=r"timeexecution\[timer\]"):
        ResourcesHook(rss=True)


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="needs /proc")
def test_linux_needs_no_psutil(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the kernel tells, nothing has to be installed."""
    monkeypatch.setitem(sys.modules, "psutil", None)
    assert _rss(ResourcesHook(rss=True)) > 2**20
