"""Running the chain of hooks: what each kind is given, what becomes of its answer, and of its failures."""

from __future__ import annotations

import asyncio
import functools
import threading
from typing import Any

import pytest

from tests.kept import Kept
from time_execution import settings, stats, time_execution, write_metric
from time_execution.backends.threaded import ThreadedBackend


def configure(*hooks: Any, **changes: Any) -> list[dict[str, Any]]:
    """Configure a direct backend with hooks; returns the metrics it is handed."""
    backend = Kept()
    settings.configure(backends=[backend], hooks=list(hooks), **changes)
    return backend.metrics


@time_execution(name="work")
def work(*args, **kwargs):
    """Return the arguments, or raise the first when it is an exception."""
    if args and isinstance(args[0], BaseException):
        raise args[0]
    return args


@time_execution(name="work")
async def async_work(*args, **kwargs):
    """Return the arguments, or raise the first when it is an exception."""
    await asyncio.sleep(0)
    if args and isinstance(args[0], BaseException):
        raise args[0]
    return args


def call(*args, **kwargs):
    """Call the plain function."""
    return work(*args, **kwargs)


def call_async(*args, **kwargs):
    """Run the coroutine function."""
    return asyncio.run(async_work(*args, **kwargs))


BOTH = pytest.mark.parametrize("call", [call, call_async], ids=["sync", "async"])


# ---- what a hook is given ------------------------------------------------------------------------------------------


@BOTH
def test_hook_is_called_by_keyword_with_all_of_the_call(call):
    """A hook gets response, exception, metric, func, func_args and func_kwargs, and nothing else."""
    seen: list[dict[str, Any]] = []
    configure(lambda **given: seen.append(given))
    call(1, key=2)
    error = ValueError("v")
    with pytest.raises(ValueError, match="v"):
        call(error)
    assert [set(given) for given in seen] == [
        {"response", "exception", "metric", "func", "func_args", "func_kwargs"},
        {"response", "exception", "metric", "func", "func_args", "func_kwargs"},
    ]
    assert seen[0]["response"] == (1,)
    assert seen[0]["exception"] is None
    assert seen[0]["func_args"] == (1,)
    assert seen[0]["func_kwargs"] == {"key": 2}
    assert seen[0]["func"].__name__ in {"work", "async_work"}
    assert seen[0]["func"] in {work.__wrapped__, async_work.__wrapped__}  # type: ignore[attr-defined]
    assert (seen[1]["response"], seen[1]["exception"]) == (None, error)


def test_hook_of_the_older_library_works_as_it_is():
    """A hook with named parameters, as upstream documents it, needs no change."""

    def my_hook(response, exception, metric, func, func_args, func_kwargs):  # noqa: PLR0917 - as users write it
        status_code = getattr(response, "status_code", None)
        if status_code:
            return {"name": f"{metric['name']}.{status_code}", "extra_field": "foo bar"}
        return None

    class Response:
        status_code = 200

    metrics = configure(my_hook)
    time_execution(name="view")(Response)()
    time_execution(name="view")(lambda: [Response()][0])()
    assert metrics[-1]["name"] == "view.200"
    assert metrics[-1]["extra_field"] == "foo bar"


@BOTH
def test_hooks_run_in_order_and_see_what_was_merged_before(call):
    """Settings' hooks come first, then the function's; each sees the metric as it is by then."""
    seen: list[Any] = []

    def adds(field):
        def hook(metric, **_):
            seen.append(sorted(set(metric) & {"a", "b", "c"}))
            return {field: len(seen)}

        return hook

    metrics = configure(adds("a"), adds("b"))
    call()
    assert seen == [[], ["a"]]
    assert (metrics[0]["a"], metrics[0]["b"]) == (1, 2)


def test_extra_hooks_run_after_those_of_the_settings_or_alone():
    """`extra_hooks` adds, `disable_default_hooks` leaves out what is configured."""
    order: list[str] = []
    metrics = configure(lambda **_: order.append("default"))
    extra = [lambda **_: order.append("extra"), lambda **_: {"last": True}]
    time_execution(name="both", extra_hooks=extra)(lambda: 1)()
    assert order == ["default", "extra"]
    time_execution(name="alone", extra_hooks=extra, disable_default_hooks=True)(lambda: 1)()
    assert order == ["default", "extra", "extra"]
    time_execution(name="none", disable_default_hooks=True)(lambda: 1)()
    assert order == ["default", "extra", "extra"]
    assert [metric.get("last") for metric in metrics] == [True, True, None]


@BOTH
def test_hook_may_rename_change_and_remove(call):
    """What a hook returns or does to the metric is what is stored; the last word wins."""

    def first(metric, **_):
        metric["gone"] = 1
        return {"name": "renamed", "value": 5}

    def second(metric, **_):
        del metric["gone"]
        metric["hostname"] = "other"

    metrics = configure(first, second)
    call()
    (found,) = metrics
    assert (found["name"], found["value"], found["hostname"]) == ("renamed", 5, "other")
    assert "gone" not in found


@pytest.mark.parametrize("nothing", [None, {}, False, ()], ids=repr)
@BOTH
def test_hook_may_return_nothing(call, nothing):
    """None, or anything empty, adds nothing and is no failure."""
    metrics = configure(lambda **_: nothing)
    call()
    assert "hook_error" not in metrics[0]


