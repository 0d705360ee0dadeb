"""Running the chain of hooks: what each kind is given, and what becomes of its answer."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from tests.hooked_calls import BOTH, async_work, configure, work
from time_execution import time_execution

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
