"""Hooks that fail: the call goes on, its metric says so, and it is counted."""

from __future__ import annotations

import asyncio
import threading

import pytest

from tests.hooked_calls import BOTH, call, call_async, configure, slow_hook, work
from tests.kept import Kept
from time_execution import settings, stats, time_execution
from time_execution.backends.threaded import ThreadedBackend


class NoTruth:
    """Has no truth value, as an array has none."""

    def __bool__(self):
        raise ValueError("ambiguous")


def raising(**_):
    """Fail."""
    raise LookupError("hook")


def raising_before(func, func_args, func_kwargs):
    """Fail before the call."""
    raise LookupError("hook")
    yield


def raising_after(func, func_args, func_kwargs):
    """Fail after the call."""
    yield
    raise LookupError("hook")


def without_truth(func, func_args, func_kwargs):
    """Return what has no truth value."""
    yield
    return NoTruth()


async def raising_async(**_):
    """Fail in a coroutine."""
    await asyncio.sleep(0)
    raise LookupError("hook")


@pytest.mark.parametrize(
    ("hook", "error"),
    [
        (raising, "LookupError"),
        (raising_before, "LookupError"),
        (raising_after, "LookupError"),
        (without_truth, "ValueError"),
        (lambda **_: NoTruth(), "ValueError"),
        (lambda **_: 42, "TypeError"),
        (lambda **_: ["ab", "c"], "ValueError"),
        (lambda metric, **_: metric.missing, "AttributeError"),
    ],
    ids=[
        "plain",
        "generator before",
        "generator after",
        "generator without truth",
        "plain without truth",
        "number",
        "list",
        "attribute",
    ],
)
@pytest.mark.parametrize("beside", [(), (slow_hook,)], ids=["alone", "beside async"])
@BOTH
def test_failing_hook_is_marked_on_the_metric_and_stops_nothing(call, beside, hook, error):
    """The call returns, the other hooks run, the metric is written with the failure's kind, and it is counted (B1)."""
    metrics = configure(lambda **_: {"first": 1}, hook, lambda **_: {"last": 1}, *beside)
    assert call(1) == (1,)
    (metric,) = metrics
    assert (metric["first"], metric["last"], metric["hook_error"]) == (1, 1, error)
    counted = {key: n for key, n in stats()["errors"]["hook"].items() if error in key}
    assert list(counted.values()) == [1]


def test_failing_asynchronous_hook_is_marked_on_the_metric():
    """An awaited hook is shielded like any other."""
    metrics = configure(raising_async, lambda **_: {"last": 1})
    assert call_async(1) == (1,)
    assert (metrics[0]["hook_error"], metrics[0]["last"]) == ("LookupError", 1)


def test_hooks_work_through_a_queue_as_they_do_directly():
    """With a queued backend the hooks run in the caller, and their fields arrive."""
    store = Kept()
    backend = ThreadedBackend(store, bulk_timeout=0.01)
    threads = []
    settings.configure(backends=[backend], hooks=[lambda **_: threads.append(threading.get_ident()), raising])
    call()
    assert backend.flush(10)
    assert threads == [threading.get_ident()]
    assert store.metrics[0]["hook_error"] == "LookupError"


@pytest.mark.parametrize("hook", [raising, raising_before, raising_after])
@BOTH
def test_raise_errors_lets_a_hooks_exception_through(call, hook):
    """In tests one wants to see it."""
    configure(hook, raise_errors=True)
    with pytest.raises(LookupError, match="hook"):
        call(1)


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit, asyncio.CancelledError])
@pytest.mark.parametrize("moment", ["plain", "before", "after"])
def test_what_is_no_exception_passes_through_hooks(error, moment):
    """Ctrl-C inside a hook is Ctrl-C, and the next call is measured as ever."""
    fail = [True]

    def maybe():
        if fail.pop():
            raise error

    def plain(**_):
        maybe()

    def around(func, func_args, func_kwargs):
        if moment == "before":
            maybe()
        yield
        if moment == "after":
            maybe()

    metrics = configure(plain if moment == "plain" else around)
    with pytest.raises(error):
        work()
    fail += [False] * 9
    assert work(2) == (2,)
    assert [metric["name"] for metric in metrics] == ["work"]
    assert stats()["errors"]["hook"] == {}


def test_failures_of_two_threads_are_not_mixed_up():
    """`hook_error` names what this call's hook raised, whatever another thread's raised meanwhile."""
    both = threading.Barrier(2, timeout=10)

    def hook(func_args, **_):
        both.wait()
        raise func_args[0]

    metrics = configure(hook)
    measured = time_execution(name="work")(lambda error: error)

    def run(error):
        for _ in range(200):
            measured(error)

    threads = [threading.Thread(target=run, args=(error,)) for error in (KeyError, LookupError)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    found = [metric["hook_error"] for metric in metrics]
    assert found.count("KeyError") == found.count("LookupError") == 200


def test_marks_of_one_thread_are_not_anothers():
    """While a hook runs in one thread, calls in another are measured, and what the hook itself calls still is not."""
    in_hook, go_on = threading.Event(), threading.Event()

    def around(func, func_args, func_kwargs):
        yield

    def hook(func_args, **_):
        if func_args == ("waits",):
            in_hook.set()
            assert go_on.wait(10)
            work("from the hook")

    metrics = configure(around, hook)
    thread = threading.Thread(target=work, args=("waits",))
    thread.start()
    assert in_hook.wait(10)
    work("meanwhile")
    go_on.set()
    thread.join(10)
    assert len(metrics) == 2
    assert stats()["errors"]["hook"] == {"work: reentrant": 1}