@BOTH
def test_arguments_that_hooks_change_do_not_reach_the_function(call):
    """A hook that spoils the keyword arguments it is shown spoils no call."""

    def before(func, func_args, func_kwargs):
        func_kwargs.clear()
        func_kwargs["spoiled"] = True
        yield

    seen: list[Any] = []
    configure(before, lambda func_kwargs, **_: seen.append(dict(func_kwargs)))
    call(1, key=2)
    assert seen == [{"key": 2}]


# ---- generator hooks -----------------------------------------------------------------------------------------------


@BOTH
def test_generator_hook_runs_around_the_call(call):
    """It starts before the function, gets the outcome at its yield, and returns the fields."""
    seen: list[Any] = []

    def around(func, func_args, func_kwargs):
        seen.append((func_args, func_kwargs))
        response, exception, metric = yield
        seen.append((response, exception, metric["name"]))
        return {"around": True}

    metrics = configure(around)
    call(1, key=2)
    assert seen == [((1,), {"key": 2}), ((1,), None, "work")]
    assert metrics[0]["around"] is True
    error = ValueError("v")
    with pytest.raises(ValueError, match="v"):
        call(error)
    assert seen[-1] == (None, error, "work")


def test_generator_hooks_of_recursive_and_parallel_calls_keep_apart():
    """Each call has a generator of its own."""

    def around(func, func_args, func_kwargs):
        mine = func_args[0]
        yield
        return {"mine": mine}

    metrics = configure(around)

    @time_execution(name="down")
    def down(n):
        if n:
            down(n - 1)

    down(3)
    assert [metric["mine"] for metric in metrics] == [0, 1, 2, 3]

    @time_execution(name="wait")
    async def wait(n):
        await asyncio.sleep((3 - n) / 100)

    async def main():
        await asyncio.gather(*map(wait, range(3)))

    metrics.clear()
    asyncio.run(main())
    assert sorted(metric["mine"] for metric in metrics) == [0, 1, 2]


@pytest.mark.parametrize("yields", [0, 2])
@BOTH
def test_generator_hook_must_yield_once(call, yields):
    """None or two yields is the hook's mistake, marked on the metric, and its clean-up still runs."""
    ended = []

    def around(func, func_args, func_kwargs):
        try:
            for _ in range(yields):
                yield
        finally:
            ended.append(True)

    metrics = configure(around)
    assert call(1) == (1,)
    assert metrics[0]["hook_error"] == "TypeError"
    assert ended == [True]


# ---- asynchronous hooks --------------------------------------------------------------------------------------------


async def slow_hook(metric, **_):
    """Add a field after a moment."""
    await asyncio.sleep(0.001)
    return {"awaited": metric["name"]}


class AsyncHookObject:
    """A hook that is an object with an asynchronous call."""

    async def __call__(self, **_):
        return {"awaited": "by object"}


@pytest.mark.parametrize(
    "hook", [slow_hook, functools.partial(slow_hook), AsyncHookObject()], ids=["function", "partial", "object"]
)
def test_asynchronous_hook_is_awaited_on_asynchronous_functions(hook):
    """Its fields are merged in its place in the order."""
    metrics = configure(hook, lambda metric, **_: {"after": metric.get("awaited")})
    call_async()
    assert metrics[0]["awaited"]
    assert metrics[0]["after"] == metrics[0]["awaited"]


def test_asynchronous_hook_on_a_plain_function_is_skipped_and_counted():
    """There is nobody to await it; the metric is written without it."""
    metrics = configure(slow_hook)
    call()
    assert "awaited" not in metrics[0]
    assert list(stats()["errors"]["hook"].values()) == [1]


def test_asynchronous_hook_is_not_awaited_after_a_cancellation():
    """What is cancelled ends at once; its metric is written without what would have to be awaited."""
    metrics = configure(slow_hook)

    @time_execution(name="sleep")
    async def sleep():
        await asyncio.sleep(60)

    async def main():
        task = asyncio.create_task(sleep())
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(main())
    assert [metric["name"] for metric in metrics] == ["sleep"]


def test_asynchronous_hook_may_call_what_is_measured():
    """A measured coroutine function that a hook awaits runs unmeasured, and does not call the hook again."""
    helper = time_execution(name="helper")(asyncio.sleep)

    async def hook(**_):
        await helper(0)
        write_metric("from.the.hook", value=1)

    metrics = configure(hook)
    call_async()
    assert sorted(metric["name"] for metric in metrics) == ["from.the.hook", "work"]


def test_tasks_beside_an_asynchronous_hook_are_measured():
    """Only what the hook itself awaits counts as its own; another task meanwhile is measured."""
    reached, go_on = asyncio.Event(), asyncio.Event()

    async def hook(func_args, **_):
        if func_args == ("first",):
            reached.set()
            await go_on.wait()

    metrics = configure(hook)

    async def second():
        await reached.wait()
        await async_work("second")
        work("third")
        go_on.set()

    async def main():
        await asyncio.wait_for(asyncio.gather(async_work("first"), second()), 10)

    asyncio.run(main())
    assert len(metrics) == 3


# ---- hooks that fail -----------------------------------------------------------------------------------------------


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
        (lambda: None, "TypeError"),
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
        "wrong signature",
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
