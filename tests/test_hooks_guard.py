"""What stands between others' code and the call: it counts, logs and stops exceptions, and nothing but exceptions."""

from __future__ import annotations

import asyncio
import logging

import pytest

from tests.hooked_calls import BOTH, configure
from tests.kept import Kept
from time_execution import settings, stats, time_execution
from time_execution.backends.threaded import ThreadedBackend
from time_execution.guard import _MAX_KINDS, Failed, Faults, Step, faults


@pytest.fixture
def lines(caplog):
    """Return what was logged as our own trouble."""
    caplog.set_level(logging.WARNING, "time_execution")
    return lambda: [record.getMessage() for record in caplog.records if record.name == "time_execution"]


@pytest.mark.parametrize("kind", [KeyboardInterrupt, SystemExit, asyncio.CancelledError, GeneratorExit])
@pytest.mark.parametrize("fails", [False, True], ids=["returns", "raises"])
def test_what_is_no_exception_passes_through_an_asynchronous_hook(kind, fails):
    """An interrupt or a cancellation that meets an awaited hook ends the call, uncounted; the next one is measured."""
    armed = [True]

    async def hook(**_):
        if armed.pop():
            raise kind("mine")

    metrics = configure(hook)

    @time_execution(name="work")
    async def work():
        if fails:
            raise ValueError("v")

    with pytest.raises(kind, match="mine"):
        work().send(None)
    assert stats()["errors"]["hook"] == {}
    armed.append(False)
    with pytest.raises(ValueError if fails else StopIteration):
        work().send(None)
    assert [metric["name"] for metric in metrics] == ["work"]


@BOTH
def test_each_kind_of_trouble_has_a_log_line_of_its_own(call, lines):
    """Two hooks that fail, and one that fails in two ways, are three kinds; each is told once in a window."""

    def first(func_args, **_):
        raise KeyError if func_args else OSError

    def second(**_):
        raise KeyError

    configure(first, second)
    for _ in range(3):
        call()
        call(1)
    told = sorted(line.rpartition("<locals>.")[2] for line in lines())
    assert told == [
        "first raised KeyError; it is skipped",
        "first raised OSError; it is skipped",
        "second raised KeyError; it is skipped",
    ]


def test_trouble_of_a_hook_does_not_hide_that_of_an_output(lines):
    """What has the same name and is told as something else has a line of its own, though both are counted as one."""
    for told in ("", "output"):
        step = Step(lambda: 1 / 0, kind="hook", label="work", raises=False, told=told)
        assert isinstance(step.attempt(), Failed)
    assert lines() == [f"{told} work raised ZeroDivisionError; it is skipped" for told in ("hook", "output")]
    assert stats()["errors"]["hook"] == {"work: ZeroDivisionError": 2}


def test_failures_without_end_of_ever_new_kinds_do_not_grow_the_memory():
    """Beyond a bound they are counted together, so that none is missed."""
    found = Faults()
    for number in range(2 * _MAX_KINDS):
        found.count("hook", f"hook{number}", "KeyError")
    found.count("hook", "hook0", "KeyError")
    counts = found.as_dict()["hook"]
    assert len(counts) == _MAX_KINDS + 1
    assert sum(counts.values()) == 2 * _MAX_KINDS + 1
    assert (counts["hook0: KeyError"], counts["other: other"]) == (2, _MAX_KINDS)


def test_cleared_counts_begin_again_and_so_does_the_log(lines):
    """What was told before is told again."""

    def hook(**_):
        raise KeyError

    configure(hook)
    work = time_execution(lambda: None)
    work()
    faults.clear()
    assert stats()["errors"]["hook"] == {}
    work()
    assert list(stats()["errors"]["hook"].values()) == [1]
    assert len(lines()) == 2


def test_sync_code_that_an_asynchronous_hook_calls_is_measured():
    """No asynchronous hook is awaited for it, so that this comes to an end."""
    ran = []

    async def hook(**_):
        ran.append("hook")
        inner()
        with time_execution.block("block"):
            pass

    metrics = configure(hook)

    @time_execution(name="inner")
    def inner():
        ran.append("inner")

    @time_execution(name="work")
    async def work():
        pass

    asyncio.run(work())
    assert ran == ["hook", "inner"]
    assert sorted(metric["name"] for metric in metrics) == ["block", "inner", "work"]


def test_task_that_outlives_the_hook_that_started_it_is_measured():
    """It is none of the hook's work any more, though it runs in a copy of the hook's context."""
    tasks = []
    go_on = asyncio.Event()

    @time_execution(name="later")
    async def later():
        pass

    async def background():
        await go_on.wait()
        await later()

    async def hook(metric, **_):
        if metric["name"] == "work":
            tasks.append(asyncio.create_task(background()))

    metrics = configure(hook)

    @time_execution(name="work")
    async def work():
        pass

    async def main():
        await work()
        go_on.set()
        await tasks[0]

    asyncio.run(main())
    assert [metric["name"] for metric in metrics] == ["work", "later"]


def test_what_runs_no_hook_is_measured_within_one():
    """With queues only, a call that no hook sees cannot go on without end."""

    @time_execution(name="inner")
    def inner():
        pass

    @time_execution(name="work", extra_hooks=[lambda **_: inner()])
    def work():
        pass

    store = Kept()
    settings.configure(backends=[queue := ThreadedBackend(store, bulk_timeout=0.01)])
    work()
    work()
    assert queue.flush(10)
    assert sorted(store.names) == ["inner", "inner", "work", "work"]
    assert stats()["errors"]["hook"] == {}
